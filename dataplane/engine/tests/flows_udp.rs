//! UDP through a listener, lookup order, the full table, and what flows count (crds.md §5.3, §5.5,
//! §7; operations.md §7.1).

mod rig;

use std::collections::BTreeMap;

use rig::craft::{CLIENT, SERVER, Tcp};
use rig::{Rig, Seen, spec};
use tmm_config::Spec;
use tmm_config::config::{ListenerSlot, MemberSlot};
use tmm_config::spec::{Method, Snat, VlanSet};
use tmm_engine::DropReason;
use tmm_wire::{PacketBuf, Protocol};

const C: &str = "10.1.0.100:5000";
const VIP: &str = "192.0.2.20:1812";
const M: &str = "10.2.0.11:1812";

fn rig_of(spec: &Spec) -> Rig {
    let mut rig = Rig::new(spec);
    rig.tick();
    for host in 11..14 {
        rig.introduce(&SERVER, &format!("10.2.0.{host}"));
    }
    rig
}

/// The one packet that came out besides questions for neighbours.
fn one(mut seen: Vec<Seen>) -> Seen {
    seen.retain(|seen| seen.asks_for().is_none());
    let [one] = &seen[..] else { panic!("{seen:?}") };
    one.clone()
}

/// CHK-130: the first datagram picks a member, later ones follow, the answer leaves from the VIP;
/// the flow ends in [T, T + 2 s] and the next datagram picks again.
#[test]
fn flow_sticks_to_its_member_until_it_is_idle() {
    let mut spec = spec::vlans();
    let members = ["10.2.0.11:1812", "10.2.0.12:1812"];
    let at = spec::listen(&mut spec, Protocol::Udp, VIP, &members);
    spec.listeners[at].idle_timeout = 30;
    let mut rig = rig_of(&spec);
    for payload in [&b"first"[..], b"second", b"", b"odd"] {
        let out = one(rig.send(&CLIENT, CLIENT.udp(C, VIP, payload)));
        assert_eq!((out.from(), out.to()), (C.to_owned(), M.to_owned()));
        assert_eq!((out.payload(), out.ttl(), out.tag), (payload, 63, Some(20)));
        assert!(out.checksums_are_right());
        let out = one(rig.send(&SERVER, SERVER.udp(M, C, payload)));
        assert_eq!((out.from(), out.to()), (VIP.to_owned(), C.to_owned()));
        assert_eq!((out.payload(), out.ttl(), out.tag), (payload, 63, Some(10)));
        assert!(out.checksums_are_right());
    }
    rig.pass(29_990);
    assert_eq!(rig.worker.flows().len(), 1);
    assert_eq!(rig.pass(2_010), []);
    assert_eq!(rig.worker.flows().len(), 0);
    let out = one(rig.send(&CLIENT, CLIENT.udp(C, VIP, b"again")));
    assert_eq!(out.to(), "10.2.0.12:1812");
}

#[test]
fn ipv6_flow_is_served_and_a_datagram_without_checksum_is_not() {
    let (c, vip, m) = ("[2001:db8:1::100]:5000", "[2001:db8:f::20]:53", "[2001:db8:2::11]:5353");
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, vip, &[m]);
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig.introduce(&SERVER, "2001:db8:2::11");
    for _ in 0..3 {
        let out = one(rig.send(&CLIENT, CLIENT.udp(c, vip, b"query")));
        assert_eq!((out.from().as_str(), out.to().as_str(), out.ttl()), (c, m, 63));
        assert!(out.checksums_are_right());
        let out = one(rig.send(&SERVER, SERVER.udp(m, c, b"answer")));
        assert_eq!((out.from().as_str(), out.to().as_str(), out.ttl()), (vip, c, 63));
        assert!(out.checksums_are_right());
    }
    let mut frame = CLIENT.udp(c, vip, b"query");
    let sum = frame.len() - b"query".len() - 2;
    frame[sum..sum + 2].fill(0);
    rig.must_drop(&CLIENT, frame, DropReason::UdpZeroChecksum);
}

#[test]
fn zero_checksum_over_ipv4_stays_zero_on_both_paths() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, VIP, &[M]);
    let mut rig = rig_of(&spec);
    for _ in 0..2 {
        let mut frame = CLIENT.udp(C, VIP, b"query");
        let sum = frame.len() - b"query".len() - 2;
        frame[sum..sum + 2].fill(0);
        let out = one(rig.send(&CLIENT, frame));
        assert_eq!(out.upper()[6..8], [0, 0]);
    }
}

