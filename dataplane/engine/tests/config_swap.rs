//! A configuration change takes effect between two bursts and costs unconcerned flows nothing
//! (crds.md §5.6; architecture.md §3.1, Configuration). Under ports this is shown by the packet
//! suites; here every edit of a random history is followed by a packet of every flow.

mod rig;

use std::collections::BTreeMap;

use proptest::prelude::*;
use rig::craft::{ACK, CLIENT, ROUTER, SERVER, SYN, Tcp, end};
use rig::{Rig, Seen, spec};
use tmm_config::spec::{Method, MonitorKind, NextHopSpec, ServiceDown, Snat, VlanSet};
use tmm_config::{Health, Spec};
use tmm_wire::Protocol;

/// Listeners 0 to 3 are left alone, the others are edited.
const KEPT: usize = 4;
const GATEWAY: &str = "10.1.0.201";
const OTHER_GATEWAY: &str = "10.1.0.202";

fn base() -> Spec {
    let mut spec = spec::vlans();
    for (protocol, vip, member, snat) in [
        (Protocol::Tcp, "192.0.2.10:80", "10.2.0.11:8080", Snat::Automap),
        (Protocol::Udp, "192.0.2.10:53", "10.2.0.11:5353", Snat::None),
        (Protocol::Tcp, "[2001:db8:f::10]:80", "[2001:db8:2::11]:8080", Snat::None),
        (Protocol::Udp, "[2001:db8:f::10]:53", "[2001:db8:2::11]:5353", Snat::Automap),
    ] {
        let at = spec::listen(&mut spec, protocol, vip, &[member]);
        spec.listeners[at].snat = snat;
        // Whatever the member's fate would be, these members have none.
        spec.listeners[at].service_down = ServiceDown::Reject;
    }
    spec::egress(&mut spec);
    spec::route(&mut spec, "203.0.113.0/24", GATEWAY);
    spec
}

fn ready(spec: &Spec) -> Rig {
    let mut rig = Rig::new(spec);
    rig.tick();
    for address in ["10.2.0.11", "10.2.0.12", "2001:db8:2::11"] {
        rig.introduce(&SERVER, address);
    }
    rig.introduce(&CLIENT, GATEWAY);
    rig.introduce(&ROUTER, OTHER_GATEWAY);
    rig
}

