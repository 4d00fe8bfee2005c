//! Which messages are new, which are in the user's hands, which are done.
//!
//! A message is remembered as done when its user has acknowledged it, not when it arrived: a copy
//! that comes while the first one is in work is acknowledged together with it, never before it.
//! Knows no connection; `T` is what acknowledges one copy.
//!
//! Sources: licensing.md §10.3 (LIC-722, LIC-723).

use std::collections::{HashMap, HashSet, VecDeque};

use uuid::Uuid;

/// What to do with a message that arrived.
#[derive(Debug, Eq, PartialEq)]
pub enum Arrival<T> {
    /// Give it to the user.
    New,
    /// The user has it; its acknowledgement is for this copy, too.
    Held,
    /// It is done: acknowledge this copy, do nothing else.
    Repeat(T),
}

/// The messages of one end.
#[derive(Debug)]
pub struct Inbox<T> {
    held: HashMap<Uuid, Vec<T>>,
    done: HashSet<Uuid>,
    order: VecDeque<Uuid>,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self { held: HashMap::new(), done: HashSet::new(), order: VecDeque::new() }
    }
}

impl<T> Inbox<T> {
    /// Takes note of one copy of message `id`, which `tag` acknowledges.
    pub fn arrived(&mut self, id: Uuid, tag: T) -> Arrival<T> {
        if self.done.contains(&id) {
            return Arrival::Repeat(tag);
        }
        if let Some(tags) = self.held.get_mut(&id) {
            tags.push(tag);
            return Arrival::Held;
        }
        self.held.insert(id, vec![tag]);
        Arrival::New
    }

    /// The user is done with `id`: gives what is to be acknowledged, and remembers the id.
    pub fn done(&mut self, id: Uuid) -> Vec<T> {
        let Some(tags) = self.held.remove(&id) else { return Vec::new() };
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.done.remove(&oldest);
        }
        self.order.push_back(id);
        self.done.insert(id);
        tags
    }

    /// The user could not deal with `id`: gives the copies to hand back; the next one is new.
    pub fn refused(&mut self, id: Uuid) -> Vec<T> {
        self.held.remove(&id).unwrap_or_default()
    }

    /// The connection is gone and with it every tag. What the user holds stays held.
    pub fn lost(&mut self) {
        self.held.values_mut().for_each(Vec::clear);
    }

    /// How many messages the user holds.
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

/// Ids that are remembered (licensing.md §10.3).
const REMEMBERED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(0xa);
    const B: Uuid = Uuid::from_u128(0xb);

    /// LIC-723.
    #[test]
    fn repeat_of_a_done_message_is_acked_and_not_given_again() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.arrived(A, 1), Arrival::New);
        assert_eq!(inbox.done(A), [1]);
        assert_eq!(inbox.arrived(A, 2), Arrival::Repeat(2));
        assert_eq!(inbox.arrived(B, 3), Arrival::New);
    }

    /// LIC-722, LIC-723: no copy is acked before the state it causes is stored.
    #[test]
    fn copy_of_a_held_message_waits_for_the_users_acknowledgement() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.arrived(A, 1), Arrival::New);
        assert_eq!(inbox.arrived(A, 2), Arrival::Held);
        assert_eq!(inbox.held(), 1);
        assert_eq!(inbox.done(A), [1, 2]);
    }

    /// LIC-722: after a reconnect the new copy is the one to acknowledge.
    #[test]
    fn tags_of_a_lost_connection_are_not_used() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.arrived(A, 1), Arrival::New);
        inbox.lost();
        assert_eq!(inbox.arrived(A, 7), Arrival::Held);
        assert_eq!(inbox.done(A), [7]);
        // Acknowledged between the two connections: the copy of the next one is a repeat.
        assert_eq!(inbox.arrived(B, 8), Arrival::New);
        inbox.lost();
        assert_eq!(inbox.done(B), Vec::<i32>::new());
        assert_eq!(inbox.arrived(B, 9), Arrival::Repeat(9));
    }

    #[test]
    fn refused_message_is_new_when_it_comes_again() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.arrived(A, 1), Arrival::New);
        assert_eq!(inbox.refused(A), [1]);
        assert_eq!(inbox.arrived(A, 2), Arrival::New);
    }

    /// LIC-723: the last 1,024 ids.
    #[test]
    fn the_last_1024_ids_are_remembered_and_no_more() {
        let mut inbox = Inbox::default();
        for number in 0..1025 {
            let id = Uuid::from_u128(number);
            assert_eq!(inbox.arrived(id, number), Arrival::New);
            assert_eq!(inbox.done(id), [number]);
        }
        assert_eq!(inbox.arrived(Uuid::from_u128(1), 0), Arrival::Repeat(0));
        assert_eq!(inbox.arrived(Uuid::from_u128(1024), 0), Arrival::Repeat(0));
        assert_eq!(inbox.arrived(Uuid::from_u128(0), 0), Arrival::New);
    }
}
