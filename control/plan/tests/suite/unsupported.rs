//! Fields and kinds of later steps are refused by name, and only where they are set to something.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use spk_api::{Kind, Manifest};
use spk_plan::{InForce, plan};

use crate::scenario::inputs;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    bases: BTreeMap<Kind, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    kind: Kind,
    set: Map<String, Value>,
    #[serde(default)]
    refused: Option<String>,
}

#[test]
fn a_field_of_a_later_step_is_refused_by_name_unless_it_asks_for_nothing() {
    let table: Table = serde_saphyr::from_str(include_str!("unsupported.yaml")).expect("a table");
    for case in &table.cases {
        let mut object = table.bases[&case.kind].clone();
        object["kind"] = case.kind.name().into();
        for (field, value) in &case.set {
            object["spec"][field] = value.clone();
        }
        let manifest = Manifest::admit(case.kind, object, "demo").expect("it has a name");
        assert!(manifest.content.is_ok(), "{:?}: {:?}", case.set, manifest.content);
        let mut inputs = inputs("");
        let id = manifest.id.clone();
        inputs.objects.push(manifest);
        let plan = plan(&inputs);
        let object = &plan.objects[&id];
        match &case.refused {
            None => assert_eq!(object.accepted.reason, "Accepted", "{:?}", case.set),
            Some(message) => {
                assert_eq!(&object.accepted.message, message, "{:?}", case.set);
                assert_eq!(object.accepted.reason, "UnsupportedValue");
                assert_eq!(object.in_force, InForce::Nothing);
            }
        }
    }
}

#[test]
fn every_kind_without_data_plane_is_refused_by_name() {
    let later: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.later().is_some()).collect();
    assert_eq!(later.len(), 8);
    for kind in later {
        let mut inputs = inputs("");
        inputs.watched.insert("spk-core".to_owned());
        let object = json!({
            "apiVersion": kind.api_version(),
            "metadata": {"name": "x", "namespace": "spk-core"},
        });
        let manifest = Manifest::admit(kind, object, "").expect("it has a name");
        let id = manifest.id.clone();
        inputs.objects.push(manifest);
        let accepted = plan(&inputs).objects[&id].accepted.clone();
        assert_eq!(accepted.reason, "UnsupportedValue");
        let start = format!("kind: {kind} is not implemented; delete the object; ");
        assert!(accepted.message.starts_with(&start), "{}", accepted.message);
        assert!(accepted.message.contains(" comes with step "), "{}", accepted.message);
    }
}

#[test]
fn automatic_syn_cookies_are_said_to_be_off_once() {
    let text = "\
apiVersion: ingresstcp.k8s.f5net.com/v1
kind: F5SPKIngressTCP
metadata: {name: web, namespace: demo}
service: {name: web, port: 80}
spec: {destinationAddress: 192.0.2.10, destinationPort: 80}
";
    let written_again = text.replace("namespace: demo}", "namespace: demo, generation: 2}");
    let edited = written_again.replace("Port: 80}", "Port: 80, idleTimeout: 9}");
    let named = edited.replace("idleTimeout: 9", "synCookies: {mode: AUTO}");
    let off = edited.replace("idleTimeout: 9", "synCookies: {mode: \"OFF\"}");
    let message = "spec.synCookies.mode: AUTO acts as OFF; the SYN cookie comes with step engine";
    let mut before = spk_plan::Plan::default();
    let writes = [
        (text, 1),
        (text, 0),
        (&written_again, 0),
        (&edited, 0),
        (&named, 0),
        (&off, 0),
        // Asked for anew, it is said anew.
        (text, 1),
    ];
    for (nth, (write, expected)) in writes.into_iter().enumerate() {
        let mut inputs = inputs(write);
        inputs.memory = before.memory.clone();
        let after = plan(&inputs);
        assert!(after.objects.values().all(|object| object.in_force == InForce::Current));
        let said = spk_plan::Event::between(&before, &after)
            .into_iter()
            .filter(|event| event.reason == "ValueIgnored" && event.message == message)
            .count();
        assert_eq!(said, expected, "write {nth}: {write}");
        before = after;
    }
}
