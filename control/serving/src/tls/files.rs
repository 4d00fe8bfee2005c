//! Where the PEM files of one identity lie, and reading them.
//!
//! Each Secret is a directory with one file per data key. Names come in several layouts; the first
//! that is complete is taken. Sources: operations.md §3.2 (names), §3.3 (OPS-315), licensing.md §13
//! (LIC-903).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::material::Refusal;

/// Where the files of one identity lie: CA certificates, own certificate chain, own private key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    object: String,
    layouts: Vec<Layout>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Layout {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Layout {
    fn paths(&self) -> [&PathBuf; 3] {
        [&self.ca, &self.certificate, &self.key]
    }

    fn missing(&self) -> Vec<&PathBuf> {
        self.paths().into_iter().filter(|path| !path.is_file()).collect()
    }
}

impl TlsFiles {
    /// A server's files in `dir`, which is named after its Secret, such as `cwc-license-certs` or
    /// `rabbitmq-server-certs`.
    #[must_use]
    pub fn server(dir: &Path) -> Self {
        Self::in_directory(dir, "server")
    }

    /// A client's files in `dir`, which is named after its Secret, such as
    /// `cwc-license-client-certs` or `rabbitmq-client-certs`.
    #[must_use]
    pub fn client(dir: &Path) -> Self {
        Self::in_directory(dir, "client")
    }

    /// The files of `name` for port 8750: certificates in `dir/certs` (Secret `certs-secret`), keys
    /// in `dir/keys` (Secret `keys-secret`). `name` is `grpc-svc` or `f5-ing-demo-f5ingress`.
    #[must_use]
    pub fn grpc(dir: &Path, name: &str) -> Self {
        let (certs, keys) = (dir.join("certs"), dir.join("keys"));
        let ours = Layout {
            ca: certs.join("ca_root.crt"),
            certificate: certs.join(format!("{name}.crt")),
            key: keys.join(format!("{name}.key")),
        };
        Self { object: String::from("certs-secret"), layouts: vec![ours, cert_manager(&certs)] }
    }

    fn in_directory(dir: &Path, role: &str) -> Self {
        let layout = |ca: &str, suffix: &str, key: &str| Layout {
            ca: dir.join(ca),
            certificate: dir.join(format!("{role}{suffix}")),
            key: dir.join(format!("{role}{key}")),
        };
        Self {
            object: dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned(),
            layouts: vec![
                layout("ca_root.crt", ".crt", ".key"),
                layout("ca-root-cert", "-cert", "-key"),
                layout("ca-root-cert.pem", "-cert.pem", "-key.pem"),
                cert_manager(dir),
            ],
        }
    }

    /// The Secret that the files belong to.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Reads the first layout whose three files are there.
    ///
    /// # Errors
    ///
    /// [`Refusal::Missing`] names what the most complete layout lacks; [`Refusal::Unreadable`].
    pub fn read(&self) -> Result<PemSet, Refusal> {
        let mut best: Option<Vec<&PathBuf>> = None;
        for layout in &self.layouts {
            let missing = layout.missing();
            if missing.is_empty() {
                return PemSet::read(layout);
            }
            if best.as_ref().is_none_or(|best| missing.len() < best.len()) {
                best = Some(missing);
            }
        }
        let path = best.and_then(|missing| missing.first().map(|path| (*path).clone()));
        Err(Refusal::Missing { object: self.object.clone(), path: path.unwrap_or_default() })
    }
}

/// What cert-manager writes (OPS-314).
fn cert_manager(dir: &Path) -> Layout {
    Layout { ca: dir.join("ca.crt"), certificate: dir.join("tls.crt"), key: dir.join("tls.key") }
}

/// PEM text of one identity, with the files it came from. Its debug form shows no key.
#[derive(Clone, Eq, PartialEq)]
pub struct PemSet {
    /// Certificates of the CAs that the peer's may come from.
    pub ca: Vec<u8>,
    /// Own certificate, then intermediate ones.
    pub certificate: Vec<u8>,
    /// Own private key.
    pub key: Vec<u8>,
    /// File of `ca`.
    pub ca_file: PathBuf,
    /// File of `certificate`.
    pub certificate_file: PathBuf,
    /// File of `key`.
    pub key_file: PathBuf,
}

impl PemSet {
    fn read(layout: &Layout) -> Result<Self, Refusal> {
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|error: io::Error| Refusal::Unreadable {
                path: path.clone(),
                cause: error.to_string(),
            })
        };
        Ok(Self {
            ca: read(&layout.ca)?,
            certificate: read(&layout.certificate)?,
            key: read(&layout.key)?,
            ca_file: layout.ca.clone(),
            certificate_file: layout.certificate.clone(),
            key_file: layout.key.clone(),
        })
    }
}

impl fmt::Debug for PemSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemSet")
            .field("certificate_file", &self.certificate_file)
            .finish_non_exhaustive()
    }
}
