//! Inputs from YAML, and what a snapshot shows of a plan.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use spk_api::load::Content;
use spk_api::{Kind, ObjectId, load};
use spk_plan::{InForce, Inputs, Plan, Replica, Verdict};

/// Inputs with the documents of `text`; the TMM namespace is `spk-core`, watched are `demo`, `apps`.
pub fn inputs(text: &str) -> Inputs {
    let mut inputs = Inputs {
        tmm_namespace: "spk-core".to_owned(),
        watched: ["demo".to_owned(), "apps".to_owned()].into(),
        cluster_uid: "6b1c7c1e-0000-4000-8000-000000000001".to_owned(),
        replicas: vec![replica(0)],
        ..Inputs::default()
    };
    add(&mut inputs, text);
    inputs
}

/// Replica `index` in pod `f5-tmm-<index>`, ready.
pub fn replica(index: u16) -> Replica {
    Replica { index, pod: format!("f5-tmm-{index}"), ready: true }
}

/// Adds the documents of `text`.
pub fn add(inputs: &mut Inputs, text: &str) {
    for document in load(text, "demo").expect("it is YAML") {
        match document.content {
            Content::Resource(manifest) => inputs.objects.push(*manifest),
            Content::Service(service) => inputs.services.push(*service),
            Content::EndpointSlice(slice) => inputs.slices.push(*slice),
            Content::Pod(pod) => inputs.pods.push(*pod),
            Content::Namespace(_) | Content::Ignored => {}
            Content::Refused(problems) => panic!("line {}: {problems:?}", document.line),
        }
    }
}

/// A file below the crate's root.
pub fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The samples of `make demo`, one text.
pub fn samples() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/samples");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the samples are there")
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() > 5, "samples: {files:?}");
    let texts = files.iter().map(|path| fs::read_to_string(path).expect("a readable file"));
    texts.collect::<Vec<_>>().join("\n---\n")
}

/// What a snapshot shows: verdicts, warnings, configuration.
pub fn view(plan: &Plan) -> Value {
    let objects: BTreeMap<_, _> = plan
        .objects
        .iter()
        .map(|(id, object)| {
            let force = match object.in_force {
                InForce::Nothing => "nothing",
                InForce::Current => "current",
                InForce::Previous => "previous",
            };
            let verdicts = json!({
                "accepted": words(&object.accepted),
                "resolvedRefs": words(&object.resolved),
                "inForce": force,
            });
            (id.to_string(), verdicts)
        })
        .collect();
    let warnings: Vec<_> = plan
        .warnings
        .iter()
        .map(|event| format!("{}: {}: {}", event.object, event.reason, event.message))
        .collect();
    json!({ "objects": objects, "warnings": warnings, "spec": plan.spec_for(0) })
}

/// A verdict in one line.
pub fn words(verdict: &Verdict) -> String {
    let status = if verdict.status { "True" } else { "False" };
    format!("{status}/{}: {}", verdict.reason, verdict.message).trim_end_matches(": ").to_owned()
}

/// The id of an object.
pub fn id(kind: Kind, namespace: &str, name: &str) -> ObjectId {
    ObjectId { kind, namespace: namespace.to_owned(), name: name.to_owned() }
}
