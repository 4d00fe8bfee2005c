//! A licensing service in a few lines: signs JWTs and receipts as a test wants them.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use spk_jose::{RsaKeySize, RsaSigningKey};
use spk_license::report::{self, ReadReport};
use uuid::Uuid;

/// The key `v1`; one for all tests of a process, as making one takes a while.
pub fn key() -> &'static RsaSigningKey {
    static KEY: OnceLock<RsaSigningKey> = OnceLock::new();
    KEY.get_or_init(|| RsaSigningKey::generate("v1", RsaKeySize::Bits2048).unwrap())
}

/// Another key of the same name, which nobody trusts.
pub fn foreign_key() -> RsaSigningKey {
    RsaSigningKey::generate("v1", RsaKeySize::Bits2048).unwrap()
}

/// The JWKS text.
pub fn jwks() -> String {
    RsaSigningKey::key_set([key()])
}

/// Seconds since 1970.
pub fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A licence JWT of the seed's shape.
pub fn jwt(order_type: &str) -> String {
    jwt_with(order_type, &json!({}))
}

/// As [`jwt`], with other or more claims.
pub fn jwt_with(order_type: &str, more: &Value) -> String {
    key().sign(license_claims(order_type, more).to_string().as_bytes()).unwrap()
}

/// The claims of a licence JWT.
pub fn license_claims(order_type: &str, more: &Value) -> Value {
    let mut claims = json!({
        "sub": "CAT-0001",
        "aud": "urn:f5:teem",
        "iat": wall() - 60,
        "iss": "F5 Inc.",
        "jti": Uuid::new_v4(),
        "f5_order_type": order_type,
    });
    merge(&mut claims, more);
    claims
}

/// What a report says, after its signature was verified.
pub fn read(report: &str) -> ReadReport {
    report::read(report).unwrap()
}

/// The claims of a receipt for `report` whose licence ends in a year, less a minute.
pub fn claims(report: &str) -> Value {
    let read = read(report);
    json!({
        "iss": "F5 Inc.",
        "jti": Uuid::new_v4(),
        "iat": wall(),
        "digitalAssetID": read.telemetry.digital_asset_id,
        "reportID": read.telemetry.report_id,
        "reportSha256": read.sha256,
        "licenseJti": read.telemetry.license.jti,
        "entitlement": {
            "orderType": read.telemetry.license.order_type,
            "expiry": wall() + 365 * 86_400 - 60,
        },
        "ack": "final",
    })
}

/// A good receipt for `report`.
pub fn receipt(report: &str) -> String {
    receipt_with(report, &json!({}))
}

/// As [`receipt`], with other or more claims.
pub fn receipt_with(report: &str, more: &Value) -> String {
    let mut claims = claims(report);
    merge(&mut claims, more);
    key().sign(claims.to_string().as_bytes()).unwrap()
}

fn merge(claims: &mut Value, more: &Value) {
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
}
