//! The Maglev lookup table and the keyed hash beside it.
//!
//! Two replicas with the same members and the same key build the same table and hash a tuple to the
//! same slot, on every build and machine: nothing here depends on hash seeds of the process, on
//! pointer values or on the order of the members. Picks among eligible members only; who is
//! eligible is decided in `compile`.
//!
//! Sources: Eisenbud et al., Maglev, NSDI 2016, §3.4; Aumasson and Bernstein, SipHash (2012);
//! crds.md §3.4.4. One rule of the paper is changed, see
//! [`Maglev::build`].

use std::net::IpAddr;

use crate::config::Member;

/// A Maglev lookup table of [`Maglev::SLOTS`] entries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Maglev {
    /// Index into [`crate::config::Pool::members`] by slot; empty if no member is eligible.
    table: Box<[u16]>,
}

/// Marks a slot that is not taken yet while a table is built.
const FREE: u16 = u16::MAX;

/// What a hash is for, so that equal input gives unrelated values.
#[derive(Clone, Copy)]
enum Domain {
    Tuple = 1,
    Offset = 2,
    Skip = 3,
    Replica = 4,
}

impl Maglev {
    /// Entries of a table: prime, as the permutation needs (crds.md §3.4.4).
    pub const SLOTS: usize = 65_537;

    /// Builds the table over `members[i]` for each `i` of `eligible`.
    ///
    /// A member's permutation of the slots is drawn from its address and port under `hash_key`.
    /// Members take turns by address, then port; in each round a member earns its weight and pays the
    /// largest weight for one turn. A turn looks at the next slot of the permutation and takes it if
    /// it is free, up to the member's share and 1 % more.
    ///
    /// The paper's turn goes on to the next free slot instead, which makes shares exact and lets up
    /// to 1.2 % of the other members' slots move when one of ten goes; this rule gives up 1 % of
    /// exactness for 0.01 % on average and 0.7 % at worst (1,500 removals), at the same cost.
    ///
    /// Indices of `eligible` that are not in `members`, and members of weight 0, take no turn.
    #[must_use]
    pub fn build(hash_key: u64, members: &[Member], eligible: &[u32]) -> Self {
        let mut sorted: Vec<(u16, &Member)> = eligible
            .iter()
            .filter_map(|&index| {
                let member = members.get(index as usize)?;
                let index = u16::try_from(index).ok().filter(|&index| index != FREE)?;
                (member.weight > 0).then_some((index, member))
            })
            .collect();
        sorted.sort_unstable_by_key(|(_, member)| (member.address, member.port));
        let mut turns: Vec<Turn> =
            sorted.iter().map(|&(index, member)| Turn::new(hash_key, index, member)).collect();
        let Some(price) = turns.iter().map(|turn| turn.weight).max() else {
            return Self { table: Box::default() };
        };
        let total: u64 = turns.iter().map(|turn| u64::from(turn.weight)).sum();
        for turn in &mut turns {
            let most = (Self::SLOTS as u64 * u64::from(turn.weight) * 101).div_ceil(total * 100);
            turn.left = most as u32;
        }
        let mut table = vec![FREE; Self::SLOTS].into_boxed_slice();
        let mut free = Self::SLOTS;
        // Ends: the shares and their 1 % add up to more than the table, and a member below its share
        // comes past every slot.
        while free > 0 {
            for turn in &mut turns {
                turn.credit += turn.weight;
                if turn.credit < price || turn.left == 0 {
                    continue;
                }
                turn.credit -= price;
                let slot = &mut table[turn.next as usize];
                turn.step();
                if *slot == FREE {
                    *slot = turn.index;
                    turn.left -= 1;
                    free -= 1;
                }
            }
            turns.retain(|turn| turn.left > 0);
        }
        Self { table }
    }

    /// The member of `hash`, as index into [`crate::config::Pool::members`]; none if no member is
    /// eligible. O(1).
    #[must_use]
    pub fn pick(&self, hash: u64) -> Option<u16> {
        // Multiply-shift: hash / 2^64 of the way along the table.
        let slot = (u128::from(hash) * Self::SLOTS as u128) >> 64;
        self.table.get(slot as usize).copied()
    }

