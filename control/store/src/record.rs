//! One record and its version.

use std::collections::BTreeMap;
use std::fmt;

/// The contents of a record: bytes by key, as in the `data` of a Kubernetes Secret. Its debug form
/// shows the keys and never a value.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Record {
    data: BTreeMap<String, Vec<u8>>,
}

impl Record {
    /// A record with one key.
    #[must_use]
    pub fn of(key: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { data: BTreeMap::from([(key.to_owned(), value.into())]) }
    }

    /// This record with `key` set to `value`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Vec<u8>>) -> Self {
        self.data.insert(key.to_owned(), value.into());
        self
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.data.get(key).map(Vec::as_slice)
    }

    /// The value of `key` if it is UTF-8 text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.get(key)?).ok()
    }

    /// Keys and values, in order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.data.iter().map(|(key, value)| (key.as_str(), value.as_slice()))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.data.keys()).finish()
    }
}

/// Which contents of a record were read or written. Two equal versions of one record have equal
/// contents; nothing else can be told from it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Version(pub(crate) String);

/// A record as it was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// Its contents.
    pub record: Record,
    /// The version to give to [`replace`](crate::Store::replace).
    pub version: Version,
}