/// CHK-041 (one worker): 9,000 flows of three members 3,000 each; weight 0 gets no new flow and
/// keeps its old ones.
#[test]
fn listener_spreads_flows_by_its_method() {
    let members = ["10.2.0.11:1812", "10.2.0.12:1812", "10.2.0.13:1812"];
    let mut spec = spec::vlans();
    let at = spec::listen(&mut spec, Protocol::Udp, VIP, &members);
    let mut rig = Rig::with(&spec, |setup| setup.flows.sessions_v4 = 20_000);
    rig.tick();
    for host in 11..14 {
        rig.introduce(&SERVER, &format!("10.2.0.{host}"));
    }
    let open = |rig: &mut Rig, flows: std::ops::Range<u16>| {
        let mut counts = BTreeMap::new();
        for port in flows {
            let from = format!("10.1.0.100:{port}");
            let out = one(rig.send(&CLIENT, CLIENT.udp(&from, VIP, b"x")));
            *counts.entry(out.to()).or_insert(0) += 1;
        }
        counts
    };
    let counts = open(&mut rig, 1000..10_000);
    assert_eq!(counts.values().copied().collect::<Vec<_>>(), [3000, 3000, 3000]);

    spec.pools[at].members[0].weight = 0;
    rig.configure(&spec);
    let counts = open(&mut rig, 10_000..10_100);
    assert_eq!(counts.get(members[0]), None);
    let out = one(rig.send(&CLIENT, CLIENT.udp("10.1.0.100:1000", VIP, b"x")));
    assert_eq!(out.to(), members[0], "an old flow stays");
}

/// CHK-041: with 10 flows open on A the next 10 go to B.
#[test]
fn least_connections_counts_open_flows() {
    let mut spec = spec::vlans();
    let at = spec::listen(&mut spec, Protocol::Udp, VIP, &["10.2.0.11:1812"]);
    spec.pools[at].method = Method::LeastConnections;
    let mut rig = rig_of(&spec);
    let to = |rig: &mut Rig, port: u16| {
        let from = format!("10.1.0.100:{port}");
        one(rig.send(&CLIENT, CLIENT.udp(&from, VIP, b"x"))).to()
    };
    for port in 0..10 {
        assert_eq!(to(&mut rig, 2000 + port), "10.2.0.11:1812");
    }
    spec.pools[at].members.push(spec::member("10.2.0.12:1812"));
    rig.configure(&spec);
    for port in 0..10 {
        assert_eq!(to(&mut rig, 3000 + port), "10.2.0.12:1812");
    }
}

/// CHK-055 (flows): a VIP's own port goes before its port 0, and both before the egress listener;
/// what nobody takes is dropped. The DNS listener comes with `egress64`.
#[test]
fn lookup_takes_port_then_port_zero_then_egress() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.20:1812", &["10.2.0.11:1"]);
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.20:0", &["10.2.0.12:2"]);
    spec::egress(&mut spec);
    spec::route(&mut spec, "0.0.0.0/0", "10.1.0.254");
    let mut rig = rig_of(&spec);
    rig.introduce(&CLIENT, "10.1.0.254");
    // A pod on the internal VLAN.
    let pod = "10.2.0.50:7000";
    for (asked, reached) in [
        ("192.0.2.20:1812", "10.2.0.11:1"),
        ("192.0.2.20:1813", "10.2.0.12:2"),
        ("192.0.2.21:1812", "192.0.2.21:1812"),
    ] {
        assert_eq!(one(rig.send(&SERVER, SERVER.udp(pod, asked, b"x"))).to(), reached);
    }
    // Outside there is no egress.
    rig.must_drop(&CLIENT, CLIENT.udp(C, "192.0.2.21:1812", b"x"), DropReason::NoListener);
}

#[test]
fn listener_of_another_vlan_is_not_reached_through_its_open_flows() {
    let mut spec = spec::vlans();
    let at = spec::listen(&mut spec, Protocol::Udp, VIP, &[M]);
    spec.listeners[at].vlans = VlanSet::Only(vec![spec::OUTSIDE.to_owned()]);
    let mut rig = rig_of(&spec);
    one(rig.send(&CLIENT, CLIENT.udp(C, VIP, b"x")));
    rig.must_drop(&SERVER, SERVER.udp(C, VIP, b"x"), DropReason::VlanDeny);
}

