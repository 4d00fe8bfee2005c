//! Every drop reason can rise: one scenario each, by a match that a new reason breaks.

mod rig;

use rig::craft::{ACK, CLIENT, FIN, Ip, SERVER, SYN, Tcp};
use rig::{Rig, Station, spec};
use tmm_config::facts::Health;
use tmm_config::spec::{MonitorKind, NextHopSpec, ServiceDown, Snat, VlanSet};
use tmm_config::{GateWord, Spec};
use tmm_engine::{DropReason, Outbox, Worker, WorkerSetup};
use tmm_wire::buffer::NoRoom;
use tmm_wire::{MacAddr, PacketBuf, PacketPool, PortId, Protocol};

const VIP: &str = "192.0.2.10";
const INIT: [u8; 20] = [1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5];

/// TCP 80, UDP 53 and SCTP 38412 on one VIP, and an egress.
fn base() -> Spec {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Tcp, "192.0.2.10:80", &["10.2.0.11:8080"]);
    spec::listen(&mut spec, Protocol::Udp, "192.0.2.10:53", &["10.2.0.11:5353"]);
    spec::listen(&mut spec, Protocol::Sctp, "192.0.2.10:38412", &["10.2.0.11:38412"]);
    spec::listen(&mut spec, Protocol::Udp, "[2001:db8:f::10]:53", &["[2001:db8:2::11]:5353"]);
    spec::egress(&mut spec);
    spec
}

fn ready(spec: &Spec) -> Rig {
    let mut rig = Rig::new(spec);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    rig
}

/// Sends `frame` of the client through a ready rig.
fn client(frame: Vec<u8>) -> Rig {
    let mut rig = ready(&base());
    rig.send(&CLIENT, frame);
    rig
}

fn udp(port: u16) -> Vec<u8> {
    CLIENT.udp(&format!("10.1.0.100:{port}"), "192.0.2.10:53", b"query")
}

fn tcp(flags: u8) -> Vec<u8> {
    CLIENT.tcp("10.1.0.100:1", "192.0.2.10:80", Tcp { flags, seq: 1, ..Tcp::default() })
}

/// An IP packet of the client whose byte `at` (from the IP header on) is `value`, with the header
/// checksum as it was.
fn broken(mut frame: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    frame[18 + at] = value;
    frame
}

