//! A start in each state that a process can be left in.

use std::time::Duration;

use serde_json::json;

use crate::authority;
use crate::rig::{Rig, eventually};

/// LIC-226 for the states a whole process reaches and stays in; the others are with the machine.
#[test]
fn a_start_goes_on_from_the_stored_state_with_the_same_asset() {
    let rig = Rig::new("paid");
    let mut cwc = Some(rig.start());
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let asset = rig.record("digitalassetid");
    let report = rig.record("configreport");
    let mut restarted = |state: u64| {
        cwc.take().unwrap().kill();
        cwc = Some(rig.start());
        assert_eq!(client.state(), state);
        assert_eq!(rig.record("digitalassetid"), asset);
        assert_eq!(client.json("/v1/license")["digitalAssetID"], asset.as_str());
    };
    restarted(7);
    assert_eq!(client.report(), report);
    restarted(10);
    let other = json!({ "reportID": uuid::Uuid::new_v4() });
    assert_eq!(client.post("/receipt", &authority::receipt_with(&report, &other)).status, 422);
    restarted(13);
    assert_eq!(client.post("/receipt", &authority::receipt(&report)).status, 200);
    restarted(12);
    assert_eq!(client.post("/reactivate", &authority::jwt("ela")).status, 200);
    let switch = || client.json("/v1/license")["slots"]["switch"]["state"].clone();
    eventually(Duration::from_secs(10), "the switch's report", || switch() == 7);
    restarted(12);
    assert_eq!(switch(), 7);
    let switched = client.report();
    restarted(12);
    assert_eq!(switch(), 10);
    assert_eq!(client.report(), switched);
}
