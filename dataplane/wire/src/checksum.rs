//! The Internet checksum: in full, and changed in place.
//!
//! A checksum that was wrong stays wrong when it is changed with a [`Delta`], as the delta depends on
//! the changed fields alone.
//!
//! Sources: RFC 1071; RFC 1624 §3 eqn 3; RFC 768 (zero checksum); RFC 8200 §8.1 (pseudo header).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A one's-complement sum over slices of any length.
///
/// The default is the empty sum.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sum {
    sum: u64,
    /// Whether an odd number of bytes was added.
    odd: bool,
}

impl Sum {
    /// Adds `bytes` where the slice before ended, also at an odd byte.
    pub fn add(&mut self, bytes: &[u8]) {
        // Summed in native order, eight bytes at a time: a one's-complement sum is the same in any
        // byte order but for the order of its result (RFC 1071 §2 (B)).
        let (chunks, rest) = bytes.as_chunks::<8>();
        let mut sum = 0_u64;
        for chunk in chunks {
            let word = u64::from_ne_bytes(*chunk);
            let (next, carry) = sum.overflowing_add(word);
            sum = next + u64::from(carry);
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let (next, carry) = sum.overflowing_add(u64::from_ne_bytes(last));
        let folded = fold(next + u64::from(carry));
        // A slice that starts at an odd byte has its sum's bytes swapped (§2 (B)).
        self.sum += u64::from(if self.odd { folded.swap_bytes() } else { folded });
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// Adds a word that follows an even number of bytes.
    pub fn add_u16(&mut self, word: u16) {
        self.sum += u64::from(word.to_be());
    }

    /// The pseudo header of IPv4 (RFC 9293 §3.1).
    #[must_use]
    pub fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: u16) -> Self {
        let mut sum = Self::default();
        sum.add(&source.octets());
        sum.add(&destination.octets());
        sum.add_u16(u16::from(protocol));
        sum.add_u16(len);
        sum
    }

    /// The pseudo header of IPv6 (RFC 8200 §8.1).
    #[must_use]
    pub fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, len: u32) -> Self {
        let mut sum = Self::default();
        sum.add(&source.octets());
        sum.add(&destination.octets());
        sum.add(&len.to_be_bytes());
        sum.add_u16(u16::from(protocol));
        sum
    }

    /// The pseudo header of either family; of a mixed pair both count as IPv6, which is none.
    #[must_use]
    pub fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, len: u16) -> Self {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Self::pseudo_v4(source, destination, protocol, len)
            }
            (source, destination) => {
                let [source, destination] = [source, destination].map(|address| match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped(),
                    IpAddr::V6(address) => address,
                });
                Self::pseudo_v6(source, destination, protocol, u32::from(len))
            }
        }
    }

    /// The checksum to write into a field that was zero while it was added.
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !u16::from_be(fold(self.sum))
    }

    /// The same for UDP, where 0 is written as 0xffff since 0 means none (RFC 768).
    #[must_use]
    pub const fn udp_checksum(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            checksum => checksum,
        }
    }

    /// Whether the sum over bytes that hold their checksum says that it is right.
    #[must_use]
    pub const fn is_right(self) -> bool {
        fold(self.sum) == 0xffff
    }
}

/// The Internet checksum of `bytes` whose checksum field is zero.
#[must_use]
pub fn of(bytes: &[u8]) -> u16 {
    let mut sum = Sum::default();
    sum.add(bytes);
    sum.checksum()
}

/// What a change of fields does to a checksum over them, independent of the other bytes.
///
/// Two bytes, so that a flow stores it. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Delta(u16);

impl Delta {
    /// Nothing changes.
    pub const NONE: Self = Self(0);

    /// The stored form.
    #[must_use]
    pub const fn to_bits(self) -> u16 {
        self.0
    }

    /// From the stored form.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Besides, a 16-bit field changes.
    #[must_use]
    pub const fn u16(self, old: u16, new: u16) -> Self {
        // eqn 3: HC' = ~(~HC + ~m + m')
        Self(fold(self.0 as u64 + !old as u64 + new as u64))
    }

    /// Besides, a 32-bit field changes.
    #[must_use]
    pub const fn u32(self, old: u32, new: u32) -> Self {
        self.u16((old >> 16) as u16, (new >> 16) as u16).u16(old as u16, new as u16)
    }

    /// Besides, a 128-bit field changes.
    #[must_use]
    pub const fn u128(self, old: u128, new: u128) -> Self {
        self.u32((old >> 96) as u32, (new >> 96) as u32)
            .u32((old >> 64) as u32, (new >> 64) as u32)
            .u32((old >> 32) as u32, (new >> 32) as u32)
            .u32(old as u32, new as u32)
    }

    /// Besides, an address changes; also from one family to the other.
    #[must_use]
    pub const fn address(self, old: IpAddr, new: IpAddr) -> Self {
        const fn bits(address: IpAddr) -> u128 {
            match address {
                IpAddr::V4(address) => address.to_bits() as u128,
                IpAddr::V6(address) => address.to_bits(),
            }
        }
        self.u128(bits(old), bits(new))
    }

    /// The two together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(fold(self.0 as u64 + other.0 as u64))
    }

    /// The change back.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self(!self.0)
    }

    /// The checksum after the change. O(1), no branch.
    #[must_use]
    pub const fn apply(self, checksum: u16) -> u16 {
        !fold(!checksum as u64 + self.0 as u64)
    }

    /// The same for UDP: 0 (none, IPv4 only) stays 0, and a sum of 0 is written as 0xffff.
    #[must_use]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        match (checksum, self.apply(checksum)) {
            (0, _) => 0,
            (_, 0) => 0xffff,
            (_, changed) => changed,
        }
    }
}

/// Adds the carries back in until the sum has 16 bits; 0 only for 0.
const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}
