//! SCTP through a listener without message balancing: whole associations (crds.md §10, behaviour 3
//! to 7).

mod rig;

use std::collections::BTreeSet;

use rig::craft::{CLIENT, SERVER};
use rig::{Rig, Seen, spec};
use tmm_config::spec::{MonitorKind, ServiceDown, Snat};
use tmm_config::{Health, Spec};
use tmm_engine::DropReason;
use tmm_engine::flows::FlowState;
use tmm_wire::Protocol;

const C: &str = "10.1.0.100:38412";
const VIP: &str = "192.0.2.50:38412";
const A: &str = "10.2.0.11:38412";
const B: &str = "10.2.0.12:38412";

const DATA: [u8; 20] = [0, 3, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 60, b'd', b'a', b't', b'a'];
const COOKIE_ECHO: [u8; 8] = [10, 0, 0, 8, 1, 2, 3, 4];
const COOKIE_ACK: [u8; 4] = [11, 0, 0, 4];
const SHUTDOWN: [u8; 8] = [7, 0, 0, 8, 0, 0, 0, 1];
const SHUTDOWN_ACK: [u8; 4] = [8, 0, 0, 4];
const SHUTDOWN_COMPLETE: [u8; 4] = [14, 0, 0, 4];
const ABORT: [u8; 4] = [6, 0, 0, 4];

/// INIT (1) or INIT ACK (2) with a tag and parameters.
fn init(kind: u8, tag: u32, parameters: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + parameters.len()).unwrap().to_be_bytes();
    let mut chunk = vec![kind, 0, len[0], len[1]];
    chunk.extend(tag.to_be_bytes());
    chunk.extend([0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1]);
    chunk.extend(parameters);
    chunk
}

fn one_listener(change: impl FnOnce(&mut Spec, usize)) -> Spec {
    let mut spec = spec::vlans();
    let at = spec::listen(&mut spec, Protocol::Sctp, VIP, &[A, B]);
    change(&mut spec, at);
    spec
}

fn rig_of(spec: &Spec) -> Rig {
    let mut rig = Rig::new(spec);
    rig.tick();
    for host in 11..13 {
        rig.introduce(&SERVER, &format!("10.2.0.{host}"));
    }
    rig
}

fn of_sctp(mut seen: Vec<Seen>) -> Vec<Seen> {
    seen.retain(|seen| seen.is_ip() && seen.protocol() == 132);
    assert!(seen.iter().all(Seen::checksums_are_right), "{seen:?}");
    seen
}

fn one(seen: Vec<Seen>) -> Seen {
    let seen = of_sctp(seen);
    let [one] = &seen[..] else { panic!("{seen:?}") };
    one.clone()
}

fn tag_of(seen: &Seen) -> u32 {
    u32::from_be_bytes(seen.upper()[4..8].try_into().unwrap())
}

/// One association as both ends see it.
struct Pair {
    client: &'static str,
    member: &'static str,
    /// The client as the member sees it.
    source: String,
}

impl Pair {
    /// A client towards `member` without source translation.
    fn plain(member: &'static str) -> Self {
        Self { client: C, member, source: C.to_owned() }
    }

    fn up(&self, rig: &mut Rig, tag: u32, chunks: &[u8]) -> Vec<Seen> {
        rig.send(&CLIENT, CLIENT.sctp(self.client, VIP, tag, chunks))
    }

    fn down(&self, rig: &mut Rig, tag: u32, chunks: &[u8]) -> Vec<Seen> {
        rig.send(&SERVER, SERVER.sctp(self.member, &self.source, tag, chunks))
    }

    /// Sends towards the member and checks that it arrives.
    fn must_up(&self, rig: &mut Rig, tag: u32, chunks: &[u8]) -> Seen {
        let seen = one(self.up(rig, tag, chunks));
        assert_eq!((seen.from(), seen.to()), (self.source.clone(), self.member.to_owned()));
        assert_eq!((tag_of(&seen), seen.payload()), (tag, chunks));
        seen
    }

    fn must_down(&self, rig: &mut Rig, tag: u32, chunks: &[u8]) -> Seen {
        let seen = one(self.down(rig, tag, chunks));
        assert_eq!((seen.from().as_str(), seen.to().as_str()), (VIP, self.client));
        assert_eq!((tag_of(&seen), seen.payload()), (tag, chunks));
        seen
    }

