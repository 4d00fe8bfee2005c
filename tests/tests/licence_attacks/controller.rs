//! A real Controller on RabbitMQ, and a client with a valid bus certificate that forges what a CWC
//! would say.

use std::{fs, sync::Arc, time::Duration};

use spk_bus::Link;
use spk_entitlement::messages::{
    Body, Entitlement, GetbackLater, Heartbeat, LicenseChanged, LicenseFacts, OrderType as Ordered,
    PodLease, Verified,
};
use spk_entitlement::{Class, Occasion, Verdict};
use spk_serving::tls::{Alpn, Tls, TlsFiles, install_provider};
use spk_tests::{
    lab::{Lab, LabOptions},
    poll,
};
use uuid::Uuid;

use crate::bus::{Peer, allowed, stranger};
use crate::forge;

/// The Controller's namespace.
const NAMESPACE: &str = "spk-core";
/// What no person may ever read.
const MARK: &str = "FORGED-c0ffee";

/// Everything that a CWC sends, signed by a stranger, with this verdict.
fn forged(asset: Uuid, occasion: &Occasion) -> Vec<Body> {
    let mut signer = stranger(asset, 1 << 40);
    let facts = LicenseFacts {
        order_type: Ordered::Ela,
        expiry: Some(format!("2099-01-01T00:00:00Z {MARK}")),
        digital_asset_id: asset,
        jti: MARK.to_owned(),
    };
    let request = Uuid::new_v4();
    let lease = signer.open(NAMESPACE, MARK, &[7; 16], occasion);
    let latch = signer.latch(NAMESPACE, occasion);
    vec![
        Body::Verified(Verified {
            license: facts.clone(),
            leases: vec![PodLease { pod: MARK.to_owned(), lease }],
            statement: signer.answer(NAMESPACE, request, occasion),
        }),
        Body::EntitlementPaid(Entitlement {
            class: Class::Production,
            latch: Some(latch),
            statement: signer.answer(NAMESPACE, request, occasion),
        }),
        Body::EntitlementTrial(Entitlement {
            class: Class::Trial,
            latch: None,
            statement: signer.answer(NAMESPACE, request, occasion),
        }),
        Body::GetbackLater(GetbackLater {
            state: 16,
            state_text: MARK.to_owned(),
            retry_after: 999_999,
            statement: signer.answer(NAMESPACE, request, occasion),
        }),
        Body::Heartbeat(Heartbeat {
            seq: u64::MAX,
            statement: signer.renew(occasion),
            license: Some(facts),
        }),
        Body::LicenseChanged(LicenseChanged { state: 16, statement: signer.renew(occasion) }),
        Body::LicenseChanged(LicenseChanged { state: 16, statement: MARK.to_owned() }),
    ]
}

/// Sends all of them, and waits until the Controller has taken each.
fn send(lab: &Lab, peer: &Peer, occasion: &Occasion) {
    for body in forged(Uuid::new_v4(), occasion) {
        peer.say_as(NAMESPACE, body);
    }
    poll::hold("the Controller took all of it", Duration::from_secs(20), || {
        let broker = lab.broker.as_ref().unwrap();
        let list = || broker.tool("rabbitmqctl", &["list_queues", "name", "messages"]);
        let lines = lab.topology.node.enter(list).unwrap();
        let own = format!("spk-{NAMESPACE}");
        lines.is_ok_and(|lines| {
            lines.iter().any(|line| line.split_whitespace().eq([own.as_str(), "0"]))
        })
    })
    .unwrap();
}

/// What the Controller judges, and its gates.
fn judged(lab: &Lab) -> (String, String, Vec<String>) {
    let licence = lab.node.ask().unwrap()["controller"]["licence"].clone();
    let text = |name: &str| licence[name].as_str().unwrap_or_default().to_owned();
    (text("verdict"), text("reason"), lab.node.gates().unwrap())
}

/// LIC-733, LIC-739: a client with a valid bus certificate forges every message of a CWC, and a
/// Goodbye of the Controller: before the activation no gate opens, after it none closes; but for the
/// mark in the CWC's list nothing changes, and none of its texts is shown anywhere.
#[test]
fn a_controller_obeys_and_shows_nothing_that_its_cwc_did_not_sign() {
    install_provider();
    let options = LabOptions { bare: true, broker: true, ..LabOptions::default() }.trial();
    let Some(lab) = Lab::start(&options).unwrap() else { return };
    lab.apply_samples().unwrap();
    poll::hold("the Controller was answered", Duration::from_secs(30), || {
        judged(&lab).1 == "not_activated"
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", judged(&lab), lab.logs()));
    let certificates = lab.folder().join("state/controller/rabbitmq-client-1-certs");
    let port = lab.broker.as_ref().unwrap().port();
    let peer = lab.topology.node.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let tls = Tls::follow(TlsFiles::client(&certificates), Alpn::None, Arc::new(drop));
        Peer::new(Link::Broker { host: String::from("localhost"), port, tls }, "spk-9")
    });
    let peer = peer.unwrap();

    let waiting = judged(&lab);
    assert_eq!(waiting.2, ["closed"]);
    send(&lab, &peer, &allowed(forge::now()));
    assert_eq!(judged(&lab), waiting);

    lab.activate().unwrap_or_else(|error| panic!("{error:#}\n{}", lab.logs()));
    let active = judged(&lab);
    assert_eq!((active.0.as_str(), active.2.clone()), ("allow", vec![String::from("open")]));
    let block = Occasion {
        class: Class::Trial,
        verdict: Verdict::Block,
        reason: String::from("expired"),
        ..allowed(forge::now())
    };
    send(&lab, &peer, &block);
    peer.say_as(NAMESPACE, Body::Goodbye);
    send(&lab, &peer, &block);
    assert_eq!(judged(&lab), active);

    let state = lab.node.state();
    let shown = spk_tests::licence::curl(&lab.topology.node, &state, &["/v1/license"]).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["verdict"]["value"], "allow");
    assert_eq!(shown["controllers"].as_array().unwrap().len(), 1, "{}", shown["controllers"]);
    let mut texts = vec![
        (String::from("spk-node's status"), lab.node.ask().unwrap().to_string()),
        (String::from("spkctl"), lab.node.spkctl(&["node", "status"]).unwrap()),
        (String::from("/v1/license"), shown.to_string()),
        (String::from("logs"), lab.logs()),
    ];
    for name in ["log/cwc.log", "events.jsonl"] {
        texts.push((name.to_owned(), fs::read_to_string(state.join(name)).unwrap()));
    }
    for entry in fs::read_dir(lab.node.resources()).unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        texts.push((entry.path().display().to_string(), text));
    }
    for (name, text) in texts {
        assert!(!text.contains(MARK) && !text.contains("999999"), "{name}: {text}");
    }
    lab.finish().unwrap();
}
