//! The CWC's own keys and token: made once, never replaced.
//!
//! Owns Secrets `cwc-lease-key`, `cwc-lease-jwks`, `cwc-report-key` and `cwc-auth-token`. Signs
//! nothing. Invariant: a private key is overwritten by nothing but `next.jwk`, and the published set
//! only grows (LIC-011). Source: licensing.md §1.2, §13.

use spk_entitlement::desk::KeyRing;
use spk_jose::{Ed25519Key, Ed25519KeyError, Jwks, JwksError, base64url};
use spk_store::{Record, Store, StoreError, Version};

use crate::random::{self, RandomError};

/// What was found or made.
pub struct Keys {
    /// Sign statements.
    pub lease: Lease,
    /// Signs reports.
    pub report: Ed25519Key,
    /// The bearer token.
    pub token: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("lease", &self.lease).finish_non_exhaustive()
    }
}

/// The keys of statements, and the version of the Secret that they were read from.
#[derive(Debug)]
pub struct Lease {
    /// For the desk.
    pub ring: KeyRing,
    /// Of Secret `cwc-lease-key`.
    pub version: Version,
}

/// A key cannot be used. No text holds a part of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// None can be made.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The text is no key.
    #[error("Secret {secret}, key {key}: {source}")]
    Key {
        /// The Secret.
        secret: &'static str,
        /// Its data key.
        key: &'static str,
        /// What is wrong.
        source: Ed25519KeyError,
    },
    /// The text is no key set.
    #[error("Secret {LEASE_JWKS}, key {JWKS}: {0}")]
    Jwks(JwksError),
    /// A Secret lacks its key, or it is no text.
    #[error("Secret {secret} has no text under key {key}")]
    Absent {
        /// The Secret.
        secret: &'static str,
        /// The data key.
        key: &'static str,
    },
}

impl KeyError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Random(_) => "random_unavailable",
            Self::Key { .. } => "key_invalid",
            Self::Jwks(_) => "jwks_invalid",
            Self::Absent { .. } => "key_absent",
        }
    }
}

/// Reads all, and makes what is absent.
///
/// # Errors
///
/// [`KeyError`]; what is there and cannot be used stays as it is.
pub async fn open<S: Store>(store: &S) -> Result<Keys, KeyError> {
    made_once(store, LEASE_KEY, || new_key(LEASE_KEY)).await?;
    let lease = lease(store).await?;
    let record = made_once(store, REPORT_KEY, || new_key(REPORT_KEY)).await?;
    let report = key(&record, REPORT_KEY, PRIVATE)?.ok_or(absent(REPORT_KEY, PRIVATE))?;
    let new_token = || Ok(Record::of(TOKEN, base64url::encode(&random::bytes::<32>()?)));
    let record = made_once(store, AUTH_TOKEN, new_token).await?;
    let token = record.text(TOKEN).map(|text| text.trim().to_owned());
    let token = token.filter(|text| !text.is_empty()).ok_or(absent(AUTH_TOKEN, TOKEN))?;
    Ok(Keys { lease, report, token })
}

/// Reads the keys of statements again if Secret `cwc-lease-key` is no longer of `version`: a
/// `next.jwk` came (LIC-017).
///
/// # Errors
///
/// [`KeyError`]; the keys in use stay.
pub async fn changed<S: Store>(store: &S, version: &Version) -> Result<Option<Lease>, KeyError> {
    match store.read(LEASE_KEY).await? {
        Some(stored) if stored.version == *version => Ok(None),
        // A Secret that is gone says nothing: the keys in use stay.
        None => Ok(None),
        Some(_) => lease(store).await.map(Some),
    }
}

