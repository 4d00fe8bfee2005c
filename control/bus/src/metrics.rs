//! What one end counts.
//!
//! Source: licensing.md §10.3 (LIC-721, LIC-723, LIC-726). The registry's prefix is `spk`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use spk_entitlement::messages::Rejection;

/// The counters of one end; clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct BusMetrics {
    rejected: Family<Reason, Counter>,
    repeated: Counter,
    returned: Counter,
    connections: Counter,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl BusMetrics {
    /// Counters at 0, one for each reason.
    pub(crate) fn new() -> Self {
        let metrics = Self::default();
        for rejection in Rejection::ALL {
            drop(metrics.rejected.get_or_create(&Reason { reason: rejection.code() }));
        }
        metrics
    }

    /// Adds the counters to `registry`, whose prefix should be `spk`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Messages that were refused";
        registry.register("bus_rejected_messages", help, self.rejected.clone());
        let help = "Messages that came again and were ignored";
        registry.register("bus_repeated_messages", help, self.repeated.clone());
        let help = "Messages to an unknown instance";
        registry.register("bus_returned_messages", help, self.returned.clone());
        let help = "Connections made";
        registry.register("bus_connections", help, self.connections.clone());
    }

    /// Messages refused for `reason` so far.
    #[must_use]
    pub fn rejected(&self, reason: Rejection) -> u64 {
        self.rejected.get_or_create(&Reason { reason: reason.code() }).get()
    }

    /// Messages that came again so far.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated.get()
    }

    /// Messages that no queue took so far.
    #[must_use]
    pub fn returned(&self) -> u64 {
        self.returned.get()
    }

    /// Connections made so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.get()
    }

    pub(crate) fn count_rejected(&self, reason: Rejection) {
        self.rejected.get_or_create(&Reason { reason: reason.code() }).inc();
    }

    pub(crate) fn count_repeated(&self) {
        self.repeated.inc();
    }

    pub(crate) fn count_returned(&self) {
        self.returned.inc();
    }

    pub(crate) fn count_connection(&self) {
        self.connections.inc();
    }
}
