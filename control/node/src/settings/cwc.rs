//! Sections `cwc` and `rabbitmq` of `node.yaml`: the licence plane of one machine.
//!
//! Owns their shape, defaults and checks. Sources: operations.md §1.6 (OPS-171, OPS-178),
//! licensing.md §13 (values of `cpcl-config-cm`).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Addresses, FieldProblem};

/// The CWC that says whether traffic may pass.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CwcSettings {
    /// Whether spk-node runs `spk-cwc`; else it runs elsewhere, behind RabbitMQ. Default true.
    pub run: bool,
    /// The program; `spk-cwc` beside spk-node if unset.
    pub binary: Option<PathBuf>,
    /// The bus: `local` (a socket in the state directory) or `amqps://HOST:PORT`. Default local.
    pub bus: String,
    /// The licence: a file with one JWT, followed. May come later.
    pub jwt: Option<PathBuf>,
    /// The authority's public keys: a file with a JWKS, followed. May come later.
    pub jwks: Option<PathBuf>,
    /// Where the REST API listens. Default 0.0.0.0:30881 (OPS-178).
    pub rest: SocketAddr,
    /// Address of probes and of plain metrics; loopback. Default 127.0.0.2:8081.
    pub probes: SocketAddr,
    /// Address of metrics behind mutual TLS. Default 127.0.0.2:9090.
    pub metrics: SocketAddr,
    /// Names of the REST API's certificate besides `f5-spk-cwc.default`, `localhost` and 127.0.0.1.
    pub names: Vec<String>,
    /// Further values of ConfigMap `cpcl-config-cm`, by their keys there.
    pub config: BTreeMap<String, String>,
}

impl Default for CwcSettings {
    fn default() -> Self {
        Self {
            run: true,
            binary: None,
            bus: String::from(LOCAL),
            jwt: None,
            jwks: None,
            rest: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 30881),
            probes: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 8081),
            metrics: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 9090),
            names: Vec::new(),
            config: BTreeMap::new(),
        }
    }
}

/// The broker that spk-node runs.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RabbitmqSettings {
    /// The script that starts it: `control/bus/rabbitmq/broker` of the project.
    pub binary: PathBuf,
    /// Its data; owned by user `rabbitmq`, so not inside the state directory.
    pub data_dir: PathBuf,
    /// Its only open address. Default 127.0.0.1:5671.
    #[serde(default = "default_broker")]
    pub listen: SocketAddr,
    /// Port of its name server, on loopback. Default 4369.
    #[serde(default = "default_epmd")]
    pub epmd_port: u16,
    /// Port of Erlang itself, on loopback. Default 25672.
    #[serde(default = "default_dist")]
    pub dist_port: u16,
}

impl CwcSettings {
    /// Where the bus is.
    #[must_use]
    pub fn address(&self, local: &Path) -> Option<spk_bus::Address> {
        match self.bus.as_str() {
            LOCAL => Some(spk_bus::Address::Local(local.to_owned())),
            other => other.parse().ok(),
        }
    }

    pub(super) fn problems(&self, addresses: &mut Addresses, found: &mut Vec<FieldProblem>) {
        if self.bus != LOCAL && !self.bus.starts_with("amqps://") {
            found.push(FieldProblem::new("cwc.bus", "is neither local nor amqps://HOST:PORT"));
        } else if self.address(Path::new("/")).is_none() {
            found.push(FieldProblem::new("cwc.bus", "is no address; write amqps://HOST:PORT"));
        }
        if !self.run && self.bus == LOCAL {
            found.push(FieldProblem::new(
                "cwc.run",
                "is false, but the local bus needs spk-cwc here",
            ));
        }
        for (field, path) in [("cwc.jwt", &self.jwt), ("cwc.jwks", &self.jwks)] {
            if path.as_ref().is_some_and(|path| !path.is_absolute()) {
                found.push(FieldProblem::new(field, "is not absolute; begin it with /"));
            }
        }
        for key in self.config.keys() {
            let field = format!("cwc.config.{key}");
            if OWN_KEYS.contains(&key.as_str()) {
                found.push(FieldProblem::new(field, "has a field of its own in section cwc"));
            } else if !KEYS.contains(&key.as_str()) {
                found.push(FieldProblem::new(field, "is no key of cpcl-config-cm"));
            }
        }
        if self.run {
            addresses.take("cwc.rest", self.rest, false, found);
            addresses.take("cwc.probes", self.probes, true, found);
            addresses.take("cwc.metrics", self.metrics, false, found);
        }
    }
}

impl RabbitmqSettings {
    pub(super) fn problems(&self, state_dir: &Path, found: &mut Vec<FieldProblem>) {
        if !self.data_dir.is_absolute() {
            found.push(FieldProblem::new("rabbitmq.dataDir", "is not absolute; begin it with /"));
        } else if self.data_dir.starts_with(state_dir) {
            found.push(FieldProblem::new(
                "rabbitmq.dataDir",
                "lies inside stateDir, where user rabbitmq may not go",
            ));
        }
    }
}

const fn default_broker() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5671)
}

const fn default_epmd() -> u16 {
    4369
}

const fn default_dist() -> u16 {
    25672
}

/// The bus over a socket in the state directory.
const LOCAL: &str = "local";
/// Keys that spk-node writes from fields of their own.
const OWN_KEYS: [&str; 2] = ["jwt", "rest_api_port"];
/// The other keys (licensing.md §13).
const KEYS: [&str; 16] = [
    "custom_id",
    "digital_asset_name",
    "digital_asset_version",
    "product_name",
    "mode",
    "signed_verification_cert_path",
    "log_level",
    "log_format",
    "trusted_issuers",
    "upstream_url",
    "upstream_ca",
    "report_grace_hours",
    "expiring_soon_days",
    "missed_heartbeats",
    "require_token",
    "posts_per_minute",
];
