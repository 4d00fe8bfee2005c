//! Codes of §3.7: where each is found when it is produced.

use std::time::Duration;

use serde_json::{Value, json};

use crate::authority;
use crate::client::Client;
use crate::rig::{Rig, eventually};
use crate::service::{Service, answer};

/// Waits until `code` stands in `/v1/license`, as the error or under `warnings[]`, and was told by
/// an event and counted by a metric.
fn found(rig: &Rig, client: &Client, code: &str) {
    let mut last = Value::Null;
    eventually(Duration::from_secs(20), code, || {
        last = client.json("/v1/license");
        let warned = last["warnings"].as_array().unwrap().iter().any(|one| one["code"] == code);
        last["error"]["code"] == code || warned
    });
    let told = || rig.events().iter().any(|event| event["code"] == code);
    eventually(Duration::from_secs(5), code, told);
    let (status, metrics) = rig.probe("/metrics").unwrap();
    assert_eq!(status, 200);
    let label = format!("code=\"{code}\"");
    let counted = metrics.lines().find(|line| line.contains(&label));
    let counted = counted.unwrap_or_else(|| panic!("no metric with {label}"));
    assert!(counted.starts_with("spk_license_notices_total"), "{counted}");
    assert!(!counted.ends_with(" 0"), "{counted}");
}

/// LIC-250 for the codes of JWT and JWKS.
#[test]
fn every_code_of_jwt_and_jwks_is_shown_told_and_counted() {
    let rig = Rig::new("eval");
    std::fs::remove_file(rig.path("config/cpcl-config-cm/jwt")).unwrap();
    let _cwc = rig.start();
    let client = rig.client();
    found(&rig, &client, "jwt_missing");
    let jwt = authority::jwt("eval");
    let (head, rest) = jwt.split_once('.').unwrap();
    let forged = authority::foreign_key();
    let sign = |more: Value| authority::jwt_with("eval", &more);
    let claims = authority::license_claims("eval", &json!({})).to_string();
    let header = |alg: &str, kid: &str| json!({ "alg": alg, "kid": kid }).to_string();
    let with = |alg: &str, kid: &str| {
        authority::key().sign_parts(header(alg, kid).as_bytes(), claims.as_bytes()).unwrap()
    };
    for (bad, code) in [
        ("a".repeat(8_193), "jwt_too_large"),
        (format!("{head}={rest}"), "jwt_malformed"),
        (with("RS256", "v1"), "jwt_algorithm"),
        (with("RS512", "v7"), "jwt_unknown_key"),
        (forged.sign(claims.as_bytes()).unwrap(), "jwt_signature"),
        (sign(json!({ "iss": "Other" })), "jwt_issuer"),
        (sign(json!({ "aud": "urn:other" })), "jwt_audience"),
        (sign(json!({ "jti": "x" })), "jwt_claims"),
        (sign(json!({ "f5_order_type": "trial" })), "jwt_order_type"),
        (sign(json!({ "iat": authority::wall() + 7_200 })), "jwt_not_yet_valid"),
        (sign(json!({ "exp": authority::wall() - 1 })), "jwt_expired"),
    ] {
        rig.value("jwt", &bad);
        found(&rig, &client, code);
        assert_eq!(client.state(), 2, "{code}");
    }
    rig.value("jwt", &jwt);
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let mut private: Value = serde_json::from_str(&authority::jwks()).unwrap();
    private["keys"][0]["d"] = json!("AQAB");
    for (set, code) in [("{", "jwks_malformed"), (&private.to_string(), "jwks_private")] {
        rig.put("config/cpcl-key-cm/jwt.key", set);
        found(&rig, &client, code);
        assert_eq!(client.state(), 7, "the last good set stays");
    }
    std::fs::remove_file(rig.path("config/cpcl-key-cm/jwt.key")).unwrap();
    found(&rig, &client, "jwks_missing");
}

