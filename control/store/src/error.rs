//! Why a store does not do what it is asked.

use std::io;
use std::path::{Path, PathBuf};

/// A store refuses or fails. No text holds a part of a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A name or key that no record may have.
    #[error(
        "{name:?} is no name of a record: 1 to 253 of a-z, A-Z, 0-9, '-', '_' and '.', no dot first"
    )]
    Name {
        /// The name or key.
        name: String,
    },
    /// A record that must be new is there already.
    #[error("record {name} exists already")]
    Exists {
        /// Its name.
        name: String,
    },
    /// A record changed since it was read: somebody else writes, too.
    #[error("record {name} was changed or removed by somebody else")]
    Conflict {
        /// Its name.
        name: String,
    },
    /// No space, inodes or quota are left.
    #[error("no space left for {}: {source}; free disk space there", path.display())]
    Full {
        /// What could not be written.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process holds the store.
    #[error("{} is held by another process{}", path.display(), holder_text(*.holder))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Process id of the holder, if it wrote it.
        holder: Option<u32>,
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
    /// The thread that did the work is gone.
    #[error("the program is ending")]
    Ending,
}

impl StoreError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Name { .. } => "store_name",
            Self::Exists { .. } => "store_exists",
            Self::Conflict { .. } => "store_conflict",
            Self::Full { .. } => "store_full",
            Self::Locked { .. } => "store_locked",
            Self::Io { .. } => "store_io",
            Self::Ending => "store_ending",
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, source }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}
