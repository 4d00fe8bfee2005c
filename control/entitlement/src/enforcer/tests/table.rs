//! The whole table of states and events, and the property that it serves.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Closed,
    Open,
    Latched,
}

fn state_of(enforcer: &Enforcer) -> State {
    match enforcer.gate() {
        Gate::Closed { .. } => State::Closed,
        Gate::Open { .. } => State::Open,
        Gate::Latched => State::Latched,
    }
}

/// An enforcer in `state` at second 10 that knows the asset, with a nonce that is not used yet.
fn in_state(state: State) -> (Enforcer, Authority) {
    let (mut enforcer, mut authority) = (enforcer(), authority());
    open(&mut enforcer, &mut authority, 10);
    match state {
        State::Closed => {
            feed(&mut enforcer, Input::Close { reason: "test".to_owned() }, Nanos::from_secs(10));
        }
        State::Open => {}
        State::Latched => {
            let latch = authority.latch(NAMESPACE, &production(10));
            feed_lease(&mut enforcer, &latch, Nanos::from_secs(10));
        }
    }
    hello(&mut enforcer, NONCE, 10);
    assert_eq!(state_of(&enforcer), state);
    (enforcer, authority)
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Hello,
    Open(Verdict),
    Renew(Verdict),
    Latch,
    Forged,
    Close,
    Timeout,
    TrustAnchor,
}

fn give(enforcer: &mut Enforcer, authority: &mut Authority, event: Event) -> Vec<Output> {
    let now = Nanos::from_secs(11);
    match event {
        Event::Hello => feed(enforcer, Input::Hello { nonce: [9; 16] }, now),
        Event::Open(verdict) => {
            let jws = authority.open(NAMESPACE, POD, &NONCE, &at(11, verdict));
            feed_lease(enforcer, &jws, now)
        }
        Event::Renew(verdict) => {
            let jws = authority.renew(&at(11, verdict));
            feed_lease(enforcer, &jws, now)
        }
        Event::Latch => {
            let jws = authority.latch(NAMESPACE, &production(11));
            feed_lease(enforcer, &jws, now)
        }
        Event::Forged => feed_lease(enforcer, "a.b.c", now),
        Event::Close => feed(enforcer, Input::Close { reason: "test".to_owned() }, now),
        Event::Timeout => {
            enforcer.handle_timeout(Nanos::from_secs(10 + 183));
            std::iter::from_fn(|| enforcer.poll_output()).collect()
        }
        Event::TrustAnchor => feed(enforcer, Input::TrustAnchor(key(1).jwks()), now),
    }
}

#[test]
fn every_state_takes_every_event_as_the_table_says() {
    use Event::{Close, Forged, Hello, Latch, Open, Renew, Timeout, TrustAnchor};
    use Verdict::{Allow, Block, Warn};
    let no = LeaseError::GateClosed;
    let malformed = LeaseError::Malformed;
    // event, then the state after it and the refusal for Closed, Open, Latched
    let table = [
        (Hello, [(State::Closed, None), (State::Open, None), (State::Latched, None)]),
        (Open(Allow), [(State::Open, None), (State::Open, None), (State::Latched, None)]),
        (Open(Warn), [(State::Open, None), (State::Open, None), (State::Latched, None)]),
        (Open(Block), [(State::Closed, None), (State::Closed, None), (State::Latched, None)]),
        (Renew(Allow), [(State::Closed, Some(no)), (State::Open, None), (State::Latched, None)]),
        (Renew(Warn), [(State::Closed, Some(no)), (State::Open, None), (State::Latched, None)]),
        (Renew(Block), [(State::Closed, None), (State::Closed, None), (State::Latched, None)]),
        (Latch, [(State::Latched, None), (State::Latched, None), (State::Latched, None)]),
        (
            Forged,
            [
                (State::Closed, Some(malformed)),
                (State::Open, Some(malformed)),
                (State::Latched, Some(malformed)),
            ],
        ),
        (Close, [(State::Closed, None), (State::Closed, None), (State::Latched, None)]),
        (Timeout, [(State::Closed, None), (State::Closed, None), (State::Latched, None)]),
        (TrustAnchor, [(State::Closed, None), (State::Open, None), (State::Latched, None)]),
    ];
    for (event, columns) in table {
        let from = [State::Closed, State::Open, State::Latched];
        for (from, (to, refusal)) in from.into_iter().zip(columns) {
            let (mut enforcer, mut authority) = in_state(from);
            let outputs = give(&mut enforcer, &mut authority, event);
            assert_eq!(state_of(&enforcer), to, "{from:?} {event:?}");
            assert_eq!(rejected(&outputs), refusal, "{from:?} {event:?}");
            let published = outputs.iter().rev().find_map(|output| match output {
                Output::Publish(word) => Some(*word),
                _ => None,
            });
            let word = published.unwrap_or_else(|| in_state(from).0.word());
            assert_eq!(enforcer.word(), word, "{from:?} {event:?}: workers see the state");
            let told = outputs
                .iter()
                .any(|output| matches!(output, Output::Opened | Output::Closed { .. }));
            let moved = (from == State::Closed) != (to == State::Closed);
            assert_eq!(told, moved, "{from:?} {event:?}: a line for each move, none else");
        }
    }
}

