//! Old states put back, and states deleted.

use std::{fs, path::Path, time::Duration};

use spk_tests::{
    cwc::{self, Cwc, NAMESPACE},
    licence::OrderType,
    poll,
};

use crate::bus::{Peer, claims, request};

fn copy(from: &Path, to: &Path) {
    // What is put back replaces all.
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// LIC-540, restored after activation: an old state is put back to use its receipt again: what
/// Controllers saw last raises epoch and mark of time, and the old receipt is refused as stale.
#[test]
fn an_old_state_put_back_accepts_no_old_receipt() {
    cwc::alone().unwrap();
    let mut cwc = Cwc::new(OrderType::Eval).unwrap();
    cwc.start().unwrap();
    cwc.await_slot("license", 7).unwrap();
    let receipt = cwc.acknowledge(&cwc.report().unwrap()).unwrap();
    cwc.kill();
    copy(&cwc.path("store"), &cwc.path("old"));
    cwc.start().unwrap();
    assert_eq!(cwc.send("POST", "/receipt", &receipt).status, 200);
    // Some starts later: the epoch is one more each time.
    for _ in 0..3 {
        cwc.kill();
        cwc.start().unwrap();
    }
    let last = Peer::local(&cwc, NAMESPACE).ask(request(None));
    let peers = claims(&cwc, &last);
    cwc.kill();
    copy(&cwc.path("old"), &cwc.path("store"));
    cwc.start().unwrap();
    assert_eq!(cwc.slot("license").unwrap(), Some(10));
    let answer = Peer::local(&cwc, NAMESPACE).ask(request(Some(last)));
    assert!(claims(&cwc, &answer).epoch > peers.epoch, "the epoch stayed behind the peers'");
    poll::hold("the old state is told", Duration::from_secs(10), || {
        let text = fs::read_to_string(cwc.path("events.jsonl")).unwrap_or_default();
        text.contains("state_rolled_back")
    })
    .unwrap();
    let context = cwc.context().unwrap();
    assert!(context["epoch"].as_u64().unwrap() > peers.epoch);
    assert!(context["high_water"].as_u64().unwrap() >= peers.iat);
    let reply = cwc.send("POST", "/receipt", &receipt);
    assert_eq!(reply.status, 422, "{reply:?}");
    assert!(reply.body.contains("receipt_stale"), "{reply:?}");
    assert_eq!(cwc.json("/v1/license").unwrap()["active"], false);
}

/// LIC-516, the CWC's side: the state is deleted to begin a new trial: the asset is another one, and
/// no receipt of before activates it.
#[test]
fn a_deleted_state_takes_no_receipt_of_before() {
    cwc::alone().unwrap();
    let mut cwc = Cwc::new(OrderType::Eval).unwrap();
    cwc.start().unwrap();
    let receipt = cwc.activate().unwrap();
    let asset = cwc.context().unwrap()["digital_asset_id"].clone();
    cwc.kill();
    fs::remove_dir_all(cwc.path("store")).unwrap();
    for secret in ["cwc-lease-key", "cwc-lease-jwks", "cwc-report-key", "cwc-auth-token"] {
        fs::remove_dir_all(cwc.path(&format!("config/{secret}"))).unwrap();
    }
    cwc.start().unwrap();
    cwc.await_slot("license", 7).unwrap();
    assert_eq!(cwc.send("POST", "/receipt", &receipt).status, 405);
    cwc.report().unwrap();
    let reply = cwc.send("POST", "/receipt", &receipt);
    assert_eq!(reply.status, 422, "{reply:?}");
    assert!(reply.body.contains("receipt_wrong_asset"), "{reply:?}");
    let license = cwc.json("/v1/license").unwrap();
    assert_ne!(license["digitalAssetID"], asset);
    assert_eq!(
        (&license["active"], &license["verdict"]["value"]),
        (&false.into(), &"block".into())
    );
}