async fn lease<S: Store>(store: &S) -> Result<Lease, KeyError> {
    let stored = store.read(LEASE_KEY).await?.ok_or(absent(LEASE_KEY, PRIVATE))?;
    let private = key(&stored.record, LEASE_KEY, PRIVATE);
    let next = key(&stored.record, LEASE_KEY, NEXT)?;
    let (signing, next) = match (private, next) {
        (Ok(Some(private)), next) => (private, next),
        // The old key is lost: the new one signs at once.
        (Ok(None) | Err(_), Some(next)) => (next, None),
        (Ok(None), None) => return Err(absent(LEASE_KEY, PRIVATE)),
        (Err(error), None) => return Err(error),
    };
    let published = publish(store, &signing, next.as_ref()).await?;
    Ok(Lease { ring: KeyRing { signing, next, published }, version: stored.version })
}

/// Makes `next.jwk` the signing key: it signs from now on (LIC-017).
///
/// # Errors
///
/// [`KeyError`]; the Secret stays as it is.
pub async fn rotate<S: Store>(store: &S) -> Result<Version, KeyError> {
    let stored = store.read(LEASE_KEY).await?.ok_or(absent(LEASE_KEY, NEXT))?;
    let next = stored.record.text(NEXT).ok_or(absent(LEASE_KEY, NEXT))?;
    let record = Record::of(PRIVATE, next.as_bytes());
    Ok(store.replace(LEASE_KEY, record, &stored.version).await?)
}

async fn made_once<S: Store>(
    store: &S,
    secret: &'static str,
    make: impl FnOnce() -> Result<Record, KeyError>,
) -> Result<Record, KeyError> {
    if let Some(stored) = store.read(secret).await? {
        return Ok(stored.record);
    }
    let record = make()?;
    match store.create(secret, record.clone()).await {
        Ok(_) => {
            tracing::info!("made Secret {secret}");
            Ok(record)
        }
        // Another made it in between: that one counts.
        Err(StoreError::Exists { .. }) => {
            let stored = store.read(secret).await?;
            stored.map(|stored| stored.record).ok_or(absent(secret, "data"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Joins the public keys to the published set.
async fn publish<S: Store>(
    store: &S,
    lease: &Ed25519Key,
    next: Option<&Ed25519Key>,
) -> Result<Jwks, KeyError> {
    let mut own = lease.jwks();
    if let Some(next) = next {
        own = own.joined(&next.jwks());
    }
    let Some(stored) = store.read(LEASE_JWKS).await? else {
        store.create(LEASE_JWKS, Record::of(JWKS, own.to_json())).await?;
        return Ok(own);
    };
    let text = stored.record.text(JWKS).ok_or(absent(LEASE_JWKS, JWKS))?;
    let published = Jwks::parse(text).map_err(KeyError::Jwks)?;
    let joined = published.clone().joined(&own);
    if joined != published {
        let record = stored.record.with(JWKS, joined.to_json());
        store.replace(LEASE_JWKS, record, &stored.version).await?;
    }
    Ok(joined)
}

fn new_key(secret: &'static str) -> Result<Record, KeyError> {
    let key = Ed25519Key::from_seed(random::bytes()?).map_err(|source| KeyError::Key {
        secret,
        key: PRIVATE,
        source,
    })?;
    Ok(Record::of(PRIVATE, key.to_jwk()))
}

fn key(
    record: &Record,
    secret: &'static str,
    name: &'static str,
) -> Result<Option<Ed25519Key>, KeyError> {
    if record.get(name).is_none() {
        return Ok(None);
    }
    let text = record.text(name).ok_or(absent(secret, name))?;
    Ed25519Key::from_jwk(text).map(Some).map_err(|source| KeyError::Key {
        secret,
        key: name,
        source,
    })
}

const fn absent(secret: &'static str, key: &'static str) -> KeyError {
    KeyError::Absent { secret, key }
}

const LEASE_KEY: &str = "cwc-lease-key";
const LEASE_JWKS: &str = "cwc-lease-jwks";
const REPORT_KEY: &str = "cwc-report-key";
const AUTH_TOKEN: &str = "cwc-auth-token";
const PRIVATE: &str = "private.jwk";
const NEXT: &str = "next.jwk";
const JWKS: &str = "jwks.json";
const TOKEN: &str = "token";
