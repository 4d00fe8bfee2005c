//! What libraries print while devices start and stop, brought into the log.
//!
//! libbpf and libxdp write to standard error by themselves, which is no line of the log's grammar
//! (OPS-720). Owns the standard error of the process for the time of one call, and gives it back.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::panic;
use std::sync::{Arc, Mutex};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{dup, dup2_stderr};

/// Does `work`, then logs what was printed to standard error meanwhile, a line each, as debug.
///
/// Where standard error cannot be held back it stays as it is.
pub fn gathered<T>(work: impl FnOnce() -> T) -> T {
    let Ok((held, before)) = hold() else { return work() };
    let result = shown_at_panic(&held, &before, work);
    // Standard error was a good descriptor a moment ago.
    let _ = dup2_stderr(&before);
    if let Ok(text) = text_of(held) {
        text.lines().for_each(|line| super::library("stderr", line));
    }
    result
}

/// Does `work`; if it panics, what was held back comes before the panic's own words, and both reach
/// the standard error that was `before`.
fn shown_at_panic<T>(held: &File, before: &OwnedFd, work: impl FnOnce() -> T) -> T {
    let (Ok(held), Ok(before)) = (held.try_clone(), before.try_clone()) else { return work() };
    let places = Mutex::new(Some((held, before)));
    let usual = Arc::new(panic::take_hook());
    let then = Arc::clone(&usual);
    panic::set_hook(Box::new(move |info| {
        let taken = places.lock().ok().and_then(|mut places| places.take());
        if let Some((held, before)) = taken {
            let _ = dup2_stderr(&before);
            if let Ok(text) = text_of(held) {
                eprint!("{text}");
            }
        }
        then(info);
    }));
    let result = work();
    panic::set_hook(Box::new(move |info| usual(info)));
    result
}

fn hold() -> nix::Result<(File, OwnedFd)> {
    let held = memfd_create("stderr", MFdFlags::MFD_CLOEXEC)?;
    let before = dup(io::stderr())?;
    dup2_stderr(&held)?;
    Ok((held.into(), before))
}

fn text_of(mut held: File) -> io::Result<String> {
    held.rewind()?;
    let mut bytes = Vec::new();
    held.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
