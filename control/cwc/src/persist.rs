//! Keeping the machine's state in the store.
//!
//! Owns the write order: `context` first, with its version as precondition (P1), then the
//! projections that changed (P2). Knows what a record is called, not what it means.
//!
//! Invariant: a projection is never newer than `context`. Source: licensing.md §7.1, §7.2.

use std::collections::BTreeMap;
use std::time::Duration;

use spk_license::Stored as Found;
use spk_store::{Record, Store, StoreError, Version};
use tokio::time::sleep;

/// Writes records, and knows what it wrote.
#[derive(Debug)]
pub struct Keeper<S> {
    store: S,
    /// Version of `context` as this process read or wrote it.
    version: Option<Version>,
    /// Contents of the projections as they are stored.
    written: BTreeMap<&'static str, String>,
}

impl<S: Store> Keeper<S> {
    /// Keeps state in `store`.
    #[must_use]
    pub const fn new(store: S) -> Self {
        Self { store, version: None, written: BTreeMap::new() }
    }

    /// Reads `context`; remembers its version.
    pub async fn context(&mut self) -> Found {
        self.version = None;
        match self.store.read(CONTEXT).await {
            Ok(None) => Found::Absent,
            Ok(Some(stored)) => {
                self.version = Some(stored.version);
                stored
                    .record
                    .text(CONTEXT)
                    .map_or(Found::Unreadable, |text| Found::Text(text.to_owned()))
            }
            Err(error) => unreadable(CONTEXT, &error),
        }
    }

    /// Reads another record of one key.
    pub async fn text(&self, name: &'static str) -> Found {
        match self.store.read(name).await {
            Ok(None) => Found::Absent,
            Ok(Some(stored)) => stored
                .record
                .text(name)
                .map_or(Found::Unreadable, |text| Found::Text(text.to_owned())),
            Err(error) => unreadable(name, &error),
        }
    }

    /// Writes `context`; tries 3 times within 2 s (P3).
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if another process wrote it (P4); that of the last try.
    pub async fn keep(&mut self, text: String) -> Result<(), StoreError> {
        let mut pauses = PAUSES.iter();
        loop {
            let record = Record::of(CONTEXT, text.clone());
            let kept = match &self.version {
                Some(version) => self.store.replace(CONTEXT, record, version).await,
                None => self.store.create(CONTEXT, record).await,
            };
            match (kept, pauses.next()) {
                (Ok(version), _) => {
                    self.version = Some(version);
                    return Ok(());
                }
                (Err(StoreError::Exists { name } | StoreError::Conflict { name }), _) => {
                    return Err(StoreError::Conflict { name });
                }
                (Err(error), None) => return Err(error),
                (Err(error), Some(pause)) => {
                    tracing::debug!(%error, "trying again to store {CONTEXT}");
                    sleep(*pause).await;
                }
            }
        }
    }

    /// Writes the projections that differ from what is stored; the first time it looks at all of
    /// them, so that one which a crash or a hand left behind is mended (P2).
    ///
    /// # Errors
    ///
    /// That of the first one that fails; the rest is tried the next time.
    pub async fn project(
        &mut self,
        projections: Vec<(&'static str, String)>,
    ) -> Result<(), StoreError> {
        for (name, text) in projections {
            if self.written.get(name) == Some(&text) {
                continue;
            }
            let known = self.written.contains_key(name);
            let stored = if known { Found::Unreadable } else { self.text(name).await };
            if stored != Found::Text(text.clone()) {
                self.store.put(name, Record::of(name, text.clone())).await?;
            }
            self.written.insert(name, text);
        }
        Ok(())
    }

    /// Makes `name`, which must not be there with other contents (P5).
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if it is; that of the store.
    pub async fn create_once(&self, name: &'static str, text: &str) -> Result<(), StoreError> {
        match self.store.create(name, Record::of(name, text)).await {
            Ok(_) => Ok(()),
            Err(StoreError::Exists { name: there }) => {
                let same = self.text(name).await == Found::Text(text.to_owned());
                if same { Ok(()) } else { Err(StoreError::Exists { name: there }) }
            }
            Err(error) => Err(error),
        }
    }

    /// Puts `text` in the place of whatever `name` holds: for a start over (P6) and a mend (P2).
    ///
    /// # Errors
    ///
    /// That of the store.
    pub async fn replace_once(&self, name: &'static str, text: &str) -> Result<(), StoreError> {
        self.store.put(name, Record::of(name, text)).await.map(drop)
    }
}

fn unreadable(name: &str, error: &StoreError) -> Found {
    tracing::error!(%error, "cannot read record {name}");
    Found::Unreadable
}

/// The record that is the truth.
const CONTEXT: &str = "context";
/// Between three tries.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1_200)];
