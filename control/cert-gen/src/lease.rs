//! The key that signs lease statements, and the public keys that are trusted.
//!
//! Invariant: a key that is there is never replaced but by `--force`; public keys are added, at most
//! 4, and never removed. Source: operations.md §3.2, licensing.md §1.2 (LIC-010, LIC-011).

use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use spk_jose::{Ed25519Key, Jwks};

use crate::make::{MakeError, Outcome};
use crate::order::{Order, Rotation};
use crate::secret::Secret;
use crate::tree::{self, Access};

/// Makes the key, adds a second one, or finds what is there.
pub(crate) fn make(order: &Order, root: &Path) -> Result<Outcome, MakeError> {
    if order.force {
        tree::remove_directory(root)?;
    }
    let files = Files {
        private: root.join("private.jwk"),
        next: root.join("next.jwk"),
        public: root.join("jwks.json"),
    };
    let mut notes = Vec::new();
    let key = match (read_key(&files.private)?, order.rotate) {
        (Some(key), _) => key,
        (None, Some(_)) => return Err(MakeError::Nothing { path: files.private }),
        (None, None) => new_key(&files.private)?,
    };
    let mut next = read_key(&files.next)?;
    let mut trusted = match tree::read(&files.public)? {
        Some(text) => Jwks::parse(&text).map_err(|error| MakeError::LeaseKey {
            path: files.public.clone(),
            cause: error.to_string(),
        })?,
        None => key.jwks(),
    };
    if order.rotate == Some(Rotation::Leaf) {
        let refused = |path: &PathBuf, cause: &str| {
            Err(MakeError::LeaseKey { path: path.clone(), cause: cause.to_owned() })
        };
        if next.is_some() {
            return refused(
                &files.next,
                "a rotation is under way; when every Controller trusts this key, rename it to private.jwk and call without --rotate",
            );
        }
        if trusted.len() == 4 {
            return refused(&files.public, "holds 4 keys already; remove one that is out of use");
        }
        next = Some(new_key(&files.next)?);
        notes.push(String::from(
            "A second key is there. Apply both Secrets; it signs once every Controller trusts it.",
        ));
    }
    for key in [Some(&key), next.as_ref()].into_iter().flatten() {
        trusted = trusted.joined(&key.jwks());
        if trusted.find(key.kid()).is_none() {
            return Err(MakeError::LeaseKey {
                path: files.public.clone(),
                cause: format!("holds 4 keys, none of which is {}", key.kid()),
            });
        }
    }
    let public = trusted.to_json();
    tree::write(&files.public, &public, Access::Public)?;
    let mut data = vec![(String::from("private.jwk"), key.to_jwk())];
    data.extend(next.as_ref().map(|next| (String::from("next.jwk"), next.to_jwk())));
    let mut verified = vec![files.private];
    verified.extend(next.map(|_| files.next));
    Ok(Outcome {
        verified,
        secrets: vec![
            Secret { name: String::from("cwc-lease-key"), data },
            Secret {
                name: String::from("cwc-lease-jwks"),
                data: vec![(String::from("jwks.json"), public)],
            },
        ],
        notes,
        files: root.to_owned(),
    })
}

struct Files {
    private: PathBuf,
    next: PathBuf,
    public: PathBuf,
}

fn read_key(path: &Path) -> Result<Option<Ed25519Key>, MakeError> {
    let Some(text) = tree::read(path)? else { return Ok(None) };
    let key = Ed25519Key::from_jwk(&text);
    key.map(Some)
        .map_err(|error| MakeError::LeaseKey { path: path.to_owned(), cause: error.to_string() })
}

fn new_key(path: &Path) -> Result<Ed25519Key, MakeError> {
    let mut seed = [0; 32];
    rand::fill(&mut seed).map_err(|_| MakeError::Random)?;
    let key = Ed25519Key::from_seed(seed)
        .map_err(|error| MakeError::LeaseKey { path: path.to_owned(), cause: error.to_string() })?;
    tree::write(path, &key.to_jwk(), Access::Private)?;
    Ok(key)
}
