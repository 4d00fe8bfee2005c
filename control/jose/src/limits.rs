//! How large a token or key set may be.
//!
//! Source: licensing.md §2 (table of limits), LIC-100.

/// Limits of one kind of compact JWS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of the whole text, after trimming ASCII white space.
    pub total: usize,
    /// Bytes of the decoded header.
    pub header: usize,
    /// Nested levels of JSON in header and payload; an object of plain members has one.
    pub depth: usize,
}

impl Limits {
    /// Of a licence JWT (§2.1).
    pub const JWT: Self = Self { total: 8_192, header: 4_096, depth: 8 };
    /// Of a receipt (§2.4).
    pub const RECEIPT: Self = Self { total: 65_536, header: 4_096, depth: 16 };
    /// Of a report (§2.3).
    pub const REPORT: Self = Self { total: 131_072, header: 4_096, depth: 16 };
    /// Of a lease or debug statement (§2.5, §2.6).
    pub const STATEMENT: Self = Self { total: 4_096, header: 1_024, depth: 8 };
}

/// Bytes of a key set after trimming ASCII white space.
pub const KEY_SET_SIZE: usize = 65_536;
/// Nested levels of a key set.
pub const KEY_SET_DEPTH: usize = 8;
/// Characters of a `kid`; it has at least one (V5).
pub const KEY_ID_LENGTH: usize = 64;
