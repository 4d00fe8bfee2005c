//! The table of licensing.md §9, row by row.

use proptest::prelude::*;

use super::{Conditions, Ruling, ruling};
use crate::lease::{Class, Verdict};
use crate::reason::Reason;

use Verdict::{Allow, Block, Warn};

const CLASSES: [Class; 3] = [Class::Unactivated, Class::Trial, Class::Production];

fn of(class: Class, reasons: &[Reason]) -> Ruling {
    ruling(class, class != Class::Unactivated, &reasons.iter().copied().collect())
}

/// Checks one row: the verdicts of the three columns, each told by the row's own reason.
fn row(reasons: &[Reason], verdicts: [Verdict; 3]) {
    for reason in reasons {
        for (class, verdict) in CLASSES.into_iter().zip(verdicts) {
            let expected = Ruling { verdict, reason: *reason };
            assert_eq!(of(class, &[*reason]), expected, "{class:?} {reason}");
        }
    }
}

/// Checks a row that says nothing for these classes: the verdict is as without the condition.
fn unchanged(reasons: &[Reason], classes: &[Class]) {
    for reason in reasons {
        for class in classes {
            assert_eq!(of(*class, &[*reason]), of(*class, &[]), "{class:?} {reason}");
        }
    }
}

/// LIC-600: whatever stands or not, a licence that is not activated blocks; also where its order
/// type is known already. (That states 0 to 13 are judged so is shown with the licence machine.)
#[test]
fn a_licence_that_is_not_activated_blocks_under_any_condition() {
    assert_eq!(
        of(Class::Unactivated, &[]),
        Ruling { verdict: Block, reason: Reason::NotActivated }
    );
    for reason in Reason::ALL {
        let conditions = [*reason].into_iter().collect();
        for class in CLASSES {
            assert_eq!(ruling(class, false, &conditions).verdict, Block, "{class:?} {reason}");
        }
    }
}

/// LIC-601: a verified trial is allowed.
#[test]
fn a_verified_trial_is_allowed() {
    assert_eq!(of(Class::Trial, &[]), Ruling { verdict: Allow, reason: Reason::Verified });
}

/// LIC-602: a verified production licence is allowed.
#[test]
fn a_verified_production_licence_is_allowed() {
    assert_eq!(of(Class::Production, &[]), Ruling { verdict: Allow, reason: Reason::Verified });
}

/// LIC-603: a licence that ends soon or today warns in both classes.
#[test]
fn a_licence_that_ends_soon_warns() {
    row(&[Reason::Expiring], [Block, Warn, Warn]);
}

/// An expired trial blocks, expired production warns.
#[test]
fn an_expired_trial_blocks_and_expired_production_warns() {
    row(&[Reason::Expired], [Block, Block, Warn]);
}

/// Lost contact and an absent CWC block a trial and warn production; the Controller judges them.
#[test]
fn lost_contact_blocks_a_trial_and_warns_production() {
    row(&[Reason::CommsLost, Reason::CwcAbsent], [Block, Block, Warn]);
}

/// LIC-610, LIC-611: a report that failed, or was refused for good, blocks a trial and warns
/// production.
#[test]
fn a_failed_report_blocks_a_trial_and_warns_production() {
    let reasons = [
        Reason::ReportFailed,
        Reason::UsageUnavailable,
        Reason::ReportDownloadFailed,
        Reason::UpstreamRejected,
        Reason::UpstreamBadResponse,
    ];
    row(&reasons, [Block, Block, Warn]);
}

/// LIC-612, LIC-613: a bad receipt that a known key signed blocks a trial and warns production.
/// (That a good one ends it is shown with the licence machine.)
#[test]
fn a_bad_receipt_of_a_known_key_blocks_a_trial_and_warns_production() {
    let reasons = [
        Reason::ReceiptIssuer,
        Reason::ReceiptWrongAsset,
        Reason::ReceiptWrongReport,
        Reason::ReceiptWrongLicense,
        Reason::ReceiptStale,
        Reason::ReceiptClaims,
    ];
    row(&reasons, [Block, Block, Warn]);
}

/// LIC-614: a receipt that was replayed or superseded changes no verdict, in any class.
#[test]
fn a_replayed_or_superseded_receipt_changes_no_verdict() {
    unchanged(&[Reason::ReceiptReplayed, Reason::ReceiptSuperseded], &CLASSES);
}

/// LIC-615: a malformed upload and one without a signature of a known key change no verdict.
#[test]
fn a_malformed_upload_changes_no_verdict() {
    let reasons = [
        Reason::ReceiptTooLarge,
        Reason::ReceiptMalformed,
        Reason::ReceiptAlgorithm,
        Reason::ReceiptUnknownKey,
        Reason::ReceiptSignature,
    ];
    unchanged(&reasons, &CLASSES);
}

