//! `node.yaml`: what one machine runs.
//!
//! Owns the shape, the defaults and the checks of the file. Reads and writes nothing else; the tree
//! that is made from it is [`crate::layout`]'s.
//!
//! Invariant: a [`NodeSettings`] has at least one replica, distinct indices, cores and addresses, and
//! ports named `1.1` to `1.99` once each.
//! Sources: operations.md §1.6 (OPS-174, OPS-175), §4.4, §4.6, §4.8.

mod cwc;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use cwc::{CwcSettings, RabbitmqSettings};

/// The documented example, as `spk-node example` prints it.
pub const EXAMPLE: &str = include_str!("settings/node.example.yaml");

/// The whole of `node.yaml`. Unknown fields are refused with their line.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodeSettings {
    /// Stands for the cluster's UID; MACs and hash keys derive from it (OPS-463).
    pub uid: Uuid,
    /// Namespace of the TMM and of network resources (OPS-121).
    pub tmm_namespace: String,
    /// Namespaces of applications (OPS-120).
    #[serde(default)]
    pub app_namespaces: Vec<String>,
    /// Where everything lies that must survive a restart.
    pub state_dir: PathBuf,
    /// Directory of resources, followed (OPS-170).
    pub resource_dir: PathBuf,
    /// Address of `/healthz` and `/readyz`; loopback. Default 127.0.0.3:8081 (OPS-175).
    #[serde(default = "default_probes")]
    pub probes: SocketAddr,
    /// Address of `/metrics`; loopback. Default 127.0.0.3:9090 (OPS-175).
    #[serde(default = "default_metrics")]
    pub metrics: SocketAddr,
    /// Name of the Helm release that this machine stands for; default `f5ingress`. Events name
    /// Deployment `<release>-f5ingress`.
    #[serde(default = "default_release")]
    pub release: String,
    /// The licence plane; without it nothing may pass but what spk-node itself signs.
    #[serde(default)]
    pub cwc: Option<CwcSettings>,
    /// The broker, if spk-node runs it.
    #[serde(default)]
    pub rabbitmq: Option<RabbitmqSettings>,
    /// What all TMMs have in common.
    #[serde(default)]
    pub tmm: TmmSettings,
    /// One TMM each; at least one.
    pub replicas: Vec<ReplicaSettings>,
}

/// What all TMMs of a machine have in common.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct TmmSettings {
    /// The program; `tmm` beside spk-node if unset.
    pub binary: Option<PathBuf>,
    /// Least severity that is logged. Default Notice.
    pub log_level: LogLevel,
    /// Seconds of drain after SIGTERM, 0 to 600. Default 10 (OPS-161).
    pub drain_seconds: u16,
    /// Bound of one log file in MiB, 1 to 1024; one older file is kept. Default 32.
    pub log_limit: u16,
}

impl Default for TmmSettings {
    fn default() -> Self {
        Self { binary: None, log_level: LogLevel::Notice, drain_seconds: 10, log_limit: 32 }
    }
}

/// `TMM_LOG_LEVEL` (operations.md §4.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub enum LogLevel {
    /// syslog 3.
    Error,
    /// syslog 4.
    Warning,
    /// syslog 5.
    Notice,
    /// syslog 6.
    Info,
    /// syslog 7.
    Debug,
}

impl LogLevel {
    /// The word of the environment variable.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Warning => "Warning",
            Self::Notice => "Notice",
            Self::Info => "Info",
            Self::Debug => "Debug",
        }
    }
}

/// One TMM.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReplicaSettings {
    /// Replica index, 0 to 63; picks the entry of per-replica lists (OPS-460).
    pub index: u16,
    /// CPUs for packet threads, at least one.
    pub cores: Vec<u16>,
    /// MiB reserved at start, at least 32. Default 512.
    #[serde(default = "default_memory")]
    pub memory: u32,
    /// Whether memory comes from hugepages. Default true.
    #[serde(default = "default_hugepages")]
    pub hugepages: bool,
    /// Flow-table size: most flows at one time, at least 64. Default 65,536.
    #[serde(default = "default_flows")]
    pub flows: u32,
    /// gRPC address. Default 127.0.0.(4 + index):8750.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Address of the probes. Default 127.0.0.(4 + index):8081.
    #[serde(default)]
    pub probes: Option<SocketAddr>,
    /// Address of the metrics. Default 127.0.0.(4 + index):9090.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// Ports; at least one.
    pub ports: Vec<PortSettings>,
}

