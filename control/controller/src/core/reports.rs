//! What one replica said: connection, acknowledgements, members, interfaces.
//!
//! Owns the step from a TMM's reports to what `spk-plan` needs for conditions.
//! Source: crds.md §4.1, §4.2 (DeliveryFailed, DeviceError), operations.md §1.4.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use jiff::Timestamp;
use spk_api::status::MemberState;
use spk_plan::Plan;
use spk_plan::delivery::{DeviceFault, MemberReport, ReplicaDelivery};
use tmm_rpc::proto;

use crate::ports::{EventKind, EventObject, EventRecord, Target};
use crate::view::{GateView, InterfaceView};

/// Something about one replica.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// It answered.
    Connected {
        /// Changes with every start of the process.
        boot_id: String,
        /// Its gate.
        gate: proto::GateReply,
        /// The latch of a latched one, else empty.
        latch: String,
    },
    /// It does not answer.
    Lost {
        /// Why, in one sentence.
        cause: String,
    },
    /// It answered a snapshot.
    Applied(proto::ApplyReply),
    /// Members and interfaces.
    Report(proto::Report),
    /// Its gate.
    Gate(proto::GateReply),
    /// It answered a close that was ordered while it was connected: its gate.
    Closed(proto::GateReply),
    /// It refused a renewal: it needs a new `open`.
    RenewalRefused,
}

/// What is known of one replica.
#[derive(Clone, Debug, Default)]
pub struct ReplicaFacts {
    boot_id: Option<String>,
    acknowledged: Option<u64>,
    failure: Option<String>,
    problems: Vec<proto::Problem>,
    members: BTreeMap<(String, IpAddr, u16), MemberReport>,
    interfaces: Vec<InterfaceView>,
    gate: Option<(proto::GateReply, Instant)>,
}

/// Something that people are told of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ReplicaChange {
    /// A member came up or went down.
    Member(MemberReport),
    /// The gate opened.
    Opened,
    /// The gate closed.
    Closed {
        /// Why: a code.
        reason: String,
    },
}

impl ReplicaFacts {
    /// Takes news; what people are told of it.
    pub(super) fn take(&mut self, news: News, now: Instant) -> Vec<ReplicaChange> {
        match news {
            News::Connected { boot_id, gate, latch: _ } => {
                if self.boot_id.as_ref() != Some(&boot_id) {
                    *self = Self { gate: self.gate.take(), ..Self::default() };
                }
                self.boot_id = Some(boot_id);
                self.failure = None;
                // What it is when it connects is no news.
                self.gate = Some((gate, now));
            }
            News::Lost { cause } => {
                self.failure = Some(cause);
                self.boot_id = None;
                self.acknowledged = None;
                self.gate = None;
            }
            News::Applied(reply) if reply.accepted => {
                self.acknowledged = Some(reply.generation);
                self.failure = None;
                self.problems = reply.problems;
            }
            News::Applied(reply) => {
                let causes: Vec<String> = reply
                    .errors
                    .iter()
                    .map(|error| format!("{}: {}", error.path, error.text))
                    .collect();
                let causes = causes.join("; ");
                self.failure =
                    Some(format!("configuration {} was refused: {causes}", reply.generation));
            }
            News::Report(report) => return self.take_report(report),
            News::Gate(gate) | News::Closed(gate) => return self.take_gate(gate, now),
            News::RenewalRefused => {}
        }
        Vec::new()
    }

    fn take_gate(&mut self, gate: proto::GateReply, now: Instant) -> Vec<ReplicaChange> {
        let passed = self.gate.as_ref().is_some_and(|(gate, _)| passes(gate));
        let change = match (passed, passes(&gate)) {
            (false, true) => Some(ReplicaChange::Opened),
            (true, false) => Some(ReplicaChange::Closed { reason: gate.reason.clone() }),
            (true, true) | (false, false) => None,
        };
        self.gate = Some((gate, now));
        change.into_iter().collect()
    }

    fn take_report(&mut self, report: proto::Report) -> Vec<ReplicaChange> {
        self.interfaces = report
            .interfaces
            .into_iter()
            .map(|interface| InterfaceView {
                name: interface.name,
                up: interface.up,
                mac: interface.mac,
            })
            .collect();
        let members: BTreeMap<_, _> = report
            .members
            .into_iter()
            .filter_map(member)
            .map(|member| ((member.pool.clone(), member.address, member.port), member))
            .collect();
        let known = |state| matches!(state, MemberState::Up | MemberState::Down);
        let changes = members
            .iter()
            .filter(|(key, now)| {
                let before = self.members.get(key).map(|before| before.state);
                known(now.state)
                    && before != Some(now.state)
                    // A member that comes up for the first time is no news.
                    && (before.is_some_and(known) || now.state == MemberState::Down)
            })
            .map(|(_, report)| ReplicaChange::Member(report.clone()))
            .collect();
        self.members = members;
        changes
    }

    /// Whether it takes part in sharing the VIPs: connected, with some configuration applied.
    pub(super) fn serves(&self) -> bool {
        self.boot_id.is_some() && self.acknowledged.is_some()
    }

    /// What `spk-plan` needs to know for conditions.
    pub(super) fn delivery(&self, target: &Target, plan: &Plan) -> ReplicaDelivery {
        ReplicaDelivery {
            index: target.index,
            pod: target.pod.clone(),
            acknowledged: self.acknowledged,
            failure: self.failure.clone(),
            faults: self.faults(plan, target.index),
            members: self.members.values().cloned().collect(),
        }
    }

