//! One plan after another: last good configuration, revisions, events.

use spk_api::Kind;
use spk_plan::{Event, InForce, Inputs, Memory, Plan, plan};

use crate::scenario::{add, id, inputs, words};

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [10.0.0.1]}]
";

fn udp(name: &str, created: &str, generation: u64, spec: &str) -> String {
    format!(
        "---\napiVersion: ingressudp.k8s.f5net.com/v1\nkind: F5SPKIngressUDP\nmetadata: {{name: \
         {name}, namespace: demo, generation: {generation}, creationTimestamp: \
         \"2026-01-{created}T00:00:00Z\"}}\nservice: {{name: web, port: 80}}\nspec: {{{spec}}}\n"
    )
}

fn after(memory: &Memory, texts: &[String]) -> Inputs {
    let mut inputs = inputs(SERVICE);
    for text in texts {
        add(&mut inputs, text);
    }
    inputs.memory = memory.clone();
    inputs
}

const GOOD: &str = "destinationAddress: 192.0.2.1, destinationPort: 80";

#[test]
fn an_edit_that_is_not_accepted_leaves_the_last_good_configuration_in_force() {
    let good = plan(&after(&Memory::default(), &[udp("web", "01", 4, GOOD)]));
    for (bad, message) in [
        (
            "destinationAddress: 192.0.2.1, destinationPort: 80000",
            "False/InvalidValue: spec.destinationPort: 80000 is outside 0 to 65535; use 0 to \
             65535; generation 4 stays in force",
        ),
        (
            "destinationAddress: 192.0.2.9, destinationPort: 80, datagramLb: true",
            "False/UnsupportedValue: spec.datagramLb: true is not implemented; set false; \
             balancing of single datagrams comes with step engine; generation 4 stays in force",
        ),
        (
            "destinationAddress: 224.0.0.1, destinationPort: 80",
            "False/InvalidAddress: spec.destinationAddress: 224.0.0.1 is a multicast address; use \
             the unicast address of a host; generation 4 stays in force",
        ),
    ] {
        let edited = plan(&after(&good.memory, &[udp("web", "01", 5, bad)]));
        assert_eq!(edited.spec_for(0).encode(), good.spec_for(0).encode(), "byte for byte");
        let object = &edited.objects[&id(Kind::F5SPKIngressUDP, "demo", "web")];
        assert_eq!(words(&object.accepted), message);
        assert_eq!((object.in_force, object.generation), (InForce::Previous, Some(5)));

        let stored = serde_json::to_string(&edited.memory.store()).expect("memory is JSON");
        let restored = Memory::restore(serde_json::from_str(&stored).expect("JSON"));
        let restarted = plan(&after(&restored.expect("a memory"), &[udp("web", "01", 5, bad)]));
        assert_eq!(restarted.spec_for(0).encode(), good.spec_for(0).encode(), "over a restart");
    }
}

#[test]
fn a_refused_object_without_a_past_and_a_deleted_one_leave_nothing() {
    let bad = udp("web", "01", 1, "destinationAddress: 192.0.2.1, destinationPort: -1");
    let refused = plan(&after(&Memory::default(), &[bad]));
    assert!(refused.spec_for(0).listeners.is_empty());
    let good = plan(&after(&Memory::default(), &[udp("web", "01", 1, GOOD)]));
    let deleted = plan(&after(&good.memory, &[]));
    assert!(deleted.spec_for(0).listeners.is_empty() && deleted.objects.is_empty());
}

#[test]
fn the_newer_of_two_listeners_is_programmed_without_an_edit_when_the_older_goes() {
    let (older, newer) = (udp("old", "01", 1, GOOD), udp("new", "02", 1, GOOD));
    let both = plan(&after(&Memory::default(), &[newer.clone(), older]));
    let name = id(Kind::F5SPKIngressUDP, "demo", "new");
    assert_eq!(
        words(&both.objects[&name].accepted),
        "False/Conflict: 192.0.2.1:80/udp on vlan * is owned by F5SPKIngressUDP demo/old; change \
         address, port or vlans"
    );
    let alone = plan(&after(&both.memory, &[newer]));
    assert_eq!(alone.objects[&name].accepted.reason, "Accepted");
    assert_eq!(alone.spec_for(0).listeners[0].name, "demo-new-udp-v4");
}

