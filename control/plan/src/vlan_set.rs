//! `vlans` blocks: lists, categories and their inversion to sets of VLANs (crds.md §3.4.2).

use std::collections::BTreeSet;

use spk_api::Path;
use spk_api::ingress::Vlans;
use tmm_config::spec::VlanSet;

use crate::board::Board;
use crate::outcome::{Dangling, DanglingReason};

/// A set as configuration carries it, with the VLANs that are in it now.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// As configuration carries it.
    pub set: VlanSet,
    /// VLANs in force that it holds.
    pub now: BTreeSet<String>,
}

/// Resolves a block at `at`; names that lead nowhere are added to `dangling`.
///
/// `inverted` is what an absent disableListedVlans means.
pub(crate) fn resolve(
    block: Option<&Vlans>,
    inverted: bool,
    board: &Board,
    at: &Path,
    dangling: &mut Vec<Dangling>,
) -> Resolved {
    let all = || board.vlans.keys().cloned().collect::<BTreeSet<_>>();
    let Some(block) = block.filter(|block| !block.is_empty()) else {
        return Resolved { set: VlanSet::All, now: all() };
    };
    let mut listed = BTreeSet::new();
    for (index, name) in block.vlan_list.iter().enumerate() {
        if board.vlans.contains_key(name) {
            listed.insert(name.clone());
        } else {
            let at = at.field("vlanList").index(index);
            dangling.push(not_found(at, name, "is no F5SPKVlan in force"));
        }
    }
    if let Some(category) = &block.category {
        let in_category = board
            .vlans
            .iter()
            .filter(|(_, vlan)| vlan.resource.category.as_ref() == Some(category));
        let before = listed.len();
        let mut found = false;
        for (name, _) in in_category {
            found = true;
            listed.insert(name.clone());
        }
        if !found && listed.len() == before {
            let at = at.field("category");
            dangling.push(not_found(at, category, "is the category of no F5SPKVlan in force"));
        }
    }
    let ids = listed.iter().cloned().collect();
    if block.disable_listed_vlans.unwrap_or(inverted) {
        let now = all().difference(&listed).cloned().collect();
        Resolved { set: VlanSet::AllBut(ids), now }
    } else {
        Resolved { set: VlanSet::Only(ids), now: listed }
    }
}

impl Resolved {
    /// A VLAN that both sets hold. Two sets that wait for any VLAN at all share one as well.
    pub fn shared(&self, other: &Self) -> Option<String> {
        if let Some(vlan) = self.now.intersection(&other.now).next() {
            return Some(vlan.clone());
        }
        let unbounded = |set: &VlanSet| matches!(set, VlanSet::All);
        (unbounded(&self.set) && unbounded(&other.set)).then(|| "*".to_owned())
    }
}

/// What of the block at `at` has no effect, in words.
pub(crate) fn ignored(block: Option<&Vlans>, at: &Path) -> Option<String> {
    let block = block.filter(|block| block.is_empty())?;
    let value = block.disable_listed_vlans?;
    let at = at.field("disableListedVlans");
    Some(format!("{at}: {value} has no effect without vlanList or category"))
}

fn not_found(path: Path, name: &str, problem: &str) -> Dangling {
    Dangling {
        reason: DanglingReason::VlanNotFound,
        path,
        name: name.to_owned(),
        problem: problem.to_owned(),
        fix: "create the F5SPKVlan or correct the name".to_owned(),
    }
}
