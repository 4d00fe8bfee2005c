//! The TMMs of a Controller, as far as they need something (event `tmm`, licensing.md §11).
//!
//! Invariant: no TMM raises the event more often than once in 5 s.

use std::collections::BTreeMap;

use tmm_config::Nanos;

use crate::contact::POLL_EVERY;

#[derive(Debug, Default)]
pub(super) struct Tmms {
    pods: BTreeMap<String, Tmm>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tmm {
    /// Whether its gate is closed, or it refused a renewal.
    needs: bool,
    /// When it was last served.
    served: Option<Nanos>,
}

impl Tmm {
    fn due(self) -> Option<Nanos> {
        let due = self.served.map_or(Nanos(0), |served| served.plus(POLL_EVERY));
        self.needs.then_some(due)
    }
}

impl Tmms {
    pub fn note(&mut self, pod: String, needs: bool) {
        self.pods.entry(pod).or_default().needs = needs;
    }

    pub fn remove(&mut self, pod: &str) {
        self.pods.remove(pod);
    }

    /// Something was sent to, or asked for, this pod.
    pub fn served(&mut self, pod: &str, now: Nanos) {
        if let Some(tmm) = self.pods.get_mut(pod) {
            tmm.served = Some(now);
        }
    }

    pub fn served_all(&mut self, now: Nanos) {
        for tmm in self.pods.values_mut() {
            tmm.served = Some(now);
        }
    }

    /// When the next one is due, and which.
    pub fn next(&self) -> Option<(Nanos, &str)> {
        let due = self.pods.iter().filter_map(|(pod, tmm)| Some((tmm.due()?, pod.as_str())));
        due.min_by_key(|(due, _)| *due)
    }
}
