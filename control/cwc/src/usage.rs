//! Counting usage: the three values that are billed.
//!
//! Owns the count on one machine. When it is done, and what becomes of it, is `spk_license`'s.
//! Source: licensing.md §2.3 (`usage`, LIC-141), operations.md §1.6 (OPS-178).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use spk_api::load::{Content, load};
use spk_license::calendar::samples::Usage;

/// Where usage is counted.
pub trait UsageSource: Send + Sync + 'static {
    /// Counts now.
    fn count(&self) -> impl Future<Output = Result<Usage, UsageError>> + Send;
}

/// Usage cannot be counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// Something cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The kernel's list of processors makes no sense.
    #[error("{text:?} is no list of processors")]
    Processors {
        /// The list.
        text: String,
    },
    /// The program is ending.
    #[error("the program is ending")]
    Ending,
}

impl UsageError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "usage_unavailable"
    }
}

/// Usage of one machine: its online processors, and the custom resources in a folder of YAML files.
#[derive(Clone, Debug)]
pub struct MachineUsage {
    resources: Option<PathBuf>,
}

impl MachineUsage {
    /// Counts the resources of `resources`; without a folder there are none.
    #[must_use]
    pub const fn new(resources: Option<PathBuf>) -> Self {
        Self { resources }
    }
}

impl UsageSource for MachineUsage {
    async fn count(&self) -> Result<Usage, UsageError> {
        let resources = self.resources.clone();
        tokio::task::spawn_blocking(move || {
            let cpu_count = online_processors()?;
            let (unique_crds, total_crds) = match &resources {
                Some(dir) => resources_of(dir)?,
                None => (0, 0),
            };
            Ok(Usage { cpu_count, unique_crds, total_crds })
        })
        .await
        .map_err(|_| UsageError::Ending)?
    }
}

fn online_processors() -> Result<u64, UsageError> {
    let path = Path::new("/sys/devices/system/cpu/online");
    let text = fs::read_to_string(path)
        .map_err(|source| UsageError::Io { path: path.to_owned(), source })?;
    processors(text.trim()).ok_or(UsageError::Processors { text })
}

/// How many processors a list such as `0-3,6` names.
fn processors(list: &str) -> Option<u64> {
    list.split(',').try_fold(0_u64, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// How many kinds have an object, and how many objects there are. An object that two files hold is
/// one; a file that is no YAML holds none.
fn resources_of(dir: &Path) -> Result<(u64, u64), UsageError> {
    let failed = |source| UsageError::Io { path: dir.to_owned(), source };
    let mut objects = BTreeSet::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !is_resource_file(&path) {
            continue;
        }
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // It went meanwhile, or is no text.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) =>
            {
                continue;
            }
            Err(source) => return Err(UsageError::Io { path, source }),
        };
        for document in load(&text, DEFAULT_NAMESPACE).unwrap_or_default() {
            if let Content::Resource(_) = document.content {
                objects.insert((document.kind, document.namespace, document.name));
            }
        }
    }
    let kinds: BTreeSet<&String> = objects.iter().map(|(kind, _, _)| kind).collect();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Ok((count(kinds.len()), count(objects.len())))
}

/// The same files that `spk-node` reads (operations.md §1.6).
fn is_resource_file(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let ours = [".yaml", ".yml", ".json"].iter().any(|suffix| name.ends_with(suffix));
    ours && !name.starts_with('.') && !name.ends_with(".status.yaml")
}

/// Namespace of objects that name none, as with `kubectl`.
const DEFAULT_NAMESPACE: &str = "default";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_in_ranges_and_single_ones() {
        assert_eq!(processors("0"), Some(1));
        assert_eq!(processors("0-3"), Some(4));
        assert_eq!(processors("0-1,4,6-7"), Some(5));
        for text in ["", "a", "3-1", "0-", "0,,1"] {
            assert_eq!(processors(text), None, "{text}");
        }
    }

    const VLAN: &str = "apiVersion: k8s.f5net.com/v1\nkind: F5SPKVlan\nmetadata:\n  name: NAME\n\
                        spec:\n  name: v\n";

    /// LIC-141 (one machine), OPS-178: kinds and objects of our API groups, each object once.
    #[test]
    fn custom_resources_of_the_folder_are_counted_once_each() {
        let dir = tempfile::TempDir::new().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let vlan = |name: &str| VLAN.replace("NAME", name);
        assert_eq!(resources_of(dir.path()).unwrap(), (0, 0));
        write("a.yaml", &format!("{}---\n{}", vlan("one"), vlan("two")));
        write("b.yml", &vlan("one"));
        write("c.yaml", "kind: Service\napiVersion: v1\nmetadata:\n  name: s\n");
        write("d.yaml", ": no yaml [");
        write("a.status.yaml", &vlan("status"));
        write(".hidden.yaml", &vlan("hidden"));
        assert_eq!(resources_of(dir.path()).unwrap(), (1, 2));
        write("e.yaml", &vlan("three").replace("F5SPKVlan", "F5SPKStaticRoute"));
        assert_eq!(resources_of(dir.path()).unwrap(), (2, 3));
        fs::remove_file(dir.path().join("a.yaml")).unwrap();
        assert_eq!(resources_of(dir.path()).unwrap(), (2, 2));
    }

    #[test]
    fn a_missing_folder_is_an_error_and_not_zero() {
        let dir = tempfile::TempDir::new().unwrap();
        assert!(resources_of(&dir.path().join("none")).is_err());
    }
}
