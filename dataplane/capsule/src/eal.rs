//! DPDK's environment: one a process, started from a typed builder.
//!
//! Owns the argument list, the caught log and the order of taking down. Starts no worker: threads
//! of [`crate::Lcore`] register themselves, so the environment knows only its main core.
//!
//! Invariant: the calling thread keeps the CPU affinity that it had; rte_eal_init would pin it to
//! the main core, and every thread started later would inherit that.
//! Sources: DPDK 22.11 Getting Started Guide, "EAL parameters".

mod builder;
mod error;

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

pub use builder::{EalBuilder, Memory};
pub use error::{EalError, ShutdownError};

use crate::pool::RawPool;
use crate::{CpuId, log};

/// The running environment.
#[derive(Debug)]
pub struct Eal {
    shared: Arc<EalShared>,
    cores: Vec<CpuId>,
}

/// What every handle into the environment's memory holds on to.
#[derive(Debug, Default)]
pub(crate) struct EalShared {
    pools: Mutex<Vec<(String, RawPool)>>,
}

impl EalShared {
    /// Notes a pool, so that [`Eal::shutdown`] can see whether a packet is out.
    pub(crate) fn remember(&self, name: &str, pool: RawPool) {
        if let Ok(mut pools) = self.pools.lock() {
            pools.push((name.to_owned(), pool));
        }
    }
}

impl Eal {
    /// Starts describing the environment.
    #[must_use]
    pub fn builder() -> EalBuilder {
        EalBuilder::default()
    }

    /// The cores that the builder was given, for [`crate::Lcore::spawn`]; the first is DPDK's main.
    #[must_use]
    pub fn cores(&self) -> &[CpuId] {
        &self.cores
    }

    /// DPDK's version, such as `DPDK 22.11.11`.
    #[must_use]
    pub fn version(&self) -> String {
        version()
    }

    /// Takes what DPDK and its drivers logged since the last call, oldest first; bounded, so old
    /// lines are lost when nobody asks.
    #[must_use]
    pub fn take_log(&self) -> Vec<String> {
        log::take()
    }

    /// Ends the environment and gives its memory back.
    ///
    /// Optional: the kernel does the same at the end of the process. What it proves is that no
    /// packet is left anywhere.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`] if a handle or a packet is still out; the environment stays as it is and
    /// comes back for another try.
    pub fn shutdown(self) -> Result<(), (Self, ShutdownError)> {
        let handles = Arc::strong_count(&self.shared) - 1;
        if handles > 0 {
            return Err((self, ShutdownError::HandlesOut { handles }));
        }
        // Nobody can allocate any more: no pool handle is left to do it with.
        let out = self.shared.pools.lock().map_or(None, |pools| {
            pools
                .iter()
                .map(|(name, pool)| (name.clone(), pool.in_use()))
                .find(|(_, packets)| *packets > 0)
        });
        if let Some((pool, packets)) = out {
            return Err((self, ShutdownError::PacketsOut { pool, packets }));
        }
        // JUSTIFICATION: the environment is C's.
        // SAFETY: no handle into its memory is left (checked above) and `self` was the last.
        match unsafe { dpdk_sys::rte_eal_cleanup() } {
            0 => Ok(()),
            code => Err((self, ShutdownError::Failed { cause: error_text(-code) })),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<EalShared> {
        &self.shared
    }
}

/// DPDK's version, such as `DPDK 22.11.11`.
fn version() -> String {
    // JUSTIFICATION: the version is a string in C.
    // SAFETY: returns a pointer to a string that is never freed.
    let text = unsafe { dpdk_sys::rte_version() };
    // JUSTIFICATION: as above.
    // SAFETY: as above; DPDK ends it with NUL.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Where DPDK keeps what processes share.
fn runtime_directory() -> PathBuf {
    // JUSTIFICATION: the path is a string in C.
    // SAFETY: the environment runs; returns a pointer to a buffer that is never freed.
    let text = unsafe { dpdk_sys::rte_eal_get_runtime_dir() };
    // JUSTIFICATION: as above.
    // SAFETY: as above; DPDK ends it with NUL and writes it only while it starts.
    PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(text) }.to_bytes()))
}

/// This thread's rte_errno: the number of the last failure.
pub(crate) fn errno() -> i32 {
    // JUSTIFICATION: a thread-local variable of C.
    // SAFETY: reads this thread's own variable.
    unsafe { dpdk_sys::dpdk_sys_errno() }
}

/// DPDK's words for an error number.
pub(crate) fn error_text(number: i32) -> String {
    // JUSTIFICATION: DPDK has numbers of its own beyond errno(3).
    // SAFETY: returns a string in this thread's own buffer.
    let text = unsafe { dpdk_sys::rte_strerror(number) };
    // JUSTIFICATION: as above.
    // SAFETY: as above; it is NUL-terminated and copied before any other call.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
