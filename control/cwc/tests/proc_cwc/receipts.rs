//! Receipts that count, and those that do not.

use std::time::Duration;

use serde_json::json;

use crate::authority;
use crate::client::Client;
use crate::rig::{Rig, eventually};

/// A CWC whose report was downloaded.
fn downloaded(rig: &Rig) -> (Client, String) {
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let report = client.report();
    (client, report)
}

/// LIC-130: malformed receipts are 400 and change neither state, history nor records.
#[test]
fn a_malformed_receipt_changes_nothing() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let (client, report) = downloaded(&rig);
    let good = authority::receipt(&report);
    let (records, history) = (rig.records(), client.json("/v1/license/history"));
    let none = json!({ "alg": "none", "typ": "JWT", "kid": "v1" });
    let payload = authority::claims(&report).to_string();
    let algorithm =
        authority::key().sign_parts(none.to_string().as_bytes(), payload.as_bytes()).unwrap();
    for (body, code) in [
        ("", "receipt_malformed"),
        ("nonsense", "receipt_malformed"),
        ("a.b.c.d", "receipt_malformed"),
        (&good[..good.rfind('.').unwrap()], "receipt_malformed"),
        (&good.replace('.', "=."), "receipt_malformed"),
        ("{\"manifest\":7}", "receipt_malformed"),
        (&algorithm, "receipt_algorithm"),
    ] {
        let reply = client.post("/receipt", body);
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        assert!(reply.body.contains(code), "{body}: {reply:?}");
    }
    assert_eq!(client.state(), 10);
    assert_eq!(client.json("/v1/license/history"), history);
    assert_eq!(rig.records(), records);
    assert_eq!(client.post("/receipt", &good).status, 200);
}

/// LIC-131: a receipt without a signature of a known key is 422 and changes neither state, verdict
/// nor records, in each class; the report is still handed out.
#[test]
fn a_receipt_of_an_unknown_key_changes_nothing_in_any_class() {
    for order_type in ["eval", "paid"] {
        let rig = Rig::new(order_type);
        let _cwc = rig.start();
        let (client, report) = downloaded(&rig);
        let claims = authority::claims(&report).to_string();
        let forged = authority::foreign_key().sign(claims.as_bytes()).unwrap();
        let header = json!({ "alg": "RS512", "typ": "JWT", "kid": "v9" }).to_string();
        let unknown = authority::key().sign_parts(header.as_bytes(), claims.as_bytes()).unwrap();
        let good = authority::receipt(&report);
        let junk = format!("{}.{}", &good[..good.rfind('.').unwrap()], "A".repeat(342));
        let check = |client: &Client, state: u64| {
            let before = (rig.records(), client.json("/v1/license")["verdict"].clone());
            for (receipt, code) in [
                (&forged, "receipt_signature"),
                (&junk, "receipt_signature"),
                (&unknown, "receipt_unknown_key"),
            ] {
                let reply = client.post("/receipt", receipt);
                assert_eq!(reply.status, 422, "{reply:?}");
                assert!(reply.body.contains(code), "{reply:?}");
            }
            let after = (rig.records(), client.json("/v1/license")["verdict"].clone());
            assert_eq!(before, after);
            assert_eq!(client.state(), state);
        };
        check(&client, 10);
        assert_eq!(client.report(), report);
        // What was refused is a warning, and no error (§3.7).
        let license = client.json("/v1/license");
        assert_eq!(license["error"], serde_json::Value::Null);
        assert_eq!(license["warnings"][0]["code"], "receipt_unknown_key");
        assert_eq!(client.post("/receipt", &good).status, 200);
    }
}

/// LIC-134: the same receipt again is 409 and changes nothing; of 100 that arrive at the same
/// instant exactly one is accepted.
#[test]
fn of_a_hundred_equal_receipts_one_is_accepted() {
    let rig = Rig::new("paid");
    let _cwc = rig.start();
    let (client, report) = downloaded(&rig);
    let receipt = authority::receipt(&report);
    let start = std::sync::Barrier::new(100);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..100)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    client.post("/receipt", &receipt).status
                })
            })
            .collect();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 99, "{statuses:?}");
    let (records, license) = (rig.records(), client.json("/v1/license/history"));
    let reply = client.post("/receipt", &receipt);
    assert_eq!(reply.status, 409);
    assert!(reply.body.contains("receipt_replayed"), "{reply:?}");
    assert_eq!(rig.records(), records);
    assert_eq!(client.json("/v1/license/history"), license);
}

