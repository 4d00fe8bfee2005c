//! What the files of the resource directory say, and what holds while one of them is wrong.
//!
//! Plays the API server's part: gives each object its generation, keeps an object that a new text
//! refuses, and keeps all objects of a file that is no YAML. Does no I/O.
//!
//! Invariant: each (kind, namespace, name) is held once; the first file by name keeps it.
//! Sources: operations.md §1.6 (OPS-170), crds.md §3.2.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spk_api::load::Content;
use spk_api::{Document, Kind, LoadError, Manifest, ObjectId, Problem, load};

use spk_controller::FactSet;

/// Everything that the files say.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    files: BTreeMap<String, FileState>,
}

/// One file.
#[derive(Clone, Debug, Default)]
pub struct FileState {
    /// Why its newest text is not taken at all.
    pub broken: Option<LoadError>,
    /// Its objects, in order.
    pub entries: Vec<Entry>,
}

/// One document of a file.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who it is.
    pub id: EntryId,
    /// Line where it begins.
    pub line: u64,
    /// Rises with each change of its contents, from 1.
    pub generation: i64,
    /// What is wrong with its newest text, if it is no custom resource (those say it themselves).
    pub problems: Vec<Problem>,
    digest: String,
    content: Content,
}

/// Names a document.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct EntryId {
    /// Its kind as written.
    pub kind: String,
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name; empty if it has none.
    pub name: String,
}

impl Entry {
    /// Whether it is of a kind that lives in a namespace and that is looked at.
    #[must_use]
    pub const fn is_namespaced(&self) -> bool {
        match &self.content {
            Content::Resource(_)
            | Content::Service(_)
            | Content::EndpointSlice(_)
            | Content::Pod(_) => true,
            Content::Namespace(_) | Content::Ignored | Content::Refused(_) => false,
        }
    }

    /// The custom resource that it is, if it is one.
    #[must_use]
    pub fn object(&self) -> Option<&ObjectId> {
        match &self.content {
            Content::Resource(manifest) => Some(&manifest.id),
            Content::Service(_)
            | Content::EndpointSlice(_)
            | Content::Pod(_)
            | Content::Namespace(_)
            | Content::Ignored
            | Content::Refused(_) => None,
        }
    }
}

impl Catalogue {
    /// The files by name.
    #[must_use]
    pub const fn files(&self) -> &BTreeMap<String, FileState> {
        &self.files
    }

    /// Takes the new text of file `name`.
    pub fn take(&mut self, name: &str, text: &str) {
        let state = self.files.entry(name.to_owned()).or_default();
        match load(text, DEFAULT_NAMESPACE) {
            Ok(documents) => {
                state.broken = None;
                let mut held: BTreeMap<EntryId, Entry> =
                    state.entries.drain(..).map(|entry| (entry.id.clone(), entry)).collect();
                let lines: Vec<&str> = text.lines().collect();
                let starts: Vec<u64> = documents.iter().map(|document| document.line).collect();
                for (at, document) in documents.into_iter().enumerate() {
                    let own = slice(&lines, document.line, starts.get(at + 1).copied());
                    let id = EntryId {
                        kind: document.kind.clone(),
                        namespace: document.namespace.clone(),
                        name: document.name.clone(),
                    };
                    let before = held.remove(&id);
                    state.entries.push(renew(id, document, &own, before));
                }
            }
            Err(error) => state.broken = Some(error),
        }
    }

    /// Takes that the new text of file `name` is not readable; its objects stay.
    pub fn set_broken(&mut self, name: &str, error: LoadError) {
        self.files.entry(name.to_owned()).or_default().broken = Some(error);
    }

    /// Takes that only the files `names` are there.
    pub fn retain(&mut self, names: &BTreeSet<String>) {
        self.files.retain(|name, _| names.contains(name));
    }

    /// The whole set of facts. The second of two objects with one name is left out.
    #[must_use]
    pub fn facts(&self, revision: u64) -> FactSet {
        let mut facts = FactSet { revision, ..FactSet::default() };
        let mut seen = BTreeSet::new();
        for entry in self.files.values().flat_map(|file| &file.entries) {
            if entry.id.name.is_empty() || !seen.insert(&entry.id) {
                continue;
            }
            match &entry.content {
                Content::Resource(manifest) => {
                    let mut manifest = manifest.as_ref().clone();
                    manifest.meta.generation = Some(entry.generation);
                    facts.manifests.push(manifest);
                }
                Content::Service(service) => facts.services.push(service.as_ref().clone()),
                Content::EndpointSlice(slice) => facts.slices.push(slice.as_ref().clone()),
                Content::Pod(pod) => facts.pods.push(pod.as_ref().clone()),
                Content::Namespace(_) | Content::Ignored | Content::Refused(_) => {}
            }
        }
        facts
    }

    /// Files whose object another file, earlier by name, holds already: (file, object, that file).
    #[must_use]
    pub fn doubles(&self) -> BTreeMap<(&str, &EntryId), &str> {
        let mut first = BTreeMap::new();
        let mut doubles = BTreeMap::new();
        for (name, file) in &self.files {
            for entry in file.entries.iter().filter(|entry| !entry.id.name.is_empty()) {
                match first.get(&entry.id) {
                    Some(holder) => {
                        doubles.insert((name.as_str(), &entry.id), *holder);
                    }
                    None => {
                        first.insert(&entry.id, name.as_str());
                    }
                }
            }
        }
        doubles
    }

