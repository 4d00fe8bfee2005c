//! Reading a body within its limits, and freeing a token of its wrapping (LIC-309, LIC-320).

use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use spk_license::codes::Code;
use spk_license::decode::bare;
use tokio::time::timeout;

use super::fault::Fault;

/// The whole body, of at most `limit` bytes.
pub(super) async fn read(mut body: Body, limit: usize) -> Result<Bytes, Fault> {
    timeout(TIME, gather(&mut body, limit)).await.unwrap_or_else(|_| Err(Fault::too_slow()))
}

async fn gather(body: &mut Body, limit: usize) -> Result<Bytes, Fault> {
    let mut taken = Vec::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            // The connection is gone: nobody reads this.
            return Err(Fault::bad_request("The body ended early."));
        };
        let Ok(data) = frame.into_data() else { continue };
        size += data.len();
        if size <= limit {
            taken.extend_from_slice(&data);
        } else if size > THROWN_AWAY {
            break;
        }
    }
    if size > limit { Err(Fault::new(Code::TooLarge)) } else { Ok(taken.into()) }
}

/// The token of a body, freed of its wrapping. What wraps none is left as it is; the token's own
/// rules refuse it.
pub(super) fn token(body: &[u8]) -> String {
    bare(&String::from_utf8_lossy(body))
}

/// Bytes of a body that has no limit of its own.
pub(super) const ANY_LIMIT: usize = 128 << 10;
/// Bytes of a body that is too large which are still read, so that its sender gets to read the answer
/// and not a reset of the connection.
const THROWN_AWAY: usize = 4 << 20;
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
