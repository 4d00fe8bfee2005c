//! TCP through a listener: handshake, forwarding, timing, resets, ends (crds.md §6).

mod rig;

use rig::craft::{ACK, CLIENT, FIN, Ip, RST, SERVER, SYN, Tcp, pseudo_checksum};
use rig::{Rig, Seen, spec};
use tmm_config::Spec;
use tmm_config::spec::Snat;
use tmm_engine::DropReason;
use tmm_wire::Protocol;

const C: &str = "10.1.0.100:40000";
const VIP: &str = "192.0.2.10:80";
const M: &str = "10.2.0.11:8080";

fn one_listener(change: impl FnOnce(&mut Spec, usize)) -> Spec {
    let mut spec = spec::vlans();
    let at = spec::listen(&mut spec, Protocol::Tcp, VIP, &[M]);
    change(&mut spec, at);
    spec
}

fn rig_of(spec: &Spec) -> Rig {
    let mut rig = Rig::new(spec);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    rig
}

fn seg(flags: u8, seq: u32, ack: u32) -> Tcp<'static> {
    Tcp { flags, seq, ack, payload: b"" }
}

fn from_client(rig: &mut Rig, segment: Tcp<'_>) -> Vec<Seen> {
    rig.send(&CLIENT, CLIENT.tcp(C, VIP, segment))
}

fn from_member(rig: &mut Rig, segment: Tcp<'_>) -> Vec<Seen> {
    rig.send(&SERVER, SERVER.tcp(M, C, segment))
}

/// Client's next byte is 1001, the member's 5001.
fn establish(rig: &mut Rig) {
    assert_eq!(from_client(rig, seg(SYN, 1000, 0)).len(), 1);
    assert_eq!(from_member(rig, seg(SYN | ACK, 5000, 1001)).len(), 1);
    assert_eq!(from_client(rig, seg(ACK, 1001, 5001)).len(), 1);
    assert_eq!(rig.worker.flows().len(), 1);
}

/// CHK-100: one SYN in gives one SYN out to the member; the answer leaves from the VIP; sequence
/// numbers, options and payload are equal, TTL is one less.
#[test]
fn exchange_is_forwarded_with_addresses_alone_changed() {
    let mut rig = rig_of(&one_listener(|_, _| {}));
    // A SYN with MSS, SACK, timestamps, window scale and 3 bytes of data.
    let mut syn = [40000_u16, 80].map(u16::to_be_bytes).concat();
    syn.extend([0, 0, 3, 0xe8, 0, 0, 0, 0, 0xa0, SYN, 0xfa, 0xf0, 0, 0, 0, 0]);
    syn.extend([2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7]);
    syn.extend(b"abc");
    let (src, dst) = ("10.1.0.100".parse().unwrap(), "192.0.2.10".parse().unwrap());
    let sum = pseudo_checksum(src, dst, 6, &syn);
    syn[16..18].copy_from_slice(&sum.to_be_bytes());
    let ip = Ip { ttl: 61, traffic_class: 0xb9, ..Ip::default() };
    let seen = rig.send(&CLIENT, CLIENT.ip(ip, "10.1.0.100", "192.0.2.10", 6, &syn));
    let [out] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((out.from(), out.to()), (C.to_owned(), M.to_owned()));
    assert_eq!((out.port, out.tag, out.dst_mac), (1, Some(20), SERVER.mac));
    assert_eq!((out.ttl(), out.traffic_class()), (60, 0xb9));
    assert_eq!(out.upper()[4..16], syn[4..16]);
    assert_eq!(out.upper()[18..], syn[18..]);
    assert!(out.checksums_are_right());

    for (by_client, segment) in [
        (false, Tcp { flags: SYN | ACK, seq: 5000, ack: 1001, payload: b"" }),
        (true, Tcp { flags: ACK, seq: 1001, ack: 5001, payload: b"GET / HTTP/1.1\r\n\r\n" }),
        (false, Tcp { flags: ACK, seq: 5001, ack: 1019, payload: b"HTTP/1.1 200 OK\r\n\r\n" }),
        (true, Tcp { flags: ACK, seq: 1019, ack: 5020, payload: b"" }),
        (true, Tcp { flags: ACK, seq: 1019, ack: 5020, payload: b"odd" }),
    ] {
        let seen =
            if by_client { from_client(&mut rig, segment) } else { from_member(&mut rig, segment) };
        let [out] = &seen[..] else { panic!("{segment:?}: {seen:?}") };
        let ends = if by_client { (C, M) } else { (VIP, C) };
        assert_eq!((out.from().as_str(), out.to().as_str()), ends);
        assert_eq!((out.tcp_seq(), out.tcp_ack()), (segment.seq, segment.ack));
        assert_eq!((out.tcp_flags(), out.payload()), (segment.flags, segment.payload));
        assert!(out.checksums_are_right());
        let station = if by_client { &SERVER } else { &CLIENT };
        assert_eq!((out.tag, out.dst_mac), (station.tag, station.mac));
    }
    let rows: Vec<_> = rig.worker.flows().rows(rig.now).collect();
    assert_eq!((rows.len(), rows[0].state), (1, tmm_engine::flows::FlowState::Open));
}

