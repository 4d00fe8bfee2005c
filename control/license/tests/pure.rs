//! LIC-570: no clock in pure code. Nothing but a shell's `main` makes a [`spk_license::Now`].

use std::fs;
use std::path::{Path, PathBuf};

/// Crates that take `now` as an argument.
const PURE: [&str; 3] = ["jose", "license", "entitlement"];

/// Ways to read a clock, or to wait for one.
const CLOCKS: [&str; 7] = [
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "clock_gettime",
    "thread::sleep",
    "TimeZone::system",
];

/// Packages that bring a clock or a runtime with them.
const SHELLS: [&str; 6] = ["tokio", "nix", "rustix", "chrono", "time", "hyper"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_pure_crate_reads_a_clock() {
    let control = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for name in PURE {
        let mut files = Vec::new();
        sources(&control.join(name).join("src"), &mut files);
        assert!(files.len() > 5, "{name}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for clock in CLOCKS {
                assert!(!text.contains(clock), "{} in {}", clock, file.display());
            }
        }
    }
}

#[test]
fn no_pure_crate_depends_on_a_shells_package() {
    let control = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for name in PURE {
        let manifest = fs::read_to_string(control.join(name).join("Cargo.toml")).unwrap();
        let begin = manifest.find("[dependencies]").unwrap();
        let dependencies = &manifest[begin..];
        let end = dependencies.find("[dev-dependencies]").unwrap_or(dependencies.len());
        for line in dependencies[..end].lines() {
            let package = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(!SHELLS.contains(&package), "{name} depends on {package}");
        }
    }
}
