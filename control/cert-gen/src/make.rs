//! Making the whole set of a service.
//!
//! Owns the order of steps: the CA, who lacks a certificate, verification, Secrets. Nothing of a
//! Secret is handed out unless every chain was verified. Source: operations.md §3.1, §3.4.

use std::io;
use std::path::{Path, PathBuf};

use crate::order::{Order, OrderError, Rotation, Service};
use crate::pki::{Authority, Facts, Pair, Period, PkiError};
use crate::secret::Secret;
use crate::service::{self, Holder};
use crate::tree::{self, Place};
use crate::{lease, rotate};

/// What was made or found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// Files that were verified.
    pub verified: Vec<PathBuf>,
    /// The Secrets, in the order of their manifests.
    pub secrets: Vec<Secret>,
    /// What people should know.
    pub notes: Vec<String>,
    /// Where the plain files lie: `<service>-secrets/ssl`, of `lease` without `ssl`.
    pub files: PathBuf,
}

/// Why a set cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakeError {
    /// The call is wrong.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// A certificate cannot be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The CA's key is needed and not there.
    #[error("{path} and its key do not make a CA; put them there, or start anew with --force")]
    NoAuthority {
        /// The CA's certificate.
        path: PathBuf,
    },
    /// Another CA is there already.
    #[error("{path} is another CA than that of --ca-dir; start anew with --force")]
    OtherAuthority {
        /// The CA that is there.
        path: PathBuf,
    },
    /// The server's certificate has other names.
    #[error(
        "{path} is for {found:?}, not for {wanted:?}; make a new one with --rotate=leaf, which keeps the CA"
    )]
    OtherNames {
        /// The certificate that is there.
        path: PathBuf,
        /// Its names.
        found: Vec<String>,
        /// Those asked for.
        wanted: Vec<String>,
    },
    /// A chain is broken.
    #[error("{path}: {cause}; make a new one with --rotate=leaf, which keeps the CA")]
    Chain {
        /// The certificate.
        path: PathBuf,
        /// What is wrong.
        cause: &'static str,
    },
    /// There is nothing to rotate.
    #[error("nothing to rotate: {path} is not there")]
    Nothing {
        /// What is not there.
        path: PathBuf,
    },
    /// A rotation of the CA is not finished.
    #[error("a rotation of the CA is under way; finish it with --rotate=ca first")]
    UnderWay,
    /// The lease key cannot be used.
    #[error("{path}: {cause}")]
    LeaseKey {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl MakeError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Order(error) => error.code(),
            Self::File(_) => "make_file",
            Self::Pki(error) => error.code(),
            Self::NoAuthority { .. } => "make_no_authority",
            Self::OtherAuthority { .. } => "make_other_authority",
            Self::OtherNames { .. } => "make_other_names",
            Self::Chain { .. } => "make_chain",
            Self::Nothing { .. } => "make_nothing",
            Self::UnderWay => "make_under_way",
            Self::LeaseKey { .. } => "make_lease_key",
            Self::Random => "make_random",
        }
    }
}

/// Makes what `order` asks for at `now`, in seconds since 1970, or adds what is missing.
///
/// # Errors
///
/// [`MakeError`]; what was made before it stays, and a second call goes on from there.
pub fn make(order: &Order, now: u64) -> Result<Outcome, MakeError> {
    order.check()?;
    let root = order.dir.join(format!("{}-secrets", order.service.name()));
    if order.service == Service::Lease {
        return lease::make(order, &root);
    }
    if order.force {
        tree::remove_directory(&root)?;
    }
    let set = Set { order, ssl: root.join("ssl"), now };
    let notes = match order.rotate {
        None => set.add()?,
        Some(Rotation::Leaf) => set.renew()?,
        Some(Rotation::Ca) => rotate::step(&set)?,
    };
    set.outcome(notes)
}

/// The files of one service.
pub(crate) struct Set<'a> {
    pub(crate) order: &'a Order,
    pub(crate) ssl: PathBuf,
    now: u64,
}

