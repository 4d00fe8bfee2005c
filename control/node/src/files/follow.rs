//! Follows the resource directory.
//!
//! Owns when files are read: at a change that the kernel tells (inotify), and every half second for
//! what it does not tell (network file systems). A file is read once it has been quiet for 50 ms, so
//! that one that is still being written is not taken for a short one, and is gone once two readings
//! did not find it, as an editor that replaces it may take it away for a moment.
//! Source: operations.md §1.6 (OPS-170).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use spk_api::LoadError;
use tokio::sync::{mpsc, watch};

use super::catalogue::Catalogue;
use crate::supervisor::SharedEvents;
use spk_controller::{EventKind, EventObject, EventRecord, FactSet, Facts, Vault};

/// The facts of the resource directory.
pub struct FileFacts {
    dir: PathBuf,
    vault: Arc<dyn Vault>,
    catalogue: Catalogue,
    stamps: BTreeMap<String, Stamp>,
    /// Files that the last reading missed.
    missed: BTreeSet<String>,
    revision: u64,
    stored: Vec<u8>,
    views: watch::Sender<Arc<Catalogue>>,
    told: mpsc::Receiver<()>,
    events: SharedEvents,
    complaints: Vec<(String, u64, String)>,
    /// Held so that the kernel goes on telling.
    _watcher: Option<RecommendedWatcher>,
    first: bool,
}

impl std::fmt::Debug for FileFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileFacts").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The resource directory cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}; make the directory or change resourceDir in node.yaml")]
pub struct FollowError {
    /// The directory.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

impl FollowError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "resource_dir"
    }
}

impl FileFacts {
    /// Begins to follow `dir`, with what was accepted before from `vault`. What is wrong with a
    /// file is told to `events`.
    ///
    /// # Errors
    ///
    /// [`FollowError`] if the directory is not readable.
    pub fn open(
        dir: &Path,
        vault: Arc<dyn Vault>,
        events: SharedEvents,
    ) -> Result<Self, FollowError> {
        let failed = |source| FollowError { path: dir.to_owned(), source };
        fs::read_dir(dir).map_err(failed)?;
        let stored = vault.load(RECORD).unwrap_or_else(|error| {
            tracing::error!(%error, "accepted resources of before are lost");
            None
        });
        let catalogue = match stored.as_deref().map(Catalogue::from_record) {
            Some(Ok(catalogue)) => catalogue,
            Some(Err(error)) => {
                tracing::error!(%error, "accepted resources of before are lost");
                Catalogue::default()
            }
            None => Catalogue::default(),
        };
        let (tell, told) = mpsc::channel(1);
        let watcher = watcher(dir, tell);
        let (views, _) = watch::channel(Arc::new(catalogue.clone()));
        Ok(Self {
            dir: dir.to_owned(),
            vault,
            catalogue,
            stamps: BTreeMap::new(),
            missed: BTreeSet::new(),
            revision: 0,
            stored: stored.unwrap_or_default(),
            views,
            told,
            events,
            complaints: Vec::new(),
            _watcher: watcher,
            first: true,
        })
    }

    /// The catalogue after each reading, for the status files.
    #[must_use]
    pub fn views(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.views.subscribe()
    }

