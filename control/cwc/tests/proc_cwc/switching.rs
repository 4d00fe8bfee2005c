//! Other licences: switched to, configured, renewed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::authority;
use crate::client::Client;
use crate::rig::{Rig, eventually};

/// An active licence, whose receipt has these claims more.
fn activate(rig: &Rig, more: &Value) -> Client {
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let report = client.report();
    let reply = client.post("/receipt", &authority::receipt_with(&report, more));
    assert_eq!(reply.status, 200, "{reply:?}");
    client
}

/// LIC-242: each of the 16 pairs of order types, and the licence in force again.
#[test]
fn each_pair_of_order_types_is_switched_or_refused() {
    let types = ["eval", "freemium", "paid", "ela"];
    let production = |order: &str| matches!(order, "paid" | "ela");
    for old in types {
        let rig = Rig::new(old);
        let _cwc = rig.start();
        let client = activate(&rig, &json!({}));
        let reply = client.post("/reactivate", &rig.record("licensekey"));
        assert_eq!(reply.status, 409, "{old}: {reply:?}");
        assert!(reply.body.contains("switch_same_license"), "{reply:?}");
        for new in types {
            let reply = client.post("/reactivate", &authority::jwt(new));
            if production(new) {
                assert_eq!(reply.status, 200, "{old} to {new}: {reply:?}");
                assert_eq!(reply.json(), json!({ "switching": true, "state": 3 }));
                assert_eq!(delete_switch(&client), 204);
            } else {
                assert_eq!(reply.status, 409, "{old} to {new}: {reply:?}");
                assert!(reply.body.contains("switch_not_allowed"), "{reply:?}");
                assert!(reply.body.contains(&format!("{old} to {new}")), "{reply:?}");
            }
        }
        assert_eq!(delete_switch(&client), 404);
        assert_eq!(client.json("/status")["Status"]["LicenseDetails"]["EntitlementType"], old);
    }
}

fn delete_switch(client: &Client) -> u16 {
    client.send("DELETE", "/v1/license/switch", &[], b"").unwrap().status
}

/// LIC-651, the CWC's side: an expired trial becomes paid by a JWT, its report and its receipt, and
/// the verdict returns at once.
#[test]
fn an_expired_trial_becomes_paid() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let expiry = json!({ "orderType": "eval", "expiry": authority::wall() + 4 });
    let client = activate(&rig, &json!({ "entitlement": expiry }));
    eventually(Duration::from_secs(10), "expiry", || client.state() == 16);
    let license = client.json("/v1/license");
    assert_eq!(license["verdict"]["value"], "block");
    assert_eq!(license["verdict"]["reason"], "expired");
    eventually(Duration::from_secs(2), "the event", || rig.told("LicenseExpired"));
    assert_eq!(client.post("/reactivate", &authority::jwt("paid")).status, 200);
    eventually(Duration::from_secs(10), "the switch's report", || {
        client.json("/v1/license")["slots"]["switch"]["state"] == 7
    });
    // The running licence is shown as it is, the other beside it.
    let status = client.json("/status");
    assert_eq!(status["Status"]["LicenseStatus"]["State"], "Expired");
    assert_eq!(status["SwitchingStatus"]["LicenseDetails"]["EntitlementType"], "paid");
    let report = client.report();
    assert_eq!(client.post("/receipt", &authority::receipt(&report)).status, 200);
    let license = client.json("/v1/license");
    assert_eq!(license["slots"]["license"]["state"], 12);
    assert_eq!(license["slots"]["switch"], Value::Null);
    assert_eq!(license["class"], "production");
    assert_eq!(license["verdict"]["value"], "allow");
}

/// LIC-225: another JWT in the values while active changes nothing and is told.
#[test]
fn another_jwt_in_the_values_is_ignored_while_active() {
    let rig = Rig::new("paid");
    let _cwc = rig.start();
    let client = activate(&rig, &json!({}));
    let key = rig.record("licensekey");
    rig.value("jwt", &authority::jwt("ela"));
    eventually(Duration::from_secs(10), "the event", || rig.told("LicenseJwtIgnored"));
    assert_eq!(rig.record("licensekey"), key);
    assert_eq!(client.state(), 12);
    assert_eq!(client.json("/v1/license")["slots"]["switch"], Value::Null);
    let told = rig.events();
    let told = told.iter().find(|event| event["reason"] == "LicenseJwtIgnored").unwrap();
    assert!(told["text"].as_str().unwrap().contains("use POST /reactivate"), "{told}");
}

/// LIC-213: the program dies at any moment of its first start; the asset id is absent or final.
#[test]
fn a_death_during_the_first_start_leaves_no_asset_or_the_final_one() {
    let mut seen = 0;
    for round in 0_u64..12 {
        let rig = Rig::new("eval");
        let cwc = rig.spawn();
        eventually(Duration::from_secs(10), "the first write", || {
            rig.path("store/context").exists()
        });
        // Not a wait for a state: the moment of death is the point.
        std::thread::sleep(Duration::from_millis(round));
        cwc.kill();
        let id = std::fs::read_to_string(rig.path("store/digitalassetid")).ok();
        let _cwc = rig.start();
        eventually(Duration::from_secs(10), "a report", || rig.client().state() == 7);
        let now = rig.record("digitalassetid");
        if let Some(id) = id {
            assert_eq!(now, id);
            seen += 1;
        }
        let report = rig.record("configreport");
        let telemetry = authority::read(&report).telemetry;
        assert_eq!(telemetry.digital_asset_id.to_string(), now);
    }
    println!("of 12 deaths {seen} came after the id was written");
}