/// CHK-054 (packets): the same VIP and port on both VLANs, the inner one with automap: a client
/// outside and a pod inside both get their answers. The two objects and HTTP are the lab's.
#[test]
fn hairpin_pair_serves_client_outside_and_pod_inside() {
    let mut spec = spec::vlans();
    let outer = spec::listen(&mut spec, Protocol::Tcp, "192.0.2.10:80", &["10.2.0.11:8080"]);
    let inner = spec::listen(&mut spec, Protocol::Tcp, "192.0.2.10:80", &["10.2.0.11:8080"]);
    spec.listeners[outer].vlans = VlanSet::Only(vec![spec::OUTSIDE.to_owned()]);
    spec.listeners[inner].vlans = VlanSet::Only(vec![spec::INSIDE.to_owned()]);
    spec.listeners[inner].snat = Snat::Automap;
    let mut rig = rig_of(&spec);
    let syn = Tcp { flags: rig::craft::SYN, seq: 1, ..Tcp::default() };
    let synack = Tcp { flags: rig::craft::SYN | rig::craft::ACK, seq: 9, ack: 2, ..Tcp::default() };
    for (station, from, source) in [
        (CLIENT, "10.1.0.100:4000", "10.1.0.100:4000"),
        (SERVER, "10.2.0.12:4000", "10.2.0.2:4000"),
    ] {
        let out = one(rig.send(&station, station.tcp(from, "192.0.2.10:80", syn)));
        assert_eq!((out.from().as_str(), out.to().as_str()), (source, "10.2.0.11:8080"));
        assert_eq!(out.tag, Some(20));
        let out = one(rig.send(&SERVER, SERVER.tcp("10.2.0.11:8080", source, synack)));
        assert_eq!((out.from().as_str(), out.to().as_str()), ("192.0.2.10:80", from));
        assert_eq!((out.tag, out.dst_mac), (station.tag, station.mac));
    }
}

/// CHK-068: without an eligible member TCP gets RST, UDP port unreachable, SCTP ABORT; at most
/// 1,000 a second, the rest is dropped.
#[test]
fn no_eligible_member_gets_the_protocols_answer_within_the_rate() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Tcp, "192.0.2.10:80", &[]);
    spec::listen(&mut spec, Protocol::Udp, VIP, &[]);
    spec::listen(&mut spec, Protocol::Sctp, "192.0.2.50:38412", &[]);
    let mut rig = Rig::new(&spec);
    rig.tick();
    let syn = Tcp { flags: rig::craft::SYN, seq: 77, ..Tcp::default() };
    let out = one(rig.send(&CLIENT, CLIENT.tcp("10.1.0.100:4000", "192.0.2.10:80", syn)));
    assert_eq!((out.from().as_str(), out.to().as_str()), ("192.0.2.10:80", "10.1.0.100:4000"));
    assert_eq!(out.tcp_flags(), rig::craft::RST | rig::craft::ACK);
    assert_eq!(out.tcp_ack(), 78);

    let out = one(rig.send(&CLIENT, CLIENT.udp(C, VIP, b"query")));
    assert_eq!((out.icmp(), out.src().to_string()), ((3, 3), "192.0.2.20".to_owned()));

    let init = [1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5];
    let frame = CLIENT.sctp("10.1.0.100:9", "192.0.2.50:38412", 0, &init);
    let out = one(rig.send(&CLIENT, frame));
    assert_eq!((out.protocol(), &out.upper()[4..8]), (132, &[0, 0, 0, 9][..]));
    assert_eq!(out.payload(), [6, 0, 0, 4]);
    assert!(out.checksums_are_right());
    assert_eq!(rig.drops(DropReason::NoMember), 3);

    // 5,000 SYNs a second for three seconds.
    rig.pass(2000);
    for _ in 0..3 {
        let mut answers = 0;
        for port in 0..5000_u16 {
            rig.now = rig.now.plus(tmm_config::Nanos(200_000));
            let from = format!("10.1.0.100:{}", 10_000 + port);
            answers += rig.send(&CLIENT, CLIENT.tcp(&from, "192.0.2.10:80", syn)).len();
        }
        assert!((800..=1000).contains(&answers), "{answers}");
    }
    assert!(rig.drops(DropReason::AnswerRate) > 11_000);
    assert_eq!(rig.worker.flows().len(), 0);
}