    fn faults(&self, plan: &Plan, index: u16) -> Vec<DeviceFault> {
        if self.acknowledged.is_none() {
            return Vec::new();
        }
        let mut faults = Vec::new();
        for vlan in plan.spec_for(index).vlans {
            let interface = vlan.interfaces.first().cloned().unwrap_or_default();
            let own = |problem: &&proto::Problem| {
                problem
                    .object
                    .as_ref()
                    .is_some_and(|object| object.kind == "F5SPKVlan" && object.name == vlan.id)
            };
            if let Some(problem) = self.problems.iter().find(own) {
                let text = problem.text.strip_prefix(&format!("{interface}: "));
                let text = text.unwrap_or(&problem.text);
                let (cause, fix) = text.split_once("; ").unwrap_or((text, "see the TMM's log"));
                faults.push(DeviceFault {
                    vlan: vlan.id.clone(),
                    interface,
                    cause: cause.to_owned(),
                    fix: fix.to_owned(),
                });
            } else if self.interfaces.iter().any(|state| state.name == interface && !state.up) {
                faults.push(DeviceFault {
                    vlan: vlan.id.clone(),
                    interface,
                    cause: String::from("link is down"),
                    fix: String::from("bring the device and its peer up"),
                });
            }
        }
        faults
    }

    /// Changes with every start of its process; none while it does not answer.
    #[must_use]
    pub fn boot_id(&self) -> Option<&str> {
        self.boot_id.as_deref()
    }

    /// The revision it runs.
    #[must_use]
    pub const fn acknowledged(&self) -> Option<u64> {
        self.acknowledged
    }

    /// Why the last attempt to reach or configure it failed.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Status and reason of its condition `LicenseGate`; none while it does not answer.
    pub(super) fn gate_condition(&self) -> Option<(&'static str, String)> {
        let (gate, _) = self.gate.as_ref()?;
        Some(if passes(gate) { ("True", String::new()) } else { ("False", gate.reason.clone()) })
    }

    /// Its gate as of `now`; none while it does not answer.
    #[must_use]
    pub fn gate(&self, now: Instant) -> Option<GateView> {
        let (gate, told) = self.gate.as_ref()?;
        let since = now.saturating_duration_since(*told).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        let state = match gate.gate() {
            proto::GateState::Closed => "closed",
            proto::GateState::Open => "open",
            proto::GateState::Latched => "latched",
        };
        Some(GateView {
            state: state.to_owned(),
            reason: gate.reason.clone(),
            deadline_ms: gate.deadline_ms.saturating_sub(since),
        })
    }

    /// Its interfaces.
    #[must_use]
    pub fn interfaces(&self) -> &[InterfaceView] {
        &self.interfaces
    }
}

impl ReplicaChange {
    /// The event of it: of a member about the object whose pool it is in, of a gate about the pod.
    pub(super) fn event(
        self,
        plan: &Plan,
        namespace: &str,
        pod: Option<&Target>,
    ) -> Option<EventRecord> {
        let of_pod = |reason, kind, text| {
            let object = EventObject::new("Pod", namespace, &pod?.pod);
            Some(EventRecord { reason, kind, object, text })
        };
        match self {
            Self::Member(report) => member_event(plan, report),
            Self::Opened => {
                of_pod("GateOpened", EventKind::Normal, String::from("the licence gate is open"))
            }
            Self::Closed { reason } => {
                let text = format!("the licence gate is closed ({reason})");
                of_pod("GateClosed", EventKind::Warning, text)
            }
        }
    }
}

fn member_event(plan: &Plan, report: MemberReport) -> Option<EventRecord> {
    let MemberReport { pool, address, port, state, reason, .. } = report;
    let (id, _) = plan
        .objects
        .iter()
        .find(|(_, object)| object.members.iter().any(|member| member.pool == pool))?;
    let member = std::net::SocketAddr::new(address, port);
    let (kind, word, text) = if state == MemberState::Down {
        (EventKind::Warning, "MemberDown", format!("member {member} of {pool} is down: {reason}"))
    } else {
        (EventKind::Normal, "MemberUp", format!("member {member} of {pool} is up"))
    };
    let object = EventObject::new(id.kind.name(), &id.namespace, &id.name);
    Some(EventRecord { reason: word, kind, object, text })
}

fn passes(gate: &proto::GateReply) -> bool {
    gate.gate() != proto::GateState::Closed
}

fn member(report: proto::MemberReport) -> Option<MemberReport> {
    let state = match report.state.as_str() {
        "up" => MemberState::Up,
        "down" => MemberState::Down,
        "checking" => MemberState::Checking,
        "unchecked" => MemberState::Unchecked,
        "draining" => MemberState::Draining,
        _ => return None,
    };
    let millis = i64::try_from(report.since).ok().filter(|millis| *millis != 0);
    Some(MemberReport {
        pool: report.pool,
        address: report.address.parse().ok()?,
        port: u16::try_from(report.port).ok()?,
        state,
        since: millis
            .and_then(|millis| Timestamp::from_millisecond(millis).ok())
            .map(|time| time.to_string()),
        reason: report.reason,
    })
}
