//! The tree under `stateDir`, and what a TMM gets as files and environment.
//!
//! Owns every path and name, and the shape of `tmm.yaml`. Writes nothing: [`crate::install`] does.
//!
//! ```text
//! <state>/
//!   certs/  keys/          CA, grpc-svc and controller certificates; keys 0600 (operations.md §3.2)
//!   vault/                 latch, newest statement, accepted resources (0600)
//!   cwc/config/            what the CWC's pod mounts; `spk-cwc --config <state>/cwc/config`:
//!     cpcl-config-cm/  cpcl-key-cm/  cwc-license-certs/  cwc-lease-key/  cwc-lease-jwks/ ...
//!   cwc/store/             its Secrets of licensing.md §7.1
//!   cwc-license-client-certs/               an operator's client certificate for the REST API
//!   controller/            what the Controller's pod mounts: cwc-lease-jwks/, rabbitmq-client-1-certs/
//!   rabbitmq/              what the broker's pod mounts: rabbitmq-server-certs/
//!   cert-gen/              CAs and keys of the licence plane (0600)
//!   tmm-<i>/               what a pod mounts under /etc/spk; `tmm --config <state>/tmm-<i>`
//!     tmm.yaml             ConfigMap: TmmFile
//!     certs/ca_root.crt  certs/grpc-svc.crt     Secret certs-secret
//!     keys/grpc-svc.key                         Secret keys-secret
//!     license/jwks.json                         Secret cwc-lease-jwks
//!     podinfo/name  namespace  uid  annotations downward API
//!   cache/tmm-<i>/         what it resumes from after a crash (its pod's emptyDir)
//!   run/                   tmm-<i>.pid, node.sock (0600)
//!   log/                   tmm-<i>.log, tmm-<i>.log.1
//!   events.jsonl, events.jsonl.1
//! ```
//!
//! Environment of a TMM: `POD_NAME`, `POD_NAMESPACE`, `POD_UID` (downward API), `PAL_CPU_SET`,
//! `TMM_LOG_LEVEL`, and `PATH` of spk-node. Nothing else.
//! Sources: operations.md §1.6 (OPS-174), §3.2, §4.5; licensing.md §12.2 (G1).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;
use uuid::Uuid;

use crate::settings::{NodeSettings, PortSettings, ReplicaSettings};
use spk_controller::REPLICA_INDEX;

/// Every path under `stateDir`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The tree under `state_dir`.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self { root: state_dir.to_owned() }
    }

    /// `<state>`: also where [`tmm_rpc::TlsFiles::controller`] finds its files.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Public certificates.
    #[must_use]
    pub fn certs(&self) -> PathBuf {
        self.root.join("certs")
    }

    /// Private keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Records of the vault.
    #[must_use]
    pub fn vault(&self) -> PathBuf {
        self.root.join("vault")
    }

    /// Pid files and sockets.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// spk-node's own socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run().join("node.sock")
    }

    /// Logs of the parts.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Log of the part `name`.
    #[must_use]
    pub fn part_log(&self, name: &str) -> PathBuf {
        self.log().join(format!("{name}.log"))
    }

    /// File that the part `name` keeps locked while it lives.
    #[must_use]
    pub fn lock(&self, name: &str) -> PathBuf {
        self.run().join(format!("{name}.lock"))
    }

    /// Pid file of the part `name`.
    #[must_use]
    pub fn pid(&self, name: &str) -> PathBuf {
        self.run().join(format!("{name}.pid"))
    }

    /// Folder of what the TMM of replica `index` resumes from: an `emptyDir` of its pod.
    #[must_use]
    pub fn tmm_cache(&self, index: u16) -> PathBuf {
        self.root.join("cache").join(part_name(index))
    }

    /// The directory that the TMM of replica `index` gets as `--config`.
    #[must_use]
    pub fn tmm(&self, index: u16) -> PathBuf {
        self.root.join(part_name(index))
    }

    /// The directory that `spk-cwc` gets as `--config`.
    #[must_use]
    pub fn cwc_config(&self) -> PathBuf {
        self.root.join("cwc/config")
    }

    /// Records of `spk-cwc`.
    #[must_use]
    pub fn cwc_store(&self) -> PathBuf {
        self.root.join("cwc/store")
    }

    /// The local bus.
    #[must_use]
    pub fn bus(&self) -> PathBuf {
        self.root.join("bus.sock")
    }

    /// Secrets of the Controller besides [`Layout::certs`] and [`Layout::keys`].
    #[must_use]
    pub fn controller_config(&self) -> PathBuf {
        self.root.join("controller")
    }

    /// Secrets of the broker.
    #[must_use]
    pub fn broker_config(&self) -> PathBuf {
        self.root.join("rabbitmq")
    }

    /// CAs and keys of the licence plane.
    #[must_use]
    pub fn cert_gen(&self) -> PathBuf {
        self.root.join("cert-gen")
    }

    /// Events (OPS-176).
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }
}

