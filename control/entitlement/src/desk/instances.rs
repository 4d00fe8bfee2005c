//! The Controllers that a CWC knows (licensing.md §10.4, LIC-738).
//!
//! Invariant: at most 256 are registered, each in a namespace that the API shows.

use std::collections::{BTreeMap, BTreeSet};

use spk_jose::Jwks;
use tmm_config::Nanos;

use super::{Occasion, Refusal, Standing};
use crate::lease::Verdict;
use crate::messages::{GateState, TmmNonce};
use crate::reason::Reason;

/// A registered Controller, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ControllerView {
    /// Its namespace.
    pub namespace: String,
    /// UID of its pod; empty before it asked for the entitlement.
    pub instance: String,
    /// When it was last heard, by boot time.
    pub last_seen: Nanos,
    /// Whether it said goodbye since. Only a mark: anyone on the bus can say so.
    pub gone: bool,
    /// Its TMMs.
    pub tmms: Vec<TmmView>,
}

/// A TMM, as its Controller's last request and our leases tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TmmView {
    /// Name of its pod.
    pub name: String,
    /// Its gate.
    pub gate: GateState,
    /// Why it is closed.
    pub reason: Option<Reason>,
    /// Seconds until an open gate closes by itself, if it takes every lease that we sign.
    pub lease_remaining: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Instances {
    /// What the API shows; none before it was read.
    listed: Option<BTreeSet<String>>,
    registered: BTreeMap<String, Instance>,
}

#[derive(Debug)]
struct Instance {
    instance: String,
    last_seen: Nanos,
    gone: bool,
    tmms: BTreeMap<String, Tmm>,
    trust: BTreeSet<String>,
}

#[derive(Debug)]
struct Tmm {
    name: String,
    gate: GateState,
    ends: Option<Nanos>,
}

impl Instances {
    /// Takes the list of the API; who is no longer in it is forgotten.
    pub fn list(&mut self, listed: BTreeSet<String>) {
        self.registered.retain(|namespace, _| listed.contains(namespace));
        self.listed = Some(listed);
    }

    /// Notes that the Controller of `namespace` lives.
    pub fn register(&mut self, namespace: &str, now: Nanos) -> Result<(), Refusal> {
        if let Some(instance) = self.registered.get_mut(namespace) {
            instance.last_seen = now;
            instance.gone = false;
            return Ok(());
        }
        if !self.listed.as_ref().is_some_and(|listed| listed.contains(namespace)) {
            return Err(Refusal::UnknownInstance);
        }
        if self.registered.len() >= INSTANCES {
            return Err(Refusal::Full);
        }
        let instance = Instance {
            instance: String::new(),
            last_seen: now,
            gone: false,
            tmms: BTreeMap::new(),
            trust: BTreeSet::new(),
        };
        self.registered.insert(namespace.to_owned(), instance);
        Ok(())
    }

    /// Marks a registered Controller as gone; whether there is one.
    pub fn goodbye(&mut self, namespace: &str, now: Nanos) -> bool {
        let Some(instance) = self.registered.get_mut(namespace) else { return false };
        instance.last_seen = now;
        instance.gone = true;
        true
    }

    pub fn note_instance(&mut self, namespace: &str, uid: &str) {
        if let Some(instance) = self.registered.get_mut(namespace) {
            uid.clone_into(&mut instance.instance);
        }
    }

    /// Notes the TMMs of a request; `all`: others are gone.
    pub fn note_tmms(&mut self, namespace: &str, tmms: &[TmmNonce], all: bool) {
        let Some(instance) = self.registered.get_mut(namespace) else { return };
        if all {
            instance.tmms.retain(|pod, _| tmms.iter().any(|tmm| tmm.pod == *pod));
        }
        for TmmNonce { pod, name, gate, nonce: _ } in tmms {
            if instance.tmms.len() >= TMMS && !instance.tmms.contains_key(pod) {
                break;
            }
            let tmm = Tmm { name: name.clone(), gate: *gate, ends: None };
            let known = instance.tmms.entry(pod.clone()).or_insert(tmm);
            known.gate = *gate;
        }
    }

