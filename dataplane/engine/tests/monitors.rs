//! Health monitors against members that answer, refuse and fall silent.

mod rig;

use std::net::Ipv4Addr;

use rig::craft::{ACK, CLIENT, RST, SERVER, SYN, Tcp};
use rig::{Rig, Seen, spec};
use tmm_config::config::MemberState;
use tmm_config::facts::Health;
use tmm_config::spec::{MonitorKind, MonitorSpec, Snat};
use tmm_config::{GateWord, Spec};
use tmm_engine::Event;
use tmm_engine::out::{MemberEvent, MemberReason};
use tmm_wire::Protocol;

const MEMBER_4: &str = "10.2.0.11";
const MEMBER_6: &str = "2001:db8:2::11";
const INTERVAL: u64 = 5;
const TIMEOUT: u64 = 16;

/// How a member behaves towards probes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Member {
    Answers,
    Refuses,
    Silent,
}

/// A listener of `protocol` with one member and these monitors, the clock a second on.
fn monitored(protocol: Protocol, member: &str, monitors: Vec<MonitorSpec>) -> Rig {
    let mut rig = Rig::new(&spec_of(protocol, member, monitors));
    rig.tick();
    rig.introduce(&SERVER, member);
    rig
}

fn spec_of(protocol: Protocol, member: &str, monitors: Vec<MonitorSpec>) -> Spec {
    let mut spec = spec::vlans();
    let (vip, member) = if member.contains(':') {
        ("[2001:db8:f::10]:80", format!("[{member}]:8080"))
    } else {
        ("192.0.2.10:80", format!("{member}:8080"))
    };
    let at = spec::listen(&mut spec, protocol, vip, &[&member]);
    spec.pools[at].monitors = monitors;
    spec
}

/// The answer of a member to one probe of `kind`; none if it says nothing.
fn answer(kind: MonitorKind, probe: &Seen, how: Member) -> Option<Vec<u8>> {
    let refuse = how == Member::Refuses;
    if how == Member::Silent || !probe.is_ip() {
        return None;
    }
    let ends = || (probe.to(), probe.from());
    match kind {
        MonitorKind::Icmp if refuse => Some(unreachable(probe)),
        MonitorKind::Icmp => {
            // Same identifier, sequence and data as the request.
            let kind = if probe.is_v6() { 129 } else { 0 };
            let rest = probe.upper()[4..8].to_vec();
            let (src, dst) = (probe.dst().to_string(), probe.src().to_string());
            Some(SERVER.icmp(&src, &dst, kind, 0, rest, &probe.upper()[8..]))
        }
        MonitorKind::Tcp => {
            let ack = probe.tcp_seq().wrapping_add(1);
            let flags = if refuse { RST | ACK } else { SYN | ACK };
            let (src, dst) = ends();
            (probe.tcp_flags() == SYN)
                .then(|| SERVER.tcp(&src, &dst, Tcp { flags, seq: 5000, ack, payload: &[] }))
        }
        MonitorKind::Udp if refuse => Some(unreachable(probe)),
        MonitorKind::Udp => {
            let (src, dst) = ends();
            Some(SERVER.udp(&src, &dst, b"pong: all is well"))
        }
        MonitorKind::Sctp => {
            let (src, dst) = ends();
            if probe.payload()[0] != 1 {
                return None;
            }
            let tag = u32::from_be_bytes(probe.payload()[4..8].try_into().expect("a tag"));
            let abort = [6, 0, 0, 4];
            let mut init_ack = vec![2, 0, 0, 20];
            init_ack.extend(0xfeed_beefu32.to_be_bytes());
            init_ack.extend([0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 7]);
            Some(SERVER.sctp(&src, &dst, tag, if refuse { &abort } else { &init_ack }))
        }
    }
}

/// "Port unreachable" about `probe`.
fn unreachable(probe: &Seen) -> Vec<u8> {
    let (src, dst) = (probe.dst().to_string(), probe.src().to_string());
    let (kind, code) = if probe.is_v6() { (1, 4) } else { (3, 3) };
    let end = probe.packet.len().min(if probe.is_v6() { 1232 } else { 28 });
    SERVER.icmp(&src, &dst, kind, code, vec![0; 4], &probe.packet[..end])
}

/// What a run of the clock showed.
#[derive(Default)]
struct Run {
    /// When each probe left, in milliseconds since the start of the rig, and the probe.
    probes: Vec<(u64, Seen)>,
    /// What we sent after an answer.
    closing: Vec<Seen>,
    /// When the member changed state.
    changes: Vec<(u64, MemberEvent)>,
}