#[test]
fn full_table_drops_new_flows_and_keeps_the_old() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, VIP, &[M]);
    let mut rig = Rig::with(&spec, |setup| setup.flows.sessions_v4 = 64);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    for port in 0..64 {
        one(rig.send(&CLIENT, CLIENT.udp(&format!("10.1.0.100:{}", 2000 + port), VIP, b"x")));
    }
    let late = CLIENT.udp("10.1.0.100:3000", VIP, b"x");
    rig.must_drop(&CLIENT, late, DropReason::FlowTableFull);
    one(rig.send(&CLIENT, CLIENT.udp("10.1.0.100:2000", VIP, b"x")));
    assert_eq!((rig.worker.flows().len(), rig.worker.flows().highest()), (64, 64));
}

#[test]
fn burst_leaves_in_order_with_hits_before_misses() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, VIP, &[M]);
    let mut rig = rig_of(&spec);
    one(rig.send(&CLIENT, CLIENT.udp(C, VIP, b"open")));
    let frames = (0..100_u8)
        .map(|n| {
            let from = if n % 10 == 9 {
                format!("10.1.0.100:{}", 6000 + u16::from(n))
            } else {
                C.to_owned()
            };
            CLIENT.udp(&from, VIP, &[n])
        })
        .collect();
    let seen = rig.burst(0, frames);
    assert_eq!(seen.len(), 100);
    let hits: Vec<_> = seen.iter().filter(|s| s.sport() == 5000).map(|s| s.payload()[0]).collect();
    assert_eq!(hits, (0..100).filter(|n| n % 10 != 9).collect::<Vec<_>>());
    let misses: Vec<_> =
        seen.iter().filter(|s| s.sport() != 5000).map(|s| s.payload()[0]).collect();
    assert_eq!(misses, (0..100).filter(|n| n % 10 == 9).collect::<Vec<_>>());
}

#[test]
fn stripped_and_missing_tags_are_served_like_tags_in_the_frame() {
    let mut spec = spec::vlans();
    spec.vlans[1].tag = 0;
    spec::listen(&mut spec, Protocol::Udp, VIP, &[M]);
    let mut rig = Rig::new(&spec);
    rig.tick();
    let inside = rig::Station { tag: None, ..SERVER };
    rig.introduce(&inside, "10.2.0.11");
    for _ in 0..2 {
        let untagged = rig::Station { tag: None, ..CLIENT }.udp(C, VIP, b"x");
        let buf = tmm_wire::buffer::HeapBuf::new(&untagged).with_stripped_vlan(10);
        assert_eq!(buf.stripped_vlan(), Some(10));
        let out = one(rig.burst_of(0, vec![buf]));
        assert_eq!((out.port, out.tag, out.to().as_str()), (1, None, M));
        assert!(out.checksums_are_right());
        let out = one(rig.send(&inside, inside.udp(M, C, b"y")));
        assert_eq!((out.port, out.tag, out.from().as_str()), (0, Some(10), VIP));
        assert!(out.checksums_are_right());
    }
}

#[test]
fn usages_count_connections_at_once_and_volumes_after_a_pass() {
    let mut spec = spec::vlans();
    let at = spec::listen(&mut spec, Protocol::Udp, VIP, &[M]);
    spec.listeners[at].idle_timeout = 5;
    let mut rig = rig_of(&spec);
    for _ in 0..70_000 / 50 {
        rig.burst(0, (0..50).map(|_| CLIENT.udp(C, VIP, b"four")).collect());
    }
    rig.send(&SERVER, SERVER.udp(M, C, b"123456"));
    let usage = |rig: &Rig| {
        let usages = rig.worker.flows().usages();
        assert_eq!(usages.listener(ListenerSlot(0)), usages.member(MemberSlot(0)));
        usages.listener(ListenerSlot(0))
    };
    assert_eq!((usage(&rig).current, usage(&rig).total, usage(&rig).highest), (1, 1, 1));
    let rows: Vec<_> = rig.worker.flows().rows(rig.now).collect();
    assert_eq!((rows.len(), rows[0].volume.packets), (1, [70_000, 1]));
    assert_eq!(rows[0].volume.bytes, [70_000 * 32, 34]);
    rig.worker.ask_volumes();
    rig.pass(100);
    assert_eq!(rig.worker.flows().usages().passes(), 1);
    assert_eq!(usage(&rig).volume.packets, [70_000, 1]);
    rig.pass(8000);
    assert_eq!((usage(&rig).current, usage(&rig).total), (0, 1));
    rig.worker.ask_volumes();
    rig.pass(100);
    assert_eq!(usage(&rig).volume.bytes, [70_000 * 32, 34]);
}

