//! The code words: one closed set for problem details, events, metrics, conditions and
//! `licensestatus`.
//!
//! Owns each word's number, sentence and HTTP status; what to do about it is `advice`. Decides
//! nothing about states.
//!
//! Source: licensing.md §3.7 (numbers and words), §4.2 (HTTP status), LIC-250, LIC-328.

mod advice;

use serde::{Deserialize, Serialize};

pub use advice::Site;

/// What is wrong, or what a request may not do.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// No JWT is configured.
    JwtMissing,
    /// V1.
    JwtTooLarge,
    /// V2, V3, V8.
    JwtMalformed,
    /// V4.
    JwtAlgorithm,
    /// V5.
    JwtUnknownKey,
    /// V7.
    JwtSignature,
    /// V9.
    JwtIssuer,
    /// V10.
    JwtAudience,
    /// V11.
    JwtClaims,
    /// V12.
    JwtOrderType,
    /// V13, V14.
    JwtNotYetValid,
    /// V15.
    JwtExpired,
    /// There is no key set.
    JwksMissing,
    /// The key set, or a key of it, is unusable.
    JwksMalformed,
    /// The key set holds private or symmetric keys.
    JwksPrivate,
    /// The key that signed the stored JWT is no longer in the set.
    JwksKidMissing,
    /// State cannot be read or written.
    StoreUnavailable,
    /// Stored state is unreadable or its hash is wrong (P6).
    StoreCorrupt,
    /// Stored state was written by a newer release (P11).
    StoreNewer,
    /// The JWT could not be bound to the digital asset.
    RegistrationFailed,
    /// This change of order type is not allowed.
    SwitchNotAllowed,
    /// The JWT is the one in force.
    SwitchSameLicense,
    /// Usage could not be counted.
    UsageUnavailable,
    /// The report could not be built.
    ReportFailed,
    /// The stored report could not be read.
    ReportDownloadFailed,
    /// A1.
    ReceiptTooLarge,
    /// A1.
    ReceiptMalformed,
    /// A1.
    ReceiptAlgorithm,
    /// A1.
    ReceiptUnknownKey,
    /// A1.
    ReceiptSignature,
    /// A2.
    ReceiptIssuer,
    /// A3.
    ReceiptWrongAsset,
    /// A4.
    ReceiptReplayed,
    /// A5.
    ReceiptSuperseded,
    /// A6.
    ReceiptWrongReport,
    /// A7.
    ReceiptWrongLicense,
    /// A8.
    ReceiptStale,
    /// A9.
    ReceiptClaims,
    /// The upstream service does not answer.
    UpstreamUnreachable,
    /// TLS to the upstream service fails.
    UpstreamTls,
    /// The upstream service refused the report.
    UpstreamRejected,
    /// The upstream service's answer is not usable.
    UpstreamBadResponse,
    /// The licence has ended.
    Expired,
    /// The clock is more than an hour behind the high-water mark (K3).
    ClockRolledBack,
    /// The clock jumped more than 30 days forward (K7). A warning.
    ClockJumpedForward,
    /// No statement of the CWC arrived in time.
    CommsLost,
    /// The CWC is not there.
    CwcAbsent,
    /// A month is not acknowledged 7 days after its end. A warning.
    TelemetryOverdue,
    /// The final acknowledgement is missing; no part of this release produces it.
    FinalAckOverdue,
    /// REST: no report can be downloaded yet.
    ReportNotReady,
    /// REST: the request does not fit the state.
    WrongState,
    /// REST: the request does not fit the mode.
    WrongMode,
    /// REST: another replica acts.
    NotLeader,
    /// REST: too many requests.
    RateLimited,
    /// REST: the request comes from a foreign page.
    CrossOrigin,
    /// REST: a bearer token is needed.
    TokenRequired,
    /// REST: the bearer token is not ours.
    TokenWrong,
    /// REST: the body is too large.
    TooLarge,
    /// REST: there is nothing at this path, or nothing to abandon.
    NotFound,
    /// Event only: state was restored from an old copy (§7.5).
    StateRolledBack,
}

