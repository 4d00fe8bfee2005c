//! SCTP association tracking by verification tags.
//!
//! A session knows the tag that packets of each direction carry: of the first handshake, as INIT and
//! INIT ACK tell them. Any other handshake, a restart of either end or a collision, offers: its INIT
//! ACK binds a pair of tags, and a COOKIE ECHO that carries the pair's tag puts both in force. So a
//! restart rebinds the session and leaves no other. Packets with a wrong tag are dropped.
//! Associations are found by addresses and ports; as translated ports differ, clients with equal
//! ports do not meet.
//!
//! An INIT carries no proof of its sender: what it offers is in force for nothing, and ends nothing.
//! A forged one can make a restart begin again, no more.
//!
//! Addresses that INIT and INIT ACK list are replaced: the first one of the packet's family by the
//! translated source, any other by padding that receivers skip (RFC 4820 §4), so each side knows
//! only the address it talks to.
//!
//! Sources: crds.md §10 (Behaviour 3, 4, 6), RFC 9260 §5.2, §6.8, §8.4, §8.5.

use std::net::IpAddr;

use tmm_wire::sctp::{ChunkKind, SctpPacket};

use super::session::{Addresses, Cold, Hot};

/// Where an association is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum State {
    /// The first handshake is not complete.
    Opening,
    /// COOKIE ACK was seen.
    Established,
}

impl State {
    /// The state stored as `raw`.
    #[must_use]
    pub const fn from_raw(raw: u8) -> Self {
        if raw == 0 { Self::Opening } else { Self::Established }
    }
}

/// What becomes of a packet of a known association.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Forward it. `alive` if it shows that the ends want the association to live (DATA, HEARTBEAT,
    /// a handshake).
    Forward {
        /// Whether the idle time begins anew.
        alive: bool,
    },
    /// Forward it; the association is established now.
    Established,
    /// Forward it; the association is over.
    End,
    /// The tag is wrong.
    BadTag,
}

/// What of an association the tracker keeps. Index 0 is for packets of the side that opened it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Track {
    /// Where it is.
    pub state: State,
    /// The tag in force in packets of each side; 0 before there is one.
    pub tags: [u32; 2],
    /// The tag that the last handshake but the first offers for packets of each side; 0 before its
    /// INIT or INIT ACK told it.
    pub offered: [u32; 2],
}

/// What tracking needs of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet {
    /// Verification tag.
    pub tag: u32,
    /// Kind of the first chunk.
    pub kind: ChunkKind,
    /// T bit of the first chunk.
    pub reflected: bool,
    /// Initiate tag of INIT and INIT ACK, else 0.
    pub initiate: u32,
    /// Whether any chunk is DATA or HEARTBEAT.
    pub alive: bool,
}

impl Packet {
    /// Reads the packet that fills `bytes`; none if it is no sound SCTP packet.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let packet = SctpPacket::parse(bytes).ok()?;
        let first = packet.first().ok()?;
        let is_init = matches!(first.kind, ChunkKind::Init | ChunkKind::InitAck);
        let initiate = if is_init { first.init().ok()?.initiate_tag } else { 0 };
        let tag = packet.header.verification_tag.get();
        let sound = if is_init {
            // RFC 9260 §3.3.2, §8.5.1 (A).
            initiate != 0 && (tag == 0) == (first.kind == ChunkKind::Init)
        } else {
            tag != 0
        };
        let alive = packet.chunks().flatten().any(|chunk| {
            matches!(chunk.kind, ChunkKind::Data | ChunkKind::Heartbeat | ChunkKind::HeartbeatAck)
        });
        let reflected = first.reflects_tag();
        sound.then_some(Self { tag, kind: first.kind, reflected, initiate, alive })
    }

    /// Whether it opens an association.
    #[must_use]
    pub const fn is_opening(&self) -> bool {
        matches!(self.kind, ChunkKind::Init)
    }
}

impl Track {
    /// An association that `init` opens.
    #[must_use]
    pub const fn open(init: &Packet) -> Self {
        Self { state: State::Opening, tags: [0, init.initiate], offered: [0; 2] }
    }

    /// Reads it out of a session.
    #[must_use]
    pub fn load<A: Addresses>(hot: &Hot<A>, cold: &Cold) -> Self {
        Self { state: State::from_raw(hot.state), tags: hot.marks, offered: cold.pending }
    }

    /// Writes it into a session.
    pub fn store<A: Addresses>(&self, hot: &mut Hot<A>, cold: &mut Cold) {
        hot.state = self.state as u8;
        hot.marks = self.tags;
        cold.pending = self.offered;
    }