/// The rig after a scenario that drops a packet for `reason`.
fn raise(reason: DropReason) -> Rig {
    match reason {
        DropReason::FrameTooShort => client(vec![0x02; 13]),
        DropReason::HeadersSplit => panic!("raised in its own test: it takes a chained buffer"),
        DropReason::VlanUnknown => client(Station { tag: Some(99), ..CLIENT }.frame(0x0800, &[])),
        DropReason::BadSourceMac => {
            let loud = Station { mac: MacAddr::BROADCAST, ..CLIENT };
            client(loud.frame(0x0800, &[0; 40]))
        }
        DropReason::NotForUsMac => {
            client(CLIENT.frame_to(MacAddr([2, 9, 9, 9, 9, 9]), 0x0800, &[0; 40]))
        }
        DropReason::MulticastIgnored => {
            client(CLIENT.frame_to(MacAddr([1, 0, 0x5e, 0, 0, 1]), 0x0800, &[0; 40]))
        }
        DropReason::EthertypeUnknown => client(CLIENT.frame(0x88cc, &[0; 40])),
        DropReason::ArpInvalid => client(CLIENT.frame(0x0806, &[0; 28])),
        DropReason::NdInvalid => {
            let own = "2001:db8:1::2".parse().expect("an address");
            client(CLIENT.advertise(own, own))
        }
        DropReason::BadIpv4Header => client(broken(udp(1), 0, 0x44)),
        DropReason::BadIpv4Checksum => client(broken(udp(1), 1, 0xff)),
        DropReason::BadIpv6Header => {
            let frame = CLIENT.udp("[2001:db8:1::100]:1", "[2001:db8:f::10]:53", b"query");
            client(broken(frame, 4, 0xff))
        }
        DropReason::BadAddress => client(CLIENT.udp("127.0.0.1:1", "192.0.2.10:53", b"query")),
        DropReason::BadL4Header => {
            client(CLIENT.ip(Ip::default(), "10.1.0.100", VIP, 17, &[0, 1, 0, 53]))
        }
        DropReason::BadL4Checksum => {
            let mut frame = CLIENT.echo("10.1.0.100", "10.1.0.2", 1, b"data");
            *frame.last_mut().expect("bytes") ^= 1;
            client(frame)
        }
        DropReason::TtlExpired => {
            let ip = Ip { ttl: 1, ..Ip::default() };
            client(CLIENT.udp_with(ip, "10.1.0.100:1", "192.0.2.10:53", b"query"))
        }
        DropReason::TooBig | DropReason::FragmentationUnsupported => {
            let mut spec = base();
            spec.vlans[0].mtu = 9000;
            let mut rig = ready(&spec);
            let ip = Ip { dont_fragment: reason == DropReason::TooBig, ..Ip::default() };
            let payload = vec![0; 1500];
            rig.send(&CLIENT, CLIENT.udp_with(ip, "10.1.0.100:1", "192.0.2.10:53", &payload));
            rig
        }
        DropReason::FragmentUnsupported => {
            let ip = Ip { dont_fragment: false, fragment: Some(0x2000), ..Ip::default() };
            client(CLIENT.udp_with(ip, "10.1.0.100:1", "192.0.2.10:53", b"a part"))
        }
        DropReason::IcmpErrorUnsupported => {
            client(CLIENT.icmp("10.1.0.100", VIP, 3, 1, vec![0; 4], &[0x45; 28]))
        }
        DropReason::IcmpUnsupported => {
            client(CLIENT.icmp("10.1.0.100", VIP, 13, 0, vec![0; 4], &[0; 12]))
        }
        DropReason::ProtocolUnsupported => {
            client(CLIENT.ip(Ip::default(), "10.1.0.100", VIP, 47, &[0; 8]))
        }
        DropReason::LicenseClosed => {
            let mut rig = ready(&base());
            rig.gate = GateWord::CLOSED;
            rig.send(&CLIENT, udp(1));
            rig
        }
        DropReason::PortLockdown => client(CLIENT.udp("10.1.0.100:1", "10.1.0.2:161", b"get")),
        DropReason::NoLocalService => {
            let mut spec = base();
            let protocol = tmm_config::spec::ServiceProtocol::Udp;
            spec.vlans[0]
                .allowed_services
                .push(tmm_config::spec::AllowedService { protocol, port: 161 });
            let mut rig = ready(&spec);
            rig.send(&CLIENT, CLIENT.udp("10.1.0.100:1", "10.1.0.2:161", b"get"));
            rig
        }
        DropReason::VlanDeny => {
            let mut spec = base();
            spec.listeners[1].vlans = VlanSet::Only(vec![spec::INSIDE.to_owned()]);
            let mut rig = ready(&spec);
            rig.send(&CLIENT, udp(1));
            rig
        }
        DropReason::ReplyVlan => {
            let mut spec = base();
            spec.vlans.push(spec::vlan("vlan-third", 30, "1.2", 3));
            let mut rig = ready(&spec);
            rig.send(&CLIENT, udp(1));
            let third = Station { tag: Some(30), ..SERVER };
            rig.send(&third, third.udp("10.2.0.11:5353", "10.1.0.100:1", b"answer"));
            rig
        }
        DropReason::NoListener => client(CLIENT.udp("10.1.0.100:1", "198.51.100.1:53", b"query")),
        DropReason::FamilyDeny => {
            let mut spec = base();
            spec.egresses[0].dual_stack = false;
            let mut rig = ready(&spec);
            rig.send(&SERVER, SERVER.udp("[2001:db8:2::11]:1", "[2001:db8:99::1]:53", b"query"));
            rig
        }
        DropReason::NoMember | DropReason::AnswerRate => {
            let mut spec = base();
            spec.pools[1].members.clear();
            let mut rig = ready(&spec);
            for port in 0..2500 {
                rig.send(&CLIENT, udp(1000 + port));
            }
            rig
        }
        DropReason::ServiceDown => {
            let mut spec = base();
            spec.listeners[1].service_down = ServiceDown::Drop;
            spec.pools[1].monitors = vec![spec::monitor(MonitorKind::Icmp)];
            let mut rig = ready(&spec);
            rig.send(&CLIENT, udp(1));
            let address = "10.2.0.11".parse().expect("an address");
            rig.facts.set_health(&spec.pools[1].name, address, 5353, Health::Down);
            rig.configure(&spec);
            rig.send(&CLIENT, udp(1));
            rig
        }
        DropReason::Draining => {
            let mut rig = ready(&base());
            rig.worker.refuse_new_flows();
            rig.send(&CLIENT, udp(1));
            rig
        }
        DropReason::FlowTableFull => {
            let mut rig = Rig::with(&base(), |setup| setup.flows.sessions_v4 = 64);
            rig.introduce(&SERVER, "10.2.0.11");
            for port in 0..200 {
                rig.send(&CLIENT, udp(1000 + port));
            }
            rig
        }
        DropReason::HalfOpenFull => {
            let mut rig = ready(&base());
            for port in 0..1025 {
                let from = format!("10.1.0.100:{}", 2000 + port);
                rig.send(&CLIENT, CLIENT.sctp(&from, "192.0.2.10:38412", 0, &INIT));
            }
            rig
        }
        DropReason::SnatExhausted => {
            let mut rig = Rig::with(&base(), |setup| setup.flows.sessions_v4 = 100_000);
            rig.introduce(&CLIENT, "10.1.0.100");
            let mut frames =
                (1..=2u8).flat_map(|host| (1024..=u16::MAX).map(move |port| (host, port)));
            while rig.drops(reason) == 0 {
                let (host, port) = frames.next().expect("exhausted by one address's ports");
                let from = format!("10.2.0.{}:{port}", 100 + host);
                rig.send(&SERVER, SERVER.udp(&from, "10.1.0.100:53", b"query"));
            }
            rig
        }
        DropReason::NoSelfIp => {
            let mut spec = base();
            spec.listeners[3].snat = Snat::Automap;
            spec.vlans[1].self_v6.clear();
            spec.vlans[1].prefix_v6 = 0;
            let inside = NextHopSpec::Interface(spec::INSIDE.to_owned());
            spec::route_by(&mut spec, "2001:db8:2::/64", inside);
            let mut rig = ready(&spec);
            let frame = CLIENT.udp("[2001:db8:1::100]:1", "[2001:db8:f::10]:53", b"query");
            rig.send(&CLIENT, frame);
            rig
        }
        DropReason::TcpStray => client(tcp(ACK)),
        DropReason::TcpBadFlags => client(tcp(SYN | FIN)),
        DropReason::UdpZeroChecksum => {
            let mut datagram = rig::craft::udp(
                "2001:db8:1::100".parse().expect("an address"),
                1,
                "2001:db8:f::10".parse().expect("an address"),
                53,
                b"query",
            );
            datagram[6..8].fill(0);
            client(CLIENT.ip(Ip::default(), "2001:db8:1::100", "2001:db8:f::10", 17, &datagram))
        }
        DropReason::SctpBadCrc => {
            let mut frame = CLIENT.sctp("10.1.0.100:1", "192.0.2.10:38412", 0, &INIT);
            *frame.last_mut().expect("bytes") ^= 1;
            client(frame)
        }
        DropReason::SctpBadTag => {
            let mut rig = ready(&base());
            rig.send(&CLIENT, CLIENT.sctp("10.1.0.100:1", "192.0.2.10:38412", 0, &INIT));
            let ack = [&[2, 0, 0, 20, 0, 0, 0, 8][..], &INIT[8..]].concat();
            rig.send(&SERVER, SERVER.sctp("10.2.0.11:38412", "10.1.0.100:1", 9, &ack));
            let cookie = [10, 0, 0, 8, 1, 2, 3, 4];
            rig.send(&CLIENT, CLIENT.sctp("10.1.0.100:1", "192.0.2.10:38412", 0xbad, &cookie));
            rig
        }
        DropReason::SctpStray => {
            client(CLIENT.sctp("10.1.0.100:1", "192.0.2.10:38412", 5, &[4, 0, 0, 4]))
        }
        DropReason::NoRoute => {
            let mut rig = ready(&base());
            rig.send(&SERVER, SERVER.udp("10.2.0.11:1", "203.0.113.1:53", b"query"));
            rig
        }
        DropReason::Blackhole => {
            let mut spec = base();
            spec::route_by(&mut spec, "203.0.113.0/24", NextHopSpec::Blackhole);
            let mut rig = ready(&spec);
            rig.send(&SERVER, SERVER.udp("10.2.0.11:1", "203.0.113.1:53", b"query"));
            rig
        }
        DropReason::NeighbourUnresolved => {
            let mut rig = Rig::new(&base());
            rig.send(&CLIENT, udp(1));
            rig.advance(4000);
            rig
        }
        DropReason::HoldFull => {
            let mut rig = Rig::new(&base());
            for port in 1..20 {
                rig.send(&CLIENT, udp(port));
            }
            rig
        }
        DropReason::AdjacencyTableFull => {
            let mut rig = Rig::with(&base(), |setup| setup.net.adjacencies = 2);
            rig.introduce(&SERVER, "10.2.0.11");
            rig.send(&CLIENT, udp(1));
            let other = Station { mac: MacAddr([2, 0, 0, 0, 1, 9]), ..CLIENT };
            rig.send(&other, other.udp("10.1.0.101:1", "192.0.2.10:53", b"query"));
            rig
        }
        DropReason::BufferRoom => panic!("raised in its own test: it takes a buffer without room"),
        DropReason::TxFull => {
            let mut rig = ready(&base());
            rig.worker.tx_refused(PortId(0), 1, 60);
            rig
        }
        DropReason::HandOverFull => {
            let mut rig = Rig::with(&base(), |setup| setup.workers = 2);
            let frames = (0..4000).map(|n| udp(1000 + n)).collect();
            rig.burst(0, frames);
            rig
        }
        DropReason::PortGone => {
            let mut rig = Rig::new(&base());
            rig.send(&CLIENT, udp(1));
            let mut without = base();
            without.vlans.pop();
            without.egresses.clear();
            rig.configure(&without);
            rig.advance(1000);
            rig
        }
    }
}

