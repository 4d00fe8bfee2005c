//! Looking at the folder again and again, and telling what changed.
//!
//! Read once a second, as a mount of Kubernetes swaps symbolic links (LIC-126: 10 s).

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::Config;

/// What a look found.
#[derive(Debug)]
pub enum Change {
    /// Other contents than before; boxed, as it holds a key set.
    Read(Box<Config>),
    /// New contents that make no sense, in words; told once. The old ones stay.
    Refused(String),
}

/// Tells each change of `dir` against `known` until the receiver is gone.
pub async fn follow(dir: PathBuf, mut known: Config, changes: mpsc::Sender<Change>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refused = None;
    loop {
        ticks.tick().await;
        let reading = dir.clone();
        // A mount that hangs must not hold up other tasks.
        let Ok(read) = tokio::task::spawn_blocking(move || Config::read(&reading)).await else {
            return;
        };
        let change = match read {
            Ok(config) => {
                refused = None;
                if config == known {
                    continue;
                }
                known = config.clone();
                Change::Read(Box::new(config))
            }
            Err(error) => {
                let text = error.to_string();
                if refused.as_ref() == Some(&text) {
                    continue;
                }
                refused = Some(text.clone());
                Change::Refused(text)
            }
        };
        if changes.send(change).await.is_err() {
            return;
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
