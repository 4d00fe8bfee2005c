//! How verdicts return (licensing.md §9.1).

use super::*;

fn activated(class: Class) -> World {
    let mut world = World::new(3);
    world.relicense(|licence| (licence.class, licence.active) = (class, true));
    world.run(1);
    assert!(world.allowed() && world.passes());
    world
}

/// LIC-653, LIC-654, LIC-655: when a report is rebuilt, when upstream accepts later, when the clock
/// is right again, and so for every condition that blocks, a trial is allowed at once, and its gate
/// opens. (That these events end the conditions is shown with the licence machine.)
#[test]
fn a_condition_that_ends_is_followed_at_once() {
    for reason in Reason::ALL {
        let mut world = activated(Class::Trial);
        world.condition(*reason, true);
        if world.standing().verdict != Verdict::Block {
            continue;
        }
        world.run(700);
        assert!(!world.allowed() && !world.passes(), "{reason}");
        let ended = world.now;
        world.condition(*reason, false);
        assert_eq!(world.now, ended);
        world.run(0);
        assert!(world.allowed(), "{reason}: at once");
        world.run(1);
        assert!(world.passes(), "{reason}");
    }
}

/// The first receipt reaches the Controller at once by the broadcast, and in 6 s by its asking where
/// broadcasts are dropped.
#[test]
fn the_first_receipt_opens_by_broadcast_or_by_asking() {
    for class in [Class::Trial, Class::Production] {
        for broadcast in [true, false] {
            let mut world = World::new(3);
            world.run(33);
            assert_eq!(world.verdict(), Some(Judged::Block));
            let judgement = *world.client.as_ref().unwrap().judgement();
            assert_eq!(judgement.enforcement(), Enforcement::Close, "waiting is no error");
            if !broadcast {
                world.wire = Wire::Cut;
            }
            world.relicense(|licence| (licence.class, licence.active) = (class, true));
            world.wire = Wire::Good;
            world.run(if broadcast { 0 } else { 6 });
            assert!(world.allowed(), "{class:?} {broadcast}");
            world.run(1);
            assert!(world.passes(), "{class:?} {broadcast}");
        }
    }
}

/// Contact that returns is followed at the first statement; the CWC restarts without notice.
#[test]
fn contact_that_returns_is_followed_at_once() {
    let mut world = activated(Class::Trial);
    world.cut();
    world.run(1000);
    assert!(!world.allowed() && !world.passes());
    world.wire = Wire::Good;
    world.run(5);
    assert!(world.allowed() && world.passes());

    for class in [Class::Trial, Class::Production] {
        let mut world = activated(class);
        world.changes.clear();
        for round in 0..100 {
            world.desk = None;
            world.run(round % 100);
            assert!(world.passes());
            world.start_cwc();
            world.run(round % 7);
            assert!(world.passes());
        }
        assert_eq!(world.changes, []);
    }
}

/// A trial that becomes paid: the gate is latched at once by the broadcast, without a moment closed (§3.6).
#[test]
fn a_trial_that_becomes_paid_is_latched() {
    let mut world = activated(Class::Trial);
    world.relicense(|licence| licence.class = Class::Production);
    let mut closed = false;
    let end = world.now.plus(Nanos::from_secs(1));
    world.watch_until(end, |world| closed |= !world.passes());
    assert!(world.tmm_is_latched() && !closed);

    let mut world = activated(Class::Trial);
    world.condition(Reason::Expired, true);
    world.run(100);
    assert!(!world.passes());
    world.relicense(|licence| {
        licence.class = Class::Production;
        licence.conditions.clear(Reason::Expired);
    });
    world.run(1);
    assert!(world.tmm_is_latched() && world.passes());
}

/// A CWC that starts over with a new DAID (P6) blocks a trial as not activated, and its first
/// receipt opens the running TMM again.
#[test]
fn a_cwc_that_starts_over_opens_running_tmms_after_its_first_receipt() {
    let mut world = activated(Class::Trial);
    world.run(500);
    world.epoch = 0;
    world.licence.daid = Uuid::from_u128(2);
    world.licence.active = false;
    world.start_cwc();
    // Its numbers are behind: the Controller hears nothing new until it asks with its `last`.
    world.run(200);
    assert_eq!(world.verdict(), Some(Judged::Block));
    world.relicense(|licence| licence.active = true);
    world.run(6);
    assert!(world.allowed() && world.passes());
}

/// An old backup is restored (§7.5): the CWC learns epoch and time from the
/// `last` that the Controller kept over its restart, and signs above it.
#[test]
fn a_restored_cwc_learns_from_a_restarted_controller() {
    let mut world = activated(Class::Trial);
    for _ in 0..7 {
        world.start_cwc();
        world.run(300);
    }
    let ahead = world.epoch;
    let time = world.moment().iat;
    world.epoch = 2;
    world.clock = -86_400;
    world.start_cwc();
    world.start_controller();
    assert!(world.last.is_some());
    world.run(1);
    let desk = world.desk.as_ref().unwrap();
    assert!(desk.last().0 > ahead, "{:?}", desk.last());
    // `last` is stored once a minute; the mark is at most that far behind.
    assert!(world.moment().iat + 61 >= time);
    assert!(world.allowed() && world.passes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// After any time on a poor wire with restarts, a good wire brings an activated trial back within
    /// a heartbeat and the asking: nothing is stranded.
    #[test]
    fn a_good_wire_brings_an_activated_trial_back(
        random in any::<u64>(),
        steps in proptest::collection::vec((some_wire(), some_pause(), 0..5u8), 1..20),
    ) {
        let mut world = activated(Class::Trial);
        world.random = random | 1;
        for (wire, pause, restart) in steps {
            match wire {
                Wire::Cut => world.cut(),
                Wire::Good | Wire::Poor(_) => world.wire = wire,
            }
            world.run(pause);
            match restart {
                0 => world.start_cwc(),
                1 => world.start_controller(),
                2 => world.start_tmm(),
                _ => {}
            }
        }
        world.wire = Wire::Good;
        world.run(70);
        prop_assert!(world.allowed());
        prop_assert!(world.passes());
    }
}
