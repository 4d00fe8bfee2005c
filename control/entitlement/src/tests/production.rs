//! Production that was activated once is never blocked (LIC-640).

use std::cell::Cell;

use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

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
    /// The receipt of a licence of this class is accepted.
    Activate(Class),
    /// P6: the stored state is lost; the DAID is new, the key the old one.
    StateLost,
    /// P7: everything is lost, the lease key, too; `spkctl license trust` adds the new one.
    AllLost,
    ClockBack(i64),
    TrustFileLost,
    TrustFileBack,
    LatchSecretLost,
    /// A recorded message comes again, as it was or under another type.
    Replay(usize, Option<u64>),
    /// A statement of a foreign key.
    Forge(u64, Verdict),
}

fn op() -> impl Strategy<Value = Op> {
    let class = prop_oneof![Just(Class::Trial), Just(Class::Production)];
    let verdict = prop_oneof![Just(Verdict::Allow), Just(Verdict::Warn), Just(Verdict::Block)];
    let kind = proptest::option::of(0..6u64);
    prop_oneof![
        8 => some_pause().prop_map(Op::Run),
        3 => some_wire().prop_map(Op::Wire),
        1 => Just(Op::StopCwc),
        2 => Just(Op::StartCwc),
        2 => Just(Op::RestartController),
        2 => Just(Op::RestartTmm),
        3 => (some_reason(), any::<bool>()).prop_map(|(reason, on)| Op::Condition(reason, on)),
        2 => class.prop_map(Op::Activate),
        1 => Just(Op::StateLost),
        1 => Just(Op::AllLost),
        1 => (0..3_000_000i64).prop_map(Op::ClockBack),
        1 => Just(Op::TrustFileLost),
        2 => Just(Op::TrustFileBack),
        1 => Just(Op::LatchSecretLost),
        2 => (any::<usize>(), kind).prop_map(|(place, kind)| Op::Replay(place, kind)),
        1 => (0..6u64, verdict).prop_map(|(kind, verdict)| Op::Forge(kind, verdict)),
    ]
}

/// A world with an activated production licence, and what must hold of it.
struct Life {
    world: World,
    /// The trust file as it is whenever it is there.
    trust: Jwks,
    forged: u128,
    /// Whether a copy of the latch is owed to the Controller.
    holds: bool,
}

impl Life {
    fn new(random: u64) -> Self {
        let mut world = World::new(random);
        world.relicense(|licence| (licence.class, licence.active) = (Class::Production, true));
        world.run(1);
        assert!(world.latch.is_some() && world.passes());
        world.changes.clear();
        Self { world, trust: key(1).jwks(), forged: 1 << 100, holds: true }
    }

    fn apply(&mut self, op: Op) {
        let world = &mut self.world;
        match op {
            Op::Run(seconds) => world.run(seconds),
            Op::Wire(Wire::Cut) => world.cut(),
            Op::Wire(wire) => world.wire = wire,
            Op::StopCwc => world.desk = None,
            Op::StartCwc => world.start_cwc(),
            Op::RestartController => {
                // Without any copy it is judged as a trial until it gets one (licensing.md §9).
                self.holds = world.latch.is_some() || world.tmm_is_latched();
                world.start_controller();
            }
            Op::RestartTmm => {
                // A Controller without trust file, and so without latch, may lose the last copy.
                let held = world.client.as_ref().is_some_and(|client| client.latch().is_some());
                self.holds &= held || world.latch.is_some();
                world.start_tmm();
            }
            Op::Condition(reason, stands) => world.condition(reason, stands),
            Op::Activate(class) => world.relicense(|licence| {
                (licence.class, licence.active) = (class, true);
            }),
            Op::StateLost | Op::AllLost => {
                let lost_key = matches!(op, Op::AllLost);
                world.epoch = 0;
                world.licence.daid = Uuid::from_u128(world.licence.daid.as_u128() + 1);
                (world.licence.class, world.licence.active) = (Class::Unactivated, false);
                if lost_key && world.signer < 4 {
                    world.signer += 1;
                    self.trust = self.trust.clone().joined(&key(world.signer).jwks());
                    if world.trust.is_some() {
                        world.retrust(self.trust.clone());
                    }
                }
                if world.desk.is_some() {
                    world.start_cwc();
                }
            }
            Op::ClockBack(seconds) => {
                world.clock -= seconds;
                world.new_epoch();
            }
            Op::TrustFileLost => world.trust = None,
            Op::TrustFileBack => world.retrust(self.trust.clone()),
            Op::LatchSecretLost => world.latch = None,
            Op::Replay(place, kind) => {
                let Some(place) = place.checked_rem(world.recorded.len()) else { return };
                let mut message = world.recorded[place].clone();
                self.forged += 1;
                if let Some(kind) = kind {
                    let statement = message.body.statement().unwrap_or_default().to_owned();
                    message = wrapped(self.forged, kind, statement);
                }
                message.id = Uuid::from_u128(self.forged);
                world.inject(message);
            }
            Op::Forge(kind, verdict) => {
                self.forged += 1;
                let mut forger = crate::Authority::new(key(66), world.licence.daid, u64::MAX);
                let now = world.seconds();
                let statement = forger.renew(&crate::fixture::at(now, verdict));
                world.inject(wrapped(self.forged, kind, statement));
            }
        }
    }

