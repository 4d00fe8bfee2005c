//! TCP connection tracking.
//!
//! Follows the handshake, both FINs and resets of a connection that passes by; ends no connection
//! itself. Of an established one only the last acknowledgement and window of each direction are
//! kept, in the hot line, so that a FIN and a reset can be judged and an acceptable reset be made.
//! An acknowledgement counts only if it lies within the largest window of the last one, so that who
//! sees nothing of the connection cannot move it. Sequence numbers of data are not checked: that is
//! the ends' business.
//!
//! Sources: crds.md §6 (Behaviour 1 to 6), RFC 9293 §3.5.2, §3.5.3, §3.10.7, RFC 7323 §2.2,
//! RFC 5961 §3, §5.

use super::session::{Addresses, Cold, Hot, flag};

/// Bits of the flags byte (RFC 9293 §3.1).
pub mod bits {
    /// No more data.
    pub const FIN: u8 = 1;
    /// Begins a connection.
    pub const SYN: u8 = 1 << 1;
    /// Ends a connection at once.
    pub const RST: u8 = 1 << 2;
    /// The acknowledgement is valid.
    pub const ACK: u8 = 1 << 4;
    /// What makes a segment need the closer look, and ACK.
    pub const STEADY_MASK: u8 = FIN | SYN | RST | ACK;
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum State {
    /// The client's SYN was seen.
    SynSent,
    /// The member's SYN-ACK was seen.
    SynReceived,
    /// The client acknowledged it.
    Established,
    /// A FIN was seen, but not both acknowledged.
    Closing,
    /// Both FINs are acknowledged.
    Closed,
}

impl State {
    /// The state stored in `raw`, beside what [`observe`] needs.
    #[must_use]
    pub const fn from_raw(raw: u8) -> Self {
        match raw & STATE {
            0 => Self::SynSent,
            1 => Self::SynReceived,
            2 => Self::Established,
            3 => Self::Closing,
            _ => Self::Closed,
        }
    }
}

/// What tracking needs of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number; means something only with ACK.
    pub ack: u32,
    /// Flags byte.
    pub flags: u8,
    /// Window as it stands in the header.
    pub window: u16,
    /// Bytes of data.
    pub len: u32,
    /// Window scale option, if there is one.
    pub scale: Option<u8>,
}

impl Segment {
    /// Reads the header at the start of `segment`, a segment of `len` bytes in all of which at least
    /// the header is there. None if it is too short.
    #[must_use]
    pub fn read(segment: &[u8], len: usize) -> Option<Self> {
        let header = segment.first_chunk::<20>()?;
        let offset = usize::from(header[12] >> 4) * 4;
        let options = segment.get(20..offset)?;
        Some(Self {
            seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            flags: header[13],
            window: u16::from_be_bytes([header[14], header[15]]),
            len: u32::try_from(len.checked_sub(offset)?).ok()?,
            scale: if header[13] & bits::SYN != 0 { scale_option(options) } else { None },
        })
    }

    /// Whether `flag` is set.
    #[must_use]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it opens a connection: SYN without ACK, FIN and RST.
    #[must_use]
    pub const fn is_opening(&self) -> bool {
        self.flags & bits::STEADY_MASK == bits::SYN
    }

    /// Whether no segment has these flags: SYN with FIN or RST, or none at all.
    #[must_use]
    pub const fn is_nonsense(&self) -> bool {
        let odd_syn = self.has(bits::SYN) && self.has(bits::FIN | bits::RST);
        odd_syn || self.flags & bits::STEADY_MASK == 0
    }

    /// The sequence number after this segment.
    #[must_use]
    pub const fn next_seq(&self) -> u32 {
        let syn = self.has(bits::SYN) as u32;
        let fin = self.has(bits::FIN) as u32;
        self.seq.wrapping_add(self.len).wrapping_add(syn).wrapping_add(fin)
    }
}

/// What becomes of a segment of a known connection. It is forwarded in every case but `Reopen`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing that the sweep must know.
    Stay,
    /// The state changed: deadlines are others now.
    Changed,
    /// The connection ends at once.
    End,
    /// The connection is over and this SYN begins a new one with the same addresses and ports.
    Reopen,
}

/// What of a connection the tracker keeps; the sides are the opening packet's sender's, then the
/// other's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Track {
    /// Where it is.
    pub state: State,
    /// The last acknowledgement that each side sent; before its first one, what it will be.
    pub acks: [u32; 2],
    /// Binary logarithm of the window last advertised by each side, unscaled: 4 bits each.
    pub windows: u8,
    /// Window scale of each side.
    pub scale: [u8; 2],
    /// Sequence number after each side's FIN.
    pub fins: [u32; 2],
    /// Bits `FIN_SEEN` and `FIN_ACKED`, shifted by the side.
    pub detail: u8,
}

