//! Trusted time.
//!
//! Keeps two reckonings that only ever advance by the running time: the *mark*, which is stored and
//! signed into `iat`, and *trusted time*, which may lie ahead of it by what the wall clock claimed
//! at start (K8). Reads no clock. Says nothing about licences.
//!
//! Invariant: the mark is never above what ten minutes of agreement between wall and running time,
//! or a signed time, have shown; only [`Clock::reset`] lowers it. A difference of at most 60 s needs
//! no agreement (K1).
//! Source: licensing.md §8 (K1 to K12).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::now::Now;

/// What the wall clock looks like, seen from trusted time.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockState {
    /// It agrees, or is behind by no more than an hour.
    #[default]
    Ok,
    /// It is more than an hour behind the high-water mark (K3).
    RolledBack,
    /// It jumped more than 30 days ahead while running (K7).
    JumpedForward,
}

impl ClockState {
    /// Its word in answers and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::RolledBack => "rolled_back",
            Self::JumpedForward => "jumped_forward",
        }
    }
}

/// A time that advances with the running time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Reckoning {
    /// Time since 1970 …
    value: Duration,
    /// … at this running time.
    boot: Duration,
}

impl Reckoning {
    const fn at(self, boot: Duration) -> Duration {
        self.value.saturating_add(boot.saturating_sub(self.boot))
    }
}

/// The reckoning of one process. What outlives it is [`Clock::high_water`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Clock {
    mark: Reckoning,
    trusted: Reckoning,
    /// Wall minus running time in nanoseconds, as it was when the present agreement began.
    offset: i128,
    /// Running time at which it began.
    agreed_since: Duration,
    /// Whether the wall's present offset is one that trusted time follows without waiting.
    followed: bool,
    state: ClockState,
}

impl Clock {
    /// Starts from a stored mark, in seconds since 1970: the high-water mark or, if later, the
    /// `iat` of the last receipt (K1). 0 if nothing is known.
    #[must_use]
    pub fn start(mark: u64, now: Now) -> Self {
        let floor = Duration::from_secs(mark);
        let wall = wall(now);
        let mark = if ahead(wall, floor) <= STEP { wall.max(floor) } else { floor };
        let mut clock = Self {
            mark: Reckoning { value: mark, boot: now.boot },
            trusted: Reckoning { value: mark.max(wall), boot: now.boot },
            offset: offset(now),
            agreed_since: now.boot,
            followed: wall >= mark,
            state: ClockState::Ok,
        };
        clock.judge(now);
        clock
    }

    /// Looks at both clocks. Call it at least every 5 s (K6) and before every use.
    pub fn observe(&mut self, now: Now) {
        let wall = wall(now);
        let provisional = self.trusted.at(now.boot) > self.mark.at(now.boot);
        if offset(now).abs_diff(self.offset) > STEP.as_nanos() {
            self.offset = offset(now);
            self.agreed_since = now.boot;
            self.followed = false;
            if provisional && ahead(self.trusted.at(now.boot), wall) > STEP {
                // The wall that start relied on was wrong: as if it had been right (K8).
                self.set_trusted(wall.max(self.mark.at(now.boot)), now);
            }
        }
        let mut jumped = ahead(wall, self.trusted.at(now.boot)) > JUMP;
        if self.state == ClockState::JumpedForward {
            jumped = ahead(wall, self.trusted.at(now.boot)) > STEP;
        }
        if !jumped {
            if now.boot.saturating_sub(self.agreed_since) >= AGREEMENT {
                self.followed = true;
                self.raise_mark(wall, now);
            }
            if self.followed {
                if ahead(wall, self.mark.at(now.boot)) <= STEP {
                    self.raise_mark(wall, now);
                }
                self.set_trusted(wall.max(self.trusted.at(now.boot)), now);
            }
        }
        self.state = if jumped { ClockState::JumpedForward } else { ClockState::Ok };
        self.judge(now);
    }

