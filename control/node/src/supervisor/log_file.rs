//! A part's log: a file that the process writes itself, bounded from outside.
//!
//! The process must outlive spk-node, so its output is no pipe. It appends; when the file is too
//! long its contents are copied aside and it is cut to nothing, and the process goes on at its
//! start. Lines written between copy and cut are lost: the price of asking nothing of the writer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// One log.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    limit: u64,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, limit_mib: u16) -> Self {
        Self { path, limit: u64::from(limit_mib) << 20 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for appending (0600).
    pub(super) fn open(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)
    }

    /// Its last line that is not empty, for people: at most 300 characters.
    pub(super) fn last_line(&self) -> Option<String> {
        let mut file = File::open(&self.path).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        Some(line.chars().take(300).collect())
    }

    /// Cuts it if it is longer than its limit.
    pub(super) fn bound(&self) {
        if let Err(error) = self.try_bound()
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "log is not rotated");
        }
    }

    fn try_bound(&self) -> io::Result<()> {
        if fs::metadata(&self.path)?.len() <= self.limit {
            return Ok(());
        }
        let mut older = self.path.clone().into_os_string();
        older.push(".1");
        fs::copy(&self.path, older)?;
        OpenOptions::new().write(true).open(&self.path)?.set_len(0)
    }
}

/// Bytes of the end of a log that are looked at.
const TAIL: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn log_past_its_limit_is_moved_aside_and_the_writer_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tmm-0.log");
        let log = LogFile { path: path.clone(), limit: 10 };
        let mut writer = log.open().unwrap();
        writer.write_all(b"0123456789").unwrap();
        log.bound();
        assert!(!dir.path().join("tmm-0.log.1").exists());
        writer.write_all(b"x").unwrap();
        log.bound();
        writer.write_all(b"after").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        writer.write_all(b"\nlast words\n\n").unwrap();
        assert_eq!(log.last_line().as_deref(), Some("last words"));
        assert_eq!(fs::read(dir.path().join("tmm-0.log.1")).unwrap(), b"0123456789x");
    }
}