/// CHK-102: a repeated SYN goes to the same member and makes no second flow; a half-open flow is
/// gone clientTimeout after its SYN, without RST.
#[test]
fn repeated_syn_makes_no_second_flow_and_half_open_ends_silently() {
    let mut rig = rig_of(&one_listener(|spec, at| {
        spec.pools[at].members.push(spec::member("10.2.0.12:8080"));
        spec.listeners[at].handshake_timeout = 5;
        spec.listeners[at].reset_on_idle = true;
    }));
    rig.introduce(&SERVER, "10.2.0.12");
    for _ in 0..3 {
        let seen = from_client(&mut rig, seg(SYN, 1000, 0));
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].to(), M);
        assert_eq!(rig.worker.flows().len(), 1);
        assert_eq!(rig.pass(1500), []);
    }
    // 4.5 s after the first SYN.
    assert_eq!(rig.pass(400), []);
    assert_eq!(rig.worker.flows().len(), 1);
    assert_eq!(rig.pass(2100), []);
    assert_eq!(rig.worker.flows().len(), 0);
}

/// CHK-104: an idle flow ends in [T, T + 2 s], for 1 s and 300 s; each end gets one RST that it
/// accepts, or none with tcpResetOnIdle false; never means never.
#[test]
fn idle_flow_ends_in_time_and_tells_both_ends_if_asked() {
    for (timeout, resets) in [(1, true), (300, true), (300, false)] {
        let mut rig = rig_of(&one_listener(|spec, at| {
            spec.listeners[at].idle_timeout = timeout;
            spec.listeners[at].reset_on_idle = resets;
        }));
        establish(&mut rig);
        rig.now = rig.now.plus(tmm_config::Nanos::from_millis(777));
        // Data both ways, acknowledged: the client expects 5011, the member 1006.
        from_client(&mut rig, Tcp { flags: ACK, seq: 1001, ack: 5001, payload: b"hello" });
        from_member(&mut rig, Tcp { flags: ACK, seq: 5001, ack: 1006, payload: b"0123456789" });
        from_client(&mut rig, seg(ACK, 1006, 5011));
        assert_eq!(rig.pass(u64::from(timeout) * 1000 - 10), []);
        assert_eq!(rig.worker.flows().len(), 1, "T = {timeout}");
        let told = rig.pass(2010);
        assert_eq!(rig.worker.flows().len(), 0, "T = {timeout}");
        if !resets {
            assert_eq!(told, []);
            continue;
        }
        let [to_client, to_member] = &told[..] else { panic!("{told:?}") };
        assert_eq!((to_client.from().as_str(), to_client.to().as_str()), (VIP, C));
        assert_eq!((to_client.tcp_seq(), to_client.tcp_flags() & RST), (5011, RST));
        assert_eq!((to_member.from().as_str(), to_member.to().as_str()), (C, M));
        assert_eq!((to_member.tcp_seq(), to_member.tcp_flags() & RST), (1006, RST));
        assert!(to_client.checksums_are_right() && to_member.checksums_are_right());
    }
    let mut rig = rig_of(&one_listener(|spec, at| spec.listeners[at].idle_timeout = u32::MAX));
    establish(&mut rig);
    rig.pass(7_300_000);
    assert_eq!(rig.worker.flows().len(), 1);
}

