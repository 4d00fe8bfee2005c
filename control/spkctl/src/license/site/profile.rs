//! The profile file: the connection's settings, so that no command needs options.
//!
//! ```yaml
//! cwc: https://node-1:30881
//! cacert: ca_root.crt        # relative to this file
//! cert: client.crt
//! key: client.key
//! serverName: f5-spk-cwc.default
//! tokenFile: token
//! ```

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hyper::Uri;
use serde::Deserialize;

use crate::license::files;

/// What a profile says; paths are absolute or relative to the working directory.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Profile {
    cwc: Option<String>,
    pub(super) cacert: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) server_name: Option<String>,
    pub(super) token_file: Option<PathBuf>,
}

impl Profile {
    /// The profile at `path`, or without one the usual file if it is there.
    pub(super) fn find(path: Option<&Path>) -> anyhow::Result<Self> {
        match path {
            Some(path) => Self::read(path),
            None => match usual().filter(|path| path.is_file()) {
                Some(path) => Self::read(&path),
                None => Ok(Self::default()),
            },
        }
    }

    /// The address, if one is told.
    pub(super) fn address(&self) -> anyhow::Result<Option<Uri>> {
        let parse = |text: &String| {
            text.parse().with_context(|| format!("{text} in the profile is no address"))
        };
        self.cwc.as_ref().map(parse).transpose()
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut profile: Self = serde_saphyr::from_str(&files::read(path)?)
            .with_context(|| format!("{} is no profile", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let named =
            [&mut profile.cacert, &mut profile.cert, &mut profile.key, &mut profile.token_file];
        for file in named.into_iter().flatten() {
            *file = folder.join(&*file);
        }
        Ok(profile)
    }
}

/// `spkctl/profile.yaml` of the user's configuration.
fn usual() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(folder.join("spkctl/profile.yaml"))
}
