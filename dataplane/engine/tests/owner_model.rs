//! Whichever worker a packet arrives at, its flow's owner serves it, both ways, with one
//! translation (architecture.md §3.1, Owner and SNAT ports).
//!
//! The device here spreads packets at random, so nothing but the owner function brings the two
//! directions of a flow together.

mod rig;

use std::collections::BTreeMap;

use proptest::prelude::*;
use rig::craft::{ACK, CLIENT, SERVER, SYN, Tcp};
use rig::{Rig, Seen, Station, spec};
use tmm_config::Spec;
use tmm_config::spec::{MemberSpec, Snat};
use tmm_wire::Protocol;

/// Listeners with and without source translation, of both families, and an egress with the given
/// translation.
fn config(egress: Snat) -> Spec {
    let mut spec = spec::vlans();
    for (protocol, vip, member, snat) in [
        (Protocol::Tcp, "192.0.2.10:80", "10.2.0.11:8080", Snat::Automap),
        (Protocol::Udp, "192.0.2.10:53", "10.2.0.11:5353", Snat::None),
        (Protocol::Tcp, "192.0.2.11:80", "10.2.0.11:8080", Snat::None),
        (Protocol::Udp, "192.0.2.11:0", "10.2.0.12:0", Snat::Automap),
        (Protocol::Tcp, "[2001:db8:f::10]:80", "[2001:db8:2::11]:8080", Snat::Automap),
        (Protocol::Udp, "[2001:db8:f::10]:53", "[2001:db8:2::11]:5353", Snat::None),
        (Protocol::Sctp, "192.0.2.10:38412", "10.2.0.11:38412", Snat::None),
        (Protocol::Sctp, "[2001:db8:f::10]:38412", "[2001:db8:2::11]:38413", Snat::Automap),
    ] {
        let at = spec::listen(&mut spec, protocol, vip, &[member]);
        spec.listeners[at].snat = snat;
    }
    // The listener above with no translation and any port makes its member's ports plain ones.
    let at = spec::listen(&mut spec, Protocol::Udp, "192.0.2.12:0", &[]);
    let any = MemberSpec { port: 0, ..spec::member("10.2.0.13:1") };
    spec.pools[at].members.push(any);
    spec::egress(&mut spec);
    spec.egresses[0].snat = egress;
    spec::route(&mut spec, "203.0.113.0/24", "10.1.0.201");
    spec
}

struct World {
    rigs: Vec<Rig>,
    /// Packets that were handed twice.
    handed_on: u32,
}

impl World {
    fn new(workers: u16, spec: &Spec) -> Self {
        let rig = |worker| {
            let mut rig = Rig::with(spec, |setup| {
                setup.worker = worker;
                setup.workers = workers;
            });
            rig.tick();
            for address in ["10.2.0.11", "10.2.0.12", "10.2.0.13", "10.2.0.50", "2001:db8:2::11"] {
                rig.introduce(&SERVER, address);
            }
            rig.introduce(&CLIENT, "10.1.0.201");
            // Each was told what the others would have told it.
            rig.handed.clear();
            rig
        };
        Self { rigs: (0..workers).map(rig).collect(), handed_on: 0 }
    }

    /// Sends one packet to the worker `at`; gives the one that comes out, and of which worker.
    fn one(&mut self, at: usize, station: &Station, frame: Vec<u8>) -> (usize, Seen) {
        let at = at % self.rigs.len();
        let mut seen: Vec<(usize, Seen)> =
            self.rigs[at].send(station, frame).into_iter().map(|seen| (at, seen)).collect();
        for (to, handed) in std::mem::take(&mut self.rigs[at].handed) {
            let to = usize::from(to);
            assert_ne!(to, at, "nothing is handed to oneself");
            seen.extend(self.rigs[to].take_handed(vec![handed]).into_iter().map(|seen| (to, seen)));
            // What is no flow of a listener may go on once, to the worker of both ends.
            for (last, handed) in std::mem::take(&mut self.rigs[to].handed) {
                let last = usize::from(last);
                assert_ne!(last, to, "nothing is handed to oneself");
                let more = self.rigs[last].take_handed(vec![handed]);
                seen.extend(more.into_iter().map(|seen| (last, seen)));
                assert_eq!(self.rigs[last].handed.len(), 0, "nothing is handed three times");
                self.handed_on += 1;
            }
        }
        seen.retain(|(_, seen)| seen.asks_for().is_none());
        let [one] = &seen[..] else { panic!("{seen:?}") };
        one.clone()
    }
}

