//! A trial is blocked in time (LIC-642, LIC-620).

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Run(u64),
    Wire(Wire),
    StopCwc,
    StartCwc,
    RestartController,
    RestartTmm,
    Condition(Reason, bool),
    Replay(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => some_pause().prop_map(Op::Run),
        3 => some_wire().prop_map(Op::Wire),
        1 => Just(Op::StopCwc),
        2 => Just(Op::StartCwc),
        1 => Just(Op::RestartController),
        1 => Just(Op::RestartTmm),
        4 => (some_reason(), any::<bool>()).prop_map(|(reason, on)| Op::Condition(reason, on)),
        3 => any::<usize>().prop_map(Op::Replay),
    ]
}

/// A world with an activated trial.
fn world(random: u64) -> World {
    let mut world = World::new(random);
    world.relicense(|licence| (licence.class, licence.active) = (Class::Trial, true));
    world.run(1);
    assert!(world.allowed() && world.passes());
    world
}

/// Since when each condition that is marked Block stands: in the licence, no CWC, no wire.
#[derive(Default)]
struct Begun([Option<Nanos>; 3]);

impl Begun {
    fn note(&mut self, world: &World) {
        let stands = [
            world.standing().verdict == Verdict::Block,
            world.desk.is_none(),
            world.wire == Wire::Cut,
        ];
        for (begun, stands) in self.0.iter_mut().zip(stands) {
            *begun = stands.then(|| begun.unwrap_or(world.now));
        }
    }

    /// Whether one stands for 188 s.
    fn due(&self, now: Nanos) -> bool {
        let due = |begun: &Nanos| now > begun.plus(Nanos::from_secs(188));
        self.0.iter().flatten().any(due)
    }
}

/// Lives in a plain build, and with optimisations.
const LIVES: u32 = if cfg!(debug_assertions) { 32 } else { 1000 };

proptest! {
    #![proptest_config(ProptestConfig { cases: LIVES, ..ProptestConfig::default() })]

    /// LIC-642: a trial with any condition marked Block is blocked 188 s after it began at the
    /// latest, and stays so while it lasts: neither does the Controller allow, nor is the gate open.
    /// Messages are lost, delayed, repeated and replayed; all parts restart.
    #[test]
    fn a_trial_is_blocked_188_s_after_a_condition_began(
        random in any::<u64>(),
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        let mut world = world(random);
        let mut begun = Begun::default();
        let mut replayed = 1 << 100;
        for op in ops {
            match op {
                Op::Run(seconds) => {
                    let end = world.now.plus(Nanos::from_secs(seconds));
                    let mut failed = None;
                    world.watch_until(end, |world| {
                        if begun.due(world.now) && (world.allowed() || world.passes()) {
                            failed = failed.or(Some(world.now));
                        }
                    });
                    prop_assert_eq!(failed, None, "allowed too long");
                }
                Op::Wire(Wire::Cut) => world.cut(),
                Op::Wire(wire) => world.wire = wire,
                Op::StopCwc => world.desk = None,
                Op::StartCwc => world.start_cwc(),
                Op::RestartController => world.start_controller(),
                Op::RestartTmm => world.start_tmm(),
                Op::Condition(reason, stands) => world.condition(reason, stands),
                Op::Replay(place) => {
                    let place = place % world.recorded.len();
                    let mut message = world.recorded[place].clone();
                    replayed += 1;
                    message.id = Uuid::from_u128(replayed);
                    world.inject(message);
                }
            }
            begun.note(&world);
        }
    }
}

/// LIC-642: each condition that the policy marks Block for a trial blocks it at once on a good wire,
/// and stays so; each other does not.
#[test]
fn each_condition_marked_block_blocks_a_trial_while_it_lasts() {
    let (mut blocking, mut passing) = (0, 0);
    for reason in Reason::ALL {
        let mut world = world(1);
        world.condition(*reason, true);
        let blocks = world.standing().verdict == Verdict::Block;
        world.run(0);
        for _ in 0..5 {
            assert_eq!(world.allowed(), !blocks, "{reason}");
            assert_eq!(world.passes(), !blocks, "{reason}");
            world.run(100);
        }
        if blocks { blocking += 1 } else { passing += 1 }
    }
    assert!(blocking >= 30 && passing >= 15, "{blocking} block, {passing} pass");
}

/// A killed CWC: the trial is blocked, and its gate closed, 183 s after the last heartbeat, not
/// before (G12).
#[test]
fn a_trial_without_cwc_ends_183_s_after_the_last_heartbeat() {
    for killed in [1, 30, 59, 61, 119] {
        let mut world = world(1);
        world.run(killed - 1);
        world.desk = None;
        let last = killed / 60 * 60;
        let end = Nanos::from_secs(last + 183);
        world.run_until(Nanos(end.0 - 1));
        assert!(world.allowed() && world.passes(), "{killed}");
        world.run_until(end);
        assert!(!world.allowed() && !world.passes(), "{killed}");
    }
}

/// The end of a trial closes the gate by itself within a second, also where the CWC died right
/// before it.
#[test]
fn a_trials_end_closes_the_gate_without_cwc() {
    let mut world = world(1);
    world.relicense(|licence| licence.ends = Some(EPOCH + 500));
    world.run(490);
    assert!(world.passes());
    world.desk = None;
    world.run_until(Nanos::from_millis(499_999));
    assert!(world.passes());
    world.run_until(Nanos::from_secs(501));
    assert!(!world.passes());
}

/// LIC-620: a trial is blocked at most 368 s after the store failed, wherever between two heartbeats
/// that was; production is warned, and traffic flows.
#[test]
fn a_failing_store_blocks_a_trial_within_368_s_and_warns_production() {
    for (class, phase) in [0, 1, 30, 59]
        .into_iter()
        .flat_map(|phase| [(Class::Trial, phase), (Class::Production, phase)])
    {
        let mut world = World::new(1);
        world.relicense(|licence| (licence.class, licence.active) = (class, true));
        world.run(60 + phase);
        let failed = world.now;
        let moment = world.moment();
        world.desk.as_mut().unwrap().handle_input(desk::Input::Storing(false), moment);
        world.run(150);
        assert!(world.passes(), "180 s are vouched for");
        world.run_until(failed.plus(Nanos::from_secs(368)));
        let production = class == Class::Production;
        assert_eq!(world.passes(), production, "{class:?} {phase}");
        let expected = if production { Judged::Warn } else { Judged::Block };
        assert_eq!(world.verdict(), Some(expected), "{class:?} {phase}");
    }
}

/// A Controller that restarts during a trial, without CWC: Unknown closes nothing, the leases run on;
/// Block comes after 183 s.
#[test]
fn a_controller_that_restarts_without_cwc_leaves_leases_alone_until_183_s() {
    let mut world = world(1);
    world.run(30);
    world.desk = None;
    world.start_controller();
    world.run(149);
    assert_eq!(world.verdict(), Some(Judged::Unknown));
    assert!(world.passes());
    world.run(34);
    assert_eq!(world.verdict(), Some(Judged::Block));
    assert!(!world.passes());
}
