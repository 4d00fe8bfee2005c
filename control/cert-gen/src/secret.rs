//! A Secret of Kubernetes, as a manifest and as a directory.
//!
//! Source: operations.md §3.2 (OPS-310), §1.6 (OPS-174).

use std::fmt;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::tree;

/// A Secret. Its debug form shows no value.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Its data keys and values.
    pub data: Vec<(String, String)>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.data.iter().map(|(key, _)| key).collect();
        f.debug_struct("Secret").field("name", &self.name).field("keys", &keys).finish()
    }
}

impl Secret {
    /// Its manifest; without `namespace` it is applied with `-n`.
    #[must_use]
    pub fn to_yaml(&self, namespace: Option<&str>) -> String {
        let mut text = format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\n", self.name);
        if let Some(namespace) = namespace {
            text.push_str(&format!("  namespace: {namespace}\n"));
        }
        text.push_str("type: Opaque\ndata:\n");
        for (key, value) in &self.data {
            text.push_str(&format!("  {key}: {}\n", STANDARD.encode(value)));
        }
        text
    }

    /// Writes the directory that a process gets instead of the mount: `<dir>/<name>/<data key>`,
    /// files 0600, the directory 0700.
    ///
    /// # Errors
    ///
    /// The system's, if a file cannot be written.
    pub fn write_directory(&self, dir: &Path) -> io::Result<()> {
        for (key, value) in &self.data {
            tree::write(&dir.join(&self.name).join(key), value, tree::Access::Private)?;
        }
        Ok(())
    }
}

/// Writes the manifest of `secret` to `path`, 0600.
///
/// # Errors
///
/// The system's, if the file cannot be written.
pub fn write_manifest(path: &Path, secret: &Secret, namespace: Option<&str>) -> io::Result<()> {
    tree::write(path, &secret.to_yaml(namespace), tree::Access::Private)
}