/// What a client outside or a pod inside starts, by number.
fn ends(kind: usize, port: u16) -> (Station, String, &'static str, Protocol) {
    let client = format!("10.1.0.100:{port}");
    let client_6 = format!("[2001:db8:1::100]:{port}");
    let pod = format!("10.2.0.50:{port}");
    match kind {
        0 => (CLIENT, client, "192.0.2.10:80", Protocol::Tcp),
        1 => (CLIENT, client, "192.0.2.10:53", Protocol::Udp),
        2 => (CLIENT, client, "192.0.2.11:80", Protocol::Tcp),
        3 => (CLIENT, client, "192.0.2.11:7000", Protocol::Udp),
        4 => (CLIENT, client_6, "[2001:db8:f::10]:80", Protocol::Tcp),
        5 => (CLIENT, client_6, "[2001:db8:f::10]:53", Protocol::Udp),
        6 => (CLIENT, client, "192.0.2.12:7000", Protocol::Udp),
        7 => (SERVER, pod, "203.0.113.9:443", Protocol::Tcp),
        8 => (SERVER, pod, "203.0.113.9:53", Protocol::Udp),
        // A member of a listener without translation opens a connection of its own.
        9 => (SERVER, format!("10.2.0.11:{port}"), "203.0.113.9:443", Protocol::Tcp),
        10 => (SERVER, "10.2.0.11:8080".to_owned(), "203.0.113.9:443", Protocol::Tcp),
        11 => (SERVER, format!("10.2.0.13:{port}"), "203.0.113.9:53", Protocol::Udp),
        12 => (CLIENT, client, "192.0.2.10:38412", Protocol::Sctp),
        13 => (CLIENT, client_6, "[2001:db8:f::10]:38412", Protocol::Sctp),
        _ => (SERVER, pod, "203.0.113.9:38412", Protocol::Sctp),
    }
}

const KINDS: usize = 15;

/// The `nth` of five packets of a flow: three of a handshake and two more, or five of a flow that
/// is `known`. The even ones are the opener's.
fn frame(
    station: &Station,
    protocol: Protocol,
    from: &str,
    to: &str,
    nth: usize,
    known: bool,
) -> Vec<u8> {
    const INIT: [u8; 20] = [1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5];
    const INIT_ACK: [u8; 20] = [2, 0, 0, 20, 0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5];
    let opener = nth.is_multiple_of(2);
    match protocol {
        Protocol::Udp => station.udp(from, to, b"datagram"),
        Protocol::Tcp => {
            let segment = match (nth, known, opener) {
                (0, false, _) => seg(SYN, 999, 0),
                (1, false, _) => seg(SYN | ACK, 4999, 1000),
                (_, _, true) => seg(ACK, 1000, 5000),
                (_, _, false) => seg(ACK, 5000, 1000),
            };
            station.tcp(from, to, segment)
        }
        Protocol::Sctp => {
            let chunk: &[u8] = match (nth, known) {
                (0, false) => &INIT,
                (1, false) => &INIT_ACK,
                (2, false) => &[10, 0, 0, 8, 1, 2, 3, 4],
                (3, false) => &[11, 0, 0, 4],
                _ => &[4, 0, 0, 8, 0, 1, 0, 4],
            };
            let tag = match (nth, known, opener) {
                (0, false, _) => 0,
                (_, _, true) => 7,
                (_, _, false) => 9,
            };
            station.sctp(from, to, tag, chunk)
        }
    }
}

fn seg(flags: u8, seq: u32, ack: u32) -> Tcp<'static> {
    Tcp { flags, seq, ack, payload: b"" }
}

