//! What is asked for, checked.
//!
//! Source: operations.md §3.1.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::pki::KeyKind;

/// Whose certificates are made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Service {
    /// REST interface of the CWC.
    ApiServer,
    /// RabbitMQ and its clients.
    Rabbit,
    /// gRPC between Controller, TMM and collector.
    Grpc,
    /// Shared state: Redis and Sentinel.
    Dssm,
    /// Scraping of the collector.
    Otel,
    /// The key that signs lease statements.
    Lease,
}

impl Service {
    /// Its word after `-s=`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "api-server",
            Self::Rabbit => "rabbit",
            Self::Grpc => "grpc",
            Self::Dssm => "dssm",
            Self::Otel => "otel",
            Self::Lease => "lease",
        }
    }

    const fn default_days(self) -> u32 {
        match self {
            Self::ApiServer | Self::Rabbit => 3650,
            Self::Grpc | Self::Dssm | Self::Otel | Self::Lease => 365,
        }
    }

    const fn default_key(self) -> KeyKind {
        match self {
            Self::ApiServer | Self::Rabbit => KeyKind::Rsa2048,
            Self::Grpc | Self::Dssm | Self::Otel | Self::Lease => KeyKind::Rsa4096,
        }
    }
}

/// How the data keys of Secret `cwc-license-certs` are called.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum KeyStyle {
    /// `ca_root.crt`, `server.crt`, `server.key`.
    #[default]
    File,
    /// `ca-root-cert`, `server-cert`, `server-key`.
    Dash,
}

/// What is made anew although it is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Rotation {
    /// Certificates and keys, from the same CA; of `lease` a second key.
    Leaf,
    /// The CA, in three steps: trust both, use the new one, drop the old one.
    Ca,
}

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Order {
    /// Whose certificates.
    pub service: Service,
    /// Names of the server; for `grpc`, `dssm` and `otel` besides those they always have.
    pub names: Vec<String>,
    /// Client certificates besides the first one, 0 to 999.
    pub clients: u16,
    /// Where `<service>-secrets` lies.
    pub dir: PathBuf,
    /// Days until a leaf certificate ends, 1 to 36500. The CA holds for 3650 at least.
    pub days: u32,
    /// Kind of all keys.
    pub key: KeyKind,
    /// Names of data keys.
    pub key_style: KeyStyle,
    /// Directory `ssl/ca` of another tree, whose CA signs this one's certificates, too.
    pub ca_dir: Option<PathBuf>,
    /// Whether Secret `keys-secret` gets the CA's private key.
    pub include_ca_key: bool,
    /// What is made anew.
    pub rotate: Option<Rotation>,
    /// Whether what is there is thrown away.
    pub force: bool,
}

impl Order {
    /// What the program does by default for `service` in `dir`.
    #[must_use]
    pub fn new(service: Service, dir: PathBuf) -> Self {
        Self {
            service,
            names: Vec::new(),
            clients: 0,
            dir,
            days: service.default_days(),
            key: service.default_key(),
            key_style: KeyStyle::default(),
            ca_dir: None,
            include_ca_key: false,
            rotate: None,
            force: false,
        }
    }

    /// Whether the parts fit together.
    ///
    /// # Errors
    ///
    /// [`OrderError`] says what is wrong with the call.
    pub fn check(&self) -> Result<(), OrderError> {
        let service = self.service.name();
        let unfit = |argument| Err(OrderError::Unfit { service, argument });
        let needs_names = matches!(self.service, Service::ApiServer | Service::Rabbit);
        if needs_names && self.names.is_empty() {
            return Err(OrderError::NoNames { service });
        }
        if let Some(name) = self.names.iter().find(|name| !is_name(name)) {
            return Err(OrderError::Name { name: name.clone() });
        }
        if !(1..=36_500).contains(&self.days) {
            return Err(OrderError::Days { days: self.days });
        }
        if self.clients > 999 {
            return Err(OrderError::Clients { clients: self.clients });
        }
        let lease = self.service == Service::Lease;
        if self.clients > 0 && matches!(self.service, Service::Lease | Service::Dssm) {
            return unfit("-n");
        }
        if lease && !self.names.is_empty() {
            return unfit("-a");
        }
        if lease && self.ca_dir.is_some() {
            return unfit("--ca-dir");
        }
        if lease && self.rotate == Some(Rotation::Ca) {
            return unfit("--rotate=ca");
        }
        if self.include_ca_key && self.service != Service::Grpc {
            return unfit("--include-ca-key");
        }
        if self.key_style == KeyStyle::Dash && self.service != Service::ApiServer {
            return unfit("--key-style=dash");
        }
        if self.force && self.rotate.is_some() {
            return Err(OrderError::Both);
        }
        Ok(())
    }
}

/// A call is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// A server needs names.
    #[error("-s={service} needs -a=<name>[,<name>...]: the names that clients use for the server")]
    NoNames {
        /// The service.
        service: &'static str,
    },
    /// A name cannot stand in a certificate.
    #[error("{name:?} is neither a DNS name nor an IP address")]
    Name {
        /// The name.
        name: String,
    },
    /// A number of days out of range.
    #[error("--days={days} is not within 1 to 36500")]
    Days {
        /// The number.
        days: u32,
    },
    /// A number of clients out of range.
    #[error("-n={clients} is above 999")]
    Clients {
        /// The number.
        clients: u16,
    },
    /// An argument that has no meaning for the service.
    #[error("{argument} has no meaning with -s={service}")]
    Unfit {
        /// The service.
        service: &'static str,
        /// The argument.
        argument: &'static str,
    },
    /// Rotation keeps the CA's history, a new start drops it.
    #[error("--rotate and --force exclude each other")]
    Both,
}

impl OrderError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoNames { .. } => "order_no_names",
            Self::Name { .. } => "order_name",
            Self::Days { .. } => "order_days",
            Self::Clients { .. } => "order_clients",
            Self::Unfit { .. } => "order_unfit",
            Self::Both => "order_both",
        }
    }
}

/// An IP address, or a DNS name whose first label may be `*`.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let rest = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && rest.split('.').all(label))
}
