//! The typed form of DPDK's argument list, and the one call that starts it.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Eal, EalError, EalShared, errno, error_text};
use crate::device::{PciAddress, PortKind};
use crate::lcore::Affinity;
use crate::{CpuId, log, right};

/// Where the environment's memory comes from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Memory {
    /// Reserved hugepages without any file: no mount is needed and nothing is left after a crash.
    #[default]
    InMemory,
    /// Hugepage files in a mounted hugetlbfs, unlinked at once: for peers that map them.
    HugeFiles,
    /// Ordinary pages: slower, works on every machine, not for PCI devices.
    NoHuge,
}

/// Describes the environment; [`EalBuilder::init`] starts it.
#[derive(Clone, Debug)]
pub struct EalBuilder {
    cores: Vec<CpuId>,
    memory: Memory,
    memory_mib: u32,
    prefix: String,
    drivers: Vec<String>,
    driver_directory: Option<PathBuf>,
    pci: Vec<PciAddress>,
    /// Whether a peer maps the packet memory.
    mapped: bool,
    extra: Vec<String>,
}

impl Default for EalBuilder {
    /// 64 MiB of in-memory hugepages, the first usable core, no port.
    fn default() -> Self {
        Self {
            cores: Vec::new(),
            memory: Memory::default(),
            memory_mib: 64,
            prefix: format!("tmm{}", std::process::id()),
            drivers: Vec::new(),
            driver_directory: None,
            pci: Vec::new(),
            mapped: false,
            extra: Vec::new(),
        }
    }
}

impl EalBuilder {
    /// The cores of the data plane. They are checked and kept for [`Eal::cores`]; the first is
    /// DPDK's main core, whose thread is the caller without being pinned.
    #[must_use]
    pub fn cores(mut self, cores: &[CpuId]) -> Self {
        self.cores = cores.to_vec();
        self
    }

    /// Where memory comes from.
    #[must_use]
    pub fn memory(mut self, memory: Memory) -> Self {
        self.memory = memory;
        self
    }

    /// Memory in MiB, 16 or more; default 64.
    #[must_use]
    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// Keeps processes apart; default `tmm` and the process id.
    #[must_use]
    pub fn file_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Loads the driver of a port that [`crate::Port::configure`] will be asked for; a PCI function
    /// is put on the allow-list. A virtio-user port or memif client needs [`Memory::InMemory`] or
    /// [`Memory::NoHuge`]: its peer maps the packet memory, and takes few pieces of it.
    #[must_use]
    pub fn port(mut self, kind: &PortKind) -> Self {
        self.drivers.extend(kind.drivers().iter().map(|driver| (*driver).to_owned()));
        if let PortKind::Pci { address } = kind {
            self.pci.push(address.clone());
        }
        self.mapped |= kind.maps_memory();
        self
    }

    /// Loads a further driver by its library's name, such as `librte_net_iavf` for a PCI function.
    #[must_use]
    pub fn driver(mut self, library: &str) -> Self {
        self.drivers.push(library.to_owned());
        self
    }

    /// Loads the needed drivers from this directory, each by name. By default DPDK loads all that
    /// its own directory holds, 128 on Debian in about 0.1 s; it does so besides these where that
    /// directory exists (compiled into librte_eal, no argument turns it off). The feature `static`
    /// loads nothing.
    #[must_use]
    pub fn driver_directory(mut self, directory: &Path) -> Self {
        self.driver_directory = Some(directory.to_owned());
        self
    }

