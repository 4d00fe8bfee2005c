//! ARP and ND both ways, hold queues, and who we are on the wire.

mod rig;

use std::net::{Ipv4Addr, Ipv6Addr};

use rig::craft::{CLIENT, ROUTER, SERVER};
use rig::{Rig, our_mac, spec};
use tmm_engine::DropReason;
use tmm_wire::MacAddr;

const SELF_4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const OTHER_REPLICA_4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 3);
const PEER_4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
const SELF_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);
const PEER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x100);

#[test]
fn arp_is_answered_for_this_replicas_self_ip_alone_with_the_vlans_tag() {
    let mut rig = Rig::new(&spec::vlans());
    rig.tick();
    let seen = rig.send(&CLIENT, CLIENT.arp_request(PEER_4, SELF_4));
    let [answer] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((answer.port, answer.tag, answer.ethertype), (0, Some(10), 0x0806));
    assert_eq!((answer.dst_mac, answer.src_mac), (CLIENT.mac, our_mac(0)));
    assert_eq!(answer.packet[6..8], [0, 2]);
    assert_eq!(answer.packet[8..14], our_mac(0).0);
    assert_eq!(answer.packet[14..18], SELF_4.octets());
    assert_eq!(rig.send(&CLIENT, CLIENT.arp_request(PEER_4, OTHER_REPLICA_4)), []);
    assert_eq!(rig.worker.counters().consumed, 2);
}
