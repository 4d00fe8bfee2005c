use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value;
use spk_jose::{Ed25519Key, JoseError, base64url};
use uuid::Uuid;

use super::{
    DOCUMENT_TYPE, DOCUMENT_VERSION, ProductTelemetry, ReportError, ReportType, ReportedClock,
    ReportedLicense, SupersededReport, read,
};
use crate::calendar::samples::{Samples, Usage};
use crate::calendar::{Window, instant};
use crate::fixture::{ASSET, LICENSE, NOW, report_key};
use crate::token::OrderType;

const PERIOD: Window = Window { start: NOW - 86_400, end: NOW };

fn telemetry(samples: &Samples) -> ProductTelemetry {
    ProductTelemetry {
        document_type: DOCUMENT_TYPE.to_owned(),
        document_version: DOCUMENT_VERSION.to_owned(),
        digital_asset_id: ASSET,
        digital_asset_name: "SPK".to_owned(),
        digital_asset_version: "1.2.0".to_owned(),
        product_name: "SPK".to_owned(),
        custom_id: "SPK Cluster".to_owned(),
        report_type: ReportType::Telemetry,
        report_id: Uuid::from_u128(0xa1),
        sequence: 3,
        previous_report_sha256: Some("ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0".to_owned()),
        generated_at: instant(NOW),
        period: PERIOD.into(),
        supersedes: vec![SupersededReport {
            report_id: Uuid::from_u128(0xa0),
            period: Window { start: NOW - 172_800, end: NOW - 86_400 }.into(),
        }],
        usage: samples.waiting().unwrap_or_default().into(),
        license: ReportedLicense { jti: LICENSE, order_type: OrderType::Paid },
        clock: ReportedClock { state: "ok".to_owned(), high_water: instant(NOW) },
    }
}

/// A whole report, for tests of others.
pub(crate) fn example() -> ProductTelemetry {
    telemetry(&counted(&[usage(8, 3, 9)]))
}

fn counted(usages: &[Usage]) -> Samples {
    let mut samples = Samples::default();
    for usage in usages {
        samples.take(*usage, NOW);
    }
    samples.close(PERIOD);
    samples
}

fn usage(cpu_count: u64, unique_crds: u64, total_crds: u64) -> Usage {
    Usage { cpu_count, unique_crds, total_crds }
}

fn payload_of(text: &str) -> Value {
    let body = text.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64url::decode(body).unwrap()).unwrap()
}

fn members(value: &Value, name: &str) -> Vec<String> {
    value[name].as_object().unwrap().keys().cloned().collect()
}

/// LIC-140, the list of members: a cluster test searches for names of what it made.
#[test]
fn a_report_has_the_documented_members_and_no_others() {
    let signed = telemetry(&counted(&[usage(8, 3, 9)])).sign(&report_key()).unwrap();
    let payload = payload_of(&signed.text);
    let mut names: Vec<&str> = payload.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let mut documented = [
        "documentType",
        "documentVersion",
        "digitalAssetID",
        "digitalAssetName",
        "digitalAssetVersion",
        "productName",
        "customID",
        "reportType",
        "reportID",
        "sequence",
        "previousReportSha256",
        "generatedAt",
        "period",
        "supersedes",
        "usage",
        "license",
        "clock",
    ];
    documented.sort_unstable();
    assert_eq!(names, documented);
    assert_eq!(members(&payload, "period"), ["end", "start"]);
    assert_eq!(members(&payload["supersedes"][0], "period"), ["end", "start"]);
    assert_eq!(payload["supersedes"][0].as_object().unwrap().len(), 2);
    let usage = ["cpu_count", "missed", "samples", "total_crds", "unique_crds"];
    assert_eq!(members(&payload, "usage"), usage);
    assert_eq!(members(&payload, "license"), ["jti", "orderType"]);
    assert_eq!(members(&payload, "clock"), ["highWater", "state"]);
    assert_eq!(payload["generatedAt"], "2027-01-15T08:00:00Z");
    assert_eq!(payload["reportType"], "telemetry");
}