    /// Index into [`crate::config::Pool::members`] by slot; empty if no member is eligible.
    #[must_use]
    pub fn table(&self) -> &[u16] {
        &self.table
    }

    /// Hash of a packet's 5-tuple as the client sent it: SipHash-1-3 under `hash_key`.
    ///
    /// The input words are fixed: IPv4 is one word (source high, destination low), IPv6 four words
    /// in wire order; then one word of source port, destination port, protocol and family. Ports are
    /// 0 where the protocol has none. O(1), no allocation; a dozen nanoseconds.
    #[must_use]
    pub fn hash_tuple(
        hash_key: u64,
        source: IpAddr,
        destination: IpAddr,
        source_port: u16,
        destination_port: u16,
        protocol: u8,
    ) -> u64 {
        let mut sip = Sip::new(hash_key, Domain::Tuple);
        let family = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                sip.word(u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits()));
                4
            }
            (source, destination) => {
                sip.address(source);
                sip.address(destination);
                6
            }
        };
        sip.word(
            u64::from(source_port) << 48
                | u64::from(destination_port) << 32
                | u64::from(protocol) << 8
                | family,
        );
        sip.finish()
    }
}

/// The replica of `ready` that answers ARP and ND for `vip`: the one with the highest hash, so that
/// a replica that goes moves only its own VIPs. None if `ready` is empty.
pub(crate) fn vip_owner(hash_key: u64, vip: IpAddr, ready: &[u16]) -> Option<u16> {
    ready.iter().copied().max_by_key(|&replica| {
        let mut sip = Sip::new(hash_key, Domain::Replica);
        sip.address(vip);
        sip.word(u64::from(replica));
        (sip.finish(), replica)
    })
}

/// One member while a table is built.
struct Turn {
    index: u16,
    weight: u32,
    credit: u32,
    /// Slots that it may still take.
    left: u32,
    next: u32,
    skip: u32,
}

impl Turn {
    fn new(hash_key: u64, index: u16, member: &Member) -> Self {
        let hash = |domain| {
            let mut sip = Sip::new(hash_key, domain);
            sip.address(member.address);
            sip.word(u64::from(member.port));
            sip.finish()
        };
        let slots = Maglev::SLOTS as u64;
        Self {
            index,
            weight: u32::from(member.weight),
            credit: 0,
            left: 0,
            next: (hash(Domain::Offset) % slots) as u32,
            skip: (hash(Domain::Skip) % (slots - 1) + 1) as u32,
        }
    }

    /// Goes on to the next slot of the member's permutation.
    fn step(&mut self) {
        self.next += self.skip;
        if self.next >= Maglev::SLOTS as u32 {
            self.next -= Maglev::SLOTS as u32;
        }
    }
}

/// SipHash-1-3 over 64-bit words; the number of words is the last one, as the paper pads.
struct Sip {
    v: [u64; 4],
    words: u64,
}

impl Sip {
    fn new(hash_key: u64, domain: Domain) -> Self {
        Self::keyed(hash_key, hash_key.rotate_left(32) ^ domain as u64)
    }

    fn keyed(k0: u64, k1: u64) -> Self {
        Self {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            words: 0,
        }
    }

    fn word(&mut self, word: u64) {
        self.words += 1;
        self.v[3] ^= word;
        self.round();
        self.v[0] ^= word;
    }

    fn address(&mut self, address: IpAddr) {
        let bits = match address {
            IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
            IpAddr::V6(address) => u128::from(address),
        };
        self.word((bits >> 64) as u64);
        self.word(bits as u64);
    }

    fn round(&mut self) {
        let [a, b, c, d] = &mut self.v;
        *a = a.wrapping_add(*b);
        *b = b.rotate_left(13) ^ *a;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*d);
        *d = d.rotate_left(16) ^ *c;
        *a = a.wrapping_add(*d);
        *d = d.rotate_left(21) ^ *a;
        *c = c.wrapping_add(*b);
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }

    fn finish(mut self) -> u64 {
        self.word(self.words << 59);
        self.v[2] ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3]
    }
}

#[cfg(test)]
mod tests;