impl Code {
    /// Every code, in the order of licensing.md §3.7.
    pub const ALL: [Self; 60] = [
        Self::JwtMissing,
        Self::JwtTooLarge,
        Self::JwtMalformed,
        Self::JwtAlgorithm,
        Self::JwtUnknownKey,
        Self::JwtSignature,
        Self::JwtIssuer,
        Self::JwtAudience,
        Self::JwtClaims,
        Self::JwtOrderType,
        Self::JwtNotYetValid,
        Self::JwtExpired,
        Self::JwksMissing,
        Self::JwksMalformed,
        Self::JwksPrivate,
        Self::JwksKidMissing,
        Self::StoreUnavailable,
        Self::StoreCorrupt,
        Self::StoreNewer,
        Self::RegistrationFailed,
        Self::SwitchNotAllowed,
        Self::SwitchSameLicense,
        Self::UsageUnavailable,
        Self::ReportFailed,
        Self::ReportDownloadFailed,
        Self::ReceiptTooLarge,
        Self::ReceiptMalformed,
        Self::ReceiptAlgorithm,
        Self::ReceiptUnknownKey,
        Self::ReceiptSignature,
        Self::ReceiptIssuer,
        Self::ReceiptWrongAsset,
        Self::ReceiptReplayed,
        Self::ReceiptSuperseded,
        Self::ReceiptWrongReport,
        Self::ReceiptWrongLicense,
        Self::ReceiptStale,
        Self::ReceiptClaims,
        Self::UpstreamUnreachable,
        Self::UpstreamTls,
        Self::UpstreamRejected,
        Self::UpstreamBadResponse,
        Self::Expired,
        Self::ClockRolledBack,
        Self::ClockJumpedForward,
        Self::CommsLost,
        Self::CwcAbsent,
        Self::TelemetryOverdue,
        Self::FinalAckOverdue,
        Self::ReportNotReady,
        Self::WrongState,
        Self::WrongMode,
        Self::NotLeader,
        Self::RateLimited,
        Self::CrossOrigin,
        Self::TokenRequired,
        Self::TokenWrong,
        Self::TooLarge,
        Self::NotFound,
        Self::StateRolledBack,
    ];

