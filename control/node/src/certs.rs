//! The certificates of port 8750: made at first start, renewed before they end.
//!
//! Owns when the CA, the `grpc-svc` server and the controller's client certificate under `certs/` and
//! `keys/` are made; `cert-gen` makes them. What someone else put there is used as it is while it
//! holds; the key of their CA need not be there.
//!
//! Invariant: after [`ensure`] each leaf is signed by the CA in `ca_root.crt`, fits its key and holds,
//! for at least [`RENEW_BEFORE`] if the CA's key is there. A CA that runs processes trust is never
//! replaced: [`renew`] makes none. Sources: operations.md §3.2, §3.3, §3.4.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cert_gen::pki::{Authority, Facts, KeyKind, Leaf, Pair, Period, PkiError};

use crate::layout::Layout;
use spk_store::durable::{self, Access};

/// A leaf is renewed when it ends within this time.
pub const RENEW_BEFORE: Duration = Duration::from_secs(30 * DAY);

/// Name of the server certificate.
pub const SERVER: &str = "grpc-svc";

/// Name of the controller's client certificate.
pub const CONTROLLER: &str = "f5-ing-demo-f5ingress";

/// Makes or renews what is missing, broken or near its end at `now`, before any process starts.
/// Gives the names of what is new, such as `grpc-svc`.
///
/// # Errors
///
/// [`CertError`] if a file cannot be read or written, or the library refuses a certificate.
pub fn ensure(layout: &Layout, now: SystemTime) -> Result<Vec<&'static str>, CertError> {
    let now = unix_seconds(now);
    durable::create_private_dir(&layout.keys())
        .map_err(|source| io_error(&layout.keys(), source))?;
    durable::create_private_dir(&layout.certs())
        .map_err(|source| io_error(&layout.certs(), source))?;
    // A CA of our own that soon ends is replaced while nobody trusts it yet.
    match keep(layout, now, (u64::from(LEAF_DAYS) + 1) * DAY) {
        Err(CertError::NoCaKey) => {}
        kept => return kept,
    }
    let ca = Authority::make("ca", KeyKind::EcP256, Period::days(now, CA_DAYS))?;
    let (certificate, key) = ca_paths(layout);
    // The key first: a certificate without its key would be replaced, the reverse would not be noticed.
    put(&key, &ca.pair().key, Access::Private)?;
    put(&certificate, &ca.pair().certificate, Access::Public)?;
    let mut new = vec!["ca"];
    for name in LEAVES {
        issue(layout, name, &ca, now)?;
        new.push(name);
    }
    Ok(new)
}

/// Renews leaves that are missing, broken or near their end at `now`, while processes run. The CA
/// stays. Gives the names of what is new.
///
/// # Errors
///
/// As [`ensure`]; [`CertError::NoCaKey`] if a leaf is needed that the CA cannot sign.
pub fn renew(layout: &Layout, now: SystemTime) -> Result<Vec<&'static str>, CertError> {
    keep(layout, unix_seconds(now), 0)
}

/// Renews by the CA that is there; one whose key is there must hold for `least` seconds.
fn keep(layout: &Layout, now: u64, least: u64) -> Result<Vec<&'static str>, CertError> {
    let (certificate, key) = ca_paths(layout);
    let pem = read(&certificate)?.ok_or(CertError::NoCaKey)?;
    let ca = Facts::first(&pem).filter(|ca| ca.end > now).ok_or(CertError::NoCaKey)?;
    let authority = read(&key)?.and_then(|key| Authority::from_pem(&pem, &key).ok());
    if authority.is_some() && ca.end <= now.saturating_add(least) {
        return Err(CertError::NoCaKey);
    }
    let mut new = Vec::new();
    for name in LEAVES {
        match (held(layout, name, &ca, now)?, &authority) {
            // Another one would end no later.
            (Some(end), _) if end >= ca.end || end > now.saturating_add(RENEW_BEFORE.as_secs()) => {
            }
            (_, Some(authority)) => {
                issue(layout, name, authority, now)?;
                new.push(name);
            }
            (Some(_), None) => {}
            (None, None) => return Err(CertError::NoCaKey),
        }
    }
    Ok(new)
}

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertError {
    /// A file or folder cannot be read or written.
    #[error("{path}: {source}; check stateDir's owner and free space")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A leaf does not hold, and no key is there of a CA that holds.
    #[error(
        "no key of certs/ca_root.crt in keys/priv.key; put both leaves and their keys there, or restart spk-node to make all anew"
    )]
    NoCaKey,
    /// A key or certificate cannot be made.
    #[error(transparent)]
    Making(#[from] PkiError),
}

impl CertError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "certificate_file",
            Self::NoCaKey => "certificate_no_ca_key",
            Self::Making(error) => error.code(),
        }
    }
}

/// End of the leaf's certificate if the pair on disk serves now.
fn held(layout: &Layout, name: &str, ca: &Facts, now: u64) -> Result<Option<u64>, CertError> {
    let (certificate, key) = leaf_paths(layout, name);
    let (Some(pem), Some(key)) = (read(&certificate)?, read(&key)?) else { return Ok(None) };
    Ok(Facts::first(&pem)
        .filter(|facts| facts.fits(&key) && facts.signed_by(ca) && facts.end > now)
        .map(|facts| facts.end))
}

fn issue(layout: &Layout, name: &str, ca: &Authority, now: u64) -> Result<(), CertError> {
    let leaf = if name == SERVER { Leaf::grpc_server() } else { Leaf::grpc_client() };
    let Pair { certificate, key } =
        ca.issue(&leaf, KeyKind::EcP256, Period::days(now, LEAF_DAYS))?;
    let (certificate_path, key_path) = leaf_paths(layout, name);
    put(&key_path, &key, Access::Private)?;
    put(&certificate_path, &certificate, Access::Public)
}

fn leaf_paths(layout: &Layout, name: &str) -> (PathBuf, PathBuf) {
    (layout.certs().join(format!("{name}.crt")), layout.keys().join(format!("{name}.key")))
}

fn ca_paths(layout: &Layout) -> (PathBuf, PathBuf) {
    (layout.certs().join("ca_root.crt"), layout.keys().join("priv.key"))
}

fn unix_seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn read(path: &Path) -> Result<Option<String>, CertError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error(path, source)),
    }
}

fn put(path: &Path, text: &str, access: Access) -> Result<(), CertError> {
    durable::write(path, text.as_bytes(), access).map_err(|source| io_error(path, source))
}

fn io_error(path: &Path, source: io::Error) -> CertError {
    CertError::File { path: path.to_owned(), source }
}

const LEAVES: [&str; 2] = [SERVER, CONTROLLER];
const DAY: u64 = 24 * 60 * 60;
const LEAF_DAYS: u32 = 365;
const CA_DAYS: u32 = 3650;

#[cfg(test)]
mod tests;
