//! A licence, a report, its receipt and a lease, made as their makers make them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use spk_entitlement::{Authority, Class, Occasion, Verdict};
use spk_jose::name::sha256;
use spk_jose::{Ed25519Key, RsaKeySize, RsaSigningKey};
use spk_license::calendar::{Window, instant};
use spk_license::report::{
    DOCUMENT_TYPE, DOCUMENT_VERSION, ProductTelemetry, ReportType, ReportedClock, ReportedLicense,
    ReportedUsage, SignedReport,
};
use spk_license::token::OrderType;
use uuid::Uuid;

pub struct Tokens {
    /// The customer's association token; a secret.
    pub subject: String,
    pub namespace: String,
    pub asset: String,
    pub license: String,
    pub other_license: String,
    pub report: SignedReport,
    pub receipt: String,
    pub foreign_receipt: String,
    pub lease: String,
    /// The authority's key set.
    pub keys: String,
    /// The CWC's key set.
    pub lease_keys: String,
}

impl Tokens {
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let authority = RsaSigningKey::generate("v1", RsaKeySize::Bits2048).unwrap();
        let sign = |payload: &Value| authority.sign(payload.to_string().as_bytes()).unwrap();
        let (asset, jti) = (Uuid::new_v4(), Uuid::new_v4());
        let subject = "TST-marked-association-token-4711".to_owned();
        let license = |jti: Uuid| {
            sign(&json!({
                "sub": subject,
                "aud": "urn:f5:teem",
                "iat": now - 10,
                "iss": "F5 Inc.",
                "jti": jti,
                "f5_order_type": "paid",
            }))
        };
        let report =
            telemetry(asset, jti, now).sign(&Ed25519Key::from_seed([3; 32]).unwrap()).unwrap();
        let receipt = |text: &str| {
            sign(&json!({
                "iss": "F5 Inc.",
                "jti": Uuid::new_v4(),
                "iat": now,
                "digitalAssetID": asset,
                "reportID": REPORT,
                "reportSha256": sha256(text),
                "licenseJti": jti,
                "entitlement": {"orderType": "paid"},
                "ack": "final",
            }))
        };
        let lease_key = Ed25519Key::from_seed([4; 32]).unwrap();
        let lease_keys = lease_key.jwks().to_json();
        let namespace = "marked-namespace".to_owned();
        let lease = Authority::new(lease_key, asset, 1).open(
            &namespace,
            "5c0ffee0-0000-4000-8000-000000000001",
            &[7; 16],
            &Occasion {
                class: Class::Trial,
                verdict: Verdict::Allow,
                reason: "verified".to_owned(),
                iat: now,
                ttl: 183,
                ends: None,
            },
        );
        Self {
            asset: asset.to_string(),
            license: license(jti),
            other_license: license(Uuid::new_v4()),
            receipt: receipt(&report.text),
            foreign_receipt: receipt("another text"),
            report,
            lease,
            keys: RsaSigningKey::key_set([&authority]),
            lease_keys,
            subject,
            namespace,
        }
    }
}

const REPORT: Uuid = Uuid::from_u128(0xa1);

fn telemetry(asset: Uuid, jti: Uuid, now: u64) -> ProductTelemetry {
    ProductTelemetry {
        document_type: DOCUMENT_TYPE.to_owned(),
        document_version: DOCUMENT_VERSION.to_owned(),
        digital_asset_id: asset,
        digital_asset_name: "SPK".to_owned(),
        digital_asset_version: "1.2.0".to_owned(),
        product_name: "SPK".to_owned(),
        custom_id: "SPK Cluster".to_owned(),
        report_type: ReportType::InitialConfig,
        report_id: REPORT,
        sequence: 1,
        previous_report_sha256: None,
        generated_at: instant(now),
        period: Window { start: now - 60, end: now }.into(),
        supersedes: Vec::new(),
        usage: ReportedUsage { cpu_count: 8, unique_crds: 1, total_crds: 2, samples: 1, missed: 0 },
        license: ReportedLicense { jti, order_type: OrderType::Paid },
        clock: ReportedClock { state: "ok".to_owned(), high_water: instant(now) },
    }
}
