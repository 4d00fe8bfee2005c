//! What a reason code means to a person, and what to do next.
//!
//! Owns the texts. They are made here from the signed code alone: no text of a message is shown
//! (licensing.md §10.4, LIC-739). Source: licensing.md §9.

use spk_entitlement::reason::Reason;

/// What `reason` means, in one sentence that ends with the code.
#[must_use]
pub fn text(reason: Reason) -> String {
    format!("{} ({reason})", sentence(reason))
}

const fn sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::NotActivated => {
            "the licence waits for its first receipt; see spkctl license status for the next step"
        }
        Reason::Verified => "the licence is verified",
        Reason::Unknown => "no verdict was heard yet; nothing is sent to TMM",
        Reason::Expired => "the licence has expired; switch to another one",
        Reason::Expiring => "the licence ends soon; renew it or switch to another one",
        Reason::CommsLost => {
            "no statement of the CWC came in time; check spk-cwc and the bus between"
        }
        Reason::CwcAbsent => "there is no CWC; install or start it",
        Reason::ClockRolledBack => "the clock of the CWC is more than 1 h behind; set it right",
        Reason::ClockJumpedForward => "the clock of the CWC jumped forward; set it right",
        Reason::StoreNewer | Reason::StoreCorrupt | Reason::StoreUnavailable => {
            "the CWC cannot use its stored state; see its log and spkctl license status"
        }
        Reason::JwtMissing
        | Reason::JwtTooLarge
        | Reason::JwtMalformed
        | Reason::JwtAlgorithm
        | Reason::JwtUnknownKey
        | Reason::JwtSignature
        | Reason::JwtIssuer
        | Reason::JwtAudience
        | Reason::JwtClaims
        | Reason::JwtOrderType
        | Reason::JwtNotYetValid
        | Reason::JwtExpired => "the licence token is missing or refused; give the CWC a good one",
        Reason::JwksMissing
        | Reason::JwksMalformed
        | Reason::JwksPrivate
        | Reason::JwksKidMissing => "the authority's keys are missing or refused; mend cpcl-key-cm",
        Reason::RegistrationFailed | Reason::SwitchNotAllowed | Reason::SwitchSameLicense => {
            "the licence cannot be taken; see spkctl license status"
        }
        Reason::ReceiptTooLarge
        | Reason::ReceiptMalformed
        | Reason::ReceiptAlgorithm
        | Reason::ReceiptUnknownKey
        | Reason::ReceiptSignature
        | Reason::ReceiptIssuer
        | Reason::ReceiptWrongAsset
        | Reason::ReceiptReplayed
        | Reason::ReceiptSuperseded
        | Reason::ReceiptWrongReport
        | Reason::ReceiptWrongLicense
        | Reason::ReceiptStale
        | Reason::ReceiptClaims => "the receipt was refused; submit the report again for another",
        Reason::UpstreamRejected
        | Reason::UpstreamBadResponse
        | Reason::UpstreamUnreachable
        | Reason::UpstreamTls => "the authority did not acknowledge the report; see spk-cwc's log",
        Reason::UsageUnavailable | Reason::ReportFailed | Reason::ReportDownloadFailed => {
            "the report could not be made; see spk-cwc's log"
        }
        Reason::FinalAckOverdue | Reason::TelemetryOverdue => {
            "a month is not acknowledged; submit the waiting report"
        }
        Reason::Switching => "a switch of licences is under way or failed",
        Reason::LeaseEnded => "the lease ended and no other came",
        Reason::NoLease => "no lease came yet",
        Reason::NoTrustAnchor => "there is no key set cwc-lease-jwks; run spkctl license trust",
        Reason::Unlisted => "the CWC names a reason that this release does not know",
    }
}
