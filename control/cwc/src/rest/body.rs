//! Reading a body within its limits, and freeing a token of its wrapping (LIC-309, LIC-320).

use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use spk_license::codes::Code;
use spk_license::decode::bare;
use tokio::time::timeout;

use super::fault::Fault;

/// The whole body, of at most `limit` bytes.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, Fault> {
    match timeout(TIME, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Fault::new(Code::TooLarge)),
        // The connection is gone: nobody reads this.
        Ok(Err(_)) => Err(Fault::bad_request("The body ended early.")),
        Err(_) => Err(Fault::too_slow()),
    }
}

/// The token of a body, freed of its wrapping. What wraps none is left as it is; the token's own
/// rules refuse it.
pub(super) fn token(body: &[u8]) -> String {
    bare(&String::from_utf8_lossy(body))
}

/// Bytes of a body that has no limit of its own.
pub(super) const ANY_LIMIT: usize = 128 << 10;
/// How long a body may take.
const TIME: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::token;

    /// LIC-320: every form of body gives the same token.
    #[test]
    fn a_token_comes_out_of_each_wrapping() {
        for body in [
            "a.b.c",
            " \r\n\ta.b.c\n",
            "\"a.b.c\"",
            " \" a.b.c \" ",
            "{\"manifest\":\"a.b.c\"}",
            "{ \"jwt\" : \"a.b.c\", \"other\": 1 }\n",
        ] {
            assert_eq!(token(body.as_bytes()), "a.b.c", "{body}");
        }
    }

    #[test]
    fn what_wraps_no_token_stays_as_it_is() {
        for body in ["", "{}", "{\"manifest\":1}", "\"", "{\"jwt\":\"a\",\"jwt\":\"b\"}", "[]"] {
            assert_eq!(token(body.as_bytes()), body);
        }
    }
}
