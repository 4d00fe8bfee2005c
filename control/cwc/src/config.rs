//! What `--config DIR` says, now and whenever it changes.
//!
//! Owns reading the objects that Helm writes: ConfigMaps `cpcl-config-cm`, `cpcl-key-cm`,
//! `cpcl-crt-cm`, each a folder with one file per data key. What a value means to the licence is
//! `spk_license`'s. Invariant: a set of values with a bad one is refused as a whole, and the last
//! good one stays. Sources: licensing.md §13 (LIC-900, LIC-901), §2.2 (LIC-126).

mod follow;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hyper::Uri;
use spk_entitlement::contact::MissedHeartbeats;
use spk_license::settings::SettingError;
use spk_license::{Objects, Settings};
use spk_serving::log::{self, LogFormat};
use tracing::Level;

pub use follow::{Change, follow};

/// Everything that the folder says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// For the machine.
    pub settings: Settings,
    /// For the shell.
    pub shell: ShellSettings,
    /// The JWT and the key set.
    pub objects: Objects,
}

/// The values that only the shell uses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShellSettings {
    /// `rest_api_port`: where operators reach the REST API, for the steps shown to them; default
    /// 30881. Where it listens is `--rest`.
    pub rest_api_port: u16,
    /// `log_level`; default info.
    pub log_level: Level,
    /// `log_format`: klog (default) or json; read at the start only.
    pub log_format: LogFormat,
    /// `upstream_url`: an https address.
    pub upstream_url: Uri,
    /// `upstream_ca` and `jwt_ca.crt` of `cpcl-crt-cm`: PEM of CAs beside the system's.
    pub upstream_ca: String,
    /// `missed_heartbeats`: 2 to 10, default 3; read at the start only.
    pub missed_heartbeats: MissedHeartbeats,
    /// `require_token`: whether every endpoint wants the bearer token; default false.
    pub require_token: bool,
    /// `posts_per_minute` and certificate: 1 to 100,000, default 10.
    pub posts_per_minute: u32,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Values make no sense.
    #[error("{}", list(.0))]
    Values(Vec<SettingError>),
}

impl ConfigError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "config_io",
            Self::Values(_) => "setting_invalid",
        }
    }
}

fn list(errors: &[SettingError]) -> String {
    errors.iter().map(SettingError::to_string).collect::<Vec<_>>().join("; ")
}

impl Config {
    /// Reads the folder. An object that is not there has no value set.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names every value that makes no sense.
    pub fn read(dir: &Path) -> Result<Self, ConfigError> {
        let values = read_folder(&dir.join("cpcl-config-cm"))?;
        let value = |key: &str| values.get(key).map(String::as_str);
        let settings = Settings::read(value);
        let shell = ShellSettings::read(value);
        let (settings, mut shell) = match (settings, shell) {
            (Ok(settings), Ok(shell)) => (settings, shell),
            (settings, shell) => {
                let mut errors = settings.err().unwrap_or_default();
                errors.extend(shell.err().unwrap_or_default());
                return Err(ConfigError::Values(errors));
            }
        };
        if let Some(ca) = read_file(&dir.join("cpcl-crt-cm/jwt_ca.crt"))? {
            shell.upstream_ca.push('\n');
            shell.upstream_ca.push_str(&ca);
        }
        let jwks = match value("signed_verification_cert_path").map(str::trim) {
            Some(path) if !path.is_empty() => PathBuf::from(path),
            Some(_) | None => dir.join("cpcl-key-cm/jwt.key"),
        };
        let given = |text: &String| !text.trim().is_empty();
        let jwt = match values.get("jwt").filter(|text| given(text)) {
            Some(jwt) => Some(jwt.clone()),
            // Of `cpclConfig.existingSecret`.
            None => read_file(&dir.join("cpcl-jwt/jwt"))?.filter(given),
        };
        let objects = Objects { jwt, jwks: read_file(&jwks)?.filter(given) };
        Ok(Self { settings, shell, objects })
    }
}

impl ShellSettings {
    fn read<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Vec<SettingError>> {
        let given = |key: &str| value(key).map(str::trim).filter(|text| !text.is_empty());
        let mut errors = Vec::new();
        let mut take =
            |key: &'static str, expected: &'static str, set: &mut dyn FnMut(&str) -> bool| {
                if let Some(text) = given(key)
                    && !set(text)
                {
                    errors.push(SettingError { key, value: text.to_owned(), expected });
                }
            };
        let mut read = Self {
            rest_api_port: 30_881,
            log_level: Level::INFO,
            log_format: LogFormat::Klog,
            upstream_url: Uri::from_static(UPSTREAM_URL),
            upstream_ca: String::new(),
            missed_heartbeats: MissedHeartbeats::default(),
            require_token: false,
            posts_per_minute: 10,
        };
        take("rest_api_port", "a port from 1 to 65535", &mut |text| {
            put(&mut read.rest_api_port, text.parse().ok().filter(|port| *port > 0))
        });
        take("log_level", "error, warn, info, debug or trace", &mut |text| {
            put(&mut read.log_level, log::level(text))
        });
        take("log_format", "klog or json", &mut |text| {
            put(
                &mut read.log_format,
                match text {
                    "klog" => Some(LogFormat::Klog),
                    "json" => Some(LogFormat::Json),
                    _ => None,
                },
            )
        });
        take("upstream_url", "an https address", &mut |text| {
            let uri = text.parse::<Uri>().ok();
            let https = |uri: &Uri| uri.scheme_str() == Some("https") && uri.host().is_some();
            put(&mut read.upstream_url, uri.filter(https))
        });
        take("missed_heartbeats", "a number from 2 to 10", &mut |text| {
            let number = text.parse().ok().and_then(|count| MissedHeartbeats::new(count).ok());
            put(&mut read.missed_heartbeats, number)
        });
        take("require_token", "true or false", &mut |text| {
            put(&mut read.require_token, text.parse().ok())
        });
        take("posts_per_minute", "a number from 1 to 100000", &mut |text| {
            let number = text.parse().ok().filter(|n| (1..=100_000).contains(n));
            put(&mut read.posts_per_minute, number)
        });
        if let Some(text) = given("upstream_ca") {
            read.upstream_ca = text.to_owned();
        }
        if errors.is_empty() { Ok(read) } else { Err(errors) }
    }
}

/// Whether there was a value to put.
fn put<T>(place: &mut T, value: Option<T>) -> bool {
    value.map(|value| *place = value).is_some()
}

fn read_folder(dir: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let failed = |source| ConfigError::Io { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut values = BTreeMap::new();
    for entry in entries {
        let Ok(name) = entry.map_err(failed)?.file_name().into_string() else { continue };
        // A mounted object keeps its versions in folders that begin with dots.
        if !name.starts_with('.')
            && let Some(text) = read_file(&dir.join(&name))?
        {
            values.insert(name, text);
        }
    }
    Ok(values)
}

/// The text of a file; none if it is not there. What is no UTF-8 makes no sense to its reader, and
/// must not hide the rest.
fn read_file(path: &Path) -> Result<Option<String>, ConfigError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Io { path: path.to_owned(), source }),
    }
}

/// The documented address (licensing.md §5.1).
const UPSTREAM_URL: &str = "https://product.apis.f5.com/ee/v1/entitlements/telemetry";

#[cfg(test)]
mod tests;
