//! What stays the same from one configuration to the next: slots, `Arc`s, epochs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use tmm_config::config::{Config, MemberState};
use tmm_config::spec::{Method, MonitorKind, ServiceDown, Snat, Spec, VlanSet};
use tmm_config::{Facts, Health, PortFacts};
use tmm_wire::PortId;

use crate::specimen::*;

/// What one random edit leaves of the small world that specs are drawn from.
#[derive(Clone, Debug)]
struct Draw {
    vlans: Vec<(usize, bool)>,
    listeners: Vec<(usize, bool, u8, bool)>,
    members: Vec<(usize, u16, u8, u8)>,
    maglev: bool,
}

fn draw() -> impl Strategy<Value = Draw> {
    let some = |most: usize| prop::collection::btree_set(0..most, 0..most);
    (some(4), some(5), some(12), prop::collection::vec(any::<u8>(), 24), any::<bool>()).prop_map(
        |(vlans, listeners, members, dice, maglev)| Draw {
            vlans: vlans.into_iter().map(|n| (n, dice[n] % 4 == 0)).collect(),
            listeners: listeners
                .into_iter()
                .map(|n| (n, dice[4 + n] % 4 == 0, dice[9 + n] % 3, dice[14 + n] % 4 == 0))
                .collect(),
            members: members
                .into_iter()
                .map(|n| (n % 5, n as u16 / 5, dice[12 + n] % 3, dice[12 + n] / 3 % 3))
                .collect(),
            maglev,
        },
    )
}

/// The spec and the facts of a draw.
fn world(draw: &Draw) -> (Spec, Facts) {
    let mut spec = Spec { generation: 1, hash_key: 9, ..Spec::default() };
    for &(nth, other_tag) in &draw.vlans {
        let port = nth as u8 % 2 + 1;
        let tag = nth as u16 * 10 + u16::from(other_tag);
        spec.vlans.push(vlan(&format!("vlan-{nth}"), port, tag, nth as u8));
    }
    let mut facts = facts();
    for &(nth, snat, vlans, reject) in &draw.listeners {
        let name = format!("listener-{nth}");
        let pool_name = format!("pool-{nth}");
        let mut one = listener(&name, &format!("192.0.2.{nth}"), 80, &pool_name);
        one.snat = if snat { Snat::None } else { Snat::Automap };
        one.service_down = if reject { ServiceDown::Reject } else { ServiceDown::None };
        one.vlans = [VlanSet::All, only(&["vlan-0"]), only(&["vlan-1", "vlan-2"])]
            [usize::from(vlans)]
        .clone();
        spec.listeners.push(one);
        let method = if draw.maglev { Method::MaglevHash } else { Method::RoundRobin };
        let mut members = vec![];
        for &(pool, port, weight, health) in draw.members.iter().filter(|one| one.0 == nth) {
            let one = member("10.2.0.10", 8000 + port, weight);
            members.push(one);
            if let Some(&health) = [Health::Up, Health::Down].get(usize::from(health)) {
                facts.set_health(&format!("pool-{pool}"), one.address, one.port, health);
            }
        }
        let mut one = pool(&pool_name, method, members);
        one.monitors = vec![monitor(MonitorKind::Tcp)];
        spec.pools.push(one);
    }
    (spec, facts)
}

/// Slot by name, for every kind of slot.
fn named_slots(config: &Config) -> BTreeMap<String, (u32, u32)> {
    let mut slots = BTreeMap::new();
    for vlan in config.vlans() {
        slots.insert(format!("vlan {}", vlan.id), (u32::from(vlan.slot.0), vlan.since));
    }
    for listener in config.listeners() {
        slots.insert(format!("listener {}", listener.name), (listener.slot.0, listener.since));
    }
    for pool in config.pools() {
        for member in &pool.members {
            let name = format!("member {} {} {}", pool.name, member.address, member.port);
            slots.insert(name, (member.slot.0, member.since));
        }
    }
    slots
}

