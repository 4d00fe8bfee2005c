//! The CWC's machine: four slots, their data and their timers.
//!
//! Owns what an event does. Decides no verdict (`spk_entitlement::policy` does) and parses no token.
//!
//! Source: licensing.md §3, §5.1, §6, §7, §8.

use std::sync::Arc;
use std::time::Duration;

use spk_jose::Ed25519Key;

use crate::now::Now;
use crate::settings::Settings;

/// The machine. Cheap to clone: large texts are shared.
#[derive(Clone, Debug)]
pub struct Machine {
    settings: Arc<Settings>,
    report_key: Option<Arc<Ed25519Key>>,
}

impl Machine {
    /// A machine that has read nothing: state 0 until [`crate::Event::Boot`].
    ///
    /// `report_key` signs the reports; without one none can be built (`report_failed`).
    #[must_use]
    pub fn new(settings: Settings, report_key: Option<Ed25519Key>) -> Self {
        Self { settings: Arc::new(settings), report_key: report_key.map(Arc::new) }
    }

    /// How long from `now` until [`crate::Event::Timer`] is due; zero if it is. Ask again after
    /// every step.
    #[must_use]
    pub fn poll_timeout(&self, _now: Now) -> Duration {
        Duration::from_secs(60)
    }
}