    /// The word, everywhere the same.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().1
    }

    /// `ErrCode` of the code itself; none for the words of REST answers and events.
    ///
    /// A warning ([`Self::is_warning`]) has a number but never stands in `ErrCode`.
    #[must_use]
    pub const fn number(self) -> Option<u16> {
        match self.row().0 {
            0 => None,
            number => Some(number),
        }
    }

    /// `ErrString`: one sentence, used where nothing more exact is known.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.row().2
    }

    /// The code with this word.
    #[must_use]
    pub fn from_code(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.code() == word)
    }

    /// Whether it leaves `ErrCode` at 0 and stands under `warnings[]` (6003, 7003).
    #[must_use]
    pub const fn is_warning(self) -> bool {
        matches!(self, Self::ClockJumpedForward | Self::TelemetryOverdue)
    }

    /// Number, word, sentence.
    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::JwtMissing => (1001, "jwt_missing", "No licence JWT is set."),
            Self::JwtTooLarge => (
                1002,
                "jwt_too_large",
                "The JWT is larger than 8192 bytes, or its header than 4096.",
            ),
            Self::JwtMalformed => {
                (1003, "jwt_malformed", "The JWT is not three parts of base64url with JSON inside.")
            }
            Self::JwtAlgorithm => (1004, "jwt_algorithm", "The JWT is not signed with RS512."),
            Self::JwtUnknownKey => {
                (1005, "jwt_unknown_key", "The JWT names a key that ConfigMap cpcl-key-cm lacks.")
            }
            Self::JwtSignature => (1006, "jwt_signature", "The JWT's signature is wrong."),
            Self::JwtIssuer => (1007, "jwt_issuer", "The JWT's issuer is not trusted."),
            Self::JwtAudience => (1008, "jwt_audience", "The JWT is not for urn:f5:teem."),
            Self::JwtClaims => (1009, "jwt_claims", "A claim of the JWT is missing or wrong."),
            Self::JwtOrderType => (
                1010,
                "jwt_order_type",
                "The JWT's f5_order_type is none of eval, freemium, paid, ela.",
            ),
            Self::JwtNotYetValid => (1011, "jwt_not_yet_valid", "The JWT is not valid yet."),
            Self::JwtExpired => (1012, "jwt_expired", "The JWT's subscription has ended."),
            Self::JwksMissing => {
                (1101, "jwks_missing", "There is no key set to verify the JWT with.")
            }
            Self::JwksMalformed => (1102, "jwks_malformed", "The key set is not usable."),
            Self::JwksPrivate => {
                (1103, "jwks_private", "The key set holds a private or symmetric key.")
            }
            Self::JwksKidMissing => (
                1104,
                "jwks_kid_missing",
                "The key that signed the JWT in force is no longer in the key set.",
            ),
            Self::StoreUnavailable => {
                (1201, "store_unavailable", "State cannot be read or written.")
            }
            Self::StoreCorrupt => {
                (1202, "store_corrupt", "Stored state is unreadable; nothing of it was changed.")
            }
            Self::StoreNewer => (
                1203,
                "store_newer",
                "Stored state was written by a newer release; nothing of it was changed.",
            ),
            Self::RegistrationFailed => {
                (2001, "registration_failed", "The JWT could not be bound to this cluster.")
            }
            Self::SwitchNotAllowed => {
                (2002, "switch_not_allowed", "This change of order type is not allowed.")
            }
            Self::SwitchSameLicense => {
                (2003, "switch_same_license", "The JWT is the one already in force.")
            }
            Self::UsageUnavailable => (3001, "usage_unavailable", "Usage could not be counted."),
            Self::ReportFailed => (3002, "report_failed", "The report could not be built."),
            Self::ReportDownloadFailed => {
                (3003, "report_download_failed", "The stored report could not be read.")
            }
            Self::ReceiptTooLarge => (
                4001,
                "receipt_too_large",
                "The receipt is larger than 65536 bytes, or its header than 4096.",
            ),
            Self::ReceiptMalformed => (
                4002,
                "receipt_malformed",
                "The receipt is not three parts of base64url with JSON inside.",
            ),
            Self::ReceiptAlgorithm => {
                (4003, "receipt_algorithm", "The receipt is not signed with RS512.")
            }
            Self::ReceiptUnknownKey => (
                4004,
                "receipt_unknown_key",
                "The receipt names a key that ConfigMap cpcl-key-cm lacks.",
            ),
            Self::ReceiptSignature => {
                (4005, "receipt_signature", "The receipt's signature is wrong.")
            }
            Self::ReceiptIssuer => (4006, "receipt_issuer", "The receipt's issuer is not trusted."),
            Self::ReceiptWrongAsset => {
                (4007, "receipt_wrong_asset", "The receipt is for another cluster.")
            }
            Self::ReceiptReplayed => (4008, "receipt_replayed", "The receipt was accepted before."),
            Self::ReceiptSuperseded => (
                4009,
                "receipt_superseded",
                "The receipt is for a report that a later one replaces.",
            ),
            Self::ReceiptWrongReport => {
                (4010, "receipt_wrong_report", "The receipt is for no report that waits for one.")
            }
            Self::ReceiptWrongLicense => {
                (4011, "receipt_wrong_license", "The receipt is for another licence.")
            }
            Self::ReceiptStale => (4012, "receipt_stale", "The receipt's date does not fit."),
            Self::ReceiptClaims => {
                (4013, "receipt_claims", "A member of the receipt is missing or wrong.")
            }
            Self::UpstreamUnreachable => {
                (5001, "upstream_unreachable", "The licensing service does not answer.")
            }
            Self::UpstreamTls => (5002, "upstream_tls", "TLS to the licensing service fails."),
            Self::UpstreamRejected => {
                (5003, "upstream_rejected", "The licensing service refused the report.")
            }
            Self::UpstreamBadResponse => {
                (5004, "upstream_bad_response", "The licensing service's answer is not usable.")
            }
            Self::Expired => (6001, "expired", "The licence has ended."),
            Self::ClockRolledBack => {
                (6002, "clock_rolled_back", "The clock is more than an hour behind where it was.")
            }
            Self::ClockJumpedForward => {
                (6003, "clock_jumped_forward", "The clock jumped more than 30 days forward.")
            }
            Self::CommsLost => {
                (7001, "comms_lost", "The CWC has not been heard of for longer than allowed.")
            }
            Self::CwcAbsent => (7002, "cwc_absent", "The CWC is not installed or not running."),
            Self::TelemetryOverdue => (
                7003,
                "telemetry_overdue",
                "A month's report waits for its receipt for more than 7 days.",
            ),
            Self::FinalAckOverdue => {
                (7004, "final_ack_overdue", "The final acknowledgement is missing.")
            }
            Self::ReportNotReady => (0, "report_not_ready", "No report is ready to download."),
            Self::WrongState => (0, "wrong_state", "The request does not fit the state."),
            Self::WrongMode => (0, "wrong_mode", "The request does not fit the mode of operation."),
            Self::NotLeader => (0, "not_leader", "Another replica of the CWC acts."),
            Self::RateLimited => (0, "rate_limited", "Too many requests."),
            Self::CrossOrigin => (0, "cross_origin", "The request comes from a foreign page."),
            Self::TokenRequired => (0, "token_required", "A bearer token is needed."),
            Self::TokenWrong => (0, "token_wrong", "The bearer token is wrong."),
            Self::TooLarge => (0, "too_large", "The body is too large."),
            Self::NotFound => (0, "not_found", "There is nothing here."),
            Self::StateRolledBack => {
                (0, "state_rolled_back", "State was restored from an old copy.")
            }
        }
    }

    /// Status of a REST answer that carries the code (licensing.md §4.2); none where no answer does.
    ///
    /// One answer deviates: a switch in state 11 is [`Code::WrongState`] with 409.
    #[must_use]
    pub const fn http_status(self) -> Option<u16> {
        match self {
            Self::JwtMalformed
            | Self::JwtAlgorithm
            | Self::JwksMalformed
            | Self::ReceiptMalformed
            | Self::ReceiptAlgorithm => Some(400),
            Self::TokenRequired => Some(401),
            Self::TokenWrong | Self::CrossOrigin => Some(403),
            Self::NotFound => Some(404),
            Self::ReportNotReady | Self::WrongState | Self::WrongMode => Some(405),
            Self::ReceiptReplayed
            | Self::ReceiptSuperseded
            | Self::SwitchNotAllowed
            | Self::SwitchSameLicense => Some(409),
            Self::TooLarge => Some(413),
            Self::JwtMissing
            | Self::JwtTooLarge
            | Self::JwtUnknownKey
            | Self::JwtSignature
            | Self::JwtIssuer
            | Self::JwtAudience
            | Self::JwtClaims
            | Self::JwtOrderType
            | Self::JwtNotYetValid
            | Self::JwtExpired
            | Self::ReceiptTooLarge
            | Self::ReceiptUnknownKey
            | Self::ReceiptSignature
            | Self::ReceiptIssuer
            | Self::ReceiptWrongAsset
            | Self::ReceiptWrongReport
            | Self::ReceiptWrongLicense
            | Self::ReceiptStale
            | Self::ReceiptClaims => Some(422),
            Self::RateLimited => Some(429),
            Self::ReportDownloadFailed => Some(500),
            Self::StoreUnavailable | Self::NotLeader => Some(503),
            Self::JwksMissing
            | Self::JwksPrivate
            | Self::JwksKidMissing
            | Self::StoreCorrupt
            | Self::StoreNewer
            | Self::RegistrationFailed
            | Self::UsageUnavailable
            | Self::ReportFailed
            | Self::UpstreamUnreachable
            | Self::UpstreamTls
            | Self::UpstreamRejected
            | Self::UpstreamBadResponse
            | Self::Expired
            | Self::ClockRolledBack
            | Self::ClockJumpedForward
            | Self::CommsLost
            | Self::CwcAbsent
            | Self::TelemetryOverdue
            | Self::FinalAckOverdue
            | Self::StateRolledBack => None,
        }
    }
}

#[cfg(test)]
mod tests;
