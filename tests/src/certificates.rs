//! Certificates of a test: one CA, and the files of Secrets made by it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

/// A CA.
#[derive(Debug)]
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A CA with a key of its own, under the name that `cert-gen` uses.
    ///
    /// # Errors
    ///
    /// The library's.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "TLSGenSelfSignedtRootCA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Writes the files of Secret `rabbitmq-server-certs` below `folder` and returns their folder.
    ///
    /// # Errors
    ///
    /// The library's, the system's.
    pub fn bus_server(&self, folder: &Path) -> Result<PathBuf> {
        self.bus_identity(&folder.join("rabbitmq-server-certs"), "server", "f5net")
    }

    /// Writes the files of Secret `secret` for a client named `name` below `folder` and returns
    /// their folder. Files that are there are replaced.
    ///
    /// # Errors
    ///
    /// The library's, the system's.
    pub fn bus_client(&self, folder: &Path, secret: &str, name: &str) -> Result<PathBuf> {
        self.bus_identity(&folder.join(secret), "client", name)
    }

    /// Writes the files of Secret `cwc-license-certs` below `folder`, and beside them a client's,
    /// `client.crt` and `client.key`. Both are valid since 1975, whatever a wrong clock says.
    ///
    /// # Errors
    ///
    /// The library's, the system's.
    pub fn rest(&self, folder: &Path) -> Result<PathBuf> {
        let folder = folder.join("cwc-license-certs");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("ca_root.crt"), &self.certificate)?;
        for (role, usage) in [
            ("server", ExtendedKeyUsagePurpose::ServerAuth),
            ("client", ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let mut params = CertificateParams::new([String::from("localhost")])?;
            params.distinguished_name.push(DnType::CommonName, "f5net");
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &self.issuer)?.pem();
            fs::write(folder.join(format!("{role}.crt")), certificate)?;
            let path = folder.join(format!("{role}.key"));
            fs::write(&path, key.serialize_pem())?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        }
        Ok(folder)
    }

    fn bus_identity(&self, folder: &Path, role: &str, name: &str) -> Result<PathBuf> {
        let key = KeyPair::generate()?;
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        fs::create_dir_all(folder)?;
        fs::write(folder.join("ca-root-cert.pem"), &self.certificate)?;
        fs::write(folder.join(format!("{role}-cert.pem")), certificate)?;
        let path = folder.join(format!("{role}-key.pem"));
        fs::write(&path, key.serialize_pem())?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(folder.to_owned())
    }
}
