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
    let first = plan(&inputs(text));
    let mut again = inputs(text);
    again.memory = first.memory.clone();
    let second = plan(&again);
    let said = |before: &spk_plan::Plan, after: &spk_plan::Plan| {
        let events = spk_plan::Event::between(before, after);
        events.iter().filter(|event| event.reason == "ValueIgnored").count()
    };
    assert_eq!(said(&spk_plan::Plan::default(), &first), 1);
    assert_eq!(said(&first, &second), 0);
    let message = "spec.synCookies.mode: AUTO acts as OFF; the SYN cookie comes with step engine";
    assert_eq!(first.warnings[0].message, message);
}
