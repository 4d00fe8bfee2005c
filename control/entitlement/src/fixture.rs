//! A key, an authority and an enforcer for tests.

use tmm_config::Nanos;
use uuid::Uuid;

use crate::{Authority, Class, Enforcer, Identity, Input, LeaseKey, Occasion, Output, Verdict};

pub const POD: &str = "5c0ffee0-0000-4000-8000-000000000001";
pub const NAMESPACE: &str = "spk-tmm";
pub const NONCE: [u8; 16] = [7; 16];
/// The signer's clock at boot time 0.
pub const EPOCH: u64 = 1_800_000_000;

pub fn key(number: u8) -> LeaseKey {
    LeaseKey::from_seed([number; 32]).unwrap()
}

pub fn authority() -> Authority {
    Authority::new(key(1), Uuid::from_u128(1), 1)
}

pub fn identity() -> Identity {
    Identity { pod: POD.to_owned(), namespace: NAMESPACE.to_owned() }
}

/// An enforcer that trusts [`key`] 1.
pub fn enforcer() -> Enforcer {
    let mut enforcer = Enforcer::new(identity());
    enforcer.handle_input(Input::TrustAnchor(key(1).jwks()), Nanos(0));
    enforcer
}

/// What a statement signed `seconds` after boot says.
pub fn at(seconds: u64, verdict: Verdict) -> Occasion {
    let reason = match verdict {
        Verdict::Allow => "verified",
        Verdict::Warn => "expiring",
        Verdict::Block => "expired",
    };
    Occasion {
        class: Class::Trial,
        verdict,
        reason: reason.to_owned(),
        iat: EPOCH + seconds,
        ttl: 183,
        ends: None,
    }
}

pub fn feed(enforcer: &mut Enforcer, input: Input, now: Nanos) -> Vec<Output> {
    enforcer.handle_input(input, now);
    std::iter::from_fn(|| enforcer.poll_output()).collect()
}

pub fn feed_lease(enforcer: &mut Enforcer, jws: &str, now: Nanos) -> Vec<Output> {
    feed(enforcer, Input::Lease { jws: jws.to_owned() }, now)
}

/// Opens the gate at `now`, seconds after boot.
pub fn open(enforcer: &mut Enforcer, authority: &mut Authority, now: u64) {
    let nonce = [now as u8; 16];
    feed(enforcer, Input::Hello { nonce }, Nanos::from_secs(now));
    let jws = authority.open(NAMESPACE, POD, &nonce, &at(now, Verdict::Allow));
    let outputs = feed_lease(enforcer, &jws, Nanos::from_secs(now));
    assert_eq!(outputs.last(), Some(&Output::Accepted));
}
