//! Makes the site of one machine: `spk-node init` and `spk-node activate`.
//!
//! Owns the files of the site's folder: `node.yaml`, the licence, the authority's keys and sample
//! resources; what lies in the state directory is made by [`crate::certs`] and [`crate::provision`],
//! as at every start.
//!
//! Invariant: nothing that is there is overwritten but a licence by `activate`; private files are
//! 0600. Source: operations.md §1.6 (OPS-179).

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use spk_jose::{Limits, RsaKeySet, verify_rs512};
use uuid::Uuid;

use crate::certs::{self, CertError};
use crate::layout::Layout;
use crate::provision::{self, ProvisionError};
use crate::settings::{NodeSettings, SettingsError};
use spk_store::durable::{self, Access};

/// What a site is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SitePlan {
    /// Its folder.
    pub dir: PathBuf,
    /// Its state directory.
    pub state_dir: PathBuf,
    /// The licence to copy.
    pub jwt: Option<PathBuf>,
    /// The authority's keys to copy.
    pub jwks: Option<PathBuf>,
    /// The authority's address; none: reports are carried by hand.
    pub upstream: Option<String>,
    /// PEM of that address's CA.
    pub upstream_ca: Option<PathBuf>,
    /// Interface of port 1.1.
    pub external: String,
    /// Interface of port 1.2.
    pub internal: String,
}

/// Why a site cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The settings that were made, or are there, are refused.
    #[error("{path} is refused: {source}")]
    Settings {
        /// Which.
        path: PathBuf,
        /// Why.
        source: SettingsError,
    },
    /// Certificates of port 8750.
    #[error(transparent)]
    Certificates(#[from] CertError),
    /// Secrets of the licence plane.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The licence or the keys are of no use.
    #[error("{path} is refused: {cause}; ask the authority for another")]
    Licence {
        /// Which file.
        path: PathBuf,
        /// Why; no part of a token.
        cause: String,
    },
    /// A file that is needed was never given.
    #[error("{path} is missing; give it with {option}")]
    Missing {
        /// Where it would lie.
        path: PathBuf,
        /// How to give it.
        option: &'static str,
    },
}

impl SiteError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "site_file",
            Self::Settings { source, .. } => source.code(),
            Self::Certificates(error) => error.code(),
            Self::Provision(error) => error.code(),
            Self::Licence { .. } => "site_licence",
            Self::Missing { .. } => "site_missing",
        }
    }
}

/// Makes the site; what to do next, for people.
///
/// # Errors
///
/// [`SiteError`]; a second call goes on from there.
pub fn init(plan: &SitePlan) -> Result<String, SiteError> {
    let SitePlan { dir, .. } = plan;
    let resources = dir.join("resources");
    for folder in [dir, &resources] {
        durable::create_private_dir(folder).map_err(failed(folder))?;
    }
    let settings_file = dir.join("node.yaml");
    keep_or_write(&settings_file, &settings_text(plan)?, Access::Private)?;
    for (name, text) in SAMPLES {
        keep_or_write(&resources.join(name), text, Access::Public)?;
    }
    for (source, name) in [(&plan.jwt, JWT), (&plan.jwks, JWKS)] {
        if let Some(source) = source {
            let text = fs::read_to_string(source).map_err(failed(source))?;
            keep_or_write(&dir.join(name), &text, Access::Private)?;
        }
    }
    let settings = NodeSettings::load(&settings_file)
        .map_err(|source| SiteError::Settings { path: settings_file.clone(), source })?;
    let layout = Layout::new(&settings.state_dir);
    let now = SystemTime::now();
    durable::create_private_dir(layout.root()).map_err(failed(layout.root()))?;
    certs::ensure(&layout, now)?;
    provision::provision(&layout, &settings, now)?;
    Ok(next_steps(plan, &settings))
}