#[test]
fn every_reason_rises() {
    for reason in DropReason::ALL {
        if matches!(reason, DropReason::HeadersSplit | DropReason::BufferRoom) {
            continue;
        }
        let rig = raise(reason);
        let rows: Vec<_> = rig.worker.counters().drop_rows().filter(|row| row.1 > 0).collect();
        assert!(rig.drops(reason) > 0, "{} did not rise: {rows:?}", reason.name());
    }
}

/// A packet of two segments, without room in front.
#[derive(Debug)]
struct Chained {
    first: Vec<u8>,
    second: Vec<u8>,
}

impl PacketBuf for Chained {
    fn data(&self) -> &[u8] {
        &self.first
    }

    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.first
    }

    fn packet_len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    fn for_each_segment(&self, each: &mut dyn FnMut(&[u8])) {
        each(&self.first);
        each(&self.second);
    }

    fn grow_front(&mut self, bytes: usize) -> Result<(), NoRoom> {
        Err(NoRoom { bytes })
    }

    fn grow_back(&mut self, bytes: usize) -> Result<(), NoRoom> {
        Err(NoRoom { bytes })
    }

    fn trim_front(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if self.first.len() < bytes {
            return Err(NoRoom { bytes });
        }
        self.first.drain(..bytes);
        Ok(())
    }

    fn trim_back(&mut self, bytes: usize) -> Result<(), NoRoom> {
        Err(NoRoom { bytes })
    }

    fn stripped_vlan(&self) -> Option<u16> {
        None
    }

    fn clear_stripped_vlan(&mut self) {}
}

