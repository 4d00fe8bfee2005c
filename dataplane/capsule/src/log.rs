//! DPDK's own log, kept in memory.
//!
//! DPDK and its drivers tell the cause of a failure only in their log; it is caught here, bounded,
//! so that an error can quote it and the program can pass the rest on to its own log.

use std::collections::VecDeque;
use std::ffi::{c_char, c_void};
use std::sync::Mutex;

/// Lines that are kept while nobody takes them; older ones go first.
const LINES: usize = 256;
/// Bytes of one line that are kept.
const LINE_BYTES: usize = 512;
/// Lines that an error quotes.
const QUOTED: usize = 6;

/// What DPDK wrote and nobody has taken yet. A lock, as DPDK logs from any thread; never taken on
/// the packet path.
static LOG: Mutex<Kept> = Mutex::new(Kept { lines: VecDeque::new(), partial: Vec::new(), seen: 0 });

#[derive(Debug)]
struct Kept {
    lines: VecDeque<String>,
    partial: Vec<u8>,
    /// Lines ever written.
    seen: u64,
}

impl Kept {
    fn write(&mut self, text: &[u8]) {
        for &byte in text {
            if byte == b'\n' {
                let line = String::from_utf8_lossy(&self.partial).trim().to_owned();
                self.partial.clear();
                if line.is_empty() {
                    continue;
                }
                if self.lines.len() == LINES {
                    self.lines.pop_front();
                }
                self.lines.push_back(line);
                self.seen += 1;
            } else if self.partial.len() < LINE_BYTES {
                self.partial.push(byte);
            }
        }
    }
}

/// Sends DPDK's log here instead of to stderr and syslog. Best effort: without memory for a stream
/// the log stays where it was.
pub(crate) fn capture() {
    // JUSTIFICATION: DPDK takes a C stream only.
    // SAFETY: `keep` never unwinds, ignores the cookie and reads `bytes` bytes that stdio owns.
    unsafe { dpdk_sys::dpdk_sys_log_to(Some(keep), std::ptr::null_mut()) };
}

/// Keeps a line of our own among DPDK's.
pub(crate) fn note(line: &str) {
    if let Ok(mut log) = LOG.lock() {
        log.write(format!("{line}\n").as_bytes());
    }
}

/// Takes all kept lines, oldest first.
pub(crate) fn take() -> Vec<String> {
    LOG.lock().map(|mut log| log.lines.drain(..).collect()).unwrap_or_default()
}

/// Marks a place in the log, for [`since`].
pub(crate) fn mark() -> u64 {
    LOG.lock().map_or(0, |log| log.seen)
}

/// What was logged after `mark`, at most a handful of the last lines in one string.
pub(crate) fn since(mark: u64) -> String {
    let Ok(log) = LOG.lock() else { return String::new() };
    let fresh = usize::try_from(log.seen.saturating_sub(mark)).unwrap_or(usize::MAX);
    let fresh = fresh.min(log.lines.len()).min(QUOTED);
    let lines: Vec<&str> = log.lines.range(log.lines.len() - fresh..).map(String::as_str).collect();
    if lines.is_empty() { "nothing was logged".to_owned() } else { lines.join("; ") }
}

/// stdio's write function of the stream: keeps the text, says all of it was taken.
///
/// # Safety
///
/// `text` points to `bytes` readable bytes.
unsafe extern "C" fn keep(_cookie: *mut c_void, text: *const c_char, bytes: usize) -> isize {
    // JUSTIFICATION: the text comes from C as pointer and length.
    // SAFETY: the caller passes `bytes` readable bytes (fopencookie(3)) for the call's duration.
    let text = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), bytes) };
    if let Ok(mut log) = LOG.lock() {
        log.write(text);
    }
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Kept, LINE_BYTES, LINES};
    use std::collections::VecDeque;

    #[test]
    fn log_keeps_the_last_lines_cut_and_without_blank_ones() {
        let mut log = Kept { lines: VecDeque::new(), partial: Vec::new(), seen: 0 };
        for number in 0..LINES + 10 {
            log.write(format!("EAL: line {number}\n\n").as_bytes());
        }
        log.write(&[b'x'; LINE_BYTES + 100]);
        log.write(b"\n");
        assert_eq!(log.lines.len(), LINES);
        assert_eq!(log.lines.front().map(String::as_str), Some("EAL: line 11"));
        assert_eq!(log.lines.back().map(String::len), Some(LINE_BYTES));
        assert_eq!(log.seen, LINES as u64 + 11);
    }
}
