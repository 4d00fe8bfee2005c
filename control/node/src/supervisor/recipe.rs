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
use crate::settings::{NodeSettings, ReplicaSettings};

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
    /// Digest of [`Recipe::files`]: with others it could not be reached, now or once an old
    /// certificate ends.
    pub trust: String,
}

impl Recipe {
    /// The recipe of the TMM of one replica.
    #[must_use]
    pub fn tmm(settings: &NodeSettings, layout: &Layout, replica: &ReplicaSettings) -> Self {
        let config = layout.tmm(replica.index);
        let mut recipe = Self {
            program: settings.tmm.binary.clone().unwrap_or_else(|| beside("tmm")),
            arguments: vec![String::from("--config"), config.display().to_string()],
            environment: layout::environment(settings, replica)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            settings: TmmFile::new(settings, layout, replica).text(),
            // The key set is followed live.
            files: ["certs/ca_root.crt", "certs/grpc-svc.crt"]
                .map(|name| config.join(name))
                .to_vec(),
            trust: String::new(),
            config,
        };
        recipe.renew_trust();
        recipe
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
