//! The test authority of one machine: signs lease statements until a CWC is there.
//!
//! Owns the lease key, the asset id and the epoch in the vault, and whether the person at the
//! socket wants the gate open. Its statements are of the same types and pass the same checks as the
//! CWC's; everything they lead to is called self-issued.
//!
//! Invariant: an epoch is stored before a statement of it is signed, and never used again; nothing
//! but [`TestAuthority::want`] makes a statement that opens. Sources: licensing.md §1.2, §2.5,
//! §12.2.

use std::sync::Arc;

use spk_entitlement::lease::DEFAULT_TTL;
use spk_entitlement::{Authority, Class, KeyError, LeaseKey, Occasion, Verdict};
use uuid::Uuid;

use spk_controller::{Vault, VaultError};

/// What every status says of a lease of this authority.
pub const SELF_ISSUED: &str = "self-issued";

/// Signs leases of class trial while it is told to.
#[derive(Debug)]
pub struct TestAuthority {
    authority: Authority,
    wanted: Wanted,
}

/// What the person wants of the gates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// No statement is signed.
    Closed,
    /// `open` and `renew` statements are signed.
    Open,
}

impl TestAuthority {
    /// Reads key, asset and epoch from `vault`, makes what is missing from `random`, and stores the
    /// next epoch. The wish of before the restart holds on: a lease that a person opened goes on
    /// until that person closes it.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`] if the vault fails or holds a broken record; nothing is replaced then
    /// (LIC-011).
    pub fn start(
        vault: &Arc<dyn Vault>,
        random: impl FnOnce() -> Option<[u8; 32]>,
    ) -> Result<Self, AuthorityError> {
        let key = match text(vault, KEY)? {
            Some(jwk) => LeaseKey::from_jwk(&jwk)?,
            None => {
                let key = LeaseKey::from_seed(random().ok_or(AuthorityError::NoRandom)?)?;
                vault.store(KEY, key.to_jwk().as_bytes())?;
                key
            }
        };
        let daid = match text(vault, DAID)? {
            Some(id) => id.trim().parse().map_err(|_| AuthorityError::Record { name: DAID })?,
            None => {
                let id = Uuid::new_v4();
                vault.store(DAID, id.to_string().as_bytes())?;
                id
            }
        };
        let epoch: u64 = match text(vault, EPOCH)? {
            Some(last) => last
                .trim()
                .parse::<u64>()
                .ok()
                .and_then(|last| last.checked_add(1))
                .ok_or(AuthorityError::Record { name: EPOCH })?,
            None => 1,
        };
        vault.store(EPOCH, epoch.to_string().as_bytes())?;
        let wanted = match text(vault, WANTED)?.as_deref() {
            Some("open") => Wanted::Open,
            Some(_) | None => Wanted::Closed,
        };
        Ok(Self { authority: Authority::new(key, daid, epoch), wanted })
    }

    /// Text of the key set that TMMs trust.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.authority.key().jwks().to_json()
    }

    /// Name of the signing key.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.authority.key().kid()
    }

    /// (epoch, seq) of the last statement.
    #[must_use]
    pub const fn last(&self) -> (u64, u64) {
        self.authority.last()
    }

    /// What the person wants.
    #[must_use]
    pub const fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// Takes the person's wish; [`store_wish`] makes it survive a restart.
    pub const fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// An `open` statement for one pod and nonce, none while the gate is wanted closed.
    pub fn open(
        &mut self,
        namespace: &str,
        pod: &str,
        nonce: &[u8; 16],
        unix_seconds: u64,
    ) -> Option<String> {
        (self.wanted == Wanted::Open)
            .then(|| self.authority.open(namespace, pod, nonce, &occasion(unix_seconds)))
    }

    /// A heartbeat, none while the gate is wanted closed.
    pub fn renew(&mut self, unix_seconds: u64) -> Option<String> {
        (self.wanted == Wanted::Open).then(|| self.authority.renew(&occasion(unix_seconds)))
    }
}

/// Stores what the person wants. Waits for the disk.
///
/// # Errors
///
/// [`VaultError`]; the stored wish stays as it was.
pub fn store_wish(vault: &Arc<dyn Vault>, wanted: Wanted) -> Result<(), VaultError> {
    let word: &[u8] = match wanted {
        Wanted::Open => b"open",
        Wanted::Closed => b"closed",
    };
    vault.store(WANTED, word)
}

/// Why the authority cannot sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The vault fails.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The stored key is broken.
    #[error("vault/{KEY}: {0}; put back the old file, or remove it and the TMMs must be restarted")]
    Key(#[from] KeyError),
    /// A stored record is broken.
    #[error("vault/{name} is broken; put back the old file")]
    Record {
        /// Which.
        name: &'static str,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
}

impl AuthorityError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Vault(_) => "vault",
            Self::Key(error) => error.code(),
            Self::Record { .. } => "vault_record",
            Self::NoRandom => "no_random",
        }
    }
}

fn occasion(unix_seconds: u64) -> Occasion {
    Occasion {
        class: Class::Trial,
        verdict: Verdict::Allow,
        reason: SELF_ISSUED.to_owned(),
        iat: unix_seconds,
        ttl: DEFAULT_TTL,
        ends: None,
    }
}

fn text(vault: &Arc<dyn Vault>, name: &'static str) -> Result<Option<String>, AuthorityError> {
    match vault.load(name)? {
        Some(bytes) => {
            String::from_utf8(bytes).map(Some).map_err(|_| AuthorityError::Record { name })
        }
        None => Ok(None),
    }
}

const KEY: &str = "cwc-lease-key.private.jwk";
const DAID: &str = "daid";
const EPOCH: &str = "epoch";
const WANTED: &str = "lease";

#[cfg(test)]
mod tests;