/// Puts a licence in place, or looks at the one that is there; what comes next, for people.
///
/// # Errors
///
/// [`SiteError::Licence`] if no key of the authority signed it; then nothing is replaced.
pub fn activate(dir: &Path, jwt: Option<&Path>, jwks: Option<&Path>) -> Result<String, SiteError> {
    let (own_jwt, own_jwks) = (dir.join(JWT), dir.join(JWKS));
    let read = |given: Option<&Path>, own: &Path, option| {
        let path = given.unwrap_or(own);
        match fs::read_to_string(path) {
            Ok(text) => Ok((path.to_owned(), text)),
            Err(error) if given.is_none() && error.kind() == io::ErrorKind::NotFound => {
                Err(SiteError::Missing { path: own.to_owned(), option })
            }
            Err(source) => Err(failed(path)(source)),
        }
    };
    let (jwks_path, keys) = read(jwks, &own_jwks, "--jwks")?;
    let (jwt_path, token) = read(jwt, &own_jwt, "--jwt")?;
    let refused = |path: &Path, cause: String| SiteError::Licence { path: path.to_owned(), cause };
    let set = RsaKeySet::parse(&keys).map_err(|error| refused(&jwks_path, error.to_string()))?;
    verify_rs512(&token, &Limits::JWT, &set)
        .map_err(|error| refused(&jwt_path, error.to_string()))?;
    for (path, text) in [(&own_jwks, &keys), (&own_jwt, &token)] {
        durable::write(path, text.as_bytes(), Access::Private).map_err(failed(path))?;
    }
    let mut text = String::from("The licence is in place.\n");
    let _ = writeln!(text, "\nStart, or do nothing if spk-node runs:\n  {START}");
    Ok(text)
}

fn settings_text(plan: &SitePlan) -> Result<String, SiteError> {
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    let mut config = String::from("    mode: disconnected\n");
    if let Some(url) = &plan.upstream {
        config = format!("    mode: connected\n    upstream_url: {url:?}\n");
        if let Some(path) = &plan.upstream_ca {
            let pem = fs::read_to_string(path).map_err(failed(path))?;
            config += "    upstream_ca: |\n";
            for line in pem.lines() {
                let _ = writeln!(config, "      {line}");
            }
        }
    }
    // Writing to a String does not fail.
    let mut text = String::from("# Made by spk-node init. `spk-node example` shows every field.\n");
    let _ = writeln!(text, "uid: {}", Uuid::new_v4());
    text += "tmmNamespace: spk-core\nappNamespaces: [spk-apps]\n";
    let _ = writeln!(text, "stateDir: {}", quoted(&plan.state_dir));
    let _ = writeln!(text, "resourceDir: {}", quoted(&plan.dir.join("resources")));
    let _ = writeln!(text, "cwc:\n  jwt: {}", quoted(&plan.dir.join(JWT)));
    let _ = writeln!(text, "  jwks: {}\n  config:\n{config}", quoted(&plan.dir.join(JWKS)));
    text += "replicas:\n  - index: 0\n    # CPUs for packets.\n    cores: [0]\n";
    text += "    # false: ordinary pages, which works everywhere and is slower.\n    hugepages: false\n";
    text += "    ports:\n";
    for (name, device) in [("1.1", &plan.external), ("1.2", &plan.internal)] {
        let _ = writeln!(text, "      - {{name: \"{name}\", kind: afPacket, device: {device:?}}}");
    }
    Ok(text)
}

fn next_steps(plan: &SitePlan, settings: &NodeSettings) -> String {
    let dir = plan.dir.display();
    let client = Layout::new(&settings.state_dir).root().join("cwc-license-client-certs");
    let given = plan.dir.join(JWT).exists() && plan.dir.join(JWKS).exists();
    let files = if given { "" } else { " --jwt FILE --jwks FILE" };
    let mut text = format!(
        "The site is made: settings, keys and samples in {dir}, state in {}.\n\nThree commands:\n  \
         spk-node init {dir}              (done)\n  spk-node activate {dir}{files}\n  {START}\n",
        settings.state_dir.display()
    );
    if plan.upstream.is_none() {
        let _ = write!(
            text,
            "\nThe first report of a site without a way to its authority is carried by hand:\n  \
             spkctl license report -o report.json\n  spkctl license submit report.json -o receipt\n  \
             spkctl license receipt receipt\n"
        );
    }
    let _ = writeln!(
        text,
        "\nAn operator's certificate for https://HOST:30881 (page, REST, spkctl): {}",
        client.display()
    );
    text
}

fn keep_or_write(path: &Path, text: &str, access: Access) -> Result<(), SiteError> {
    if path.exists() {
        return Ok(());
    }
    durable::write(path, text.as_bytes(), access).map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> SiteError {
    move |source| SiteError::File { path: path.to_owned(), source }
}

/// The licence in the site's folder.
const JWT: &str = "license.jwt";
/// The authority's keys in the site's folder.
const JWKS: &str = "jwks.json";
const START: &str = "systemctl enable --now spk-node";
/// Resources to begin with.
const SAMPLES: [(&str, &str); 2] = [
    ("10-vlans.yaml", include_str!("site/samples/10-vlans.yaml")),
    ("20-web.yaml", include_str!("site/samples/20-web.yaml")),
];

#[cfg(test)]
mod tests;