/// One port of a TMM.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PortSettings {
    /// `1.N`, N from 1 to 99, as F5SPKVlan names it.
    pub name: String,
    /// What kind of device it is.
    pub kind: PortKind,
    /// Interface, memif socket, pcap file or PCI address; none for ring and null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// Kinds of ports (operations.md §4.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PortKind {
    /// An interface by AF_XDP.
    AfXdp,
    /// An interface by AF_PACKET.
    AfPacket,
    /// A tap that the TMM makes; `device` is its name.
    Tap,
    /// A memif server; `device` is its socket.
    Memif,
    /// A ring onto itself (tests and benches).
    Ring,
    /// Frames go nowhere (tests and benches).
    Null,
    /// Frames from one capture file and to another (tests); `device` is `IN,OUT`.
    Pcap,
    /// virtio-user towards the host; `device` is the vhost path.
    VirtioUser,
    /// A PCI function; `device` is its address.
    Pci,
}

impl PortKind {
    /// Whether this kind has a device.
    #[must_use]
    pub const fn has_device(self) -> bool {
        !matches!(self, Self::Ring | Self::Null)
    }

    /// Characters that would end a device name inside the device arguments.
    const fn forbidden(self) -> &'static [char] {
        // A pcap port names two files: `IN,OUT`.
        if matches!(self, Self::Pcap) { &[' '] } else { &[' ', ','] }
    }
}

impl ReplicaSettings {
    /// gRPC address (OPS-175).
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen.unwrap_or_else(|| self.default_address(8750))
    }

    /// Address of the probes (OPS-175).
    #[must_use]
    pub fn probes(&self) -> SocketAddr {
        self.probes.unwrap_or_else(|| self.default_address(8081))
    }

    /// Address of the metrics (OPS-175).
    #[must_use]
    pub fn metrics(&self) -> SocketAddr {
        self.metrics.unwrap_or_else(|| self.default_address(9090))
    }

    fn default_address(&self, port: u16) -> SocketAddr {
        // The index is at most 63 (checked), so this never leaves 127.0.0.0/24.
        let last = u8::try_from(self.index.saturating_add(4)).unwrap_or(u8::MAX);
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), port)
    }
}

