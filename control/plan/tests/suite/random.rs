//! Random sets of objects that fight for the same names, tags, addresses and listeners.

use spk_plan::{Inputs, Plan, plan};
use tmm_config::{Config, Facts};

use crate::order::Shuffler;
use crate::scenario::{self, add, inputs, view};

/// One of `words`.
fn pick<'w>(random: &mut Shuffler, words: &[&'w str]) -> &'w str {
    words[random.below(words.len())]
}

fn head(random: &mut Shuffler, version: &str, kind: &str, namespace: &str, name: &str) -> String {
    let day = random.below(9) + 1;
    let created = [String::new(), format!(", creationTimestamp: \"2026-01-0{day}T00:00:00Z\"")];
    let created = &created[random.below(2)];
    format!(
        "---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: \
         {namespace}{created}}}\n"
    )
}

fn vlan(random: &mut Shuffler) -> String {
    let name = pick(random, &["ext", "int", "lab", "ran"]);
    let head = head(random, "k8s.f5net.com/v1", "F5SPKVlan", "spk-core", name);
    let self_ips = pick(
        random,
        &[
            "",
            "selfip_v4s: [10.0.0.1, 10.0.0.2], prefixlen_v4: 24,",
            "selfip_v4s: [10.0.0.2], prefixlen_v4: 24,",
            "selfip_v4s: [10.0.1.1, 10.0.2.1], prefixlen_v4: 24,",
            "selfip_v6s: [\"2001:db8::1\"], prefixlen_v6: 128,",
        ],
    );
    let category = pick(random, &["", "category: red,", "internal: true,", "name: ran,"]);
    let (tag, port) = (random.below(4), random.below(2) + 1);
    format!("{head}spec: {{{self_ips} {category} tag: {tag}, interfaces: [\"1.{port}\"]}}\n")
}

fn route(random: &mut Shuffler) -> String {
    let name = pick(random, &["a", "b", "c"]);
    let head = head(random, "k8s.f5net.com/v1", "F5SPKStaticRoute", "spk-core", name);
    let spec = pick(
        random,
        &[
            "destination: 10.9.0.0, prefixLen: 16, gateway: 10.0.0.9",
            "destination: 10.9.0.1, prefixLen: 16, gateway: 10.0.0.9",
            "destination: 10.9.0.0, prefixLen: 16, type: interface, interface: lab",
            "destination_v6: \"2001:db8:9::\", prefixlen_v6: 48, gateway_v6: \"2001:db8::1\"",
            "destination: 0.0.0.0, prefixLen: 0, type: blackhole",
        ],
    );
    format!("{head}spec: {{{spec}}}\n")
}

const VLANS: [&str; 6] = [
    "",
    "vlans: {vlanList: [ext]},",
    "vlans: {vlanList: [int, lab]},",
    "vlans: {vlanList: [ext], disableListedVlans: true},",
    "vlans: {category: red},",
    "vlans: {category: red, disableListedVlans: true},",
];

fn egress(random: &mut Shuffler) -> String {
    let name = pick(random, &["a", "b", "c"]);
    let head = head(random, "k8s.f5net.com/v3", "F5SPKEgress", "spk-core", name);
    format!("{head}spec: {{{} dualStackEnabled: true}}\n", pick(random, &VLANS))
}

fn ingress(random: &mut Shuffler) -> String {
    let kinds = [
        ("ingresstcp.k8s.f5net.com/v1", "F5SPKIngressTCP", ""),
        ("ingressudp.k8s.f5net.com/v1", "F5SPKIngressUDP", ""),
        ("k8s.f5net.com/v1", "F5SPKIngressNGAP", "messageLoadBalancing: false,"),
    ];
    let (version, kind, more) = kinds[random.below(3)];
    let (namespace, name) =
        (pick(random, &["demo", "demo-a", "apps"]), pick(random, &["web", "a-web", "web-tcp"]));
    let head = head(random, version, kind, namespace, name);
    let vip = pick(
        random,
        &[
            "destinationAddress: 192.0.2.1",
            "destinationAddress: 10.0.0.2",
            "destinationAddress: 192.0.2.1, ipv6destinationAddress: \"2001:db8::1\"",
            "ipv6destinationAddress: \"2001:db8::99\"",
        ],
    );
    let service = pick(random, &["{name: web, port: 80}", "{name: web, port: 0}"]);
    let monitors =
        pick(random, &["", "monitors: {icmp: [{timeout: 4}]}", "monitors: {icmp: [{}]}"]);
    let (port, vlans) = (pick(random, &["0", "80"]), pick(random, &VLANS));
    format!(
        "{head}service: {service}\nspec: {{{more} {vlans} {vip}, destinationPort: {port}}}\n\
         {monitors}\n"
    )
}

fn set(random: &mut Shuffler) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..random.below(24) + 4 {
        texts.push(match random.below(8) {
            0..3 => vlan(random),
            3 => route(random),
            4 => egress(random),
            _ => ingress(random),
        });
    }
    texts
}

fn inputs_of(texts: &[String], memory: &Plan) -> Inputs {
    let mut inputs = inputs(SERVICE);
    inputs.watched.insert("demo-a".to_owned());
    inputs.replicas = vec![scenario::replica(0), scenario::replica(1)];
    inputs.memory = memory.memory.clone();
    for text in texts {
        add(&mut inputs, text);
    }
    inputs
}

#[test]
fn whatever_is_applied_a_tmm_takes_the_snapshot_and_the_order_has_no_effect() {
    let mut accepted = 0;
    let mut refused = 0;
    for seed in 1..=40 {
        let mut random = Shuffler::new(seed);
        let mut before = Plan::default();
        // Two plans in a row, so that last good versions take part.
        for round in 0..2 {
            let mut texts = set(&mut random);
            let next = plan(&inputs_of(&texts, &before));
            let compiled = Config::compile(None, &next.spec_for(0), &Facts::default());
            let compiled = compiled.map(|_| ());
            assert_eq!(compiled, Ok(()), "seed {seed}, round {round}:\n{}", texts.concat());
            random.shuffle(&mut texts);
            let other = plan(&inputs_of(&texts, &before));
            assert_eq!(view(&other), view(&next), "seed {seed}, round {round}");
            let good = next.objects.values().filter(|object| object.accepted.status).count();
            accepted += good;
            refused += next.objects.len() - good;
            before = next;
        }
    }
    assert!(accepted > 150 && refused > 150, "{accepted} accepted, {refused} refused: too tame");
}

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {ports: [{port: 80}, {name: u, port: 80, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 80}, {name: u, port: 81, protocol: UDP}]
endpoints: [{addresses: [10.1.0.1]}, {addresses: [10.1.0.1]}, {addresses: [10.1.0.2]}]
";