    /// Reads what changed; whether anything did.
    fn scan(&mut self) -> io::Result<bool> {
        let mut changed = false;
        let mut present = BTreeSet::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !is_resource_file(&name) {
                continue;
            }
            let path = entry.path();
            // Through links, as mounted ConfigMaps are.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if !metadata.is_file() {
                continue;
            }
            present.insert(name.clone());
            let stamp = Stamp::of(&metadata);
            if self.stamps.get(&name) == Some(&stamp) || stamp.is_fresh() {
                continue;
            }
            match read(&path, stamp.size) {
                Ok(text) => {
                    self.catalogue.take(&name, &text);
                    self.stamps.insert(name, stamp);
                    changed = true;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let problem = error.to_string();
                    self.catalogue.set_broken(&name, LoadError { line: 0, column: 0, problem });
                    self.stamps.insert(name, stamp);
                    changed = true;
                }
            }
        }
        let held = self.catalogue.files().len();
        let missed: BTreeSet<String> = self
            .catalogue
            .files()
            .keys()
            .filter(|name| !present.contains(*name))
            .cloned()
            .collect();
        // What went while nobody looked is gone at the first reading.
        if !self.first {
            present.extend(missed.difference(&self.missed).cloned());
        }
        self.missed = missed.intersection(&present).cloned().collect();
        self.catalogue.retain(&present);
        self.stamps.retain(|name, _| present.contains(name));
        Ok(changed || self.catalogue.files().len() != held)
    }

    fn publish(&mut self) -> FactSet {
        let record = self.catalogue.record();
        if record != self.stored {
            match self.vault.store(RECORD, &record) {
                Ok(()) => self.stored = record,
                Err(error) => tracing::error!(%error, "resources would not survive a restart"),
            }
        }
        let complaints = self.catalogue.complaints();
        for (file, line, problem) in &complaints {
            let complaint = (file.clone(), *line, problem.clone());
            if !self.complaints.contains(&complaint)
                && let Ok(mut events) = self.events.lock()
            {
                events.record(EventRecord {
                    reason: "FileRefused",
                    kind: EventKind::Warning,
                    object: EventObject::new("File", "", file),
                    text: problem.clone(),
                });
            }
        }
        self.complaints = complaints;
        self.revision += 1;
        self.views.send_replace(Arc::new(self.catalogue.clone()));
        self.catalogue.facts(self.revision)
    }
}

impl Facts for FileFacts {
    async fn next(&mut self) -> FactSet {
        loop {
            // It waits for disks, of the directory and of the vault.
            match tokio::task::block_in_place(|| self.scan()) {
                Ok(changed) if changed || self.first => {
                    self.first = false;
                    return tokio::task::block_in_place(|| self.publish());
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(dir = %self.dir.display(), %error, "cannot read resources");
                }
            }
            // A closed channel (no inotify) leaves the timer.
            let wait = if self.missed.is_empty() { RESCAN } else { QUIET };
            let _ = tokio::time::timeout(wait, self.told.recv()).await;
            tokio::time::sleep(QUIET).await;
            while self.told.try_recv().is_ok() {}
        }
    }
}

/// What changes with every write of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file changed less than [`QUIET`] ago.
    fn is_fresh(&self) -> bool {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| i128::try_from(since.as_nanos()).unwrap_or(i128::MAX));
        let changed = i128::from(self.changed.0) * 1_000_000_000 + i128::from(self.changed.1);
        let quiet = i128::try_from(QUIET.as_nanos()).unwrap_or(0);
        // A time in the future is a clock that was set back: do not wait for it.
        (0..quiet).contains(&(now - changed))
    }
}

fn watcher(dir: &Path, tell: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let told = move |event: notify::Result<notify::Event>| {
        let relevant = event.is_ok_and(|event| {
            !matches!(event.kind, notify::EventKind::Access(_))
                && event.paths.iter().any(|path| {
                    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
                        !name.ends_with(STATUS_SUFFIX) && !name.starts_with('.')
                    })
                })
        });
        if relevant {
            // A full channel holds a wake-up already.
            let _ = tell.try_send(());
        }
    };
    let watcher =
        RecommendedWatcher::new(told, notify::Config::default()).and_then(|mut watcher| {
            watcher.watch(dir, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "no word of file changes; looking twice a second");
            None
        }
    }
}

fn is_resource_file(name: &str) -> bool {
    let ours = [".yaml", ".yml", ".json"].iter().any(|suffix| name.ends_with(suffix));
    ours && !name.starts_with('.') && !name.ends_with(STATUS_SUFFIX)
}

fn read(path: &Path, size: u64) -> io::Result<String> {
    if size > FILE_LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "is larger than 16 MiB; split it"));
    }
    fs::read_to_string(path)
}

/// End of the names of status files.
pub const STATUS_SUFFIX: &str = ".status.yaml";
const RECORD: &str = "resources.json";
const QUIET: Duration = Duration::from_millis(50);
const RESCAN: Duration = Duration::from_millis(500);
const FILE_LIMIT: u64 = 16 << 20;

#[cfg(test)]
mod tests;
