//! CRC32c over an SCTP packet, in one piece or in segments.

use core::ops::Range;

/// Where the checksum field lies in a packet.
const FIELD: Range<usize> = 8..12;

/// The CRC32c of a packet that comes in pieces; the checksum field counts as zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crc {
    crc: u32,
    at: usize,
}

impl Crc {
    /// Adds the next piece, of any length.
    pub fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let in_field = FIELD.contains(&self.at);
            let end = match self.at {
                at if in_field => FIELD.end - at,
                at if at < FIELD.start => FIELD.start - at,
                _ => bytes.len(),
            };
            let (piece, rest) = bytes.split_at(end.min(bytes.len()));
            self.crc = if in_field {
                crc32c::crc32c_append(self.crc, &[0; 4][..piece.len()])
            } else {
                crc32c::crc32c_append(self.crc, piece)
            };
            self.at += piece.len();
            bytes = rest;
        }
    }

    /// The bytes of the checksum field.
    #[must_use]
    pub const fn field(self) -> [u8; 4] {
        // The wire has the remainder's bytes in reversed order (RFC 9260 appendix A).
        self.crc.to_le_bytes()
    }
}

/// The bytes of the checksum field for `packet`, whatever it holds there now.
#[must_use]
pub fn checksum(packet: &[u8]) -> [u8; 4] {
    let mut crc = Crc::default();
    crc.add(packet);
    crc.field()
}

/// Whether the checksum field of `packet` is right; never in one that is too short for it.
#[must_use]
pub fn checksum_is_right(packet: &[u8]) -> bool {
    packet.get(FIELD) == Some(&checksum(packet))
}
