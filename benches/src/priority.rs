//! A larger share of busy cores for the processes of a run, while it lasts.
//!
//! Linux shares cores between sessions first (autogroup) and between a session's processes by their
//! niceness, so both are raised. Best effort: without the right, windows are discarded more often
//! (`window`). Source: sched(7).

use std::fs;
use std::process::{Command, Stdio};

const FILE: &str = "/proc/self/autogroup";

/// The shares of this session and this process are raised while this lives.
#[derive(Debug)]
pub struct Priority {
    before: Option<String>,
}

impl Priority {
    /// Raises both shares; processes that are started now inherit the second.
    #[must_use]
    pub fn raise() -> Self {
        renice("-15");
        let text = fs::read_to_string(FILE).unwrap_or_default();
        let before = nice(&text).filter(|_| fs::write(FILE, "-15").is_ok());
        Self { before }
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        renice("0");
        if let Some(before) = &self.before {
            // Lowering a share is always allowed.
            let _ = fs::write(FILE, before);
        }
    }
}

/// Sets this process's niceness, if it may.
fn renice(to: &str) {
    let mut command = Command::new("renice");
    command.args(["-n", to, "-p", &std::process::id().to_string()]);
    // It says what it did, and what it may not.
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// The niceness in the file's text, `/autogroup-18 nice 0`.
fn nice(text: &str) -> Option<String> {
    Some(text.trim().rsplit_once(" nice ")?.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::nice;

    #[test]
    fn niceness_is_read_from_the_end_of_the_line() {
        assert_eq!(nice("/autogroup-18 nice -5\n").as_deref(), Some("-5"));
        assert_eq!(nice(""), None);
    }
}
