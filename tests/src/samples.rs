//! Sample resources as values, to be changed the way an operator would.
//!
//! Reads YAML, writes JSON, which is YAML too.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::programs::samples;

/// The sample resource files, in the order of their names.
///
/// # Errors
///
/// If the folder cannot be read.
pub fn files() -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(samples())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    ensure!(!files.is_empty(), "no samples in {}", samples().display());
    Ok(files)
}

/// Name of a file without its folder.
pub fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// One sample file.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its file name.
    pub name: String,
    /// Its documents.
    pub documents: Vec<Value>,
}

impl Sample {
    /// The sample file that holds the object `kind` called `name`.
    ///
    /// # Errors
    ///
    /// If no sample holds it.
    pub fn holding(kind: &str, name: &str) -> Result<Self> {
        for path in files()? {
            let sample = Self::read(&path)?;
            if sample.documents.iter().any(|document| is(document, kind, name)) {
                return Ok(sample);
            }
        }
        anyhow::bail!("no sample holds {kind} {name}")
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it is no YAML.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)?;
        let documents = serde_saphyr::from_multiple(&text)
            .with_context(|| format!("{} is no YAML", path.display()))?;
        Ok(Self { name: file_name(path), documents })
    }

    /// The text to write into a resource directory.
    pub fn text(&self) -> String {
        self.documents.iter().map(|document| format!("---\n{document:#}\n")).collect()
    }

    /// The object `kind` called `name`, to be changed.
    ///
    /// # Errors
    ///
    /// If the file does not hold it.
    pub fn object(&mut self, kind: &str, name: &str) -> Result<&mut Value> {
        let file = self.name.clone();
        self.documents
            .iter_mut()
            .find(|document| is(document, kind, name))
            .with_context(|| format!("{file} does not hold {kind} {name}"))
    }

    /// Takes the endpoints with these addresses out of all slices of the file.
    pub fn remove_endpoints(&mut self, addresses: &[IpAddr]) {
        for endpoints in self.endpoints() {
            endpoints.retain(|endpoint| !has_address(endpoint, addresses));
        }
    }

    /// Marks the endpoints with these addresses as terminating but still serving.
    pub fn drain_endpoints(&mut self, addresses: &[IpAddr]) {
        for endpoints in self.endpoints() {
            for endpoint in endpoints.iter_mut().filter(|e| has_address(e, addresses)) {
                endpoint["conditions"] =
                    json!({"ready": false, "serving": true, "terminating": true});
            }
        }
    }

    fn endpoints(&mut self) -> impl Iterator<Item = &mut Vec<Value>> {
        self.documents
            .iter_mut()
            .filter(|document| document["kind"] == "EndpointSlice")
            .filter_map(|slice| slice["endpoints"].as_array_mut())
    }
}

fn is(document: &Value, kind: &str, name: &str) -> bool {
    document["kind"] == kind && document["metadata"]["name"] == name
}

fn has_address(endpoint: &Value, addresses: &[IpAddr]) -> bool {
    endpoint["addresses"].as_array().into_iter().flatten().any(|address| {
        address
            .as_str()
            .and_then(|text| text.parse::<IpAddr>().ok())
            .is_some_and(|address| addresses.contains(&address))
    })
}
