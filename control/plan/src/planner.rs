//! The order of decisions: VLANs, routes, egress, ingress; in each the older object first.
//!
//! An object that is refused keeps its last accepted version in force, if that still fits beside
//! what is on the board (crds.md §4.2 rule 4). The outcome depends on the set of inputs alone.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use spk_api::{Home, Kind, Manifest, ObjectId, Path, Problem, Reason, Resource};
use tmm_config::Spec;

use crate::board::{Board, Part};
use crate::inputs::{Inputs, Memory};
use crate::members::Cluster;
use crate::outcome::{InForce, ObjectPlan, Plan, Verdict};
use crate::{digest, egress, ingress_kinds, routes, unsupported, vlans};

/// Decides on every object and makes the configuration of every replica.
#[must_use]
pub fn plan(inputs: &Inputs) -> Plan {
    let planner = Planner { inputs, cluster: Cluster::new(inputs) };
    let remembered: BTreeMap<_, _> =
        inputs.memory.accepted.iter().map(|manifest| (&manifest.id, manifest)).collect();
    let mut candidates: Vec<_> = current(inputs).into_values().collect();
    candidates.sort_by_key(|manifest| (turn(manifest.id.kind), age(manifest)));

    let mut board = Board::default();
    let mut plan = Plan::default();
    let mut digests = BTreeMap::new();
    for manifest in candidates {
        let decided = planner.decide(manifest, remembered.get(&manifest.id).copied(), &board);
        board.put(&manifest.id, &decided.part);
        digests.insert(manifest.id.clone(), collect(&decided.part, &mut plan.spec));
        plan.warnings.extend(decided.part.warnings.iter().cloned());
        plan.memory.accepted.extend(decided.accepted.cloned());
        let object = object_plan(manifest, decided);
        plan.objects.insert(manifest.id.clone(), object);
    }
    plan.warnings.sort();
    plan.warnings.dedup();
    plan.memory.accepted.sort_by(|a, b| a.id.cmp(&b.id));
    plan.spec.ready_replicas = ready(inputs);
    plan.spec.hash_key = mix(digest::bytes(inputs.cluster_uid.as_bytes()));
    sort(&mut plan.spec);
    revise(&mut plan, &inputs.memory, digests);
    plan
}

struct Planner<'a> {
    inputs: &'a Inputs,
    cluster: Cluster<'a>,
}

/// What came of one object.
struct Decided<'a> {
    part: Part,
    problems: Vec<Problem>,
    /// The last accepted version, in force or not.
    accepted: Option<&'a Manifest>,
    which: InForce,
}