    /// The client takes tag `client`, the member `member`.
    fn associate(&self, rig: &mut Rig, client: u32, member: u32) {
        self.must_up(rig, 0, &init(1, client, &[]));
        self.must_down(rig, client, &init(2, member, &[]));
        self.must_up(rig, member, &COOKIE_ECHO);
        self.must_down(rig, client, &COOKIE_ACK);
    }
}

/// CHK-233: packets have a right CRC32c after translation, also when the port moved; a packet with a
/// wrong one is dropped and counted.
#[test]
fn crc_is_right_in_all_packets_and_a_wrong_one_is_dropped() {
    for snat in [Snat::None, Snat::Automap] {
        let mut rig = rig_of(&one_listener(|spec, at| {
            spec.listeners[at].snat = snat;
            // Another port at the member, so that the CRC must be computed anew.
            spec.pools[at].members = vec![spec::member("10.2.0.11:9999")];
        }));
        let source = if snat == Snat::None { C } else { "10.2.0.2:38412" };
        let pair = Pair { client: C, member: "10.2.0.11:9999", source: source.to_owned() };
        pair.associate(&mut rig, 7, 8);
        pair.must_up(&mut rig, 8, &DATA);
        pair.must_down(&mut rig, 7, &DATA);
        for (station, mut frame) in [
            (CLIENT, CLIENT.sctp(C, VIP, 8, &DATA)),
            (SERVER, SERVER.sctp(pair.member, source, 7, &DATA)),
        ] {
            *frame.last_mut().unwrap() ^= 1;
            rig.must_drop(&station, frame, DropReason::SctpBadCrc);
        }
    }
}

/// CHK-233: 100 clients with equal ports behind one self IP do not mix.
#[test]
fn clients_with_equal_ports_do_not_mix() {
    let mut rig = rig_of(&one_listener(|spec, at| {
        spec.listeners[at].snat = Snat::Automap;
        spec.pools[at].members = vec![spec::member(A)];
    }));
    let mut pairs = Vec::new();
    for n in 0..100_u32 {
        let client = format!("10.1.0.{}:38412", 100 + n);
        let seen = one(rig.send(&CLIENT, CLIENT.sctp(&client, VIP, 0, &init(1, 1000 + n, &[]))));
        assert_eq!((seen.to().as_str(), seen.src().to_string()), (A, "10.2.0.2".to_owned()));
        pairs.push((n, client, seen.from()));
    }
    assert_eq!(pairs.iter().map(|pair| &pair.2).collect::<BTreeSet<_>>().len(), 100);
    for (n, client, source) in &pairs {
        for (tag, chunks) in [(1000 + n, init(2, 5000 + n, &[])), (1000 + n, DATA.to_vec())] {
            if chunks == DATA {
                let echo = CLIENT.sctp(client, VIP, 5000 + n, &COOKIE_ECHO);
                assert_eq!(one(rig.send(&CLIENT, echo)).from(), *source);
            }
            let seen = one(rig.send(&SERVER, SERVER.sctp(A, source, tag, &chunks)));
            assert_eq!((seen.from().as_str(), seen.to()), (VIP, client.clone()));
        }
        // Another client's tag is not accepted.
        let wrong = SERVER.sctp(A, source, 1000 + (n + 1) % 100, &DATA);
        rig.must_drop(&SERVER, wrong, DropReason::SctpBadTag);
    }
    assert_eq!(rig.worker.flows().len(), 100);
}