#[test]
fn packets_keep_a_flow_from_being_idle() {
    let mut rig = rig_of(&one_listener(|spec, at| spec.listeners[at].idle_timeout = 2));
    establish(&mut rig);
    for _ in 0..10 {
        rig.pass(1900);
        assert_eq!(from_member(&mut rig, seg(ACK, 5001, 1001)).len(), 1);
    }
    rig.pass(4100);
    assert_eq!(rig.worker.flows().len(), 0);
}

#[test]
fn edited_idle_timeout_holds_at_once_for_open_flows() {
    let mut spec = one_listener(|spec, at| spec.listeners[at].idle_timeout = 3000);
    let mut rig = rig_of(&spec);
    establish(&mut rig);
    rig.pass(5000);
    spec.listeners[0].idle_timeout = 10;
    rig.configure(&spec);
    rig.pass(4900);
    assert_eq!(rig.worker.flows().len(), 1);
    rig.pass(2200);
    assert_eq!(rig.worker.flows().len(), 0);
}

#[test]
fn flow_goes_five_seconds_after_both_fins_are_acknowledged() {
    let mut rig = rig_of(&one_listener(|spec, at| spec.listeners[at].reset_on_idle = true));
    establish(&mut rig);
    from_client(&mut rig, seg(FIN | ACK, 1001, 5001));
    from_member(&mut rig, seg(ACK, 5001, 1002));
    // Half closed: data still comes back.
    let data = from_member(&mut rig, Tcp { flags: ACK, seq: 5001, ack: 1002, payload: b"tail" });
    assert_eq!(data.len(), 1);
    rig.pass(60_000);
    from_member(&mut rig, seg(FIN | ACK, 5005, 1002));
    assert_eq!(rig.worker.flows().len(), 1);
    from_client(&mut rig, seg(ACK, 1002, 5006));
    assert_eq!(rig.pass(4990), []);
    assert_eq!(rig.worker.flows().len(), 1);
    assert_eq!(rig.pass(2000), []);
    assert_eq!(rig.worker.flows().len(), 0);
}

#[test]
fn half_closed_flow_lives_while_the_other_side_sends() {
    for client_closes in [false, true] {
        let mut rig = rig_of(&one_listener(|_, _| {}));
        establish(&mut rig);
        // (sequence, acknowledgement) of who closes and of who goes on.
        let send = |rig: &mut Rig, closer: bool, segment: Tcp<'_>| {
            let seen = if closer == client_closes {
                from_client(rig, segment)
            } else {
                from_member(rig, segment)
            };
            assert_eq!(seen.len(), 1, "{segment:?}");
        };
        let (own, theirs) = if client_closes { (1001, 5001) } else { (5001, 1001) };
        send(&mut rig, true, seg(FIN | ACK, own, theirs));
        send(&mut rig, false, seg(ACK, theirs, own + 1));
        for at in 0..10 {
            rig.pass(1000);
            send(&mut rig, false, Tcp { payload: b"x", ..seg(ACK, theirs + at, own + 1) });
            send(&mut rig, true, seg(ACK, own + 1, theirs + at + 1));
        }
        assert_eq!(rig.worker.flows().len(), 1);
        send(&mut rig, false, seg(FIN | ACK, theirs + 10, own + 1));
        send(&mut rig, true, seg(ACK, own + 1, theirs + 11));
        rig.pass(4_900);
        assert_eq!(rig.worker.flows().len(), 1);
        rig.pass(1_100);
        assert_eq!(rig.worker.flows().len(), 0);
    }
}

