//! The tag rules by chunk, and reading packets.

use super::*;

fn packet(kind: ChunkKind, tag: u32, initiate: u32) -> Packet {
    Packet { tag, kind, reflected: false, initiate, alive: false }
}

/// Tags 1 (packets of the opener) and 2 in force, 11 and 12 offered.
const BOTH: Track = Track { state: State::Established, tags: [1, 2], offered: [11, 12] };

#[test]
fn every_chunk_is_taken_with_the_tags_of_the_table_alone() {
    use ChunkKind::{
        Abort, CookieAck, CookieEcho, Data, Error, Heartbeat, HeartbeatAck, InitAck, Other, Sack,
        Shutdown, ShutdownAck, ShutdownComplete,
    };
    // Of the opener: tag in force, offered, the other side's, any other. A refused offer ends nothing.
    let table = [
        (Data, [true, false, false, false]),
        (Sack, [true, false, false, false]),
        (Heartbeat, [true, false, false, false]),
        (HeartbeatAck, [true, false, false, false]),
        (Shutdown, [true, false, false, false]),
        (ShutdownAck, [true, false, false, false]),
        (Other(63), [true, false, false, false]),
        (CookieAck, [true, false, false, false]),
        (Error, [true, true, false, false]),
        (InitAck, [true, true, false, false]),
        (CookieEcho, [true, true, false, false]),
        (Abort, [true, true, false, false]),
        (ShutdownComplete, [true, false, false, false]),
    ];
    for (kind, taken) in table {
        for (tag, taken) in [1, 11, 2, 99].into_iter().zip(taken) {
            let mut track = BOTH;
            let step = track.step(0, &packet(kind, tag, 5));
            assert_eq!(step != Step::BadTag, taken, "{kind:?} with {tag}");
            let ends = matches!(kind, Abort | ShutdownComplete);
            assert_eq!(step == Step::End, tag == 1 && ends, "{kind:?} with {tag}");
        }
        // Before any tag is known, 0 is none.
        let mut track = Track { state: State::Opening, tags: [0; 2], offered: [0; 2] };
        assert_eq!(track.step(0, &packet(kind, 0, 5)), Step::BadTag, "{kind:?}");
    }
}

#[test]
fn reflected_tag_ends_with_abort_and_shutdown_complete_only() {
    for (kind, taken) in
        [(ChunkKind::Abort, true), (ChunkKind::ShutdownComplete, true), (ChunkKind::Data, false)]
    {
        let mut track = BOTH;
        let step = track.step(0, &Packet { reflected: true, ..packet(kind, 2, 0) });
        assert_eq!(step == Step::End, taken, "{kind:?}");
        // Its own tag, what either side is offered, and no tag.
        for tag in [1, 11, 12, 0] {
            for state in [State::Opening, State::Established] {
                let mut track = Track { state, ..BOTH };
                let step = track.step(0, &Packet { reflected: true, ..packet(kind, tag, 0) });
                assert_ne!(step, Step::End, "{kind:?} reflecting {tag} while {state:?}");
            }
        }
    }
    let mut track = Track::open(&packet(ChunkKind::Init, 0, 12));
    let none = Packet { reflected: true, ..packet(ChunkKind::Abort, 0, 0) };
    assert_eq!(track.step(1, &none), Step::BadTag);
}

#[test]
fn first_handshake_tells_its_tags_and_cookie_ack_establishes() {
    let mut track = Track::open(&packet(ChunkKind::Init, 0, 12));
    assert_eq!(track.tag_towards(0), Some(12));
    assert_eq!(track.tag_towards(1), None);
    assert_eq!(track.step(1, &packet(ChunkKind::InitAck, 12, 11)), Step::Forward { alive: true });
    assert_eq!(track.tags, [11, 12]);
    assert_eq!(track.step(0, &packet(ChunkKind::CookieEcho, 11, 0)), Step::Forward { alive: true });
    assert_eq!((track.tags, track.state), ([11, 12], State::Opening));
    assert_eq!(track.step(1, &packet(ChunkKind::CookieAck, 12, 0)), Step::Established);
    assert_eq!((track.offered, track.state), ([0, 0], State::Established));
}

