//! The documented flow: activation by hand, exactly as in the seed.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use spk_jose::{RsaKeySize, RsaSigningKey};

use crate::authority;
use crate::rig::{Rig, eventually};

/// The seed's curl call, but for host, path and folder.
fn curl(rig: &Rig, arguments: &[&str], path: &str) -> (String, String) {
    for (name, text) in [
        ("ca/certs/ca_certificate.pem", &rig.ca.pem),
        ("client/certs/client_certificate.pem", &rig.client_pair.certificate),
        ("client/secrets/client_key.pem", &rig.client_pair.key),
    ] {
        rig.put(&format!("api-server-secrets/ssl/{name}"), text);
    }
    let ssl = rig.path("api-server-secrets/ssl");
    let output = Command::new("curl")
        .args(["-k", "--header", "Content-Type: application/json"])
        .args(["--cert-type", "PEM"])
        .arg("--cacert")
        .arg(ssl.join("ca/certs/ca_certificate.pem"))
        .arg("--cert")
        .arg(ssl.join("client/certs/client_certificate.pem"))
        .arg("--key")
        .arg(ssl.join("client/secrets/client_key.pem"))
        .args(["--silent", "--show-error", "--write-out", "\n%{http_code}"])
        .args(arguments)
        .arg(format!("https://{}:30881{path}", rig.ip))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

/// LIC-311: the seed's curl calls succeed. LIC-410 but for the Controller, which the suite `licence`
/// adds: 7, 10, 12. LIC-331's shapes as the program gives them.
#[test]
fn the_seeds_curl_calls_activate_a_licence() {
    let rig = Rig::new("paid");
    let _cwc = rig.start();
    eventually(Duration::from_secs(10), "a report", || rig.client().state() == 7);

    let (status, body) = curl(&rig, &[], "/status");
    assert_eq!(status, "200");
    let shown: Value = serde_json::from_str(&body).unwrap();
    let asset = rig.record("digitalassetid");
    assert_eq!(
        shown,
        json!({
            "InitialRegistrationStatus": {
                "ClusterDetails": { "Name": "SPK Cluster" },
                "LicenseDetails": { "DigitalAssetID": asset, "EntitlementType": "paid" },
                "LicenseStatus": { "State": "Config Report Ready to Download" }
            },
            "TelemetryStatus": {}
        })
    );

    let (status, body) = curl(&rig, &[], "/report");
    assert_eq!(status, "200");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1);
    let report = body["report"].as_str().unwrap();
    assert_eq!(authority::read(report).telemetry.digital_asset_id.to_string(), asset);
    assert_eq!(rig.client().state(), 10);

    let manifest = json!({ "manifest": authority::receipt(report) }).to_string();
    let (status, body) = curl(&rig, &["--data-raw", &manifest], "/receipt");
    assert_eq!(status, "200", "{body}");
    let accepted = json!({ "state": 12, "text": "Verification Complete" });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), accepted);

    let (status, body) = curl(&rig, &[], "/report");
    assert_eq!(status, "405");
    assert_eq!(body, "Cannot download config report in current state. Error Invalid State");

    let (_, body) = curl(&rig, &[], "/status");
    let shown: Value = serde_json::from_str(&body).unwrap();
    let running = &shown["Status"];
    assert_eq!(running["LicenseStatus"], json!({ "State": "Verification Complete" }));
    assert_eq!(running["LicenseDetails"]["DigitalAssetID"], asset.as_str());
    assert_eq!(running["LicenseDetails"]["LicenseExpiryInDays"], "364");
    let next = &shown["TelemetryStatus"]["NextReport"];
    assert_eq!(next["State"], "Telemetry In Progress");
    assert!(next["EndDate"].as_str().unwrap().ends_with(" +0000 UTC"));
    assert_eq!(shown["TelemetryStatus"].get("CurrentReport"), None);
}

/// LIC-217, the part of one process: time-stamp, window and event of the first activation. The
/// broadcast and the latch are with the bus.
#[test]
fn the_first_receipt_dates_the_activation_and_opens_a_window() {
    let rig = Rig::new("paid");
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    assert!(rig.told("LicenseReportReady"));
    assert_eq!(rig.record("activationtimestamp"), "");
    assert_eq!(rig.record("activationstatus"), "false");
    let before = authority::wall();
    let report = client.report();
    assert_eq!(client.post("/receipt", &authority::receipt(&report)).status, 200);
    let at: jiff::Timestamp = rig.record("activationtimestamp").parse().unwrap();
    let at = u64::try_from(at.as_second()).unwrap();
    assert!((before..=authority::wall()).contains(&at));
    assert_eq!(rig.record("activationstatus"), "true");
    let license = client.json("/v1/license");
    assert_eq!(license["slots"]["next"]["state"], 17);
    assert_eq!(license["slots"]["current"], Value::Null);
    assert_eq!(license["verdict"]["value"], "allow");
    assert_eq!(license["active"], true);
    assert!(rig.told("LicenseActivated"));
}

/// LIC-120: without a key set the program runs in state 2 and says why; the key set comes and all
/// goes on by itself within 10 s.
#[test]
fn a_key_set_that_comes_late_is_taken_within_ten_seconds() {
    let rig = Rig::new("eval");
    std::fs::remove_file(rig.path("config/cpcl-key-cm/jwt.key")).unwrap();
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(5), "state 2", || client.state() == 2);
    assert_eq!(client.json("/v1/license")["error"]["code"], "jwks_missing");
    rig.put("config/cpcl-key-cm/jwt.key", &authority::jwks());
    eventually(Duration::from_secs(10), "state 7", || client.state() == 7);
}

/// LIC-126: a key is added, used, and the old one removed, without a restart; a broken set keeps
/// the last good one and is told.
#[test]
fn keys_rotate_while_the_program_runs() {
    let rig = Rig::new("paid");
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let report = client.report();
    rig.put("config/cpcl-key-cm/jwt.key", "{\"keys\":");
    eventually(Duration::from_secs(10), "a warning", || rig.told("LicenseWarning"));
    // The last good set still verifies.
    assert_eq!(client.post("/receipt", &authority::receipt(&report)).status, 200);

    let v2 = RsaSigningKey::generate("v2", RsaKeySize::Bits2048).unwrap();
    let of_v2 = |order: &str| {
        let claims = authority::license_claims(order, &json!({})).to_string();
        v2.sign(claims.as_bytes()).unwrap()
    };
    let reply = client.post("/reactivate", &of_v2("ela"));
    assert!(reply.body.contains("jwt_unknown_key"), "{reply:?}");
    rig.put("config/cpcl-key-cm/jwt.key", &RsaSigningKey::key_set([authority::key(), &v2]));
    eventually(Duration::from_secs(10), "the new key", || {
        client.post("/reactivate", &of_v2("ela")).status == 200
    });
    assert_eq!(client.post("/reactivate", &authority::jwt("ela")).status, 200);
    rig.put("config/cpcl-key-cm/jwt.key", &RsaSigningKey::key_set([&v2]));
    eventually(Duration::from_secs(10), "the old key to go", || {
        client.post("/reactivate", &authority::jwt("ela")).body.contains("jwt_unknown_key")
    });
    assert_eq!(client.post("/reactivate", &of_v2("ela")).status, 200);
    assert_eq!(client.state(), 12);
}
