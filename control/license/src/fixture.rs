//! An authority, its tokens and a report key for tests.

use std::sync::OnceLock;

use serde_json::{Value, json};
use spk_jose::{Ed25519Key, RsaKeySet, RsaKeySize, RsaSigningKey};
use uuid::Uuid;

/// 2027-01-15T08:00:00Z.
pub const NOW: u64 = 1_800_000_000;
pub const ASSET: Uuid = Uuid::from_u128(0x1b37_7619_c357_409b_97c0_923b_6888_19e2);
pub const LICENSE: Uuid = Uuid::from_u128(0xb2b8_1e53_0d7f_4b07_9a63_5c6a_3d1f_0001);

/// The key that signs licences and receipts, made once a test run.
pub fn authority() -> &'static RsaSigningKey {
    static KEY: OnceLock<RsaSigningKey> = OnceLock::new();
    KEY.get_or_init(|| RsaSigningKey::generate("v1", RsaKeySize::Bits2048).unwrap())
}

/// A key that nobody trusts.
pub fn stranger() -> &'static RsaSigningKey {
    static KEY: OnceLock<RsaSigningKey> = OnceLock::new();
    KEY.get_or_init(|| RsaSigningKey::generate("v1", RsaKeySize::Bits2048).unwrap())
}

pub fn keys() -> RsaKeySet {
    RsaKeySet::parse(&RsaSigningKey::key_set([authority()])).unwrap()
}

pub fn issuers() -> Vec<String> {
    vec!["F5 Inc.".to_owned()]
}

pub fn report_key() -> Ed25519Key {
    Ed25519Key::from_seed([9; 32]).unwrap()
}

/// The claims of the seed's shape, with an end in 2028.
pub fn claims() -> Value {
    json!({
        "sub": "TST-b1c5a3c6-1c7d-4d0f-9f0e-7b3a",
        "aud": "urn:f5:teem",
        "iat": NOW - 86_400,
        "iss": "F5 Inc.",
        "jti": LICENSE.to_string(),
        "f5_order_type": "paid",
        "f5_sat": NOW + 400 * 86_400,
    })
}

/// `base` with member `name` replaced; null removes it.
pub fn with(mut base: Value, name: &str, value: Value) -> Value {
    let members = base.as_object_mut().unwrap();
    members.remove(name);
    if !value.is_null() {
        members.insert(name.to_owned(), value);
    }
    base
}

/// `payload` signed by [`authority`].
pub fn signed(payload: &Value) -> String {
    authority().sign(payload.to_string().as_bytes()).unwrap()
}
