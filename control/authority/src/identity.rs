//! The certificate that the endpoint shows.
//!
//! The endpoint is public: clients show their licence, not a certificate, so `spk_serving::tls`, which
//! asks for one, does not fit. Files that change are taken at the next connection; a broken set
//! leaves the last good one in use.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use spk_serving::tls::provider;

/// Certificate and key of the endpoint, from their files.
#[derive(Debug)]
pub struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    /// The bytes of both files, good or not.
    seen: (Vec<u8>, Vec<u8>),
    config: Arc<ServerConfig>,
}

/// TLS files are refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file holds no such thing.
    #[error("{} holds no {what} in PEM", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// The library refuses them.
    #[error("{}: {source}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

impl Identity {
    /// Reads both files.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let seen = (read(certificate)?, read(key)?);
        let config = server(certificate, key, &seen)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current: Mutex::new(Current { seen, config }),
        })
    }

    /// What the next connection is accepted with. Reads two small files.
    pub fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let files = read(&self.certificate).and_then(|first| Ok((first, read(&self.key)?)));
        match files {
            Ok(seen) if seen != current.seen => {
                match server(&self.certificate, &self.key, &seen) {
                    Ok(config) => current.config = config,
                    Err(error) => tracing::warn!(%error, "new certificate is not used"),
                }
                current.seen = seen;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "certificate cannot be read; the last one stays"),
        }
        Arc::clone(&current.config)
    }
}

fn server(
    certificate: &Path,
    key: &Path,
    (chain, secret): &(Vec<u8>, Vec<u8>),
) -> Result<Arc<ServerConfig>, IdentityError> {
    let chain = certificates(certificate, chain)?;
    let secret = PrivateKeyDer::from_pem_slice(secret)
        .map_err(|_| IdentityError::NotPem { path: key.to_owned(), what: "private key" })?;
    let refused = |source| IdentityError::Refused { path: certificate.to_owned(), source };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(refused)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| IdentityError::NotPem { path: path.to_owned(), what: "certificate" })
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(path).map_err(|source| IdentityError::Unreadable { path: path.to_owned(), source })
}
