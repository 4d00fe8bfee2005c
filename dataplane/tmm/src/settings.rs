//! What the process is started with: the directory of `--config`, the environment, the downward API.
//!
//! Owns file names, variables, defaults and their checks; opens no port. The same in a pod and on
//! one machine (OPS-174): `tmm.yaml` is a ConfigMap, `certs/`, `keys/` and `license/` are Secrets,
//! `podinfo/` is the downward API.
//!
//! Sources: operations.md §1.6, §3.2, §4.4 to §4.6, §4.8; licensing.md §12.2.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use spk_entitlement::Identity;
use tmm_wire::PortId;

use crate::cores::{CoreError, CoreSet};
use crate::log::Severity;

/// `tmm.yaml`. Unknown fields are refused with their line.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TmmFile {
    /// UID of the cluster, from which MAC addresses derive.
    pub cluster_uid: String,
    /// gRPC address.
    pub listen: SocketAddr,
    /// Address of `/healthz` and `/readyz`.
    pub probes: SocketAddr,
    /// Address of `/metrics`.
    pub metrics: SocketAddr,
    /// MiB that packet buffers and flow tables may take together, at least 32.
    pub memory: u32,
    /// Whether packet buffers lie in hugepages.
    pub hugepages: bool,
    /// Most flows of each IP version at one time, at least 64.
    pub flows: u32,
    /// Seconds that old flows are served after SIGTERM.
    #[serde(default = "default_drain")]
    pub drain_seconds: u16,
    /// Folder that outlives the process but not the pod; a latched process resumes from what it
    /// holds (licensing.md §12.2, G15). None: it waits for a controller.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// The ports.
    pub ports: Vec<PortEntry>,
}

/// One port of `tmm.yaml`.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PortEntry {
    /// `1.N`, N from 1 to 99.
    pub name: String,
    /// What kind of device it is.
    pub kind: KindWord,
    /// Interface, tap, memif socket, pcap file, vhost path or PCI address.
    #[serde(default)]
    pub device: Option<String>,
}

/// The words for kinds of ports (operations.md §4.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KindWord {
    /// An interface by AF_XDP.
    AfXdp,
    /// An interface by AF_PACKET.
    AfPacket,
    /// A tap that this process makes.
    Tap,
    /// The server's end of a memif.
    Memif,
    /// A ring onto itself.
    Ring,
    /// Frames go nowhere.
    Null,
    /// `device` is `IN,OUT`: frames are read from one capture file and written to another.
    Pcap,
    /// virtio-user towards the host.
    VirtioUser,
    /// A PCI function.
    Pci,
}

/// Everything that the process is started with, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory of `--config`.
    pub directory: PathBuf,
    /// `tmm.yaml`.
    pub file: TmmFile,
    /// Name of the pod.
    pub pod_name: String,
    /// Its UID and namespace.
    pub identity: Identity,
    /// Replica index: annotation `k8s.f5net.com/replica-index`; 0 without one.
    pub replica: u16,
    /// CPUs of packet threads.
    pub cores: CoreSet,
    /// Least severity that is logged.
    pub log_level: Severity,
    /// `TMM_*` variables that nothing reads.
    pub unknown_variables: Vec<String>,
}

/// The process cannot be started as it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A file is missing or unreadable.
    #[error("cannot read {}: {source}; `tmm --help` lists the files of a --config directory", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `tmm.yaml` is not what it must be.
    #[error("{}: {text}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// The reader's words, with the line.
        text: String,
    },
    /// A value is out of range.
    #[error("tmm.yaml: {field}: {text}")]
    Value {
        /// The field.
        field: String,
        /// What is wrong and what is right.
        text: &'static str,
    },
    /// The pod's identity is unknown.
    #[error(
        "{variable} is not set and {} cannot be read: a lease cannot be bound to this process; \
         set the variable or mount the downward API", path.display()
    )]
    Identity {
        /// The variable.
        variable: &'static str,
        /// The file that may stand for it.
        path: PathBuf,
    },
    /// An environment variable has a value that it cannot have.
    #[error("{variable}={value:?}: {text}")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is right.
        text: &'static str,
    },
    /// `PAL_CPU_SET` cannot be used.
    #[error(transparent)]
    Cores(#[from] CoreError),
}

impl SettingsError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "settings_file",
            Self::Yaml { .. } => "settings_yaml",
            Self::Value { .. } => "settings_value",
            Self::Identity { .. } => "settings_identity",
            Self::Variable { .. } => "settings_variable",
            Self::Cores(error) => error.code(),
        }
    }
}