impl Planner<'_> {
    fn decide<'m>(
        &self,
        manifest: &'m Manifest,
        previous: Option<&'m Manifest>,
        board: &Board,
    ) -> Decided<'m> {
        let part = self.attempt(manifest, board);
        if part.problems.is_empty() {
            let which = InForce::Current;
            return Decided { part, problems: Vec::new(), accepted: Some(manifest), which };
        }
        let Part { problems, dangling, .. } = part;
        // A stranger in this namespace is not judged by what it was before.
        let misplaced = problems.iter().any(|problem| problem.reason == Reason::WrongNamespace);
        let previous = previous.filter(|_| !misplaced);
        let fallback = previous.map(|previous| self.attempt(previous, board));
        let (part, which) = match fallback.filter(|part| part.problems.is_empty()) {
            Some(part) => (part, InForce::Previous),
            None => (Part::default(), InForce::Nothing),
        };
        // Conditions speak of the current object; only its references can tell if it was readable.
        let dangling = if manifest.content.is_ok() { dangling } else { part.dangling };
        Decided { part: Part { dangling, ..part }, problems, accepted: previous, which }
    }

    fn attempt(&self, manifest: &Manifest, board: &Board) -> Part {
        let id = &manifest.id;
        let refused = |problems| Part { problems, ..Part::default() };
        if let Some(problem) = self.misplaced(id) {
            return refused(vec![problem]);
        }
        match &manifest.content {
            Err(problems) => refused(problems.clone()),
            Ok(Resource::Vlan(spec)) => vlans::attempt(id, spec, self.inputs.default_mtu, board),
            Ok(Resource::StaticRoute(spec)) => routes::attempt(id, spec, board),
            Ok(Resource::Egress(spec)) => egress::attempt(id, spec, board),
            Ok(Resource::IngressTcp(object)) => {
                ingress_kinds::tcp(id, object, board, &self.cluster)
            }
            Ok(Resource::IngressUdp(object)) => {
                ingress_kinds::udp(id, object, board, &self.cluster)
            }
            Ok(Resource::IngressNgap(object)) => {
                ingress_kinds::ngap(id, object, board, &self.cluster)
            }
            Ok(Resource::Later(_)) => refused(unsupported::kind(id.kind)),
        }
    }

    /// A kind in the wrong one of the two kinds of namespace (CHK-014).
    fn misplaced(&self, id: &ObjectId) -> Option<Problem> {
        let in_tmm = id.namespace == self.inputs.tmm_namespace;
        let in_app = self.inputs.watched.contains(&id.namespace);
        let home = match id.kind.home() {
            Home::Tmm if !in_tmm => self.inputs.tmm_namespace.clone(),
            Home::App if !in_app && self.inputs.watched.is_empty() => {
                "a watched namespace".to_owned()
            }
            Home::App if !in_app => {
                self.inputs.watched.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
            }
            Home::Tmm | Home::App | Home::Both => return None,
        };
        let problem = format!("{} belongs in {home}", id.kind);
        let at = Path::of("metadata.namespace");
        let problem = Problem::invalid(&at, "R-NAMESPACE", problem, "move it");
        Some(problem.because(Reason::WrongNamespace))
    }
}

/// The objects of our namespaces, one per name.
fn current(inputs: &Inputs) -> BTreeMap<&ObjectId, &Manifest> {
    let mut objects: BTreeMap<&ObjectId, &Manifest> = BTreeMap::new();
    let ours = |id: &ObjectId| {
        id.namespace == inputs.tmm_namespace || inputs.watched.contains(&id.namespace)
    };
    for manifest in inputs.objects.iter().filter(|manifest| ours(&manifest.id)) {
        let newer = |known: &&Manifest| {
            // Any total order will do where the generation does not decide.
            let rank = |m: &Manifest| (m.meta.generation, contents(m), digest::of(&m.meta));
            rank(manifest) > rank(known)
        };
        if objects.get(&manifest.id).is_none_or(newer) {
            objects.insert(&manifest.id, manifest);
        }
    }
    objects
}

/// The replicas that share the VIPs; empty where one is alone (crds.md §5.9).
fn ready(inputs: &Inputs) -> Vec<u16> {
    let mut ready: Vec<_> = match inputs.replicas.as_slice() {
        [] | [_] => Vec::new(),
        many => many.iter().filter(|replica| replica.ready).map(|replica| replica.index).collect(),
    };
    ready.sort_unstable();
    ready.dedup();
    ready
}

/// Infrastructure is decided before what stands on it.
const fn turn(kind: Kind) -> u8 {
    match kind {
        Kind::F5SPKVlan => 0,
        Kind::F5SPKStaticRoute => 1,
        Kind::F5SPKEgress => 2,
        Kind::F5SPKIngressTCP
        | Kind::F5SPKIngressUDP
        | Kind::F5SPKIngressNGAP
        | Kind::F5SPKIngressEgressUDP
        | Kind::F5SPKIngressGTP
        | Kind::F5SPKIngressHTTP2
        | Kind::F5SPKIngressDiameter
        | Kind::F5SPKDnscache
        | Kind::F5SPKSnatpool
        | Kind::F5SPKAddressList
        | Kind::F5SPKPortList => 3,
    }
}