fn check(workers: u16, egress: Snat, steps: &[(usize, u16, [usize; 5])]) {
    let mut world = World::new(workers, &config(egress));
    let mut owners: BTreeMap<(usize, u16), usize> = BTreeMap::new();
    for &(kind, port, arrivals) in steps {
        let port = if kind == 10 { 8080 } else { 5000 + port };
        let (near, from, to, protocol) = ends(kind, port);
        let far = if near.port == 0 { SERVER } else { CLIENT };
        let known = owners.contains_key(&(kind, port));
        let first = frame(&near, protocol, &from, to, 0, known);
        let (owner, out) = world.one(arrivals[0], &near, first);
        let (source, member) = (out.from(), out.to());
        if let Some(before) = owners.insert((kind, port), owner) {
            assert_eq!(owner, before, "{from} to {to} changed its worker");
        }
        for (nth, arrival) in arrivals.into_iter().enumerate().skip(1) {
            let (station, sent, came) = if nth.is_multiple_of(2) {
                (&near, (from.as_str(), to), (source.as_str(), member.as_str()))
            } else {
                (&far, (member.as_str(), source.as_str()), (to, from.as_str()))
            };
            let one = frame(station, protocol, sent.0, sent.1, nth, known);
            let (at, out) = world.one(arrival, station, one);
            assert_eq!((out.from().as_str(), out.to().as_str()), came, "{sent:?}");
            assert!(out.checksums_are_right());
            assert_eq!(at, owner, "{sent:?} is served by another worker");
        }
        let is_own_affair = (9..=11).contains(&kind);
        assert!(is_own_affair || world.handed_on == 0, "{from} to {to} was handed twice");
        world.handed_on = 0;
    }
    let flows: u32 = world.rigs.iter().map(|rig| rig.worker.flows().len()).sum();
    assert_eq!(flows as usize, owners.len(), "each flow is in one worker's table");
}

