//! The words of licensing.md §3.3: what can happen to a slot.
//!
//! Owns the closed set that indexes the tables and labels `spk_license_events`. What the shell
//! feeds in is `event`; the machine turns one into the other.
//!
//! Source: licensing.md §3.3.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! triggers {
    ($($(#[$doc:meta])* $variant:ident = $word:literal;)+) => {
        /// What happened to a slot.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Trigger {
            $($(#[$doc])* $variant,)+
        }

        impl Trigger {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word: stable label of `spk_license_events` and of the history.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The trigger of this word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

triggers! {
    /// The process started.
    Boot = "boot";
    /// JWT and JWKS verified.
    InitOk = "init.ok";
    /// JWT, JWKS or store unusable.
    InitErr = "init.err";
    /// The JWT is bound to the digital asset id.
    RegOk = "reg.ok";
    /// The binding could not be stored (P3).
    RegErr = "reg.err";
    /// A report was built.
    RepOk = "rep.ok";
    /// No report could be built.
    RepErr = "rep.err";
    /// Authorised `GET /report`.
    Get = "get";
    /// The stored report was unreadable.
    GetErr = "get.err";
    /// A receipt was accepted.
    RcptOk = "rcpt.ok";
    /// A receipt with a good signature was refused (A-rules with state 13).
    RcptBad = "rcpt.bad";
    /// A receipt was seen before or is of a superseded report (A4, A5).
    RcptSame = "rcpt.same";
    /// The report was sent upstream.
    UpSent = "up.sent";
    /// Upstream failed for now.
    UpTmp = "up.tmp";
    /// Upstream refused for good.
    UpRej = "up.rej";
    /// The retry timer.
    Retry = "retry";
    /// A JWT for a switch was verified.
    JwtOk = "jwt.ok";
    /// A JWT for a switch was refused.
    JwtBad = "jwt.bad";
    /// The threshold of state 14 is reached.
    TSoon = "t.soon";
    /// Less than 24 h are left.
    TToday = "t.today";
    /// The end is reached.
    TExp = "t.exp";
    /// The expiry moved later.
    TRenew = "t.renew";
    /// A telemetry window ended.
    TWin = "t.win";
    /// The switch was abandoned.
    Cancel = "cancel";
    /// The clock went back by more than an hour (K3).
    ClkBack = "clk.back";
    /// The clock is right again (K6).
    ClkOk = "clk.ok";
    /// An entitlement request came.
    Req = "req";
    /// The JWT or JWKS object changed.
    Cfg = "cfg";
    /// The first receipt was accepted (§3.5, slot N).
    FirstActivation = "first activation";
}

impl Serialize for Trigger {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Trigger {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let word = String::deserialize(reader)?;
        Self::from_word(&word).ok_or_else(|| serde::de::Error::custom("no such event"))
    }
}
