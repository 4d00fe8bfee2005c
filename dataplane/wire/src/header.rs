//! Fixed headers as structs laid over bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::ParseError;

/// A header of fixed length without alignment, every bit pattern of which is one.
///
/// Splitting checks the length alone; what the fields must be is checked by the packet views
/// (`Ipv4Packet`, `TcpSegment` and so on).
pub trait Header: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned + Sized {
    /// What is said of bytes that are too short.
    const TRUNCATED: ParseError;

    /// Length in bytes.
    const LEN: usize = size_of::<Self>();

    /// The header at the start of `bytes`, and what follows it.
    ///
    /// # Errors
    ///
    /// [`Header::TRUNCATED`] if `bytes` is shorter than [`Header::LEN`].
    fn split(bytes: &[u8]) -> Result<(&Self, &[u8]), ParseError> {
        Self::ref_from_prefix(bytes).map_err(|_| Self::TRUNCATED)
    }

    /// The same, to write.
    ///
    /// # Errors
    ///
    /// [`Header::TRUNCATED`] if `bytes` is shorter than [`Header::LEN`].
    fn split_mut(bytes: &mut [u8]) -> Result<(&mut Self, &mut [u8]), ParseError> {
        Self::mut_from_prefix(bytes).map_err(|_| Self::TRUNCATED)
    }
}
