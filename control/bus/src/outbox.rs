//! Messages on their way out.
//!
//! Keeps their order, bounds their number and their time, and sends again, under the same message
//! id, what was not confirmed when the connection ended. Reads no clock and knows no connection.
//!
//! Invariant: each message taken in is answered exactly once.
//! Source: licensing.md §10.3 (LIC-720).

use std::collections::BTreeMap;

use spk_entitlement::messages::Envelope;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

/// Why a message was not delivered to the bus.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Too many messages wait; nothing was sent.
    #[error("{CAPACITY} messages wait for the bus already")]
    Full,
    /// No bus confirmed it in time. A copy of it may still arrive.
    #[error("the bus has not confirmed the message within {} s", LIFETIME.as_secs())]
    Expired,
    /// The bus refused it, as its queue is full.
    #[error("the bus refused the message: its queue is full")]
    Rejected,
    /// No queue has the key: the instance is unknown.
    #[error("no queue takes the message: the instance is unknown")]
    Unroutable,
    /// This end of the bus is closed.
    #[error("this end of the bus is closed")]
    Closed,
}

impl PublishError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Full => "bus_full",
            Self::Expired => "bus_expired",
            Self::Rejected => "bus_rejected",
            Self::Unroutable => "bus_unroutable",
            Self::Closed => "bus_closed",
        }
    }
}

/// Where the answer to a message goes.
pub type Answer = oneshot::Sender<Result<(), PublishError>>;

/// Names one message of an [`Outbox`]; a later one is greater.
pub type Number = u64;

#[derive(Debug)]
struct Entry {
    message: Envelope,
    answer: Answer,
    expires: Instant,
}

/// The messages that one end still has to bring to the bus.
#[derive(Debug, Default)]
pub struct Outbox {
    next: Number,
    waiting: BTreeMap<Number, Entry>,
    sent: BTreeMap<Number, (Entry, Instant)>,
}

impl Outbox {
    /// Takes `message` in; `answer` learns what became of it.
    pub fn push(&mut self, message: Envelope, answer: Answer, now: Instant) {
        if self.waiting.len() + self.sent.len() >= CAPACITY {
            reply(answer, Err(PublishError::Full));
            return;
        }
        self.waiting.insert(self.next, Entry { message, answer, expires: now + LIFETIME });
        self.next += 1;
    }

    /// The next message to send at `now`, which counts as sent from here on. None when all are sent
    /// or enough are under way.
    pub fn poll_output(&mut self, now: Instant) -> Option<(Number, Envelope)> {
        if self.sent.len() >= WINDOW {
            return None;
        }
        let (number, entry) = self.waiting.pop_first()?;
        let message = entry.message.clone();
        self.sent.insert(number, (entry, now + CONFIRM));
        Some((number, message))
    }

    /// The bus answered message `number`. A number that is not under way changes nothing.
    pub fn answered(&mut self, number: Number, result: Result<(), PublishError>) {
        if let Some((entry, _)) = self.sent.remove(&number) {
            reply(entry.answer, result);
        }
    }

    /// Whether the message under way as `number` has the id `id`.
    pub fn is_id(&self, number: Number, id: &str) -> bool {
        let sent = self.sent.get(&number);
        sent.is_some_and(|(entry, _)| entry.message.properties.message_id == id)
    }

    /// The connection ended: what was not confirmed is sent again, in the old order.
    pub fn lost(&mut self) {
        for (number, (entry, _)) in std::mem::take(&mut self.sent) {
            self.waiting.insert(number, entry);
        }
    }

    /// Answers what has waited too long at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late: Vec<Number> = self
            .waiting
            .iter()
            .filter(|(_, entry)| entry.expires <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in late {
            if let Some(entry) = self.waiting.remove(&number) {
                reply(entry.answer, Err(PublishError::Expired));
            }
        }
    }

    /// Whether a confirm is overdue at `now`: the connection is of no use any more.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.sent.values().any(|(_, due)| *due <= now)
    }

    /// When [`Self::handle_timeout`] or [`Self::is_overdue`] has something to say next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.waiting.values().map(|entry| entry.expires);
        let sent = self.sent.values().map(|(_, due)| *due);
        waiting.chain(sent).min()
    }

    /// Answers everything: this end is closed.
    pub fn close(&mut self) {
        self.lost();
        for (_, entry) in std::mem::take(&mut self.waiting) {
            reply(entry.answer, Err(PublishError::Closed));
        }
    }
}

fn reply(answer: Answer, result: Result<(), PublishError>) {
    // Whoever asked may have gone; the message does not depend on it.
    let _ = answer.send(result);
}

/// Messages that may wait or be under way.
pub const CAPACITY: usize = 1024;
/// Messages under way.
const WINDOW: usize = 256;
/// Longest wait for a confirm (licensing.md §10.3).
const CONFIRM: Duration = Duration::from_secs(5);
/// Longest wait of a message for a connection: what it says is news no more after the next
/// heartbeat.
const LIFETIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