/// LIC-136: before a download every receipt is 405; after it one that names another report is 422
/// and leads to 13 (LIC-219: the error is told, and the report stays).
#[test]
fn a_receipt_of_another_report_is_refused_and_the_report_stays() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    // The text of the report lies in the store; nobody downloaded it.
    let report = rig.record("configreport");
    let reply = client.post("/receipt", &authority::receipt(&report));
    assert_eq!(reply.status, 405, "{reply:?}");
    assert_eq!(reply.body, "Cannot accept receipt in current state. Error Invalid State");
    assert_eq!(reply.header("allow"), Some(""));
    assert_eq!(client.state(), 7);

    assert_eq!(client.report(), report);
    let other = json!({ "reportID": uuid::Uuid::new_v4() });
    let reply = client.post("/receipt", &authority::receipt_with(&report, &other));
    assert_eq!(reply.status, 422, "{reply:?}");
    assert!(reply.body.contains("receipt_wrong_report"), "{reply:?}");
    let license = client.json("/v1/license");
    assert_eq!(license["slots"]["license"]["state"], 13);
    assert_eq!(license["error"]["code"], "receipt_wrong_report");
    let status: serde_json::Value = serde_json::from_str(&rig.record("licensestatus")).unwrap();
    assert_eq!((&status["State"], &status["ErrCode"]), (&json!(13), &json!(4010)));
    assert_ne!(status["ErrString"], "");
    assert_ne!(status["OperatorAction"], "");
    assert!(rig.told("LicenseVerificationFailed"));
    assert_eq!(client.report(), report);
    assert_eq!(client.post("/receipt", &authority::receipt(&report)).status, 200);
    assert_eq!(client.json("/v1/license")["error"], serde_json::Value::Null);
}

/// LIC-142, LIC-325: every download is the same bytes: three in a row, one after a restart, and one
/// after a death between `context` and `configreport`.
#[test]
fn every_download_of_a_report_is_the_same_bytes() {
    let rig = Rig::new("eval");
    let cwc = rig.start();
    let (client, report) = downloaded(&rig);
    assert_eq!(client.report(), report);
    assert_eq!(client.report(), report);
    assert_eq!(client.state(), 10);
    cwc.kill();
    let cwc = rig.start();
    assert_eq!(rig.client().report(), report);
    cwc.kill();
    // As after a death between the two writes: the projection is that of before.
    rig.put("store/configreport", "");
    let _cwc = rig.start();
    assert_eq!(rig.client().report(), report);
    assert_eq!(rig.record("configreport"), report);
}

/// LIC-320: each form of body is understood, whatever its Content-Type.
#[test]
fn a_receipt_is_understood_in_every_wrapping() {
    for wrap in [
        |token: &str| token.to_owned(),
        |token: &str| format!("\n  {token}\r\n"),
        |token: &str| format!("\"{token}\""),
        |token: &str| format!("{{\"manifest\":\"{token}\"}}"),
    ] {
        let rig = Rig::new("eval");
        let _cwc = rig.start();
        let (client, report) = downloaded(&rig);
        let body = wrap(&authority::receipt(&report));
        let headers = [("Content-Type", "text/html")];
        let reply = client.send("POST", "/receipt", &headers, body.as_bytes()).unwrap();
        assert_eq!(reply.status, 200, "{body}: {reply:?}");
    }
}

/// LIC-321, LIC-322: a JWT that is refused leaves no trace in records, values or log, and garbage is
/// 400 with the reason; the state stays.
#[test]
fn a_refused_jwt_leaves_no_trace() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let (client, report) = downloaded(&rig);
    assert_eq!(client.post("/receipt", &authority::receipt(&report)).status, 200);
    let records = rig.records();
    let marked = authority::foreign_key()
        .sign(json!({ "sub": "MARKED-MARKED-MARKED" }).to_string().as_bytes())
        .unwrap();
    let reply = client.post("/reactivate", &marked);
    assert_eq!(reply.status, 422, "{reply:?}");
    assert!(reply.body.contains("jwt_signature"), "{reply:?}");
    for garbage in ["MARKEDGARBAGE", "MARKEDGARBAGE.b.c", "{\"jwt\":\"MARKEDGARBAGE\"}"] {
        let reply = client.post("/reactivate", garbage);
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.body.contains("jwt_malformed"), "{reply:?}");
    }
    assert_eq!(rig.records(), records);
    assert_eq!(client.state(), 12);
    for mark in ["MARKEDGARBAGE", marked.split('.').nth(1).unwrap()] {
        assert!(crate::rig::nowhere(rig.dir.path(), mark), "{mark}");
    }
}

/// LIC-324: a receipt and a reactivation that arrive together end as if one came after the other.
#[test]
fn two_writers_end_as_if_one_came_after_the_other() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let (client, report) = downloaded(&rig);
    let (receipt, jwt) = (authority::receipt(&report), authority::jwt("paid"));
    let (accepted, switched) = std::thread::scope(|scope| {
        let receipt = scope.spawn(|| client.post("/receipt", &receipt));
        let switch = scope.spawn(|| client.post("/reactivate", &jwt));
        (receipt.join().unwrap(), switch.join().unwrap())
    });
    assert_eq!(accepted.status, 200, "{accepted:?}");
    let license = client.json("/v1/license");
    match switched.status {
        // The receipt came first: the licence was active, the switch began.
        200 => assert_ne!(license["slots"]["switch"], serde_json::Value::Null),
        // The switch came first: nothing was active yet.
        405 => assert_eq!(license["slots"]["switch"], serde_json::Value::Null),
        _ => panic!("{switched:?}"),
    }
    assert_eq!(license["slots"]["license"]["state"], 12);
}
