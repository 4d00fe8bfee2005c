//! Packets that wait until their next hop is known.
//!
//! A slab with one first-in first-out list per adjacency; bounded per list and in all. Timing is
//! the neighbour's: a list is released when its neighbour answers or fails.
//!
//! Invariant: the sum of the lists is [`Hold::len`], never above the capacity.
//! Sources: architecture.md §3.1 (Hold), RFC 4861 §7.2.2 (queue of packets).

use crate::adjacency::AdjacencyId;

/// The store. Never allocates after it was made.
#[derive(Debug)]
pub struct Hold<B> {
    cells: Vec<Cell<B>>,
    free: u16,
    lists: Vec<List>,
    per_list: u16,
    len: usize,
}

#[derive(Debug)]
struct Cell<B> {
    buf: Option<B>,
    next: u16,
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: u16,
    tail: u16,
    len: u16,
}

impl<B> Hold<B> {
    /// Room for `capacity` packets in all and `per_list` for each of `adjacencies` adjacencies.
    #[must_use]
    pub fn new(capacity: u16, per_list: u16, adjacencies: u16) -> Self {
        let capacity = capacity.min(NONE - 1);
        let cells = (0..capacity)
            .map(|i| Cell { buf: None, next: if i + 1 == capacity { NONE } else { i + 1 } })
            .collect();
        let free = if capacity == 0 { NONE } else { 0 };
        Self { cells, free, lists: vec![EMPTY; usize::from(adjacencies)], per_list, len: 0 }
    }

    /// Appends to the list of `id`, or gives the packet back if that list or the store is full.
    ///
    /// # Errors
    ///
    /// The packet.
    pub fn push(&mut self, id: AdjacencyId, buf: B) -> Result<(), B> {
        let at = self.free;
        let (Some(list), Some(cell)) =
            (self.lists.get_mut(usize::from(id.0)), self.cells.get_mut(usize::from(at)))
        else {
            return Err(buf);
        };
        if list.len >= self.per_list {
            return Err(buf);
        }
        self.free = cell.next;
        *cell = Cell { buf: Some(buf), next: NONE };
        let tail = list.tail;
        list.tail = at;
        list.len += 1;
        if tail == NONE {
            list.head = at;
        } else if let Some(last) = self.cells.get_mut(usize::from(tail)) {
            last.next = at;
        }
        self.len += 1;
        Ok(())
    }

    /// Takes the oldest packet of the list of `id`.
    pub fn pop(&mut self, id: AdjacencyId) -> Option<B> {
        let list = self.lists.get_mut(usize::from(id.0))?;
        let at = list.head;
        let cell = self.cells.get_mut(usize::from(at))?;
        let buf = cell.buf.take();
        list.head = cell.next;
        list.len -= 1;
        if list.head == NONE {
            list.tail = NONE;
        }
        cell.next = self.free;
        self.free = at;
        self.len -= 1;
        buf
    }

    /// How many packets wait in all.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether any waits for `id`.
    #[must_use]
    pub fn waits_for(&self, id: AdjacencyId) -> bool {
        self.lists.get(usize::from(id.0)).is_some_and(|list| list.len > 0)
    }
}

const NONE: u16 = u16::MAX;
const EMPTY: List = List { head: NONE, tail: NONE, len: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    const A: AdjacencyId = AdjacencyId(0);
    const B: AdjacencyId = AdjacencyId(1);

    #[test]
    fn lists_are_in_order_and_apart() {
        let mut hold = Hold::new(8, 4, 2);
        for (id, packet) in [(A, 1), (B, 10), (A, 2), (B, 11), (A, 3)] {
            assert_eq!(hold.push(id, packet), Ok(()));
        }
        assert_eq!(
            [hold.pop(A), hold.pop(A), hold.pop(A), hold.pop(A)],
            [Some(1), Some(2), Some(3), None]
        );
        assert!(hold.waits_for(B) && !hold.waits_for(A));
        assert_eq!((hold.pop(B), hold.pop(B), hold.len()), (Some(10), Some(11), 0));
    }

    #[test]
    fn each_list_and_the_whole_are_bounded_and_cells_are_used_again() {
        let mut hold = Hold::new(3, 2, 2);
        assert_eq!([hold.push(A, 1), hold.push(A, 2), hold.push(A, 3)], [Ok(()), Ok(()), Err(3)]);
        assert_eq!([hold.push(B, 4), hold.push(B, 5)], [Ok(()), Err(5)]);
        for round in 0..100 {
            assert!(hold.pop(A).is_some());
            assert_eq!(hold.push(A, round), Ok(()));
        }
        assert_eq!(hold.len(), 3);
    }
}
