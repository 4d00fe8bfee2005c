//! Members and objects that go: serviceDownAction, removal, changes in place (crds.md §5.4, §5.6).

mod rig;

use rig::craft::{ACK, CLIENT, RST, SERVER, SYN, Tcp};
use rig::{Rig, Seen, spec};
use tmm_config::spec::{MonitorKind, ServiceDown, VlanSet};
use tmm_config::{Health, Spec};
use tmm_engine::DropReason;
use tmm_engine::flows::FlowState;
use tmm_wire::Protocol;

const C: &str = "10.1.0.100:40000";
const VIP: &str = "192.0.2.10:80";
const A: &str = "10.2.0.11:8080";
const B: &str = "10.2.0.12:8080";

/// How a member goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Down,
    Leaves,
}

struct Case {
    rig: Rig,
    spec: Spec,
}

impl Case {
    fn new(protocol: Protocol, action: ServiceDown) -> Self {
        let mut spec = spec::vlans();
        let at = spec::listen(&mut spec, protocol, VIP, &[A, B]);
        spec.listeners[at].service_down = action;
        spec.pools[at].monitors = vec![spec::monitor(MonitorKind::Icmp)];
        let mut rig = Rig::new(&spec);
        rig.tick();
        for host in ["10.2.0.11", "10.2.0.12"] {
            rig.introduce(&SERVER, host);
        }
        let mut case = Self { rig, spec };
        case.health(A, Health::Up);
        case.health(B, Health::Up);
        case
    }

    fn health(&mut self, member: &str, health: Health) {
        let (address, port) = rig::craft::end(member);
        let pool = self.spec.pools[0].name.clone();
        self.rig.facts.set_health(&pool, address, port, health);
        self.rig.configure(&self.spec.clone());
    }

    fn lose(&mut self, way: Way) {
        match way {
            Way::Down => self.health(A, Health::Down),
            Way::Leaves => {
                self.spec.pools[0].members.remove(0);
                self.rig.configure(&self.spec.clone());
            }
        }
    }

    /// What comes out besides probes, questions for neighbours and announcements.
    fn only_flows(mut seen: Vec<Seen>) -> Vec<Seen> {
        seen.retain(|seen| {
            seen.is_ip()
                && match seen.protocol() {
                    6 | 17 | 132 => true,
                    1 => seen.icmp() == (3, 3),
                    _ => false,
                }
        });
        seen
    }

    fn client(&mut self, frame: Vec<u8>) -> Vec<Seen> {
        Self::only_flows(self.rig.send(&CLIENT, frame))
    }

    fn member(&mut self, frame: Vec<u8>) -> Vec<Seen> {
        Self::only_flows(self.rig.send(&SERVER, frame))
    }

    fn pass(&mut self, millis: u64) -> Vec<Seen> {
        Self::only_flows(self.rig.pass(millis))
    }

    /// A connection to A whose client expects 5001 and whose member expects 1001.
    fn connect(&mut self) {
        let seen = self.client(CLIENT.tcp(C, VIP, seg(SYN, 1000, 0)));
        assert_eq!(seen[0].to(), A);
        assert_eq!(self.member(SERVER.tcp(A, C, seg(SYN | ACK, 5000, 1001))).len(), 1);
        assert_eq!(self.client(CLIENT.tcp(C, VIP, seg(ACK, 1001, 5001))).len(), 1);
    }

    fn flows(&self) -> u32 {
        self.rig.worker.flows().len()
    }
}

fn seg(flags: u8, seq: u32, ack: u32) -> Tcp<'static> {
    Tcp { flags, seq, ack, payload: b"" }
}

#[test]
fn none_keeps_flows_on_the_member() {
    for way in [Way::Down, Way::Leaves] {
        let mut case = Case::new(Protocol::Tcp, ServiceDown::None);
        case.connect();
        case.lose(way);
        assert_eq!(case.pass(1500), []);
        let seen = case.client(CLIENT.tcp(C, VIP, seg(ACK, 1001, 5001)));
        assert_eq!(seen[0].to(), A, "{way:?}");
        assert_eq!(case.member(SERVER.tcp(A, C, seg(ACK, 5001, 1001)))[0].from(), VIP);
    }
}

