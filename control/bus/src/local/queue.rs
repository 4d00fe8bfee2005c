//! The queue of one namespace, with the bounds of licensing.md §10.2.
//!
//! Reads no clock. Invariant: a message leaves it when it is done, has expired, or is pushed out by
//! newer ones; never otherwise.

use std::collections::{BTreeMap, VecDeque};

use spk_entitlement::messages::Envelope;
use tokio::time::{Duration, Instant};

/// A queue and what its reader holds.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Entry>,
    given: BTreeMap<u64, Entry>,
    next_tag: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    envelope: Envelope,
    expires: Instant,
    redelivered: bool,
}

/// A message on its way to the reader.
#[derive(Debug)]
pub struct Given {
    /// Names it, until the reader settles it.
    pub tag: u64,
    /// Whether it was given out before.
    pub redelivered: bool,
    /// The message.
    pub envelope: Envelope,
}

impl Queue {
    /// Appends a message; the oldest goes if there are too many.
    pub fn push(&mut self, envelope: Envelope, now: Instant) {
        let own = envelope.properties.expiration.as_ref().and_then(|text| text.parse().ok());
        let time = own.map_or(TTL, |own| TTL.min(Duration::from_millis(own)));
        if self.waiting.len() == LENGTH {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Entry { envelope, expires: now + time, redelivered: false });
    }

    /// The next message for the reader; none while it holds enough.
    pub fn poll_output(&mut self, now: Instant) -> Option<Given> {
        if self.given.len() >= PREFETCH {
            return None;
        }
        while let Some(entry) = self.waiting.pop_front() {
            if entry.expires <= now {
                continue;
            }
            let tag = self.next_tag;
            self.next_tag += 1;
            let (envelope, redelivered) = (entry.envelope.clone(), entry.redelivered);
            self.given.insert(tag, entry);
            return Some(Given { tag, redelivered, envelope });
        }
        None
    }

    /// The reader is done with `tag`.
    pub fn done(&mut self, tag: u64) {
        self.given.remove(&tag);
    }

    /// The reader gives `tag` back: it is the next one.
    pub fn back(&mut self, tag: u64) {
        if let Some(entry) = self.given.remove(&tag) {
            self.waiting.push_front(Entry { redelivered: true, ..entry });
        }
    }

    /// The reader is gone: all that it held comes again, in order.
    pub fn lost(&mut self) {
        for (_, entry) in std::mem::take(&mut self.given).into_iter().rev() {
            self.waiting.push_front(Entry { redelivered: true, ..entry });
        }
    }
}

/// `x-message-ttl`.
const TTL: Duration = Duration::from_secs(300);
/// `x-max-length`, with `x-overflow` drop-head.
const LENGTH: usize = 1000;
/// The Controller's prefetch (licensing.md §10.3).
const PREFETCH: usize = 8;

#[cfg(test)]
mod tests {
    use spk_entitlement::messages::{Body, Message};
    use uuid::Uuid;

    use super::*;

    fn envelope(id: u128) -> Envelope {
        Message {
            id: Uuid::from_u128(id),
            reply_to: None,
            namespace: String::from("demo"),
            body: Body::Goodbye,
        }
        .seal(0)
    }

    fn ids(queue: &mut Queue, now: Instant) -> Vec<(u128, bool)> {
        std::iter::from_fn(|| queue.poll_output(now))
            .map(|given| {
                let id: Uuid = given.envelope.properties.message_id.parse().unwrap();
                (id.as_u128(), given.redelivered)
            })
            .collect()
    }

    fn filled(count: u128, now: Instant) -> Queue {
        let mut queue = Queue::default();
        (0..count).for_each(|id| queue.push(envelope(id), now));
        queue
    }

    /// LIC-722: prefetch 8 of the local form.
    #[test]
    fn reader_holds_eight_messages_at_most() {
        let now = Instant::now();
        let mut queue = filled(10, now);
        assert_eq!(ids(&mut queue, now).len(), 8);
        queue.done(3);
        assert_eq!(ids(&mut queue, now), [(8, false)]);
        queue.done(77);
        assert_eq!(ids(&mut queue, now), []);
    }

    /// LIC-722: what was not acknowledged comes again.
    #[test]
    fn messages_of_a_lost_reader_come_again_in_order() {
        let now = Instant::now();
        let mut queue = filled(10, now);
        ids(&mut queue, now);
        queue.done(1);
        queue.lost();
        let again: Vec<_> = [0, 2, 3, 4, 5, 6, 7].map(|id| (id, true)).into();
        let got = ids(&mut queue, now);
        assert_eq!(got[..7], again);
        assert_eq!(got[7], (8, false));
    }

    #[test]
    fn message_given_back_is_the_next_one() {
        let now = Instant::now();
        let mut queue = filled(9, now);
        ids(&mut queue, now);
        queue.back(5);
        assert_eq!(ids(&mut queue, now), [(5, true)]);
    }

    #[test]
    fn message_expires_after_its_own_time_or_five_minutes() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.push(envelope(0), now);
        let mut heartbeat = envelope(1);
        heartbeat.properties.expiration = Some(String::from("60000"));
        queue.push(heartbeat.clone(), now);
        heartbeat.properties.expiration = Some(String::from("600000"));
        heartbeat.properties.message_id = Uuid::from_u128(2).to_string();
        queue.push(heartbeat, now);
        let mut later = Queue { waiting: queue.waiting.clone(), ..Queue::default() };
        assert_eq!(ids(&mut queue, now + Duration::from_secs(60)), [(0, false), (2, false)]);
        assert_eq!(ids(&mut later, now + Duration::from_secs(300)), []);
    }

    #[test]
    fn oldest_message_goes_when_the_queue_is_full() {
        let now = Instant::now();
        let mut queue = filled(1001, now);
        assert_eq!(ids(&mut queue, now)[0], (1, false));
    }
}
