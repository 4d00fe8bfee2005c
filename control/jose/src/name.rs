//! How a token is named where it must not be shown, and hashed where it is referred to.

use aws_lc_rs::digest::{SHA256, digest};

use crate::base64url;

/// The name of a token in logs, events and errors: the first 8 hex digits of its SHA-256
/// (licensing.md §1.2, LIC-013). White space around the token does not count.
#[must_use]
pub fn token_name(text: &str) -> String {
    let hash = digest(&SHA256, text.trim_ascii().as_bytes());
    hash.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Base64url of the SHA-256 of `text`, byte for byte: `reportSha256`, `previousReportSha256`,
/// `cmdSha256` (licensing.md §2.3, §2.4, §2.6).
#[must_use]
pub fn sha256(text: &str) -> String {
    base64url::encode(digest(&SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::{sha256, token_name};

    /// SHA-256 of "abc" is the first vector of FIPS 180-2.
    #[test]
    fn a_token_is_named_by_the_start_of_its_hash() {
        assert_eq!(token_name("abc"), "ba7816bf");
        assert_eq!(token_name(" abc\n"), "ba7816bf");
        assert_eq!(sha256("abc"), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    }
}
