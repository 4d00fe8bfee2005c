//! Egress: TCP, UDP, SCTP and ICMP echo of pods behind automap or plain (crds.md §13).

mod rig;

use std::collections::BTreeSet;

use rig::craft::{ACK, CLIENT, SERVER, SYN, Tcp};
use rig::{Rig, Seen, spec};
use tmm_config::Spec;
use tmm_config::spec::{Snat, VlanSet};
use tmm_engine::DropReason;
use tmm_wire::Protocol;

const POD: &str = "10.2.0.50:7000";
const OUT: &str = "203.0.113.9:53";

fn outward(change: impl FnOnce(&mut Spec)) -> Spec {
    let mut spec = spec::vlans();
    spec::egress(&mut spec);
    spec::route(&mut spec, "0.0.0.0/0", "10.1.0.254");
    spec::route(&mut spec, "::/0", "2001:db8:1::fe");
    change(&mut spec);
    spec
}

fn rig_of(spec: &Spec) -> Rig {
    let mut rig = Rig::new(spec);
    rig.tick();
    rig.introduce(&CLIENT, "10.1.0.254");
    rig.introduce(&CLIENT, "2001:db8:1::fe");
    rig
}

fn one(mut seen: Vec<Seen>) -> Seen {
    seen.retain(|seen| seen.asks_for().is_none());
    let [one] = &seen[..] else { panic!("{seen:?}") };
    assert!(one.checksums_are_right());
    one.clone()
}

/// CHK-400 (packets): without an egress nothing leaves; it does from the next burst after apply and
/// no more after delete; plain source translation needs nothing else. The times and namespaces are
/// the lab's.
#[test]
fn pods_leave_only_while_an_egress_takes_their_vlan() {
    let with = outward(|_| {});
    let mut without = with.clone();
    without.egresses.clear();
    let mut rig = rig_of(&without);
    rig.must_drop(&SERVER, SERVER.udp(POD, OUT, b"query"), DropReason::NoListener);
    rig.configure(&with);
    assert_eq!(one(rig.send(&SERVER, SERVER.udp(POD, OUT, b"query"))).to(), OUT);
    rig.configure(&without);
    rig.must_drop(&SERVER, SERVER.udp(POD, OUT, b"query"), DropReason::ServiceDown);
    rig.must_drop(&SERVER, SERVER.udp(POD, OUT, b"query"), DropReason::NoListener);
    assert_eq!(rig.worker.flows().len(), 0);
    // A VLAN that is not the egress's.
    rig.configure(&outward(|spec| {
        spec.egresses[0].vlans = VlanSet::AllBut(vec![spec::INSIDE.to_owned()]);
    }));
    rig.must_drop(&SERVER, SERVER.udp(POD, OUT, b"query"), DropReason::NoListener);
}

/// CHK-401 (packets, AUTOMAP and NONE; SNATPOOL comes with `engine`): the source is the self IP of
/// the VLAN that routes to the destination, or the pod's; a pod keeps it for all its flows.
#[test]
fn source_outside_is_the_self_ip_or_the_pods_and_stable() {
    for (snat, pod, out, source) in [
        (Snat::Automap, "10.2.0.50", "203.0.113.9", "10.1.0.2"),
        (Snat::None, "10.2.0.50", "203.0.113.9", "10.2.0.50"),
        (Snat::Automap, "2001:db8:2::50", "2001:db8:99::9", "2001:db8:1::2"),
        (Snat::None, "2001:db8:2::50", "2001:db8:99::9", "2001:db8:2::50"),
    ] {
        let mut rig = rig_of(&outward(|spec| spec.egresses[0].snat = snat));
        let ends = |address: &str, port: u16| {
            std::net::SocketAddr::new(address.parse().unwrap(), port).to_string()
        };
        for port in 5000..5050 {
            let seen = one(rig.send(&SERVER, SERVER.udp(&ends(pod, port), &ends(out, 53), b"q")));
            assert_eq!((seen.from(), seen.to()), (ends(source, port), ends(out, 53)));
            assert_eq!((seen.tag, seen.dst_mac), (Some(10), CLIENT.mac));
            let answer = CLIENT.udp(&ends(out, 53), &ends(source, port), b"a");
            let seen = one(rig.send(&CLIENT, answer));
            assert_eq!((seen.from(), seen.to()), (ends(out, 53), ends(pod, port)));
            assert_eq!((seen.tag, seen.dst_mac), (Some(20), SERVER.mac));
        }
    }
}