impl Set<'_> {
    /// Makes what is missing, and keeps the rest.
    fn add(&self) -> Result<Vec<String>, MakeError> {
        let mut missing = Vec::new();
        for holder in self.holders() {
            match holder.place.read(&self.ssl)? {
                Some(pair) => self.same_names(&holder, &pair)?,
                None => missing.push(holder),
            }
        }
        // A CA key that was taken away is missed only when something must be signed.
        if !missing.is_empty() || self.order.ca_dir.is_some() {
            let authority = self.authority()?;
            for holder in missing {
                self.issue(&authority, &holder)?;
            }
        }
        Ok(Vec::new())
    }

    /// Makes all leaves anew from the same CA.
    fn renew(&self) -> Result<Vec<String>, MakeError> {
        if rotate::under_way(self)? {
            return Err(MakeError::UnderWay);
        }
        let path = ca_place().certificate(&self.ssl);
        if tree::read(&path)?.is_none() {
            return Err(MakeError::Nothing { path });
        }
        let authority = self.authority()?;
        for holder in self.holders() {
            self.issue(&authority, &holder)?;
        }
        Ok(vec![String::from("All certificates are new; apply their Secrets, in any order.")])
    }

    pub(crate) fn new_authority(&self) -> Result<Authority, MakeError> {
        let days = self.order.days.max(AUTHORITY_DAYS);
        let name = service::authority_name(self.order.service);
        Ok(Authority::make(name, self.order.key, Period::days(self.now, days))?)
    }

    /// The CA that is there, that of `--ca-dir`, or a new one.
    fn authority(&self) -> Result<Authority, MakeError> {
        let path = ca_place().certificate(&self.ssl);
        let given = self.order.ca_dir.as_deref().map(given_authority).transpose()?;
        if let Some(certificate) = tree::read(&path)? {
            let key = tree::read(&ca_place().key(&self.ssl))?.unwrap_or_default();
            let Ok(authority) = Authority::from_pem(&certificate, &key) else {
                return Err(MakeError::NoAuthority { path });
            };
            if given.is_some_and(|given| given.pair() != authority.pair()) {
                return Err(MakeError::OtherAuthority { path });
            }
            return Ok(authority);
        }
        let authority = match given {
            Some(given) => given,
            None => self.new_authority()?,
        };
        ca_place().write(&self.ssl, authority.pair())?;
        Ok(authority)
    }

    pub(crate) fn issue(&self, authority: &Authority, holder: &Holder) -> Result<(), MakeError> {
        let period = Period::days(self.now, self.order.days);
        let pair = authority.issue(&holder.leaf, self.order.key, period)?;
        Ok(holder.place.write(&self.ssl, &pair)?)
    }

    /// How many further clients there are or should be.
    fn clients(&self) -> u16 {
        let there = |index: &u16| self.ssl.join(format!("client-{index}")).is_dir();
        let found = (1..=999).take_while(there).last().unwrap_or(0);
        found.max(self.order.clients)
    }

    pub(crate) fn holders(&self) -> Vec<Holder> {
        service::holders(self.order, self.clients())
    }

    fn same_names(&self, holder: &Holder, pair: &Pair) -> Result<(), MakeError> {
        let mut found = Facts::first(&pair.certificate).map_or_else(Vec::new, |facts| facts.names);
        let mut wanted = holder.leaf.names.clone();
        found.sort();
        wanted.sort();
        if found == wanted {
            return Ok(());
        }
        Err(MakeError::OtherNames { path: holder.place.certificate(&self.ssl), found, wanted })
    }

    fn outcome(&self, notes: Vec<String>) -> Result<Outcome, MakeError> {
        let ca = tree::read(&ca_place().certificate(&self.ssl))?.unwrap_or_default();
        let authorities = Facts::all(&ca).unwrap_or_default();
        let mut verified = Vec::new();
        for holder in self.holders() {
            let path = holder.place.certificate(&self.ssl);
            let pair = holder.place.read(&self.ssl)?;
            match broken(pair.as_ref(), &authorities, self.now) {
                None => verified.push(path),
                Some(cause) => return Err(MakeError::Chain { path, cause }),
            }
        }
        let ca_key = tree::read(&ca_place().key(&self.ssl))?;
        let holders = self.holders();
        let secrets =
            service::secrets(self.order, self.clients(), &ca, ca_key.as_deref(), |folder| {
                let holder = holders.iter().find(|holder| holder.place.folder == folder)?;
                holder.place.read(&self.ssl).ok().flatten()
            });
        Ok(Outcome { verified, secrets, notes, files: self.ssl.clone() })
    }
}

/// What is wrong with a certificate, its key or its chain at `now`.
fn broken(pair: Option<&Pair>, authorities: &[Facts], now: u64) -> Option<&'static str> {
    let Some(pair) = pair else { return Some("certificate or key is missing") };
    let Some(facts) = Facts::first(&pair.certificate) else { return Some("not a certificate") };
    if !facts.fits(&pair.key) {
        return Some("its key does not fit");
    }
    if now < facts.begin || now > facts.end {
        return Some("it does not hold now");
    }
    let signed = |authority: &&Facts| facts.signed_by(authority);
    match authorities.iter().find(signed) {
        None => Some("no CA of the CA file signed it"),
        Some(authority) if now > authority.end => Some("its CA has ended"),
        Some(_) => None,
    }
}

/// The CA of another tree.
fn given_authority(dir: &Path) -> Result<Authority, MakeError> {
    let path = dir.join("certs/ca_certificate.pem");
    let certificate = tree::read(&path)?.unwrap_or_default();
    let key = tree::read(&dir.join("secrets/ca_key.pem"))?.unwrap_or_default();
    Authority::from_pem(&certificate, &key).map_err(|_| MakeError::NoAuthority { path })
}

/// Where the CA lies.
pub(crate) fn ca_place() -> Place {
    Place::new("ca", "ca")
}

/// Days that a CA holds at least.
const AUTHORITY_DAYS: u32 = 3650;