/// CHK-233: a restart by the client and one by the member rebind the association, and no dead entry
/// is left.
#[test]
fn restart_of_either_end_rebinds_without_a_second_entry() {
    let mut rig = rig_of(&one_listener(|_, _| {}));
    let pair = Pair::plain(A);
    pair.associate(&mut rig, 7, 8);

    // The client comes back with a new tag; until the cookie returns the old tags hold.
    pair.must_up(&mut rig, 0, &init(1, 77, &[]));
    pair.must_down(&mut rig, 7, &DATA);
    pair.must_down(&mut rig, 77, &init(2, 88, &[]));
    pair.must_up(&mut rig, 88, &COOKIE_ECHO);
    pair.must_down(&mut rig, 77, &COOKIE_ACK);
    pair.must_up(&mut rig, 88, &DATA);
    rig.must_drop(&CLIENT, CLIENT.sctp(C, VIP, 8, &DATA), DropReason::SctpBadTag);
    rig.must_drop(&SERVER, SERVER.sctp(A, C, 7, &DATA), DropReason::SctpBadTag);

    // The member comes back.
    pair.must_down(&mut rig, 0, &init(1, 888, &[]));
    pair.must_up(&mut rig, 888, &init(2, 777, &[]));
    pair.must_down(&mut rig, 777, &COOKIE_ECHO);
    pair.must_up(&mut rig, 888, &COOKIE_ACK);
    pair.must_up(&mut rig, 888, &DATA);
    pair.must_down(&mut rig, 777, &DATA);
    rig.must_drop(&CLIENT, CLIENT.sctp(C, VIP, 88, &DATA), DropReason::SctpBadTag);
    assert_eq!(rig.worker.flows().len(), 1);

    // The end of the last association leaves nothing of those before.
    pair.must_up(&mut rig, 888, &SHUTDOWN);
    pair.must_down(&mut rig, 777, &SHUTDOWN_ACK);
    pair.must_up(&mut rig, 888, &SHUTDOWN_COMPLETE);
    assert_eq!(rig.worker.flows().len(), 0);
}

#[test]
fn inits_that_collide_end_in_one_association() {
    let mut rig = rig_of(&one_listener(|_, _| {}));
    let pair = Pair::plain(A);
    pair.must_up(&mut rig, 0, &init(1, 7, &[]));
    pair.must_down(&mut rig, 0, &init(1, 8, &[]));
    // Each answers the other's INIT with the tag of its own (RFC 9260 §5.2.1).
    pair.must_up(&mut rig, 8, &init(2, 7, &[]));
    pair.must_down(&mut rig, 7, &init(2, 8, &[]));
    pair.must_up(&mut rig, 8, &COOKIE_ECHO);
    pair.must_down(&mut rig, 7, &COOKIE_ECHO);
    pair.must_up(&mut rig, 8, &COOKIE_ACK);
    pair.must_down(&mut rig, 7, &COOKIE_ACK);
    pair.must_up(&mut rig, 8, &DATA);
    pair.must_down(&mut rig, 7, &DATA);
    assert_eq!(rig.worker.flows().len(), 1);
}

#[test]
fn abort_and_shutdown_complete_end_an_association_at_once() {
    let mut rig = rig_of(&one_listener(|spec, at| spec.pools[at].members.truncate(1)));
    let pair = Pair::plain(A);
    pair.associate(&mut rig, 7, 8);
    pair.must_up(&mut rig, 8, &SHUTDOWN);
    pair.must_down(&mut rig, 7, &SHUTDOWN_ACK);
    pair.must_up(&mut rig, 8, &SHUTDOWN_COMPLETE);
    assert_eq!(rig.worker.flows().len(), 0);

    pair.associate(&mut rig, 7, 8);
    rig.must_drop(&SERVER, SERVER.sctp(A, C, 99, &ABORT), DropReason::SctpBadTag);
    pair.must_down(&mut rig, 7, &ABORT);
    assert_eq!(rig.worker.flows().len(), 0);

    // With the T bit the tag is the sender's own (RFC 9260 §8.5.1).
    pair.associate(&mut rig, 7, 8);
    pair.must_down(&mut rig, 8, &[6, 1, 0, 4]);
    assert_eq!(rig.worker.flows().len(), 0);

    // An INIT that is refused.
    pair.must_up(&mut rig, 0, &init(1, 7, &[]));
    pair.must_down(&mut rig, 7, &ABORT);
    assert_eq!(rig.worker.flows().len(), 0);
}

#[test]
fn packet_out_of_the_blue_is_aborted_with_its_own_tag() {
    let mut rig = rig_of(&one_listener(|_, _| {}));
    let seen = one(rig.send(&CLIENT, CLIENT.sctp(C, VIP, 4711, &DATA)));
    assert_eq!((seen.from().as_str(), seen.to().as_str()), (VIP, C));
    assert_eq!((tag_of(&seen), seen.payload()), (4711, &[6, 1, 0, 4][..]));
    assert_eq!(rig.drops(DropReason::SctpStray), 1);
    rig.must_drop(&CLIENT, CLIENT.sctp(C, VIP, 4711, &ABORT), DropReason::SctpStray);
}