const FIN_SEEN: u8 = 1;
const FIN_ACKED: u8 = 4;
/// Both sides offered a window scale; until both did, none holds (RFC 7323 §2.2).
const SCALED: u8 = 16;
const FINS_ACKED: u8 = FIN_ACKED | FIN_ACKED << 1;

impl Track {
    /// A connection that `syn` opens.
    #[must_use]
    pub fn open(syn: &Segment) -> Self {
        let mut track = Self {
            state: State::SynSent,
            // The member will acknowledge the SYN, if not its data.
            acks: [0, syn.seq.wrapping_add(1)],
            windows: 0,
            scale: [syn.scale.unwrap_or(NO_SCALE), NO_SCALE],
            fins: [0; 2],
            detail: 0,
        };
        track.note_window(0, syn.window);
        track
    }

    /// Reads it out of a session.
    #[must_use]
    pub fn load<A: Addresses>(hot: &Hot<A>, cold: &Cold) -> Self {
        Self {
            state: State::from_raw(hot.state),
            acks: hot.marks,
            windows: hot.windows,
            scale: cold.scale,
            fins: cold.pending,
            detail: cold.detail,
        }
    }

    /// Writes it into a session.
    pub fn store<A: Addresses>(&self, hot: &mut Hot<A>, cold: &mut Cold) {
        hot.state = self.state as u8 | self.largest_shift() << SHIFT_AT;
        hot.marks = self.acks;
        hot.windows = self.windows;
        hot.set(flag::FAST, self.state == State::Established && !hot.has(flag::BLOCKED));
        cold.scale = self.scale;
        cold.pending = self.fins;
        cold.detail = self.detail;
    }

    /// Takes a segment of the side `side` (1: the one that did not open the connection).
    #[must_use]
    pub fn step(&mut self, side: usize, segment: &Segment) -> Step {
        if segment.has(bits::RST) {
            return if self.accepts_reset(side, segment) { Step::End } else { Step::Stay };
        }
        if segment.has(bits::SYN) {
            return self.syn(side, segment);
        }
        let before = self.state;
        match self.state {
            State::SynSent => {}
            State::SynReceived => {
                let answers = is_at_or_after(segment.ack, self.acks[0]);
                if side == 0 && answers && self.takes(side, segment) {
                    self.state = State::Established;
                    self.note(side, segment);
                    self.fin(side, segment);
                }
            }
            State::Established | State::Closing => {
                self.note(side, segment);
                self.fin(side, segment);
            }
            State::Closed => self.note(side, segment),
        }
        if self.state == before { Step::Stay } else { Step::Changed }
    }

    /// Takes a SYN of the side `side`.
    fn syn(&mut self, side: usize, segment: &Segment) -> Step {
        match (self.state, side) {
            (State::SynSent, 1) if segment.has(bits::ACK) => {
                if !self.acknowledges_syn(segment) {
                    // Not an answer to our client's SYN: it will reset it (RFC 9293 §3.10.7.3).
                    return Step::Stay;
                }
                self.state = State::SynReceived;
                self.acks[0] = segment.seq.wrapping_add(1);
                self.scale[1] = segment.scale.unwrap_or(NO_SCALE);
                if self.scale.iter().all(|scale| *scale != NO_SCALE) {
                    self.detail |= SCALED;
                }
                self.note_window(1, segment.window);
                Step::Changed
            }
            (State::SynSent, 0) if segment.is_opening() => {
                // Repeated, perhaps with another number by a client that began anew.
                self.acks[1] = segment.seq.wrapping_add(1);
                self.scale[0] = segment.scale.unwrap_or(NO_SCALE);
                Step::Stay
            }
            (State::Closed, 0) if segment.is_opening() => Step::Reopen,
            // The receiver answers a SYN in the window with a challenge ACK (RFC 5961 §4).
            (
                State::SynSent
                | State::SynReceived
                | State::Established
                | State::Closing
                | State::Closed,
                _,
            ) => Step::Stay,
        }
    }

    fn note(&mut self, side: usize, segment: &Segment) {
        if self.takes(side, segment) {
            self.acks[side] = segment.ack;
            self.note_window(side, segment.window);
            let other = 1 - side;
            let seen = self.detail & FIN_SEEN << other != 0;
            if seen && is_at_or_after(segment.ack, self.fins[other]) {
                self.detail |= FIN_ACKED << other;
            }
            if self.detail & FINS_ACKED == FINS_ACKED {
                self.state = State::Closed;
            }
        }
    }

