//! The forger's tools: an insider who has the authority's key, and strangers who have their own.

use std::{fs, process::Command};

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use spk_jose::{RsaKeySize, RsaSigningKey, base64url};
use spk_license::report::{self, ReadReport};
use spk_tests::cwc::Cwc;
use uuid::Uuid;

/// A key that signs what the authority would never sign, and one that nobody trusts.
pub struct Forger {
    /// The authority's own key.
    pub insider: RsaSigningKey,
    /// Another one of the same name.
    pub stranger: RsaSigningKey,
    /// Public key of the authority as PEM, DER and JWK: the secrets of an HS confusion.
    pub public: [Vec<u8>; 3],
    pem: std::path::PathBuf,
}

impl Forger {
    pub fn new(cwc: &Cwc) -> Self {
        let set: Value =
            serde_json::from_str(&fs::read_to_string(cwc.licence().jwks()).unwrap()).unwrap();
        let kid = set["keys"][0]["kid"].as_str().unwrap().to_owned();
        let pem = cwc.path("licence/authority/keys").join(format!("{kid}.pem"));
        let insider = RsaSigningKey::from_pem(&kid, &fs::read_to_string(&pem).unwrap()).unwrap();
        let public = |form: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(["pkey", "-pubout", "-outform", form, "-in"]).arg(&pem);
            let output = openssl.output().unwrap();
            assert!(output.status.success());
            output.stdout
        };
        let jwk = set["keys"][0].to_string().into_bytes();
        let public = [public("PEM"), public("DER"), jwk];
        let stranger = RsaSigningKey::generate(&kid, RsaKeySize::Bits2048).unwrap();
        Self { insider, stranger, public, pem }
    }

    /// Name of the authority's key.
    pub fn kid(&self) -> &str {
        self.insider.kid()
    }

    /// A token of any header and payload, signed by the authority's key as RS512 prescribes.
    pub fn sign(&self, header: &str, payload: &str) -> String {
        self.insider.sign_parts(header.as_bytes(), payload.as_bytes()).unwrap()
    }

    /// The same with the usual header.
    pub fn usual(&self, payload: &str) -> String {
        self.insider.sign(payload.as_bytes()).unwrap()
    }

    /// As [`Self::sign`], with a real RSASSA-PSS signature.
    pub fn pss(&self, header: &str, payload: &str) -> String {
        let signed = signed_part(header, payload);
        let input = self.pem.with_extension("signed");
        fs::write(&input, &signed).unwrap();
        let output = Command::new("openssl")
            .args(["dgst", "-sha512", "-sigopt", "rsa_padding_mode:pss", "-sign"])
            .args([&self.pem, &input])
            .output()
            .unwrap();
        assert!(output.status.success());
        format!("{signed}.{}", base64url::encode(&output.stdout))
    }
}

fn signed_part(header: &str, payload: &str) -> String {
    let [header, payload] = [header, payload].map(|part| base64url::encode(part.as_bytes()));
    format!("{header}.{payload}")
}

/// A token whose third part is these bytes.
pub fn with_signature(header: &str, payload: &str, signature: &[u8]) -> String {
    format!("{}.{}", signed_part(header, payload), base64url::encode(signature))
}

/// A token with a real HMAC of `algorithm` under `secret`.
pub fn hmac(algorithm: hmac::Algorithm, header: &str, payload: &str, secret: &[u8]) -> String {
    let tag =
        hmac::sign(&hmac::Key::new(algorithm, secret), signed_part(header, payload).as_bytes());
    with_signature(header, payload, tag.as_ref())
}

/// `[[[…]]]` of this depth.
pub fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// Claims with others in their place.
pub fn with(claims: &Value, more: Value) -> String {
    let mut claims = claims.clone();
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.to_string()
}

/// The claims of a good licence.
pub fn license(order: &str, now: u64) -> Value {
    json!({
        "sub": "CAT-MARKED-0001", "aud": "urn:f5:teem", "iat": now - 60, "iss": "F5 Inc.",
        "jti": Uuid::new_v4(), "f5_order_type": order,
    })
}

/// The claims of a good receipt for `report`.
pub fn receipt(report: &str, now: u64) -> Value {
    let ReadReport { telemetry, sha256, .. } = report::read(report).unwrap();
    json!({
        "iss": "F5 Inc.", "jti": Uuid::new_v4(), "iat": now,
        "digitalAssetID": telemetry.digital_asset_id, "reportID": telemetry.report_id,
        "reportSha256": sha256, "licenseJti": telemetry.license.jti,
        "entitlement": { "orderType": telemetry.license.order_type }, "ack": "final",
    })
}

/// Seconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
