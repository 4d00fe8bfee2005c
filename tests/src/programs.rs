//! Where the programs under test and the samples lie.
//!
//! The lab runs the shipped (release) programs, which `make` builds before; `SPK_PROGRAMS` names
//! another folder.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// Path of the program `name`.
///
/// # Errors
///
/// Names the command that builds it if it is not there.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = folder()?.join(name);
    ensure!(
        path.is_file(),
        "{} is not built. Fix: cargo build --release --workspace --bins",
        path.display()
    );
    Ok(path)
}

/// Folder of the release programs, beside the profile that this program was built with.
fn folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("SPK_PROGRAMS") {
        return Ok(folder.into());
    }
    let own = env::current_exe().context("own path")?;
    let profile = own
        .ancestors()
        .find(|folder| folder.ends_with("debug") || folder.ends_with("release"))
        .and_then(Path::parent)
        .context("not run from a target folder; set SPK_PROGRAMS")?;
    Ok(profile.join("release"))
}

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// The folder of sample resources.
pub fn samples() -> PathBuf {
    root().join("tests/data/samples")
}