/// What an operator may do to the rest of the configuration while flows run.
#[derive(Clone, Debug)]
enum Edit {
    AddListener(u8, Protocol, Method),
    RemoveListener(u8),
    Members(u8, u8),
    Health(u8, bool),
    Timeouts(u16),
    Monitors(bool),
    AddMember(usize),
    Route(u8),
    DefaultRoute(bool),
    AddVlan(u16),
    RemoveVlan,
    OtherVlans(u8),
    EgressTimeouts(u16),
    ReadyReplicas(u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    let protocol = prop::sample::select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    let method = prop::sample::select(vec![
        Method::RoundRobin,
        Method::LeastConnections,
        Method::RatioMember,
        Method::MaglevHash,
    ]);
    prop_oneof![
        (0..4_u8, protocol, method).prop_map(|(n, p, m)| Edit::AddListener(n, p, m)),
        (0..4_u8).prop_map(Edit::RemoveListener),
        (0..4_u8, 0..8_u8).prop_map(|(n, set)| Edit::Members(n, set)),
        (0..4_u8, any::<bool>()).prop_map(|(n, up)| Edit::Health(n, up)),
        (60..600_u16).prop_map(Edit::Timeouts),
        any::<bool>().prop_map(Edit::Monitors),
        (0..KEPT).prop_map(Edit::AddMember),
        (0..4_u8).prop_map(Edit::Route),
        any::<bool>().prop_map(Edit::DefaultRoute),
        (30..34_u16).prop_map(Edit::AddVlan),
        Just(Edit::RemoveVlan),
        (0..4_u8).prop_map(Edit::OtherVlans),
        (60..600_u16).prop_map(Edit::EgressTimeouts),
        (0..4_u8).prop_map(Edit::ReadyReplicas),
    ]
}

/// Applies an edit; those that make no sense now do nothing.
fn apply(edit: &Edit, spec: &mut Spec, rig: &mut Rig) {
    let name = |n: u8| format!("spk-app-other{n}");
    let at = |spec: &Spec, n: u8| spec.listeners.iter().position(|one| one.name == name(n));
    match *edit {
        Edit::AddListener(n, protocol, method) => {
            if at(spec, n).is_none() {
                let vip = format!("192.0.2.{}:80", 20 + n);
                let at = spec::listen(spec, protocol, &vip, &["10.2.0.11:9", "10.2.0.12:9"]);
                spec.listeners[at].name = name(n);
                spec.listeners[at].pool = name(n);
                spec.pools[at].name = name(n);
                spec.pools[at].method = method;
                spec.pools[at].monitors = vec![spec::monitor(MonitorKind::Icmp)];
            }
        }
        Edit::RemoveListener(n) => {
            if let Some(at) = at(spec, n) {
                spec.listeners.remove(at);
                spec.pools.remove(at);
            }
        }
        Edit::Members(n, set) => {
            if let Some(at) = at(spec, n) {
                let members = (0..3).filter(|bit| set >> bit & 1 == 1);
                let members = members.map(|bit| spec::member(&format!("10.2.0.{}:9", 11 + bit)));
                spec.pools[at].members = members.collect();
            }
        }
        Edit::Health(n, up) => {
            let (address, port) = end("10.2.0.11:9");
            let health = if up { Health::Up } else { Health::Down };
            rig.facts.set_health(&name(n), address, port, health);
        }
        Edit::Timeouts(seconds) => {
            spec.listeners.iter_mut().for_each(|one| one.idle_timeout = seconds.into());
        }
        Edit::Monitors(on) => {
            for pool in &mut spec.pools[..KEPT] {
                pool.monitors = on.then(|| spec::monitor(MonitorKind::Icmp)).into_iter().collect();
            }
        }
        Edit::AddMember(at) => {
            let more = if at < 2 { "10.2.0.12:7" } else { "[2001:db8:2::11]:7" };
            if spec.pools[at].members.len() == 1 {
                spec.pools[at].members.push(spec::member(more));
            }
        }
        Edit::Route(n) => {
            let prefix = format!("198.51.{n}.0/24");
            if !spec.routes.iter().any(|route| route.prefix.to_string() == prefix) {
                spec::route(spec, &prefix, OTHER_GATEWAY);
            }
        }
        Edit::DefaultRoute(blackhole) => {
            spec.routes.retain(|route| route.prefix.prefix_len() > 0);
            if blackhole {
                spec::route_by(spec, "0.0.0.0/0", NextHopSpec::Blackhole);
            } else {
                spec::route(spec, "0.0.0.0/0", OTHER_GATEWAY);
            }
        }
        Edit::AddVlan(tag) => {
            if spec.vlans.len() == 2 {
                let net = u8::try_from(tag).expect("a small tag");
                spec.vlans.push(spec::vlan("vlan-other", tag, "1.1", net));
            }
        }
        Edit::RemoveVlan => spec.vlans.truncate(2),
        Edit::OtherVlans(n) => {
            if let Some(at) = at(spec, n) {
                spec.listeners[at].vlans = VlanSet::Only(vec![spec::OUTSIDE.to_owned()]);
            }
        }
        Edit::EgressTimeouts(seconds) => {
            spec.egresses[0].tcp_idle_timeout = seconds.into();
            spec.egresses[0].udp_idle_timeout = seconds.into();
        }
        Edit::ReadyReplicas(n) => spec.ready_replicas = (0..=n.into()).collect(),
    }
}

/// Two packets of one flow as its ends send them, and what must come out for each.
struct Pair {
    client: (rig::Station, String, String),
    member: (rig::Station, String, String),
    is_tcp: bool,
}

/// Probes and questions for neighbours are no business of the flows'.
fn forwarded(seen: Vec<Seen>) -> Vec<Seen> {
    let is_flow = |seen: &Seen| seen.is_ip() && matches!(seen.protocol(), 6 | 17);
    seen.into_iter().filter(is_flow).collect()
}

fn frame(station: &rig::Station, from: &str, to: &str, tcp: Option<Tcp<'_>>) -> Vec<u8> {
    match tcp {
        Some(segment) => station.tcp(from, to, segment),
        None => station.udp(from, to, b"steady"),
    }
}

fn seg(flags: u8, seq: u32, ack: u32) -> Tcp<'static> {
    Tcp { flags, seq, ack, payload: b"" }
}

/// Opens a flow and learns its translation.
fn open(rig: &mut Rig, station: rig::Station, from: &str, to: &str, is_tcp: bool) -> Pair {
    let far = if station.port == 0 { SERVER } else { CLIENT };
    let first = frame(&station, from, to, is_tcp.then(|| seg(SYN, 999, 0)));
    let seen = forwarded(rig.send(&station, first));
    let [out] = &seen[..] else { panic!("{from} to {to}: {seen:?}") };
    let (source, member) = (out.from(), out.to());
    if is_tcp {
        let second = far.tcp(&member, &source, seg(SYN | ACK, 4999, 1000));
        assert_eq!(forwarded(rig.send(&far, second)).len(), 1);
        let third = station.tcp(from, to, seg(ACK, 1000, 5000));
        assert_eq!(forwarded(rig.send(&station, third)).len(), 1);
    }
    Pair {
        client: (station, from.to_owned(), to.to_owned()),
        member: (far, member, source),
        is_tcp,
    }
}

