//! Writes what a TMM gets as files.
//!
//! Owns the contents of `<state>/tmm-<i>/`. Writes a file only when it changes, so that a watcher
//! sees nothing else. Source: operations.md §1.6 (OPS-174).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::layout::{self, Layout, TmmFile};
use crate::settings::{NodeSettings, ReplicaSettings};
use spk_store::durable::{self, Access};

/// Writes the files of `replica` but its trust anchor, which [`crate::provision`] copies.
///
/// # Errors
///
/// [`InstallError`] names the file that cannot be read or written.
pub fn replica(
    layout: &Layout,
    settings: &NodeSettings,
    replica: &ReplicaSettings,
) -> Result<(), InstallError> {
    let home = layout.tmm(replica.index);
    for folder in ["certs", "keys", "license", "podinfo"] {
        let path = home.join(folder);
        durable::create_private_dir(&path).map_err(|source| InstallError { path, source })?;
    }
    put(
        &home.join("tmm.yaml"),
        TmmFile::new(settings, layout, replica).text().as_bytes(),
        Access::Public,
    )?;
    for name in ["ca_root.crt", "grpc-svc.crt"] {
        let text = read(&layout.certs().join(name))?;
        put(&home.join("certs").join(name), &text, Access::Public)?;
    }
    let key = read(&layout.keys().join("grpc-svc.key"))?;
    put(&home.join("keys/grpc-svc.key"), &key, Access::Private)?;
    for (name, text) in layout::pod_info(settings, replica.index) {
        put(&home.join("podinfo").join(name), text.as_bytes(), Access::Public)?;
    }
    Ok(())
}

/// A file of a TMM cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}; check stateDir's owner and free space")]
pub struct InstallError {
    /// Which.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

impl InstallError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "part_file"
    }
}

fn read(path: &Path) -> Result<Vec<u8>, InstallError> {
    fs::read(path).map_err(|source| InstallError { path: path.to_owned(), source })
}

/// Writes a file if it has other contents.
pub(crate) fn put(path: &Path, contents: &[u8], access: Access) -> Result<(), InstallError> {
    if fs::read(path).is_ok_and(|held| held == contents) {
        return Ok(());
    }
    durable::write(path, contents, access)
        .map_err(|source| InstallError { path: path.to_owned(), source })
}