/// Name of the CWC's directory, log and pid file.
pub const CWC: &str = "cwc";
/// Name of the broker's directory, log and pid file.
pub const BROKER: &str = "rabbitmq";
/// Namespace of the CWC: the one of the seed.
pub const CWC_NAMESPACE: &str = "default";

/// UID of the Controller's pod: the same for good.
#[must_use]
pub fn controller_uid(node: Uuid) -> Uuid {
    let mut bytes = *node.as_bytes();
    // No replica's pod differs from the node in this byte.
    bytes[13] ^= 1;
    Uuid::from_bytes(bytes)
}

/// Name of a part's directory, log and pid file.
#[must_use]
pub fn part_name(index: u16) -> String {
    format!("tmm-{index}")
}

/// Name of a replica's pod.
#[must_use]
pub fn pod_name(index: u16) -> String {
    format!("f5-tmm-{index}")
}

/// UID of a replica's pod: the same for good, as a restarted container keeps its pod's.
#[must_use]
pub fn pod_uid(node: Uuid, index: u16) -> Uuid {
    let mut bytes = *node.as_bytes();
    let [high, low] = index.to_be_bytes();
    // The last two bytes of a version 4 UUID are random, so the result stays one.
    bytes[14] ^= high;
    bytes[15] ^= low.wrapping_add(1);
    Uuid::from_bytes(bytes)
}

/// `tmm.yaml`: how one TMM process runs. In a cluster the chart renders it as a ConfigMap.
///
/// The replica index is not here: a TMM reads it from annotation `k8s.f5net.com/replica-index` in
/// `podinfo/annotations`, as in a cluster (OPS-461).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TmmFile {
    /// Cluster UID, for MACs (OPS-463).
    pub cluster_uid: Uuid,
    /// gRPC address (N1).
    pub listen: SocketAddr,
    /// Address of `/healthz` and `/readyz` (N17).
    pub probes: SocketAddr,
    /// Address of `/metrics`.
    pub metrics: SocketAddr,
    /// MiB reserved at start.
    pub memory: u32,
    /// Whether memory comes from hugepages.
    pub hugepages: bool,
    /// Most flows at one time.
    pub flows: u32,
    /// Seconds of drain after SIGTERM.
    pub drain_seconds: u16,
    /// Folder of what it resumes from after a crash (licensing.md §12.2, G15).
    pub cache: PathBuf,
    /// Ports, in the order of `node.yaml`.
    pub ports: Vec<PortSettings>,
}

impl TmmFile {
    /// What `node.yaml` says of one replica.
    #[must_use]
    pub fn new(settings: &NodeSettings, layout: &Layout, replica: &ReplicaSettings) -> Self {
        Self {
            cluster_uid: settings.uid,
            listen: replica.listen(),
            probes: replica.probes(),
            metrics: replica.metrics(),
            memory: replica.memory,
            hugepages: replica.hugepages,
            flows: replica.flows,
            drain_seconds: settings.tmm.drain_seconds,
            cache: layout.tmm_cache(replica.index),
            ports: replica.ports.clone(),
        }
    }

    /// The file's text: YAML, each value in its JSON form.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from("# Made by spk-node from node.yaml.\n");
        if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(self) {
            for (name, value) in fields {
                text.push_str(&format!("{name}: {value}\n"));
            }
        }
        text
    }
}

/// Files of `podinfo/`, by name, as the downward API writes them.
#[must_use]
pub fn pod_info(settings: &NodeSettings, index: u16) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("name", pod_name(index)),
        ("namespace", settings.tmm_namespace.clone()),
        ("uid", pod_uid(settings.uid, index).to_string()),
        ("annotations", format!("{REPLICA_INDEX}=\"{index}\"\n")),
    ])
}

/// Environment of `spk-cwc`, without `PATH`.
#[must_use]
pub fn cwc_environment() -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("POD_NAME", String::from("f5-spk-cwc-0")),
        ("POD_NAMESPACE", CWC_NAMESPACE.to_owned()),
    ])
}

/// Environment of a TMM, without `PATH`.
#[must_use]
pub fn environment(
    settings: &NodeSettings,
    replica: &ReplicaSettings,
) -> BTreeMap<&'static str, String> {
    let cores: Vec<String> = replica.cores.iter().map(ToString::to_string).collect();
    BTreeMap::from([
        ("POD_NAME", pod_name(replica.index)),
        ("POD_NAMESPACE", settings.tmm_namespace.clone()),
        ("POD_UID", pod_uid(settings.uid, replica.index).to_string()),
        ("PAL_CPU_SET", cores.join(",")),
        ("TMM_LOG_LEVEL", settings.tmm.log_level.word().to_owned()),
    ])
}
