//! What takes the place of a VLAN or a member that went is not taken for it: the numbers that flows
//! hold are given again, and flows know since when (crds.md §5.4, §5.6 rule 3).

mod rig;

use std::collections::BTreeMap;

use rig::craft::{CLIENT, SERVER};
use rig::{Rig, Seen, Station, spec};
use tmm_config::Spec;
use tmm_config::spec::{Method, ServiceDown};
use tmm_engine::DropReason;
use tmm_wire::Protocol;

const VIP: &str = "192.0.2.10:53";
const FROM: &str = "10.1.0.100:1000";

fn members(action: ServiceDown) -> (Spec, Rig) {
    let mut spec = spec::vlans();
    let at = spec::listen(&mut spec, Protocol::Udp, VIP, &["10.2.0.11:53", "10.2.0.12:53"]);
    spec.listeners[at].service_down = action;
    (spec.clone(), ready(&spec))
}

fn ready(spec: &Spec) -> Rig {
    let mut rig = Rig::new(spec);
    rig.tick();
    for host in 11..15 {
        rig.introduce(&SERVER, &format!("10.2.0.{host}"));
    }
    rig
}

fn query(rig: &mut Rig, from: &str) -> Vec<String> {
    rig.send(&CLIENT, CLIENT.udp(from, VIP, b"q")).iter().map(Seen::to).collect()
}

/// serviceDownAction DROP: nothing that happens to other members unblocks the flow.
#[test]
fn flow_of_a_removed_member_stays_blocked_whoever_gets_its_slot() {
    let (mut spec, mut rig) = members(ServiceDown::Drop);
    assert_eq!(query(&mut rig, FROM), ["10.2.0.11:53"]);
    spec.pools[0].members.remove(0);
    rig.configure(&spec);
    assert_eq!(query(&mut rig, FROM), [""; 0]);
    for heir in ["10.2.0.13:53", "10.2.0.14:53"] {
        spec.pools[0].members.push(spec::member(heir));
        rig.configure(&spec);
        rig.pass(500);
        assert_eq!(query(&mut rig, FROM), [""; 0], "{heir} came");
    }
    spec.pools[0].members.pop();
    rig.configure(&spec);
    assert_eq!(query(&mut rig, FROM), [""; 0], "a member left");
    assert_eq!(rig.drops(DropReason::ServiceDown), 4);
}

/// The same if both changes are published before anything looks at the flow.
#[test]
fn flow_of_a_removed_member_is_not_its_successors() {
    let (mut spec, mut rig) = members(ServiceDown::Reselect);
    assert_eq!(query(&mut rig, FROM), ["10.2.0.11:53"]);
    spec.pools[0].members.remove(0);
    rig.configure(&spec);
    spec.pools[0].members = vec![spec::member("10.2.0.13:53")];
    rig.configure(&spec);
    assert_eq!(query(&mut rig, FROM), ["10.2.0.13:53"], "begins anew, not at the old address");
}

/// serviceDownAction NONE: flows that outlive their member are not counted as another's.
#[test]
fn flows_of_a_removed_member_do_not_count_for_the_one_that_gets_its_slot() {
    let (mut spec, _) = members(ServiceDown::None);
    spec.pools[0].method = Method::LeastConnections;
    spec.listeners[0].idle_timeout = 10;
    let mut rig = ready(&spec);
    let open = |rig: &mut Rig, ports: std::ops::Range<u16>| {
        let mut shares = BTreeMap::new();
        for port in ports {
            let to = query(rig, &format!("10.1.0.100:{port}"));
            *shares.entry(to.concat()).or_insert(0) += 1;
        }
        shares
    };
    assert_eq!(open(&mut rig, 1000..1100)["10.2.0.11:53"], 50);
    spec.pools[0].members.remove(0);
    rig.configure(&spec);
    rig.pass(1000);
    spec.pools[0].members.push(spec::member("10.2.0.13:53"));
    rig.configure(&spec);
    rig.pass(1000);
    let slot = |rig: &Rig, member: &str| {
        let (address, port) = rig::craft::end(member);
        rig.config.member_slot(&spec.pools[0].name, address, port).expect("a member")
    };
    let current = |rig: &Rig, member| rig.worker.flows().usages().member(slot(rig, member)).current;
    assert_eq!(current(&rig, "10.2.0.13:53"), 0);
    assert_eq!(open(&mut rig, 2000..2050)["10.2.0.13:53"], 50, "it has none of the 50 old flows");
    // The old flows end, the new ones are kept alive.
    for _ in 0..14 {
        rig.pass(1000);
        open(&mut rig, 2000..2050);
    }
    assert_eq!(rig.worker.flows().len(), 50);
    assert_eq!(current(&rig, "10.2.0.13:53"), 50);
    assert_eq!(current(&rig, "10.2.0.12:53"), 0);
}

