//! Codes in words, for people.

use spk_entitlement::{Reason, Verdict};
use spk_license::codes::Code;
use spk_license::view::Facts;

/// The colour of a verdict.
pub(super) const fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Warn => "warn",
        Verdict::Block => "block",
    }
}

/// The verdict in words.
pub(super) const fn headline(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "Traffic may pass",
        Verdict::Warn => "Traffic may pass, with a warning",
        Verdict::Block => "Traffic is stopped",
    }
}

/// A reason of licensing.md §9 and §12 in words.
pub(super) fn reason(reason: Reason) -> String {
    let own = match reason {
        Reason::Verified => "The license is verified and nothing is wrong.",
        Reason::NotActivated => "The license is not active yet: no report was acknowledged so far.",
        Reason::Expiring => "The license ends soon.",
        Reason::Expired => "The license has ended.",
        Reason::Switching => "A switch of licenses is under way.",
        Reason::Unknown => "No verdict was heard yet.",
        Reason::LeaseEnded => "The last lease has ended.",
        Reason::NoLease => "No lease came yet.",
        Reason::Unlisted => "The reason is one that only a newer release knows.",
        Reason::NoTrustAnchor => "The CWC's public key is missing there.",
        other => Code::from_code(other.code()).map_or(other.code(), Code::text),
    };
    own.to_owned()
}

/// Why traffic will stop.
pub(super) fn stop(because: Reason) -> String {
    match because {
        Reason::Expired => String::from("Reason: the license ends then."),
        other => format!("Reason: {}", reason(other)),
    }
}

/// What to do about a form that was refused.
pub(super) fn action(code: Code, facts: &Facts) -> String {
    match code {
        Code::WrongState | Code::WrongMode => String::from("Do the steps below, in their order."),
        Code::CrossOrigin => String::from("Fill in the form of this page again."),
        other => other.action(&facts.site()),
    }
}

/// State of the clock in words.
pub(super) fn clock(state: &str) -> &'static str {
    match state {
        "ok" => "right",
        "rolled_back" => "more than an hour behind",
        "jumped_forward" => "jumped more than 30 days ahead",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LIC-930, "verdict in words with reason": every reason has words of its own.
    #[test]
    fn each_reason_is_a_sentence() {
        for code in Reason::ALL {
            let words = reason(*code);
            assert!(words.ends_with('.') && words.contains(' '), "{code}: {words}");
        }
    }
}