/// Lets time pass in steps of 100 ms while the member of `kind` behaves as `how`.
fn run(rig: &mut Rig, kind: MonitorKind, millis: u64, how: Member) -> Run {
    let mut run = Run::default();
    for _ in 0..millis / 100 {
        for seen in rig.advance(100) {
            if seen.ethertype == 0x0806
                || seen.is_v6() && seen.protocol() == 58 && seen.ttl() == 255
            {
                stay_known(rig, &seen);
                continue;
            }
            run.probes.push((now(rig), seen.clone()));
            if let Some(frame) = answer(kind, &seen, how) {
                run.closing.extend(rig.send(&SERVER, frame));
            }
        }
        let at = now(rig);
        run.changes.extend(rig.events.drain(..).filter_map(|event| match event {
            Event::Member(event) => Some((at, event)),
            Event::Gateway { .. } => None,
        }));
    }
    run
}

/// Answers what asks for the member's MAC: it is its process that dies, not its host.
fn stay_known(rig: &mut Rig, asked: &Seen) {
    if asked.ethertype == 0x0806 && asked.packet[24..28] == [10, 2, 0, 11] {
        let own = Ipv4Addr::new(10, 2, 0, 2);
        rig.send(&SERVER, SERVER.arp_reply(Ipv4Addr::new(10, 2, 0, 11), own));
    } else if asked.is_v6() && asked.icmp() == (135, 0) {
        let (member, own) = (MEMBER_6.parse(), "2001:db8:2::2".parse());
        rig.send(&SERVER, SERVER.advertise(member.expect("an address"), own.expect("one")));
    }
}

fn now(rig: &Rig) -> u64 {
    rig.now.0 / 1_000_000 - 1_000_000
}

/// From right after a probe to right before the next one, in milliseconds.
const WAIT: u64 = 1000 * INTERVAL - 300;

const KINDS: [MonitorKind; 4] =
    [MonitorKind::Icmp, MonitorKind::Tcp, MonitorKind::Udp, MonitorKind::Sctp];

const fn protocol_of(kind: MonitorKind) -> Protocol {
    match kind {
        MonitorKind::Icmp | MonitorKind::Tcp => Protocol::Tcp,
        MonitorKind::Udp => Protocol::Udp,
        MonitorKind::Sctp => Protocol::Sctp,
    }
}

fn monitor(kind: MonitorKind) -> MonitorSpec {
    let mut monitor = spec::monitor(kind);
    if kind == MonitorKind::Udp {
        monitor.send = b"ping".to_vec();
        monitor.receive = b"all is well".to_vec();
    }
    monitor
}

/// CHK-037: per monitor type and family, UP at the first success, DOWN between timeout and
/// timeout + interval after the listener stops, right after a successful probe or right before one,
/// whether it refuses or is silent; UP again at the first success.
#[test]
fn down_comes_between_timeout_and_timeout_plus_interval_whatever_the_member_says() {
    for kind in KINDS {
        for (member, waits) in [(MEMBER_4, 0), (MEMBER_4, WAIT), (MEMBER_6, 0), (MEMBER_6, WAIT)] {
            for (how, reason) in
                [(Member::Refuses, MemberReason::Refused), (Member::Silent, MemberReason::NoAnswer)]
            {
                let label = format!("{kind:?} {member} {how:?} {waits}");
                let mut rig = monitored(protocol_of(kind), member, vec![monitor(kind)]);
                let up = run(&mut rig, kind, 2000, Member::Answers);
                assert_eq!(up.changes.len(), 1, "{label}");
                let (at, event) = &up.changes[0];
                assert_eq!((event.state, event.reason), (MemberState::Up, MemberReason::Answered));
                assert_eq!(*at, up.probes[0].0, "{label}: at the first success");
                while run(&mut rig, kind, 100, Member::Answers).probes.is_empty() {}
                let between = run(&mut rig, kind, waits, Member::Answers);
                assert!(between.probes.is_empty() && between.changes.is_empty(), "{label}");
                let stopped = now(&rig);
                let down = run(&mut rig, kind, 1000 * (TIMEOUT + INTERVAL) + 200, how);
                assert_eq!(down.changes.len(), 1, "{label}");
                let (at, event) = &down.changes[0];
                assert_eq!((event.state, event.reason), (MemberState::Down, reason), "{label}");
                let after = at - stopped;
                assert!(after >= 1000 * TIMEOUT, "{label}: {after} ms");
                assert!(after <= 1000 * (TIMEOUT + INTERVAL) + 100, "{label}: {after} ms");
                // The first probe that fails is an interval away, or about to leave.
                let expected = 1000 * (TIMEOUT + INTERVAL) - waits;
                assert!(after.abs_diff(expected) <= 300, "{label}: {after} ms");
                let up = run(&mut rig, kind, 1000 * INTERVAL + 100, Member::Answers);
                assert_eq!(up.changes.len(), 1, "{label}");
                assert_eq!(up.changes[0].0, up.probes[0].0, "{label}: at the first success");
                assert_eq!(up.changes[0].1.state, MemberState::Up);
            }
        }
    }
}