/// CHK-236: one member per association, and each side sees only the address it talks to: addresses
/// in INIT and INIT ACK are the VIP, the self IP with automap, or gone.
#[test]
fn each_side_knows_only_the_address_it_talks_to() {
    for snat in [Snat::None, Snat::Automap] {
        let mut rig = rig_of(&one_listener(|spec, at| spec.listeners[at].snat = snat));
        let source = if snat == Snat::None { C } else { "10.2.0.2:38412" };
        // Two IPv4 addresses, an IPv6 one, a host name, and what must stay.
        let own = |first: [u8; 4], second: [u8; 4]| {
            let mut parameters = vec![0, 5, 0, 8];
            parameters.extend(first);
            parameters.extend([0x80, 0, 0, 4, 0, 5, 0, 8]);
            parameters.extend(second);
            parameters
                .extend([0, 6, 0, 20, 0x20, 1, 0xd, 0xb8, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 9]);
            parameters.extend([0, 11, 0, 7, b'h', b'i', 0, 0]);
            parameters.extend([0, 12, 0, 6, 0, 5, 0, 0]);
            parameters
        };
        let list = own([10, 1, 0, 100], [10, 9, 9, 9]);
        let seen = one(rig.send(&CLIENT, CLIENT.sctp(C, VIP, 0, &init(1, 7, &list))));
        assert_eq!((seen.from().as_str(), seen.to().as_str()), (source, A));
        let sees = |seen: &Seen, shown: [u8; 4]| {
            let chunk = seen.payload();
            assert_eq!(chunk[20..28], [&[0, 5, 0, 8][..], &shown].concat());
            assert_eq!(chunk[28..32], [0x80, 0, 0, 4]);
            assert_eq!(chunk[32..40], [0x80, 5, 0, 8, 0, 0, 0, 0]);
            assert_eq!(chunk[40..44], [0x80, 5, 0, 20]);
            assert!(chunk[44..60].iter().all(|byte| *byte == 0));
            assert_eq!(chunk[60..68], [0x80, 5, 0, 7, 0, 0, 0, 0]);
            assert_eq!(chunk[68..76], [0, 12, 0, 6, 0, 5, 0, 0]);
        };
        let self_ip = if snat == Snat::None { [10, 1, 0, 100] } else { [10, 2, 0, 2] };
        sees(&seen, self_ip);
        let list = own([10, 2, 0, 11], [10, 2, 0, 99]);
        let seen = one(rig.send(&SERVER, SERVER.sctp(A, source, 7, &init(2, 8, &list))));
        assert_eq!((seen.from().as_str(), seen.to().as_str()), (VIP, C));
        sees(&seen, [192, 0, 2, 50]);
        // The next association goes to the other member and stays there.
        let other = "10.1.0.101:38412";
        let seen = one(rig.send(&CLIENT, CLIENT.sctp(other, VIP, 0, &init(1, 9, &[]))));
        assert_eq!(seen.to(), B);
        for _ in 0..3 {
            let pair = Pair { client: C, member: A, source: source.to_owned() };
            pair.must_up(&mut rig, 8, &COOKIE_ECHO);
        }
    }
}

/// CHK-236: when the member is lost, REJECT aborts both ends; RESELECT aborts the old association
/// and lets the client's next INIT pick another member.
#[test]
fn lost_member_is_rejected_or_selected_anew() {
    for action in [ServiceDown::Reject, ServiceDown::Reselect] {
        for leaves in [false, true] {
            let mut spec = one_listener(|spec, at| {
                spec.listeners[at].service_down = action;
                spec.pools[at].monitors = vec![spec::monitor(MonitorKind::Icmp)];
            });
            let mut rig = rig_of(&spec);
            let pool = spec.pools[0].name.clone();
            for member in [A, B] {
                let (address, port) = rig::craft::end(member);
                rig.facts.set_health(&pool, address, port, Health::Up);
            }
            rig.configure(&spec);
            let pair = Pair::plain(A);
            pair.associate(&mut rig, 7, 8);
            if leaves {
                spec.pools[0].members.remove(0);
            } else {
                let (address, port) = rig::craft::end(A);
                rig.facts.set_health(&pool, address, port, Health::Down);
            }
            rig.configure(&spec);
            let seen = of_sctp(rig.pass(1000));
            let [to_client, to_member] = &seen[..] else { panic!("{action:?}: {seen:?}") };
            assert_eq!((to_client.from().as_str(), to_client.to().as_str()), (VIP, C));
            assert_eq!((tag_of(to_client), to_client.payload()), (7, &ABORT[..]));
            assert_eq!((to_member.from().as_str(), to_member.to().as_str()), (C, A));
            assert_eq!((tag_of(to_member), to_member.payload()), (8, &ABORT[..]));
            assert_eq!(rig.worker.flows().len(), 0);
            Pair::plain(B).associate(&mut rig, 17, 18);
        }
    }
}