/// Maglev by the 5-tuple: a flow that ended comes back to its member, and so it does on another
/// worker with the same members.
#[test]
fn maglev_picks_the_same_member_again_and_elsewhere() {
    let mut spec = spec::vlans();
    let members = ["10.2.0.11:1812", "10.2.0.12:1812", "10.2.0.13:1812"];
    let at = spec::listen(&mut spec, Protocol::Udp, VIP, &members);
    spec.pools[at].method = Method::MaglevHash;
    spec.listeners[at].idle_timeout = 1;
    let (mut here, mut there) = (rig_of(&spec), rig_of(&spec));
    let to = |rig: &mut Rig, port: u16| {
        let from = format!("10.1.0.100:{port}");
        one(rig.send(&CLIENT, CLIENT.udp(&from, VIP, b"x"))).to()
    };
    let picks: Vec<_> = (2000..2100).map(|port| to(&mut here, port)).collect();
    here.pass(3500);
    assert_eq!(here.worker.flows().len(), 0);
    let again: Vec<_> = (2000..2100).map(|port| to(&mut here, port)).collect();
    let elsewhere: Vec<_> = (2000..2100).rev().map(|port| to(&mut there, port)).collect();
    assert_eq!(picks, again);
    assert_eq!(picks, elsewhere.into_iter().rev().collect::<Vec<_>>());
    for member in members {
        assert!(picks.iter().filter(|pick| *pick == member).count() > 15);
    }
}

/// CHK-044: two engines with other seeds and table keys, which saw the tuples in another order, pick
/// the same member for each of 100,000: the hash over the 5-tuple is the cluster's, not a worker's.
#[test]
fn two_engines_agree_on_the_member_of_every_tuple() {
    let mut spec = spec::vlans();
    let members: Vec<_> = (11..21).map(|host| format!("10.2.0.{host}:1812")).collect();
    let members: Vec<_> = members.iter().map(String::as_str).collect();
    let at = spec::listen(&mut spec, Protocol::Udp, VIP, &members);
    spec.pools[at].method = Method::MaglevHash;
    let engine = |seed: u32| {
        let mut rig = Rig::with(&spec, |setup| {
            setup.seed = seed.into();
            setup.flows.seed = u64::from(seed) << 7;
            setup.flows.keys =
                tmm_engine::flows::HashKeys([1, 2, 4, 5, 8].map(|key| key * u128::from(seed)));
            setup.flows.sessions_v4 = 110_000;
        });
        rig.tick();
        for host in 11..21 {
            rig.introduce(&SERVER, &format!("10.2.0.{host}"));
        }
        rig
    };
    let frame = |nth: u32| {
        let (host, port) = (nth / 200, 32_768 + nth % 200);
        CLIENT.udp(&format!("198.51.{}.{}:{port}", 100 + host / 250, host % 250 + 1), VIP, b"x")
    };
    let picks = |rig: &mut Rig, tuples: Vec<u32>| {
        let mut picks = BTreeMap::new();
        for burst in tuples.chunks(64) {
            let frames = burst.iter().map(|nth| frame(*nth)).collect();
            picks.extend(rig.burst(0, frames).iter().map(|out| (out.from(), out.dst())));
        }
        picks
    };
    let one = picks(&mut engine(7), (0..100_000).collect());
    let other = picks(&mut engine(0xdead_beef), (0..100_000).rev().collect());
    assert_eq!((one.len(), one == other), (100_000, true));
    for member in &members {
        let host = rig::craft::end(member).0;
        let share = one.values().filter(|pick| **pick == host).count();
        assert!((9_000..=11_000).contains(&share), "{member}: {share}");
    }
}

/// A call of the sweep does a bounded piece, and yet all of a full table ends within T + 2 s.
#[test]
fn sweep_ends_a_full_table_in_bounded_pieces_and_in_time() {
    let mut spec = spec::vlans();
    let at = spec::listen(&mut spec, Protocol::Udp, VIP, &[M]);
    spec.listeners[at].idle_timeout = 3;
    let mut rig = Rig::with(&spec, |setup| setup.flows.sessions_v4 = 20_000);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    for port in 0..20_000_u16 {
        rig.send(&CLIENT, CLIENT.udp(&format!("10.1.0.100:{}", 2000 + port), VIP, b"x"));
    }
    let mut before = rig.worker.flows().len();
    assert_eq!(before, 20_000);
    for _ in 0..500 {
        rig.now = rig.now.plus(tmm_config::Nanos::from_millis(10));
        rig.tick();
        let now = rig.worker.flows().len();
        assert!(before - now <= 1024, "{}", before - now);
        before = now;
    }
    assert_eq!(before, 0);
}
