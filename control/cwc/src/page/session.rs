//! The token of a session: shows that a form came from a page of this program.
//!
//! A session is a random cookie; its token is a keyed hash of it, so nothing is remembered. The key
//! is new at each start: a page of before has to be loaded again. Source: licensing.md §14.2
//! (LIC-933).

use aws_lc_rs::hmac;
use spk_jose::base64url;

use crate::random::{self, RandomError};

/// Makes and checks tokens. Its debug form shows no key.
#[derive(Debug)]
pub struct Sessions {
    key: hmac::Key,
}

impl Sessions {
    /// With a new key.
    ///
    /// # Errors
    ///
    /// [`RandomError`].
    pub fn new() -> Result<Self, RandomError> {
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()?) })
    }

    /// A new session's cookie.
    ///
    /// # Errors
    ///
    /// [`RandomError`].
    pub fn begin() -> Result<String, RandomError> {
        Ok(base64url::encode(&random::bytes::<16>()?))
    }

    /// The token of a session.
    #[must_use]
    pub fn token(&self, cookie: &str) -> String {
        base64url::encode(hmac::sign(&self.key, cookie.as_bytes()).as_ref())
    }

    /// Whether `token` is that of the session; takes the same time for each wrong one.
    #[must_use]
    pub fn is_token(&self, cookie: &str, token: &str) -> bool {
        let given = base64url::decode(token);
        given.is_some_and(|tag| hmac::verify(&self.key, cookie.as_bytes(), &tag).is_ok())
    }
}
