//! Putting one record in its place: a file, or a folder of files.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::Record;
use crate::durable::{self, Access};

/// Makes `path` hold `record`.
pub(super) fn record(path: &Path, name: &str, record: &Record) -> io::Result<()> {
    let mut keys = record.iter();
    match (keys.next(), keys.next()) {
        (Some((key, value)), None) if key == name && !path.is_dir() => {
            durable::write(path, value, Access::Private)
        }
        _ => folder(path, record),
    }
}

/// Removes what is at `path`.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// A folder takes the place of another in one step: the two names are exchanged.
fn folder(path: &Path, record: &Record) -> io::Result<()> {
    let aside = durable::aside(path)?;
    remove(&aside)?;
    durable::create_private_dir(&aside)?;
    for (key, value) in record.iter() {
        durable::write(&aside.join(key), value, Access::Private)?;
    }
    match renameat_with(CWD, &aside, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(rustix::io::Errno::NOENT) => fs::rename(&aside, path)?,
        Err(error) => return Err(error.into()),
    }
    durable::sync_parent(path)?;
    remove(&aside)
}
