//! Sending a report to the licensing service: what an answer means and when to try again.
//!
//! Owns the retry plan and the classes of outcomes; opens no connection and reads no clock. Times
//! are trusted seconds since 1970, randomness is a number passed in.
//!
//! Invariant: once given up, every further failure is a refusal and attempts go hourly, until an
//! answer is accepted or the report changes.
//! Source: licensing.md §5.1.

use std::time::Duration;

use jiff::fmt::rfc2822;
use serde::{Deserialize, Serialize};
use spk_jose::json;

use crate::calendar;
use crate::codes::Code;

/// What the shell saw of one attempt.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// No connection, no name, or no answer within [`TIMEOUT`].
    Unreachable,
    /// The TLS handshake failed.
    Tls,
    /// An HTTP response. A redirect is not followed.
    Response {
        /// Its status.
        status: u16,
        /// Its header `Retry-After`.
        retry_after: Option<&'a str>,
        /// Its body; reading may stop after [`BODY_LIMIT`] + 1 bytes.
        body: &'a [u8],
    },
}

/// An attempt that brought no manifest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Why.
    pub code: Code,
    /// Whether the same report may still be taken later (`up.tmp`), or is refused (`up.rej`).
    pub temporary: bool,
    /// Seconds that the service asked to wait, at most 3,600.
    pub retry_after: Option<u64>,
}

impl Failure {
    /// The answer to a manifest that fails A1 (LIC-403).
    pub const BAD_MANIFEST: Self = Self::refused(Code::UpstreamBadResponse);

    const fn refused(code: Code) -> Self {
        Self { code, temporary: false, retry_after: None }
    }
}

/// Takes the manifest out of an answer. `wall` is the wall clock, for a `Retry-After` that is a
/// date.
///
/// # Errors
///
/// [`Failure`] with the class of the outcome.
pub fn manifest(answer: Answer<'_>, wall: u64) -> Result<String, Failure> {
    let temporary = |code, retry_after| Failure { code, temporary: true, retry_after };
    match answer {
        Answer::Unreachable => Err(temporary(Code::UpstreamUnreachable, None)),
        Answer::Tls => Err(temporary(Code::UpstreamTls, None)),
        Answer::Response { status: 200, body, .. } => {
            read_manifest(body).ok_or(Failure::BAD_MANIFEST)
        }
        Answer::Response { status: 408 | 425 | 429 | 500..=599, retry_after, .. } => {
            let wait = retry_after.and_then(|text| wait_of(text, wall));
            Err(temporary(Code::UpstreamUnreachable, wait))
        }
        Answer::Response { status: 400..=499, .. } => Err(Failure::refused(Code::UpstreamRejected)),
        // Redirects are not followed (LIC-404), and nothing but 200 carries a manifest.
        Answer::Response { .. } => Err(Failure::BAD_MANIFEST),
    }
}

/// The attempts to send one report; part of the stored state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Attempts {
    first: Option<u64>,
    failures: u32,
    given_up: bool,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Whether the failure counts as a refusal (`up.rej`) or is to be borne (`up.tmp`).
    pub refused: bool,
    /// Why.
    pub code: Code,
    /// When to try again, from now.
    pub delay: Duration,
}

impl Attempts {
    /// An attempt starts at `now`.
    pub fn started(&mut self, now: u64) {
        self.first.get_or_insert(now);
    }

    /// The attempt failed at `now`. `grace` is `reportGraceHours` in seconds; `jitter` is 0 to 1.
    ///
    /// Waits 1, 2, 4 … 300 s, each 20 % more or less, or as long as the service asked if that is
    /// longer (LIC-401, LIC-402); an hour once the report is refused or the grace is over (LIC-403).
    pub fn failed(&mut self, failure: Failure, now: u64, grace: u64, jitter: f64) -> Plan {
        let late = self.deadline(grace).is_some_and(|end| end <= now);
        let refused = !failure.temporary || self.given_up || late;
        let code = if late { Code::UpstreamUnreachable } else { failure.code };
        self.given_up = refused;
        let delay = if refused { HOURLY } else { self.back_off(failure.retry_after, jitter) };
        self.failures = self.failures.saturating_add(1);
        Plan { refused, code, delay }
    }

    /// When the grace ends while no answer came: the machine then calls [`Attempts::give_up`]. None
    /// before the first attempt and once given up.
    #[must_use]
    pub fn deadline(&self, grace: u64) -> Option<u64> {
        if self.given_up {
            return None;
        }
        self.first.map(|first| first.saturating_add(grace))
    }

    /// The grace is over: `up.rej` with [`Code::UpstreamUnreachable`], and attempts go hourly.
    pub fn give_up(&mut self) -> Plan {
        self.given_up = true;
        Plan { refused: true, code: Code::UpstreamUnreachable, delay: HOURLY }
    }

    fn back_off(&self, retry_after: Option<u64>, jitter: f64) -> Duration {
        let seconds = 1_u64.checked_shl(self.failures).map_or(LONGEST, |wait| wait.min(LONGEST));
        let factor = 1.0 - SPREAD + 2.0 * SPREAD * calendar::fraction(jitter);
        let wait = Duration::from_secs(seconds).mul_f64(factor);
        wait.max(Duration::from_secs(retry_after.unwrap_or(0)))
    }
}

fn read_manifest(body: &[u8]) -> Option<String> {
    if body.len() > BODY_LIMIT {
        return None;
    }
    let mut answer = json::object(body, DEPTH).ok()?;
    match answer.remove("manifest") {
        Some(serde_json::Value::String(manifest)) if !manifest.is_empty() => Some(manifest),
        Some(_) | None => None,
    }
}

/// Seconds of a `Retry-After`, a number or a date (RFC 9110 §10.2.3); one hour at most.
fn wait_of(text: &str, wall: u64) -> Option<u64> {
    let text = text.trim();
    let seconds = text.parse().ok().or_else(|| {
        let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Some(calendar::seconds(date).saturating_sub(wall))
    })?;
    Some(seconds.min(HOURLY.as_secs()))
}

/// How long one attempt may take.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer.
pub const BODY_LIMIT: usize = 1 << 20;
/// Time between attempts once the report is refused.
pub const HOURLY: Duration = Duration::from_secs(3_600);

/// Longest back-off in seconds.
const LONGEST: u64 = 300;
/// How much of a back-off is random, either way.
const SPREAD: f64 = 0.2;
/// Nested levels of an answer.
const DEPTH: usize = 16;

#[cfg(test)]
mod tests;
