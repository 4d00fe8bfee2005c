//! A copy of one packet thread's counters, carried to the control side without a lock.
//!
//! Two copies go round between a thread and the collector by bounded rings; the thread fills one
//! about ten times a second. Reading never blocks a packet thread (OPS-703) and nothing is
//! allocated in it.

use tmm_config::config::{EgressSlot, ListenerSlot, MemberSlot};
use tmm_config::{Config, Nanos};
use tmm_engine::Counters;
use tmm_engine::flows::{PortUse, Usage, Usages};

/// What a thread counts about itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LoopCounters {
    /// Turns of the loop that found something to do.
    pub busy_polls: u64,
    /// Turns that found nothing.
    pub empty_polls: u64,
    /// Cycles in turns that found something to do.
    pub busy_cycles: u64,
    /// Cycles since the thread started.
    pub total_cycles: u64,
}

/// One copy.
#[derive(Debug)]
pub struct Sample {
    /// When it was taken.
    pub at: Nanos,
    /// The engine's counters.
    pub counters: Counters,
    /// The loop's.
    pub polls: LoopCounters,
    /// Sessions now.
    pub flows: u32,
    /// Sessions that fit.
    pub flow_capacity: u32,
    /// Bytes of the flow tables.
    pub flow_bytes: u64,
    /// How hard source ports are to find.
    pub ports: PortUse,
    /// What objects served.
    pub usage: UsageCopy,
}

/// What listeners, egresses and members served, by slot.
#[derive(Clone, Debug, Default)]
pub struct UsageCopy {
    listeners: Vec<Usage>,
    egresses: Vec<Usage>,
    members: Vec<Usage>,
    generation: u32,
}

impl UsageCopy {
    /// Makes room for the slots of `config`.
    pub fn reserve(&mut self, config: &Config) {
        let room = |rows: &mut Vec<Usage>, slots: usize| {
            rows.reserve(slots.saturating_sub(rows.len()));
        };
        room(&mut self.listeners, config.listener_slots());
        room(&mut self.egresses, egress_slots(config));
        room(&mut self.members, config.member_slots());
    }

    /// Takes the values of `usages`, whose slots are those of `config`, as far as there is room:
    /// objects of a configuration that came a moment ago show nothing until then.
    pub fn copy(&mut self, usages: &Usages, config: &Config) {
        fill(&mut self.listeners, config.listener_slots(), |slot| {
            usages.listener(ListenerSlot(slot))
        });
        fill(&mut self.egresses, egress_slots(config), |slot| usages.egress(EgressSlot(slot)));
        fill(&mut self.members, config.member_slots(), |slot| usages.member(MemberSlot(slot)));
        self.generation = config.generation();
    }

    /// Of the listener in `slot`, which has it since generation `since`.
    #[must_use]
    pub fn listener(&self, slot: ListenerSlot, since: u32) -> Usage {
        self.row(&self.listeners, slot.0, since)
    }

    /// Of the egress in `slot`, which has it since generation `since`.
    #[must_use]
    pub fn egress(&self, slot: EgressSlot, since: u32) -> Usage {
        self.row(&self.egresses, slot.0, since)
    }

    /// Of the member in `slot`, which has it since generation `since`.
    #[must_use]
    pub fn member(&self, slot: MemberSlot, since: u32) -> Usage {
        self.row(&self.members, slot.0, since)
    }

    /// Zero while the copy is older than the slot's owner.
    fn row(&self, rows: &[Usage], slot: u32, since: u32) -> Usage {
        let row = rows.get(slot as usize).filter(|_| since <= self.generation);
        row.copied().unwrap_or_default()
    }
}

fn egress_slots(config: &Config) -> usize {
    config.egresses().map(|egress| egress.slot.0 as usize + 1).max().unwrap_or(0)
}

/// Allocates nothing.
fn fill(rows: &mut Vec<Usage>, slots: usize, of: impl FnMut(u32) -> Usage) {
    rows.clear();
    let slots = u32::try_from(slots.min(rows.capacity())).unwrap_or(u32::MAX);
    rows.extend((0..slots).map(of));
}

impl Sample {
    /// An empty copy for `ports` ports.
    #[must_use]
    pub fn new(ports: usize) -> Self {
        Self {
            at: Nanos(0),
            counters: Counters::new(ports),
            polls: LoopCounters::default(),
            flows: 0,
            flow_capacity: 0,
            flow_bytes: 0,
            ports: PortUse::default(),
            usage: UsageCopy::default(),
        }
    }
}

/// The thread's end: copies to fill, copies that are full.
#[derive(Debug)]
pub struct SampleSource {
    empty: rtrb::Consumer<Box<Sample>>,
    full: rtrb::Producer<Box<Sample>>,
}

/// The collector's end.
#[derive(Debug)]
pub struct SampleSink {
    empty: rtrb::Producer<Box<Sample>>,
    full: rtrb::Consumer<Box<Sample>>,
}

/// Both ends, with `count` copies going round.
#[must_use]
pub fn samples(ports: usize, count: usize) -> (SampleSource, SampleSink) {
    let (mut give_empty, empty) = rtrb::RingBuffer::new(count);
    let (full, take_full) = rtrb::RingBuffer::new(count);
    for _ in 0..count {
        // The ring has room for all of them.
        let _ = give_empty.push(Box::new(Sample::new(ports)));
    }
    (SampleSource { empty, full }, SampleSink { empty: give_empty, full: take_full })
}

impl SampleSource {
    /// Fills a copy and sends it, if the collector has given one back.
    pub fn publish(&mut self, fill: impl FnOnce(&mut Sample)) {
        if let Ok(mut sample) = self.empty.pop() {
            fill(&mut sample);
            // As many copies go round as the ring holds.
            let _ = self.full.push(sample);
        }
    }
}

impl SampleSink {
    /// Takes the newest copy; `last` goes back to the thread in its place, with room for `config`.
    /// Older ones go back too.
    pub fn newest(&mut self, last: &mut Sample, config: &Config) -> bool {
        let mut is_new = false;
        while let Ok(mut sample) = self.full.pop() {
            std::mem::swap(&mut *sample, last);
            sample.usage.reserve(config);
            // As many copies go round as the ring holds.
            let _ = self.empty.push(sample);
            is_new = true;
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_go_round_and_the_newest_is_seen() {
        let (mut source, mut sink) = samples(1, 2);
        let mut last = Sample::new(1);
        let config = Config::default();
        assert!(!sink.newest(&mut last, &config));
        for turn in 1..100 {
            source.publish(|sample| sample.at = Nanos(turn));
            if turn % 3 == 0 {
                assert!(sink.newest(&mut last, &config));
                // With two copies at the collector's door the third waits for its turn.
                assert!(last.at >= Nanos(turn - 1));
            }
        }
    }

    #[test]
    fn a_copy_takes_what_it_has_room_for_and_never_grows_in_the_packet_thread() {
        let mut rows = Vec::new();
        fill(&mut rows, 5, |_| Usage::default());
        assert_eq!((rows.len(), rows.capacity()), (0, 0));
        rows.reserve_exact(3);
        let room = rows.capacity();
        fill(&mut rows, room + 2, |_| Usage::default());
        assert_eq!((rows.len(), rows.capacity()), (room, room));
    }

    #[test]
    fn a_collector_that_sleeps_never_blocks_the_thread() {
        let (mut source, _sink) = samples(1, 2);
        let mut filled = 0;
        for _ in 0..100 {
            source.publish(|_| filled += 1);
        }
        assert_eq!(filled, 2);
    }
}
