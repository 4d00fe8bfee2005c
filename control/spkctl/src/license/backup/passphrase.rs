//! The passphrase: from a file or typed, never from an argument.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::license::files;

/// A passphrase; its debug form does not show it.
pub(super) struct Passphrase(String);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passphrase").finish_non_exhaustive()
    }
}

impl Passphrase {
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
impl From<&str> for Passphrase {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// One for a new backup: long enough, and typed twice if it is typed.
pub(super) fn new(file: Option<&Path>) -> anyhow::Result<Passphrase> {
    let passphrase = known(file)?;
    if passphrase.0.chars().count() < SHORTEST {
        bail!("the passphrase has fewer than {SHORTEST} characters; nothing was written");
    }
    if file.is_none() && typed("Again: ")?.0 != passphrase.0 {
        bail!("the two passphrases differ; nothing was written");
    }
    Ok(passphrase)
}

/// The one of an existing backup.
pub(super) fn known(file: Option<&Path>) -> anyhow::Result<Passphrase> {
    let Some(path) = file else { return typed("Passphrase: ") };
    let text = files::read(path)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Passphrase(line.to_owned())),
        Some(_) | None => bail!("{} has no passphrase on its first line", path.display()),
    }
}

/// Asks for it without showing what is typed.
fn typed(prompt: &str) -> anyhow::Result<Passphrase> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        bail!("nobody can be asked for the passphrase; give --passphrase-file");
    }
    let shown = tcgetattr(&stdin).context("cannot hide what is typed")?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).context("cannot hide what is typed")?;
    eprint!("{prompt}");
    let mut line = String::new();
    let read = stdin.read_line(&mut line);
    let back = tcsetattr(&stdin, OptionalActions::Flush, &shown);
    eprintln!();
    read.context("cannot read the passphrase")?;
    back.context("cannot show again what is typed; type reset")?;
    Ok(Passphrase(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Characters of the shortest passphrase.
const SHORTEST: usize = 8;
