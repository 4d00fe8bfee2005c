//! `make demo`: see [`spk_tests::demo`].

use std::{env, process::ExitCode, thread};

use nix::sys::signal::{SigSet, Signal};
use spk_tests::demo;

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("stop") {
        demo::stop();
        return ExitCode::SUCCESS;
    }
    if let Err(error) = clean_up_on_signals() {
        eprintln!("demo: {error}");
        return ExitCode::FAILURE;
    }
    let keep = env::var("KEEP").is_ok_and(|value| !value.is_empty() && value != "0");
    match demo::run(keep) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Blocks the signals that end a program here and in all later threads, and gives them to one that
/// removes the lab first. Children start with an empty mask.
fn clean_up_on_signals() -> nix::Result<()> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block()?;
    thread::spawn(move || {
        let name = signals.wait().map_or("signal", Signal::as_str);
        eprintln!("\ndemo: {name}: removes what it made");
        demo::abandon();
        std::process::exit(130);
    });
    Ok(())
}
