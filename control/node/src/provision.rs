//! Makes what the licence plane of one machine needs before anything starts, and keeps its copies.
//!
//! Owns the Secrets and ConfigMaps of `spk-cwc`, the broker's and the clients' certificates, and the
//! copies of the trust anchor: what Helm, cert-gen and `spkctl license trust` do in a cluster. The
//! CWC's own files are followed here once a second, as a kubelet follows its mounts.
//!
//! Invariant: a key or certificate that is there is kept; keys of a trust anchor are added, at most
//! 4, and never removed (LIC-016). Sources: operations.md §1.6 (OPS-174, OPS-178), §3.1, §3.2,
//! licensing.md §1.2, §13.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cert_gen::pki::KeyKind;
use cert_gen::{MakeError, Order, Service};
use spk_jose::Jwks;

use crate::install::{InstallError, put};
use crate::layout::{self, Layout};
use crate::settings::{CwcSettings, NodeSettings};
use spk_store::durable::{self, Access};

/// Why something cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// A certificate or key.
    #[error("cannot make certificates for {service}: {source}")]
    Make {
        /// Of which service.
        service: &'static str,
        /// Why.
        source: MakeError,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] InstallError),
}

impl ProvisionError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Make { source, .. } => source.code(),
            Self::File(error) => error.code(),
        }
    }
}

/// Makes what is missing, and writes every copy.
///
/// # Errors
///
/// [`ProvisionError`].
pub fn provision(
    layout: &Layout,
    settings: &NodeSettings,
    now: SystemTime,
) -> Result<(), ProvisionError> {
    forget_own_leases(layout, settings)?;
    let Some(cwc) = &settings.cwc else { return Ok(()) };
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let config = layout.cwc_config();
    make_dir(&config)?;
    if cwc.run {
        make_dir(&layout.cwc_store())?;
        // CWC would make it as well; made here, the TMMs trust it from their start.
        if !config.join("cwc-lease-key").exists() {
            secrets(layout, &order(Service::Lease, layout), now, |_| Some(config.clone()))?;
        }
        let mut rest = order(Service::ApiServer, layout);
        rest.names = rest_names(cwc);
        secrets(layout, &rest, now, |name| {
            Some(if name == "cwc-license-certs" {
                config.clone()
            } else {
                layout.root().to_owned()
            })
        })?;
    }
    if let Some(broker) = &settings.rabbitmq {
        let mut bus = order(Service::Rabbit, layout);
        bus.names = vec![String::from("localhost"), broker.listen.ip().to_string()];
        bus.clients = 1;
        secrets(layout, &bus, now, |name| match name {
            "rabbitmq-server-certs" => Some(layout.broker_config()),
            "rabbitmq-client-certs" => Some(config.clone()),
            _ => Some(layout.controller_config()),
        })?;
    }
    copy(layout, settings)?;
    Ok(())
}

/// Writes the copies of what an operator or the CWC may change at any time.
///
/// # Errors
///
/// [`InstallError`] names the file.
pub fn copy(layout: &Layout, settings: &NodeSettings) -> Result<(), InstallError> {
    let Some(cwc) = &settings.cwc else { return Ok(()) };
    if cwc.run {
        write_values(layout, cwc)?;
    }
    let published = layout.cwc_config().join(TRUST);
    let own = layout.controller_config().join(TRUST);
    let Some(text) = joined(&published, &own) else { return Ok(()) };
    put_under(&own, text.as_bytes(), Access::Public)?;
    for replica in &settings.replicas {
        let path = layout.tmm(replica.index).join("license/jwks.json");
        put_under(&path, text.as_bytes(), Access::Public)?;
    }
    Ok(())
}

/// Copies once a second; never ends.
pub async fn follow(layout: Layout, settings: Arc<NodeSettings>) {
    let mut told = None;
    loop {
        tokio::time::sleep(COPY_EVERY).await;
        // It waits for a disk.
        let copied = tokio::task::block_in_place(|| copy(&layout, &settings));
        let cause = copied.err().map(|error| error.to_string());
        if let Some(cause) = cause.as_ref().filter(|cause| told.as_ref() != Some(*cause)) {
            tracing::warn!(cause, "a copy is not written");
        }
        told = cause;
    }
}

