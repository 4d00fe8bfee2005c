//! The set-up script's plan, which changes nothing (suite `pure`).

use std::{env, process::Command};

use spk_tests::programs;

/// What `machine.sh plan` says with this PATH and an empty home.
fn plan(path: &str) -> String {
    let home = tempfile::TempDir::new().unwrap();
    let output = Command::new("bash")
        .arg(programs::root().join("tests/setup/machine.sh"))
        .arg("plan")
        .env_clear()
        .env("PATH", path)
        .env("HOME", home.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "a plan changes nothing");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_machine_without_cargo_gets_rustup_with_the_pinned_toolchain() {
    let said = plan("/usr/sbin:/usr/bin:/sbin:/bin");
    assert!(said.contains("https://sh.rustup.rs"), "{said}");
    assert!(said.contains("rust-toolchain.toml"), "{said}");
    assert!(said.contains("cargo-nextest") && said.contains("cargo-deny"), "{said}");
}

#[test]
fn a_machine_with_cargo_keeps_its_own() {
    let said = plan(&env::var("PATH").unwrap());
    assert!(said.contains("cargo present"), "{said}");
    assert!(!said.contains("rustup.rs"), "{said}");
}
