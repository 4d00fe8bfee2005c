//! The session record: one hot line that a hit touches, and one cold line.
//!
//! Each address is stored once: the rewrite of one direction is the other direction's key with its
//! ends swapped. The forward direction is that of the packet that opened the session. A key is
//! bound to the VLAN that its packets arrive on (zone), so that a listener that is not on a VLAN
//! is not reached through another one's flows. Small counters in the hot line spill into the cold
//! line before they overflow. Only plain data here; what it means is in `tcp`, `sctp` and `admit`.
//!
//! Invariant: a hot line is 64 bytes (IPv6: 128), a cold line 64. Source: performance.md §5.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::hash::{Hash, Hasher};

/// Both addresses of a packet, as they stand on the wire: source, then destination.
pub trait Addresses: Copy + Default + Eq + core::fmt::Debug + 'static {
    /// Source and destination change places.
    fn swapped(self) -> Self;

    /// The pair of two addresses of this family; none if either is of the other.
    fn from_ips(source: IpAddr, destination: IpAddr) -> Option<Self>;

    /// The source.
    fn source(self) -> IpAddr;

    /// The destination.
    fn destination(self) -> IpAddr;

    /// The keyed hash of a key of these addresses and `rest`.
    fn hash(self, hasher: &Hasher, rest: Rest) -> Hash;

    /// One's complement sum of all 16-bit words, folded (RFC 1071).
    fn sum(self) -> u16;

    /// Whether this is the IPv6 form.
    const IS_V6: bool;
}

impl Addresses for u64 {
    const IS_V6: bool = false;

    #[inline]
    fn swapped(self) -> Self {
        self.rotate_left(32)
    }

    fn from_ips(source: IpAddr, destination: IpAddr) -> Option<Self> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else {
            return None;
        };
        let ([a, b, c, d], [e, f, g, h]) = (source.octets(), destination.octets());
        Some(Self::from_ne_bytes([a, b, c, d, e, f, g, h]))
    }

    fn source(self) -> IpAddr {
        let [a, b, c, d, ..] = self.to_ne_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    }

    fn destination(self) -> IpAddr {
        self.swapped().source()
    }

    #[inline(always)]
    fn hash(self, hasher: &Hasher, Rest(rest): Rest) -> Hash {
        hasher.hash([[self, rest]])
    }

    fn sum(self) -> u16 {
        fold(sum_word(self))
    }
}

impl Addresses for [u64; 4] {
    const IS_V6: bool = true;

    #[inline]
    fn swapped(self) -> Self {
        let [a, b, c, d] = self;
        [c, d, a, b]
    }

    fn from_ips(source: IpAddr, destination: IpAddr) -> Option<Self> {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (source, destination) else {
            return None;
        };
        let ([a, b], [c, d]) = (halves(source), halves(destination));
        Some([a, b, c, d])
    }

    fn source(self) -> IpAddr {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&self[0].to_ne_bytes());
        octets[8..].copy_from_slice(&self[1].to_ne_bytes());
        IpAddr::V6(Ipv6Addr::from(octets))
    }

    fn destination(self) -> IpAddr {
        self.swapped().source()
    }

    #[inline(always)]
    fn hash(self, hasher: &Hasher, Rest(rest): Rest) -> Hash {
        let [a, b, c, d] = self;
        hasher.hash([[a, b], [c, d], [rest, 0]])
    }

    fn sum(self) -> u16 {
        fold(self.iter().map(|word| u64::from(fold(sum_word(*word)))).sum())
    }
}

/// What a packet is looked up by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Key<A> {
    /// Source and destination address.
    pub addresses: A,
    /// Source and destination port as on the wire; for ICMP echo the identifier on the side that
    /// sent the request, and 0.
    pub ports: u32,
    /// Slot of the VLAN that the packet arrives on.
    pub zone: u8,
    /// IP protocol.
    pub protocol: u8,
}

/// All of a key but its addresses in one word, for the hit path: ports, zone and, on top, where no
/// mask is needed to take it out, the protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rest(u64);

