//! Metrics and readiness of spk-node.
//!
//! Owns names and help texts; each scrape makes the page anew from what is known at that moment.
//! Source: operations.md §7.2 (own metrics begin with `spk_`), licensing.md §12.5.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use spk_controller::meters::Meters;
use spk_controller::view::LicenceView;
use spk_serving::clock;
use spk_serving::probes::{self, Pages};
use spk_serving::tls::{CertificateMetrics, Tls};

use crate::socket::{Desk, NodeStatus};

/// The pages of spk-node.
#[derive(Debug)]
pub struct NodePages {
    desk: Desk,
    meters: Meters,
    identities: Vec<Tls>,
}

impl NodePages {
    /// Pages about what `desk` knows and when the certificates of `identities` end.
    #[must_use]
    pub const fn new(desk: Desk, meters: Meters, identities: Vec<Tls>) -> Self {
        Self { desk, meters, identities }
    }
}

impl Pages for NodePages {
    /// Ready when the newest configuration runs on every replica.
    fn not_ready(&self) -> Option<String> {
        let view = self.desk.views.borrow();
        if view.generation == 0 {
            return Some(String::from("no configuration yet"));
        }
        if view.licence.withheld {
            return Some(format!("configuration is withheld: {}", view.licence.text));
        }
        view.replicas.iter().find_map(|replica| {
            replica.not_ready.as_ref().map(|cause| format!("{}: {cause}", replica.pod))
        })
    }

    fn metrics(&self) -> String {
        let mut registry = registry(&self.desk.status());
        CertificateMetrics::register(&mut registry, self.identities.clone());
        self.meters.register(&mut registry);
        probes::metrics_text(&registry)
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Replica {
    replica: u32,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Condition {
    condition: String,
    status: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct VerdictLabels {
    class: String,
    verdict: String,
    reason: String,
}

/// The licence as the Controller holds it (licensing.md §12.5).
fn register_licence(registry: &mut Registry, licence: &LicenceView) {
    let gauge = |value: i64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        gauge
    };
    let verdict = Family::<VerdictLabels, Gauge>::default();
    let LicenceView { class, verdict: word, reason, .. } = licence;
    let labels =
        VerdictLabels { class: class.clone(), verdict: word.clone(), reason: reason.clone() };
    verdict.get_or_create(&labels).set(1);
    registry.register("license_verdict", "The verdict that is held", verdict);
    let help = "Whether the configuration is withheld";
    registry.register("config_withheld", help, gauge(i64::from(licence.withheld)));
    let help = "Whether the bus is connected";
    registry.register("bus_connected", help, gauge(i64::from(licence.bus_connected)));
    let ignored = Counter::<u64>::default();
    ignored.inc_by(licence.latched_ignored);
    let help = "Blocking statements that a held latch made warnings of";
    registry.register("license_latched_ignored", help, ignored);
    if let Some(heard) = licence.heard_at {
        let age = Gauge::<f64, AtomicU64>::default();
        age.set(clock::boot().saturating_sub(Duration::from_nanos(heard)).as_secs_f64());
        let help = "Time since the last statement of the CWC that counted";
        registry.register_with_unit("license_heartbeat_age", help, Unit::Seconds, age);
    }
}

fn registry(status: &NodeStatus) -> Registry {
    let view = &status.controller;
    let mut registry = Registry::with_prefix("spk");
    let generation = Gauge::<i64>::default();
    generation.set(signed(view.generation));
    registry.register(
        "configuration_generation",
        "Revision of the newest configuration",
        generation,
    );
    register_licence(&mut registry, &view.licence);

    let up = Family::<Replica, Gauge>::default();
    let acknowledged = Family::<Replica, Gauge>::default();
    let open = Family::<Replica, Gauge>::default();
    let remaining = Family::<Replica, Gauge>::default();
    let restarts = Family::<Replica, Counter>::default();
    for replica in &view.replicas {
        let label = Replica { replica: u32::from(replica.index) };
        up.get_or_create(&label).set(i64::from(replica.connected));
        let generation = replica.acknowledged.map_or(0, signed);
        acknowledged.get_or_create(&label).set(generation);
        let passes = replica.gate.as_ref().is_some_and(|gate| gate.state != "closed");
        open.get_or_create(&label).set(i64::from(passes));
        let left = replica.gate.as_ref().map_or(0, |gate| gate.deadline_ms / 1000);
        remaining.get_or_create(&label).set(signed(left));
    }
    for process in &status.processes {
        let Some(index) = process.index else { continue };
        let label = Replica { replica: u32::from(index) };
        restarts.get_or_create(&label).inc_by(u64::from(process.restarts));
    }
    registry.register("tmm_connected", "Whether a TMM answers on port 8750", up);
    let help = "Revision of the configuration that a TMM runs";
    registry.register("tmm_acknowledged_generation", help, acknowledged);
    registry.register("license_gate_open", "Whether a TMM's licence gate is open", open);
    let help = "Time until a TMM's gate closes by itself; 0 unless it is open";
    registry.register_with_unit("license_lease_remaining", help, Unit::Seconds, remaining);
    registry.register("tmm_restarts", "Restarts of a TMM by this spk-node", restarts);

    let conditions = Family::<Condition, Gauge>::default();
    for condition in view.objects.iter().flat_map(|object| &object.status.conditions) {
        let label =
            Condition { condition: condition.type_.clone(), status: condition.status.clone() };
        conditions.get_or_create(&label).inc();
    }
    registry.register("objects", "Custom resources by condition and its status", conditions);
    registry
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
