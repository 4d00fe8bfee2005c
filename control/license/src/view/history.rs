//! The history of a licence: its last 256 transitions.
//!
//! Owns the ring and how a line of it is shown by `GET /v1/license/history`.
//! Source: licensing.md §4.2, §7.1 (`statehistory`).

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::instant;
use crate::codes::Code;
use crate::state::{Slot, State};
use crate::trigger::Trigger;

/// One transition of one slot, as it is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// Trusted time, seconds since 1970.
    pub at: u64,
    /// The slot that moved.
    pub slot: Slot,
    /// What moved it.
    pub event: Trigger,
    /// From; none: the slot was empty.
    pub from: Option<State>,
    /// To; none: the slot is empty.
    pub to: Option<State>,
    /// The code that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
}

/// The last transitions, oldest first.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History {
    transitions: VecDeque<Transition>,
}

impl History {
    /// Adds one; the oldest goes when there are more than [`HISTORY_LIMIT`].
    pub fn push(&mut self, transition: Transition) {
        self.transitions.push_back(transition);
        while self.transitions.len() > HISTORY_LIMIT {
            self.transitions.pop_front();
        }
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Transition> + ExactSizeIterator {
        self.transitions.iter()
    }

    /// The answer of `GET /v1/license/history`, oldest first.
    #[must_use]
    pub fn view(&self) -> Vec<TransitionView> {
        self.iter().map(TransitionView::from).collect()
    }
}

/// One line of the answer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransitionView {
    /// When.
    pub at: Timestamp,
    /// The slot that moved.
    pub slot: Slot,
    /// What moved it.
    pub event: Trigger,
    /// Number of the state before; null: the slot was empty.
    pub from: Option<State>,
    /// Its text.
    pub from_text: Option<String>,
    /// Number of the state after; null: the slot is empty.
    pub to: Option<State>,
    /// Its text.
    pub to_text: Option<String>,
    /// The code that goes with it.
    pub code: Option<Code>,
}

impl From<&Transition> for TransitionView {
    fn from(transition: &Transition) -> Self {
        let text = |state: Option<State>| state.map(|state| state.text().to_owned());
        Self {
            at: instant(transition.at),
            slot: transition.slot,
            event: transition.event,
            from: transition.from,
            from_text: text(transition.from),
            to: transition.to,
            to_text: text(transition.to),
            code: transition.code,
        }
    }
}

/// How many transitions are kept.
pub const HISTORY_LIMIT: usize = 256;

#[cfg(test)]
mod tests;
