//! Files with several documents: splitting, recognising, line numbers.

use spk_api::load::Content;
use spk_api::{Path, load};

fn messages(content: &Content) -> Vec<(u64, String)> {
    let problems = match content {
        Content::Refused(problems) => problems.clone(),
        Content::Resource(manifest) => manifest.content.clone().expect_err("it is refused"),
        _ => panic!("{content:?} is not refused"),
    };
    problems.iter().map(|p| (p.line.expect("problems of files have lines"), p.message())).collect()
}

#[test]
fn documents_are_split_and_recognised() {
    let text = "\
---
apiVersion: v1
kind: Service
metadata: {name: web}
---
# nothing but a comment
---
apiVersion: v1
kind: ConfigMap
metadata: {name: x, namespace: other}
---
apiVersion: k8s.f5net.com/v1
kind: F5SPKVlan
metadata: {name: y}
spec: {interfaces: [\"1.1\"]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: IPv4
metadata: {name: web-1}
endpoints: []
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
";
    let documents = load(text, "demo").expect("it is YAML");
    let seen: Vec<_> = documents
        .iter()
        .map(|d| (d.line, d.kind.as_str(), d.namespace.as_str(), d.name.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (2, "Service", "demo", "web"),
            (8, "ConfigMap", "other", "x"),
            (12, "F5SPKVlan", "demo", "y"),
            (17, "EndpointSlice", "demo", "web-1"),
            (23, "Deployment", "demo", "web"),
        ]
    );
    assert!(matches!(&documents[0].content,
        Content::Service(s) if s.metadata.namespace.as_deref() == Some("demo")));
    assert!(matches!(documents[1].content, Content::Ignored));
    assert!(matches!(&documents[2].content, Content::Resource(m) if m.content.is_ok()));
    assert!(matches!(documents[3].content, Content::EndpointSlice(_)));
    assert!(matches!(documents[4].content, Content::Ignored));
}

#[test]
fn each_problem_names_the_line_of_its_field() {
    let text = "\
apiVersion: k8s.f5net.com/v1
kind: F5SPKVlan
metadata: {name: x}
spec:
  interfaces:
  - \"1.1\"
  - \"9.9\"
  selfip_v4s: [192.0.2.1,
    192.0.2.256]
  tagg: 5
";
    let documents = load(text, "demo").expect("it is YAML");
    let lines: Vec<_> = messages(&documents[0].content).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [10, 7, 9]);
    assert_eq!(documents[0].line_of(&Path::of("spec.interfaces[1]")), 7);
    assert_eq!(documents[0].line_of(&Path::of("spec.mtu")), 4, "the nearest that is written");
}

#[test]
fn a_document_that_is_no_object_of_ours_says_what_is_known() {
    let text = "\
apiVersion: k8s.f5net.com/v1
kind: F5SPKIngressTPC
metadata: {name: x}
---
apiVersion: v1
kind: F5SPKIngressTCP
metadata: {name: x}
---
kind: F5SPKVlan
metadata: {name: x}
---
apiVersion: k8s.f5net.com/v1
kind: F5SPKVlan
metadata: {name: Bad_Name}
---
just text
";
    let documents = load(text, "demo").expect("it is YAML");
    let all: Vec<_> = documents.iter().flat_map(|d| messages(&d.content)).collect();
    let kinds = "F5SPKVlan, F5SPKStaticRoute, F5SPKEgress, F5SPKIngressTCP, F5SPKIngressUDP, \
                 F5SPKIngressNGAP, F5SPKIngressEgressUDP, F5SPKIngressGTP, F5SPKIngressHTTP2, \
                 F5SPKIngressDiameter, F5SPKDnscache, F5SPKSnatpool, F5SPKAddressList, \
                 F5SPKPortList";
    let expected = [
        (2, format!("kind: \"F5SPKIngressTPC\" is not a kind of this product; use one of {kinds}")),
        (5, "apiVersion: \"v1\" has no kind F5SPKIngressTCP; use ingresstcp.k8s.f5net.com/v1".into()),
        (9, "apiVersion: is required; every document needs apiVersion and kind".to_owned()),
        (
            14,
            "metadata.name: is missing or no object name; give a DNS-1123 subdomain of at most 253 \
             characters"
                .to_owned(),
        ),
        (16, "kind: is required; every document needs apiVersion and kind".to_owned()),
    ];
    assert_eq!(all, expected);
}

#[test]
fn broken_yaml_and_repeated_keys_refuse_the_file_with_their_line() {
    let broken = load("kind: [\nmetadata: 1\n", "demo").expect_err("a bracket is open");
    assert_eq!((broken.line, broken.code()), (1, "broken_yaml"));
    let twice = load("kind: a\nspec: 1\nkind: b\n", "demo").expect_err("kind stands twice");
    assert_eq!((twice.line, twice.problem.as_str()), (3, "duplicate mapping key: kind"));
}

#[test]
fn a_list_of_kubectl_is_its_items() {
    let text = "\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: a, namespace: demo}
- apiVersion: k8s.f5net.com/v1
  kind: F5SPKVlan
  metadata: {name: v, namespace: spk-core, generation: 3}
  spec: {interfaces: [\"1.1\"]}
  status: {conditions: []}
";
    let documents = load(text, "demo").expect("it is YAML");
    assert_eq!(documents.len(), 2);
    let Content::Resource(manifest) = &documents[1].content else { panic!("{documents:?}") };
    assert_eq!(manifest.meta.generation, Some(3));
    assert!(manifest.content.is_ok(), "status of an object is not its contents");
    assert_eq!(documents[1].line, 7);
}

#[test]
fn words_of_yaml_1_1_are_text() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: y, labels: {on: off}}\n";
    let documents = load(text, "demo").expect("it is YAML");
    let Content::Pod(pod) = &documents[0].content else { panic!("{documents:?}") };
    let labels = pod.metadata.labels.as_ref().expect("it has labels");
    assert_eq!((pod.metadata.name.as_deref(), labels["on"].as_str()), (Some("y"), "off"));
}

#[test]
fn a_file_may_hold_all_objects_of_a_large_cluster() {
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: x, labels: {a: b, c: d}}\n";
    let documents = load(&pod.repeat(3000), "demo").expect("no budget of the parser is breached");
    assert_eq!(documents.len(), 3000);
}