#[test]
fn two_pods_with_one_port_get_two_ports_towards_one_destination_and_share_one_towards_two() {
    let mut rig = rig_of(&outward(|_| {}));
    let mut sources = BTreeSet::new();
    for host in 50..90 {
        let pod = format!("10.2.0.{host}:7000");
        sources.insert(one(rig.send(&SERVER, SERVER.udp(&pod, OUT, b"q"))).sport());
    }
    assert_eq!(sources.len(), 40);
    assert!(sources.contains(&7000));
    let seen = one(rig.send(&SERVER, SERVER.udp(POD, "203.0.113.10:53", b"q")));
    assert_eq!(seen.sport(), 7000);
}

#[test]
fn tcp_of_a_pod_is_tracked_and_a_stray_segment_reset() {
    let mut rig = rig_of(&outward(|_| {}));
    let (out, source) = ("203.0.113.9:443", "10.1.0.2:7000");
    let seg = |flags, seq, ack| Tcp { flags, seq, ack, payload: b"" };
    assert_eq!(one(rig.send(&SERVER, SERVER.tcp(POD, out, seg(SYN, 10, 0)))).from(), source);
    let seen = one(rig.send(&CLIENT, CLIENT.tcp(out, source, seg(SYN | ACK, 90, 11))));
    assert_eq!(seen.to(), POD);
    one(rig.send(&SERVER, SERVER.tcp(POD, out, seg(ACK, 11, 91))));
    let rows: Vec<_> = rig.worker.flows().rows(rig.now).collect();
    assert_eq!(rows[0].state, tmm_engine::flows::FlowState::Open);
    let seen = one(rig.send(&SERVER, SERVER.tcp("10.2.0.51:1", out, seg(ACK, 5, 77))));
    assert_eq!((seen.from().as_str(), seen.to().as_str()), (out, "10.2.0.51:1"));
    assert_eq!((seen.tcp_flags(), seen.tcp_seq()), (rig::craft::RST, 77));
}

#[test]
fn echo_is_translated_by_identifier_in_both_families() {
    for (pod, other, out, source) in [
        ("10.2.0.50", "10.2.0.51", "203.0.113.9", "10.1.0.2"),
        ("2001:db8:2::50", "2001:db8:2::51", "2001:db8:99::9", "2001:db8:1::2"),
    ] {
        let mut rig = rig_of(&outward(|_| {}));
        let mut ids = Vec::new();
        for host in [pod, other] {
            let seen = one(rig.send(&SERVER, SERVER.echo(host, out, 77, b"ping")));
            assert_eq!(
                (seen.src().to_string(), seen.dst().to_string()),
                (source.into(), out.into())
            );
            let id = u16::from_be_bytes([seen.upper()[4], seen.upper()[5]]);
            assert_eq!(&seen.upper()[8..], b"ping");
            let seen = one(rig.send(&CLIENT, CLIENT.echo_reply(out, source, id, b"ping")));
            assert_eq!((seen.src().to_string(), seen.dst().to_string()), (out.into(), host.into()));
            assert_eq!(&seen.upper()[4..6], &77_u16.to_be_bytes());
            ids.push(id);
        }
        assert_eq!(ids[0], 77);
        assert_ne!(ids[0], ids[1]);
        rig.pass(33_000);
        assert_eq!(rig.worker.flows().len(), 0, "icmpIdleTimeout is 30 s");
    }
}

