//! Named records with compare-and-swap: what a program must still know after a restart.
//!
//! Owns the trait [`Store`] and its file form [`FileStore`]; the form over Kubernetes Secrets has the
//! same trait. Knows nothing about what a record means.
//!
//! Invariant: a record is whole or absent; a reader sees the old contents or the new, also after a
//! power loss. Source: licensing.md §7.

pub mod durable;
pub mod error;
pub mod file;
pub mod record;

pub use error::StoreError;
pub use file::FileStore;
pub use record::{Record, Stored, Version};

/// Named records, each of one or more keys. Every write is whole and lasting when it returns.
pub trait Store: Send + Sync + 'static {
    /// The record called `name`, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be read, or `name` is none.
    fn read(&self, name: &str) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Makes the record `name`, which must not be there yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if it is there; it stays as it is.
    fn create(
        &self,
        name: &str,
        record: Record,
    ) -> impl Future<Output = Result<Version, StoreError>> + Send;

    /// Replaces the record `name`, which must still be of version `version`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if it is another one or is gone; it stays as it is.
    fn replace(
        &self,
        name: &str,
        record: Record,
        version: &Version,
    ) -> impl Future<Output = Result<Version, StoreError>> + Send;

    /// Makes or replaces the record `name`, whatever is there: for what is derived from others.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the old contents stay.
    fn put(
        &self,
        name: &str,
        record: Record,
    ) -> impl Future<Output = Result<Version, StoreError>> + Send;

    /// Removes the record `name`; one that is not there is no error.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be written.
    fn delete(&self, name: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The names of all records, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be read.
    fn list(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;
}

#[cfg(test)]
mod suite;