impl NodeSettings {
    /// Reads `node.yaml` text and checks it whole.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Yaml`] with line and column, else [`SettingsError::Fields`] with every
    /// problem.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let settings: Self = serde_saphyr::from_str(text).map_err(SettingsError::from_yaml)?;
        let problems = settings.problems();
        if problems.is_empty() { Ok(settings) } else { Err(SettingsError::Fields(problems)) }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Read`] if it cannot be read, else as [`NodeSettings::parse`].
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    fn problems(&self) -> Vec<FieldProblem> {
        let mut found = Vec::new();
        if self.replicas.is_empty() {
            found.push(FieldProblem::new("replicas", "is empty; list at least one"));
        }
        if !is_label(&self.tmm_namespace) {
            found.push(FieldProblem::new(
                "tmmNamespace",
                "is no namespace name; use a-z, 0-9 and -",
            ));
        }
        for (at, name) in self.app_namespaces.iter().enumerate() {
            let field = format!("appNamespaces[{at}]");
            if !is_label(name) {
                found.push(FieldProblem::new(field, "is no namespace name; use a-z, 0-9 and -"));
            } else if *name == self.tmm_namespace {
                found.push(FieldProblem::new(field, "is tmmNamespace; keep the two apart"));
            }
        }
        for (field, path) in [("stateDir", &self.state_dir), ("resourceDir", &self.resource_dir)] {
            if !path.is_absolute() {
                found.push(FieldProblem::new(field, "is not absolute; begin it with /"));
            }
        }
        if self.resource_dir.starts_with(&self.state_dir) {
            found
                .push(FieldProblem::new("resourceDir", "lies inside stateDir; keep the two apart"));
        }
        if self.tmm.drain_seconds > 600 {
            found.push(FieldProblem::new("tmm.drainSeconds", "is above 600; lower it"));
        }
        if !(1..=1024).contains(&self.tmm.log_limit) {
            found.push(FieldProblem::new("tmm.logLimit", "is outside 1 to 1024"));
        }
        let mut addresses = Addresses::default();
        addresses.take("probes", self.probes, true, &mut found);
        addresses.take("metrics", self.metrics, true, &mut found);
        if !is_label(&self.release) {
            found.push(FieldProblem::new("release", "is no name; use a-z, 0-9 and -"));
        }
        if let Some(cwc) = &self.cwc {
            cwc.problems(&mut addresses, &mut found);
        }
        if let Some(broker) = &self.rabbitmq {
            broker.problems(&self.state_dir, &mut found);
        }
        let mut indices = BTreeSet::new();
        for (at, replica) in self.replicas.iter().enumerate() {
            let field = format!("replicas[{at}]");
            if replica.index > 63 {
                found.push(FieldProblem::new(format!("{field}.index"), "is above 63; lower it"));
            } else if !indices.insert(replica.index) {
                found
                    .push(FieldProblem::new(format!("{field}.index"), "is used twice; change one"));
            }
            addresses.take(&format!("{field}.listen"), replica.listen(), false, &mut found);
            addresses.take(&format!("{field}.probes"), replica.probes(), true, &mut found);
            addresses.take(&format!("{field}.metrics"), replica.metrics(), true, &mut found);
            replica.problems(&field, &mut found);
        }
        found
    }
}

impl ReplicaSettings {
    fn problems(&self, field: &str, found: &mut Vec<FieldProblem>) {
        let distinct: BTreeSet<u16> = self.cores.iter().copied().collect();
        if self.cores.is_empty() {
            found.push(FieldProblem::new(
                format!("{field}.cores"),
                "is empty; name at least one CPU",
            ));
        } else if distinct.len() != self.cores.len() {
            found.push(FieldProblem::new(format!("{field}.cores"), "names a CPU twice"));
        }
        if self.memory < 32 {
            found.push(FieldProblem::new(format!("{field}.memory"), "is below 32 MiB; raise it"));
        }
        if self.flows < 64 {
            found.push(FieldProblem::new(format!("{field}.flows"), "is below 64; raise it"));
        }
        if self.ports.is_empty() {
            found.push(FieldProblem::new(format!("{field}.ports"), "is empty; list at least one"));
        }
        let mut names = BTreeSet::new();
        for (at, port) in self.ports.iter().enumerate() {
            let field = format!("{field}.ports[{at}]");
            if !is_port_name(&port.name) {
                found.push(FieldProblem::new(format!("{field}.name"), "is not 1.1 to 1.99"));
            } else if !names.insert(port.name.as_str()) {
                found.push(FieldProblem::new(format!("{field}.name"), "is used twice; change one"));
            }
            let device = format!("{field}.device");
            match (&port.device, port.kind.has_device()) {
                (None, true) => found.push(FieldProblem::new(device, "is missing for this kind")),
                (Some(_), false) => {
                    found.push(FieldProblem::new(device, "does not go with this kind"))
                }
                (Some(name), true) if name.is_empty() || name.contains(port.kind.forbidden()) => {
                    found.push(FieldProblem::new(device, "is empty or has a comma or space"));
                }
                (Some(_), true) | (None, false) => {}
            }
        }
    }
}

/// Why a `node.yaml` was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("{path}: {source}; check --config")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Broken YAML, an unknown field or a wrong type.
    #[error("line {line}, column {column}: {problem}")]
    Yaml {
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong there.
        problem: String,
    },
    /// Fields that do not go, all of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Fields(Vec<FieldProblem>),
}

impl SettingsError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "settings_unreadable",
            Self::Yaml { .. } => "settings_yaml",
            Self::Fields(_) => "settings_fields",
        }
    }

    fn from_yaml(error: serde_saphyr::Error) -> Self {
        let (line, column, problem) = crate::yaml::place(&error);
        Self::Yaml { line, column, problem }
    }
}

/// One field that does not go.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldProblem {
    /// Path of the field.
    pub field: String,
    /// Problem and fix.
    pub problem: &'static str,
}

impl FieldProblem {
    fn new(field: impl Into<String>, problem: &'static str) -> Self {
        Self { field: field.into(), problem }
    }
}

#[derive(Default)]
struct Addresses(BTreeSet<SocketAddr>);

impl Addresses {
    fn take(
        &mut self,
        field: &str,
        address: SocketAddr,
        loopback: bool,
        found: &mut Vec<FieldProblem>,
    ) {
        if loopback && !address.ip().is_loopback() {
            found.push(FieldProblem::new(
                field,
                "is plain HTTP and therefore loopback only; use 127.0.0.0/8 or ::1",
            ));
        }
        if address.port() == 0 {
            found.push(FieldProblem::new(field, "has port 0; name a port"));
        } else if !self.0.insert(address) {
            found.push(FieldProblem::new(field, "is used twice; change one"));
        }
    }
}

fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn is_port_name(name: &str) -> bool {
    name.strip_prefix("1.").is_some_and(|number| {
        !number.starts_with('0')
            && number.parse::<u8>().is_ok_and(|value| (1..=99).contains(&value))
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn default_release() -> String {
    String::from("f5ingress")
}

const fn default_probes() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), 8081)
}

const fn default_metrics() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), 9090)
}

const fn default_memory() -> u32 {
    512
}

const fn default_hugepages() -> bool {
    true
}

const fn default_flows() -> u32 {
    65_536
}

#[cfg(test)]
mod tests;