#[test]
fn reject_resets_both_ends_without_waiting_for_a_packet() {
    for way in [Way::Down, Way::Leaves] {
        let mut case = Case::new(Protocol::Tcp, ServiceDown::Reject);
        case.connect();
        case.lose(way);
        let seen = case.pass(1000);
        let [to_client, to_member] = &seen[..] else { panic!("{way:?}: {seen:?}") };
        assert_eq!((to_client.from().as_str(), to_client.to().as_str()), (VIP, C));
        assert_eq!((to_client.tcp_seq(), to_client.tcp_flags() & RST), (5001, RST));
        assert_eq!((to_member.from().as_str(), to_member.to().as_str()), (C, A));
        assert_eq!((to_member.tcp_seq(), to_member.tcp_flags() & RST), (1001, RST));
        assert_eq!(case.flows(), 0);
    }
}

#[test]
fn reject_answers_the_next_datagram_and_forgets_the_flow() {
    for way in [Way::Down, Way::Leaves] {
        let mut case = Case::new(Protocol::Udp, ServiceDown::Reject);
        assert_eq!(case.client(CLIENT.udp(C, VIP, b"x"))[0].to(), A);
        case.lose(way);
        assert_eq!(case.pass(1000), []);
        let seen = case.client(CLIENT.udp(C, VIP, b"x"));
        assert_eq!((seen.len(), seen[0].icmp()), (1, (3, 3)), "{way:?}");
        assert_eq!(case.flows(), 0);
        assert_eq!(case.client(CLIENT.udp(C, VIP, b"x"))[0].to(), B);
    }
}

#[test]
fn drop_silences_a_flow_until_it_is_idle_or_its_member_is_back() {
    let mut case = Case::new(Protocol::Tcp, ServiceDown::Drop);
    case.spec.listeners[0].idle_timeout = 20;
    case.rig.configure(&case.spec.clone());
    case.connect();
    case.lose(Way::Down);
    let data = CLIENT.tcp(C, VIP, seg(ACK, 1001, 5001));
    case.rig.must_drop(&CLIENT, data.clone(), DropReason::ServiceDown);
    case.pass(5000);
    case.rig.must_drop(&CLIENT, data.clone(), DropReason::ServiceDown);
    case.health(A, Health::Up);
    assert_eq!(case.client(data.clone())[0].to(), A);
    case.lose(Way::Leaves);
    case.pass(19_000);
    case.rig.must_drop(&CLIENT, data, DropReason::ServiceDown);
    case.pass(3_000);
    assert_eq!(case.flows(), 0);
}

#[test]
fn reselect_sends_the_next_packet_to_another_member() {
    for way in [Way::Down, Way::Leaves] {
        let mut case = Case::new(Protocol::Udp, ServiceDown::Reselect);
        assert_eq!(case.client(CLIENT.udp(C, VIP, b"x"))[0].to(), A);
        case.lose(way);
        assert_eq!(case.pass(1000), []);
        assert_eq!(case.client(CLIENT.udp(C, VIP, b"x"))[0].to(), B);
        assert_eq!(case.member(SERVER.udp(B, C, b"y"))[0].from(), VIP);
        assert_eq!(case.flows(), 1);

        // A connection that B does not know: it will answer RST.
        let mut case = Case::new(Protocol::Tcp, ServiceDown::Reselect);
        case.connect();
        case.lose(way);
        assert_eq!(case.client(CLIENT.tcp(C, VIP, seg(ACK, 1001, 5001)))[0].to(), B);
        let seen = case.member(SERVER.tcp(B, C, seg(RST, 5001, 0)));
        assert_eq!((seen[0].from().as_str(), seen[0].tcp_flags()), (VIP, RST));
    }
}

