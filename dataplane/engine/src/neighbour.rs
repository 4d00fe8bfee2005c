//! When a neighbour is asked, believed, and given up.
//!
//! The state machine of one next hop, the same for ARP and ND: requests once a second, three
//! without answer fail; an answer holds for 30 seconds, then is confirmed by unicast while sessions
//! use it. What is told unasked confirms nothing. Gateways of routes are asked every second and fail
//! 2.5 s after their last answer, so that a dead one is left out within 3 s (CHK-560). Sends nothing
//! and knows no header.
//!
//! Sources: RFC 4861 §7.3, RFC 1122 §2.3.2.1, crds.md §17 rule 3.

use tmm_config::Nanos;

use crate::out::Told;

/// What is known about one neighbour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Asked, no answer yet.
    Incomplete,
    /// Answered.
    Reachable,
    /// Its answer is old; asked again while the old MAC is used.
    Probing,
    /// Did not answer.
    Failed,
    /// Its VLAN is not in the configuration.
    Gone,
}

/// One neighbour.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour {
    /// Its state.
    pub state: State,
    /// Whether it is the gateway of a route.
    pub is_gateway: bool,
    asked: u8,
    /// When it was last asked, or failed.
    last: Nanos,
    confirmed: Nanos,
}

/// What to do about a neighbour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Nothing.
    Wait,
    /// Send a request to all.
    Ask,
    /// Send a request to its known MAC.
    AskUnicast,
    /// It failed just now: let go what waits for it.
    GiveUp,
}

/// What becomes of a packet for an unresolved neighbour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It waits.
    Hold,
    /// It waits, and the neighbour is asked now.
    HoldAndAsk,
    /// The neighbour failed within the last second.
    Fail,
    /// The VLAN is gone.
    Gone,
}

impl Neighbour {
    /// A neighbour not asked yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Incomplete,
            is_gateway: false,
            asked: 0,
            last: Nanos(0),
            confirmed: Nanos(0),
        }
    }

    /// An answer or another proof came at `now`.
    pub const fn confirm(&mut self, now: Nanos) {
        self.state = State::Reachable;
        self.asked = 0;
        self.confirmed = now;
    }

    /// It told its MAC at `now`; `known` says whether that is the MAC in use, if one is. Gives
    /// whether it is to be used from now on (RFC 4861 §7.2.5). A gateway is asked every second
    /// anyway: only its answers count.
    pub fn told(&mut self, told: Told, known: Option<bool>, now: Nanos) -> bool {
        let differs = known == Some(false);
        if differs && !told.overrides() {
            self.doubt(now);
            return false;
        }
        if told.confirms() {
            self.confirm(now);
        } else if known.is_none() {
            if self.is_gateway {
                return false;
            }
            self.state = State::Reachable;
            self.doubt(now);
        } else if differs {
            self.doubt(now);
        }
        true
    }

    /// Makes a reachable neighbour due for a question once it is used.
    fn doubt(&mut self, now: Nanos) {
        if self.state == State::Reachable && !self.is_gateway {
            self.confirmed = self.confirmed.min(Nanos(now.0.saturating_sub(REACHABLE.0)));
        }
    }

    /// Whether it failed within the last second and is not asked again before.
    #[must_use]
    pub fn has_failed(&self, now: Nanos) -> bool {
        self.state == State::Failed && now.since(self.last) < RETRY
    }

    /// A packet for it came while it is unresolved.
    pub fn wanted(&mut self, now: Nanos) -> Fate {
        match self.state {
            State::Gone => Fate::Gone,
            State::Failed if self.has_failed(now) => Fate::Fail,
            State::Incomplete if self.asked > 0 => Fate::Hold,
            State::Failed | State::Incomplete => {
                self.begin(State::Incomplete, now);
                Fate::HoldAndAsk
            }
            // A header that is not written yet: the caller writes it and does not come here.
            State::Reachable | State::Probing => Fate::Hold,
        }
    }

    /// A new session chose it: an old answer is confirmed first.
    pub fn chosen(&mut self, now: Nanos) -> Action {
        if self.state == State::Reachable && now.since(self.confirmed) >= REACHABLE {
            self.begin(State::Probing, now);
            return Action::AskUnicast;
        }
        Action::Wait
    }

    /// Time passed. `in_use`: sessions hold it. `prober`: this worker asks gateways.
    pub fn tick(&mut self, now: Nanos, in_use: bool, prober: bool) -> Action {
        match self.state {
            State::Gone => Action::Wait,
            State::Incomplete if self.asked == 0 => {
                if self.is_gateway && prober {
                    self.begin(State::Incomplete, now);
                    return Action::Ask;
                }
                Action::Wait
            }
            State::Incomplete | State::Probing => {
                if now.since(self.last) < RETRY {
                    return Action::Wait;
                }
                if self.asked >= TRIES {
                    self.fail(now);
                    return Action::GiveUp;
                }
                self.asked += 1;
                self.last = now;
                if self.state == State::Probing { Action::AskUnicast } else { Action::Ask }
            }
            State::Reachable if self.is_gateway => {
                if now.since(self.confirmed) >= GATEWAY_DEAD {
                    self.fail(now);
                    return Action::GiveUp;
                }
                self.ask_each_second(now, prober, Action::AskUnicast)
            }
            State::Reachable => {
                if in_use && now.since(self.confirmed) >= REACHABLE {
                    self.begin(State::Probing, now);
                    return Action::AskUnicast;
                }
                Action::Wait
            }
            State::Failed if self.is_gateway => self.ask_each_second(now, prober, Action::Ask),
            State::Failed => Action::Wait,
        }
    }

    /// Whether a route may choose it: not known to be dead.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, State::Failed | State::Gone)
    }

    fn ask_each_second(&mut self, now: Nanos, prober: bool, action: Action) -> Action {
        if !prober || now.since(self.last) < RETRY {
            return Action::Wait;
        }
        self.last = now;
        action
    }

    fn begin(&mut self, state: State, now: Nanos) {
        self.state = state;
        self.asked = 1;
        self.last = now;
    }

    fn fail(&mut self, now: Nanos) {
        self.state = State::Failed;
        self.asked = 0;
        self.last = now;
    }
}

impl Default for Neighbour {
    fn default() -> Self {
        Self::new()
    }
}

/// Time between requests (RETRANS_TIMER of RFC 4861 §10).
const RETRY: Nanos = Nanos::from_secs(1);
/// Requests before giving up (MAX_MULTICAST_SOLICIT).
const TRIES: u8 = 3;
/// How long an answer holds (REACHABLE_TIME).
const REACHABLE: Nanos = Nanos::from_secs(30);
/// Silence after which a gateway is dead.
const GATEWAY_DEAD: Nanos = Nanos::from_millis(2500);

#[cfg(test)]
mod tests;