/// LIC-250 for the codes of receipts and switches.
#[test]
fn every_code_of_receipts_and_switches_is_shown_told_and_counted() {
    let rig = Rig::new("paid");
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let report = client.report();
    let claims = authority::claims(&report).to_string();
    let part = |header: Value| {
        authority::key().sign_parts(header.to_string().as_bytes(), claims.as_bytes()).unwrap()
    };
    let with = |more: Value| authority::receipt_with(&report, &more);
    let other = uuid::Uuid::new_v4();
    let large = json!({ "alg": "RS512", "kid": "v1", "x": "x".repeat(4_100) });
    for (receipt, status, code) in [
        ("x".to_owned(), 400, "receipt_malformed"),
        (part(large), 422, "receipt_too_large"),
        (part(json!({ "alg": "PS512", "kid": "v1" })), 400, "receipt_algorithm"),
        (part(json!({ "alg": "RS512", "kid": "v7" })), 422, "receipt_unknown_key"),
        (authority::foreign_key().sign(claims.as_bytes()).unwrap(), 422, "receipt_signature"),
        (with(json!({ "iss": "Other" })), 422, "receipt_issuer"),
        (with(json!({ "digitalAssetID": other })), 422, "receipt_wrong_asset"),
        (with(json!({ "reportSha256": "x" })), 422, "receipt_wrong_report"),
        (with(json!({ "licenseJti": other })), 422, "receipt_wrong_license"),
        (with(json!({ "iat": authority::wall() + 90_000 })), 422, "receipt_stale"),
        (with(json!({ "ack": "local" })), 422, "receipt_claims"),
    ] {
        let reply = client.post("/receipt", &receipt);
        assert_eq!(reply.status, status, "{code}: {reply:?}");
        assert!(reply.body.contains(code), "{code}: {reply:?}");
        found(&rig, &client, code);
    }
    let good = authority::receipt(&report);
    assert_eq!(client.post("/receipt", &good).status, 200);
    for (path, body, code) in [
        ("/receipt", &good, "receipt_replayed"),
        ("/reactivate", &authority::jwt("eval"), "switch_not_allowed"),
        ("/reactivate", &rig.record("licensekey"), "switch_same_license"),
    ] {
        assert_eq!(client.post(path, body).status, 409, "{code}");
        found(&rig, &client, code);
    }
}

/// LIC-250 for the codes of the upstream service, of usage and of the store.
#[test]
fn codes_of_upstream_usage_and_store_are_shown_told_and_counted() {
    let service = Service::start(|number, _| match number {
        0 => answer("403 Forbidden", "", "{}"),
        _ => answer("200 OK", "", "{}"),
    });
    let rig = Rig::new("eval");
    rig.value("mode", "connected");
    rig.value("upstream_url", "https://127.0.0.1:1/");
    let cwc = rig.start();
    let client = rig.client();
    found(&rig, &client, "upstream_unreachable");
    rig.value("upstream_url", &service.url());
    rig.value("custom_id", "now");
    found(&rig, &client, "upstream_tls");
    rig.value("upstream_ca", &service.ca);
    rig.value("custom_id", "once more");
    found(&rig, &client, "upstream_rejected");
    rig.value("custom_id", "and again");
    found(&rig, &client, "upstream_bad_response");

    std::fs::rename(rig.path("store"), rig.path("away")).unwrap();
    rig.value("mode", "disconnected");
    found(&rig, &client, "store_unavailable");
    std::fs::rename(rig.path("away"), rig.path("store")).unwrap();
    cwc.kill();

    let context: Value = serde_json::from_str(&rig.record("context")).unwrap();
    assert_eq!(context["schema"], 1);
    rig.put("store/context", "{}");
    let cwc = rig.start();
    found(&rig, &client, "store_corrupt");
    cwc.kill();

    let other = Rig::new("eval");
    let cwc = other.spawn();
    std::fs::remove_dir(other.path("resources")).unwrap();
    cwc.wait_ready();
    found(&other, &other.client(), "usage_unavailable");
    std::fs::create_dir(other.path("resources")).unwrap();
    // It is built by itself, after half a minute.
    eventually(Duration::from_secs(40), "a report", || other.client().state() == 7);
}

/// LIC-250 for what time brings: an ended licence, and a key that vanished before a restart
/// (LIC-127, a running production licence).
#[test]
fn codes_of_ended_licences_and_vanished_keys_are_shown_told_and_counted() {
    let rig = Rig::new("paid");
    let cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let report = client.report();
    let expiry = json!({ "orderType": "paid", "expiry": authority::wall() + 3 });
    let receipt = authority::receipt_with(&report, &json!({ "entitlement": expiry }));
    assert_eq!(client.post("/receipt", &receipt).status, 200);
    found_expired(&rig, &client);
    cwc.kill();
    let v2 = spk_jose::RsaSigningKey::generate("v2", spk_jose::RsaKeySize::Bits2048).unwrap();
    rig.put("config/cpcl-key-cm/jwt.key", &spk_jose::RsaSigningKey::key_set([&v2]));
    let _cwc = rig.start();
    found(&rig, &client, "jwks_kid_missing");
    assert_eq!(client.json("/v1/license")["verdict"]["value"], "warn");
}

fn found_expired(rig: &Rig, client: &Client) {
    eventually(Duration::from_secs(10), "expired", || {
        client.json("/v1/license")["error"]["code"] == "expired"
    });
    eventually(Duration::from_secs(5), "the event", || rig.told("LicenseExpired"));
}

