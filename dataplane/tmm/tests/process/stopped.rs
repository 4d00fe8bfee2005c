//! Threads of a process that a tracer holds.

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::rig::{Tmm, threads};

/// Dropping it lets them go.
pub struct StoppedThreads(Vec<Pid>);

impl StoppedThreads {
    /// Stops all threads whose names are `wanted`.
    pub fn of(tmm: &Tmm, wanted: impl Fn(&str) -> bool) -> Self {
        let mut stopped = Self(Vec::new());
        for (thread, name) in threads(tmm) {
            if !wanted(&name) {
                continue;
            }
            ptrace::seize(thread, ptrace::Options::empty()).unwrap();
            stopped.0.push(thread);
            ptrace::interrupt(thread).unwrap();
            waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        }
        stopped
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Drop for StoppedThreads {
    fn drop(&mut self) {
        for thread in &self.0 {
            // A thread that ended needs no help.
            let _ = ptrace::detach(*thread, None);
        }
    }
}
