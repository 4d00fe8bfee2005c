//! F5SPKEgress to an egress: rules R-EG-3, R-EG-4, R-EG-5 (crds.md §13).
//!
//! R-EG-1 and R-EG-2 are about DNS46 and NAT64, which [`crate::unsupported`] refuses.

use spk_api::egress::EgressSpec as Resource;
use spk_api::ingress::SourceTranslation;
use spk_api::{ObjectId, Path, Problem, Reason};
use tmm_config::spec::{EgressSpec, Snat};

use crate::board::{Board, Part, Table, object_ref};
use crate::event::Event;
use crate::outcome::{Dangling, DanglingReason};
use crate::{unsupported, vlan_set};

/// What the egress asks for. Refused for functions of later builds, and for a VLAN that another egress
/// in force takes packets from.
pub(crate) fn attempt(id: &ObjectId, resource: &Resource, board: &Board) -> Part {
    let mut problems = unsupported::egress(resource);
    let mut part = Part::default();
    let at = Path::of("spec.vlans");
    let vlans = vlan_set::resolve(resource.vlans.as_ref(), true, board, &at, &mut part.dangling);
    for other in &board.egresses {
        if let Some(vlan) = vlans.shared(&other.vlans) {
            let problem = format!("egress on vlan {vlan} is owned by {}", other.owner);
            let conflict = Problem::invalid(&at, "R-EG-3", problem, "change vlans");
            problems.push(conflict.because(Reason::Conflict));
        }
    }
    part.problems = problems;
    exits(&vlans.now, board, &mut part.dangling);
    part.warnings = warnings(id, resource);
    let spec = EgressSpec {
        name: board.name(
            Table::Egresses,
            id,
            &format!("{}-{}-egress", id.namespace, id.name),
            "egress",
        ),
        object: object_ref(id),
        vlans: vlans.set.clone(),
        dual_stack: resource.dual_stack_enabled,
        snat: match resource.snat_type {
            SourceTranslation::None => Snat::None,
            // The pool was refused above.
            SourceTranslation::Automap | SourceTranslation::Snatpool => Snat::Automap,
        },
        tcp_idle_timeout: resource.tcp_idle_timeout,
        udp_idle_timeout: resource.udp_idle_timeout,
        icmp_idle_timeout: resource.icmp_idle_timeout,
    };
    part.egress = Some((spec, vlans));
    part
}

/// R-EG-5: a VLAN to take pods from and one to leave by.
fn exits(taken: &std::collections::BTreeSet<String>, board: &Board, out: &mut Vec<Dangling>) {
    let missing = if taken.is_empty() {
        "to take pods from"
    } else if board.vlans.len() < 2 {
        "to leave by"
    } else {
        return;
    };
    out.push(Dangling {
        reason: DanglingReason::VlanNotFound,
        path: Path::of("spec.vlans"),
        name: format!("a VLAN {missing}"),
        problem: "does not exist".to_owned(),
        fix: "create the F5SPKVlan or change vlans".to_owned(),
    });
}

/// R-EG-4, and what is accepted without effect.
fn warnings(id: &ObjectId, resource: &Resource) -> Vec<Event> {
    let mut warnings = Vec::new();
    let mut ignored = |message: String| {
        warnings.push(Event::warning(id, "ValueIgnored", message));
    };
    if let Some(pool) = &resource.egress_snatpool
        && resource.snat_type != SourceTranslation::Snatpool
    {
        let kind = resource.snat_type;
        ignored(format!("spec.egressSnatpool: {pool} has no effect with snatType {kind}"));
    }
    if resource.log_profile.is_some() {
        ignored("spec.logProfile: has no effect".to_owned());
    }
    vlan_set::ignored(resource.vlans.as_ref(), &Path::of("spec.vlans"))
        .into_iter()
        .for_each(ignored);
    let implicit = resource
        .vlans
        .as_ref()
        .is_some_and(|vlans| !vlans.is_empty() && vlans.disable_listed_vlans.is_none());
    if implicit {
        let message = "spec.vlans.disableListedVlans: absent, so the VLANs listed are those where \
                       pod traffic is not taken; set it to say which is meant";
        warnings.push(Event::warning(id, "ImplicitDenyList", message.to_owned()));
    }
    warnings
}
