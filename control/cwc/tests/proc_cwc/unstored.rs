//! What comes while the store fails, and nobody says again.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::authority;
use crate::rig::{Rig, eventually};

fn store_fails(rig: &Rig) {
    eventually(Duration::from_secs(15), "the store to fail", || {
        rig.client().json("/v1/license")["error"]["code"] == "store_unavailable"
    });
}

/// LIC-512 (P3): usage that was counted while the store failed becomes a report when it works.
#[test]
fn a_count_of_usage_outlives_a_store_that_fails() {
    let rig = Rig::new("eval");
    fs::create_dir_all(rig.path("resources")).unwrap();
    // Counting waits until somebody writes.
    let pipe = rig.path("resources/slow.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "counting", || client.state() == 6);
    fs::rename(rig.path("store"), rig.path("away")).unwrap();
    fs::write(&pipe, "").unwrap();
    store_fails(&rig);
    assert_eq!(client.state(), 6);
    fs::remove_file(&pipe).unwrap();
    fs::rename(rig.path("away"), rig.path("store")).unwrap();
    eventually(Duration::from_secs(20), "a report", || client.state() == 7);
}

/// LIC-512, LIC-120: a JWT that came while the store failed counts when it works.
#[test]
fn a_changed_object_outlives_a_store_that_fails() {
    let rig = Rig::bare();
    rig.put("config/cpcl-key-cm/jwt.key", &authority::jwks());
    rig.certificates();
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a start without a JWT", || client.state() == 2);
    fs::rename(rig.path("store"), rig.path("away")).unwrap();
    rig.value("jwt", &authority::jwt("eval"));
    store_fails(&rig);
    fs::rename(rig.path("away"), rig.path("store")).unwrap();
    eventually(Duration::from_secs(20), "a report", || client.state() == 7);
}
