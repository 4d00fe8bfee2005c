//! Why a token is refused before any claim of it is read.

/// The first rule of V1 to V8 that a token breaks (licensing.md §2.1).
///
/// Closed on purpose: a caller maps each variant to its own code (`jwt_*`, `receipt_*`, `lease_*`),
/// and a new rule has to be mapped as well. Carries no part of the token.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum JoseError {
    /// V1: text or decoded header is above its limit.
    #[error("token or its header is larger than allowed")]
    TooLarge,
    /// V2: not three non-empty parts of strict base64url.
    #[error("token is not three non-empty parts of strict base64url")]
    Form,
    /// V3: the header is not one JSON object without duplicate members.
    #[error("header is not one JSON object with each member once")]
    Header,
    /// V3: `crit`, `b64`, `zip` or `enc` in the header.
    #[error("header carries an extension that changes its meaning (crit, b64, zip, enc)")]
    Extension,
    /// V3: `typ` is another one.
    #[error("typ is not that of this kind of token")]
    Type,
    /// V4: `alg` is not the one algorithm of this kind of token.
    #[error("alg is not the one algorithm accepted here")]
    Algorithm,
    /// V5: `kid` is missing, is no text of 1 to 64 characters, or names no usable key.
    #[error("kid names no usable key")]
    UnknownKey,
    /// §2.3: `jwk` in a report's header is no Ed25519 public key whose thumbprint is `kid`.
    #[error("jwk in the header is no Ed25519 public key whose thumbprint is kid")]
    EmbeddedKey,
    /// V7: altered, or signed by another key than it names.
    #[error("signature does not verify")]
    Signature,
    /// V8: the payload is not one JSON object without duplicate members.
    #[error("payload is not one JSON object with each member once")]
    Payload,
}

impl JoseError {
    /// Stable label. It is also what follows `jwt_` and `receipt_` in the codes of licensing.md
    /// §3.7: `too_large`, `malformed`, `algorithm`, `unknown_key`, `signature`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Form | Self::Header | Self::Extension | Self::Type | Self::Payload => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey | Self::EmbeddedKey => "unknown_key",
            Self::Signature => "signature",
        }
    }
}
