use spk_jose::{Ed25519Key, RsaKeySet, RsaKeySize, RsaSigningKey};
use spk_license::calendar::instant;
use spk_license::receipt::SignedReceipt;
use spk_license::report::{
    self, Period, ProductTelemetry, ReportType, ReportedClock, ReportedLicense, ReportedUsage,
};

use super::*;
use crate::ledger::Issued;

const NOW: u64 = 1_800_000_000;
const DAID: Uuid = Uuid::from_u128(0xda1d);
const PAID: Uuid = Uuid::from_u128(0x9a1d);
const EVAL: Uuid = Uuid::from_u128(0xe7a1);

fn key(number: u8) -> Ed25519Key {
    Ed25519Key::from_seed([number; 32]).unwrap()
}

/// A ledger that issued one paid licence, which ends in 100 s, and one trial.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new("F5 Inc.".to_owned(), "v1".to_owned());
    let issued = |order_type, ends| Issued { order_type, issued_at: NOW - 10, ends };
    ledger.issued.insert(PAID, issued(OrderType::Paid, Some(NOW + 100)));
    ledger.issued.insert(EVAL, issued(OrderType::Eval, None));
    ledger
}

/// Report `number` of an asset whose report before was `previous`.
fn telemetry(number: u64, previous: Option<&ReadReport>) -> ProductTelemetry {
    let at = instant(NOW - 60);
    ProductTelemetry {
        document_type: report::DOCUMENT_TYPE.to_owned(),
        document_version: report::DOCUMENT_VERSION.to_owned(),
        digital_asset_id: DAID,
        digital_asset_name: "SPK".to_owned(),
        digital_asset_version: "1.2.0".to_owned(),
        product_name: "SPK".to_owned(),
        custom_id: "SPK Cluster".to_owned(),
        report_type: ReportType::Telemetry,
        report_id: Uuid::from_u128(0x1000 + u128::from(number)),
        sequence: number,
        previous_report_sha256: previous.map(|report| report.sha256.clone()),
        generated_at: at,
        period: Period { start: at, end: at },
        supersedes: Vec::new(),
        usage: ReportedUsage { cpu_count: 4, unique_crds: 2, total_crds: 3, samples: 1, missed: 0 },
        license: ReportedLicense { jti: PAID, order_type: OrderType::Paid },
        clock: ReportedClock { state: "good".to_owned(), high_water: at },
    }
}

fn signed(telemetry: &ProductTelemetry, number: u8) -> ReadReport {
    report::read(&telemetry.sign(&key(number)).unwrap().text).unwrap()
}

fn occasion() -> Occasion<'static> {
    let now = instant(NOW);
    Occasion { license: None, asset: None, now, jti: Uuid::from_u128(7), reset_clock: false }
}

fn claims(jti: Uuid, order_type: OrderType, end: Option<u64>) -> LicenseClaims {
    LicenseClaims {
        sub: "CAT".to_owned(),
        jti,
        iss: "F5 Inc.".to_owned(),
        iat: Some(NOW),
        order_type,
        order_subtype: None,
        nbf: None,
        exp: None,
        sat: end,
    }
}

#[test]
fn a_receipt_says_what_the_rules_of_the_cluster_ask() {
    let mut ledger = ledger();
    let report = signed(&telemetry(1, None), 1);
    let receipt = ledger.acknowledge(&report, &occasion()).unwrap();
    assert_eq!(receipt.iss, "F5 Inc.");
    assert_eq!(receipt.jti, Uuid::from_u128(7));
    assert_eq!(receipt.iat, NOW);
    assert_eq!(receipt.digital_asset_id, DAID);
    assert_eq!(receipt.report_id, report.telemetry.report_id);
    assert_eq!(receipt.report_sha256, report.sha256);
    assert_eq!(receipt.license_jti, PAID);
    let expected = Entitlement { order_type: OrderType::Paid, expiry: Some(NOW + 100) };
    assert_eq!(receipt.entitlement, expected);
    assert_eq!((receipt.ack, receipt.reset_clock), (Ack::Final, None));
    let asset = &ledger.assets[&DAID];
    assert_eq!((asset.report_key.as_str(), asset.sequence), (key(1).kid(), 1));
    assert_eq!(asset.last_report_sha256.as_ref(), Some(&report.sha256));
}

