//! The store of one machine: one file for each record.
//!
//! A record whose only key is its own name, as those of licensing.md §7.1, is the file `<name>`; any
//! other is the folder `<name>` with one file for each key, as a Secret that is mounted. Files are
//! 0600 and folders 0700. Owns the lock that keeps a second process out.
//!
//! Invariant: as long as a [`FileStore`] made by [`FileStore::open`] lives, no other exists for its
//! folder. Source: licensing.md §7.3 (LIC-530, LIC-531).

mod write;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::durable;
use crate::{Record, Store, StoreError, Stored, Version};

/// Records as files of one folder.
#[derive(Clone, Debug)]
pub struct FileStore {
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Held while a record is compared and written.
    writing: Mutex<()>,
    /// Its lock ends with the process, however that ends.
    _lock: Option<File>,
}

impl FileStore {
    /// Opens the folder, which is made if absent, and locks it. Blocks for a disk access.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] if another process has it open; [`StoreError::Io`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        durable::create_private_dir(path).map_err(StoreError::io("make", path))?;
        let lock = lock(&path.join(LOCK_FILE))?;
        Ok(Self::over(path, Some(lock)))
    }

    /// As [`FileStore::open`] without a lock: for a folder that others write, too, such as
    /// `--config DIR`. Comparing and writing is then no single step towards them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn shared(path: &Path) -> Result<Self, StoreError> {
        durable::create_private_dir(path).map_err(StoreError::io("make", path))?;
        Ok(Self::over(path, None))
    }

    fn over(path: &Path, lock: Option<File>) -> Self {
        let folder = Folder { path: path.to_owned(), writing: Mutex::new(()), _lock: lock };
        Self { folder: Arc::new(folder) }
    }

    /// Runs `work`, which waits for the disk, where waiting harms nobody.
    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folder = Arc::clone(&self.folder);
        tokio::task::spawn_blocking(move || work(&folder)).await.map_err(|_| StoreError::Ending)?
    }
}

impl Store for FileStore {
    async fn read(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        let name = name.to_owned();
        self.off_thread(move |folder| folder.read(&name)).await
    }

    async fn create(&self, name: &str, record: Record) -> Result<Version, StoreError> {
        let name = name.to_owned();
        self.off_thread(move |folder| {
            folder.write(&name, &record, |found| match found {
                Some(_) => Err(StoreError::Exists { name: name.clone() }),
                None => Ok(()),
            })
        })
        .await
    }

    async fn replace(
        &self,
        name: &str,
        record: Record,
        version: &Version,
    ) -> Result<Version, StoreError> {
        let (name, version) = (name.to_owned(), version.clone());
        self.off_thread(move |folder| {
            folder.write(&name, &record, |found| match found {
                Some(stored) if stored.version == version => Ok(()),
                Some(_) | None => Err(StoreError::Conflict { name: name.clone() }),
            })
        })
        .await
    }

    async fn put(&self, name: &str, record: Record) -> Result<Version, StoreError> {
        let name = name.to_owned();
        self.off_thread(move |folder| folder.write(&name, &record, |_| Ok(()))).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.off_thread(move |folder| folder.delete(&name)).await
    }

    async fn list(&self) -> Result<Vec<String>, StoreError> {
        self.off_thread(Folder::list).await
    }
}

impl Folder {
    fn read(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        check_name(name)?;
        let path = self.path.join(name);
        let read = |path: &Path| fs::read(path).map_err(StoreError::io("read", path));
        let record = match fs::metadata(&path) {
            // A folder that is gone, as when a disk is not mounted, says nothing about records.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.path.is_dir() => {
                return Ok(None);
            }
            Err(error) => return Err(StoreError::io("read", &path)(error)),
            Ok(found) if found.is_dir() => {
                let mut record = Record::default();
                for key in names(&path)? {
                    let file = path.join(&key);
                    // A folder that a person filled may hold others.
                    if file.is_file() {
                        record = record.with(&key, read(&file)?);
                    }
                }
                record
            }
            Ok(_) => Record::of(name, read(&path)?),
        };
        let version = version(&record);
        Ok(Some(Stored { record, version }))
    }

    /// Writes `record` if `may` allows it for what is there.
    fn write(
        &self,
        name: &str,
        record: &Record,
        may: impl FnOnce(Option<&Stored>) -> Result<(), StoreError>,
    ) -> Result<Version, StoreError> {
        check_name(name)?;
        record.iter().try_for_each(|(key, _)| check_name(key))?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        may(self.read(name)?.as_ref())?;
        let path = self.path.join(name);
        write::record(&path, name, record).map_err(StoreError::io("write", &path))?;
        Ok(version(record))
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path.join(name);
        write::remove(&path)
            .and_then(|()| durable::sync_parent(&path))
            .map_err(StoreError::io("remove", &path))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        names(&self.path)
    }
}

/// The names in a folder that may be records or keys, in order.
fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let failed = || StoreError::io("read", folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let Ok(name) = entry.map_err(failed())?.file_name().into_string() else { continue };
        if check_name(&name).is_ok() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = (1..=253).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with('.')
        && !name.ends_with(durable::ASIDE);
    if good { Ok(()) } else { Err(StoreError::Name { name: name.to_owned() }) }
}

/// Changes with any byte of the contents.
fn version(record: &Record) -> Version {
    use aws_lc_rs::digest::{Context, SHA256};

    let mut hash = Context::new(&SHA256);
    for (key, value) in record.iter() {
        for part in [key.as_bytes(), value] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    Version(hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Takes the lock and writes the own process id into it, for people.
fn lock(path: &Path) -> Result<File, StoreError> {
    let failed = || StoreError::io("lock", path);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            return Err(StoreError::Locked {
                path: path.to_owned(),
                holder: holder.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(failed()(error)),
    }
    // The lock is what counts; a full disk must not keep the program from saying so.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

const LOCK_FILE: &str = ".lock";

#[cfg(test)]
mod tests;
