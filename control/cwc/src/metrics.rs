//! The metrics of the licence: `spk_license_*`, made when they are asked for.
//!
//! Source: licensing.md §12.5 (LIC-850, LIC-851). Every label value is of a closed set.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use spk_bus::BusMetrics;
use spk_entitlement::{Class, Verdict};
use spk_license::codes::Code;
use spk_license::view::Facts;
use spk_license::{Effect, Notice, Slot, State, Trigger};
use spk_serving::probes::{Pages, metrics_text};
use spk_serving::tls::{CertificateMetrics, Tls};

use crate::front::Front;

/// What the loop counts.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    events: Family<EventLabels, Counter>,
    notices: Family<NoticeLabels, Counter>,
    refused: Family<ReasonLabels, Counter>,
    connected: Arc<AtomicBool>,
    /// Whether state could not be stored for 180 s (P9).
    failing: Arc<AtomicBool>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct EventLabels {
    event: &'static str,
    state: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct NoticeLabels {
    reason: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct SlotLabels {
    slot: &'static str,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct VerdictLabels {
    class: &'static str,
    verdict: &'static str,
    reason: &'static str,
}

impl Counters {
    /// Counts what an event did to a slot.
    pub fn count(&self, event: Trigger, state: Option<State>, outcome: Effect) {
        let state = state.map_or("none", State::name);
        let labels = EventLabels { event: event.word(), state, outcome: outcome.code() };
        self.events.get_or_create(&labels).inc();
    }

    /// Counts an event raised.
    pub fn notice(&self, notice: Notice, code: Option<Code>) {
        let labels = NoticeLabels { reason: notice.reason(), code: code.map_or("", Code::code) };
        self.notices.get_or_create(&labels).inc();
    }

    /// Counts a message that the desk did not take.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Notes whether the bus is there.
    pub fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    /// Notes whether this CWC may no longer vouch for its state.
    pub fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::Relaxed);
    }
}

/// The pages of the probe and metrics listeners.
#[derive(Debug)]
pub struct CwcPages {
    front: Front,
    counters: Counters,
    bus: BusMetrics,
    rest: Tls,
    identities: Vec<Tls>,
}

impl CwcPages {
    /// Pages that show what `front` shows; ready once `rest` has its files. The ends of the
    /// certificates of `identities` are among the metrics.
    #[must_use]
    pub const fn new(
        front: Front,
        counters: Counters,
        bus: BusMetrics,
        rest: Tls,
        identities: Vec<Tls>,
    ) -> Self {
        Self { front, counters, bus, rest, identities }
    }
}

impl Pages for CwcPages {
    fn not_ready(&self) -> Option<String> {
        if self.counters.failing.load(Ordering::Relaxed) {
            return Some(String::from("state has not been stored for 180 s: store_unavailable"));
        }
        self.rest.not_ready()
    }

    fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix("spk");
        gauges(&mut registry, &self.front.facts());
        let Counters { events, notices, refused, connected, failing: _ } = &self.counters;
        registry.register("license_events", "What events did to slots", events.clone());
        registry.register("license_notices", "Events raised", notices.clone());
        let help = "Messages of Controllers that were not taken";
        registry.register("license_refused_messages", help, refused.clone());
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::from(connected.load(Ordering::Relaxed)));
        registry.register("bus_connected", "Whether the bus is there", gauge);
        self.bus.register(&mut registry);
        CertificateMetrics::register(&mut registry, self.identities.clone());
        metrics_text(&registry)
    }
}

fn gauges(registry: &mut Registry, facts: &Facts) {
    let states = Family::<SlotLabels, Gauge>::default();
    let slots = [
        (Slot::License, Some(facts.license.state)),
        (Slot::Current, facts.current.map(|window| window.slot.state)),
        (Slot::Next, facts.next.map(|window| window.slot.state)),
        (Slot::Switch, facts.switch.as_ref().map(|switch| switch.slot.state)),
    ];
    for (slot, state) in slots {
        if let Some(state) = state {
            let number = i64::from(state.number());
            states.get_or_create(&SlotLabels { slot: slot.name() }).set(number);
        }
    }
    registry.register("license_state", "Number of the state of each slot in use", states);
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    if let Some(end) = facts.expiry {
        let gauge = Gauge::<i64>::default();
        gauge.set(number(end).saturating_sub(number(facts.now)));
        let help = "Time until the licence ends; negative after it";
        registry.register_with_unit("license_expiry", help, Unit::Seconds, gauge);
    }
    if let Some((at, _)) = facts.stops {
        let gauge = Gauge::<i64>::default();
        gauge.set(number(at));
        let help = "Unix time at which traffic stops if nothing is done";
        registry.register("license_stops_at", help, gauge);
    }
    let class = match facts.order_type {
        Some(order) if facts.active => order.class(),
        Some(_) | None => Class::Unactivated,
    };
    let verdicts = Family::<VerdictLabels, Gauge>::default();
    let verdict = facts.verdict;
    let labels = VerdictLabels {
        class: class_word(class),
        verdict: verdict_word(verdict.value),
        reason: verdict.reason.code(),
    };
    verdicts.get_or_create(&labels).set(1);
    registry.register("license_verdict", "The verdict in force is 1", verdicts);
}

const fn class_word(class: Class) -> &'static str {
    match class {
        Class::Unactivated => "unactivated",
        Class::Trial => "trial",
        Class::Production => "production",
    }
}

const fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Warn => "warn",
        Verdict::Block => "block",
    }
}
