//! Files that hold tokens and keys.
//!
//! Owns reading and writing them; a file made here is readable by its owner only. No text of a file
//! is part of an error.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use spk_jose::RsaKeySet;

/// The text of `path`; `-` is standard input.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let limit = u64::try_from(SIZE_LIMIT).unwrap_or(u64::MAX).saturating_add(1);
    let outcome = if path == Path::new("-") {
        io::stdin().take(limit).read_to_string(&mut text)
    } else {
        let file =
            fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        file.take(limit).read_to_string(&mut text)
    };
    outcome.with_context(|| format!("cannot read {}", path.display()))?;
    if text.len() > SIZE_LIMIT {
        bail!("{} is larger than {SIZE_LIMIT} bytes; it holds no token or key set", path.display());
    }
    Ok(text)
}

/// The bytes of `path`, at most `limit`.
pub(super) fn read_bytes(path: &Path, limit: usize) -> anyhow::Result<Vec<u8>> {
    let file = fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = file.take(most).read_to_end(&mut bytes);
    read.with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() > limit {
        bail!("{} is larger than {limit} bytes", path.display());
    }
    Ok(bytes)
}

/// The authority's keys in `path`: the value of `jwt.key` of ConfigMap `cpcl-key-cm`. Keys that are
/// not usable are named on stderr.
pub(super) fn read_key_set(path: &Path) -> anyhow::Result<RsaKeySet> {
    let keys = RsaKeySet::parse(&read(path)?)
        .with_context(|| format!("{} is no usable key set", path.display()))?;
    for refusal in keys.refused() {
        eprintln!("spkctl: {}: not used: {refusal}", path.display());
    }
    Ok(keys)
}

/// Writes `text` to `path` with mode 0600; `-` is standard output.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if path == Path::new("-") {
        return emit(text);
    }
    let context = || format!("cannot write {}", path.display());
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)?;
    file.sync_all().with_context(context)
}

/// Writes `text` to standard output; a reader that left (`| head`) is no error.
pub(super) fn emit(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The start of what a service says about a refusal, on one line.
pub(super) fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    match line.trim() {
        "" => String::new(),
        line => format!(": {line}"),
    }
}

/// Bytes of the largest file: a report in its wrapping.
const SIZE_LIMIT: usize = 256 << 10;