fn steps() -> impl Strategy<Value = Vec<(usize, u16, [usize; 5])>> {
    prop::collection::vec((0..KINDS, 0..40_u16, prop::array::uniform5(0..8_usize)), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn both_directions_meet_at_one_worker_behind_automap(workers in 1..5_u16, steps in steps()) {
        check(workers, Snat::Automap, &steps);
    }

    #[test]
    fn both_directions_meet_at_one_worker_without_translation(workers in 1..5_u16, steps in steps()) {
        check(workers, Snat::None, &steps);
    }
}

/// A change of who is a member or a VIP, by number; each undoes itself.
fn edit(number: usize, spec: &mut Spec) {
    match number {
        // Another member comes for the one that sees clients' own addresses, or back.
        0 => {
            let member = &mut spec.pools[1].members[0];
            let is_first = member.address.to_string() == "10.2.0.11";
            *member = spec::member(if is_first { "10.2.0.12:5353" } else { "10.2.0.11:5353" });
        }
        1 => spec.listeners[1].snat = other(spec.listeners[1].snat),
        // The pod becomes a member on all its ports.
        2 => toggle(spec, Protocol::Tcp, "192.0.2.13:0", Some("10.2.0.50:1")),
        3 => toggle(spec, Protocol::Udp, "192.0.2.13:0", Some("10.2.0.50:1")),
        4 => toggle(spec, Protocol::Sctp, "192.0.2.13:0", Some("10.2.0.50:1")),
        // What the pod has connections to becomes a VIP.
        _ => toggle(spec, Protocol::Tcp, "203.0.113.10:9999", None),
    }
}

const EDITS: usize = 6;

const fn other(snat: Snat) -> Snat {
    match snat {
        Snat::None => Snat::Automap,
        Snat::Automap => Snat::None,
    }
}

fn toggle(spec: &mut Spec, protocol: Protocol, vip: &str, member: Option<&str>) {
    let name = format!("{}-{vip}", protocol.name());
    if let Some(at) = spec.listeners.iter().position(|one| one.name == name) {
        spec.listeners.remove(at);
        spec.pools.remove(at);
        return;
    }
    let at = spec::listen(spec, protocol, vip, &[]);
    let members = member.map(|member| MemberSpec { port: 0, ..spec::member(member) });
    spec.pools[at].members = members.into_iter().collect();
    spec.listeners[at].name.clone_from(&name);
    spec.listeners[at].pool.clone_from(&name);
    spec.pools[at].name = name;
}

/// A flow of a kind, with one packet more each time, or a change of the configuration.
#[derive(Clone, Debug)]
enum Act {
    Flow(usize, u16, [usize; 5]),
    Edit(usize),
}

/// What the first packet of a flow showed: its worker, and its ends behind us.
type Known = BTreeMap<(usize, u16), (usize, String, String)>;

fn check_changes(workers: u16, egress: Snat, acts: &[Act]) {
    let mut spec = config(egress);
    let mut world = World::new(workers, &spec);
    let mut flows = Known::new();
    for act in acts {
        let (kind, port, arrivals) = match *act {
            Act::Flow(kind, port, arrivals) => (kind, port, arrivals),
            Act::Edit(number) => {
                edit(number, &mut spec);
                world.rigs.iter_mut().for_each(|rig| rig.configure(&spec));
                continue;
            }
        };
        let port = if kind == 10 { 8080 } else { 5000 + port };
        let (near, from, mut to, protocol) = ends(kind.min(KINDS - 1), port);
        let protocol = if kind == KINDS { Protocol::Tcp } else { protocol };
        to = if kind == KINDS { "203.0.113.10:443" } else { to };
        let far = if near.port == 0 { SERVER } else { CLIENT };
        let known = flows.contains_key(&(kind, port));
        let first = frame(&near, protocol, &from, to, 0, known);
        let (owner, out) = world.one(arrivals[0], &near, first);
        let now = (owner, out.from(), out.to());
        let before = flows.entry((kind, port)).or_insert_with(|| now.clone());
        assert_eq!(*before, now, "{from} to {to} goes on as it began");
        if kind == KINDS && egress == Snat::None {
            assert_eq!(now.1, from, "who is not translated keeps its port");
        }
        let (_, source, member) = now;
        for (nth, arrival) in arrivals.into_iter().enumerate().skip(1) {
            let (station, sent, came) = if nth.is_multiple_of(2) {
                (&near, (from.as_str(), to), (source.as_str(), member.as_str()))
            } else {
                (&far, (member.as_str(), source.as_str()), (to, from.as_str()))
            };
            let (at, out) =
                world.one(arrival, station, frame(station, protocol, sent.0, sent.1, nth, known));
            assert_eq!((out.from().as_str(), out.to().as_str()), came, "{sent:?}");
            assert_eq!(at, owner, "{sent:?} is served by another worker");
        }
    }
    let sessions: u32 = world.rigs.iter().map(|rig| rig.worker.flows().len()).sum();
    assert_eq!(sessions as usize, flows.len(), "each flow is in one worker's table");
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let flow = (0..=KINDS, 0..6_u16, prop::array::uniform5(0..8_usize));
    let act = prop_oneof![
        3 => flow.prop_map(|(kind, port, arrivals)| Act::Flow(kind, port, arrivals)),
        1 => (0..EDITS).prop_map(Act::Edit),
    ];
    prop::collection::vec(act, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Who is a member or a VIP changes, flows stay where they are, and packets find them.
    #[test]
    fn flows_stay_with_their_worker_when_members_and_vips_change(
        workers in 1..5_u16,
        is_automap in any::<bool>(),
        acts in acts(),
    ) {
        check_changes(workers, if is_automap { Snat::Automap } else { Snat::None }, &acts);
    }
}

/// The member of the audit: it leaves, its flows stay (action NONE), and all its replies arrive.
#[test]
fn replies_of_a_member_that_left_reach_their_flows_at_any_worker() {
    let mut spec = config(Snat::Automap);
    let mut world = World::new(2, &spec);
    let vip = "192.0.2.10:53";
    for port in 1000..1100_u16 {
        world.one(0, &CLIENT, CLIENT.udp(&format!("10.1.0.100:{port}"), vip, b"q"));
    }
    edit(0, &mut spec);
    world.rigs.iter_mut().for_each(|rig| rig.configure(&spec));
    for port in 1000..1100_u16 {
        let client = format!("10.1.0.100:{port}");
        for at in [0, 1] {
            let (_, out) = world.one(at, &SERVER, SERVER.udp("10.2.0.11:5353", &client, b"a"));
            assert_eq!((out.from().as_str(), out.to()), (vip, client.clone()));
        }
    }
}

/// A connection through an egress to an address that is a VIP for other ports stays when that goes.
#[test]
fn flow_to_another_port_of_a_vip_stays_when_the_vip_goes() {
    let flow = Act::Flow(KINDS, 4, [0, 1, 2, 0, 1]);
    let vip = Act::Edit(EDITS - 1);
    for workers in 1..5 {
        check_changes(workers, Snat::None, &[vip.clone(), flow.clone(), vip.clone(), flow.clone()]);
    }
}