/// LIC-250 for `store_newer`; LIC-520's refusal as the program shows it: a state of a newer form is
/// state 2, nothing is written and no reset is taken.
#[test]
fn a_state_of_a_newer_release_is_left_alone() {
    use aws_lc_rs::digest::{SHA256, digest};
    let rig = Rig::new("paid");
    let cwc = rig.start();
    eventually(Duration::from_secs(10), "a report", || rig.client().state() == 7);
    cwc.kill();
    let context = rig.record("context").replacen("\"schema\":1", "\"schema\":2", 1);
    let (body, _) = context.rsplit_once(",\"sha256\":\"").unwrap();
    let hash = digest(&SHA256, body.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    rig.put("store/context", &format!("{body},\"sha256\":\"{hash}\"}}"));
    let before = rig.records();
    let cwc = rig.start();
    let client = rig.client();
    found(&rig, &client, "store_newer");
    assert_eq!(client.state(), 2);
    let bearer = format!("Bearer {}", rig.token());
    let reset = client.send("POST", "/v1/license/reset", &[("Authorization", &bearer)], b"");
    assert_eq!(reset.unwrap().status, 405);
    assert!(cwc.terminate().success());
    assert_eq!(rig.records(), before);
}

/// LIC-850 for the CWC's metrics, LIC-342's agreement of metric and API: each is there under its
/// name, with the values of the API.
#[test]
fn the_metrics_have_their_names_and_agree_with_the_api() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let report = client.report();
    assert_eq!(client.post("/receipt", &authority::receipt(&report)).status, 200);
    let license = client.json("/v1/license");
    let metrics = rig.probe("/metrics").unwrap().1;
    let value = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
        line[name.len() + 1..].parse::<i64>().unwrap()
    };
    assert_eq!(value("spk_license_state{slot=\"license\"}"), 12);
    assert_eq!(value("spk_license_state{slot=\"next\"}"), 17);
    let verdict = "class=\"trial\",verdict=\"allow\",reason=\"verified\"";
    assert_eq!(value(&format!("spk_license_verdict{{{verdict}}}")), 1);
    let stops: jiff::Timestamp = license["stopsAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(value("spk_license_stops_at"), stops.as_second());
    assert_eq!(license["stopsBecause"], "expired");
    let end = license["expiry"]["date"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let left = value("spk_license_expiry_seconds");
    let distance = end.as_second() - i64::try_from(authority::wall()).unwrap();
    assert!(left.abs_diff(distance) <= 2, "{left} {distance}");
    assert_eq!(value("spk_bus_connected"), 1);
    let taken = "event=\"rcpt.ok\",state=\"StateVerificationInProgress\",outcome=\"taken\"";
    assert_eq!(value(&format!("spk_license_events_total{{{taken}}}")), 1);
    assert!(metrics.contains("spk_certificate_expiry_seconds{object=\"cwc-license-certs\""));
}

/// LIC-127: the key of the stored JWT vanished before a restart: production is warned, a trial is
/// blocked, and what is not active is in state 2. The key comes back, and all is as before.
#[test]
fn a_vanished_key_weighs_by_class_after_a_restart() {
    let v2 = spk_jose::RsaSigningKey::generate("v2", spk_jose::RsaKeySize::Bits2048).unwrap();
    let other = spk_jose::RsaSigningKey::key_set([&v2]);
    for (order, active, verdict, state) in
        [("paid", true, "warn", 12), ("eval", true, "block", 12), ("paid", false, "block", 2)]
    {
        let rig = Rig::new(order);
        let cwc = rig.start();
        let client = rig.client();
        eventually(Duration::from_secs(10), "a report", || client.state() == 7);
        if active {
            let report = client.report();
            assert_eq!(client.post("/receipt", &authority::receipt(&report)).status, 200);
        }
        // Without a restart nothing is verified again once active (LIC-622).
        rig.put("config/cpcl-key-cm/jwt.key", &other);
        cwc.kill();
        let _cwc = rig.start();
        let license = client.json("/v1/license");
        assert_eq!(license["verdict"]["value"], verdict, "{order} {active}: {license}");
        assert_eq!(license["slots"]["license"]["state"], state, "{order} {active}");
        rig.put("config/cpcl-key-cm/jwt.key", &authority::jwks());
        eventually(Duration::from_secs(10), "the key again", || {
            let license = client.json("/v1/license");
            let expected = if active { "allow" } else { "block" };
            let state = if active { 12 } else { 7 };
            license["verdict"]["value"] == expected && license["slots"]["license"]["state"] == state
        });
    }
}