/// creationTimestamp, then namespace/name (crds.md §5.5 rule 2); without one, by name alone.
fn age(manifest: &Manifest) -> (bool, Option<&Time>, &str, &str, Kind) {
    let created = manifest.meta.creation_timestamp.as_ref();
    let id = &manifest.id;
    (created.is_none(), created, &id.namespace, &id.name, id.kind)
}

fn object_plan(manifest: &Manifest, decided: Decided<'_>) -> ObjectPlan {
    let Decided { part, problems, accepted, which } = decided;
    let resolved = match part.dangling.first() {
        None => Verdict::yes("ResolvedRefs"),
        Some(first) => Verdict::no(
            first.reason.as_str(),
            part.dangling.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
        ),
    };
    let verdict = match problems.first() {
        None => Verdict::yes("Accepted"),
        Some(first) => {
            let mut message = problems.iter().map(Problem::message).collect::<Vec<_>>().join(" | ");
            if let (InForce::Previous, Some(previous)) = (which, accepted) {
                let generation = previous.meta.generation.unwrap_or_default();
                message.push_str(&format!("; generation {generation} stays in force"));
            }
            Verdict::no(first.reason.as_str(), message)
        }
    };
    ObjectPlan {
        generation: manifest.meta.generation,
        accepted: verdict,
        resolved,
        problems,
        dangling: part.dangling,
        in_force: which,
        vips: part.vips,
        port: part.port,
        members: part.members,
        lists: part.lists,
        since: 0,
        contents: contents(manifest),
    }
}

/// Digest of what an edit can change.
fn contents(manifest: &Manifest) -> u64 {
    match &manifest.content {
        Ok(_) => {
            let mut value = manifest.to_value().unwrap_or_default();
            if let Some(object) = value.as_object_mut() {
                object.remove("metadata");
            }
            digest::of(&value)
        }
        Err(problems) => digest::of(problems),
    }
}

/// Moves a part into the configuration; the answer is its digest.
fn collect(part: &Part, spec: &mut Spec) -> u64 {
    let mut own = Spec::default();
    own.vlans.extend(part.vlan.iter().map(|vlan| vlan.spec.clone()));
    own.routes.extend(part.routes.iter().cloned());
    own.egresses.extend(part.egress.iter().map(|(egress, _)| egress.clone()));
    own.listeners.extend(part.listeners.iter().map(|(listener, _)| listener.clone()));
    own.pools.extend(part.pools.iter().cloned());
    let digest = digest::bytes(&own.encode());
    spec.vlans.append(&mut own.vlans);
    spec.routes.append(&mut own.routes);
    spec.egresses.append(&mut own.egresses);
    spec.listeners.append(&mut own.listeners);
    spec.pools.append(&mut own.pools);
    digest
}

/// The canonical order of every list (tmm_config::spec).
fn sort(spec: &mut Spec) {
    spec.vlans.sort_by(|a, b| a.id.cmp(&b.id));
    spec.routes.sort();
    spec.egresses.sort_by(|a, b| a.name.cmp(&b.name));
    spec.listeners.sort_by(|a, b| a.name.cmp(&b.name));
    spec.pools.sort_by(|a, b| a.name.cmp(&b.name));
}

/// Gives the configuration its revision, and each object the one since which its part is as it is.
fn revise(plan: &mut Plan, before: &Memory, digests: BTreeMap<ObjectId, u64>) {
    let digest = digest::bytes(&plan.spec.encode());
    let same = before.generation != 0 && before.digest == digest;
    let generation = if same { before.generation } else { before.generation + 1 };
    plan.spec.generation = generation;
    plan.memory.generation = generation;
    plan.memory.digest = digest;
    for (id, digest) in digests {
        let since = match before.since.get(&id) {
            Some((known, since)) if *known == digest => *since,
            Some(_) | None => generation,
        };
        if let Some(object) = plan.objects.get_mut(&id) {
            object.since = since;
        }
        plan.memory.since.insert(id, (digest, since));
    }
}

/// Spreads a digest over all 64 bits (the finalizer of MurmurHash3).
const fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}