    fn check(&mut self, latched: bool) -> Result<(), TestCaseError> {
        let changes = std::mem::take(&mut self.world.changes);
        if self.holds {
            for change in &changes {
                prop_assert_ne!(change.to.verdict, Judged::Block, "{:?}", change);
            }
            prop_assert_ne!(self.world.verdict(), Some(Judged::Block));
        }
        if let Some(client) = &self.world.client
            && client.latch().is_some()
        {
            self.holds = true;
            prop_assert!(client.state().is_latched());
            prop_assert!(self.world.allowed());
        }
        // A latched gate stays so for the life of its process.
        prop_assert!(!latched || self.world.tmm_is_latched());
        Ok(())
    }
}

/// How many random lives the test runs, and how many events of the Controller that is at least: a
/// million where the build is optimised, what 10 s allow where it is not.
const LIVES: u32 = if cfg!(debug_assertions) { 40 } else { 2500 };
const EVENTS: u64 = if cfg!(debug_assertions) { 10_000 } else { 1_000_000 };

/// LIC-640: from the moment a Controller received the latch no sequence of events makes it block,
/// while its Secret or a latched TMM is there to start from: block statements, conditions of every
/// kind, lost state (P6), lost keys (P7), a lost trust file, a clock set back, loss, delay, replay,
/// forgery and restarts of all parts among them. And its gate never closes but with its process, and
/// opens again without CWC and broker.
#[test]
fn production_is_never_blocked() {
    let config = ProptestConfig { cases: LIVES, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let events = Cell::new(0);
    let lives = (any::<u64>(), proptest::collection::vec(op(), 1..160));
    let outcome = runner.run(&lives, |(random, ops)| {
        let mut life = Life::new(random);
        for op in ops {
            let latched = life.world.tmm_is_latched() && !matches!(op, Op::RestartTmm);
            life.apply(op);
            life.check(latched)?;
        }
        if life.world.latch.is_some() {
            life.world.desk = None;
            life.world.cut();
            life.world.trust = Some(life.trust.clone());
            life.world.start_tmm();
            life.world.start_controller();
            life.world.run(6);
            prop_assert!(life.world.passes(), "traffic returns from the stored latch");
        }
        events.set(events.get() + life.world.events);
        Ok(())
    });
    outcome.unwrap();
    assert!(events.get() >= EVENTS, "{} events", events.get());
}

/// The lives above bring what they shall: blocks are signed and heard, keys and trust files lost,
/// warnings raised; and how many events that is.
#[test]
fn the_random_lives_reach_what_they_are_for() {
    let mut runner = TestRunner::deterministic();
    let ops = proptest::collection::vec(op(), 160);
    let (mut events, mut ignored, mut warned, mut lost_keys, mut boots) = (0, 0, 0, 0, 0);
    for random in 1..=8 {
        let mut life = Life::new(random);
        for op in ops.new_tree(&mut runner).unwrap().current() {
            life.apply(op);
            let changes = std::mem::take(&mut life.world.changes);
            warned += changes.iter().filter(|change| change.to.verdict == Judged::Warn).count();
            if let Some(client) = &life.world.client {
                ignored = ignored.max(client.latched_ignored());
                boots += usize::from(client.state() == client::State::Boot);
            }
        }
        events += life.world.events;
        lost_keys += u64::from(life.world.signer - 1);
    }
    assert!(ignored > 5, "{ignored} blocks ignored");
    assert!(warned > 50, "{warned} warnings");
    assert!(lost_keys > 3, "{lost_keys} keys lost");
    assert!(boots > 0, "starts without a trust file");
    assert!(events > 5_000, "{events} events");
}

/// CWC and broker are gone, Controller and TMM restarted:
/// the stored latch opens the gate (G13).
#[test]
fn a_stored_latch_opens_a_restarted_tmm_without_cwc() {
    let mut life = Life::new(1);
    life.world.desk = None;
    life.world.cut();
    for _ in 0..3 {
        life.world.start_tmm();
        life.world.run(6);
        assert!(life.world.passes(), "by the running Controller, once in 5 s");
        life.world.start_tmm();
        life.world.start_controller();
        assert!(life.world.passes(), "by a Controller that starts");
        life.world.run(1000);
        assert!(life.world.passes());
        assert_eq!(life.world.verdict(), Some(Judged::Warn));
    }
}

/// The latch Secret is lost, the CWC stopped, the
/// Controller restarted: a running TMM gives the latch back, and it is stored anew.
#[test]
fn a_lost_latch_secret_is_recovered_from_a_running_tmm() {
    let mut life = Life::new(1);
    life.world.desk = None;
    life.world.latch = None;
    life.world.start_controller();
    assert_eq!(life.world.verdict(), Some(Judged::Allow));
    assert!(life.world.latch.is_some() && life.world.passes());
    assert!(life.world.changes.iter().all(|change| change.to.verdict == Judged::Allow));
}