    /// Takes the wall clock as true (K7, `clock accept`).
    pub fn accept(&mut self, now: Now) {
        self.agreed_since = now.boot;
        self.offset = offset(now);
        self.followed = true;
        self.raise_mark(wall(now), now);
        self.state = ClockState::Ok;
        self.judge(now);
    }

    /// Raises the mark to a signed time in seconds since 1970: a receipt's or a peer's `iat` (K1).
    pub fn learn(&mut self, signed: u64, now: Now) {
        self.raise_mark(Duration::from_secs(signed), now);
        self.judge(now);
    }

    /// A receipt signed at `signed` was accepted: as [`Clock::learn`], and a forward jump that it
    /// confirms to the day is no jump any more (K7).
    pub fn confirm(&mut self, signed: u64, now: Now) {
        self.learn(signed, now);
        let signed = Duration::from_secs(signed);
        if self.state == ClockState::JumpedForward && ahead(wall(now), signed) <= DAY {
            self.state = ClockState::Ok;
        }
    }

    /// Lowers or raises the mark to `signed`, and starts again from there (K9).
    pub fn reset(&mut self, signed: u64, now: Now) {
        *self = Self::start(signed, now);
    }

    /// Trusted time in seconds since 1970 (K1).
    #[must_use]
    pub const fn trusted(&self, boot: Duration) -> u64 {
        self.trusted.at(boot).as_secs()
    }

    /// Trusted time since 1970, with its fraction.
    #[must_use]
    pub const fn trusted_exact(&self, boot: Duration) -> Duration {
        self.trusted.at(boot)
    }

    /// The high-water mark in seconds since 1970: what is stored (K2), signed into `iat` (§2.5),
    /// and ends licences.
    #[must_use]
    pub const fn high_water(&self, boot: Duration) -> u64 {
        self.mark.at(boot).as_secs()
    }

    /// The mark with its fraction.
    #[must_use]
    pub const fn mark_exact(&self, boot: Duration) -> Duration {
        self.mark.at(boot)
    }

    /// How the wall clock looked when it was last observed.
    #[must_use]
    pub const fn state(&self) -> ClockState {
        self.state
    }

    fn raise_mark(&mut self, to: Duration, now: Now) {
        let value = self.mark.at(now.boot).max(to);
        self.mark = Reckoning { value, boot: now.boot };
        self.set_trusted(self.trusted.at(now.boot).max(value), now);
    }

    /// Trusted time is never behind the mark, and moves down only where K8 says so.
    fn set_trusted(&mut self, to: Duration, now: Now) {
        let value = to.max(self.mark.at(now.boot));
        self.trusted = Reckoning { value, boot: now.boot };
    }

    /// K3 and K6: against the mark.
    fn judge(&mut self, now: Now) {
        let back = ahead(self.mark.at(now.boot), wall(now)) > BACK;
        self.state = match (back, self.state) {
            (true, _) => ClockState::RolledBack,
            (false, ClockState::RolledBack) => ClockState::Ok,
            (false, state @ (ClockState::Ok | ClockState::JumpedForward)) => state,
        };
    }
}

/// By how much `one` is ahead of `other`; zero if it is not.
const fn ahead(one: Duration, other: Duration) -> Duration {
    one.saturating_sub(other)
}

/// The wall clock since 1970; before that it is 1970.
fn wall(now: Now) -> Duration {
    Duration::try_from(now.wall.duration_since(jiff::Timestamp::UNIX_EPOCH))
        .unwrap_or(Duration::ZERO)
}

fn offset(now: Now) -> i128 {
    now.wall.as_nanosecond() - i128::try_from(now.boot.as_nanos()).unwrap_or(i128::MAX)
}

/// A difference between wall and running time that is no step (K1, K2).
const STEP: Duration = Duration::from_secs(60);
/// How long both clocks must agree (K2).
const AGREEMENT: Duration = Duration::from_mins(10);
/// How far the wall may fall behind the mark (K3).
const BACK: Duration = Duration::from_hours(1);
/// How far the wall may jump ahead while running (K7).
const JUMP: Duration = Duration::from_hours(24 * 30);
/// How well a receipt must fit a jump.
const DAY: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests;
