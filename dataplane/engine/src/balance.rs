//! Which member a new flow gets.
//!
//! One picker a listener and worker. ROUND_ROBIN gives each eligible member in turn;
//! LEAST_CONNECTIONS the one with the fewest open flows by weight, ties in turn; RATIO_MEMBER (and
//! RATIO_SESSION without persistence) shares by weight, exact over one weight cycle and evenly
//! spread in it; MAGLEV_HASH looks the flow's hash up in the table that `Config` built. Who is
//! eligible is decided by `Config`: weight 0, draining and down members are not.
//!
//! Invariant: a picker never gives a member that is not in `Pool::eligible`.
//! Sources: crds.md §3.4.4 (CHK-041).

use tmm_config::config::{MemberSlot, Pool};
use tmm_config::spec::Method;

/// The state of picking for one listener on one worker.
#[derive(Clone, Debug, Default)]
pub struct Picker {
    /// Whose turn it is, as an index into `Pool::eligible`.
    turn: usize,
    /// Smooth weighted round robin: the credit of each member by its place in `Pool::members`.
    credits: Vec<Credit>,
}

#[derive(Clone, Copy, Debug)]
struct Credit {
    slot: MemberSlot,
    credit: i32,
}

impl Picker {
    /// Picks a member for a new flow and gives its index in `Pool::members`; none if no member is
    /// eligible. `open` gives a member's open flows, `hash` the flow's Maglev hash.
    ///
    /// Costs O(1) for ROUND_ROBIN and MAGLEV_HASH, else O(eligible members).
    #[inline]
    pub fn pick(
        &mut self,
        pool: &Pool,
        hash: impl FnOnce() -> u64,
        open: impl Fn(MemberSlot) -> u32,
    ) -> Option<usize> {
        match pool.method {
            Method::RoundRobin => self.in_turn(pool),
            Method::LeastConnections => self.least(pool, open),
            Method::RatioMember | Method::RatioSession => self.by_ratio(pool),
            Method::MaglevHash => pool.maglev.as_deref()?.pick(hash()).map(usize::from),
        }
    }

    /// Makes room for `members` members, so that picking does not allocate.
    pub fn reserve(&mut self, members: usize) {
        self.credits.reserve(members.saturating_sub(self.credits.len()));
    }

    fn in_turn(&mut self, pool: &Pool) -> Option<usize> {
        let turn = if self.turn < pool.eligible.len() { self.turn } else { 0 };
        let index = *pool.eligible.get(turn)?;
        self.turn = turn + 1;
        Some(index as usize)
    }

    fn least(&mut self, pool: &Pool, open: impl Fn(MemberSlot) -> u32) -> Option<usize> {
        let count = pool.eligible.len();
        let start = if self.turn < count { self.turn } else { 0 };
        let mut best: Option<(usize, usize, u64, u64)> = None;
        for step in 0..count {
            let turn = (start + step) % count;
            let index = pool.eligible[turn] as usize;
            let Some(member) = pool.members.get(index) else { continue };
            let (flows, weight) = (u64::from(open(member.slot)), u64::from(member.weight.max(1)));
            // flows / weight < best flows / best weight, without dividing.
            if best.is_none_or(|(.., f, w)| flows * w < f * weight) {
                best = Some((turn, index, flows, weight));
            }
        }
        let (turn, index, ..) = best?;
        self.turn = turn + 1;
        Some(index)
    }

    fn by_ratio(&mut self, pool: &Pool) -> Option<usize> {
        self.follow(pool);
        let mut total = 0;
        let mut best: Option<(usize, i32)> = None;
        for (place, index) in pool.eligible.iter().enumerate() {
            let weight = i32::from(pool.members.get(*index as usize)?.weight);
            let credit = &mut self.credits.get_mut(place)?.credit;
            *credit += weight;
            total += weight;
            // The member that is owed most; the first of equals.
            if best.is_none_or(|(_, most)| *credit > most) {
                best = Some((place, *credit));
            }
        }
        let (place, _) = best?;
        self.credits.get_mut(place)?.credit -= total;
        pool.eligible.get(place).map(|index| *index as usize)
    }

    /// Starts the cycle anew when the eligible members are others than before.
    fn follow(&mut self, pool: &Pool) {
        let eligible =
            || pool.eligible.iter().filter_map(|i| pool.members.get(*i as usize)).map(|m| m.slot);
        if !self.credits.iter().map(|c| c.slot).eq(eligible()) {
            self.credits.clear();
            self.credits.extend(eligible().map(|slot| Credit { slot, credit: 0 }));
        }
    }
}

#[cfg(test)]
mod tests;