/// A packet each way must come out, translated as before.
fn check(rig: &mut Rig, pair: &Pair) {
    let (near, client, vip) = &pair.client;
    let (far, member, source) = &pair.member;
    for (station, from, to, new_from, new_to, numbers) in [
        (near, client, vip, source, member, (1000, 5000)),
        (far, member, source, vip, client, (5000, 1000)),
    ] {
        let tcp = pair.is_tcp.then(|| seg(ACK, numbers.0, numbers.1));
        let seen = forwarded(rig.send(station, frame(station, from, to, tcp)));
        let [out] = &seen[..] else { panic!("{from} to {to} gave {seen:?}") };
        assert_eq!((&out.from(), &out.to()), (new_from, new_to));
        assert!(out.checksums_are_right());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn edits_of_anything_else_lose_no_packet_of_a_flow(
        history in prop::collection::vec(prop::collection::vec(edit(), 1..4), 1..16),
        idle in prop::collection::vec(0..3000_u64, 16),
    ) {
        let mut spec = base();
        let mut rig = ready(&spec);
        let pairs = [
            open(&mut rig, CLIENT, "10.1.0.100:4000", "192.0.2.10:80", true),
            open(&mut rig, CLIENT, "10.1.0.101:4000", "192.0.2.10:80", true),
            open(&mut rig, CLIENT, "10.1.0.100:4000", "192.0.2.10:53", false),
            open(&mut rig, CLIENT, "[2001:db8:1::100]:4000", "[2001:db8:f::10]:80", true),
            open(&mut rig, CLIENT, "[2001:db8:1::100]:4000", "[2001:db8:f::10]:53", false),
            open(&mut rig, SERVER, "10.2.0.50:4000", "203.0.113.9:443", true),
            open(&mut rig, SERVER, "10.2.0.50:4000", "203.0.113.9:53", false),
        ];
        for (edits, idle) in history.iter().zip(idle) {
            let generation = rig.config.generation();
            for edit in edits {
                apply(edit, &mut spec, &mut rig);
                rig.configure(&spec);
            }
            prop_assert_eq!(rig.config.generation() as usize, generation as usize + edits.len());
            rig.pass(idle);
            for pair in &pairs {
                check(&mut rig, pair);
            }
        }
        prop_assert_eq!(rig.worker.flows().len() as usize, pairs.len());
    }
}

/// crds.md §5.6 rule 2: an edit of the flow's own listener holds for new flows; the old ones keep
/// member and translation.
#[test]
fn edit_of_a_listener_holds_for_new_flows_and_old_ones_keep_theirs() {
    let mut spec = base();
    let mut rig = ready(&spec);
    let old = open(&mut rig, CLIENT, "10.1.0.100:4000", "192.0.2.10:80", true);
    assert_eq!((old.member.1.as_str(), old.member.2.as_str()), ("10.2.0.11:8080", "10.2.0.2:4000"));
    spec.listeners[0].snat = Snat::None;
    spec.pools[0].method = Method::MaglevHash;
    spec.pools[0].members[0].weight = 0;
    spec.pools[0].members.push(spec::member("10.2.0.12:8080"));
    rig.configure(&spec);
    check(&mut rig, &old);
    let new = open(&mut rig, CLIENT, "10.1.0.100:4001", "192.0.2.10:80", true);
    assert_eq!(
        (new.member.1.as_str(), new.member.2.as_str()),
        ("10.2.0.12:8080", "10.1.0.100:4001")
    );
    check(&mut rig, &old);
    check(&mut rig, &new);
}

/// The old configuration comes back whole, so that the control thread can free it.
#[test]
fn retired_configuration_comes_back_and_nothing_holds_it() {
    let spec = base();
    let mut rig = ready(&spec);
    let pair = open(&mut rig, CLIENT, "10.1.0.100:4000", "192.0.2.10:80", true);
    let first = rig.config.clone();
    rig.configure(&spec);
    check(&mut rig, &pair);
    assert_eq!(std::sync::Arc::strong_count(&first), 1, "only the test holds it");
    let generations: BTreeMap<_, _> =
        rig.config.listeners().map(|listener| (listener.name.clone(), listener.epoch)).collect();
    assert!(generations.values().all(|epoch| *epoch <= first.generation()));
}