/// The rules of both sides meet: what we sign is what the cluster's A1 to A9 accept.
#[test]
fn a_signed_receipt_passes_the_rules_of_the_cluster() {
    let signer = RsaSigningKey::generate("v1", RsaKeySize::Bits2048).unwrap();
    let keys = RsaKeySet::parse(&RsaSigningKey::key_set([&signer])).unwrap();
    for reset_clock in [false, true] {
        let mut ledger = ledger();
        let report = signed(&telemetry(1, None), 1);
        let receipt = ledger.acknowledge(&report, &Occasion { reset_clock, ..occasion() }).unwrap();
        let text = signer.sign(&serde_json::to_vec(&receipt).unwrap()).unwrap();
        let outstanding = [spk_license::receipt::Outstanding {
            report_id: report.telemetry.report_id,
            sha256: report.sha256.clone(),
            generated_at: NOW - 60,
            handed_out: true,
            license_jti: PAID,
            order_type: OrderType::Paid,
        }];
        let expected = spk_license::receipt::Expected {
            issuers: &["F5 Inc.".to_owned()],
            digital_asset_id: DAID,
            accepted: &[],
            superseded: &[],
            outstanding: &outstanding,
            trusted: NOW,
            wall: NOW,
            last_iat: None,
            restored_iat: None,
        };
        let accepted = SignedReceipt::read(&text, &keys).unwrap().check(&expected).unwrap();
        assert_eq!(accepted.expiry, Some(NOW + 100));
        assert_eq!(accepted.reset_clock, reset_clock);
    }
}

/// Every rule by one change of a good second report; the ledger stays as it was.
#[test]
fn a_report_that_breaks_a_rule_is_not_acknowledged_and_leaves_no_trace() {
    let first = signed(&telemetry(1, None), 1);
    let good = telemetry(2, Some(&first));
    type Change = fn(&mut ProductTelemetry);
    let cases: [(&str, Change, u8); 10] = [
        ("report_key_changed", |_| (), 2),
        ("report_sequence", |report| report.sequence = 1, 1),
        ("report_sequence", |report| report.sequence = 0, 1),
        ("report_chain", |report| report.previous_report_sha256 = None, 1),
        ("report_chain", |report| report.previous_report_sha256 = Some("x".to_owned()), 1),
        ("report_altered", |report| report.report_id = Uuid::from_u128(0x1001), 1),
        ("report_unknown_license", |report| report.license.jti = Uuid::from_u128(1), 1),
        ("report_wrong_order_type", |report| report.license.order_type = OrderType::Ela, 1),
        ("report_clock_ahead", |report| report.generated_at = instant(NOW + 86_401), 1),
        // An asset never seen before has no chain to continue.
        ("report_chain", |report| report.digital_asset_id = Uuid::from_u128(5), 1),
    ];
    for (code, change, number) in cases {
        let mut ledger = ledger();
        ledger.acknowledge(&first, &occasion()).unwrap();
        let before = ledger.clone();
        let mut altered = good.clone();
        change(&mut altered);
        let rejection = ledger.acknowledge(&signed(&altered, number), &occasion()).unwrap_err();
        assert_eq!(rejection.code(), code);
        assert_eq!(ledger, before, "{code}");
        // Nothing was used up: the good one still passes.
        assert!(ledger.acknowledge(&signed(&good, 1), &occasion()).is_ok(), "{code}");
    }
}

#[test]
fn sequence_may_leave_numbers_out_because_a_roll_up_does() {
    let mut ledger = ledger();
    let first = signed(&telemetry(1, None), 1);
    ledger.acknowledge(&first, &occasion()).unwrap();
    let fourth = signed(&telemetry(4, Some(&first)), 1);
    assert!(ledger.acknowledge(&fourth, &occasion()).is_ok());
    assert_eq!(ledger.assets[&DAID].sequence, 4);
}

#[test]
fn a_report_a_day_ahead_is_taken_and_a_reset_of_the_clock_takes_any() {
    let mut early = telemetry(1, None);
    early.generated_at = instant(NOW + 86_400);
    assert!(ledger().acknowledge(&signed(&early, 1), &occasion()).is_ok());
    early.generated_at = instant(NOW + 400 * 86_400);
    let reset = Occasion { reset_clock: true, ..occasion() };
    let receipt = ledger().acknowledge(&signed(&early, 1), &reset).unwrap();
    assert_eq!((receipt.iat, receipt.reset_clock), (NOW, Some(true)));
}

#[test]
fn the_same_bytes_are_acknowledged_again_with_a_new_receipt_also_after_later_reports() {
    let mut ledger = ledger();
    let first = signed(&telemetry(1, None), 1);
    let second = signed(&telemetry(2, Some(&first)), 1);
    ledger.acknowledge(&first, &occasion()).unwrap();
    ledger.acknowledge(&second, &occasion()).unwrap();
    let before = ledger.clone();
    let later = Occasion { now: instant(NOW + 60), jti: Uuid::from_u128(8), ..occasion() };
    let again = ledger.acknowledge(&first, &later).unwrap();
    assert_eq!((again.jti, again.iat), (Uuid::from_u128(8), NOW + 60));
    assert_eq!(again.report_sha256, first.sha256);
    assert_eq!(ledger, before, "the chain goes on from the second");
}