    /// What is wrong with files and documents: file, line, problem. What is wrong with a custom
    /// resource stands in its status.
    #[must_use]
    pub fn complaints(&self) -> Vec<(String, u64, String)> {
        let mut found = Vec::new();
        for (name, file) in &self.files {
            let broken = file.broken.iter();
            found.extend(broken.map(|error| (name.clone(), error.line, error.to_string())));
            for entry in &file.entries {
                let problems = entry.problems.iter();
                found.extend(
                    problems.map(|problem| (name.clone(), entry.line, problem.to_string())),
                );
            }
        }
        found
    }

    /// What must survive a restart.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let files: BTreeMap<&String, Vec<Record>> = self
            .files
            .iter()
            .map(|(name, file)| (name, file.entries.iter().map(Record::of).collect()))
            .collect();
        serde_json::to_vec(&files).unwrap_or_default()
    }

    /// Reads what [`Catalogue::record`] gave.
    ///
    /// # Errors
    ///
    /// The JSON error of a broken record.
    pub fn from_record(record: &[u8]) -> Result<Self, serde_json::Error> {
        let files: BTreeMap<String, Vec<Record>> = serde_json::from_slice(record)?;
        let files = files
            .into_iter()
            .map(|(name, records)| {
                let entries = records.into_iter().filter_map(Record::entry).collect();
                (name, FileState { broken: None, entries })
            })
            .collect();
        Ok(Self { files })
    }
}

/// The entry of a new document, which follows `before`.
fn renew(id: EntryId, document: Document, text: &str, before: Option<Entry>) -> Entry {
    let line = document.line;
    if let Content::Refused(problems) = document.content {
        return match before {
            // The object stays as it was, as an API server leaves it when it refuses a write.
            Some(entry) if !id.name.is_empty() => Entry { line, problems, ..entry },
            Some(_) | None => Entry {
                id,
                line,
                generation: 0,
                digest: String::new(),
                content: Content::Refused(problems.clone()),
                problems,
            },
        };
    }
    let digest = fingerprint(&document.content, text);
    let generation = match &before {
        Some(entry) if entry.digest == digest => entry.generation,
        Some(entry) => entry.generation.saturating_add(1),
        None => 1,
    };
    Entry { id, line, generation, problems: Vec::new(), digest, content: document.content }
}

/// Changes with the contents of an object, not with its metadata, comments or layout. The text
/// stands in where an object has no contents to show.
fn fingerprint(content: &Content, text: &str) -> String {
    let value = value(content).map(|mut value| {
        if let Some(object) = value.as_object_mut() {
            object.remove("metadata");
        }
        value.to_string()
    });
    let hash = digest(&SHA256, value.as_deref().unwrap_or(text).as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn value(content: &Content) -> Option<Value> {
    let of = |version: &str, kind: &str, value: Result<Value, serde_json::Error>| {
        let mut value = value.ok()?;
        let object = value.as_object_mut()?;
        object.insert("apiVersion".to_owned(), version.into());
        object.insert("kind".to_owned(), kind.into());
        Some(value)
    };
    match content {
        Content::Resource(manifest) => manifest.to_value(),
        Content::Service(object) => of("v1", "Service", serde_json::to_value(object)),
        Content::Pod(object) => of("v1", "Pod", serde_json::to_value(object)),
        Content::Namespace(object) => of("v1", "Namespace", serde_json::to_value(object)),
        Content::EndpointSlice(object) => {
            of("discovery.k8s.io/v1", "EndpointSlice", serde_json::to_value(object))
        }
        Content::Ignored | Content::Refused(_) => None,
    }
}

/// The lines of a document: from `line` up to the next one's.
fn slice(lines: &[&str], line: u64, next: Option<u64>) -> String {
    let index = |line: u64| usize::try_from(line.saturating_sub(1)).unwrap_or(0).min(lines.len());
    let end = next.map_or(lines.len(), index).max(index(line));
    lines[index(line)..end].join("\n")
}

/// An entry as it is stored.
#[derive(Serialize, Deserialize)]
struct Record {
    id: EntryId,
    line: u64,
    generation: i64,
    digest: String,
    /// None if there is nothing to read back: an object whose text was refused.
    value: Option<Value>,
}

impl Record {
    fn of(entry: &Entry) -> Self {
        Self {
            id: entry.id.clone(),
            line: entry.line,
            generation: entry.generation,
            digest: entry.digest.clone(),
            value: value(&entry.content),
        }
    }

    fn entry(self) -> Option<Entry> {
        let content = match &self.value {
            Some(value) => load(&value.to_string(), &self.id.namespace).ok()?.pop()?.content,
            None => Content::Resource(Box::new(refused(&self.id)?)),
        };
        Some(Entry {
            id: self.id,
            line: self.line,
            generation: self.generation,
            problems: Vec::new(),
            digest: self.digest,
            content,
        })
    }
}

/// A custom resource whose text was refused and is not known any more.
fn refused(id: &EntryId) -> Option<Manifest> {
    let kind = Kind::from_name(&id.kind)?;
    let problem = "is not readable since the restart";
    Some(Manifest {
        id: ObjectId { kind, namespace: id.namespace.clone(), name: id.name.clone() },
        meta: ObjectMeta {
            name: Some(id.name.clone()),
            namespace: Some(id.namespace.clone()),
            ..ObjectMeta::default()
        },
        content: Err(vec![Problem::invalid(
            &spk_api::Path::root(),
            "unreadable",
            problem,
            "mend the file",
        )]),
    })
}

/// Namespace of objects that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

#[cfg(test)]
mod tests;