impl Settings {
    /// Reads `directory` and the variables that `variable` gives; `names` are those of all that are
    /// set.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], whose text names the fix.
    pub fn read(
        directory: &Path,
        variable: &dyn Fn(&str) -> Option<String>,
        names: &[String],
    ) -> Result<Self, SettingsError> {
        let file = TmmFile::read(&directory.join("tmm.yaml"))?;
        let of_pod = |name: &'static str, file: &str| {
            let path = directory.join("podinfo").join(file);
            let text = variable(name).or_else(|| fs::read_to_string(&path).ok());
            match text.map(|text| text.trim().to_owned()) {
                Some(text) if !text.is_empty() => Ok(text),
                _ => Err(SettingsError::Identity { variable: name, path }),
            }
        };
        let annotations = fs::read_to_string(directory.join("podinfo/annotations"));
        let known = |name: &String| name.starts_with("TMM_") && !VARIABLES.contains(&&**name);
        Ok(Self {
            pod_name: of_pod("POD_NAME", "name")?,
            identity: Identity {
                pod: of_pod("POD_UID", "uid")?,
                namespace: of_pod("POD_NAMESPACE", "namespace")?,
            },
            replica: replica_index(annotations.as_deref().unwrap_or_default()),
            cores: CoreSet::choose(variable("PAL_CPU_SET").as_deref())?,
            log_level: log_level(variable("TMM_LOG_LEVEL"))?,
            unknown_variables: names.iter().filter(|name| known(name)).cloned().collect(),
            directory: directory.to_owned(),
            file,
        })
    }

    /// The lease key set (licensing.md §12.2, G1).
    #[must_use]
    pub fn trust_anchor(&self) -> PathBuf {
        self.directory.join("license/jwks.json")
    }
}

impl TmmFile {
    fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = fs::read_to_string(path)
            .map_err(|source| SettingsError::File { path: path.to_owned(), source })?;
        let file: Self = serde_saphyr::from_str(&text).map_err(|error| SettingsError::Yaml {
            path: path.to_owned(),
            text: error.to_string(),
        })?;
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<(), SettingsError> {
        let value = |field: &str, text| Err(SettingsError::Value { field: field.to_owned(), text });
        if self.memory < 32 {
            return value("memory", "at least 32 (MiB) are needed");
        }
        if self.flows < 64 {
            return value("flows", "at least 64 are needed");
        }
        if self.ports.is_empty() {
            return value("ports", "at least one port is needed");
        }
        for (index, port) in self.ports.iter().enumerate() {
            let field = format!("ports[{index}]");
            if port.id().is_none() {
                return value(&format!("{field}.name"), "names run from 1.1 to 1.99");
            }
            if self.ports[..index].iter().any(|other| other.name == port.name) {
                return value(&format!("{field}.name"), "is there twice");
            }
            let needs = !matches!(port.kind, KindWord::Ring | KindWord::Null);
            if needs && port.device.as_deref().is_none_or(str::is_empty) {
                return value(&format!("{field}.device"), "this kind of port needs one");
            }
        }
        Ok(())
    }
}

impl PortEntry {
    /// The index of the port: `1.N` is N - 1.
    #[must_use]
    pub fn id(&self) -> Option<PortId> {
        let digits = self.name.strip_prefix("1.")?;
        let plain = digits.len() <= 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
        let number: u8 = digits.parse().ok().filter(|_| plain && !digits.starts_with('0'))?;
        Some(PortId(number - 1))
    }
}

/// The index in the text of the downward API's annotations file.
fn replica_index(annotations: &str) -> u16 {
    annotations
        .lines()
        .find_map(|line| line.strip_prefix("k8s.f5net.com/replica-index="))
        .and_then(|value| value.trim().trim_matches('"').parse().ok())
        .unwrap_or(0)
}

fn log_level(value: Option<String>) -> Result<Severity, SettingsError> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(Severity::Notice);
    };
    Severity::from_word(&value).ok_or(SettingsError::Variable {
        variable: "TMM_LOG_LEVEL",
        value,
        text: "is one of Error, Warning, Notice, Info, Debug",
    })
}

const fn default_drain() -> u16 {
    10
}

/// The `TMM_*` variables that have an effect.
const VARIABLES: [&str; 1] = ["TMM_LOG_LEVEL"];

#[cfg(test)]
mod tests;
