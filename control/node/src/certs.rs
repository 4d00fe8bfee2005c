//! The certificates of port 8750: made at first start, renewed before they end.
//!
//! Owns the CA, the `grpc-svc` server and the controller's client certificate under `certs/` and
//! `keys/`. What someone else put there is used as it is while it holds; the key of their CA need not
//! be there.
//!
//! Invariant: after [`ensure`] each leaf is signed by the CA in `ca_root.crt`, fits its key and holds,
//! for at least [`RENEW_BEFORE`] if the CA's key is there. A CA that runs processes trust is never
//! replaced: [`renew`] makes none. Sources: operations.md §3.2, §3.3, §3.4.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, date_time_ymd,
};
use x509_parser::pem::parse_x509_pem;

use crate::durable::{self, Access};
use crate::layout::Layout;

/// A leaf is renewed when it ends within this time.
pub const RENEW_BEFORE: Duration = Duration::from_secs(30 * DAY);

/// Name of the server certificate, which TMMs read when they start.
pub const SERVER: &str = "grpc-svc";

/// What [`ensure`] did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Made {
    /// Names of the certificates that are new, such as `grpc-svc`.
    pub new: Vec<&'static str>,
    /// Unix second at which the first leaf ends.
    pub first_end: u64,
}

/// Makes or renews what is missing, broken or near its end at `now`, before any process starts.
///
/// # Errors
///
/// [`CertError`] if a file cannot be read or written, or the library refuses a certificate.
pub fn ensure(layout: &Layout, now: SystemTime) -> Result<Made, CertError> {
    let now = unix_seconds(now);
    durable::create_private_dir(&layout.keys())
        .map_err(|source| io_error(&layout.keys(), source))?;
    durable::create_private_dir(&layout.certs())
        .map_err(|source| io_error(&layout.certs(), source))?;
    // A CA of our own that soon ends is replaced while nobody trusts it yet.
    match keep(layout, now, (LEAF_DAYS + 1) * DAY) {
        Err(CertError::NoCaKey) => {}
        kept => return kept,
    }
    let mut made = Made { new: vec!["ca"], first_end: u64::MAX };
    let ca = make_authority(layout, now)?;
    for leaf in LEAVES {
        made.new.push(leaf.name());
        made.first_end = made.first_end.min(issue(layout, leaf, &ca, now)?);
    }
    Ok(made)
}

/// Renews leaves that are missing, broken or near their end at `now`, while processes run. The CA
/// stays.
///
/// # Errors
///
/// As [`ensure`]; [`CertError::NoCaKey`] if a leaf is needed that the CA cannot sign.
pub fn renew(layout: &Layout, now: SystemTime) -> Result<Made, CertError> {
    keep(layout, unix_seconds(now), 0)
}

/// Renews by the CA that is there; one whose key is there must hold for `least` seconds.
fn keep(layout: &Layout, now: u64, least: u64) -> Result<Made, CertError> {
    let pem = read(&layout.certs().join("ca_root.crt"))?.ok_or(CertError::NoCaKey)?;
    let ca = facts(&pem).filter(|ca| ca.end > now).ok_or(CertError::NoCaKey)?;
    let issuer = authority(layout, &pem, &ca)?;
    if issuer.is_some() && ca.end <= now.saturating_add(least) {
        return Err(CertError::NoCaKey);
    }
    let mut made = Made { new: Vec::new(), first_end: u64::MAX };
    for leaf in LEAVES {
        let held = held(layout, leaf, &ca, now)?;
        let end = match (held, &issuer) {
            // Another one would end no later.
            (Some(end), _) if end >= ca.end || end > now.saturating_add(RENEW_BEFORE.as_secs()) => {
                end
            }
            (_, Some(issuer)) => {
                made.new.push(leaf.name());
                issue(layout, leaf, issuer, now)?
            }
            (Some(end), None) => end,
            (None, None) => return Err(CertError::NoCaKey),
        };
        made.first_end = made.first_end.min(end);
    }
    Ok(made)
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
    #[error("cannot make certificate {name}: {source}")]
    Making {
        /// Which.
        name: &'static str,
        /// The library's error.
        source: rcgen::Error,
    },
}

impl CertError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "certificate_file",
            Self::NoCaKey => "certificate_no_ca_key",
            Self::Making { .. } => "certificate_making",
        }
    }
}

#[derive(Clone, Copy)]
enum Leaf {
    Server,
    Controller,
}

impl Leaf {
    const fn name(self) -> &'static str {
        match self {
            Self::Server => SERVER,
            Self::Controller => "f5-ing-demo-f5ingress",
        }
    }

    fn params(self) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("f5net.com");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let name = |text: &str| Ia5String::try_from(text);
        match self {
            Self::Server => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                for host in ["grpc-svc", "otel-collector", "f5-csrc-grpc-svc"] {
                    params.subject_alt_names.push(SanType::DnsName(name(host)?));
                }
            }
            Self::Controller => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                params.subject_alt_names.push(SanType::Rfc822Name(name("clientcert@f5net.com")?));
            }
        }
        Ok(params)
    }
}

