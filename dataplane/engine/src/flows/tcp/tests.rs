//! The tracker's whole transition table, and what it takes for a reset.

use super::*;

fn segment(flags: u8, seq: u32, ack: u32) -> Segment {
    Segment { seq, ack, flags, window: 0xffff, len: 0, scale: None }
}

/// A connection in `state` whose client is at 100 and whose member is at 500.
fn at(state: State) -> Track {
    let mut track = Track::open(&segment(bits::SYN, 99, 0));
    track.state = state;
    track.acks = [500, 100];
    if state == State::SynSent {
        track.acks[0] = 0;
    }
    if state == State::Closing {
        // The client's FIN was seen.
        track.detail = FIN_SEEN;
        track.fins[0] = 101;
    }
    if state == State::Closed {
        track.detail = FIN_SEEN | FIN_SEEN << 1 | FINS_ACKED;
    }
    track
}

const STATES: [State; 5] =
    [State::SynSent, State::SynReceived, State::Established, State::Closing, State::Closed];

/// The events, with the side that sends: client 0, member 1.
fn events() -> [(&'static str, usize, Segment); 11] {
    use bits::{ACK, FIN, RST, SYN};
    [
        ("SYN of the client", 0, segment(SYN, 99, 0)),
        ("SYN-ACK of the member", 1, segment(SYN | ACK, 499, 100)),
        ("SYN-ACK to another SYN", 1, segment(SYN | ACK, 499, 77_777)),
        ("ACK of the client", 0, segment(ACK, 100, 500)),
        ("ACK of the member", 1, segment(ACK, 500, 100)),
        ("FIN of the client", 0, segment(FIN | ACK, 100, 500)),
        ("FIN of the member, acknowledging", 1, segment(FIN | ACK, 500, 101)),
        ("RST of the client in the window", 0, segment(RST, 100, 0)),
        ("RST of the client outside", 0, segment(RST, 0x4000_0000, 0)),
        ("RST of the member in the window", 1, segment(RST | ACK, 500, 100)),
        ("RST of the member outside", 1, segment(RST | ACK, 0x4000_0000, 0x4000_0000)),
    ]
}

#[test]
fn every_state_and_event_gives_the_step_and_state_of_the_table() {
    use State::{Closed as X, Closing as C, Established as E, SynReceived as R, SynSent as S};
    use Step::{Changed, End, Reopen, Stay};
    let table: [[(Step, State); 5]; 11] = [
        [(Stay, S), (Stay, R), (Stay, E), (Stay, C), (Reopen, X)],
        [(Changed, R), (Stay, R), (Stay, E), (Stay, C), (Stay, X)],
        [(Stay, S), (Stay, R), (Stay, E), (Stay, C), (Stay, X)],
        [(Stay, S), (Changed, E), (Stay, E), (Stay, C), (Stay, X)],
        [(Stay, S), (Stay, R), (Stay, E), (Stay, C), (Stay, X)],
        [(Stay, S), (Changed, C), (Changed, C), (Stay, C), (Stay, X)],
        // In Closing this acknowledges the client's FIN; the member's own is not acknowledged yet.
        [(Stay, S), (Stay, R), (Changed, C), (Stay, C), (Stay, X)],
        [(End, S), (End, R), (End, E), (End, C), (End, X)],
        [(Stay, S), (Stay, R), (Stay, E), (Stay, C), (Stay, X)],
        [(End, S), (End, R), (End, E), (End, C), (End, X)],
        [(Stay, S), (Stay, R), (Stay, E), (Stay, C), (Stay, X)],
    ];
    for ((name, side, segment), row) in events().into_iter().zip(table) {
        for (state, (step, next)) in STATES.into_iter().zip(row) {
            let mut track = at(state);
            assert_eq!(track.step(side, &segment), step, "{name} in {state:?}");
            assert_eq!(track.state, next, "{name} in {state:?}");
        }
    }
}

#[test]
fn both_fins_must_be_acknowledged_in_whatever_order() {
    use bits::{ACK, FIN};
    for client_first in [true, false] {
        let mut track = at(State::Established);
        let fins = [(0, segment(FIN | ACK, 100, 500)), (1, segment(FIN | ACK, 500, 100))];
        let order = if client_first { [0, 1] } else { [1, 0] };
        for at in order {
            let (side, fin) = fins[at];
            let _ = track.step(side, &fin);
            assert_eq!(track.state, State::Closing);
        }
        // Simultaneous close: each acknowledges the other's.
        let _ = track.step(0, &segment(ACK, 101, 501));
        assert_eq!(track.state, State::Closing);
        assert_eq!(track.step(1, &segment(ACK, 501, 101)), Step::Changed);
        assert_eq!(track.state, State::Closed);
    }
}

#[test]
fn fin_counts_within_the_window_alone_and_a_later_one_must_be_acknowledged_anew() {
    use bits::{ACK, FIN};
    let mut start = at(State::Established);
    let _ = start.step(1, &segment(ACK, 500, 100));
    let window = start.window(1);
    for (seq, counts) in [(100, true), (99, false), (100 + window - 1, true), (100 + window, false)]
    {
        let mut track = start;
        let step = track.step(0, &segment(FIN | ACK, seq, 500));
        assert_eq!(step == Step::Changed, counts, "{seq}");
    }
    // Data before the FIN was acknowledged already; the FIN was not.
    let mut repeated = segment(FIN | ACK, 90, 500);
    repeated.len = 10;
    assert_eq!(start.step(0, &repeated), Step::Changed);
    // The member closes, and acknowledges the client's FIN at 101. A second FIN lies after it.
    let _ = start.step(1, &segment(FIN | ACK, 500, 101));
    let _ = start.step(0, &segment(FIN | ACK, 150, 500));
    let _ = start.step(0, &segment(ACK, 151, 501));
    assert_eq!(start.state, State::Closing);
    assert_eq!(start.step(1, &segment(ACK, 501, 151)), Step::Changed);
    assert_eq!(start.state, State::Closed);
}

/// The closer look and the hit path take the same acknowledgements.
#[test]
fn acknowledgement_counts_within_the_largest_window_of_the_last_one() {
    for (scales, shift) in [([None, None], 0), ([Some(7), Some(2)], 7), ([Some(14), Some(14)], 14)]
    {
        let mut track =
            Track { scale: scales.map(|s| s.unwrap_or(NO_SCALE)), ..at(State::Established) };
        track.detail |= if shift > 0 { SCALED } else { 0 };
        let reach = 65_536_u32 << shift;
        for (ack, counts) in [
            (500 + reach, true),
            (501 + reach, false),
            (500_u32.wrapping_sub(reach), true),
            (499_u32.wrapping_sub(reach), false),
            (500 + (1 << 31), false),
        ] {
            let taken = if counts { ack } else { 500 };
            let (mut hot, mut cold) = (Hot::<u64>::default(), Cold::default());
            track.store(&mut hot, &mut cold);
            assert_eq!(Track::load(&hot, &cold), track);
            let mut header = [0; 20];
            header[8..12].copy_from_slice(&ack.to_be_bytes());
            observe(&mut hot, false, &header, 0);
            assert_eq!(hot.marks, [taken, 100], "{ack:#x} with shift {shift}");
            let mut near = track;
            let _ = near.step(0, &segment(bits::ACK, 100, ack));
            assert_eq!(near.acks, [taken, 100], "{ack:#x} with shift {shift}");
        }
    }
}

#[test]
fn window_follows_scale_only_if_both_sides_offered_one() {
    for (client, member, factor) in [(Some(7), Some(2), 128), (Some(7), None, 1), (None, None, 1)] {
        let mut syn = segment(bits::SYN, 99, 0);
        syn.scale = client;
        let mut track = Track::open(&syn);
        let mut answer = segment(bits::SYN | bits::ACK, 499, 100);
        answer.scale = member;
        let _ = track.step(1, &answer);
        let mut ack = segment(bits::ACK, 100, 500);
        ack.window = 1000;
        let _ = track.step(0, &ack);
        let window = track.window(0);
        assert!((1000 * factor..=2000 * factor).contains(&window), "{window}");
    }
}

#[test]
fn data_in_the_syn_may_be_acknowledged_or_not() {
    for acknowledged in [100, 110] {
        let mut syn = segment(bits::SYN, 99, 0);
        syn.len = 10;
        let mut track = Track::open(&syn);
        let answer = segment(bits::SYN | bits::ACK, 499, acknowledged);
        assert_eq!(track.step(1, &answer), Step::Changed);
        assert_eq!(track.state, State::SynReceived);
    }
}

#[test]
fn broken_options_are_read_without_a_scale() {
    let scale = |options: &[u8]| scale_option(options);
    assert_eq!(scale(&[2, 4, 5, 0xb4, 1, 3, 3, 7]), Some(7));
    assert_eq!(scale(&[3, 3, 200]), Some(14));
    for options in [&[][..], &[0, 3, 3, 7], &[2, 0, 3, 3, 7], &[2], &[2, 9, 1], &[3, 3], &[1, 1]] {
        assert_eq!(scale(options), None, "{options:?}");
    }
}
