//! `<file>.status.yaml` beside each file of the resource directory.
//!
//! Owns their contents and when they are written: at once after a change, then at most once a
//! second. They are output only; nothing reads them.
//! Sources: operations.md §1.6 (OPS-170, OPS-176), crds.md §4.1 (CHK-019).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use spk_api::ObjectId;
use spk_api::status::Status;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::catalogue::{Catalogue, Entry, EntryId, FileState};
use super::follow::STATUS_SUFFIX;
use spk_controller::{LicenceStatus, PodStatus, Statuses};
use spk_store::durable::{self, Access};

/// Takes statuses and writes them beside the files.
#[derive(Debug)]
pub struct StatusFiles {
    news: Arc<News>,
    task: JoinHandle<()>,
}

/// What the writer did not take yet: the newest of each object, however often it changes.
#[derive(Debug, Default)]
struct News {
    unread: Mutex<Unread>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Unread {
    statuses: BTreeMap<ObjectId, Option<Status>>,
    pods: Option<Vec<PodStatus>>,
    licence: Option<LicenceStatus>,
}

impl News {
    fn tell(&self, change: impl FnOnce(&mut Unread)) {
        // Whoever panicked left whole values.
        change(&mut self.unread.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    fn take(&self) -> Unread {
        std::mem::take(&mut self.unread.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl StatusFiles {
    /// Writes into `dir`, for the files of `views`. `served`
    /// are the namespaces of TMM and applications.
    #[must_use]
    pub fn start(
        dir: &Path,
        views: watch::Receiver<Arc<Catalogue>>,
        served: BTreeSet<String>,
    ) -> Self {
        let news = Arc::new(News::default());
        let writer = Writer {
            dir: dir.to_owned(),
            licence: None,
            served,
            catalogue: Arc::default(),
            statuses: BTreeMap::new(),
            pods: Vec::new(),
            written: BTreeMap::new(),
        };
        let task = tokio::spawn(writer.run(Arc::clone(&news), views));
        Self { news, task }
    }
}

impl Drop for StatusFiles {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Statuses for StatusFiles {
    fn put(&mut self, object: &ObjectId, status: Option<&Status>) {
        self.news.tell(|unread| {
            unread.statuses.insert(object.clone(), status.cloned());
        });
    }

    fn put_pods(&mut self, pods: &[PodStatus]) {
        self.news.tell(|unread| unread.pods = Some(pods.to_vec()));
    }

    fn put_licence(&mut self, licence: &LicenceStatus) {
        self.news.tell(|unread| unread.licence = Some(licence.clone()));
    }
}

struct Writer {
    dir: PathBuf,
    licence: Option<LicenceStatus>,
    served: BTreeSet<String>,
    catalogue: Arc<Catalogue>,
    statuses: BTreeMap<ObjectId, Status>,
    pods: Vec<PodStatus>,
    /// Text and time of the last writing, by file.
    written: BTreeMap<String, (String, Instant)>,
}

impl Writer {
    async fn run(mut self, news: Arc<News>, mut views: watch::Receiver<Arc<Catalogue>>) {
        views.mark_changed();
        let mut due: Option<Instant> = None;
        loop {
            tokio::select! {
                () = news.wake.notified() => self.take(news.take()),
                Ok(()) = views.changed() => {
                    self.catalogue = Arc::clone(&views.borrow_and_update());
                }
                () = at(due) => {
                    // It waits for a disk.
                    due = tokio::task::block_in_place(|| self.write(Instant::now()));
                    continue;
                }
            }
            let soon = Instant::now() + SETTLE;
            due = Some(due.map_or(soon, |due| due.min(soon)));
        }
    }

    fn take(&mut self, unread: Unread) {
        for (id, status) in unread.statuses {
            match status {
                Some(status) => self.statuses.insert(id, status),
                None => self.statuses.remove(&id),
            };
        }
        if let Some(pods) = unread.pods {
            self.pods = pods;
        }
        if let Some(licence) = unread.licence {
            self.licence = Some(licence);
        }
    }

    /// Writes what changed and may be written; when the next writing is due.
    fn write(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut later = |at: Instant| next = Some(next.map_or(at, |next| next.min(at)));
        let doubles = self.catalogue.doubles();
        for (name, file) in self.catalogue.files() {
            let text = self.text(name, file, &doubles);
            if let Some((before, when)) = self.written.get(name) {
                if *before == text {
                    continue;
                }
                let allowed = *when + SPACING;
                if allowed > now {
                    later(allowed);
                    continue;
                }
            }
            let path = self.dir.join(format!("{name}{STATUS_SUFFIX}"));
            match durable::write_unsynced(&path, text.as_bytes(), Access::Public) {
                Ok(()) => {
                    self.written.insert(name.clone(), (text, now));
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "status is not written");
                    later(now + SPACING);
                }
            }
        }
        self.remove_orphans();
        next
    }

    /// A file that is gone takes its status with it, also one that went while nobody looked.
    fn remove_orphans(&mut self) {
        let files = self.catalogue.files();
        self.written.retain(|name, _| files.contains_key(name));
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Some(owner) = name.strip_suffix(STATUS_SUFFIX) else { continue };
            if !files.contains_key(owner)
                && let Err(error) = fs::remove_file(entry.path())
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(name, %error, "status stays");
            }
        }
    }

    fn text(
        &self,
        name: &str,
        file: &FileState,
        doubles: &BTreeMap<(&str, &EntryId), &str>,
    ) -> String {
        let objects = file
            .entries
            .iter()
            .map(|entry| self.object(entry, doubles.get(&(name, &entry.id)).copied()))
            .collect();
        let page = Page {
            licence: self.licence.as_ref(),
            broken: file.broken.as_ref().map(|error| format!("{error}; {STAYS}")),
            objects,
            pods: &self.pods,
        };
        match serde_saphyr::to_string(&page) {
            Ok(text) => format!("{HEAD}{text}"),
            Err(error) => format!("{HEAD}broken: {:?}\n", error.to_string()),
        }
    }

    fn object<'a>(&'a self, entry: &'a Entry, holder: Option<&str>) -> Object<'a> {
        let mut problems: Vec<String> = entry.problems.iter().map(ToString::to_string).collect();
        if let Some(holder) = holder {
            problems
                .push(format!("file {holder} holds this object already; remove one of the two"));
        }
        if entry.is_namespaced() && !self.served.contains(&entry.id.namespace) {
            problems.push(format!(
                "namespace {} is ignored; name it in appNamespaces of node.yaml",
                entry.id.namespace
            ));
        }
        let status = entry.object().filter(|_| holder.is_none());
        Object {
            kind: &entry.id.kind,
            namespace: &entry.id.namespace,
            name: &entry.id.name,
            line: entry.line,
            problems,
            status: status.and_then(|id| self.statuses.get(id)),
        }
    }
}

#[derive(Serialize)]
struct Page<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<&'a LicenceStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<String>,
    objects: Vec<Object<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pods: &'a [PodStatus],
}

#[derive(Serialize)]
struct Object<'a> {
    kind: &'a str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    line: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a Status>,
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

const HEAD: &str = "# Written by spk-node; changes here have no effect.\n";
const STAYS: &str = "the objects of the last good text stay in force";
/// Between two writings of one file.
const SPACING: Duration = Duration::from_secs(1);
/// Updates that come together make one writing.
const SETTLE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_that_could_not_be_written_is_written_when_it_can_be() {
        let root = tempfile::tempdir().unwrap();
        let mut catalogue = Catalogue::default();
        catalogue.take("a.yaml", "");
        let mut writer = Writer {
            dir: root.path().join("absent"),
            licence: Some(LicenceStatus { class: String::from("trial"), ..Default::default() }),
            served: BTreeSet::new(),
            catalogue: Arc::new(catalogue),
            statuses: BTreeMap::new(),
            pods: Vec::new(),
            written: BTreeMap::new(),
        };
        let now = Instant::now();
        assert_eq!(writer.write(now), Some(now + SPACING));
        fs::create_dir(&writer.dir).unwrap();
        assert_eq!(writer.write(now + SPACING), None);
        let text = fs::read_to_string(writer.dir.join("a.yaml.status.yaml")).unwrap();
        assert!(text.contains("class: trial"), "{text}");
    }
}
