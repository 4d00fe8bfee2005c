//! Waiting for a state, with a bound.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Looks every 20 ms until `look` gives something, at most `limit`; returns it.
///
/// # Errors
///
/// Names what was awaited if it did not come.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("{what}: did not happen within {limit:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// As [`until`], for a condition.
///
/// # Errors
///
/// As [`until`].
pub fn hold(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    until(what, limit, || holds().then_some(()))
}
