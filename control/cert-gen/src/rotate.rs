//! Another CA without a moment at which a connection fails.
//!
//! Three calls, each followed by applying the Secrets everywhere: everybody trusts both CAs; leaves
//! come from the new one; the old one is dropped. Where the files stand says which call is next.
//!
//! Invariant: the first certificate of the CA file belongs to the CA key, so adding clients works in
//! between. Source: operations.md §3.4 (OPS-321).

use std::path::PathBuf;

use crate::make::{MakeError, Set, ca_place};
use crate::pki::{Authority, Facts};
use crate::tree::{self, Access};

/// Whether the CA file holds two CAs.
pub(crate) fn under_way(set: &Set<'_>) -> Result<bool, MakeError> {
    Ok(certificates(set)?.1.len() > 1)
}

/// Takes the next of the three steps.
pub(crate) fn step(set: &Set<'_>) -> Result<Vec<String>, MakeError> {
    let (bundle, facts) = certificates(set)?;
    let note = match facts.as_slice() {
        [] => {
            return Err(MakeError::Nothing { path: ca_place().certificate(&set.ssl) });
        }
        [_] => {
            trust_both(set, &bundle)?;
            "Step 1 of 3: both CAs are trusted. Apply the Secrets everywhere, wait 10 s, then call again with --rotate=ca."
        }
        [_, new, ..] => match tree::read(&next_key(set))? {
            // The key of the new CA waits: leaves still come from the old one.
            Some(key) if new.fits(&key) => {
                use_new(set, &bundle, &key)?;
                "Step 2 of 3: certificates come from the new CA. Apply the Secrets everywhere, wait 10 s, then call again with --rotate=ca."
            }
            Some(_) | None => {
                drop_old(set, &bundle)?;
                "Step 3 of 3: the old CA is dropped. Apply the Secrets everywhere."
            }
        },
    };
    Ok(vec![note.to_owned()])
}

fn trust_both(set: &Set<'_>, old: &str) -> Result<(), MakeError> {
    let new = set.new_authority()?;
    tree::write(&next_key(set), &new.pair().key, Access::Private)?;
    write_bundle(set, &[old, &new.pair().certificate])
}

fn use_new(set: &Set<'_>, bundle: &str, key: &str) -> Result<(), MakeError> {
    let blocks = blocks(bundle);
    let [old, new] = blocks.as_slice() else {
        return Err(MakeError::NoAuthority { path: ca_place().certificate(&set.ssl) });
    };
    let authority = Authority::from_pem(new, key)?;
    for holder in set.holders() {
        set.issue(&authority, &holder)?;
    }
    // A call that is broken off here starts this step again.
    tree::write(&ca_place().key(&set.ssl), key, Access::Private)?;
    write_bundle(set, &[new, old])?;
    Ok(tree::remove_if_there(&next_key(set))?)
}

fn drop_old(set: &Set<'_>, bundle: &str) -> Result<(), MakeError> {
    let blocks = blocks(bundle);
    write_bundle(set, &blocks[..1])
}

fn write_bundle(set: &Set<'_>, certificates: &[impl AsRef<str>]) -> Result<(), MakeError> {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str(certificate.as_ref().trim_end());
        text.push('\n');
    }
    Ok(tree::write(&ca_place().certificate(&set.ssl), &text, Access::Public)?)
}

/// The CA file's text, and what is in it.
fn certificates(set: &Set<'_>) -> Result<(String, Vec<Facts>), MakeError> {
    let path = ca_place().certificate(&set.ssl);
    let Some(text) = tree::read(&path)? else { return Ok(Default::default()) };
    match Facts::all(&text) {
        Some(facts) => Ok((text, facts)),
        None => Err(MakeError::NoAuthority { path }),
    }
}

/// Each certificate of a PEM text.
fn blocks(text: &str) -> Vec<String> {
    text.split_inclusive(END).filter(|block| block.contains(END)).map(str::to_owned).collect()
}

fn next_key(set: &Set<'_>) -> PathBuf {
    set.ssl.join("ca/secrets/next_ca_key.pem")
}

const END: &str = "-----END CERTIFICATE-----\n";