/// Before releases with a CWC spk-node signed leases itself: its key leaves the trust set, and what it
/// kept for that goes.
fn forget_own_leases(layout: &Layout, settings: &NodeSettings) -> Result<(), InstallError> {
    let mut old: Vec<PathBuf> = ["cwc-lease-key.private.jwk", "daid", "epoch", "lease"]
        .map(|name| layout.vault().join(name))
        .to_vec();
    if !layout.controller_config().join(TRUST).exists() {
        let anchors = settings.replicas.iter().map(|replica| layout.tmm(replica.index));
        old.extend(anchors.map(|home| home.join("license/jwks.json")));
    }
    for path in old {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&path)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The keys that the CWC publishes with those already trusted.
fn joined(published: &Path, own: &Path) -> Option<String> {
    let read = |path: &Path| Jwks::parse(&fs::read_to_string(path).ok()?).ok();
    let (held, new) = (read(own), read(published));
    match (held, new) {
        (Some(held), Some(new)) => Some(held.joined(&new).to_json()),
        (Some(keys), None) | (None, Some(keys)) => Some(keys.to_json()),
        (None, None) => None,
    }
}

/// ConfigMaps `cpcl-config-cm` and `cpcl-key-cm`. A file that is not readable leaves the last copy.
fn write_values(layout: &Layout, cwc: &CwcSettings) -> Result<(), InstallError> {
    let folder = layout.cwc_config().join("cpcl-config-cm");
    let mut values: BTreeMap<&str, String> =
        cwc.config.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    values.insert("rest_api_port", cwc.rest.port().to_string());
    make_dir(&folder)?;
    for (key, value) in &values {
        put(&folder.join(key), value.as_bytes(), Access::Private)?;
    }
    let follow = |source: &Option<PathBuf>, to: PathBuf| match source.as_ref().map(fs::read) {
        Some(Ok(text)) => put_under(&to, &text, Access::Private),
        Some(Err(_)) | None => Ok(()),
    };
    follow(&cwc.jwt, folder.join("jwt"))?;
    follow(&cwc.jwks, layout.cwc_config().join("cpcl-key-cm/jwt.key"))?;
    // What node.yaml names no more has its default again.
    let entries = fs::read_dir(&folder).map_err(failed(&folder))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name != "jwt" && !name.starts_with('.') && !values.contains_key(name.as_ref()) {
            fs::remove_file(entry.path()).map_err(failed(&entry.path()))?;
        }
    }
    Ok(())
}

fn rest_names(cwc: &CwcSettings) -> Vec<String> {
    let mut names = vec![
        format!("f5-spk-cwc.{}", layout::CWC_NAMESPACE),
        String::from("localhost"),
        String::from("127.0.0.1"),
    ];
    for name in &cwc.names {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn order(service: Service, layout: &Layout) -> Order {
    let mut order = Order::new(service, layout.cert_gen());
    order.key = KeyKind::EcP256;
    order
}

/// Makes or finds the Secrets of `order`, and writes each into the folder that `place` gives.
fn secrets(
    layout: &Layout,
    order: &Order,
    now: u64,
    place: impl Fn(&str) -> Option<PathBuf>,
) -> Result<(), ProvisionError> {
    make_dir(&layout.cert_gen())?;
    let failed_making = |source| ProvisionError::Make { service: order.service.name(), source };
    let outcome = cert_gen::make(order, now).map_err(failed_making)?;
    for secret in &outcome.secrets {
        let Some(dir) = place(&secret.name) else { continue };
        for (key, value) in &secret.data {
            put_under(&dir.join(&secret.name).join(key), value.as_bytes(), Access::Private)?;
        }
    }
    Ok(())
}

fn put_under(path: &Path, contents: &[u8], access: Access) -> Result<(), InstallError> {
    if let Some(folder) = path.parent() {
        make_dir(folder)?;
    }
    put(path, contents, access)
}

fn make_dir(path: &Path) -> Result<(), InstallError> {
    durable::create_private_dir(path).map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> InstallError {
    move |source| InstallError { path: path.to_owned(), source }
}

/// The trust anchor among Secrets.
const TRUST: &str = "cwc-lease-jwks/jwks.json";
const COPY_EVERY: Duration = Duration::from_secs(1);
