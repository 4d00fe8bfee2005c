//! What holds while a file is good, changed, wrong, broken or gone.

use super::*;

const VLAN: &str = "apiVersion: k8s.f5net.com/v1
kind: F5SPKVlan
metadata: {name: external, namespace: spk-core}
spec: {name: external, interfaces: [\"1.1\"], tag: 100, selfip_v4s: [198.51.100.11], prefixlen_v4: 24}
";
const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: web, namespace: spk-apps}
spec: {ports: [{port: 80}]}
";

fn both() -> String {
    format!("{VLAN}---\n{SERVICE}")
}

fn tags(catalogue: &Catalogue) -> Vec<(i64, bool)> {
    let manifests = catalogue.facts(1).manifests;
    manifests.iter().map(|m| (m.meta.generation.unwrap(), m.content.is_ok())).collect()
}

#[test]
fn generation_rises_with_contents_and_not_with_layout_or_metadata() {
    let mut catalogue = Catalogue::default();
    catalogue.take("a.yaml", VLAN);
    assert_eq!(tags(&catalogue), [(1, true)]);
    let labelled =
        VLAN.replace("name: external, namespace", "labels: {a: b}, name: external, namespace");
    catalogue.take("a.yaml", &format!("# a comment\n{labelled}"));
    assert_eq!(tags(&catalogue), [(1, true)]);
    catalogue.take("a.yaml", &VLAN.replace("tag: 100", "tag: 101"));
    assert_eq!(tags(&catalogue), [(2, true)]);
    catalogue.take("a.yaml", &VLAN.replace("tag: 100", "tag: 5000"));
    assert_eq!(tags(&catalogue), [(3, false)]);
}

#[test]
fn broken_yaml_leaves_every_object_of_the_file_and_names_the_line() {
    let mut catalogue = Catalogue::default();
    catalogue.take("a.yaml", &both());
    catalogue.take("a.yaml", &format!("{}\nx: [\n", both()));
    let facts = catalogue.facts(2);
    assert_eq!((facts.manifests.len(), facts.services.len()), (1, 1));
    assert_eq!(tags(&catalogue), [(1, true)]);
    let broken = catalogue.files()["a.yaml"].broken.as_ref().unwrap();
    assert!(broken.line >= 10, "{broken}");
    catalogue.take("a.yaml", &both());
    assert_eq!(catalogue.files()["a.yaml"].broken, None);
    assert_eq!(tags(&catalogue), [(1, true)]);
}

#[test]
fn refused_service_stays_as_it_was_and_a_removed_document_goes() {
    let mut catalogue = Catalogue::default();
    catalogue.take("a.yaml", &both());
    catalogue.take("a.yaml", &both().replace("port: 80", "port: eighty"));
    let entry = &catalogue.files()["a.yaml"].entries[1];
    assert_eq!((entry.problems.len(), entry.generation), (1, 1));
    let ports = catalogue.facts(2).services[0].spec.clone().unwrap().ports.unwrap();
    assert_eq!(ports[0].port, 80);
    catalogue.take("a.yaml", VLAN);
    assert!(catalogue.facts(3).services.is_empty());
}

#[test]
fn object_in_two_files_is_held_by_the_first_by_name() {
    let mut catalogue = Catalogue::default();
    catalogue.take("b.yaml", VLAN);
    catalogue.take("a.yaml", &VLAN.replace("tag: 100", "tag: 7"));
    assert_eq!(catalogue.facts(1).manifests.len(), 1);
    let doubles = catalogue.doubles();
    let holders: Vec<_> = doubles.iter().map(|((file, _), holder)| (*file, *holder)).collect();
    assert_eq!(holders, [("b.yaml", "a.yaml")]);
    catalogue.retain(&BTreeSet::from([String::from("b.yaml")]));
    assert_eq!(catalogue.facts(2).manifests.len(), 1);
    assert!(catalogue.doubles().is_empty());
}

#[test]
fn record_brings_back_objects_and_generations_when_the_file_is_broken_at_the_restart() {
    let mut first = Catalogue::default();
    first.take("a.yaml", &both());
    first.take("a.yaml", &both().replace("tag: 100", "tag: 101"));
    let mut second = Catalogue::from_record(&first.record()).unwrap();
    second.take("a.yaml", "x: [");
    assert_eq!(tags(&second), [(2, true)]);
    assert_eq!(second.facts(1).manifests[0].content, first.facts(1).manifests[0].content);
    assert_eq!(second.facts(1).services, first.facts(1).services);
    second.take("a.yaml", &both().replace("tag: 100", "tag: 102"));
    assert_eq!(tags(&second), [(3, true)]);
}

#[test]
fn refused_object_is_still_there_as_refused_after_a_restart() {
    let mut first = Catalogue::default();
    first.take("a.yaml", VLAN);
    first.take("a.yaml", &VLAN.replace("tag: 100", "tag: 5000"));
    let mut second = Catalogue::from_record(&first.record()).unwrap();
    second.take("a.yaml", "x: [");
    assert_eq!(tags(&second), [(2, false)]);
}