/// Whether flows of a listener must look, restated from the rule in the module's documentation.
fn must_look(before: &Config, after: &Config, name: &str) -> bool {
    let find = |config: &Config| {
        config.listeners().find(|listener| listener.name == name).map(Arc::clone).unwrap()
    };
    let (old, new) = (find(before), find(after));
    let ids = |config: &Config, listener: &tmm_config::config::Listener| -> BTreeSet<String> {
        let on = config.vlans().filter(|vlan| listener.vlans.contains(vlan.slot));
        on.map(|vlan| vlan.id.clone()).collect()
    };
    let down = |listener: &tmm_config::config::Listener| -> BTreeMap<u16, bool> {
        let members = listener.pool.members.iter();
        members.map(|member| (member.port, member.state == MemberState::Down)).collect()
    };
    let (old_down, new_down) = (down(&old), down(&new));
    old.snat != new.snat
        || old.service_down != new.service_down
        || !ids(before, &old).is_subset(&ids(after, &new))
        || old_down.iter().any(|(port, was_down)| new_down.get(port) != Some(was_down))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn slots_stay_with_their_names_over_any_edits(draws in prop::collection::vec(draw(), 2..8)) {
        let mut before = Config::default();
        for draw in &draws {
            let (spec, facts) = world(draw);
            let after = Config::compile(Some(&before), &spec, &facts).unwrap().config;
            prop_assert_eq!(after.generation(), before.generation() + 1);
            let (old, new) = (named_slots(&before), named_slots(&after));
            let mut taken = BTreeSet::new();
            for (name, &(slot, since)) in &new {
                let kind = name.split(' ').next().unwrap();
                prop_assert!(taken.insert((kind, slot)), "{} shares its slot", name);
                match old.get(name) {
                    Some(&before) => prop_assert_eq!(before, (slot, since), "{}", name),
                    None => prop_assert_eq!(since, after.generation(), "{}", name),
                }
            }
            for (name, &(slot, _)) in &old {
                // A slot rests for a generation before something else gets it.
                let kind = name.split(' ').next().unwrap();
                let heir = new.iter().find(|(heir, taken)| heir.starts_with(kind) && taken.0 == slot);
                prop_assert!(heir.is_none_or(|(heir, _)| heir == name), "{} -> {:?}", name, heir);
            }
            before = after;
        }
    }

    #[test]
    fn epoch_rises_exactly_when_flows_must_look(draws in prop::collection::vec(draw(), 2..6)) {
        let mut before = Config::default();
        for draw in &draws {
            let (spec, facts) = world(draw);
            let after = Config::compile(Some(&before), &spec, &facts).unwrap().config;
            for listener in after.listeners() {
                let old = before.listeners().find(|old| old.name == listener.name);
                let rose = listener.epoch == after.generation();
                match old {
                    None => prop_assert!(rose && listener.since == after.generation()),
                    Some(old) => {
                        let must = must_look(&before, &after, &listener.name);
                        prop_assert_eq!(rose, must, "{}", listener.name);
                        prop_assert!(rose || listener.epoch == old.epoch);
                    }
                }
            }
            let gone_or_changed = before.vlans().any(|old| {
                let new = after.vlans().find(|new| new.id == old.id);
                new.is_none_or(|new| new.tag != old.tag || new.port != old.port)
            });
            prop_assert_eq!(after.vlans_epoch() == after.generation(), gone_or_changed);
            before = after;
        }
    }

    #[test]
    fn what_did_not_change_keeps_its_arc(first in draw(), second in draw()) {
        let (spec, facts) = world(&first);
        let one = Config::compile(None, &spec, &facts).unwrap().config;
        let same = Config::compile(Some(&one), &spec, &facts).unwrap().config;
        for (a, b) in one.listeners().zip(same.listeners()) {
            prop_assert!(Arc::ptr_eq(a, b));
        }
        for (a, b) in one.pools().zip(same.pools()) {
            prop_assert!(Arc::ptr_eq(a, b));
        }
        for (a, b) in one.vlans().zip(same.vlans()) {
            prop_assert!(Arc::ptr_eq(a, b));
        }
        prop_assert!(Arc::ptr_eq(one.routes(), same.routes()));
        prop_assert_eq!(same.routes_epoch(), one.routes_epoch());

        // And after any other edit: what is equal is the same.
        let (spec, facts) = world(&second);
        let other = Config::compile(Some(&same), &spec, &facts).unwrap().config;
        for new in other.listeners() {
            let old = same.listeners().find(|old| old.name == new.name);
            prop_assert!(old.is_none_or(|old| old != new || Arc::ptr_eq(old, new)));
        }
        for new in other.pools() {
            let old = same.pools().find(|old| old.name == new.name);
            prop_assert!(old.is_none_or(|old| old != new || Arc::ptr_eq(old, new)));
        }
    }

    /// crds.md §5.6 rule 5: the result depends on the set of objects, not on their order.
    #[test]
    fn order_of_the_lists_does_not_matter(first in draw(), second in draw()) {
        let (spec, facts) = world(&first);
        let before = Config::compile(None, &spec, &facts).unwrap().config;
        let (spec, facts) = world(&second);
        let mut reversed = spec.clone();
        reversed.vlans.reverse();
        reversed.listeners.reverse();
        reversed.pools.reverse();
        reversed.routes.reverse();
        let one = Config::compile(Some(&before), &spec, &facts).unwrap().config;
        let other = Config::compile(Some(&before), &reversed, &facts).unwrap().config;
        prop_assert_eq!(named_slots(&one), named_slots(&other));
        prop_assert!(one.listeners().eq(other.listeners()));
        prop_assert!(one.pools().eq(other.pools()));
        prop_assert!(one.vlans().eq(other.vlans()));
        prop_assert_eq!(one.routes(), other.routes());
    }
}

