//! What monitoring sees of the licence at a Controller (licensing.md §12.5).
//!
//! Owns the two figures that are counted while the Controller runs; the rest is read from its
//! [`View`](crate::view::View) at each scrape. The registry's prefix is `spk`.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Counters of one Controller; clones are the same ones.
#[derive(Clone, Debug)]
pub struct Meters {
    durations: Family<Which, Histogram, fn() -> Histogram>,
    scale: Family<Scale, Counter>,
    refused: Family<Code, Counter>,
}

/// What acts on a judgement (licensing.md §12.3).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum ActuatorName {
    /// The configuration is withheld.
    Withhold,
    /// A gate answered its close.
    Gate,
    /// The replicas are told to stop.
    Scale,
}

impl ActuatorName {
    const ALL: [Self; 3] = [Self::Withhold, Self::Gate, Self::Scale];

    const fn code(self) -> &'static str {
        match self {
            Self::Withhold => "withhold",
            Self::Gate => "gate",
            Self::Scale => "scale",
        }
    }
}

/// What was done to the replicas.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum ScaleAction {
    /// Stopped.
    Zero,
    /// Started again.
    Restore,
}

impl ScaleAction {
    const ALL: [Self; 2] = [Self::Zero, Self::Restore];

    const fn code(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Restore => "restore",
        }
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct Which {
    actuator: &'static str,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct Scale {
    action: &'static str,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

impl Default for Meters {
    fn default() -> Self {
        let meters = Self {
            durations: Family::new_with_constructor(durations as fn() -> Histogram),
            scale: Family::default(),
            refused: Family::default(),
        };
        for actuator in ActuatorName::ALL {
            drop(meters.durations.get_or_create(&Which { actuator: actuator.code() }));
        }
        for action in ScaleAction::ALL {
            drop(meters.scale.get_or_create(&Scale { action: action.code() }));
        }
        meters
    }
}

impl Meters {
    /// Adds the figures to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Time from a blocking verdict to what an actuator did";
        let durations = self.durations.clone();
        registry.register_with_unit("license_enforcement_duration", help, Unit::Seconds, durations);
        let help = "Times the licence stopped or restored the replicas";
        registry.register("license_scale_actions", help, self.scale.clone());
        let help = "Messages and records of the licence that did not count";
        registry.register("license_refused", help, self.refused.clone());
    }

    pub(crate) fn acted(&self, actuator: ActuatorName, after: Duration) {
        self.durations
            .get_or_create(&Which { actuator: actuator.code() })
            .observe(after.as_secs_f64());
    }

    pub(crate) fn scaled(&self, action: ScaleAction) {
        self.scale.get_or_create(&Scale { action: action.code() }).inc();
    }

    pub(crate) fn refused(&self, code: &'static str) {
        self.refused.get_or_create(&Code { code }).inc();
    }
}

fn durations() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0])
}