/// A VLAN that went is gone for its flows, also when another has its slot before they are looked at.
#[test]
fn flow_of_a_removed_vlan_does_not_go_on_over_the_one_that_gets_its_slot() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, VIP, &["10.2.0.11:53"]);
    let mut rig = ready(&spec);
    assert_eq!(query(&mut rig, FROM), ["10.2.0.11:53"]);
    let slot = rig.vlan(&CLIENT);
    spec.vlans.remove(0);
    rig.configure(&spec);
    spec.vlans.push(spec::vlan("vlan-other", 99, "1.1", 7));
    rig.configure(&spec);
    let other = Station { tag: Some(99), ..CLIENT };
    assert_eq!(rig.vlan(&other), slot, "the slot is given again");
    assert_eq!(rig.send(&SERVER, SERVER.udp("10.2.0.11:53", FROM, b"a")), []);
    assert_eq!(rig.drops(DropReason::ServiceDown), 1);
    assert_eq!(rig.worker.flows().len(), 0);
}

/// Both ends of a flow are told of its end, but not who sits in the place of one of them.
#[test]
fn reset_for_a_removed_vlan_does_not_leave_by_the_one_that_gets_its_slot() {
    use rig::craft::{ACK, RST, SYN, Tcp};
    let mut spec = spec::vlans();
    let vip = "192.0.2.10:80";
    spec::listen(&mut spec, Protocol::Tcp, vip, &["10.2.0.11:80"]);
    spec.listeners[0].reset_on_idle = true;
    let mut rig = ready(&spec);
    let seg = |flags, seq, ack| Tcp { flags, seq, ack, payload: b"" };
    rig.send(&CLIENT, CLIENT.tcp(FROM, vip, seg(SYN, 1000, 0)));
    rig.send(&SERVER, SERVER.tcp("10.2.0.11:80", FROM, seg(SYN | ACK, 5000, 1001)));
    rig.send(&CLIENT, CLIENT.tcp(FROM, vip, seg(ACK, 1001, 5001)));
    spec.vlans.remove(0);
    rig.configure(&spec);
    spec.vlans.push(spec::vlan("vlan-other", 99, "1.1", 7));
    rig.configure(&spec);
    let resets: Vec<_> = rig
        .pass(500)
        .into_iter()
        .filter(|seen| seen.is_ip() && seen.protocol() == 6)
        .map(|seen| (seen.to(), seen.tcp_flags() & RST))
        .collect();
    assert_eq!(resets, [("10.2.0.11:80".to_owned(), RST)]);
}

/// The same address on another VLAN is another station: its MAC is asked for, and what waited for
/// the old one does not go there.
#[test]
fn neighbour_of_a_removed_vlan_is_not_the_one_that_gets_its_slot() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, VIP, &["10.2.0.11:53", "10.2.0.20:53"]);
    let mut rig = ready(&spec);
    assert_eq!(query(&mut rig, FROM), ["10.2.0.11:53"]);
    rig.send(&CLIENT, CLIENT.udp("10.1.0.100:1001", VIP, b"waits"));
    assert_eq!(rig.worker.counters().held, 1);
    spec.vlans.pop();
    rig.configure(&spec);
    spec.vlans.push(spec::vlan("vlan-other", 99, "1.2", 2));
    rig.configure(&spec);
    assert_eq!(rig.worker.counters().held, 0);
    assert_eq!(rig.drops(DropReason::PortGone), 1);
    rig.pass(500);
    let seen = rig.send(&CLIENT, CLIENT.udp("10.1.0.100:1002", VIP, b"new"));
    let [asks] = &seen[..] else { panic!("{seen:?}") };
    assert!(asks.asks_for().is_some() && asks.tag == Some(99), "{asks:?}");
}

/// A VLAN that moves to another tag or port has other stations, whatever their addresses.
#[test]
fn neighbour_is_asked_anew_when_its_vlan_moves_to_another_tag_or_port() {
    for (tag, port) in [(21, "1.2"), (20, "1.1")] {
        let mut spec = spec::vlans();
        spec::listen(&mut spec, Protocol::Udp, VIP, &["10.2.0.11:53"]);
        let mut rig = ready(&spec);
        assert_eq!(query(&mut rig, FROM), ["10.2.0.11:53"]);
        spec.vlans[1].tag = tag;
        spec.vlans[1].interfaces = vec![port.to_owned()];
        rig.configure(&spec);
        let seen = rig.send(&CLIENT, CLIENT.udp(FROM, VIP, b"goes on"));
        let [asks] = &seen[..] else { panic!("{seen:?}") };
        assert!(asks.asks_for().is_some() && asks.tag == Some(tag), "{asks:?}");
        assert_eq!(rig.worker.counters().held, 1);
    }
}