#[test]
fn a_success_within_the_timeout_keeps_the_member_up() {
    let mut rig = monitored(Protocol::Tcp, MEMBER_4, vec![monitor(MonitorKind::Tcp)]);
    assert_eq!(run(&mut rig, MonitorKind::Tcp, 2000, Member::Answers).changes.len(), 1);
    for _ in 0..5 {
        let silent = run(&mut rig, MonitorKind::Tcp, 15_000, Member::Silent);
        let back = run(&mut rig, MonitorKind::Tcp, 5000, Member::Answers);
        assert_eq!((silent.changes, back.changes), (vec![], vec![]));
    }
}

/// CHK-037 (two monitors): all monitors of a member must succeed; one that fails takes it down.
#[test]
fn a_member_with_two_monitors_needs_both() {
    let monitors = vec![monitor(MonitorKind::Tcp), monitor(MonitorKind::Icmp)];
    let mut rig = monitored(Protocol::Tcp, MEMBER_4, monitors);
    let answer_of = |rig: &mut Rig, millis: u64, tcp: Member, icmp: Member| {
        let mut changes = Vec::new();
        for _ in 0..millis / 100 {
            for seen in rig.advance(100) {
                let (kind, how) = match seen.ethertype {
                    0x0806 => {
                        stay_known(rig, &seen);
                        continue;
                    }
                    _ if seen.protocol() == 6 => (MonitorKind::Tcp, tcp),
                    _ => (MonitorKind::Icmp, icmp),
                };
                if let Some(frame) = answer(kind, &seen, how) {
                    rig.send(&SERVER, frame);
                }
            }
            changes.extend(rig.events.drain(..).filter_map(|event| match event {
                Event::Member(event) => Some(event.state),
                Event::Gateway { .. } => None,
            }));
        }
        changes
    };
    use Member::{Answers, Silent};
    assert_eq!(answer_of(&mut rig, 10_000, Answers, Silent), []);
    assert_eq!(answer_of(&mut rig, 6_000, Answers, Answers), [MemberState::Up]);
    assert_eq!(answer_of(&mut rig, 22_000, Silent, Answers), [MemberState::Down]);
    let turn = answer_of(&mut rig, 22_000, Answers, Silent);
    assert_eq!(turn, [MemberState::Up, MemberState::Down], "up until the other's timeout passed");
    assert_eq!(answer_of(&mut rig, 6_000, Answers, Answers), [MemberState::Up]);
}

/// CHK-038: the first probe of a new member leaves within 1 s; while it is being checked it gets
/// flows only if nobody is up.
#[test]
fn a_member_being_checked_is_probed_within_a_second_and_gets_flows_only_while_nobody_is_up() {
    let mut spec = spec_of(Protocol::Tcp, MEMBER_4, vec![monitor(MonitorKind::Tcp)]);
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig.introduce(&SERVER, MEMBER_4);
    rig.introduce(
        &rig::Station { mac: tmm_wire::MacAddr([2, 0, 0, 0, 2, 2]), ..SERVER },
        "10.2.0.12",
    );
    let open = |rig: &mut Rig, port: u16| {
        let syn = Tcp { flags: SYN, seq: 1, ..Tcp::default() };
        let frame = CLIENT.tcp(&format!("10.1.0.100:{port}"), "192.0.2.10:80", syn);
        rig.send(&CLIENT, frame)[0].to()
    };
    assert_eq!(open(&mut rig, 1), "10.2.0.11:8080", "nobody is up: the checked one serves");
    let first = run(&mut rig, MonitorKind::Tcp, 1000, Member::Answers);
    assert_eq!(first.probes.first().map(|(_, probe)| probe.to()), Some("10.2.0.11:8080".into()));
    let name = spec.pools[0].name.clone();
    let address = MEMBER_4.parse().expect("an address");
    rig.facts.set_health(&name, address, 8080, Health::Up);
    spec.pools[0].members.push(spec::member("10.2.0.12:8080"));
    rig.configure(&spec);
    let started = now(&rig);
    for port in 2..12 {
        assert_eq!(open(&mut rig, port), "10.2.0.11:8080", "the new one is being checked");
    }
    let second = run(&mut rig, MonitorKind::Tcp, 1000, Member::Silent);
    let (at, _) = second
        .probes
        .iter()
        .find(|(_, probe)| probe.to() == "10.2.0.12:8080")
        .expect("the new member is probed");
    assert!(at - started <= 1000);
}