/// One step of a random life.
#[derive(Clone, Debug)]
enum Step {
    Hello,
    Sign(Statement),
    /// Delivers the statement at this place of the record.
    Deliver(usize),
    Close,
    Wake,
}

#[derive(Clone, Debug)]
struct Statement {
    /// 0 is trusted, 1 is not.
    signer: usize,
    /// Whether it is for this pod.
    own_pod: bool,
    /// How many nonces before the newest it answers.
    nonces_ago: u8,
    kind: Kind,
    verdict: Verdict,
}

/// A signed statement: when, and for which nonce.
struct Signed {
    statement: Statement,
    second: u64,
    nonce: u8,
    jws: String,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![3 => Just(Kind::Open), 5 => Just(Kind::Renew), 1 => Just(Kind::Latch)];
    let verdict =
        prop_oneof![6 => Just(Verdict::Allow), 1 => Just(Verdict::Warn), 1 => Just(Verdict::Block)];
    let signer = prop_oneof![4 => Just(0usize), 1 => Just(1usize)];
    let nonces_ago = prop_oneof![4 => Just(0u8), 1 => Just(1u8)];
    let statement = (signer, proptest::bool::weighted(0.9), nonces_ago, kind, verdict).prop_map(
        |(signer, own_pod, nonces_ago, kind, verdict)| Statement {
            signer,
            own_pod,
            nonces_ago,
            kind,
            verdict,
        },
    );
    prop_oneof![
        3 => Just(Step::Hello),
        5 => statement.prop_map(Step::Sign),
        8 => (0..3usize).prop_map(Step::Deliver),
        1 => Just(Step::Close),
        1 => Just(Step::Wake),
    ]
}

proptest! {
    /// The gate is open only if a trusted `open` for this pod that answers the newest nonce of at
    /// most 10 s before was delivered and not closed since, and never past the signer's `exp` of
    /// the statements delivered since then. (Latches are of class trial here: never accepted.)
    #[test]
    fn the_gate_is_never_open_without_a_valid_lease(
        steps in proptest::collection::vec((step(), prop_oneof![4 => 0..4u64, 1 => 0..200u64]), 1..120)
    ) {
        let mut enforcer = enforcer();
        let mut signers = [authority(), Authority::new(forger(), Uuid::from_u128(1), 1)];
        let mut record: Vec<Signed> = Vec::new();
        let (mut nonce, mut nonce_made) = (0u8, 0);
        // The model: until when, at most, the leases that may act allow traffic.
        let mut allowed_until = 0;
        let mut second = 0;
        for (step, pause) in steps {
            second += pause;
            let now = Nanos::from_secs(second);
            match step {
                Step::Hello => {
                    nonce += 1;
                    nonce_made = second;
                    feed(&mut enforcer, Input::Hello { nonce: [nonce; 16] }, now);
                }
                Step::Sign(statement) => {
                    let signer = &mut signers[statement.signer];
                    let occasion = at(second, statement.verdict);
                    let pod = if statement.own_pod { POD } else { "another" };
                    let nonce = nonce.wrapping_sub(statement.nonces_ago);
                    let jws = match statement.kind {
                        Kind::Open => signer.open(NAMESPACE, pod, &[nonce; 16], &occasion),
                        Kind::Renew => signer.renew(&occasion),
                        Kind::Latch => signer.latch(NAMESPACE, &occasion),
                    };
                    record.push(Signed { statement, second, nonce, jws });
                }
                Step::Deliver(age) => {
                    let Some(Signed { statement, second: signed, nonce: answers, jws }) =
                        record.len().checked_sub(1 + age).map(|place| &record[place])
                    else {
                        continue;
                    };
                    let trusted = statement.signer == 0 && statement.verdict != Verdict::Block;
                    let fresh = *answers == nonce && nonce > 0 && second - nonce_made <= 10;
                    match statement.kind {
                        Kind::Open if trusted && statement.own_pod && fresh => {
                            allowed_until = allowed_until.max(nonce_made + 183);
                        }
                        Kind::Renew if trusted && allowed_until > second => {
                            allowed_until = allowed_until.max(signed + 183);
                        }
                        Kind::Open | Kind::Renew | Kind::Latch => {}
                    }
                    feed_lease(&mut enforcer, jws, now);
                }
                Step::Close => {
                    feed(&mut enforcer, Input::Close { reason: "test".to_owned() }, now);
                    allowed_until = 0;
                }
                Step::Wake => enforcer.handle_timeout(now),
            }
            if enforcer.word().passes(now) {
                prop_assert!(second < allowed_until, "open at {second} without a lease");
            }
            prop_assert_eq!(enforcer.latch(), None);
        }
    }
}
