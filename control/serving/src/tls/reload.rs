//! The decision which files are used: a machine without files and clocks.
//!
//! It is told what a look at the files found, and answers what to use and what to say.
//!
//! Invariant: what is in use changes only to a set that passed the check as a whole. A set that is
//! refused is reported once, and only if a second look finds the same: a look between two writes
//! is no fault. Source: operations.md §3.4.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::files::PemSet;
use super::material::{Alpn, CertificateFacts, Material, Refusal};

/// What people should know about the files of an identity.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CertificateEvent {
    /// New files came and cannot be used; the old ones stay in use.
    Refused {
        /// The Secret.
        object: String,
        /// What is wrong.
        refusal: Refusal,
    },
    /// New files are in use for new connections.
    Reloaded {
        /// The Secret.
        object: String,
        /// The own certificate.
        certificate: CertificateFacts,
    },
    /// A certificate in use ends soon.
    Expiring {
        /// The certificate.
        certificate: CertificateFacts,
        /// 30 or 7.
        days: u16,
    },
}

impl CertificateEvent {
    /// The event's reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "CertificateRefused",
            Self::Reloaded { .. } => "CertificateReloaded",
            Self::Expiring { .. } => "CertificateExpiring",
        }
    }

    /// Whether somebody has to do something.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Expiring { .. } => true,
            Self::Reloaded { .. } => false,
        }
    }

    /// The Secret that it is about.
    #[must_use]
    pub fn object(&self) -> &str {
        match self {
            Self::Refused { object, .. } | Self::Reloaded { object, .. } => object,
            Self::Expiring { certificate, .. } => &certificate.object,
        }
    }
}

impl std::fmt::Display for CertificateEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { object, refusal } => {
                write!(f, "new files of Secret {object} are refused: {refusal}")
            }
            Self::Reloaded { object, certificate } => write!(
                f,
                "Certificate {} of Secret {object} reloaded, serial {}",
                certificate.file, certificate.serial
            ),
            Self::Expiring { certificate, days } => write!(
                f,
                "certificate {} of Secret {} ends at {}, in {days} days or less",
                certificate.file, certificate.object, certificate.not_after
            ),
        }
    }
}

/// What to do after a look.
#[derive(Debug)]
pub(super) enum Output {
    /// Use this from now on.
    Use(Arc<Material>),
    /// Tell it.
    Report(CertificateEvent),
    /// Nothing can be used yet; say so in the log.
    Waiting(Refusal),
}

/// The machine of one identity.
#[derive(Debug)]
pub(super) struct Reload {
    object: String,
    alpn: Alpn,
    current: Option<Arc<Material>>,
    /// What the last looks found amiss, since when, and whether it was reported.
    amiss: Option<Amiss>,
    /// When the log last said that nothing can be used.
    said: Option<Duration>,
    /// The last warning about each certificate in use, in days.
    warned: HashMap<(String, Timestamp), u16>,
}

#[derive(Debug)]
struct Amiss {
    refusal: Refusal,
    pem: Option<PemSet>,
    since: Duration,
    reported: bool,
}

impl Reload {
    pub(super) fn new(object: &str, alpn: Alpn) -> Self {
        Self {
            object: object.to_owned(),
            alpn,
            current: None,
            amiss: None,
            said: None,
            warned: HashMap::new(),
        }
    }

    /// Takes what a look at the files found at `wall`, `boot` after the machine's start. Call it at
    /// least every 5 s.
    pub(super) fn handle_input(
        &mut self,
        found: Result<PemSet, Refusal>,
        wall: Timestamp,
        boot: Duration,
    ) -> Vec<Output> {
        let mut outputs = Vec::new();
        match found {
            Ok(pem) if self.current.as_ref().is_some_and(|current| *current.pem() == pem) => {
                self.amiss = None;
            }
            Ok(pem) => match Material::check(&self.object, pem.clone(), self.alpn, wall) {
                Ok(material) => self.take(material, &mut outputs),
                Err(refusal) => self.refuse(refusal, Some(pem), boot, &mut outputs),
            },
            Err(refusal) => self.refuse(refusal, None, boot, &mut outputs),
        }
        self.warn(wall, &mut outputs);
        outputs
    }

    fn take(&mut self, material: Material, outputs: &mut Vec<Output>) {
        let material = Arc::new(material);
        self.amiss = None;
        outputs.push(Output::Use(Arc::clone(&material)));
        if self.current.is_some() {
            outputs.push(Output::Report(CertificateEvent::Reloaded {
                object: self.object.clone(),
                certificate: material.certificates()[0].clone(),
            }));
        }
        let held: Vec<_> = material.certificates().iter().map(certificate_key).collect();
        self.warned.retain(|key, _| held.contains(key));
        self.current = Some(material);
    }

    fn refuse(
        &mut self,
        refusal: Refusal,
        pem: Option<PemSet>,
        boot: Duration,
        outputs: &mut Vec<Output>,
    ) {
        let same =
            self.amiss.as_ref().is_some_and(|amiss| amiss.refusal == refusal && amiss.pem == pem);
        if !same {
            self.amiss =
                Some(Amiss { refusal: refusal.clone(), pem, since: boot, reported: false });
        }
        let waits = self.current.is_none();
        if waits && self.said.is_none_or(|said| boot.saturating_sub(said) >= SAY_EVERY) {
            self.said = Some(boot);
            outputs.push(Output::Waiting(refusal.clone()));
        }
        // Files that never were there are waited for; that is no event.
        let absent = waits && matches!(refusal, Refusal::Missing { .. });
        if let Some(amiss) = &mut self.amiss
            && !absent
            && !amiss.reported
            && boot.saturating_sub(amiss.since) >= SETTLE
        {
            amiss.reported = true;
            outputs.push(Output::Report(CertificateEvent::Refused {
                object: self.object.clone(),
                refusal,
            }));
        }
    }

    fn warn(&mut self, wall: Timestamp, outputs: &mut Vec<Output>) {
        let Some(current) = &self.current else { return };
        for certificate in current.certificates() {
            let left = certificate.not_after.duration_since(wall);
            let due = WARN_DAYS
                .iter()
                .rev()
                .find(|days| left <= SignedDuration::from_hours(24 * i64::from(**days)));
            let Some(days) = due else { continue };
            let key = certificate_key(certificate);
            if self.warned.get(&key).is_none_or(|warned| days < warned) {
                self.warned.insert(key, *days);
                outputs.push(Output::Report(CertificateEvent::Expiring {
                    certificate: certificate.clone(),
                    days: *days,
                }));
            }
        }
    }
}

fn certificate_key(certificate: &CertificateFacts) -> (String, Timestamp) {
    (certificate.file.clone(), certificate.not_after)
}

/// How long before its end a certificate is spoken of (OPS-323).
const WARN_DAYS: [u16; 2] = [30, 7];
/// How long a set must stay as it is before its refusal is an event.
const SETTLE: Duration = Duration::from_secs(1);
/// How often the log says that nothing can be used (LIC-304, OPS-160).
const SAY_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