    /// Passes an argument on to DPDK as it is (EAL parameters).
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.extra.push(argument.to_owned());
        self
    }

    /// The arguments for rte_eal_init, without the program's name.
    ///
    /// # Errors
    ///
    /// [`EalError`] for what can be told without asking DPDK.
    pub fn arguments(&self) -> Result<Vec<String>, EalError> {
        let usable = Affinity::of_this_thread()?;
        let main = match self.cores.iter().find(|cpu| !usable.contains(**cpu)) {
            Some(cpu) => {
                return Err(EalError::UnknownCore { cpu: *cpu, usable: usable.to_string() });
            }
            None => self.cores.first().copied().or_else(|| usable.first()).unwrap_or(CpuId(0)),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.chars().all(plain) {
            return Err(EalError::BadPrefix { prefix: self.prefix.clone() });
        }

        // One EAL thread on the main core; workers register themselves.
        let mut list = vec!["--lcores".to_owned(), format!("0@{main}")];
        list.extend(["-m".to_owned(), self.memory_mib.to_string()]);
        list.push(format!("--file-prefix={}", self.prefix));
        // No socket or file for other processes, so that a crash leaves none.
        list.extend(["--no-telemetry", "--no-shconf"].map(str::to_owned));
        match self.memory {
            Memory::InMemory => {
                list.push("--in-memory".to_owned());
                // A vhost process maps 8 pieces at most (VHOST_MEMORY_MAX_NREGIONS); each page would
                // be one, and the port would come up and carry nothing.
                list.extend(self.mapped.then(|| "--single-file-segments".to_owned()));
            }
            Memory::HugeFiles => list.push("--huge-unlink=always".to_owned()),
            Memory::NoHuge => list.push("--no-huge".to_owned()),
        }
        if self.pci.is_empty() {
            list.push("--no-pci".to_owned());
        }
        for address in &self.pci {
            list.extend(["-a".to_owned(), address.to_string()]);
        }
        if let Some(directory) = &self.driver_directory {
            let needed = ["librte_mempool_ring", "librte_bus_vdev"].map(str::to_owned);
            let mut drivers: Vec<String> = needed.into_iter().chain(self.drivers.clone()).collect();
            drivers.sort_unstable();
            drivers.dedup();
            for driver in drivers {
                let path = directory.join(format!("{driver}.so"));
                if !path.exists() {
                    let directory = directory.display().to_string();
                    return Err(EalError::DriverMissing { driver, directory });
                }
                list.extend(["-d".to_owned(), path.display().to_string()]);
            }
        }
        list.extend(self.extra.iter().cloned());
        Ok(list)
    }

    /// Starts the environment, once a process. Takes 0.1 to 0.5 s, most of it for loading drivers.
    ///
    /// The calling thread keeps its CPU affinity; should the kernel refuse to give it back,
    /// [`Eal::take_log`] says so.
    ///
    /// # Errors
    ///
    /// [`EalError`], whose text names the fix.
    pub fn init(self) -> Result<Eal, EalError> {
        let arguments = self.arguments()?;
        self.check_memory()?;
        let line = arguments.join(" ");
        let words: Result<Vec<CString>, _> =
            std::iter::once("tmm".to_owned()).chain(arguments).map(CString::new).collect();
        let Ok(words) = words else {
            return Err(EalError::BadArgument { arguments: line, cause: "a NUL byte".to_owned() });
        };
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyStarted);
        }
        log::capture();
        let affinity = Affinity::of_this_thread()?;
        let mark = log::mark();
        // getopt reorders the pointers and DPDK keeps some, so both live for ever.
        let words = Box::leak(words.into_boxed_slice());
        let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
        pointers.push(std::ptr::null_mut());
        let pointers = Box::leak(pointers.into_boxed_slice());
        // JUSTIFICATION: the environment is C's.
        // SAFETY: argv holds `words.len()` C strings and a null, all of which are never freed; the
        // call is the first and only one of this process (STARTED).
        let used = unsafe { dpdk_sys::rte_eal_init(words.len() as i32, pointers.as_mut_ptr()) };
        let number = errno();
        let restored = affinity.apply();
        if used < 0 {
            return Err(self.failure(number, line, log::since(mark)));
        }
        // The environment runs and cannot be started again, so its handle must not be lost for
        // this: the caller stays on the main core, which is slow and not wrong.
        if let Err(error) = restored {
            log::note(&format!("the thread stays on DPDK's main core: {error}"));
        }
        // DPDK makes this directory and, without shared configuration, puts nothing into it. A
        // failure leaves an empty directory.
        let _ = std::fs::remove_dir(super::runtime_directory());
        Ok(Eal { shared: Arc::new(EalShared::default()), cores: self.cores })
    }

    /// Refuses what DPDK would refuse in worse words.
    fn check_memory(&self) -> Result<(), EalError> {
        if self.memory == Memory::NoHuge {
            return Ok(());
        }
        let needed_mib = u64::from(self.memory_mib);
        let free_mib = right::free_huge_mib().unwrap_or(0);
        if free_mib < needed_mib {
            return Err(EalError::NoHugepages {
                needed_mib,
                free_mib,
                pages: needed_mib.div_ceil(2),
            });
        }
        if self.memory == Memory::HugeFiles && !right::hugetlbfs_mounted() {
            return Err(EalError::NoHugetlbfs);
        }
        Ok(())
    }

    /// Names a failure of rte_eal_init.
    fn failure(&self, number: i32, arguments: String, cause: String) -> EalError {
        let prefix = self.prefix.clone();
        match number {
            nix::libc::EINVAL => EalError::BadArgument { arguments, cause },
            nix::libc::EACCES | nix::libc::EPERM => EalError::Denied { cause },
            nix::libc::EAGAIN | nix::libc::EBUSY if cause.contains("Cannot create lock") => {
                EalError::PrefixInUse { prefix, cause }
            }
            number => EalError::Failed { reason: error_text(number), cause },
        }
    }
}

/// Whether rte_eal_init was called.
static STARTED: AtomicBool = AtomicBool::new(false);
