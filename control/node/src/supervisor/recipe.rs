//! How a part is started, so that a start can be compared with another.
//!
//! Owns programs, arguments, environments and what else a running process depends on. Starts
//! nothing. Source: operations.md §1.6 (OPS-174, OPS-178).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::layout::{self, Layout, TmmFile};
use crate::settings::{CwcSettings, NodeSettings, RabbitmqSettings, ReplicaSettings};

/// How a part is started. Two starts with equal recipes run alike.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The one of its arguments by which it is known among all processes.
    pub config: PathBuf,
    /// Its environment without `PATH`.
    pub environment: BTreeMap<String, String>,
    /// Text of the settings that it reads when it starts.
    pub settings: String,
    /// Files that it reads when it starts and that may be replaced while it runs.
    pub files: Vec<PathBuf>,
    /// Digest of [`Recipe::files`], empty without any: with others it could not be reached, now or
    /// once an old certificate ends.
    pub trust: String,
}

impl Recipe {
    /// The recipe of the TMM of one replica.
    #[must_use]
    pub fn tmm(settings: &NodeSettings, layout: &Layout, replica: &ReplicaSettings) -> Self {
        let config = layout.tmm(replica.index);
        Self {
            program: settings.tmm.binary.clone().unwrap_or_else(|| beside("tmm")),
            arguments: vec![String::from("--config"), config.display().to_string()],
            environment: layout::environment(settings, replica)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            settings: TmmFile::new(settings, layout, replica).text(),
            // It follows its certificates and the key set.
            files: Vec::new(),
            trust: String::new(),
            config,
        }
    }

    /// The recipe of `spk-cwc`.
    #[must_use]
    pub fn cwc(settings: &NodeSettings, layout: &Layout, cwc: &CwcSettings) -> Self {
        let config = layout.cwc_config();
        let bus = cwc.address(&layout.bus()).map_or_else(String::new, |bus| bus.to_string());
        let arguments = [
            ("--config", config.display().to_string()),
            ("--store", format!("file:{}", layout.cwc_store().display())),
            ("--bus", bus),
            ("--rest", cwc.rest.to_string()),
            ("--probes", cwc.probes.to_string()),
            ("--metrics", cwc.metrics.to_string()),
            ("--instance", settings.tmm_namespace.clone()),
            ("--resources", settings.resource_dir.display().to_string()),
            ("--namespace", layout::CWC_NAMESPACE.to_owned()),
        ];
        Self {
            program: cwc.binary.clone().unwrap_or_else(|| beside("spk-cwc")),
            arguments: arguments
                .into_iter()
                .flat_map(|(name, value)| [name.to_owned(), value])
                .collect(),
            config,
            environment: layout::cwc_environment()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            // It follows its files.
            settings: String::new(),
            files: Vec::new(),
            trust: String::new(),
        }
    }

    /// The recipe of the broker.
    #[must_use]
    pub fn broker(layout: &Layout, broker: &RabbitmqSettings) -> Self {
        let certs = layout.broker_config().join("rabbitmq-server-certs");
        let arguments = [
            ("--state", broker.data_dir.display().to_string()),
            ("--certs", certs.display().to_string()),
            ("--address", broker.listen.ip().to_string()),
            ("--port", broker.listen.port().to_string()),
            ("--epmd-port", broker.epmd_port.to_string()),
            ("--dist-port", broker.dist_port.to_string()),
        ];
        let arguments = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        Self {
            program: broker.binary.clone(),
            arguments: std::iter::once(String::from("run")).chain(arguments).collect(),
            config: broker.data_dir.clone(),
            environment: BTreeMap::new(),
            settings: String::new(),
            files: ["ca-root-cert.pem", "server-cert.pem"].map(|name| certs.join(name)).to_vec(),
            trust: String::new(),
        }
    }

    /// Takes the files that are there now.
    pub(super) fn renew_trust(&mut self) {
        self.trust = digest(&self.files);
    }
}

/// A program in the folder of this one.
pub(super) fn beside(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

fn digest(files: &[PathBuf]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let mut context = Context::new(&SHA256);
    for path in files {
        // A file that is missing is a state of its own; installing it makes another one.
        context.update(&read(path));
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}