    /// Notes which keys a Controller trusts; gives those, new in its report, that are not ours.
    pub fn note_trust<'a>(
        &mut self,
        namespace: &str,
        kids: impl Iterator<Item = &'a String>,
        published: &Jwks,
    ) -> Vec<String> {
        let Some(instance) = self.registered.get_mut(namespace) else { return Vec::new() };
        let trust: BTreeSet<String> = kids.cloned().collect();
        let ours = |kid: &str| published.kids().any(|own| own == kid);
        let foreign = trust.difference(&instance.trust).filter(|kid| !ours(kid)).cloned().collect();
        instance.trust = trust;
        foreign
    }

    /// Whether every Controller of the list has reported `kid`; not before the list was read.
    pub fn all_trust(&self, kid: &str) -> bool {
        let trusts = |namespace: &String| {
            self.registered.get(namespace).is_some_and(|instance| instance.trust.contains(kid))
        };
        self.listed.as_ref().is_some_and(|listed| listed.iter().all(trusts))
    }

    /// The registered namespaces whose trust anchor lacks `kid`.
    pub fn lacking(&self, kid: &str) -> Vec<String> {
        let lacks = |(_, instance): &(&String, &Instance)| !instance.trust.contains(kid);
        self.registered.iter().filter(lacks).map(|(namespace, _)| namespace.clone()).collect()
    }

    /// An `open` lease was signed.
    pub fn leased(&mut self, namespace: &str, pod: &str, occasion: &Occasion, now: Nanos) {
        let tmm = self.registered.get_mut(namespace).and_then(|known| known.tmms.get_mut(pod));
        if let Some(tmm) = tmm
            && tmm.gate != GateState::Latched
        {
            tmm.gate = GateState::Open;
            tmm.ends = Some(end_of(occasion, now));
        }
    }

    /// A latch was signed.
    pub fn latched(&mut self, namespace: &str) {
        for tmm in self.registered.get_mut(namespace).into_iter().flat_map(|i| i.tmms.values_mut())
        {
            tmm.gate = GateState::Latched;
            tmm.ends = None;
        }
    }

    /// A statement for everybody was signed.
    pub fn renewed(&mut self, occasion: &Occasion, now: Nanos) {
        for tmm in self.registered.values_mut().flat_map(|instance| instance.tmms.values_mut()) {
            match (tmm.gate, occasion.verdict) {
                (GateState::Open, Verdict::Block) => {
                    tmm.gate = GateState::Closed;
                    tmm.ends = None;
                }
                (GateState::Open, Verdict::Allow | Verdict::Warn) => {
                    tmm.ends = Some(end_of(occasion, now));
                }
                (GateState::Closed | GateState::Latched, _) => {}
            }
        }
    }

    pub fn view(&self, standing: &Standing, now: Nanos) -> Vec<ControllerView> {
        let tmm = |tmm: &Tmm| {
            let ended = tmm.ends.is_some_and(|ends| ends <= now);
            let gate = match tmm.gate {
                GateState::Open if ended => GateState::Closed,
                GateState::Closed | GateState::Open | GateState::Latched => tmm.gate,
            };
            let left = tmm.ends.map(|ends| ends.since(now).0 / 1_000_000_000);
            TmmView {
                name: tmm.name.clone(),
                gate,
                reason: match (gate, standing.verdict) {
                    (GateState::Open | GateState::Latched, _) => None,
                    (GateState::Closed, Verdict::Block) => Some(standing.reason),
                    (GateState::Closed, _) if ended => Some(Reason::LeaseEnded),
                    (GateState::Closed, _) => Some(Reason::NoLease),
                },
                lease_remaining: left.filter(|_| gate == GateState::Open),
            }
        };
        let view = |(namespace, instance): (&String, &Instance)| ControllerView {
            namespace: namespace.clone(),
            instance: instance.instance.clone(),
            last_seen: instance.last_seen,
            gone: instance.gone,
            tmms: instance.tmms.values().map(tmm).collect(),
        };
        self.registered.iter().map(view).collect()
    }
}

/// When a gate that takes a lease of `occasion` at `now` closes by itself.
fn end_of(occasion: &Occasion, now: Nanos) -> Nanos {
    let left = occasion
        .ends
        .map_or(occasion.ttl, |ends| ends.saturating_sub(occasion.iat).min(occasion.ttl));
    now.plus(Nanos::from_secs(left))
}

/// How many Controllers may be registered.
const INSTANCES: usize = 256;
/// How many TMMs of one Controller are listed.
const TMMS: usize = 1024;
