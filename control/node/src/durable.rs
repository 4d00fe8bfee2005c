//! Files that are whole or absent: written aside, synced, renamed.
//!
//! Owns modes (0600 private, 0644 public) and the order write, sync, rename, sync of the folder.
//! Invariant: a reader sees the old contents or the new, also after a power loss.
//! Source: licensing.md §7.3.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

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
    replace(path, contents, access, true)
}

/// As [`write()`] without the syncs: for what is made anew after a power loss.
///
/// # Errors
///
/// The system's error; the old contents stay.
pub fn write_unsynced(path: &Path, contents: &[u8], access: Access) -> io::Result<()> {
    replace(path, contents, access, false)
}

/// Makes a folder of mode 0700 and its parents.
///
/// # Errors
///
/// The system's error.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn replace(path: &Path, contents: &[u8], access: Access, sync: bool) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut aside = std::ffi::OsString::from(".");
    aside.push(name);
    aside.push(".new");
    let aside = parent.join(aside);
    // A leftover of a crash may have another mode or be a link: never write through it.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(access.mode()).open(&aside)?;
    file.write_all(contents)?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(&aside, path)?;
    if sync {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}
