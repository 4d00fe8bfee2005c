//! YAML in, JSON out: one snapshot for each file of `tests/cases`, and one for the demo's samples.

use std::collections::BTreeMap;

use spk_plan::plan;
use tmm_config::{Config, Facts};

use crate::scenario::{inputs, read, samples, view};

const CASES: [&str; 8] = [
    "vlans",
    "static-routes",
    "egress",
    "egress-without-exit",
    "listeners",
    "vlan-sets",
    "members",
    "ngap-and-monitors",
];

fn assert_view(name: &str, text: &str) {
    let plan = plan(&inputs(text));
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!(name, view(&plan));
    });
    let compiled = Config::compile(None, &plan.spec_for(0), &Facts::default());
    assert!(compiled.is_ok(), "a TMM refuses the snapshot of {name}: {compiled:?}");
}

#[test]
fn each_case_gives_its_verdicts_and_its_configuration() {
    for name in CASES {
        assert_view(name, &read(&format!("tests/cases/{name}.yaml")));
    }
}

#[test]
fn objects_in_the_wrong_namespace_are_refused_and_strangers_are_not_judged() {
    assert_view("namespaces", &read("tests/cases/namespaces.yaml"));
}

#[test]
fn the_samples_of_the_demo_are_accepted_whole() {
    let text = samples();
    let plan = plan(&inputs(&text));
    let refused: BTreeMap<_, _> = plan
        .objects
        .iter()
        .filter(|(_, object)| !object.accepted.status || !object.resolved.status)
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    assert_view("samples", &text);
}