#[test]
fn closed_tuple_is_opened_anew_by_a_syn() {
    let mut rig = rig_of(&one_listener(|spec, at| {
        spec.pools[at].members.push(spec::member("10.2.0.12:8080"));
    }));
    rig.introduce(&SERVER, "10.2.0.12");
    establish(&mut rig);
    from_client(&mut rig, seg(FIN | ACK, 1001, 5001));
    from_member(&mut rig, seg(FIN | ACK, 5001, 1002));
    from_client(&mut rig, seg(ACK, 1002, 5002));
    let seen = from_client(&mut rig, seg(SYN, 9000, 0));
    assert_eq!(seen[0].to(), "10.2.0.12:8080");
    assert_eq!(rig.worker.flows().len(), 1);
}

#[test]
fn reset_inside_the_window_ends_a_flow_and_outside_is_forwarded_without_effect() {
    for by_client in [true, false] {
        let mut rig = rig_of(&one_listener(|_, _| {}));
        establish(&mut rig);
        let expected = if by_client { 1001 } else { 5001 };
        let send = |rig: &mut Rig, seq| {
            if by_client {
                from_client(rig, seg(RST, seq, 0))
            } else {
                from_member(rig, seg(RST, seq, 0))
            }
        };
        for outside in [expected - 1, expected + 0x0100_0000] {
            assert_eq!(send(&mut rig, outside).len(), 1);
            assert_eq!(rig.worker.flows().len(), 1);
        }
        assert_eq!(send(&mut rig, expected + 500).len(), 1);
        assert_eq!(rig.worker.flows().len(), 0);
    }
}

#[test]
fn refused_connection_ends_the_flow_at_once() {
    let mut rig = rig_of(&one_listener(|_, _| {}));
    from_client(&mut rig, seg(SYN, 1000, 0));
    assert_eq!(from_member(&mut rig, seg(RST | ACK, 0, 1001)).len(), 1);
    assert_eq!(rig.worker.flows().len(), 0);
}

#[test]
fn stray_segment_is_answered_by_reset_and_a_stray_reset_by_nothing() {
    let mut rig = rig_of(&one_listener(|_, _| {}));
    let seen = from_client(&mut rig, Tcp { flags: ACK, seq: 7, ack: 99, payload: b"xy" });
    let [reset] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((reset.from().as_str(), reset.to().as_str()), (VIP, C));
    assert_eq!((reset.tcp_flags(), reset.tcp_seq()), (RST, 99));
    assert!(reset.checksums_are_right());
    assert_eq!(rig.drops(DropReason::TcpStray), 1);
    rig.must_drop(&CLIENT, CLIENT.tcp(C, VIP, seg(RST, 7, 0)), DropReason::TcpStray);
    assert_eq!(rig.worker.flows().len(), 0);
}

#[test]
fn nonsense_flags_are_dropped() {
    let mut rig = rig_of(&one_listener(|_, _| {}));
    for flags in [SYN | FIN, SYN | RST, 0] {
        let frame = CLIENT.tcp(C, VIP, seg(flags, 1, 0));
        rig.must_drop(&CLIENT, frame, DropReason::TcpBadFlags);
    }
}

