//! Directions of dependence, held over `cargo metadata` and the source tree.
//!
//! Owns the list of what a pure crate may not reach, where `unsafe` may lie and how a file may
//! look. Builds nothing and opens no network.
//!
//! Sources: the architecture page, sections 2 and 7; the style page, section 4.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Crates that decide and do no I/O.
const PURE: [&str; 8] = [
    "tmm-wire",
    "tmm-config",
    "tmm-engine",
    "spk-api",
    "spk-plan",
    "spk-jose",
    "spk-entitlement",
    "spk-license",
];
/// What no pure crate may reach, at any depth.
const WORLD: [&str; 9] =
    ["tokio", "tonic", "lapin", "kube", "kube-client", "dpdk-sys", "capsule", "hyper", "libbpf-rs"];
/// Crates that own `unsafe`.
const UNSAFE: [&str; 2] = ["dpdk-sys", "capsule"];
/// Sources of time, chance and input that a pure crate takes as arguments instead.
const WORLD_CALLS: [&str; 9] = [
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "std::env",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process::Command",
];
/// Names that say nothing about their subject.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "common", "helpers", "misc", "manager"];
/// Lines above which a file has a second subject.
const FILE_LINES: usize = 1_000;

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(vec![
            "--offline".to_owned(),
            "--locked".to_owned(),
            // Packages of other systems were never fetched.
            format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH),
        ])
        .exec()
        .expect("cargo metadata")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("workspace root").to_path_buf()
}

/// Names of all packages that `from` links, itself excluded, by normal dependencies only.
fn reach(metadata: &Metadata, from: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("resolve graph");
    let nodes: HashMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let start = &metadata.packages.iter().find(|p| p.name == from).expect("package").id;
    let mut seen = BTreeSet::new();
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        for dep in &nodes[id].deps {
            let normal = dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
            if normal && seen.insert(&dep.pkg) {
                open.push(&dep.pkg);
            }
        }
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

/// Rust sources of a package: those of its `src` only, or its tests as well.
fn sources(metadata: &Metadata, package: &str) -> Vec<PathBuf> {
    let manifest = &metadata.packages.iter().find(|p| p.name == package).expect("package");
    let mut found = Vec::new();
    let mut open = vec![manifest.manifest_path.parent().expect("folder").as_std_path().join("src")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// Whether a source file holds tests: `tests.rs`, or lies in a folder of that name.
fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests")
        || path.parent().is_some_and(|folder| folder.ends_with("tests"))
}

#[test]
fn pure_crates_reach_no_runtime_network_or_device() {
    let metadata = metadata();
    for package in PURE {
        let linked = reach(&metadata, package);
        for world in WORLD {
            assert!(!linked.contains(world), "{package} reaches {world}");
        }
    }
}

#[test]
fn pure_crates_take_time_and_input_as_arguments() {
    let metadata = metadata();
    for package in PURE {
        for path in sources(&metadata, package).iter().filter(|path| !is_test(path)) {
            let text = fs::read_to_string(path).expect("source");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for (number, line) in code.enumerate() {
                for call in WORLD_CALLS {
                    assert!(
                        !line.contains(call),
                        "{} uses {call} (code line {number})",
                        path.display()
                    );
                }
            }
        }
    }
}

#[test]
fn engine_does_not_know_capsule_and_control_meets_dataplane_in_the_contract() {
    let metadata = metadata();
    assert!(!reach(&metadata, "tmm-engine").contains("capsule"));
    assert!(!reach(&metadata, "tmm-wire").contains("tmm-config"), "wire lies below config");
    for control in ["spk-api", "spk-plan", "spk-jose", "spk-entitlement", "spk-license"] {
        let linked = reach(&metadata, control);
        for dataplane in ["tmm-engine", "tmm", "capsule", "dpdk-sys"] {
            assert!(!linked.contains(dataplane), "{control} reaches {dataplane}");
        }
    }
    for shell in ["spk-node", "spkctl"] {
        assert!(!reach(&metadata, shell).contains("tmm-engine"), "{shell} reaches the engine");
    }
}

/// No build of ours can be one whose gate is left out: the crates on the way from the lease to the
/// packet have no cargo feature, and no condition of theirs asks for one.
#[test]
fn no_feature_or_condition_of_a_build_touches_the_gate() {
    let metadata = metadata();
    for package in ["tmm", "spk-jose", "spk-entitlement", "tmm-config", "tmm-engine"] {
        let found = metadata.packages.iter().find(|p| p.name == package).expect("package");
        assert!(found.features.is_empty(), "{package}: {:?}", found.features);
        for file in sources(&metadata, package) {
            let text = fs::read_to_string(&file).expect("source");
            for condition in
                ["(feature =", " feature =", "cfg(debug_assertions)", "cfg(not(debug_assertions))"]
            {
                assert!(!text.contains(condition), "{}: {condition}", file.display());
            }
        }
    }
}

#[test]
fn unsafe_is_forbidden_outside_the_two_crates_that_own_it() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let manifest = fs::read_to_string(&package.manifest_path).expect("manifest");
        let inherits = manifest.contains("[lints]\nworkspace = true");
        let owner = UNSAFE.contains(&package.name.as_str());
        assert_ne!(inherits, owner, "{}: lints of the workspace, or its own", package.name);
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("manifest");
    assert!(workspace.contains("unsafe_code = \"forbid\""));
}

#[test]
fn files_have_one_subject_and_a_name_that_says_it() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        for path in sources(&metadata, &package.name) {
            let stem = path.file_stem().and_then(|s| s.to_str()).expect("file name");
            assert!(!EMPTY_NAMES.contains(&stem), "{} says nothing", path.display());
            assert_ne!(stem, "mod", "{}: use foo.rs with foo/", path.display());
            let lines = fs::read_to_string(&path).expect("source").lines().count();
            assert!(lines <= FILE_LINES, "{} has {lines} lines", path.display());
        }
    }
}