#[test]
fn later_handshake_is_in_force_from_the_cookie_echo_of_its_pair() {
    let mut track = Track { offered: [0; 2], ..BOTH };
    let forward = Step::Forward { alive: true };
    assert_eq!(track.step(0, &packet(ChunkKind::Init, 0, 12)), forward);
    // Half a pair: neither end has a cookie for it.
    assert_eq!(track.step(1, &packet(ChunkKind::CookieEcho, 12, 0)), Step::BadTag);
    assert_eq!(track.step(1, &packet(ChunkKind::InitAck, 12, 11)), forward);
    // A repeated one of the handshake before.
    assert_eq!(track.step(0, &packet(ChunkKind::CookieEcho, 1, 0)), forward);
    assert_eq!((track.tags, track.offered), ([1, 2], [11, 12]));
    // Another INIT begins another pair.
    let mut forged = track;
    assert_eq!(forged.step(0, &packet(ChunkKind::Init, 0, 99)), forward);
    assert_eq!(forged.step(0, &packet(ChunkKind::CookieEcho, 11, 0)), Step::BadTag);
    assert_eq!(forged.tags, [1, 2]);
    assert_eq!(track.step(0, &packet(ChunkKind::CookieEcho, 11, 0)), forward);
    assert_eq!(track.tags, [11, 12]);
    assert_eq!(track.step(1, &packet(ChunkKind::CookieAck, 12, 0)), forward);
    assert_eq!(track.offered, [0, 0]);
}

#[test]
fn either_answer_to_a_repeated_init_may_complete_the_first_handshake() {
    for chosen in [11, 13] {
        let mut track = Track::open(&packet(ChunkKind::Init, 0, 12));
        for initiate in [11, 13] {
            let _ = track.step(0, &packet(ChunkKind::Init, 0, 12));
            let _ = track.step(1, &packet(ChunkKind::InitAck, 12, initiate));
        }
        let echo = track.step(0, &packet(ChunkKind::CookieEcho, chosen, 0));
        assert_eq!(echo, Step::Forward { alive: true });
        assert_eq!(track.tags, [chosen, 12]);
        assert_eq!(track.step(1, &packet(ChunkKind::CookieAck, 12, 0)), Step::Established);
    }
}

#[test]
fn packet_with_unsound_tags_is_not_read() {
    let read = |tag: u32, chunk: &[u8]| {
        let mut bytes = vec![0, 1, 0, 2];
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(chunk);
        Packet::read(&bytes)
    };
    let init = |kind: u8, initiate: u8| {
        let mut chunk = vec![kind, 0, 0, 20, 0, 0, 0, initiate];
        chunk.extend([0; 12]);
        chunk
    };
    assert!(read(0, &init(1, 5)).is_some_and(|packet| packet.is_opening()));
    assert!(read(9, &init(2, 5)).is_some());
    // INIT with a tag, INIT ACK without, an initiate tag of 0, others without a tag.
    for (tag, chunk) in [(9, init(1, 5)), (0, init(2, 5)), (0, init(1, 0)), (0, vec![11, 0, 0, 4])]
    {
        assert_eq!(read(tag, &chunk), None, "{tag} {chunk:?}");
    }
}

#[test]
fn addresses_are_hidden_in_any_bytes_without_panic() {
    let mut packet = vec![0; 12];
    packet.extend([1, 0, 0, 200]);
    packet.extend([0; 16]);
    packet.extend([0, 5, 0, 8, 1, 2, 3, 4, 0, 5, 0, 3, 0, 6, 0xff, 0xff]);
    for len in 0..packet.len() {
        let mut cut = packet[..len].to_vec();
        hide_addresses(&mut cut, "10.0.0.1".parse().unwrap());
    }
    assert!(hide_addresses(&mut packet, "10.0.0.1".parse().unwrap()));
    assert_eq!(packet[32..40], [0, 5, 0, 8, 10, 0, 0, 1]);
}
