//! TLS of the client's end of port 8750; the TMM's is in `spk-serving`.
//!
//! Owns where the controller's PEM files lie and how they become tonic's configuration. Does not watch
//! them. Invariant: the server is verified against the CA and by its name, and is shown a certificate.
//! Sources: operations.md §1.2 (N1, rules), §3.2 (file names).

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::{MESSAGE_LIMIT, SERVER_NAME, TmmClient};

/// Where one end's PEM files lie, under the directory that a process gets as `--config DIR`.
///
/// `certs/` is what a pod mounts of Secret `certs-secret`, `keys/` of Secret `keys-secret`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// Certificates of the CAs that the peer's may come from.
    pub ca: PathBuf,
    /// Own certificate, then intermediate ones.
    pub certificate: PathBuf,
    /// Own private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// The controller's: `certs/ca_root.crt`, `certs/f5-ing-demo-f5ingress.crt` and
    /// `keys/f5-ing-demo-f5ingress.key`.
    #[must_use]
    pub fn controller(dir: &Path) -> Self {
        Self::named(dir, "f5-ing-demo-f5ingress")
    }

    fn named(dir: &Path, name: &str) -> Self {
        Self {
            ca: dir.join("certs/ca_root.crt"),
            certificate: dir.join(format!("certs/{name}.crt")),
            key: dir.join(format!("keys/{name}.key")),
        }
    }

    /// Reads the three files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file that cannot be read.
    pub fn load(&self) -> Result<TlsMaterial, TlsError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| TlsError { path: path.clone(), source })
        };
        Ok(TlsMaterial {
            ca: read(&self.ca)?,
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
        })
    }
}

/// A PEM file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl TlsError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "tls_file_unreadable"
    }
}

/// The PEM text of one end. Its debug form shows no key.
#[derive(Clone)]
pub struct TlsMaterial {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsMaterial").finish_non_exhaustive()
    }
}

impl TlsMaterial {
    /// Takes PEM text: CA certificates, own certificate chain, own private key.
    #[must_use]
    pub fn from_pem(ca: Vec<u8>, certificate: Vec<u8>, key: Vec<u8>) -> Self {
        Self { ca, certificate, key }
    }

    /// The client's end: the server must be called [`SERVER_NAME`].
    #[must_use]
    pub fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.ca))
            .identity(Identity::from_pem(&self.certificate, &self.key))
            .domain_name(SERVER_NAME)
            .timeout(HANDSHAKE_LIMIT)
    }
}

/// No connection to a TMM could be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to the TMM at {address}")]
pub struct ConnectError {
    /// The TMM's address.
    pub address: SocketAddr,
    /// Why.
    pub source: tonic::transport::Error,
}

impl ConnectError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "tmm_unreachable"
    }
}

impl TmmClient<Channel> {
    /// Connects to the TMM at `address` with mTLS. A dead peer is noticed within 10 s by HTTP/2
    /// pings.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if it does not answer within 2 s, is not called [`SERVER_NAME`], or either
    /// side's certificate is refused.
    pub async fn to(address: SocketAddr, tls: &TlsMaterial) -> Result<Self, ConnectError> {
        let failed = |source| ConnectError { address, source };
        let channel = Endpoint::from_shared(format!("https://{address}"))
            .and_then(|endpoint| endpoint.tls_config(tls.client()))
            .map_err(failed)?
            .connect_timeout(Duration::from_secs(2))
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .connect()
            .await
            .map_err(failed)?;
        Ok(Self::new(channel)
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT))
    }
}

/// A peer that connects and says nothing is dropped after this time.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
