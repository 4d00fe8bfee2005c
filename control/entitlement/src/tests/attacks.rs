//! Nothing opens without an activated licence (LIC-641).

use super::*;
use crate::Authority;
use crate::fixture::at;

#[derive(Clone, Debug)]
enum Op {
    Run(u64),
    Wire(Wire),
    StopCwc,
    StartCwc,
    RestartController,
    RestartTmm,
    Condition(Reason, bool),
    Class(Class),
    Replay(usize, u64),
    Forge(u64, Verdict),
    /// A statement of the CWC of another cluster, whose key a Controller does not trust, or an old
    /// one of this CWC's key for another namespace.
    Foreign(u64, bool),
    /// A forged lease is delivered to the TMM itself.
    Lease(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let class = prop_oneof![Just(Class::Unactivated), Just(Class::Trial), Just(Class::Production)];
    let verdict = prop_oneof![Just(Verdict::Allow), Just(Verdict::Warn), Just(Verdict::Block)];
    prop_oneof![
        6 => some_pause().prop_map(Op::Run),
        2 => some_wire().prop_map(Op::Wire),
        1 => Just(Op::StopCwc),
        2 => Just(Op::StartCwc),
        1 => Just(Op::RestartController),
        1 => Just(Op::RestartTmm),
        2 => (some_reason(), any::<bool>()).prop_map(|(reason, on)| Op::Condition(reason, on)),
        1 => class.prop_map(Op::Class),
        2 => (any::<usize>(), 0..6u64).prop_map(|(place, kind)| Op::Replay(place, kind)),
        2 => (0..6u64, verdict).prop_map(|(kind, verdict)| Op::Forge(kind, verdict)),
        1 => (0..6u64, any::<bool>()).prop_map(|(kind, latch)| Op::Foreign(kind, latch)),
        1 => any::<bool>().prop_map(Op::Lease),
    ]
}

/// Lives in a plain build, and with optimisations.
const LIVES: u32 = if cfg!(debug_assertions) { 32 } else { 1000 };

proptest! {
    #![proptest_config(ProptestConfig { cases: LIVES, ..ProptestConfig::default() })]

    /// LIC-641: an install that was never activated and holds no latch is never allowed, nor is its
    /// gate open for a moment; whatever its JWT's class, under conditions, loss, replay and forgery
    /// of every message, and restarts.
    #[test]
    fn an_unactivated_install_is_never_allowed(
        random in any::<u64>(),
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        let mut world = World::new(random);
        let mut forged = 1 << 100;
        for op in ops {
            forged += 1;
            let now = world.seconds();
            match op {
                Op::Run(seconds) => {
                    let end = world.now.plus(Nanos::from_secs(seconds));
                    let mut open = false;
                    world.watch_until(end, |world| open |= world.passes());
                    prop_assert!(!open, "a gate was open");
                }
                Op::Wire(Wire::Cut) => world.cut(),
                Op::Wire(wire) => world.wire = wire,
                Op::StopCwc => world.desk = None,
                Op::StartCwc => world.start_cwc(),
                Op::RestartController => world.start_controller(),
                Op::RestartTmm => world.start_tmm(),
                Op::Condition(reason, stands) => world.condition(reason, stands),
                Op::Class(class) => world.relicense(|licence| licence.class = class),
                Op::Replay(place, kind) => {
                    if let Some(place) = place.checked_rem(world.recorded.len()) {
                        let body = &world.recorded[place].body;
                        let statement = body.statement().unwrap_or_default().to_owned();
                        world.inject(wrapped(forged, kind, statement));
                    }
                }
                Op::Forge(kind, verdict) => {
                    let mut forger = Authority::new(key(66), world.licence.daid, u64::MAX);
                    let statement = forger.renew(&at(now, verdict));
                    world.inject(wrapped(forged, kind, statement));
                }
                Op::Foreign(kind, latch) => {
                    let mut cwc = Authority::new(key(1), world.licence.daid, u64::MAX);
                    let occasion =
                        crate::Occasion { class: Class::Production, ..at(now, Verdict::Allow) };
                    let statement = if latch {
                        cwc.latch("another", &occasion)
                    } else {
                        cwc.answer("another", Uuid::nil(), &occasion)
                    };
                    world.inject(wrapped(forged, kind, statement));
                }
                Op::Lease(latch) => {
                    let mut forger = Authority::new(key(66), world.licence.daid, u64::MAX);
                    let occasion =
                        crate::Occasion { class: Class::Production, ..at(now, Verdict::Allow) };
                    let jws = if latch {
                        forger.latch(NAMESPACE, &occasion)
                    } else {
                        let TmmNonce { nonce, .. } = world.hello().unwrap();
                        forger.open(NAMESPACE, TMM, &nonce.0, &occasion)
                    };
                    world.deliver(jws, false);
                }
            }
            prop_assert!(!world.passes());
            for change in &world.changes {
                prop_assert_eq!(change.to.verdict, Judged::Block);
            }
            prop_assert_eq!(&world.latch, &None);
        }
    }
}

/// Everything that was sent and delivered in an hour of a trial is replayed, in
/// order and in reverse, after Controller and TMM restarted without a CWC: nothing is allowed.
#[test]
fn an_hour_replayed_to_restarted_parts_opens_nothing() {
    let mut world = World::new(7);
    world.relicense(|licence| (licence.class, licence.active) = (Class::Trial, true));
    world.run(3600);
    assert!(world.passes() && world.recorded.len() > 60 && world.leases.len() > 30);
    world.desk = None;
    world.start_tmm();
    world.start_controller();
    let messages = world.recorded.clone();
    let leases = world.leases.clone();
    for (number, message) in messages.iter().chain(messages.iter().rev()).enumerate() {
        let id = Uuid::from_u128((1 << 100) + number as u128);
        world.inject(Message { id, ..message.clone() });
        assert!(!world.passes() && !world.allowed());
    }
    for jws in leases.iter().chain(leases.iter().rev()) {
        world.deliver(jws.clone(), false);
        assert!(!world.passes());
    }
}
