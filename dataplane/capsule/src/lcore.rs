//! Threads that poll: pinned to one CPU and known to DPDK.
//!
//! A registered thread has a cache in every pool, so taking and giving packets costs no atomic
//! operation. Invariant: only the threads made here are pinned; others keep their own affinity.

use std::fmt;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::eal::{Eal, errno, error_text};

/// A CPU as the kernel numbers it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CpuId(pub u16);

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A polling thread could not be started or did not end well.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LcoreError {
    /// The kernel does not let this thread run there.
    #[error("cannot run on core {cpu}: {cause}; choose a core that this process may use")]
    Pin {
        /// The core.
        cpu: CpuId,
        /// The kernel's words.
        cause: nix::Error,
    },
    /// The affinity of the calling thread cannot be read or set back.
    #[error("CPU affinity of the calling thread: {cause}")]
    Affinity {
        /// The kernel's words.
        cause: nix::Error,
    },
    /// DPDK has no room for another thread (128 at most).
    #[error("DPDK does not take another thread: {cause}")]
    Register {
        /// DPDK's words.
        cause: String,
    },
    /// The operating system starts no thread.
    #[error("no thread can be started: {kind}")]
    Spawn {
        /// The kernel's words.
        kind: std::io::ErrorKind,
    },
    /// The thread's closure panicked.
    #[error("the thread on core {cpu} panicked")]
    Panicked {
        /// The core.
        cpu: CpuId,
    },
}

impl LcoreError {
    /// Stable label for metrics and conditions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Pin { .. } => "lcore_pin",
            Self::Affinity { .. } => "lcore_affinity",
            Self::Register { .. } => "lcore_register",
            Self::Spawn { .. } => "lcore_spawn",
            Self::Panicked { .. } => "lcore_panicked",
        }
    }
}

/// A pinned thread that DPDK knows.
#[derive(Debug)]
pub struct Lcore<T> {
    cpu: CpuId,
    thread: JoinHandle<Option<T>>,
}

impl<T: Send + 'static> Lcore<T> {
    /// Starts `work` on a thread of its own, pinned to `cpu` and named `lcore-<cpu>`.
    ///
    /// Returns once the thread runs there, or says why it does not.
    ///
    /// # Errors
    ///
    /// [`LcoreError`] if the CPU cannot be used or no thread can be started.
    pub fn spawn<F>(eal: &Eal, cpu: CpuId, work: F) -> Result<Self, LcoreError>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let (ready, started) = mpsc::sync_channel(1);
        // Keeps the environment from being ended under the thread.
        let shared = Arc::clone(eal.shared());
        let thread = std::thread::Builder::new()
            .name(format!("lcore-{cpu}"))
            .spawn(move || {
                let registered = Affinity::only(cpu).and_then(|()| Registration::new());
                match registered {
                    Ok(registration) => {
                        // The receiver waits, so this cannot fail.
                        let _ = ready.send(Ok(()));
                        let result = work();
                        drop(registration);
                        drop(shared);
                        Some(result)
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                        None
                    }
                }
            })
            .map_err(|error| LcoreError::Spawn { kind: error.kind() })?;
        Self::wait(cpu, thread, &started)
    }

    /// Waits for the thread's word.
    fn wait(
        cpu: CpuId,
        thread: JoinHandle<Option<T>>,
        started: &mpsc::Receiver<Result<(), LcoreError>>,
    ) -> Result<Self, LcoreError> {
        match started.recv() {
            Ok(Ok(())) => Ok(Self { cpu, thread }),
            Ok(Err(error)) => Err(error),
            Err(mpsc::RecvError) => Err(LcoreError::Panicked { cpu }),
        }
    }

    /// The CPU.
    #[must_use]
    pub fn cpu(&self) -> CpuId {
        self.cpu
    }

    /// Whether the closure has returned.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the closure's result.
    ///
    /// # Errors
    ///
    /// [`LcoreError::Panicked`] if it panicked.
    pub fn join(self) -> Result<T, LcoreError> {
        let cpu = self.cpu;
        // None is only returned by a thread that never became an `Lcore`.
        self.thread.join().ok().flatten().ok_or(LcoreError::Panicked { cpu })
    }
}

/// This thread's place among DPDK's threads.
#[derive(Debug)]
struct Registration(());

impl Registration {
    fn new() -> Result<Self, LcoreError> {
        // JUSTIFICATION: DPDK keeps its threads' numbers.
        // SAFETY: the environment runs (callers hold an `Eal`); the thread is not registered yet.
        if unsafe { dpdk_sys::rte_thread_register() } == 0 {
            return Ok(Self(()));
        }
        Err(LcoreError::Register { cause: error_text(errno()) })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // JUSTIFICATION: as in `new`.
        // SAFETY: this thread is registered; its number is free for another thread after this.
        unsafe { dpdk_sys::rte_thread_unregister() };
    }
}

/// The CPUs that a thread may run on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Affinity(CpuSet);

impl Affinity {
    pub(crate) fn of_this_thread() -> Result<Self, LcoreError> {
        let this = Pid::from_raw(0);
        sched_getaffinity(this).map(Self).map_err(|cause| LcoreError::Affinity { cause })
    }

    /// Gives this thread these CPUs.
    pub(crate) fn apply(&self) -> Result<(), LcoreError> {
        let this = Pid::from_raw(0);
        sched_setaffinity(this, &self.0).map_err(|cause| LcoreError::Affinity { cause })
    }

    /// Gives this thread `cpu` alone.
    fn only(cpu: CpuId) -> Result<(), LcoreError> {
        let mut set = CpuSet::new();
        set.set(usize::from(cpu.0))
            .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
            .map_err(|cause| LcoreError::Pin { cpu, cause })
    }

    pub(crate) fn contains(&self, cpu: CpuId) -> bool {
        self.0.is_set(usize::from(cpu.0)).unwrap_or(false)
    }

    pub(crate) fn first(&self) -> Option<CpuId> {
        self.cpus().next()
    }

    fn cpus(&self) -> impl Iterator<Item = CpuId> + '_ {
        (0..CpuSet::count() as u16).map(CpuId).filter(|cpu| self.contains(*cpu))
    }
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, cpu) in self.cpus().enumerate() {
            write!(f, "{}{cpu}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}
