//! The bus over a real RabbitMQ (suite `lab`).
//!
//! Each test has a broker of its own, run by the project's script. A start takes about 7 s, so one
//! test shows several rules, each in a function of its own.

mod logins;
mod messages;
mod recovery;
mod rig;
mod samples;
mod side;
mod suite;
mod topology;
mod wire;

/// A runtime of the kind that programs have.
fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}
