//! A CWC that can be kept down, whose wall clock can be wrong, and whose bus can be cut.
//!
//! Owns the script that `spk-node` starts instead of the program, and the two files that the script
//! looks at. The program is the shipped one; nothing in it knows of this.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use netlab::Namespace;

use crate::{cwc::FAKETIME, licence, poll, programs};

/// The files of one CWC's outages.
#[derive(Clone, Debug)]
pub struct Outage {
    folder: PathBuf,
}

impl Outage {
    /// Those below `folder`, the folder of a lab.
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.join("outage") }
    }

    /// Writes the script; its field of section `cwc` in `node.yaml`.
    ///
    /// # Errors
    ///
    /// If a program is missing.
    pub fn install(&self) -> Result<String> {
        ensure!(Path::new(FAKETIME).exists(), "package faketime is missing: make setup");
        fs::create_dir_all(&self.folder)?;
        self.clock("+0")?;
        let script = self.folder.join("spk-cwc");
        let text = format!(
            "#!/bin/sh
[ -e {home}/off ] && exit 1
export LD_PRELOAD={FAKETIME} FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1
export FAKETIME_TIMESTAMP_FILE={home}/clock
exec {program} \"$@\"
",
            home = self.folder.display(),
            program = programs::program("spk-cwc")?.display(),
        );
        fs::write(&script, text)?;
        fs::set_permissions(&script, Permissions::from_mode(0o755))?;
        Ok(format!(", binary: {}", script.display()))
    }

    /// Sets the CWC's wall clock off by this much, such as `-61m`: at once.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn clock(&self, offset: &str) -> Result<()> {
        let aside = self.folder.join("clock.new");
        fs::write(&aside, offset)?;
        Ok(fs::rename(aside, self.folder.join("clock"))?)
    }

    /// Kills the CWC of the node whose state is in `state`, and keeps it down.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn down(&self, state: &Path) -> Result<()> {
        fs::write(self.folder.join("off"), "")?;
        licence::kill(licence::cwc_pid(state)?)
    }

    /// Lets the CWC run again. spk-node starts it at its next try, at most half a minute later.
    ///
    /// # Errors
    ///
    /// If it was not down.
    pub fn up(&self) -> Result<()> {
        Ok(fs::remove_file(self.folder.join("off"))?)
    }

    /// Kills the CWC of the node whose state is in `state` and waits until another one runs.
    ///
    /// # Errors
    ///
    /// If none does.
    pub fn restart(&self, state: &Path) -> Result<()> {
        let old = licence::cwc_pid(state)?;
        licence::kill(old)?;
        poll::hold("another CWC runs", RESTART, || {
            licence::cwc_pid(state).is_ok_and(|pid| pid != old)
        })
    }
}

/// Cuts every connection to TCP `port` inside `namespace`, as a dead link does: nobody is told.
///
/// # Errors
///
/// With the complaint of `ip`.
pub fn cut(namespace: &Namespace, port: u16) -> Result<()> {
    // The kernel's own rule, which finds local addresses, comes first by default.
    namespace.ip(["rule", "add", "pref", "100", "lookup", "local"])?;
    namespace.ip(["rule", "del", "pref", "0"])?;
    for end in ["dport", "sport"] {
        namespace.ip([
            "rule",
            "add",
            "pref",
            "10",
            "ipproto",
            "tcp",
            end,
            &port.to_string(),
            "blackhole",
        ])?;
    }
    Ok(())
}

/// Undoes [`cut`].
///
/// # Errors
///
/// As [`cut`].
pub fn heal(namespace: &Namespace) -> Result<()> {
    for _ in 0..2 {
        namespace.ip(["rule", "del", "pref", "10"])?;
    }
    Ok(())
}

/// Pause of the supervisor and start.
const RESTART: std::time::Duration = std::time::Duration::from_secs(40);
