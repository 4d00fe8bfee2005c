//! The shipped `spk-node` and `tmm` towards each other and towards people (suite `lab`).

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;
use spk_tests::{
    lab::{Lab, LabOptions},
    node::is_true,
    peers,
    plan::{self, Family},
    poll,
    samples::Sample,
    tmm,
};
use tmm_rpc::{TlsFiles, TlsMaterial, proto};

/// A second for what must happen within one, and as much again for a busy machine's timers.
const SOON: Duration = Duration::from_secs(2);

/// A client certificate of a CA of its own, and that CA.
fn foreign() -> (String, String, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "ca");
    let ca = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let client = CertificateParams::new(vec!["f5net.com".to_owned()]).unwrap();
    let certificate = client.signed_by(&key, &issuer).unwrap();
    (ca.pem(), certificate.pem(), key.serialize_pem())
}

/// OPS-110
#[test]
fn port_8750_serves_the_controllers_certificate_by_its_name_and_no_other() {
    let Some(lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    let namespace = &lab.topology.node;
    let files = TlsFiles::controller(&lab.node.state());
    let ask = |tls: &TlsMaterial| {
        tmm::call(namespace, lab.node.listen(0), tls, async |mut client: tmm::Client| {
            client.hello(proto::HelloRequest {}).await
        })
    };
    assert!(ask(&files.load().unwrap()).is_ok(), "the controller, by name grpc-svc");

    let ca = fs::read(&files.ca).unwrap();
    let (foreign_ca, certificate, key) = foreign();
    let stranger = TlsMaterial::from_pem(ca, certificate.into(), key.into());
    assert!(ask(&stranger).is_err(), "a client of another CA");

    let own = fs::read(&files.certificate).unwrap();
    let own_key = fs::read(&files.key).unwrap();
    let misled = TlsMaterial::from_pem(foreign_ca.into(), own, own_key);
    assert!(ask(&misled).is_err(), "a server of another CA");

    // What the library cannot do is done by curl: no certificate at all, and a wrong name.
    let port = tmm_rpc::PORT;
    let curl = |more: &[&str], name: &str| {
        let ca = files.ca.display().to_string();
        let resolve = format!("{name}:{port}:127.0.0.4");
        let url = format!("https://{name}:{port}/");
        let mut arguments =
            vec!["-sS", "-m", "3", "--http2", "--cacert", &ca, "--resolve", &resolve];
        arguments.extend(more);
        arguments.push(&url);
        namespace.run("curl", arguments)
    };
    let (certificate, key) =
        (files.certificate.display().to_string(), files.key.display().to_string());
    let identity = ["--cert", &certificate, "--key", &key];
    assert!(curl(&identity, "grpc-svc").is_ok(), "curl with the controller's certificate");
    assert!(curl(&[], "grpc-svc").is_err(), "no certificate");
    assert!(curl(&identity, "grpc-svc.example").is_err(), "a wrong name");
    lab.finish().unwrap();
}

/// OPS-134
#[test]
fn a_snapshot_with_invalid_objects_is_refused_whole_with_every_error() {
    let Some(mut lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    lab.start_web().unwrap();
    lab.await_member("demo-web", Family::V4).unwrap();
    let tls = TlsFiles::controller(&lab.node.state()).load().unwrap();
    // Two VLANs, each with an error of its own.
    let vlan = |id: &str, tag: u16, mtu: u16| {
        json!({
            "id": id, "name": id, "tag": tag, "interfaces": ["1.1"], "mtu": mtu,
            "selfV4": [], "prefixV4": 0, "selfV6": [], "prefixV6": 0,
            "autoLasthop": true, "allowedServices": [],
        })
    };
    let spec = json!({
        "generation": 1_000_000, "replica": 0, "readyReplicas": [], "hashKey": 1,
        "vlans": [vlan("a", 5000, 1500), vlan("b", 300, 60000)],
        "routes": [], "listeners": [], "pools": [], "egresses": [],
    })
    .to_string()
    .into_bytes();
    let reply =
        tmm::call(&lab.topology.node, lab.node.listen(0), &tls, async |mut client: tmm::Client| {
            client.apply(proto::ApplyRequest { spec }).await
        })
        .unwrap();
    assert!(!reply.accepted, "{reply:?}");
    assert!(reply.errors.len() >= 2, "all errors: {reply:?}");
    assert!(reply.running > 0 && reply.running != 1_000_000, "the old one runs on: {reply:?}");
    assert!(peers::http_get(lab.client(), plan::web(Family::V4), 80).is_ok());
    lab.finish().unwrap();
}

#[test]
fn a_bad_document_is_refused_alone_and_broken_yaml_as_a_file_without_harm() {
    let Some(mut lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    lab.start_web().unwrap();
    lab.await_member("demo-web", Family::V4).unwrap();
    let load = lab.background("wrk", &["-t1", "-c4", "-d6s", "http://192.0.2.10/"]).unwrap();
    let mut bad = Sample::holding("F5SPKIngressTCP", "web").unwrap();
    let object = bad.object("F5SPKIngressTCP", "web").unwrap();
    object["metadata"]["name"] = "bad".into();
    object["spec"]["destinationPort"] = 70_000.into();
    lab.node.write("70-bad.yaml", &bad.text()).unwrap();
    lab.node
        .await_status("70-bad.yaml", "refused", |status| status.contains("destinationPort"))
        .unwrap();
    lab.node.write("71-broken.yaml", "spec: [1, 2\nkind: {").unwrap();
    lab.node.await_status("71-broken.yaml", "refused", |status| !status.is_empty()).unwrap();
    // A file that was good keeps its last accepted objects when it breaks.
    let web = Sample::holding("F5SPKIngressTCP", "web").unwrap();
    lab.node.write(&web.name, "kind: {").unwrap();
    lab.no_failed_request(load).unwrap();
    assert!(peers::http_get(lab.client(), plan::web(Family::V4), 80).is_ok());
    lab.finish().unwrap();
}

/// OPS-170
#[test]
fn a_changed_file_is_applied_within_a_second_and_its_status_stands_beside_it() {
    let Some(mut lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    lab.start_web().unwrap();
    lab.await_member("demo-web", Family::V4).unwrap();
    let mut web = Sample::holding("F5SPKIngressTCP", "web").unwrap();
    web.object("F5SPKIngressTCP", "web").unwrap()["spec"]["destinationPort"] = 8081.into();
    let changed = Instant::now();
    lab.node.write(&web.name, &web.text()).unwrap();
    poll::hold("the new port serves", SOON, || {
        peers::http_get(lab.client(), plan::web(Family::V4), 8081).is_ok()
    })
    .unwrap();
    println!("a changed file serves after {:?}", changed.elapsed());
    assert!(peers::http_get(lab.client(), plan::web(Family::V4), 80).is_err(), "the old one ended");
    lab.node.await_status(&web.name, "programmed", |status| is_true(status, "Programmed")).unwrap();
    lab.finish().unwrap();
}

/// OPS-137
#[test]
fn a_killed_tmm_comes_back_with_the_whole_snapshot_within_a_second_of_its_connection() {
    let Some(mut lab) = Lab::start(&LabOptions::default()).unwrap() else { return };
    lab.start_web().unwrap();
    lab.await_member("demo-web", Family::V4).unwrap();
    let pages = netlab::machine::free_huge_pages();
    let pid = lab.node.tmm_pid(0).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    poll::hold("another tmm runs", Duration::from_secs(10), || {
        lab.node.tmm_pid(0).is_ok_and(|new| new != pid) && lab.tables().is_ok()
    })
    .unwrap();
    let connected = Instant::now();
    poll::hold("requests pass again", SOON, || {
        peers::http_get(lab.client(), plan::web(Family::V4), 80).is_ok()
    })
    .unwrap();
    println!("forwards {:?} after it answers", connected.elapsed());
    lab.await_member("demo-web", Family::V4).unwrap();
    assert!(peers::http_get(lab.client(), plan::web(Family::V6), 80).is_ok());
    assert_eq!(netlab::machine::free_huge_pages(), pages, "no huge page leaked");
    lab.finish().unwrap();
}

/// OPS-175
#[test]
fn everything_listens_on_its_documented_loopback_address_and_nowhere_else() {
    let Some(lab) = Lab::start(&LabOptions::default().replicas(2)).unwrap() else { return };
    let listening = |lab: &Lab| {
        let table = lab.topology.node.run("ss", ["-tlnH"]).unwrap();
        let mut local: Vec<String> = table
            .lines()
            .filter_map(|line| line.split_whitespace().nth(3).map(str::to_owned))
            .collect();
        local.sort();
        local
    };
    let expected = [
        "0.0.0.0:30881",
        "127.0.0.2:8081",
        "127.0.0.2:9090",
        "127.0.0.3:8081",
        "127.0.0.3:9090",
        "127.0.0.4:8081",
        "127.0.0.4:8750",
        "127.0.0.4:9090",
        "127.0.0.5:8081",
        "127.0.0.5:8750",
        "127.0.0.5:9090",
    ];
    assert_eq!(listening(&lab), expected);
    for address in ["127.0.0.3", "127.0.0.4", "127.0.0.5"] {
        let url = format!("http://{address}:8081/healthz");
        lab.topology.node.run("curl", ["-sSf", "-m", "3", &url]).unwrap();
        let url = format!("http://{address}:9090/metrics");
        lab.topology.node.run("curl", ["-sSf", "-m", "3", &url]).unwrap();
    }
    lab.finish().unwrap();

    let mut moved = LabOptions::default();
    moved.node.moved = true;
    let Some(lab) = Lab::start(&moved).unwrap() else { return };
    let expected = [
        "127.0.0.1:40881",
        "127.0.1.2:18081",
        "127.0.1.2:19090",
        "127.0.1.3:18081",
        "127.0.1.3:19090",
        "127.0.1.4:18081",
        "127.0.1.4:18750",
        "127.0.1.4:19090",
    ];
    assert_eq!(listening(&lab), expected);
    lab.finish().unwrap();
}
