//! What to do about each code: `OperatorAction` and the suggested actions.
//!
//! Owns the sentences. How those of an error begin is prescribed. Source: licensing.md §3.7.

use uuid::Uuid;

use super::Code;

/// What advice needs to name.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Namespace of the CWC.
    pub namespace: &'a str,
    /// The report that waits for its receipt.
    pub report: Option<Uuid>,
    /// `cpclConfig.upstreamUrl`.
    pub upstream: &'a str,
}

impl Code {
    /// `OperatorAction`: what to do about it, in one or two sentences.
    #[must_use]
    pub fn action(self, site: &Site<'_>) -> String {
        let Site { namespace, upstream, .. } = site;
        match self {
            Self::JwtMissing => {
                "Set cpclConfig.jwt of chart cwc to the JWT of your subscription.".to_owned()
            }
            Self::JwtTooLarge | Self::JwtMalformed | Self::JwtSignature => {
                "Set cpclConfig.jwt to the whole JWT, as it was received; if it is that already, \
                 obtain a new one."
                    .to_owned()
            }
            Self::JwtUnknownKey => format!(
                "Obtain a new JWT, or add the key that signed it to ConfigMap cpcl-key-cm in \
                 namespace {namespace}."
            ),
            Self::JwtAlgorithm
            | Self::JwtIssuer
            | Self::JwtAudience
            | Self::JwtClaims
            | Self::JwtOrderType => {
                "Obtain a new JWT for this product from the customer portal.".to_owned()
            }
            Self::JwtNotYetValid => "Obtain a new JWT that is valid today; if this one should be, \
                                     correct the node's clock."
                .to_owned(),
            Self::JwtExpired => {
                "Obtain a new JWT of a subscription that runs, and set it.".to_owned()
            }
            Self::JwksMissing | Self::JwksMalformed | Self::JwksPrivate | Self::JwksKidMissing => {
                format!(
                    "Create ConfigMap cpcl-key-cm in namespace {namespace} from the authority's \
                     public keys (key jwt.key)."
                )
            }
            Self::StoreUnavailable => {
                format!("Check access to Secrets in namespace {namespace}.")
            }
            Self::StoreCorrupt => format!(
                "Check access to Secrets in namespace {namespace} and bring back a good copy of \
                 Secret context; only without one: spkctl license reset --yes."
            ),
            Self::StoreNewer => {
                "Install the release that wrote the state, or a newer one.".to_owned()
            }
            Self::RegistrationFailed => format!(
                "Use a JWT of an allowed type; if it is one, check access to Secrets in namespace \
                 {namespace}."
            ),
            Self::SwitchNotAllowed => {
                "Use a JWT of an allowed type: paid or ela. A trial cannot follow.".to_owned()
            }
            Self::SwitchSameLicense => {
                "Use a JWT of an allowed type that is not yet in force.".to_owned()
            }
            Self::UsageUnavailable => format!(
                "Check RBAC of the CWC service account in namespace {namespace}: it must list \
                 nodes and the custom resources."
            ),
            Self::ReportFailed | Self::ReportDownloadFailed => format!(
                "Check RBAC of the CWC service account and Secret configreport in namespace \
                 {namespace}; the report is built again by itself."
            ),
            Self::ReceiptTooLarge
            | Self::ReceiptMalformed
            | Self::ReceiptAlgorithm
            | Self::ReceiptUnknownKey
            | Self::ReceiptSignature
            | Self::ReceiptIssuer
            | Self::ReceiptWrongAsset
            | Self::ReceiptReplayed
            | Self::ReceiptSuperseded
            | Self::ReceiptWrongReport
            | Self::ReceiptWrongLicense
            | Self::ReceiptStale
            | Self::ReceiptClaims => match site.report {
                Some(id) => format!("Submit report {id} again and upload its receipt as it comes."),
                None => "Submit report again once one is ready, and upload its receipt.".to_owned(),
            },
            Self::UpstreamUnreachable | Self::UpstreamTls => {
                format!("Check egress to {upstream}: name, route, proxy and certificate authority.")
            }
            Self::UpstreamRejected | Self::UpstreamBadResponse => format!(
                "Check egress to {upstream}: does the licensing service itself answer there, and \
                 does it know this licence?"
            ),
            Self::Expired => "Renew the subscription and hand the new JWT over: spkctl license \
                              reactivate FILE."
                .to_owned(),
            Self::ClockRolledBack => {
                "Correct the node's clock; state recovers by itself.".to_owned()
            }
            Self::ClockJumpedForward => "Correct the node's clock; if the new time is right: \
                                         spkctl license clock accept."
                .to_owned(),
            Self::CommsLost => {
                format!("Check the RabbitMQ pod and the bus certificates in namespace {namespace}.")
            }
            Self::CwcAbsent => format!(
                "Check the RabbitMQ pod and Deployment f5-spk-cwc in namespace {namespace}."
            ),
            Self::TelemetryOverdue | Self::FinalAckOverdue => {
                "Download the report that waits, submit it and upload its receipt.".to_owned()
            }
            Self::ReportNotReady => {
                "Wait for the end of the window; GET /status shows it.".to_owned()
            }
            Self::WrongState => "See GET /status for what can be done now.".to_owned(),
            Self::WrongMode => {
                "Nothing: in this mode reports and receipts travel by themselves.".to_owned()
            }
            Self::NotLeader => "Ask the replica that acts.".to_owned(),
            Self::RateLimited => "Try again later.".to_owned(),
            Self::CrossOrigin => "Open the page of the CWC itself.".to_owned(),
            Self::TokenRequired | Self::TokenWrong => format!(
                "Send the token of Secret cwc-auth-token in namespace {namespace} as bearer."
            ),
            Self::TooLarge => "Send the token alone.".to_owned(),
            Self::NotFound => "See GET /openapi.json for what is there.".to_owned(),
            Self::StateRolledBack => {
                "Submit report again once one is ready, and upload its new receipt.".to_owned()
            }
        }
    }
}