#[test]
fn the_last_good_version_does_not_stay_against_an_older_object_that_now_wants_its_place() {
    let newer = udp("new", "02", 1, GOOD);
    let elsewhere = udp("old", "01", 1, "destinationAddress: 192.0.2.2, destinationPort: 80");
    let first = plan(&after(&Memory::default(), &[newer, elsewhere]));
    assert_eq!(first.spec_for(0).listeners.len(), 2);
    let broken = udp("new", "02", 2, "destinationAddress: 192.0.2.1, destinationPort: -1");
    let second = plan(&after(&first.memory, &[broken, udp("old", "01", 2, GOOD)]));
    let owners: Vec<_> = second.spec_for(0).listeners.into_iter().map(|l| l.object.name).collect();
    assert_eq!(owners, ["old"]);
    let object = &second.objects[&id(Kind::F5SPKIngressUDP, "demo", "new")];
    assert_eq!(object.in_force, InForce::Nothing);
    assert!(!object.accepted.message.contains("stays in force"));
}

#[test]
fn the_revision_rises_only_with_the_configuration_and_each_object_keeps_its_own() {
    let (a, b) = (udp("a", "01", 1, GOOD), "destinationAddress: 192.0.2.2, destinationPort: 80");
    let first = plan(&after(&Memory::default(), &[a.clone(), udp("b", "01", 1, b)]));
    assert_eq!(first.generation(), 1);
    let same = plan(&after(&first.memory, &[udp("b", "01", 2, b), a.clone()]));
    assert_eq!(same.generation(), 1, "nothing that a TMM would see");
    let edit = "destinationAddress: 192.0.2.2, destinationPort: 81";
    let next = plan(&after(&same.memory, &[a, udp("b", "01", 3, edit)]));
    assert_eq!(next.generation(), 2);
    let since = |name| next.objects[&id(Kind::F5SPKIngressUDP, "demo", name)].since;
    assert_eq!((since("a"), since("b")), (1, 2));
}

#[test]
fn events_tell_what_came_changed_and_went() {
    let texts = |plan: &Plan, next: &Plan| {
        let events = Event::between(plan, next);
        events.into_iter().map(|e| format!("{} {}", e.reason, e.message)).collect::<Vec<_>>()
    };
    let none = Plan::default();
    let one = plan(&after(&Memory::default(), &[udp("web", "01", 1, GOOD)]));
    let edit = "destinationAddress: 192.0.2.1, destinationPort: 81";
    let two = plan(&after(&one.memory, &[udp("web", "01", 2, edit)]));
    assert_eq!(texts(&none, &one), ["Added F5SPKIngressUDP demo/web was added"]);
    assert_eq!(texts(&one, &two), ["Updated F5SPKIngressUDP demo/web was updated"]);
    assert_eq!(texts(&two, &two), Vec::<String>::new());
    assert_eq!(texts(&two, &none), ["Deleted F5SPKIngressUDP demo/web was deleted"]);
}

#[test]
fn a_service_that_comes_later_fills_the_listener_without_an_edit() {
    let mut before = after(&Memory::default(), &[udp("web", "01", 1, GOOD)]);
    before.services.clear();
    let first = plan(&before);
    let name = id(Kind::F5SPKIngressUDP, "demo", "web");
    assert_eq!(
        words(&first.objects[&name].resolved),
        "False/ServiceNotFound: service.name: web does not exist; create the Service or correct \
         the name"
    );
    assert_eq!(first.spec_for(0).listeners.len(), 1, "the listener exists without a member");
    let mut udp_service = after(&first.memory, &[udp("web", "01", 1, GOOD)]);
    udp_service.services.clear();
    udp_service.slices.clear();
    add(&mut udp_service, &SERVICE.replace("port: 80", "port: 80, protocol: UDP"));
    let second = plan(&udp_service);
    assert!(second.objects[&name].resolved.status);
    assert_eq!(second.spec_for(0).pools[0].members.len(), 1);
}