/// Gives buffers in which nothing fits.
#[derive(Debug)]
struct Tight;

impl PacketPool for Tight {
    type Buf = Chained;

    fn alloc(&mut self) -> Option<Chained> {
        Some(Chained { first: Vec::new(), second: Vec::new() })
    }
}

/// The counters of a worker after one packet of the client, cut into two segments at `at`, and what
/// came out.
fn chained(frame: &[u8], at: usize) -> (tmm_engine::Counters, Vec<Chained>) {
    let rig = Rig::new(&base());
    let setup = WorkerSetup {
        worker: 0,
        workers: 1,
        macs: vec![rig::our_mac(0), rig::our_mac(1)],
        burst: 64,
        net: tmm_engine::net::NetSizes { adjacencies: 16, hold: 4, hold_per_neighbour: 4 },
        flows: rig::flow_setup(),
        seed: 1,
    };
    let mut worker = Worker::new(&setup, rig.config.clone(), Tight, rig.now).expect("a worker");
    let mut out = Outbox::new(2, 1, 16);
    let (first, second) = frame.split_at(at);
    let mut bufs = vec![Chained { first: first.to_vec(), second: second.to_vec() }];
    worker.burst(PortId(0), &mut bufs, rig.gate, rig.now, &mut out);
    assert!(worker.counters().identity().holds());
    (worker.counters().clone(), out.port(PortId(0)).drain(..).collect())
}

#[test]
fn headers_that_are_not_all_in_the_first_segment_are_dropped_as_split() {
    let frame = udp(1);
    // Behind the IP header, inside the UDP header.
    let (counters, _) = chained(&frame, 18 + 20 + 4);
    assert_eq!(counters.drops(DropReason::HeadersSplit), 1);
}

#[test]
fn a_chained_echo_request_is_checked_over_all_its_segments_and_answered() {
    let frame = CLIENT.echo("10.1.0.100", "10.1.0.2", 1, b"in two parts");
    let (counters, out) = chained(&frame, 18 + 20 + 8 + 3);
    assert_eq!((counters.dropped(), out.len()), (0, 1));
    assert_eq!(out[0].second, frame[18 + 20 + 8 + 3..]);
    let mut wrong = frame;
    *wrong.last_mut().expect("bytes") ^= 1;
    let (counters, _) = chained(&wrong, 18 + 20 + 8 + 3);
    assert_eq!(counters.drops(DropReason::BadL4Checksum), 1);
}

#[test]
fn a_buffer_without_room_for_what_we_say_is_dropped_for_it() {
    let arp = CLIENT.arp_request([10, 1, 0, 100].into(), [10, 1, 0, 2].into());
    let (counters, out) = chained(&arp, arp.len());
    assert_eq!((counters.drops(DropReason::BufferRoom), out.len()), (1, 0));
    assert_eq!((counters.originated, counters.consumed), (1, 1));
}