#[test]
fn deleted_object_ends_its_flows_and_no_others() {
    for (tells, told) in [(true, 2), (false, 0)] {
        let mut case = Case::new(Protocol::Tcp, ServiceDown::None);
        case.spec.listeners[0].reset_on_idle = tells;
        spec::listen(&mut case.spec, Protocol::Udp, "192.0.2.30:9", &["10.2.0.11:9"]);
        case.rig.configure(&case.spec.clone());
        case.connect();
        let other = CLIENT.udp(C, "192.0.2.30:9", b"x");
        assert_eq!(case.client(other.clone()).len(), 1);
        case.spec.listeners.remove(0);
        case.spec.pools.remove(0);
        case.rig.configure(&case.spec.clone());
        assert_eq!(case.pass(1000).len(), told);
        assert_eq!(case.flows(), 1);
        assert_eq!(case.client(other)[0].to(), "10.2.0.11:9");
    }
}

#[test]
fn change_that_removes_what_a_flow_uses_ends_it_and_others_do_not() {
    let removed: [fn(&mut Spec); 3] = [
        |spec| spec.listeners[0].vip = "192.0.2.11".parse().unwrap(),
        |spec| spec.listeners[0].port = 81,
        |spec| spec.listeners[0].vlans = VlanSet::Only(vec![spec::INSIDE.to_owned()]),
    ];
    for change in removed {
        let mut case = Case::new(Protocol::Tcp, ServiceDown::None);
        case.connect();
        change(&mut case.spec);
        case.rig.configure(&case.spec.clone());
        case.pass(1000);
        assert_eq!(case.flows(), 0);
    }
    let kept: [fn(&mut Spec); 4] = [
        |spec| spec.listeners[0].snat = tmm_config::spec::Snat::Automap,
        |spec| spec.pools[0].members[0].weight = 0,
        |spec| spec.pools[0].members[0].draining = true,
        |spec| spec.listeners[0].vlans = VlanSet::Only(vec![spec::OUTSIDE.to_owned()]),
    ];
    for change in kept {
        let mut case = Case::new(Protocol::Tcp, ServiceDown::Reject);
        case.connect();
        change(&mut case.spec);
        case.rig.configure(&case.spec.clone());
        case.pass(1000);
        let seen = case.client(CLIENT.tcp(C, VIP, seg(ACK, 1001, 5001)));
        assert_eq!((seen[0].from().as_str(), seen[0].to().as_str()), (C, A));
        let rows: Vec<_> = case.rig.worker.flows().rows(case.rig.now).collect();
        assert_eq!((rows.len(), rows[0].state), (1, FlowState::Open));
    }
}

#[test]
fn route_change_moves_the_flow_to_its_new_next_hop() {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Udp, VIP, &["172.16.0.9:80"]);
    spec::route(&mut spec, "172.16.0.0/16", "10.2.0.11");
    let mut rig = Rig::new(&spec);
    rig.tick();
    let other = rig::Station { mac: tmm_wire::MacAddr([2, 0, 0, 0, 2, 9]), ..SERVER };
    rig.introduce(&SERVER, "10.2.0.11");
    rig.introduce(&other, "10.2.0.12");
    assert_eq!(rig.send(&CLIENT, CLIENT.udp(C, VIP, b"x"))[0].dst_mac, SERVER.mac);
    assert_eq!(rig.send(&CLIENT, CLIENT.udp(C, VIP, b"x"))[0].dst_mac, SERVER.mac);
    spec.routes.clear();
    spec::route(&mut spec, "172.16.0.0/16", "10.2.0.12");
    rig.configure(&spec);
    for _ in 0..2 {
        let seen = rig.send(&CLIENT, CLIENT.udp(C, VIP, b"x"));
        assert_eq!((seen[0].dst_mac, seen[0].from().as_str()), (other.mac, C));
    }
    assert_eq!(rig.worker.flows().len(), 1);
}
