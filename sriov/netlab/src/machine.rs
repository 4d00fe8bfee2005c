//! What a machine must offer before a lab can be built on it.
//!
//! Checks and reserves; installs nothing (that is `make setup`).

use std::{fs, path::Path};

use crate::Error;

const HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// Checks for root's rights, named namespaces and tc BPF; returns on the first thing missing.
///
/// # Errors
///
/// [`Error::Machine`] with the missing thing and the command that mends it.
pub fn check() -> Result<(), Error> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::Machine {
            missing: "namespaces need root".to_owned(),
            fix: "run it as root",
        });
    }
    for (program, fix) in [("ip", "make setup"), ("ethtool", "make setup")] {
        if !on_path(program) {
            return Err(Error::Machine { missing: format!("{program} is not installed"), fix });
        }
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Err(Error::Machine {
            missing: "the kernel has no BTF, so BPF ports do not load".to_owned(),
            fix: "boot a kernel with CONFIG_DEBUG_INFO_BTF",
        });
    }
    Ok(())
}

/// Free huge pages of 2 MiB.
pub fn free_huge_pages() -> u64 {
    read(&format!("{HUGE_PAGES}/free_hugepages"))
}

/// Makes sure that `pages` huge pages of 2 MiB are free, by reserving more if needed.
///
/// DPDK runs with `--in-memory`, which needs the pages but no mount of hugetlbfs.
///
/// # Errors
///
/// [`Error::Machine`] if the kernel has not enough free memory for them, or root's rights are
/// missing.
pub fn reserve_huge_pages(pages: u64) -> Result<(), Error> {
    let free = free_huge_pages();
    if free < pages {
        let total = read(&format!("{HUGE_PAGES}/nr_hugepages")) + pages - free;
        let path = format!("{HUGE_PAGES}/nr_hugepages");
        fs::write(&path, total.to_string())
            .map_err(|source| Error::File { path: path.into(), source })?;
    }
    if free_huge_pages() < pages {
        return Err(Error::Machine {
            missing: format!("{pages} huge pages of 2 MiB wanted, {} free", free_huge_pages()),
            fix: "make setup, or stop what uses them",
        });
    }
    Ok(())
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}

fn read(path: &str) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
