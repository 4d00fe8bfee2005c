//! The state directory: the ledger, the signing keys, and the lock.
//!
//! Owns reading, deciding and writing as one step, also between processes: `issue` and `ack` work
//! while `serve` runs. Decides nothing itself.
//!
//! Invariant: what [`StateDir::transact`] returns was stored before. Files are 0600, folders 0700,
//! whole or absent. Source: licensing.md §5.4.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use spk_authority::Ledger;
use spk_authority::ledger::LedgerError;
use spk_jose::{RsaKeyError, RsaKeySet, RsaKeySetError, RsaSigningKey};
use spk_store::durable::{self, Access};

/// A directory with one authority.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

/// The state cannot be read, made or written. Carries no part of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// No authority was made there.
    #[error("{} holds no authority; make one with: spk-authority --state {} keygen",
        path.display(), path.display())]
    Absent {
        /// The directory.
        path: PathBuf,
    },
    /// The system does not read or write.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The ledger is refused.
    #[error("{}: {source}", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// Why.
        source: LedgerError,
    },
    /// A key is refused, or does not sign.
    #[error("key {kid}: {source}")]
    Key {
        /// Its name.
        kid: String,
        /// Why.
        source: RsaKeyError,
    },
    /// There is no such key.
    #[error("there is no key {kid}; spk-authority jwks lists them")]
    NoKey {
        /// Its name.
        kid: String,
    },
    /// There is such a key already.
    #[error("key {kid} is there already; a key is never replaced")]
    KeyExists {
        /// Its name.
        kid: String,
    },
    /// A name that is no file name.
    #[error(
        "{kid:?} is no name of a key: 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.', no dot first"
    )]
    KeyName {
        /// The name.
        kid: String,
    },
    /// The public keys make no set.
    #[error(transparent)]
    KeySet(#[from] RsaKeySetError),
}

impl StateDir {
    /// The directory at `path`, whether or not an authority is there.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Whether an authority was made here.
    pub fn is_made(&self) -> bool {
        self.ledger_file().is_file()
    }

    /// Adds a signing key. The first one makes the authority, which then signs with it and calls
    /// itself `issuer`; later ones sign only from [`Ledger::signing_key`] on.
    pub fn add_key(&self, key: &RsaSigningKey, issuer: &str) -> Result<(), StateError> {
        let kid = key.kid();
        let path = self.key_file(kid)?;
        let folder = self.path.join(KEYS);
        durable::create_private_dir(&folder).map_err(failed("make", &folder))?;
        let _lock = self.lock()?;
        let pem = key.to_pem().map_err(|source| StateError::Key { kid: kid.to_owned(), source })?;
        match durable::create(&path, pem.as_bytes(), Access::Private) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StateError::KeyExists { kid: kid.to_owned() });
            }
            written => written.map_err(failed("write", &path))?,
        }
        if !self.is_made() {
            self.write(&Ledger::new(issuer.to_owned(), kid.to_owned()))?;
        }
        Ok(())
    }

    /// All keys, in order of their names.
    pub fn keys(&self) -> Result<Vec<RsaSigningKey>, StateError> {
        self.read()?;
        let folder = self.path.join(KEYS);
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed("read", &folder))? {
            let name = entry.map_err(failed("read", &folder))?.file_name();
            if let Some(kid) = name.to_str().and_then(|name| name.strip_suffix(PEM)) {
                names.push(kid.to_owned());
            }
        }
        names.sort();
        names.iter().map(|kid| self.key(kid)).collect()
    }

    /// The key called `kid`.
    pub fn key(&self, kid: &str) -> Result<RsaSigningKey, StateError> {
        let path = self.key_file(kid)?;
        let pem = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StateError::NoKey { kid: kid.to_owned() });
            }
            read => read.map_err(failed("read", &path))?,
        };
        RsaSigningKey::from_pem(kid, &pem)
            .map_err(|source| StateError::Key { kid: kid.to_owned(), source })
    }

    /// The public parts of all keys, to verify licences with.
    pub fn key_set(&self) -> Result<RsaKeySet, StateError> {
        Ok(RsaKeySet::parse(&RsaSigningKey::key_set(&self.keys()?))?)
    }

    /// The ledger as it is.
    pub fn read(&self) -> Result<Ledger, StateError> {
        let path = self.ledger_file();
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StateError::Absent { path: self.path.clone() });
            }
            read => read.map_err(failed("read", &path))?,
        };
        Ledger::parse(&text).map_err(|source| StateError::Ledger { path, source })
    }

    /// Reads the ledger, lets `decide` change it, and stores it if that agreed; nobody else does so
    /// in between. Waits for others, and for the disk.
    pub fn transact<T, E>(
        &self,
        decide: impl FnOnce(&mut Ledger) -> Result<T, E>,
    ) -> Result<Result<T, E>, StateError> {
        if !self.is_made() {
            return Err(StateError::Absent { path: self.path.clone() });
        }
        let _lock = self.lock()?;
        let before = self.read()?;
        let mut ledger = before.clone();
        let decided = decide(&mut ledger);
        if decided.is_ok() && ledger != before {
            self.write(&ledger)?;
        }
        Ok(decided)
    }

    fn write(&self, ledger: &Ledger) -> Result<(), StateError> {
        let path = self.ledger_file();
        let text =
            ledger.to_json().map_err(|source| StateError::Ledger { path: path.clone(), source })?;
        durable::write(&path, text.as_bytes(), Access::Private).map_err(failed("write", &path))
    }

    /// Waits until no other process works here; held until the file is dropped.
    fn lock(&self) -> Result<File, StateError> {
        let path = self.path.join(LOCK);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(failed("open", &path))?;
        file.lock().map_err(failed("lock", &path))?;
        Ok(file)
    }

    fn ledger_file(&self) -> PathBuf {
        self.path.join("ledger.json")
    }

    fn key_file(&self, kid: &str) -> Result<PathBuf, StateError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits = (1..=64).contains(&kid.len()) && !kid.starts_with('.');
        if !fits || !kid.chars().all(plain) {
            return Err(StateError::KeyName { kid: kid.to_owned() });
        }
        Ok(self.path.join(KEYS).join(format!("{kid}{PEM}")))
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError + use<> {
    let path = path.to_owned();
    move |source| StateError::Io { action, path, source }
}

const KEYS: &str = "keys";
const PEM: &str = ".pem";
const LOCK: &str = ".lock";