impl Rest {
    /// The word of these fields of a [`Key`].
    #[inline(always)]
    pub const fn of(ports: u32, zone: u8, protocol: u8) -> Self {
        Self(ports as u64 | (zone as u64) << 32 | (protocol as u64) << 56)
    }

    /// The same with the zone where it stands in the word.
    #[inline(always)]
    pub const fn in_zone(ports: u32, zone: u64, protocol: u8) -> Self {
        Self(ports as u64 | zone | (protocol as u64) << 56)
    }

    /// Both ports as on the wire.
    #[inline(always)]
    pub const fn ports(self) -> u32 {
        self.0 as u32
    }

    /// Slot of the VLAN.
    #[inline(always)]
    pub const fn zone(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// IP protocol.
    #[inline(always)]
    pub const fn protocol(self) -> u8 {
        (self.0 >> 56) as u8
    }
}

impl<A: Addresses> Key<A> {
    /// The key of `addresses` and `rest`.
    #[inline(always)]
    pub const fn of(addresses: A, rest: Rest) -> Self {
        Self { addresses, ports: rest.ports(), zone: rest.zone(), protocol: rest.protocol() }
    }

    /// The keyed hash.
    #[inline(always)]
    pub fn hash(&self, hasher: &Hasher) -> Hash {
        self.addresses.hash(hasher, Rest::of(self.ports, self.zone, self.protocol))
    }

    /// Source port in host order.
    pub fn source_port(&self) -> u16 {
        split_ports(self.ports).0
    }