#[test]
fn ipv6_is_dropped_unless_dual_stack_is_enabled() {
    let mut rig = rig_of(&outward(|spec| spec.egresses[0].dual_stack = false));
    let frame = SERVER.udp("[2001:db8:2::50]:7000", "[2001:db8:99::9]:53", b"q");
    rig.must_drop(&SERVER, frame, DropReason::FamilyDeny);
}

#[test]
fn port_range_that_is_used_up_is_counted_and_refuses() {
    let mut rig = Rig::with(&outward(|_| {}), |setup| setup.flows.sessions_v4 = 70_000);
    rig.tick();
    rig.introduce(&CLIENT, "10.1.0.254");
    let mut refused = 0;
    for n in 0..66_000_u32 {
        let pod = format!("10.2.0.{}:{}", 50 + n / 60_000, 1024 + n % 60_000);
        let before = rig.drops(DropReason::SnatExhausted);
        let seen = rig.send(&SERVER, SERVER.udp(&pod, OUT, b"q"));
        if rig.drops(DropReason::SnatExhausted) > before && refused == 0 {
            let answer = one(seen);
            assert_eq!((answer.icmp(), answer.dst_mac), ((3, 3), SERVER.mac));
        }
        refused += rig.drops(DropReason::SnatExhausted) - before;
    }
    let used = rig.worker.flows().port_use();
    assert!(refused > 0 && used.exhausted == refused);
    assert!(rig.worker.flows().len() > 60_000, "{}", rig.worker.flows().len());
    assert!(used.taken * 10 > used.tries * 8, "{used:?}");
}

/// Refused as a flow without a member is (crds.md §5.3, §13 behaviour 4), through an egress and
/// through a listener.
#[test]
fn flow_without_a_free_source_port_is_answered() {
    let vip = "192.0.2.10:53";
    let with_listener = |protocol| {
        outward(|spec| {
            let at = spec::listen(spec, protocol, vip, &["203.0.113.9:53"]);
            spec.listeners[at].snat = Snat::Automap;
        })
    };
    for (spec, protocol, to) in
        [(outward(|_| {}), Protocol::Tcp, OUT), (with_listener(Protocol::Udp), Protocol::Udp, vip)]
    {
        let mut rig = Rig::with(&spec, |setup| setup.flows.sessions_v4 = 70_000);
        rig.tick();
        rig.introduce(&CLIENT, "10.1.0.254");
        let answer = (0..132_000_u32).find_map(|n| {
            let from = format!("10.2.0.{}:{}", 50 + n / 60_000, 1024 + n % 60_000);
            let seen = rig.send(
                &SERVER,
                match protocol {
                    Protocol::Tcp => {
                        SERVER.tcp(&from, to, Tcp { flags: SYN, seq: 77, ..Tcp::default() })
                    }
                    _ => SERVER.udp(&from, to, b"q"),
                },
            );
            (rig.drops(DropReason::SnatExhausted) > 0).then(|| (from, one(seen)))
        });
        let (from, seen) = answer.expect("the ports of one address are used up");
        let asked: std::net::SocketAddr = to.parse().unwrap();
        assert_eq!((seen.src(), seen.tag, seen.dst_mac), (asked.ip(), Some(20), SERVER.mac));
        if protocol == Protocol::Tcp {
            assert_eq!((seen.to(), seen.tcp_ack()), (from, 78));
            assert_eq!(seen.tcp_flags(), rig::craft::RST | ACK);
        } else {
            assert_eq!(seen.icmp(), (3, 3));
        }
        assert_eq!(rig.drops(DropReason::AnswerRate), 0);
    }
}

#[test]
fn deleted_self_ip_ends_the_flows_that_use_it() {
    let mut spec = outward(|_| {});
    let mut rig = rig_of(&spec);
    one(rig.send(&SERVER, SERVER.udp(POD, OUT, b"q")));
    spec.vlans[0].self_v4 = vec!["10.1.0.7".parse().unwrap(), "10.1.0.8".parse().unwrap()];
    rig.configure(&spec);
    rig.pass(1000);
    assert_eq!(rig.worker.flows().len(), 0);
}