    /// Whether `segment` acknowledges what the other side may have sent.
    const fn takes(&self, side: usize, segment: &Segment) -> bool {
        segment.has(bits::ACK) && is_near(segment.ack, self.acks[side], self.largest_shift())
    }

    fn fin(&mut self, side: usize, segment: &Segment) {
        let last = segment.next_seq().wrapping_sub(1);
        if segment.has(bits::FIN) && self.is_in_window(side, last) {
            self.fins[side] = segment.next_seq();
            // Its number is not acknowledged yet, else it were not in the window.
            self.detail = self.detail & !(FIN_ACKED << side) | FIN_SEEN << side;
            if self.state == State::Established {
                self.state = State::Closing;
            }
        }
    }

    /// Whether the other end would take this reset (RFC 9293 §3.5.3).
    #[must_use]
    pub fn accepts_reset(&self, side: usize, segment: &Segment) -> bool {
        if self.state == State::SynSent && side == 1 {
            // The client takes it if its SYN is acknowledged.
            return segment.has(bits::ACK) && self.acknowledges_syn(segment);
        }
        self.is_in_window(side, segment.seq)
    }

    /// Whether the other end waits for the sequence number `seq` of `side`.
    fn is_in_window(&self, side: usize, seq: u32) -> bool {
        let other = 1 - side;
        seq.wrapping_sub(self.acks[other]) < self.window(other)
    }

    /// Whether an answer to the first SYN acknowledges it, and perhaps data that it had.
    const fn acknowledges_syn(&self, segment: &Segment) -> bool {
        segment.ack.wrapping_sub(self.acks[1]) <= u16::MAX as u32
    }

    /// A bound of the window that `side` offers, at most twice the last one, in bytes.
    #[must_use]
    pub fn window(&self, side: usize) -> u32 {
        let log = self.windows >> (side * 4) & 0xf;
        2_u32 << log << self.shift(side)
    }

    /// The shift of the windows of `side` (RFC 7323 §2.2).
    const fn shift(&self, side: usize) -> u8 {
        match self.scale[side] {
            _ if self.detail & SCALED == 0 => 0,
            shift @ 0..=14 => shift,
            _ => 14,
        }
    }

    const fn largest_shift(&self) -> u8 {
        let [a, b] = [self.shift(0), self.shift(1)];
        if a > b { a } else { b }
    }

    fn note_window(&mut self, side: usize, window: u16) {
        self.windows = with_window(self.windows, side, window);
    }
}

/// Keeps what steady segments tell: acknowledgement and window of the sender, in the hot line.
#[inline(always)]
pub fn observe<A>(hot: &mut Hot<A>, reply: bool, data: &[u8], l4: usize) {
    let Some(header) = data.get(l4..).and_then(|rest| rest.first_chunk::<16>()) else { return };
    let ack = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    let mark = &mut hot.marks[usize::from(reply)];
    if is_near(ack, *mark, hot.state >> SHIFT_AT) {
        *mark = ack;
        let window = u16::from_be_bytes([header[14], header[15]]);
        hot.windows = with_window(hot.windows, usize::from(reply), window);
    }
}

/// Whether `ack` lies within the largest window, shifted by `shift`, of `last` (RFC 5961 §5.2). On
/// both sides: a forged one that hits lasts to the next true one.
#[inline(always)]
const fn is_near(ack: u32, last: u32, shift: u8) -> bool {
    let reach = 1_u32 << (16 + (shift & 15));
    ack.wrapping_sub(last).wrapping_add(reach) <= reach << 1
}

#[inline(always)]
const fn with_window(windows: u8, side: usize, window: u16) -> u8 {
    let log = (window | 1).ilog2() as u8;
    let shift = side as u32 * 4;
    windows & !(0xf << shift) | log << shift
}

/// Whether `a` is `b` or comes after it on the circle of sequence numbers (RFC 9293 §3.4).
#[must_use]
pub const fn is_at_or_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) < 1 << 31
}

/// The shift of the window scale option (RFC 7323 §2.2).
fn scale_option(mut options: &[u8]) -> Option<u8> {
    loop {
        match *options {
            [] | [0, ..] => return None,
            [1, ..] => options = &options[1..],
            [3, 3, shift, ..] => return Some(shift.min(14)),
            [_, len, ..] if len >= 2 => options = options.get(usize::from(len)..)?,
            _ => return None,
        }
    }
}

/// Seconds that a closed connection is kept (crds.md §6 behaviour 5).
pub const CLOSED_SECONDS: u32 = 5;

const NO_SCALE: u8 = u8::MAX;

/// Parts of a session's state byte: the state, and the larger window scale of both sides.
const STATE: u8 = 0xf;
const SHIFT_AT: u32 = 4;

#[cfg(test)]
mod tests;