/// LIC-616: a month without acknowledgement warns both classes, and is no row for an install that
/// is not activated.
#[test]
fn an_overdue_month_warns_both_classes() {
    for class in [Class::Trial, Class::Production] {
        let expected = Ruling { verdict: Warn, reason: Reason::TelemetryOverdue };
        assert_eq!(of(class, &[Reason::TelemetryOverdue]), expected);
    }
    unchanged(&[Reason::TelemetryOverdue], &[Class::Unactivated]);
}

/// LIC-617, LIC-618: a clock set back blocks a trial and warns production.
#[test]
fn a_clock_set_back_blocks_a_trial_and_warns_production() {
    row(&[Reason::ClockRolledBack], [Block, Block, Warn]);
}

/// LIC-619: a clock that jumped forward warns both classes.
#[test]
fn a_clock_that_jumped_forward_warns_both_classes() {
    row(&[Reason::ClockJumpedForward], [Block, Warn, Warn]);
}

/// A state that cannot be stored blocks a trial and warns production (how long a trial still runs
/// is shown with the three machines together).
#[test]
fn a_failing_store_blocks_a_trial_and_warns_production() {
    row(
        &[Reason::StoreUnavailable, Reason::StoreCorrupt, Reason::StoreNewer],
        [Block, Block, Warn],
    );
}

/// LIC-621: a pending or failed switch leaves the verdict of the running licence, whatever else
/// stands.
#[test]
fn a_switch_leaves_the_verdict_of_the_running_licence() {
    for class in [Class::Trial, Class::Production] {
        let alone = Ruling { verdict: Allow, reason: Reason::Switching };
        assert_eq!(of(class, &[Reason::Switching]), alone);
        for reason in Reason::ALL {
            let running = of(class, &[*reason]).verdict;
            let switching = of(class, &[*reason, Reason::Switching]);
            assert_eq!(switching.verdict, running, "{class:?} {reason}");
            if running != Allow {
                assert_eq!(switching, of(class, &[*reason]), "{class:?} {reason}");
            }
        }
    }
    unchanged(&[Reason::Switching], &[Class::Unactivated]);
    let refused = [Reason::SwitchNotAllowed, Reason::SwitchSameLicense];
    unchanged(&refused, &CLASSES);
}

/// A JWT or JWKS that cannot be verified again at a restart blocks a trial and warns production
/// (an edit alone is no condition).
#[test]
fn a_licence_that_cannot_be_verified_again_blocks_a_trial_and_warns_production() {
    let reasons: Vec<Reason> = Reason::ALL
        .iter()
        .copied()
        .filter(|reason| reason.code().starts_with("jwt_") || reason.code().starts_with("jwks_"))
        .collect();
    assert_eq!(reasons.len(), 16, "12 of the JWT, 4 of the JWKS");
    row(&reasons, [Block, Block, Warn]);
}

#[test]
fn production_never_blocks_and_a_latch_never_lets_it() {
    let all: Conditions = Reason::ALL.iter().copied().collect();
    assert_eq!(ruling(Class::Production, true, &all).verdict, Warn);
    assert_eq!([Allow, Warn, Block].map(Verdict::under_latch), [Allow, Warn, Warn]);
    assert_eq!([Allow, Warn, Block].map(Verdict::passes), [true, true, false]);
}

fn some_reasons() -> impl Strategy<Value = Vec<Reason>> {
    let every = proptest::sample::select(Reason::ALL);
    proptest::collection::vec(every, 0..6)
}

proptest! {
    /// LIC-643: two paths to the same (class, active, conditions) give the same ruling; several
    /// conditions give the strictest of their verdicts, told by one that asks for it.
    #[test]
    fn a_ruling_is_a_function_of_class_active_and_conditions(
        class in proptest::sample::select(&CLASSES[..]),
        active in any::<bool>(),
        reasons in some_reasons(),
        passing in some_reasons(),
    ) {
        let straight: Conditions = reasons.iter().copied().collect();
        let mut wandering = Conditions::none();
        for reason in passing.iter().chain(reasons.iter().rev()) {
            wandering.add(*reason);
        }
        for reason in passing.iter().filter(|reason| !reasons.contains(reason)) {
            wandering.clear(*reason);
        }
        let ruled = ruling(class, active, &straight);
        prop_assert_eq!(ruled, ruling(class, active, &wandering));

        let alone = |reason: Reason| ruling(class, active, &[reason].into_iter().collect());
        let quiet = ruling(class, active, &Conditions::none());
        let strictest =
            reasons.iter().map(|reason| alone(*reason).verdict).fold(quiet.verdict, Verdict::max);
        prop_assert_eq!(ruled.verdict, strictest);
        let told = ruled == quiet
            || (reasons.contains(&ruled.reason) && alone(ruled.reason).verdict == strictest);
        prop_assert!(told, "{:?}", ruled);
    }
}
