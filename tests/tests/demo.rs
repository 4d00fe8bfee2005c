//! `make demo` without a terminal, and its report (suite `demo`).

use std::{collections::BTreeSet, fs, process::Command};

use netlab::machine;
use serde_json::Value;
use spk_tests::{demo, programs};

/// What the steps' names begin with.
const SHOWN: [&str; 7] = ["tcp", "udp", "sctp", "egress", "ipv6", "churn", "lease"];

#[test]
fn demo_passes_every_step_reports_it_and_leaves_nothing() {
    if let Err(error) = machine::check() {
        assert!(std::env::var_os("SPK_NO_SKIP").is_none(), "{error}");
        println!("skipped: {error}");
        return;
    }
    let run = Command::new(programs::program("demo").unwrap())
        .env_remove("KEEP")
        .current_dir(programs::root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    println!("{said}{}", String::from_utf8_lossy(&run.stderr));
    let report = fs::read_to_string(demo::folder().join("report.json")).unwrap();
    let steps: Vec<Value> = serde_json::from_str(&report).unwrap();
    for step in &steps {
        assert_eq!(step["ok"], true, "{step}");
        assert!(step["figures"].is_object(), "{step}");
    }
    assert!(run.status.success());
    for shown in SHOWN {
        assert!(
            steps.iter().any(|step| step["step"].as_str().is_some_and(|s| s.starts_with(shown))),
            "no step {shown}"
        );
        assert!(said.lines().any(|line| line.contains(shown)), "{shown} is not on the screen");
    }
    let left: BTreeSet<String> = fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(demo::PREFIX))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!demo::folder().join("run").exists());
}
