//! Messages of Controllers that were not taken: logged at most once a minute for each reason, as
//! anyone on the bus can send them.

use std::collections::BTreeMap;
use std::time::Duration;

use spk_entitlement::desk::Refusal;

use crate::front::now;

/// When each reason was last logged, and how many were not since.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    told: BTreeMap<&'static str, (Duration, u64)>,
}

impl Refusals {
    /// Logs `refusal`, or counts it for the next line.
    pub(super) fn log(&mut self, refusal: Refusal) {
        let now = now().boot;
        let code = refusal.code();
        match self.told.get_mut(code) {
            Some((at, held_back)) if now.saturating_sub(*at) < MINUTE => *held_back += 1,
            told => {
                let held_back = told.map_or(0, |(_, held_back)| *held_back);
                self.told.insert(code, (now, 0));
                tracing::warn!(
                    code,
                    held_back,
                    "a message of a Controller is not taken: {refusal}"
                );
            }
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