#[test]
fn a_trial_is_the_assets_that_reported_first_and_production_is_for_all() {
    for (license, order_type, shared) in
        [(EVAL, OrderType::Eval, false), (PAID, OrderType::Paid, true)]
    {
        let mut ledger = ledger();
        let of = |asset: u128, number: u8, sequence: u64, previous: Option<&ReadReport>| {
            let mut report = telemetry(sequence, previous);
            report.digital_asset_id = Uuid::from_u128(asset);
            report.license = ReportedLicense { jti: license, order_type };
            signed(&report, number)
        };
        let first = of(1, 1, 1, None);
        ledger.acknowledge(&first, &occasion()).unwrap();
        let second = ledger.acknowledge(&of(2, 2, 1, None), &occasion());
        match second {
            Ok(_) => assert!(shared),
            Err(rejection) => {
                assert!(!shared);
                assert_eq!(rejection, Rejection::TrialTaken { jti: EVAL });
                assert!(!ledger.assets.contains_key(&Uuid::from_u128(2)));
            }
        }
        assert!(ledger.acknowledge(&of(1, 1, 2, Some(&first)), &occasion()).is_ok());
    }
}

/// An expiry that is past would make the receipt invalid (A9).
#[test]
fn usage_after_the_end_is_acknowledged_without_an_expiry() {
    let mut ledger = ledger();
    let report = signed(&telemetry(1, None), 1);
    for (now, expiry) in [(NOW + 99, Some(NOW + 100)), (NOW + 100, None), (NOW + 101, None)] {
        let occasion = Occasion { now: instant(now), ..occasion() };
        let receipt = ledger.acknowledge(&report, &occasion).unwrap();
        assert_eq!(receipt.entitlement.expiry, expiry, "{now}");
    }
}

#[test]
fn a_licence_that_comes_with_the_report_need_not_be_in_the_ledger() {
    let elsewhere = Uuid::from_u128(0xe15e);
    let license = claims(elsewhere, OrderType::Ela, Some(NOW + 5));
    let with = Occasion { license: Some(&license), asset: Some(DAID), ..occasion() };
    let mut report = telemetry(1, None);
    report.license = ReportedLicense { jti: elsewhere, order_type: OrderType::Ela };
    let receipt = ledger().acknowledge(&signed(&report, 1), &with).unwrap();
    assert_eq!(receipt.license_jti, elsewhere);
    assert_eq!(receipt.entitlement.expiry, Some(NOW + 5));

    let rejected = |report: &ProductTelemetry, occasion: &Occasion<'_>| {
        ledger().acknowledge(&signed(report, 1), occasion).unwrap_err().code()
    };
    assert_eq!(rejected(&telemetry(1, None), &with), "report_wrong_license");
    report.license.order_type = OrderType::Paid;
    assert_eq!(rejected(&report, &with), "report_wrong_order_type");
    let other = Occasion { asset: Some(Uuid::from_u128(9)), ..with };
    assert_eq!(rejected(&report, &other), "report_wrong_asset");
}

#[test]
fn a_restarted_chain_begins_anew_and_keeps_the_key() {
    let mut ledger = ledger();
    assert!(!ledger.restart(DAID), "unknown yet");
    let first = signed(&telemetry(1, None), 1);
    ledger.acknowledge(&first, &occasion()).unwrap();
    let mut anew = telemetry(1, None);
    anew.report_id = Uuid::from_u128(0x2001);
    let rejection = ledger.acknowledge(&signed(&anew, 1), &occasion()).unwrap_err();
    assert_eq!(rejection, Rejection::Sequence { found: 1, last: 1 });
    assert!(ledger.restart(DAID));
    let rejection = ledger.acknowledge(&signed(&anew, 2), &occasion()).unwrap_err();
    assert_eq!(rejection.code(), "report_key_changed");
    assert!(ledger.acknowledge(&signed(&anew, 1), &occasion()).is_ok());
    // What was seen before is still known.
    let mut altered = telemetry(2, None);
    altered.report_id = first.telemetry.report_id;
    let rejection = ledger.acknowledge(&signed(&altered, 1), &occasion()).unwrap_err();
    assert_eq!(rejection.code(), "report_altered");
}