/// CHK-133: a udp monitor with `recv` needs it in the answer; without, silence is success and an
/// ICMP unreachable is failure.
#[test]
fn a_udp_monitor_reads_the_answer_or_takes_silence() {
    let with = monitor(MonitorKind::Udp);
    let other = MonitorSpec { receive: b"something else".to_vec(), ..with.clone() };
    let without = MonitorSpec { receive: Vec::new(), ..with.clone() };
    for member in [MEMBER_4, MEMBER_6] {
        for (monitor, how, wanted) in [
            (&with, Member::Answers, Some((MemberState::Up, MemberReason::Answered))),
            (&with, Member::Silent, Some((MemberState::Down, MemberReason::NoAnswer))),
            (&with, Member::Refuses, Some((MemberState::Down, MemberReason::Refused))),
            (&other, Member::Answers, Some((MemberState::Down, MemberReason::WrongAnswer))),
            (&without, Member::Answers, Some((MemberState::Up, MemberReason::Answered))),
            (&without, Member::Silent, Some((MemberState::Up, MemberReason::Answered))),
            (&without, Member::Refuses, Some((MemberState::Down, MemberReason::Refused))),
        ] {
            let mut rig = monitored(Protocol::Udp, member, vec![monitor.clone()]);
            let seen = run(&mut rig, MonitorKind::Udp, 25_000, how);
            assert!(seen.probes.iter().all(|(_, probe)| probe.payload() == b"ping"));
            assert!(seen.probes.iter().all(|(_, probe)| probe.checksums_are_right()));
            let change = seen.changes.first().map(|(_, event)| (event.state, event.reason));
            assert_eq!(change, wanted, "{member} {how:?} {:?}", monitor.receive);
            assert_eq!(seen.changes.len(), 1);
        }
    }
}

#[test]
fn silence_of_a_member_whose_host_is_gone_is_no_success() {
    let without = MonitorSpec { receive: Vec::new(), ..monitor(MonitorKind::Udp) };
    let mut rig = Rig::new(&spec_of(Protocol::Udp, MEMBER_4, vec![without]));
    rig.advance(25_000);
    let states: Vec<_> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Member(event) => Some((event.state, event.reason)),
            Event::Gateway { .. } => None,
        })
        .collect();
    assert_eq!(states, [(MemberState::Down, MemberReason::Unreachable)]);
}

#[test]
fn probes_leave_from_the_self_ip_towards_the_member_and_connections_are_closed() {
    for (kind, member) in [(MonitorKind::Tcp, MEMBER_4), (MonitorKind::Tcp, MEMBER_6)] {
        let mut rig = monitored(Protocol::Tcp, member, vec![monitor(kind)]);
        let seen = run(&mut rig, kind, 1000, Member::Answers);
        let (_, syn) = &seen.probes[0];
        let own = if syn.is_v6() { "2001:db8:2::2" } else { "10.2.0.2" };
        assert_eq!(
            (syn.src().to_string(), syn.tag, syn.dst_mac),
            (own.into(), Some(20), SERVER.mac)
        );
        assert!(syn.sport() >= 0x8000 && syn.checksums_are_right());
        let [ack, rst] = &seen.closing[..] else { panic!("{:?}", seen.closing) };
        assert_eq!((ack.tcp_flags(), ack.tcp_seq(), ack.tcp_ack()), (ACK, syn.tcp_seq() + 1, 5001));
        assert_eq!((rst.tcp_flags(), rst.tcp_seq()), (RST | ACK, syn.tcp_seq() + 1));
        assert!(ack.checksums_are_right() && rst.checksums_are_right());
    }
    let mut rig = monitored(Protocol::Sctp, MEMBER_4, vec![monitor(MonitorKind::Sctp)]);
    let seen = run(&mut rig, MonitorKind::Sctp, 1000, Member::Answers);
    assert!(seen.probes[0].1.checksums_are_right());
    assert_eq!(seen.probes[0].1.upper()[4..8], [0; 4], "an INIT has no tag");
    let [abort] = &seen.closing[..] else { panic!("{:?}", seen.closing) };
    assert_eq!(abort.payload(), [6, 0, 0, 4]);
    assert_eq!(abort.upper()[4..8], 0xfeed_beefu32.to_be_bytes());
    assert!(abort.checksums_are_right());
}

