//! The plain files: `<service>-secrets/ssl/...`.
//!
//! Invariant: private files are 0600, certificates 0644, directories made here 0700, under any
//! umask; a file is replaced at once, never half. Source: operations.md §3.1 (OPS-305), §3.2
//! (OPS-306).

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::pki::Pair;

/// Who may read a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    /// Its owner.
    Private,
    /// Anybody who reaches it.
    Public,
}

/// Where certificate and key of one holder lie under `ssl`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// Such as `server`, `client` or `client-1`.
    pub folder: String,
    /// How its files begin: `ca`, `server` or `client`.
    pub role: &'static str,
}

impl Place {
    pub(crate) fn new(folder: impl Into<String>, role: &'static str) -> Self {
        Self { folder: folder.into(), role }
    }

    pub(crate) fn certificate(&self, ssl: &Path) -> PathBuf {
        ssl.join(&self.folder).join(format!("certs/{}_certificate.pem", self.role))
    }

    pub(crate) fn key(&self, ssl: &Path) -> PathBuf {
        ssl.join(&self.folder).join(format!("secrets/{}_key.pem", self.role))
    }

    /// Both files; none unless both are there.
    pub(crate) fn read(&self, ssl: &Path) -> io::Result<Option<Pair>> {
        let (certificate, key) = (read(&self.certificate(ssl))?, read(&self.key(ssl))?);
        Ok(certificate.zip(key).map(|(certificate, key)| Pair { certificate, key }))
    }

    /// Writes both files, the key first: a certificate says that its key is there.
    pub(crate) fn write(&self, ssl: &Path, pair: &Pair) -> io::Result<()> {
        write(&self.key(ssl), &pair.key, Access::Private)?;
        write(&self.certificate(ssl), &pair.certificate, Access::Public)
    }
}

/// The text of a file; none if it is not there.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(named(path, error)),
    }
}

/// Writes a file, and the directories to it that are missing.
pub(crate) fn write(path: &Path, text: &str, access: Access) -> io::Result<()> {
    put(path, text, access).map_err(|error| named(path, error))
}

fn put(path: &Path, text: &str, access: Access) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    make_directory(dir)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    remove_if_there(&temporary)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let mode = match access {
        Access::Private => 0o600,
        Access::Public => 0o644,
    };
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(dir)?.sync_all()
}

fn make_directory(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_directory(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => fs::set_permissions(dir, Permissions::from_mode(0o700)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a file that may not be there.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path, error)),
        _ => Ok(()),
    }
}

/// Removes a directory that may not be there, with all that is in it.
pub(crate) fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path, error)),
        _ => Ok(()),
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
