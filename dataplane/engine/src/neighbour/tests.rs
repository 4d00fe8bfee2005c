use super::*;

fn ms(millis: u64) -> Nanos {
    Nanos::from_millis(1_000_000 + millis)
}

#[test]
fn three_requests_a_second_apart_then_failed_then_asked_again_after_a_second() {
    let mut it = Neighbour::new();
    assert_eq!(it.wanted(ms(0)), Fate::HoldAndAsk);
    assert_eq!(it.wanted(ms(10)), Fate::Hold);
    assert_eq!(it.tick(ms(999), true, true), Action::Wait);
    assert_eq!(it.tick(ms(1000), true, true), Action::Ask);
    assert_eq!(it.tick(ms(2000), true, true), Action::Ask);
    assert_eq!(it.tick(ms(2999), true, true), Action::Wait);
    assert_eq!(it.tick(ms(3000), true, true), Action::GiveUp);
    assert!(!it.is_alive());
    assert_eq!(it.wanted(ms(3999)), Fate::Fail);
    assert_eq!(it.wanted(ms(4000)), Fate::HoldAndAsk);
}

#[test]
fn an_old_answer_is_confirmed_by_unicast_while_in_use_and_failing_that_is_dropped() {
    let mut it = Neighbour::new();
    it.confirm(ms(0));
    assert_eq!(it.tick(ms(29_999), true, true), Action::Wait);
    assert_eq!(it.tick(ms(40_000), false, true), Action::Wait);
    assert_eq!(it.tick(ms(40_000), true, true), Action::AskUnicast);
    assert!(it.is_alive());
    it.confirm(ms(40_001));
    assert_eq!(it.chosen(ms(50_000)), Action::Wait);
    assert_eq!(it.chosen(ms(70_001)), Action::AskUnicast);
    assert_eq!(it.tick(ms(71_001), true, true), Action::AskUnicast);
    assert_eq!(it.tick(ms(72_001), true, true), Action::AskUnicast);
    assert_eq!(it.tick(ms(73_001), true, true), Action::GiveUp);
}

#[test]
fn a_gateway_is_asked_every_second_and_is_dead_within_three_of_its_last_answer() {
    let mut it = Neighbour { is_gateway: true, ..Neighbour::new() };
    assert_eq!(it.tick(ms(0), false, true), Action::Ask);
    it.confirm(ms(1));
    assert_eq!(it.tick(ms(1000), false, true), Action::AskUnicast);
    it.confirm(ms(1001));
    assert_eq!(it.tick(ms(2000), false, true), Action::AskUnicast);
    assert_eq!(it.tick(ms(3000), false, true), Action::AskUnicast);
    assert_eq!(it.tick(ms(3500), false, true), Action::Wait);
    assert_eq!(it.tick(ms(3501), false, true), Action::GiveUp);
    assert_eq!(it.tick(ms(4501), false, true), Action::Ask);
    it.confirm(ms(4502));
    assert!(it.is_alive());
}

#[test]
fn a_worker_that_does_not_probe_still_notices_a_dead_gateway() {
    let mut it = Neighbour { is_gateway: true, ..Neighbour::new() };
    assert_eq!(it.tick(ms(0), false, false), Action::Wait);
    it.confirm(ms(1));
    assert_eq!(it.tick(ms(2000), false, false), Action::Wait);
    assert_eq!(it.tick(ms(2501), false, false), Action::GiveUp);
}
