//! The form of the file: a head, then the contents under AES-256-GCM.
//!
//! ```text
//! "SPK-BACKUP-1\n" | iterations, 4 bytes | salt, 16 bytes | nonce, 12 bytes | contents and tag
//! ```
//!
//! The key is PBKDF2-HMAC-SHA512 of the passphrase (RFC 8018), the head is authenticated with the
//! contents. Invariant: a file of which one bit differs does not open.

use std::num::NonZeroU32;

use anyhow::{Context as _, anyhow, bail};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{pbkdf2, rand};

use super::passphrase::Passphrase;

/// Encrypts `contents`.
pub(super) fn seal(contents: &[u8], passphrase: &Passphrase) -> anyhow::Result<Vec<u8>> {
    seal_by(contents, passphrase, ITERATIONS)
}

fn seal_by(
    contents: &[u8],
    passphrase: &Passphrase,
    iterations: NonZeroU32,
) -> anyhow::Result<Vec<u8>> {
    let random = |bytes: &mut [u8]| {
        rand::fill(bytes).map_err(|_| anyhow!("the system gives no random bytes"))
    };
    let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
    random(&mut salt)?;
    random(&mut nonce)?;
    let mut head = Vec::from(MAGIC);
    head.extend(iterations.get().to_be_bytes());
    head.extend(salt);
    head.extend(nonce);
    let mut body = contents.to_vec();
    key(passphrase, iterations, &salt)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&head), &mut body)
        .map_err(|_| anyhow!("cannot encrypt"))?;
    head.extend(body);
    Ok(head)
}

/// Decrypts what [`seal`] made.
pub(super) fn open(file: &[u8], passphrase: &Passphrase) -> anyhow::Result<Vec<u8>> {
    let Some((head, body)) = file.split_at_checked(HEAD_LEN).filter(|_| file.starts_with(MAGIC))
    else {
        bail!("it is no backup of spkctl");
    };
    let (iterations, rest) = head
        .get(MAGIC.len()..)
        .and_then(<[u8]>::split_first_chunk::<4>)
        .context("it is no backup of spkctl")?;
    let (salt, nonce) = rest.split_at(SALT_LEN);
    // A number that somebody altered must not keep the machine busy.
    let iterations = NonZeroU32::new(u32::from_be_bytes(*iterations))
        .filter(|count| *count <= MOST_ITERATIONS)
        .context("its head is altered")?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| anyhow!("its head is cut"))?;
    let mut body = body.to_vec();
    let opened = key(passphrase, iterations, salt)?
        .open_in_place(nonce, Aad::from(head), &mut body)
        .map_err(|_| anyhow!("the passphrase is wrong, or the file is altered"))?
        .len();
    body.truncate(opened);
    Ok(body)
}

fn key(
    passphrase: &Passphrase,
    iterations: NonZeroU32,
    salt: &[u8],
) -> anyhow::Result<LessSafeKey> {
    let mut key = [0; 32];
    let secret = passphrase.bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, salt, secret, &mut key);
    let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| anyhow!("cannot make a key"))?;
    Ok(LessSafeKey::new(key))
}

/// Bytes of the largest file; a full store is below 4 MiB.
pub(super) const SIZE_LIMIT: usize = 64 << 20;
const MAGIC: &[u8] = b"SPK-BACKUP-1\n";
const SALT_LEN: usize = 16;
const HEAD_LEN: usize = MAGIC.len() + 4 + SALT_LEN + NONCE_LEN;
/// About half a second of a present CPU.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();
const MOST_ITERATIONS: NonZeroU32 = NonZeroU32::new(10_000_000).unwrap();

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: NonZeroU32 = NonZeroU32::new(10).unwrap();

    /// LIC-921's refusals, for each part of the file; the command is proven in `tests/tests/licence_spkctl`.
    #[test]
    fn a_file_opens_by_its_passphrase_and_unaltered_only() {
        let right = Passphrase::from("correct horse");
        let file = seal_by(b"the contents", &right, FEW).unwrap();
        assert!(!file.windows(8).any(|part| part == b"contents"));
        assert_eq!(open(&file, &right).unwrap(), b"the contents");
        assert!(open(&file, &Passphrase::from("correct horsf")).is_err());
        // One bit of the magic, salt, nonce, contents and tag; the count is below.
        for at in [0, MAGIC.len() + 4, HEAD_LEN - 1, HEAD_LEN, file.len() - 1] {
            let mut altered = file.clone();
            altered[at] ^= 1;
            assert!(open(&altered, &right).is_err(), "byte {at}");
        }
        let mut altered = file.clone();
        altered[MAGIC.len()] = 0xff;
        assert_eq!(open(&altered, &right).unwrap_err().to_string(), "its head is altered");
        for length in [0, MAGIC.len(), HEAD_LEN, file.len() - 1] {
            assert!(open(&file[..length], &right).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn two_files_of_the_same_contents_have_nothing_in_common() {
        let passphrase = Passphrase::from("correct horse");
        let [one, two] = [(); 2].map(|()| seal_by(b"the same", &passphrase, FEW).unwrap());
        assert_ne!(one[MAGIC.len() + 4..HEAD_LEN], two[MAGIC.len() + 4..HEAD_LEN]);
        assert_ne!(one[HEAD_LEN..], two[HEAD_LEN..]);
    }
}