#[test]
fn init_right_after_the_loss_is_not_lost_with_reselect() {
    let mut spec = one_listener(|spec, at| spec.listeners[at].service_down = ServiceDown::Reselect);
    let mut rig = rig_of(&spec);
    Pair::plain(A).associate(&mut rig, 7, 8);
    spec.pools[0].members.remove(0);
    rig.configure(&spec);
    // No sweep in between: the INIT itself finds the member gone.
    let seen = of_sctp(rig.send(&CLIENT, CLIENT.sctp(C, VIP, 0, &init(1, 17, &[]))));
    let init_out = seen.iter().find(|seen| seen.payload()[0] == 1).expect("an INIT");
    assert_eq!(init_out.to(), B);
    assert_eq!(rig.worker.flows().len(), 1);
}

#[test]
fn association_is_idle_without_data_and_half_open_ends_in_its_time() {
    let mut rig = rig_of(&one_listener(|spec, at| {
        spec.listeners[at].idle_timeout = 20;
        spec.listeners[at].handshake_timeout = 5;
    }));
    let pair = Pair::plain(A);
    pair.must_up(&mut rig, 0, &init(1, 7, &[]));
    rig.pass(4_900);
    assert_eq!(rig.worker.flows().len(), 1);
    rig.pass(2_100);
    assert_eq!(rig.worker.flows().len(), 0);
    Pair::plain(B).associate(&mut rig, 7, 8);
    let rows: Vec<_> = rig.worker.flows().rows(rig.now).collect();
    assert_eq!(rows[0].state, FlowState::Open);
    for _ in 0..3 {
        rig.pass(15_000);
        Pair::plain(B).must_up(&mut rig, 8, &DATA);
    }
    // SACKs alone do not keep it.
    let sack = [3, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0];
    rig.pass(15_000);
    Pair::plain(B).must_down(&mut rig, 7, &sack);
    rig.pass(7_000);
    assert_eq!(rig.worker.flows().len(), 0);
}

/// The half-open table is bounded, for one listener and for
/// all; who floods one leaves room to another, and what is established does not count.
#[test]
fn half_open_associations_are_bounded_by_listener_and_in_all() {
    let vips: Vec<_> = (50..55).map(|host| format!("192.0.2.{host}:38412")).collect();
    let mut spec = spec::vlans();
    for vip in &vips {
        spec::listen(&mut spec, Protocol::Sctp, vip, &[A]);
    }
    let mut rig = Rig::with(&spec, |setup| setup.flows.sessions_v4 = 8192);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    // A net of clients for each listener.
    let first = |port: u16, at: usize| {
        let client = format!("10.9.{at}.100:{port}");
        CLIENT.sctp(&client, &vips[at], 0, &init(1, 7, &[]))
    };
    // One that is established already.
    let pair = Pair::plain(A);
    pair.associate(&mut rig, 7, 8);
    for at in 0..4 {
        for port in 1..=1024 {
            assert_eq!(of_sctp(rig.send(&CLIENT, first(port, at))).len(), 1, "{port} of {at}");
        }
        rig.must_drop(&CLIENT, first(1025, at), DropReason::HalfOpenFull);
    }
    // All together have as many as all may have.
    let late = first(1, 4);
    rig.must_drop(&CLIENT, late.clone(), DropReason::HalfOpenFull);
    pair.must_up(&mut rig, 8, &DATA);
    assert_eq!(rig.worker.flows().len(), 4097);
    rig.pass(7_000);
    assert_eq!(of_sctp(rig.send(&CLIENT, late)).len(), 1);
}
