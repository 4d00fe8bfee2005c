//! How many POSTs a client certificate may send in a minute (LIC-309).
//!
//! Invariant: in no 60 s are more taken than allowed. Reads no clock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::guard::Caller;

/// When each caller's last POSTs were taken, by boot time.
#[derive(Debug, Default)]
pub(super) struct Rates {
    taken: Mutex<HashMap<Caller, VecDeque<Duration>>>,
}

impl Rates {
    /// Takes one POST of `caller` at `now`, or says how long it must wait.
    pub(super) fn take(&self, caller: Caller, limit: u32, now: Duration) -> Result<(), Duration> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: &Duration| now.saturating_sub(*at) < MINUTE;
        taken.retain(|_, times| times.back().is_some_and(recent));
        let times = taken.entry(caller).or_default();
        while times.pop_front_if(|at| !recent(at)).is_some() {}
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if let Some(index) = times.len().checked_sub(limit)
            && let Some(first) = times.get(index)
        {
            return Err((*first + MINUTE).saturating_sub(now));
        }
        times.push_back(now);
        Ok(())
    }
}

const MINUTE: Duration = Duration::from_secs(60);
