//! Reason codes: why a verdict or a gate is as it is.
//!
//! Owns the closed set of codes that statements, conditions, metrics and answers carry. Decides
//! nothing: `policy` does. Invariant: a code and its variant name each other, one to one.
//! Sources: licensing.md §3.7 (error codes), §9 (reason codes), §12 (reasons of a closed gate).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
        /// Why a verdict or a gate is as it is. In the order of weight: of several reasons that
        /// lead to one verdict the first is told.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason {
            $($(#[$doc])* $name,)+
        }

        impl Reason {
            /// All of them, in the order of weight.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Stable label, for statements, conditions and metrics.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            /// The reason that is called `code`; none if it is not one of ours.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// The stored state was written by a newer release.
    StoreNewer = "store_newer",
    /// The stored state cannot be read.
    StoreCorrupt = "store_corrupt",
    /// The state cannot be stored.
    StoreUnavailable = "store_unavailable",
    /// The wall clock is more than 1 h behind the high-water mark (K3).
    ClockRolledBack = "clock_rolled_back",
    /// The licence has ended.
    Expired = "expired",
    /// There is no CWC: told from lost contact by reading its Deployment.
    CwcAbsent = "cwc_absent",
    /// No valid statement came in time.
    CommsLost = "comms_lost",
    /// There is no JWT.
    JwtMissing = "jwt_missing",
    /// The JWT is above its size limit.
    JwtTooLarge = "jwt_too_large",
    /// The JWT is no strict compact JWS.
    JwtMalformed = "jwt_malformed",
    /// The JWT is not signed with RS512.
    JwtAlgorithm = "jwt_algorithm",
    /// The JWT names a key that is not in the JWKS.
    JwtUnknownKey = "jwt_unknown_key",
    /// The JWT's signature does not verify.
    JwtSignature = "jwt_signature",
    /// The JWT's issuer is not trusted.
    JwtIssuer = "jwt_issuer",
    /// The JWT is for another audience.
    JwtAudience = "jwt_audience",
    /// The JWT's claims are missing or out of range.
    JwtClaims = "jwt_claims",
    /// The JWT's order type is none of the four.
    JwtOrderType = "jwt_order_type",
    /// The JWT's time has not come.
    JwtNotYetValid = "jwt_not_yet_valid",
    /// The JWT's end had passed before activation.
    JwtExpired = "jwt_expired",
    /// There is no JWKS.
    JwksMissing = "jwks_missing",
    /// The JWKS cannot be read.
    JwksMalformed = "jwks_malformed",
    /// The JWKS holds private or symmetric keys.
    JwksPrivate = "jwks_private",
    /// The key that signed the licence is no longer in the JWKS.
    JwksKidMissing = "jwks_kid_missing",
    /// The JWT could not be bound to the digital asset.
    RegistrationFailed = "registration_failed",
    /// A switch to a licence of this order type is not allowed.
    SwitchNotAllowed = "switch_not_allowed",
    /// The new licence is the one in force.
    SwitchSameLicense = "switch_same_license",
    /// A receipt is above its size limit.
    ReceiptTooLarge = "receipt_too_large",
    /// A receipt is no strict compact JWS.
    ReceiptMalformed = "receipt_malformed",
    /// A receipt is not signed with RS512.
    ReceiptAlgorithm = "receipt_algorithm",
    /// A receipt names a key that is not in the JWKS.
    ReceiptUnknownKey = "receipt_unknown_key",
    /// A receipt's signature does not verify.
    ReceiptSignature = "receipt_signature",
    /// A receipt's issuer is not trusted.
    ReceiptIssuer = "receipt_issuer",
    /// A receipt is of another digital asset.
    ReceiptWrongAsset = "receipt_wrong_asset",
    /// A receipt was accepted before.
    ReceiptReplayed = "receipt_replayed",
    /// A receipt is of a report that a roll-up replaced.
    ReceiptSuperseded = "receipt_superseded",
    /// A receipt is of another report.
    ReceiptWrongReport = "receipt_wrong_report",
    /// A receipt is of another licence.
    ReceiptWrongLicense = "receipt_wrong_license",
    /// A receipt was issued too early or too late.
    ReceiptStale = "receipt_stale",
    /// A receipt's claims contradict each other.
    ReceiptClaims = "receipt_claims",
    /// The authority refused the report for good.
    UpstreamRejected = "upstream_rejected",
    /// The authority's answer made no sense.
    UpstreamBadResponse = "upstream_bad_response",
    /// The authority cannot be reached.
    UpstreamUnreachable = "upstream_unreachable",
    /// The authority's certificate is not trusted.
    UpstreamTls = "upstream_tls",
    /// Usage could not be counted.
    UsageUnavailable = "usage_unavailable",
    /// The report could not be built.
    ReportFailed = "report_failed",
    /// The stored report could not be read.
    ReportDownloadFailed = "report_download_failed",
    /// The final acknowledgement is missing for too long (later release).
    FinalAckOverdue = "final_ack_overdue",
    /// The wall clock jumped forward by more than 30 days (K7).
    ClockJumpedForward = "clock_jumped_forward",
    /// A month is not acknowledged.
    TelemetryOverdue = "telemetry_overdue",
    /// The licence ends soon, or today.
    Expiring = "expiring",
    /// A switch of licences is pending or failed.
    Switching = "switching",
    /// No receipt was accepted yet, and nothing is wrong.
    NotActivated = "not_activated",
    /// The licence is acknowledged and nothing is wrong.
    Verified = "verified",
    /// A Controller has not heard a verdict yet.
    Unknown = "unknown",
    /// A gate's lease ended (G8).
    LeaseEnded = "lease_ended",
    /// No lease opened the gate yet.
    NoLease = "no_lease",
    /// There is no key set to verify leases with (G1).
    NoTrustAnchor = "no_trust_anchor",
    /// A code that this release does not know, in a statement of a newer one.
    Unlisted = "unlisted",
}

impl Reason {
    /// The reason that a verified statement names: [`Reason::Unlisted`] if its code is of a newer
    /// release, so that labels stay a closed set.
    #[must_use]
    pub fn of_statement(code: &str) -> Self {
        Self::from_code(code).unwrap_or(Self::Unlisted)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let code = String::deserialize(reader)?;
        Self::from_code(&code).ok_or_else(|| serde::de::Error::custom("no reason code"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Reason;

    #[test]
    fn a_code_and_its_reason_name_each_other() {
        let codes: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
        assert_eq!(Reason::from_code("Verified"), None);
    }

    #[test]
    fn a_code_of_a_newer_release_is_unlisted() {
        assert_eq!(Reason::of_statement("expired"), Reason::Expired);
        assert_eq!(Reason::of_statement("sold_out"), Reason::Unlisted);
    }
}