/// CHK-108: the member sees the client, or the self IP of the VLAN towards it, in both families;
/// the port is kept, or moved when its reply key is taken. SNATPOOL comes with `engine`.
#[test]
fn source_is_the_clients_or_the_self_ip_and_its_port_is_kept_while_free() {
    for (snat, vip, client, other, member, source) in [
        (Snat::None, VIP, C, "10.1.0.101:40000", M, "10.1.0.100:40000"),
        (Snat::Automap, VIP, C, "10.1.0.101:40000", M, "10.2.0.2:40000"),
        (
            Snat::None,
            "[2001:db8:f::10]:80",
            "[2001:db8:1::100]:40000",
            "[2001:db8:1::101]:40000",
            "[2001:db8:2::11]:8080",
            "[2001:db8:1::100]:40000",
        ),
        (
            Snat::Automap,
            "[2001:db8:f::10]:80",
            "[2001:db8:1::100]:40000",
            "[2001:db8:1::101]:40000",
            "[2001:db8:2::11]:8080",
            "[2001:db8:2::2]:40000",
        ),
    ] {
        let mut spec = spec::vlans();
        let at = spec::listen(&mut spec, Protocol::Tcp, vip, &[member]);
        spec.listeners[at].snat = snat;
        let mut rig = Rig::new(&spec);
        rig.tick();
        let (host, _) = rig::craft::end(member);
        rig.introduce(&SERVER, &host.to_string());
        let seen = rig.send(&CLIENT, CLIENT.tcp(client, vip, seg(SYN, 1, 0)));
        let [out] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!((out.from().as_str(), out.to().as_str()), (source, member));
        assert!(out.checksums_are_right());
        let answer = rig.send(&SERVER, SERVER.tcp(member, source, seg(SYN | ACK, 9, 2)));
        assert_eq!((answer[0].from().as_str(), answer[0].to().as_str()), (vip, client));

        // A second client with the same port.
        let seen = rig.send(&CLIENT, CLIENT.tcp(other, vip, seg(SYN, 1, 0)));
        let second = seen[0].from();
        if snat == Snat::None {
            assert_eq!(second, other);
        } else {
            let (address, port) = rig::craft::end(&second);
            assert_eq!(address, rig::craft::end(source).0);
            assert!(port >= 1024 && port != 40000, "{port}");
            let answer = rig.send(&SERVER, SERVER.tcp(member, &second, seg(SYN | ACK, 9, 2)));
            assert_eq!((answer[0].from().as_str(), answer[0].to().as_str()), (vip, other));
        }
    }
}

/// CHK-118 (packets): the port that a member is sent to, for the four combinations of
/// destinationPort and service.port as the planner resolves them (d or 0 outside, p or 0 inside),
/// on both families. That one object gives both listeners is the planner's test.
#[test]
fn member_port_is_the_members_or_the_clients_when_that_is_zero() {
    for (vip, member, asked, reached) in [
        ("192.0.2.10:80", "10.2.0.11:8080", 80, 8080),
        ("192.0.2.10:0", "10.2.0.11:0", 65_000, 65_000),
        ("192.0.2.10:0", "10.2.0.11:8080", 65_000, 8080),
        // destinationPort d with service.port 0: the planner writes d into the members.
        ("192.0.2.10:80", "10.2.0.11:80", 80, 80),
        ("[2001:db8:f::10]:80", "[2001:db8:2::11]:8080", 80, 8080),
        ("[2001:db8:f::10]:0", "[2001:db8:2::11]:0", 65_000, 65_000),
        ("[2001:db8:f::10]:0", "[2001:db8:2::11]:8080", 65_000, 8080),
        ("[2001:db8:f::10]:80", "[2001:db8:2::11]:80", 80, 80),
    ] {
        let mut spec = spec::vlans();
        spec::listen(&mut spec, Protocol::Tcp, vip, &[member]);
        let mut rig = Rig::new(&spec);
        rig.tick();
        let (host, _) = rig::craft::end(member);
        rig.introduce(&SERVER, &host.to_string());
        let (vip, _) = rig::craft::end(vip);
        let client = if vip.is_ipv6() { "[2001:db8:1::100]:5000" } else { "10.1.0.100:5000" };
        let asked = std::net::SocketAddr::new(vip, asked).to_string();
        let seen = rig.send(&CLIENT, CLIENT.tcp(client, &asked, seg(SYN, 1, 0)));
        assert_eq!((seen[0].dst(), seen[0].dport()), (host, reached));
        let member = std::net::SocketAddr::new(host, reached).to_string();
        let answer = rig.send(&SERVER, SERVER.tcp(&member, client, seg(SYN | ACK, 9, 2)));
        assert_eq!(answer[0].from(), asked);
    }
}
