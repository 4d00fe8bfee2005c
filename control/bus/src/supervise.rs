//! Keeps one end connected.
//!
//! Source: licensing.md §10.3 (LIC-724). Lapin's own recovery stays off: it keeps no certificates up
//! to date and gives up after some attempts.

use std::future::Future;

use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, sleep_until};
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::core::{Core, Task};

/// How a connection ended.
#[derive(Debug)]
pub enum Ended {
    /// By itself, or it was never made; in words.
    Lost(String),
    /// As its user wished; to be answered.
    Closed(Option<oneshot::Sender<()>>),
}

/// A way to reach the bus.
pub trait Session: Send {
    /// Acknowledges one copy of a message.
    type Tag: Send;

    /// Makes one connection and serves it to its end. Calls [`Core::up`] once it is good.
    fn run(&mut self, core: &mut Core<Self::Tag>) -> impl Future<Output = Ended> + Send;

    /// Resolves when the next attempt has better prospects than the last.
    fn better_prospects(&mut self) -> impl Future<Output = ()> + Send;
}

/// Connects again and again, until the user closes the end.
pub async fn supervise<S: Session>(mut session: S, mut core: Core<S::Tag>) {
    let mut backoff = Backoff::default();
    loop {
        let pause = backoff.next_pause(spread());
        let ended = match pause_for(pause, &mut session, &mut core).await {
            Some(ended) => ended,
            None => session.run(&mut core).await,
        };
        match ended {
            Ended::Lost(reason) => backoff.lost_after(core.down(&reason)),
            Ended::Closed(done) => {
                core.outbox.close();
                if let Some(done) = done {
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                return;
            }
        }
    }
}

/// Waits, and deals with the user meanwhile. Gives how the end ended, if it did.
async fn pause_for<S: Session>(
    pause: Duration,
    session: &mut S,
    core: &mut Core<S::Tag>,
) -> Option<Ended> {
    let until = Instant::now() + pause;
    loop {
        tokio::select! {
            () = sleep_until(until) => return None,
            () = session.better_prospects() => return None,
            task = core.next_task() => match task {
                // No connection: nothing to send on, no copy to acknowledge.
                Task::Send | Task::Acknowledge(_) | Task::HandBack(_) => {}
                Task::Close(done) => return Some(Ended::Closed(done)),
            },
        }
    }
}

/// Where in its bounds the next pause lies.
fn spread() -> u16 {
    let [first, second, ..] = Uuid::new_v4().into_bytes();
    u16::from_be_bytes([first, second])
}