    /// Takes a packet of the side `side` (1: the one that did not open the association).
    #[must_use]
    pub fn step(&mut self, side: usize, packet: &Packet) -> Step {
        let other = 1 - side;
        let in_force = packet.tag == self.tags[side] && packet.tag != 0;
        let offered = packet.tag == self.offered[side] && packet.tag != 0;
        let reflects = packet.reflected && packet.tag == self.tags[other] && packet.tag != 0;
        match packet.kind {
            ChunkKind::Init => {
                // No half of another handshake's pair is left beside it.
                self.offered[side] = 0;
                self.offered[other] = packet.initiate;
                Step::Forward { alive: true }
            }
            ChunkKind::InitAck if in_force && self.tags[other] == 0 => {
                self.tags[other] = packet.initiate;
                Step::Forward { alive: true }
            }
            ChunkKind::InitAck if offered || in_force => {
                self.offered[side] = packet.tag;
                self.offered[other] = packet.initiate;
                Step::Forward { alive: true }
            }
            ChunkKind::CookieEcho if offered && self.offered[other] != 0 => {
                self.tags = self.offered;
                Step::Forward { alive: true }
            }
            ChunkKind::CookieEcho if in_force => Step::Forward { alive: true },
            ChunkKind::CookieAck if in_force => {
                self.offered = [0; 2];
                if self.state == State::Opening {
                    self.state = State::Established;
                    return Step::Established;
                }
                Step::Forward { alive: true }
            }
            // With the T bit the tag is the one that the sender was sent (RFC 9260 §8.5.1).
            ChunkKind::Abort | ChunkKind::ShutdownComplete
                if in_force && !packet.reflected || reflects =>
            {
                Step::End
            }
            // A handshake is refused; what is in force goes on (RFC 9260 §5.2.2).
            ChunkKind::Abort if offered && !packet.reflected => Step::Forward { alive: false },
            // An answer to a cookie that became stale comes before any tag is in force.
            ChunkKind::Error if offered || in_force => Step::Forward { alive: packet.alive },
            ChunkKind::Data
            | ChunkKind::Sack
            | ChunkKind::Heartbeat
            | ChunkKind::HeartbeatAck
            | ChunkKind::Shutdown
            | ChunkKind::ShutdownAck
            | ChunkKind::Other(_)
                if in_force =>
            {
                Step::Forward { alive: packet.alive }
            }
            ChunkKind::InitAck
            | ChunkKind::CookieEcho
            | ChunkKind::CookieAck
            | ChunkKind::Abort
            | ChunkKind::ShutdownComplete
            | ChunkKind::Error
            | ChunkKind::Data
            | ChunkKind::Sack
            | ChunkKind::Heartbeat
            | ChunkKind::HeartbeatAck
            | ChunkKind::Shutdown
            | ChunkKind::ShutdownAck
            | ChunkKind::Other(_) => Step::BadTag,
        }
    }

    /// The tag that a packet to the side `side` must carry; none if that is not known yet.
    #[must_use]
    pub fn tag_towards(&self, side: usize) -> Option<u32> {
        let other = 1 - side;
        [self.tags[other], self.offered[other]].into_iter().find(|tag| *tag != 0)
    }
}

/// Hides the addresses in `packet`, if it is INIT or INIT ACK, behind `source`. True if it changed.
pub fn hide_addresses(packet: &mut [u8], source: IpAddr) -> bool {
    // Common header, chunk header and the fixed fields of INIT and INIT ACK.
    let Some((head, parameters)) = packet.split_first_chunk_mut::<32>() else { return false };
    if !matches!(head[12], 1 | 2) {
        return false;
    }
    let chunk_len = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let len = chunk_len.saturating_sub(20).min(parameters.len());
    let mut rest = &mut parameters[..len];
    let (mut told, mut changed) = (false, false);
    while let Some(&[a, b, c, d]) = rest.first_chunk::<4>() {
        let kind = u16::from_be_bytes([a, b]);
        let size = usize::from(u16::from_be_bytes([c, d]));
        if size < 4 || size > rest.len() {
            break;
        }
        let value = &mut rest[4..size];
        match (kind, source) {
            (V4_ADDRESS, IpAddr::V4(source)) if !told && value.len() == 4 => {
                value.copy_from_slice(&source.octets());
                (told, changed) = (true, true);
            }
            (V6_ADDRESS, IpAddr::V6(source)) if !told && value.len() == 16 => {
                value.copy_from_slice(&source.octets());
                (told, changed) = (true, true);
            }
            (V4_ADDRESS | V6_ADDRESS | HOST_NAME, _) => {
                value.fill(0);
                rest[..2].copy_from_slice(&PADDING.to_be_bytes());
                changed = true;
            }
            _ => {}
        }
        let next = size.next_multiple_of(4).min(rest.len());
        rest = &mut rest[next..];
    }
    changed
}

/// Parameter types (RFC 9260 §3.3.2.1; RFC 4820 §4).
const V4_ADDRESS: u16 = 5;
const V6_ADDRESS: u16 = 6;
const HOST_NAME: u16 = 11;
const PADDING: u16 = 0x8005;

#[cfg(test)]
mod tests;