#[test]
fn changed_health_keeps_every_other_pool_and_table() {
    let mut spec = spec();
    spec.pools[1].monitors = vec![monitor(MonitorKind::Tcp)];
    let one = compile(None, &spec);
    let mut facts = facts();
    facts.set_health("core-web-v6", ip("2001:db8:2::10"), 8080, Health::Up);
    let two = Config::compile(Some(&one), &spec, &facts).unwrap().config;
    let (first, second) = (one.pools().next().unwrap(), two.pools().next().unwrap());
    assert!(Arc::ptr_eq(first, second));
    let changed = two.listeners().find(|one| one.name == "core-web-tcp-v6").unwrap();
    assert_eq!(changed.pool.members[0].state, MemberState::Up);
    assert_ne!(changed.epoch, two.generation(), "from checking to up is nothing to flows");
}

#[test]
fn maglev_table_is_kept_while_its_members_and_weights_are() {
    let spec = spec();
    let one = compile(None, &spec);
    let table = |config: &Config| config.pools().next().unwrap().maglev.clone().unwrap();
    let mut monitored = spec.clone();
    monitored.pools[0].monitors = vec![monitor(MonitorKind::Icmp)];
    let mut facts = facts();
    for member in &spec.pools[0].members {
        facts.set_health("core-web-v4", member.address, member.port, Health::Up);
    }
    let two = Config::compile(Some(&one), &monitored, &facts).unwrap().config;
    assert!(Arc::ptr_eq(&table(&one), &table(&two)), "the pool changed, its table did not");
    monitored.pools[0].members[0].weight = 2;
    let three = Config::compile(Some(&two), &monitored, &facts).unwrap().config;
    assert!(!Arc::ptr_eq(&table(&two), &table(&three)));
    let mut other_key = monitored.clone();
    other_key.hash_key += 1;
    let four = Config::compile(Some(&three), &other_key, &facts).unwrap().config;
    assert_ne!(table(&three), table(&four));
}

/// New values of time-outs, limits and monitors hold for existing flows at once (they read the
/// slot), so nothing has to look.
#[test]
fn changed_timeouts_are_in_the_slot_and_raise_no_epoch() {
    let mut spec = spec();
    let one = compile(None, &spec);
    spec.listeners[0].idle_timeout = 7;
    spec.pools[0].members.push(member("10.2.0.12", 8080, 1));
    let two = compile(Some(&one), &spec);
    let old = one.listeners().next().unwrap();
    let new = two.listener(old.slot).unwrap();
    assert_eq!((new.idle_timeout, new.epoch), (7, old.epoch));
}

#[test]
fn route_change_raises_the_routes_epoch_alone() {
    let mut spec = spec();
    let one = compile(None, &spec);
    spec.routes.pop();
    let two = compile(Some(&one), &spec);
    assert_eq!(two.routes_epoch(), two.generation());
    assert_eq!(two.vlans_epoch(), one.vlans_epoch());
    assert!(two.listeners().all(|listener| listener.epoch == one.generation()));
}

#[test]
fn link_that_goes_down_changes_nothing_for_flows() {
    let one = compile(None, &spec());
    let mut facts = facts();
    facts.ports.insert(PortId(0), PortFacts { max_mtu: 9004, link_up: false });
    let two = Config::compile(Some(&one), &spec(), &facts).unwrap().config;
    assert!(one.vlans().zip(two.vlans()).all(|(a, b)| Arc::ptr_eq(a, b)));
    assert_eq!(two.vlans_epoch(), one.vlans_epoch());
}
