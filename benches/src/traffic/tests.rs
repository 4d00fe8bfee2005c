use super::{Draw, FRAME, Leg, Templates, finish, is_right, sums};

/// Each frame has right checksums, and only a translated one counts as right.
#[test]
fn written_frames_have_right_checksums_and_are_not_what_must_come_back() {
    let templates = Templates::default();
    for flow in [0, 1, 65_535, 65_536, 1_048_575] {
        for is_reply in [false, true] {
            let mut frame = [0; FRAME];
            templates.write(Leg { flow, is_reply }, &mut frame);
            let (ip, udp) = sums(&frame);
            assert_eq!((finish(ip), finish(udp)), (0, 0));
            assert!(!is_right(&frame, 1 << 20));
        }
    }
}

/// Every leg is drawn, none beyond the flows.
#[test]
fn draw_covers_all_legs_of_all_flows() {
    let mut draw = Draw::new(64, 7);
    let mut seen = [[false; 2]; 64];
    for _ in 0..10_000 {
        let leg = draw.next_leg();
        seen[leg.flow as usize][usize::from(leg.is_reply)] = true;
    }
    assert!(seen.iter().flatten().all(|leg| *leg));
}