#[test]
fn an_answer_with_a_wrong_number_or_checksum_is_no_success() {
    let mut rig = monitored(Protocol::Tcp, MEMBER_4, vec![monitor(MonitorKind::Tcp)]);
    let seen = rig.advance(1000);
    let syn = seen.iter().find(|frame| frame.is_ip()).expect("a probe");
    let stale = Tcp { flags: SYN | ACK, seq: 1, ack: syn.tcp_seq(), payload: &[] };
    rig.send(&SERVER, SERVER.tcp(&syn.to(), &syn.from(), stale));
    let mut broken = answer(MonitorKind::Tcp, syn, Member::Answers).expect("an answer");
    *broken.last_mut().expect("bytes") ^= 1;
    rig.must_drop(&SERVER, broken, tmm_engine::DropReason::BadL4Checksum);
    assert_eq!(rig.events, []);
    let right = answer(MonitorKind::Tcp, syn, Member::Answers).expect("an answer");
    rig.send(&SERVER, right);
    assert_eq!(rig.events.len(), 1);
}

#[test]
fn no_probe_leaves_and_no_member_changes_while_the_gate_is_closed() {
    let mut rig = monitored(Protocol::Tcp, MEMBER_4, vec![monitor(MonitorKind::Tcp)]);
    rig.gate = GateWord::CLOSED;
    let closed = run(&mut rig, MonitorKind::Tcp, 60_000, Member::Silent);
    assert!(closed.probes.is_empty() && closed.changes.is_empty());
    rig.gate = GateWord::LATCHED;
    let open = run(&mut rig, MonitorKind::Tcp, 1000, Member::Answers);
    assert_eq!(open.changes.len(), 1);
    rig.gate = GateWord::CLOSED;
    let closed = run(&mut rig, MonitorKind::Tcp, 60_000, Member::Silent);
    assert!(closed.probes.is_empty() && closed.changes.is_empty());
    rig.gate = GateWord::LATCHED;
    let open = run(&mut rig, MonitorKind::Tcp, 15_000, Member::Silent);
    assert!(!open.probes.is_empty() && open.changes.is_empty(), "the timeout begins anew");
}

#[test]
fn times_of_a_monitor_change_at_once_and_keep_what_it_knows() {
    let mut spec = spec_of(Protocol::Tcp, MEMBER_4, vec![monitor(MonitorKind::Tcp)]);
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig.introduce(&SERVER, MEMBER_4);
    assert_eq!(run(&mut rig, MonitorKind::Tcp, 2000, Member::Answers).changes.len(), 1);
    spec.pools[0].monitors[0].interval = 1;
    spec.pools[0].monitors[0].timeout = 3;
    rig.configure(&spec);
    assert_eq!(run(&mut rig, MonitorKind::Tcp, 6000, Member::Answers).changes, []);
    let down = run(&mut rig, MonitorKind::Tcp, 4100, Member::Silent);
    assert_eq!(down.changes.len(), 1, "after 3 to 4 s, not 16 to 21");
}

#[test]
fn a_member_that_left_is_not_probed_any_more() {
    let mut spec = spec_of(Protocol::Tcp, MEMBER_4, vec![monitor(MonitorKind::Tcp)]);
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig.introduce(&SERVER, MEMBER_4);
    run(&mut rig, MonitorKind::Tcp, 2000, Member::Answers);
    spec.pools[0].members.clear();
    rig.configure(&spec);
    let seen = run(&mut rig, MonitorKind::Tcp, 30_000, Member::Answers);
    assert!(seen.probes.is_empty() && seen.changes.is_empty());
}

/// architecture.md §3.1 (Monitors take ports the same way): a flow does not leave by the port of a
/// probe on its way to the same member, whose answer would be taken for the flow's or the other way.
#[test]
fn flow_takes_no_port_that_a_probe_waits_on() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:53"]);
    spec.listeners[0].snat = Snat::Automap;
    spec.pools[0].monitors =
        vec![MonitorSpec { receive: b"x".to_vec(), ..spec::monitor(MonitorKind::Udp) }];
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    let probe = (0..200).find_map(|_| {
        rig.advance(50).into_iter().find(|seen| seen.is_ip() && seen.protocol() == 17)
    });
    let probe = probe.expect("a probe");
    let client = format!("10.1.0.100:{}", probe.sport());
    let out = rig.send(&CLIENT, CLIENT.udp(&client, "192.0.2.10:53", b"query"));
    assert_ne!(out[0].from(), probe.from());
    let back = rig.send(&SERVER, SERVER.udp("10.2.0.11:53", &out[0].from(), b"answer"));
    assert_eq!((back.len(), back[0].to()), (1, client));
}