const LEAVES: [Leaf; 2] = [Leaf::Server, Leaf::Controller];

/// What signs leaves.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Unix second at which no leaf of it holds any more.
    end: u64,
}

/// The CA with certificate `pem`, none if its key is not there.
fn authority(layout: &Layout, pem: &str, ca: &CertFacts) -> Result<Option<Authority>, CertError> {
    let Some(key) = read(&layout.keys().join("priv.key"))? else { return Ok(None) };
    let key = KeyPair::from_pem(&key).ok();
    let key = key.filter(|key| key.subject_public_key_info() == ca.public_key);
    let issuer = key.and_then(|key| Issuer::from_ca_cert_pem(pem, key).ok());
    Ok(issuer.map(|issuer| Authority { issuer, end: ca.end }))
}

fn make_authority(layout: &Layout, now: u64) -> Result<Authority, CertError> {
    let (cert_path, key_path) =
        (layout.certs().join("ca_root.crt"), layout.keys().join("priv.key"));
    let failed = |source| CertError::Making { name: "ca", source };
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let end = now.saturating_add(CA_DAYS * DAY);
    period(&mut params, now, end);
    let key = KeyPair::generate().map_err(failed)?;
    let cert = params.self_signed(&key).map_err(failed)?;
    // The key first: a certificate without its key would be replaced, the reverse would not be noticed.
    put(&key_path, &key.serialize_pem(), Access::Private)?;
    put(&cert_path, &cert.pem(), Access::Public)?;
    Ok(Authority { issuer: Issuer::new(params, key), end })
}

/// End of the leaf's certificate if the pair on disk serves now.
fn held(layout: &Layout, leaf: Leaf, ca: &CertFacts, now: u64) -> Result<Option<u64>, CertError> {
    let (cert_path, key_path) = leaf_paths(layout, leaf);
    let (Some(pem), Some(key)) = (read(&cert_path)?, read(&key_path)?) else {
        return Ok(None);
    };
    let Ok(key) = KeyPair::from_pem(&key) else { return Ok(None) };
    Ok(facts(&pem)
        .filter(|facts| {
            facts.public_key == key.subject_public_key_info()
                && facts.signed_by(&ca.public_key)
                && facts.end > now
        })
        .map(|facts| facts.end))
}

fn issue(layout: &Layout, leaf: Leaf, ca: &Authority, now: u64) -> Result<u64, CertError> {
    let failed = |source| CertError::Making { name: leaf.name(), source };
    let mut params = leaf.params().map_err(failed)?;
    let end = now.saturating_add(LEAF_DAYS * DAY).min(ca.end);
    period(&mut params, now, end);
    let key = KeyPair::generate().map_err(failed)?;
    let cert = params.signed_by(&key, &ca.issuer).map_err(failed)?;
    let (cert_path, key_path) = leaf_paths(layout, leaf);
    put(&key_path, &key.serialize_pem(), Access::Private)?;
    put(&cert_path, &cert.pem(), Access::Public)?;
    Ok(end)
}

fn leaf_paths(layout: &Layout, leaf: Leaf) -> (PathBuf, PathBuf) {
    let name = leaf.name();
    (layout.certs().join(format!("{name}.crt")), layout.keys().join(format!("{name}.key")))
}

/// What this module asks of a certificate.
struct CertFacts {
    der: Vec<u8>,
    public_key: Vec<u8>,
    end: u64,
}

impl CertFacts {
    fn signed_by(&self, public_key: &[u8]) -> bool {
        use x509_parser::prelude::FromDer as _;
        let Ok((_, cert)) = x509_parser::certificate::X509Certificate::from_der(&self.der) else {
            return false;
        };
        let Ok((_, key)) = x509_parser::x509::SubjectPublicKeyInfo::from_der(public_key) else {
            return false;
        };
        cert.verify_signature(Some(&key)).is_ok()
    }
}

fn facts(pem: &str) -> Option<CertFacts> {
    let (_, block) = parse_x509_pem(pem.as_bytes()).ok()?;
    let cert = block.parse_x509().ok()?;
    let end = u64::try_from(cert.validity().not_after.timestamp()).ok()?;
    let public_key = cert.public_key().raw.to_vec();
    Some(CertFacts { public_key, end, der: block.contents })
}

/// Sets notBefore (24 h ago) and notAfter, the Unix second `end`.
fn period(params: &mut CertificateParams, now: u64, end: u64) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.saturating_sub(DAY));
    params.not_after = epoch + Duration::from_secs(end);
}

fn unix_seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
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

const DAY: u64 = 24 * 60 * 60;
const LEAF_DAYS: u64 = 365;
const CA_DAYS: u64 = 3650;

#[cfg(test)]
mod tests;
