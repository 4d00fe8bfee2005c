//! One checked identity, ready for both ends of TLS.
//!
//! Invariant: a [`Material`] was good as a whole when it was made: PEM, a key that fits, nothing
//! expired. Sources: operations.md §3.4 (OPS-322), licensing.md §4.1 (LIC-303).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, Error, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::files::PemSet;
use super::provider;

/// The application protocols that an end offers (RFC 7301), best first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Alpn {
    /// None: AMQP.
    None,
    /// HTTP/2 only: gRPC.
    Http2,
    /// HTTP/2 and HTTP/1.1.
    Http,
}

impl Alpn {
    fn names(self) -> Vec<Vec<u8>> {
        match self {
            Self::None => Vec::new(),
            Self::Http2 => vec![b"h2".to_vec()],
            Self::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// What people and metrics ask of one certificate file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFacts {
    /// The Secret it belongs to.
    pub object: String,
    /// Its file's name, such as `server.crt`.
    pub file: String,
    /// Serial number of its first certificate, hexadecimal with colons.
    pub serial: String,
    /// When the first of its certificates ends.
    pub not_after: Timestamp,
}

/// One identity that passed the check.
pub struct Material {
    pem: PemSet,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    certificates: [CertificateFacts; 2],
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

impl Material {
    /// Checks the files of Secret `object` as a whole at `now`.
    ///
    /// # Errors
    ///
    /// [`Refusal`] names the file and what is wrong with it.
    pub fn check(object: &str, pem: PemSet, alpn: Alpn, now: Timestamp) -> Result<Self, Refusal> {
        let authorities = certificates(&pem.ca, &pem.ca_file)?;
        let chain = certificates(&pem.certificate, &pem.certificate_file)?;
        let own = facts(object, &chain, &pem.certificate_file)?;
        let trusted = facts(object, &authorities, &pem.ca_file)?;
        if own.not_after <= now {
            return Err(Refusal::Expired { path: pem.certificate_file, at: own.not_after });
        }
        // In a bundle of an old and a new CA the old one may have ended.
        let last = last_end(&authorities, &pem.ca_file)?;
        if last <= now {
            return Err(Refusal::Expired { path: pem.ca_file, at: last });
        }
        let key = PrivateKeyDer::from_pem_slice(&pem.key)
            .map_err(|_| Refusal::NotPem { path: pem.key_file.clone(), what: "private key" })?;
        let identity = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
            if matches!(error, Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) {
                Refusal::KeyDoesNotFit {
                    certificate: pem.certificate_file.clone(),
                    key: pem.key_file.clone(),
                }
            } else {
                unusable(&pem.key_file, &error)
            }
        })?;
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).map_err(|error| unusable(&pem.ca_file, &error))?;
        }
        let identity = Arc::new(SingleCertAndKey::from(identity));
        let (server, client) = configurations(identity, roots, alpn)
            .map_err(|cause| Refusal::Unusable { path: pem.ca_file.clone(), cause })?;
        Ok(Self { pem, server, client, certificates: [own, trusted] })
    }

    /// The server's end: each client must show a certificate of the CA.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// The client's end: the server must show a certificate of the CA with the name that is asked
    /// for.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }

    /// The text itself, for libraries that make their own configuration.
    #[must_use]
    pub const fn pem(&self) -> &PemSet {
        &self.pem
    }

    /// The own certificate, then the CA's.
    #[must_use]
    pub const fn certificates(&self) -> &[CertificateFacts; 2] {
        &self.certificates
    }
}

fn configurations(
    identity: Arc<SingleCertAndKey>,
    roots: RootCertStore,
    alpn: Alpn,
) -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), String> {
    let roots = Arc::new(roots);
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
        .build()
        .map_err(|error| error.to_string())?;
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(&identity) as _);
    server.alpn_protocols = alpn.names();
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_client_cert_resolver(identity);
    client.alpn_protocols = alpn.names();
    Ok((Arc::new(server), Arc::new(client)))
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let refused = || Refusal::NotPem { path: path.to_owned(), what: "certificate" };
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| refused())?;
    if certificates.is_empty() { Err(refused()) } else { Ok(certificates) }
}

fn facts(
    object: &str,
    certificates: &[CertificateDer<'_>],
    path: &Path,
) -> Result<CertificateFacts, Refusal> {
    let mut first_end = Timestamp::MAX;
    let mut serial = None;
    for der in certificates {
        let certificate = parse(der, path)?;
        first_end = first_end.min(end(&certificate));
        serial.get_or_insert_with(|| certificate.raw_serial_as_string());
    }
    Ok(CertificateFacts {
        object: object.to_owned(),
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        serial: serial.unwrap_or_default(),
        not_after: first_end,
    })
}

fn last_end(certificates: &[CertificateDer<'_>], path: &Path) -> Result<Timestamp, Refusal> {
    let mut last = Timestamp::MIN;
    for der in certificates {
        last = last.max(end(&parse(der, path)?));
    }
    Ok(last)
}

fn parse<'a>(der: &'a CertificateDer<'_>, path: &Path) -> Result<X509Certificate<'a>, Refusal> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|error| Refusal::Unusable { path: path.to_owned(), cause: error.to_string() })
}

fn end(certificate: &X509Certificate<'_>) -> Timestamp {
    // A time beyond the calendar of `jiff` is beyond any other, too.
    Timestamp::from_second(certificate.validity().not_after.timestamp()).unwrap_or(Timestamp::MAX)
}

fn unusable(path: &Path, error: &Error) -> Refusal {
    Refusal::Unusable { path: path.to_owned(), cause: error.to_string() }
}

/// Why files cannot be used. None of the texts holds a part of a key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A file is not there.
    #[error("Secret {object} is missing: no file {}", path.display())]
    Missing {
        /// The Secret.
        object: String,
        /// The first file that is not there.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: String,
    },
    /// A file is not what it should be.
    #[error("{} is no PEM with a {what}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The key belongs to another certificate.
    #[error("key {} does not fit certificate {}", key.display(), certificate.display())]
    KeyDoesNotFit {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
    /// The certificate, or each CA of the bundle, has ended.
    #[error("{} expired at {at}", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// When it ended.
        at: Timestamp,
    },
    /// The library does not take it, for example a key of an unknown kind.
    #[error("{} cannot be used: {cause}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The library's words.
        cause: String,
    },
}

impl Refusal {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "certificate_missing",
            Self::Unreadable { .. } => "certificate_unreadable",
            Self::NotPem { .. } => "certificate_not_pem",
            Self::KeyDoesNotFit { .. } => "certificate_key_does_not_fit",
            Self::Expired { .. } => "certificate_expired",
            Self::Unusable { .. } => "certificate_unusable",
        }
    }
}

const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
