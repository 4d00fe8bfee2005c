//! When a file counts as gone.

use std::sync::Mutex;
use std::time::Instant;

use super::*;
use crate::events::EventFile;
use crate::vault::FileVault;

const VLAN: &str = "apiVersion: k8s.f5net.com/v1
kind: F5SPKVlan
metadata: {name: a, namespace: spk-core}
spec: {name: a, interfaces: [\"1.1\"], selfip_v4s: [10.0.0.1], prefixlen_v4: 8}
";

fn facts(root: &Path) -> FileFacts {
    let dir = root.join("resources");
    fs::create_dir_all(&dir).unwrap();
    let vault = FileVault::open(&root.join("vault")).unwrap();
    let events: SharedEvents = Arc::new(Mutex::new(EventFile::new(root.join("events.jsonl"))));
    FileFacts::open(&dir, Arc::new(vault), events).unwrap()
}

/// Scans until a reading changes something; a file that was just written is left for later.
fn until_changed(facts: &mut FileFacts) {
    let end = Instant::now() + Duration::from_secs(5);
    while !facts.scan().unwrap() {
        assert!(Instant::now() < end);
    }
    facts.first = false;
}

#[test]
fn file_that_one_reading_misses_keeps_its_objects_and_one_that_two_miss_does_not() {
    let root = tempfile::tempdir().unwrap();
    let mut facts = facts(root.path());
    let (file, aside) = (root.path().join("resources/a.yaml"), root.path().join("aside"));
    fs::write(&file, VLAN).unwrap();
    until_changed(&mut facts);
    for _ in 0..2 {
        fs::rename(&file, &aside).unwrap();
        assert!(!facts.scan().unwrap());
        assert_eq!(facts.catalogue.facts(0).manifests.len(), 1);
        fs::rename(&aside, &file).unwrap();
        facts.scan().unwrap();
        assert!(facts.missed.is_empty());
    }
    fs::remove_file(&file).unwrap();
    assert!(!facts.scan().unwrap());
    assert!(facts.scan().unwrap());
    assert_eq!(facts.catalogue.facts(0).manifests.len(), 0);
}

#[test]
fn file_that_went_while_nobody_looked_is_gone_at_the_first_reading() {
    let root = tempfile::tempdir().unwrap();
    let mut before = facts(root.path());
    let file = root.path().join("resources/a.yaml");
    fs::write(&file, VLAN).unwrap();
    until_changed(&mut before);
    before.publish();
    fs::remove_file(&file).unwrap();
    let mut after = facts(root.path());
    assert_eq!(after.catalogue.files().len(), 1);
    after.scan().unwrap();
    assert_eq!(after.catalogue.files().len(), 0);
}