/// LIC-141, the maxima: process and cluster tests compare with a count of their own.
#[test]
fn usage_is_the_maximum_of_each_value_over_the_samples() {
    let samples = counted(&[usage(8, 3, 9), usage(16, 1, 40), usage(4, 5, 2)]);
    let reported = telemetry(&samples).usage;
    assert_eq!((reported.cpu_count, reported.unique_crds, reported.total_crds), (16, 5, 40));
    assert_eq!((reported.samples, reported.missed), (3, 0));
}

/// LIC-142, the pure part: what is signed again is the same text; processes compare downloads.
#[test]
fn signing_again_gives_the_same_bytes() {
    let report = telemetry(&counted(&[usage(8, 3, 9)]));
    let first = report.sign(&report_key()).unwrap();
    assert_eq!(report.sign(&report_key()).unwrap(), first);
    let mut other = report;
    other.report_id = Uuid::from_u128(0xa2);
    assert_ne!(other.sign(&report_key()).unwrap().sha256, first.sha256);
}

/// LIC-143: checked here with nothing but base64, SHA-256 and Ed25519; process tests use a JOSE
/// library that is not ours.
#[test]
fn a_report_verifies_with_the_key_in_its_header_whose_thumbprint_is_kid() {
    let signed = telemetry(&counted(&[usage(8, 3, 9)])).sign(&report_key()).unwrap();
    let parts: Vec<&str> = signed.text.split('.').collect();
    let header: Value = serde_json::from_slice(&base64url::decode(parts[0]).unwrap()).unwrap();
    assert_eq!((&header["alg"], &header["typ"]), (&"EdDSA".into(), &"JWT".into()));
    let x = header["jwk"]["x"].as_str().unwrap();
    let body = format!("{}.{}", parts[0], parts[1]);
    UnparsedPublicKey::new(&ED25519, base64url::decode(x).unwrap())
        .verify(body.as_bytes(), &base64url::decode(parts[2]).unwrap())
        .unwrap();
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    assert_eq!(header["kid"], spk_jose::name::sha256(&canonical));
    assert_eq!(signed.sha256, spk_jose::name::sha256(&signed.text));
}

#[test]
fn a_report_is_read_back_as_it_was_made() {
    let report = telemetry(&counted(&[usage(8, 3, 9)]));
    let signed = report.sign(&report_key()).unwrap();
    let again = read(&format!("{}\n", signed.text)).unwrap();
    assert_eq!(again.telemetry, report);
    assert_eq!(again.sha256, signed.sha256);
    assert_eq!(again.kid, report_key().kid());
    assert_eq!(again.key, *report_key().public());
}

#[test]
fn a_report_altered_or_with_other_members_is_refused() {
    let report = telemetry(&counted(&[usage(8, 3, 9)]));
    let signed = report.sign(&report_key()).unwrap();
    let other = Ed25519Key::from_seed([1; 32]).unwrap();
    let borrowed = {
        let (head, _) = signed.text.split_once('.').unwrap();
        let rest = other.sign_embedded(b"{}");
        format!("{head}.{}", rest.split_once('.').unwrap().1)
    };
    assert_eq!(read(&borrowed), Err(ReportError::Form(JoseError::Signature)));
    let mut payload = payload_of(&signed.text);
    payload["namespace"] = "secret-ns".into();
    let text = report_key().sign_embedded(payload.to_string().as_bytes());
    assert_eq!(read(&text), Err(ReportError::Payload));
    let mut payload = payload_of(&signed.text);
    payload["documentVersion"] = "2.0".into();
    let text = report_key().sign_embedded(payload.to_string().as_bytes());
    assert_eq!(read(&text), Err(ReportError::Payload));
}

#[test]
fn a_report_above_its_limit_is_not_signed() {
    let mut report = telemetry(&counted(&[usage(8, 3, 9)]));
    let one = report.supersedes[0];
    // The list at its own limit leaves room for long names from the values.
    report.supersedes = vec![one; super::SUPERSEDES_LIMIT];
    report.custom_id = "n".repeat(16_384);
    assert!(report.sign(&report_key()).unwrap().text.len() <= 131_072);
    report.custom_id = "n".repeat(131_072);
    assert_eq!(report.sign(&report_key()), Err(ReportError::TooLarge));
}
