//! Files that are whole or absent: written aside, synced, renamed.
//!
//! Owns modes (0600 private, 0644 public) and the order write, sync, rename, sync of the folder.
//! Invariant: a reader sees the old contents or the new, also after a power loss.
//! Source: licensing.md §7.3.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Who may read a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// 0600.
    Private,
    /// 0644.
    Public,
}

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Public => 0o644,
        }
    }
}

/// Makes `path` hold `contents`. Costs two disk syncs.
///
/// # Errors
///
/// The system's error; the old contents stay.
pub fn write(path: &Path, contents: &[u8], access: Access) -> io::Result<()> {
    let aside = write_aside(path, contents, access, true)?;
    fs::rename(&aside, path)?;
    sync_parent(path)
}

/// As [`write()`] without the syncs: for what is made anew after a power loss.
///
/// # Errors
///
/// The system's error; the old contents stay.
pub fn write_unsynced(path: &Path, contents: &[u8], access: Access) -> io::Result<()> {
    let aside = write_aside(path, contents, access, false)?;
    fs::rename(&aside, path)
}

/// As [`write()`], but only if there is no file at `path`.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] if there is one; it stays as it is. The system's error.
pub fn create(path: &Path, contents: &[u8], access: Access) -> io::Result<()> {
    let aside = write_aside(path, contents, access, true)?;
    renameat_with(CWD, &aside, CWD, path, RenameFlags::NOREPLACE)?;
    sync_parent(path)
}

/// Makes a folder of mode 0700 and its parents.
///
/// # Errors
///
/// The system's error.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Where the new contents of `path` are written before they take its place.
pub(crate) fn aside(path: &Path) -> io::Result<PathBuf> {
    let mut name = OsString::from(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(ASIDE);
    Ok(path.with_file_name(name))
}

/// Makes the names in the folder of `path` lasting.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?.sync_all()
}

fn write_aside(path: &Path, contents: &[u8], access: Access, sync: bool) -> io::Result<PathBuf> {
    let aside = aside(path)?;
    // A leftover of a crash may have another mode or be a link: never write through it.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(access.mode()).open(&aside)?;
    let written =
        file.write_all(contents).and_then(|()| if sync { file.sync_all() } else { Ok(()) });
    if let Err(error) = written {
        // On a full disk half a file would only take the space that is missing.
        let _ = fs::remove_file(&aside);
        return Err(error);
    }
    Ok(aside)
}

/// End of the names of files that are being written (licensing.md §7.3).
pub(crate) const ASIDE: &str = ".tmp";
