//! The gate's word under a model checker: the same source, with shuttle's atomics.
//!
//! The model has one control thread that publishes and workers that read once per burst. Real
//! threads and the time a worker takes to its next burst are proven with the `tmm` process.
//!
//! Shuttle, like loom, tries interleavings, but treats every access as sequentially consistent, and
//! the gate's are Relaxed. That loses nothing here: the gate is one location that carries all it
//! says in its own 64 bits, so no other memory must become visible with it, and for one location
//! Relaxed has the same guarantees: no torn word, one order of modification that all threads agree
//! on, and no thread that reads an older word after a newer one (coherence).

use shuttle::sync::Arc;
use shuttle::thread;

mod atomic {
    pub(crate) use shuttle::sync::atomic::{AtomicU64, Ordering};
}
#[path = "../src/gate.rs"]
#[expect(dead_code, reason = "the model uses a part of the gate's source")]
mod gate;

use gate::{Gate, GateWord, Nanos};

const ITERATIONS: usize = 2_000;

/// LIC-801, LIC-800: a worker sees only words that were published, in the order of publication, the
/// last one at its next burst; before the first it sees a closed gate.
#[test]
fn workers_see_each_published_word_whole_and_in_order() {
    shuttle::check_random(
        || {
            let published = [
                GateWord::CLOSED,
                GateWord::open_until(Nanos::from_secs(10)),
                GateWord::open_until(Nanos::from_secs(20)),
                GateWord::CLOSED,
                GateWord::LATCHED,
            ];
            let gate = Arc::new(Gate::closed());
            let workers: Vec<_> = (0..2)
                .map(|_| {
                    let gate = Arc::clone(&gate);
                    thread::spawn(move || {
                        let mut at = 0;
                        for _burst in 0..6 {
                            let word = gate.load();
                            let step = published[at..].iter().position(|other| *other == word);
                            at += step.expect("a word that was published, and no older one");
                            thread::yield_now();
                        }
                    })
                })
                .collect();
            for word in &published[1..] {
                gate.store(*word);
                thread::yield_now();
            }
            for worker in workers {
                worker.join().unwrap();
            }
            assert_eq!(gate.load(), GateWord::LATCHED);
        },
        ITERATIONS,
    );
}

/// LIC-801: from the deadline on a worker drops, though the control thread has ended and nobody
/// writes the word again.
#[test]
fn worker_drops_from_the_deadline_on_with_the_control_thread_stopped() {
    shuttle::check_random(
        || {
            let gate = Arc::new(Gate::closed());
            let control = {
                let gate = Arc::clone(&gate);
                thread::spawn(move || gate.store(GateWord::open_until(Nanos(5))))
            };
            let worker = {
                let gate = Arc::clone(&gate);
                thread::spawn(move || {
                    // One burst per nanosecond: passes are a run that starts when the word is seen
                    // and ends at the deadline.
                    (0..10).map(|now| gate.load().passes(Nanos(now))).collect::<Vec<_>>()
                })
            };
            control.join().unwrap();
            let passes = worker.join().unwrap();
            assert!(passes[5..].iter().all(|passed| !passed), "{passes:?}");
            let first = passes.iter().position(|passed| *passed).unwrap_or(5);
            assert!(passes[first..5].iter().all(|passed| *passed), "{passes:?}");
            assert!(gate.load().passes(Nanos(4)));
        },
        ITERATIONS,
    );
}

/// LIC-801: a close takes effect at the next burst after it, before the deadline too.
#[test]
fn close_acts_at_the_next_burst() {
    shuttle::check_random(
        || {
            let gate = Arc::new(Gate::closed());
            gate.store(GateWord::open_until(Nanos::from_secs(60)));
            let closer = {
                let gate = Arc::clone(&gate);
                thread::spawn(move || gate.store(GateWord::CLOSED))
            };
            let before = gate.load().passes(Nanos(1));
            let after = gate.load().passes(Nanos(2));
            assert!(before || !after, "a closed gate opened by itself");
            closer.join().unwrap();
            assert!(!gate.load().passes(Nanos(3)));
        },
        ITERATIONS,
    );
}
