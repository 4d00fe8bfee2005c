//! The TMM's log: one line an event, in the grammar of operations.md §7.3.
//!
//! Owns the table of message ids, the layer that writes lines, and the rate limit. Workers never
//! log. Invariant: every line matches the grammar (OPS-720), whoever made it; no id writes more than
//! 10 lines a second if a peer can trigger it, and the next line says how many were left out
//! (OPS-722); no key, token or lease is ever in a line.

mod layer;
mod messages;
mod stderr;

pub use layer::LogLayer;
pub use messages::*;
pub use stderr::gathered;

/// Severity of a message, by its syslog digit (RFC 5424 §6.2.1).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Severity {
    /// 2.
    Critical = 2,
    /// 3.
    Error = 3,
    /// 4.
    Warning = 4,
    /// 5.
    Notice = 5,
    /// 6.
    Info = 6,
    /// 7.
    Debug = 7,
}

impl Severity {
    /// The value of key `l`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// The severity that `TMM_LOG_LEVEL` names, in any case of letters.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Error, Self::Warning, Self::Notice, Self::Info, Self::Debug]
            .into_iter()
            .find(|severity| severity.word().eq_ignore_ascii_case(word.trim()))
    }
}

/// One row of the table of messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageId {
    /// The 8 hexadecimal digits.
    pub id: u32,
    /// Its severity.
    pub severity: Severity,
    /// How the text begins.
    pub begins: &'static str,
    /// Whether a peer can trigger it, so that it is limited.
    pub by_peer: bool,
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $severity:ident, $begins:literal, $by_peer:literal;)+) => {
        $(
            $(#[$doc])*
            pub const $name: MessageId = MessageId {
                id: $id,
                severity: Severity::$severity,
                begins: $begins,
                by_peer: $by_peer,
            };
        )+

        /// Every message of this process (OPS-721).
        pub const MESSAGES: &[MessageId] = &[$($name),+];
    };
}

table! {
    /// A member's monitors changed their mind.
    MEMBER = 0x0101_0057, Notice, "Pool Member Status Change:", true;
    /// What has no row of its own: libraries and DPDK.
    LIBRARY = 0x2a00_0000, Debug, "", true;
    /// The process runs.
    STARTED = 0x2a00_0001, Notice, "Started:", false;
    /// The process ends.
    STOPPED = 0x2a00_0002, Notice, "Stopped:", false;
    /// The process cannot run, or a part of it ended.
    FAILED = 0x2a00_0003, Critical, "Failed:", false;
    /// SIGTERM came.
    DRAINING = 0x2a00_0004, Notice, "Draining:", false;
    /// A setting has no effect or costs speed.
    SETTING = 0x2a00_0005, Warning, "Setting:", false;
    /// The gate closed.
    GATE_CLOSED = 0x2a01_0001, Critical, "License gate closed:", false;
    /// The gate opened.
    GATE_OPENED = 0x2a01_0002, Notice, "License gate opened", false;
    /// A lease was refused.
    LEASE_REJECTED = 0x2a01_0003, Warning, "License lease rejected:", true;
    /// The lease keys were read, or cannot be.
    TRUST_ANCHOR = 0x2a01_0004, Notice, "License trust anchor:", false;
    /// A snapshot runs.
    APPLIED = 0x2a02_0001, Notice, "Configuration", true;
    /// A snapshot was refused.
    REFUSED = 0x2a02_0002, Error, "Configuration", true;
    /// An interface went down.
    INTERFACE_DOWN = 0x2a03_0001, Error, "Interface", true;
    /// An interface came up.
    INTERFACE_UP = 0x2a03_0002, Notice, "Interface", true;
    /// New connections are served with another certificate.
    CERTIFICATE = 0x2a08_0001, Info, "Certificate", false;
}

/// The row of `id`.
#[must_use]
pub fn message(id: u32) -> Option<&'static MessageId> {
    MESSAGES.iter().find(|message| message.id == id)
}

#[cfg(test)]
mod tests;
