//! The vault of one machine: files of mode 0600 under `<state>/vault/`.
//!
//! Source: licensing.md §7.3 (file store), architecture.md §6.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use spk_controller::{Vault, VaultError};
use spk_store::durable::{self, Access};

/// Records as files of one folder.
#[derive(Clone, Debug)]
pub struct FileVault {
    dir: PathBuf,
}

impl FileVault {
    /// Opens the folder, which is made if absent (0700).
    ///
    /// # Errors
    ///
    /// [`VaultError`] if it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, VaultError> {
        durable::create_private_dir(dir)
            .map_err(|source| VaultError { name: dir.display().to_string(), source })?;
        Ok(Self { dir: dir.to_owned() })
    }
}

impl Vault for FileVault {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        match fs::read(self.dir.join(name)) {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(VaultError { name: name.to_owned(), source }),
        }
    }

    fn remove(&self, name: &str) -> Result<(), VaultError> {
        match fs::remove_file(self.dir.join(name)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(VaultError { name: name.to_owned(), source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn store(&self, name: &str, record: &[u8]) -> Result<(), VaultError> {
        let failed = |source| VaultError { name: name.to_owned(), source };
        let path = self.dir.join(name);
        // A record of a Secret lies in a folder of the Secret's name.
        if let Some(folder) = path.parent() {
            durable::create_private_dir(folder).map_err(failed)?;
        }
        durable::write(&path, record, Access::Private).map_err(failed)
    }
}