    /// Destination port in host order.
    pub fn destination_port(&self) -> u16 {
        split_ports(self.ports).1
    }
}

/// Both ports (host order) as one word with their bytes in wire order.
pub const fn join_ports(source: u16, destination: u16) -> u32 {
    let ([a, b], [c, d]) = (source.to_be_bytes(), destination.to_be_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

/// The two ports of [`join_ports`].
pub const fn split_ports(ports: u32) -> (u16, u16) {
    let [a, b, c, d] = ports.to_ne_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// What a hit needs.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Hot<A> {
    /// Addresses of the forward key.
    pub forward: A,
    /// Addresses of the reply key.
    pub reply: A,
    /// Ports of both keys, forward first.
    pub ports: [u32; 2],
    /// When the last packet came.
    pub last_seen: Ticks,
    /// Counts since the last spill, forward first.
    pub bytes: [u32; 2],
    /// TCP: last acknowledgement sent in each direction. SCTP: verification tag that packets of
    /// each direction carry (RFC 9260 §8.5). Unused otherwise.
    pub marks: [u32; 2],
    /// Adjacency that packets of each direction leave by.
    pub next_hop: [u16; 2],
    /// Counts since the last spill, forward first.
    pub packets: [u16; 2],
    /// Low half of the generation of the configuration that the session was last checked against.
    pub generation: u16,
    /// RFC 1624 delta of the addresses in the forward direction; the reply's is its complement.
    pub ip_delta: u16,
    /// The same with the ports, for the transport checksum.
    pub l4_delta: u16,
    /// VLAN slot of each key.
    pub zone: [u8; 2],
    /// IP protocol.
    pub protocol: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// TCP: for each direction the binary logarithm of the window last advertised, unscaled; the
    /// forward direction's in the low half.
    pub windows: u8,
    /// State of the tracker (`tcp::State` and the window scale in the high half, `sctp::State`).
    pub state: u8,
}

/// Bits of [`Hot::flags`].
pub mod flag {
    /// The slot holds a session.
    pub const USED: u8 = 1;
    /// Packets may take the fast path.
    pub const FAST: u8 = 1 << 1;
    /// The transport checksum does not cover the addresses or is not there to mend (ICMPv4).
    pub const NO_PSEUDO: u8 = 1 << 2;
    /// Packets are dropped until the session is idle (serviceDownAction DROP).
    pub const BLOCKED: u8 = 1 << 3;
    /// Both ends are told when the session ends before they end it (tcpResetOnIdle).
    pub const TELLS: u8 = 1 << 4;
}

impl<A: Addresses> Hot<A> {
    /// The key of a direction.
    #[inline]
    pub fn key(&self, reply: bool) -> Key<A> {
        Key {
            addresses: if reply { self.reply } else { self.forward },
            ports: self.ports[usize::from(reply)],
            zone: self.zone[usize::from(reply)],
            protocol: self.protocol,
        }
    }

    /// Whether `key` is the key of the direction.
    #[inline]
    pub fn is(&self, reply: bool, key: &Key<A>) -> bool {
        self.key(reply) == *key
    }

    /// The same for a key of `addresses` and `rest`.
    #[inline(always)]
    pub fn is_of(&self, reply: bool, addresses: A, rest: Rest) -> bool {
        let side = usize::from(reply);
        let own = if reply { self.reply } else { self.forward };
        self.ports[side] == rest.ports()
            && self.zone[side] == rest.zone()
            && self.protocol == rest.protocol()
            && own == addresses
    }

    /// Addresses and ports that a packet of the direction leaves with.
    #[inline]
    pub fn rewrite(&self, reply: bool) -> (A, u32) {
        let addresses = if reply { self.forward } else { self.reply };
        (addresses.swapped(), self.ports[usize::from(!reply)].rotate_left(16))
    }

    /// Whether `flag` is set.
    #[inline]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Sets or clears `flag`.
    #[inline]
    pub fn set(&mut self, flag: u8, on: bool) {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
    }

    /// Computes both deltas from the keys.
    pub fn compute_deltas(&mut self) {
        let (addresses, ports) = self.rewrite(false);
        let old = self.forward.sum();
        let new = addresses.sum();
        self.ip_delta = fold(u64::from(!old) + u64::from(new));
        let (old_ports, new_ports) = (self.ports[0], ports);
        let ports = fold(
            u64::from(!fold(sum_word(u64::from(old_ports))))
                + u64::from(fold(sum_word(u64::from(new_ports)))),
        );
        self.l4_delta = fold(u64::from(self.ip_delta) + u64::from(ports));
    }
}

/// What is touched when a session begins, changes state, spills counters or ends.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Cold {
    /// Packets, forward first.
    pub packets: [u64; 2],
    /// Bytes of IP packets, forward first.
    pub bytes: [u64; 2],
    /// Slot of the listener or egress.
    pub owner: u32,
    /// Slot of the member.
    pub member: u32,
    /// TCP: sequence number after the FIN of each direction. SCTP: tags that a
    /// restarting or colliding end offers for packets of each direction.
    pub pending: [u32; 2],
    /// Epoch of the listener or egress that the session was last checked against.
    pub epoch: u32,
    /// When the session began; of a closed TCP connection when that became so.
    pub since: Ticks,
    /// Next free slot, while this one is free.
    pub next_free: u32,
    /// TCP window scale of each end (RFC 7323 §2.2); the side that sends forward packets first.
    pub scale: [u8; 2],
    /// What `owner` is.
    pub kind: Kind,
    /// TCP and SCTP: bits of the tracker that a hit does not need.
    pub detail: u8,
}

/// What a session came from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum Kind {
    /// A listener.
    #[default]
    Listener,
    /// An egress.
    Egress,
}

/// Time in eighths of a second, cyclic (17 years).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ticks(pub u32);

impl Ticks {
    /// Ticks in a second.
    pub const PER_SECOND: u32 = 8;
    /// Nanoseconds in a tick.
    pub const NANOS: u64 = 1_000_000_000 / Self::PER_SECOND as u64;

    /// The tick that `now` lies in.
    #[inline]
    pub const fn at(now: tmm_config::Nanos) -> Self {
        Self((now.0 / Self::NANOS) as u32)
    }

    /// Whole ticks from `earlier`.
    #[inline]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

const fn sum_word(word: u64) -> u64 {
    (word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48)
}

/// Folds a sum of 16-bit words to one (RFC 1071 §2).
pub const fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

fn halves(address: Ipv6Addr) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = address.octets();
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes(rest)]
}

const _: () = assert!(size_of::<Hot<u64>>() == 64);
const _: () = assert!(size_of::<Hot<[u64; 4]>>() == 128);
const _: () = assert!(size_of::<Cold>() == 64);
