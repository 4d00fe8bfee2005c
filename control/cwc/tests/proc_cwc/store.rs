//! What is kept over deaths, losses and full disks.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::authority;
use crate::client::Client;
use crate::rig::{Rig, eventually};

/// An active licence.
fn activate(rig: &Rig) -> Client {
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let report = client.report();
    assert_eq!(client.post("/receipt", &authority::receipt(&report)).status, 200);
    client
}

/// LIC-500 on files: the records are those of §7.1, each under its own name as only key.
#[test]
fn the_records_are_those_of_the_reference() {
    let rig = Rig::new("paid");
    let _cwc = rig.start();
    activate(&rig);
    let expected = BTreeSet::from([
        "context",
        "licensestatus",
        "digitalassetid",
        "licensekey",
        "switchlicensestatus",
        "telemetrystatus",
        "configreport",
        "configreportsignedackresponse",
        "activationstatus",
        "activationtimestamp",
        "activationmessage",
        "initialregistrationstatus",
        "previousreportname",
        "previousreportverifieddate",
        "entitlements",
        "statehistory",
        "statesofdecay",
        "modeofoperation",
        "productname",
        "digitalassetname",
        "digitalassetversion",
        "customerprovidedid",
        "csr",
    ]);
    let records = rig.records();
    let names: BTreeSet<&str> = records.keys().map(String::as_str).collect();
    assert_eq!(names, expected);
    let status = &records["licensestatus"];
    let members: Vec<&str> = status
        .split('"')
        .filter(|part| part.starts_with(char::is_uppercase) && !part.contains(['-', ':', ' ']))
        .collect();
    assert_eq!(
        members,
        [
            "Name",
            "State",
            "ErrCode",
            "ErrString",
            "OperatorAction",
            "DigitalAssetId",
            "LicenseExpiryDate",
            "EntitlementType",
            "IsActive"
        ]
    );
    assert_eq!(records["customerprovidedid"], "SPK Cluster");
    assert_eq!(records["modeofoperation"], "disconnected");
    let key: Value = serde_json::from_str(&records["csr"]).unwrap();
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert_eq!(key.get("d"), None);
}

/// LIC-511: every projection that was altered or is gone is as before after a start, and the DAID,
/// class and state with them.
#[test]
fn altered_projections_are_mended_at_the_next_start() {
    let rig = Rig::new("paid");
    let cwc = rig.start();
    let client = activate(&rig);
    // A switch that waits: a second JWT and report are in the state.
    assert_eq!(client.post("/reactivate", &authority::jwt("ela")).status, 200);
    eventually(Duration::from_secs(10), "the switch's report", || {
        client.json("/v1/license")["slots"]["switch"]["state"] == 7
    });
    let before = rig.records();
    assert!(cwc.terminate().success());
    for (index, name) in before.keys().filter(|name| *name != "context").enumerate() {
        let path = rig.path(&format!("store/{name}"));
        match index % 3 {
            0 => fs::remove_file(path).unwrap(),
            1 => fs::write(path, "altered").unwrap(),
            _ => fs::write(path, "").unwrap(),
        }
    }
    let cwc = rig.start();
    assert_eq!(cwc.rig_client().state(), 12);
    let mut after = rig.records();
    // The count of writes and of starts is in `context`; the history holds this start.
    for name in ["context", "statehistory"] {
        after.insert(name.to_owned(), before[name].clone());
    }
    for (name, text) in &before {
        assert_eq!(after.get(name), Some(text), "{name}");
    }
    assert_eq!(after.len(), before.len());
}

/// LIC-512: while the store fails a request is 503 and changes nothing; a later one succeeds.
#[test]
fn a_store_that_fails_refuses_requests_and_changes_nothing() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let report = rig.record("configreport");
    fs::rename(rig.path("store"), rig.path("away")).unwrap();
    let reply = client.get("/report");
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.header("retry-after"), Some("5"));
    assert!(reply.body.contains("store_unavailable"), "{reply:?}");
    let license = client.json("/v1/license");
    assert_eq!(license["slots"]["license"]["state"], 7);
    assert_eq!(license["error"]["code"], "store_unavailable");
    assert_eq!(client.get("/status").status, 200);
    assert!(rig.told("LicenseError"));
    fs::rename(rig.path("away"), rig.path("store")).unwrap();
    assert_eq!(client.report(), report);
    assert_eq!(client.state(), 10);
    eventually(Duration::from_secs(5), "recovery", || {
        client.json("/v1/license")["error"] == Value::Null
    });
    let context: Value = serde_json::from_str(&rig.record("context")).unwrap();
    assert_eq!(context["license"]["state"], 10);
}

/// LIC-514: `context` is lost and the DAID there: it is kept, the licence starts over, and people
/// are told.
#[test]
fn a_lost_context_keeps_the_asset_and_starts_over() {
    let rig = Rig::new("paid");
    let cwc = rig.start();
    activate(&rig);
    let asset = rig.record("digitalassetid");
    cwc.kill();
    fs::remove_file(rig.path("store/context")).unwrap();
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    assert_eq!(client.json("/v1/license")["digitalAssetID"], asset.as_str());
    assert_eq!(rig.record("digitalassetid"), asset);
    assert!(rig.told("LicenseStateLost"));
}

/// LIC-515 but for the traffic, LIC-329's reset at `store_corrupt`: a cut or altered `context` is
/// state 2 and nothing is written; a good copy brings all back, and a reset begins with a new asset.
#[test]
fn a_corrupt_context_is_left_alone_until_a_reset() {
    let rig = Rig::new("paid");
    let cwc = rig.start();
    activate(&rig);
    cwc.kill();
    let good = rig.record("context");
    for corrupt in [&good[..good.len() / 2], "", &good.replacen("\"state\":12", "\"state\":16", 1)]
    {
        assert_ne!(corrupt, good);
        fs::write(rig.path("store/context"), corrupt).unwrap();
        let before = rig.records();
        let cwc = rig.start();
        let client = rig.client();
        let license = client.json("/v1/license");
        assert_eq!(license["slots"]["license"]["state"], 2);
        assert_eq!(license["error"]["code"], "store_corrupt");
        assert_eq!(client.get("/report").status, 405);
        assert!(cwc.terminate().success());
        assert_eq!(rig.records(), before);
    }
    // A good copy returns while the program runs.
    fs::write(rig.path("store/context"), "{}").unwrap();
    let cwc = rig.start();
    assert_eq!(rig.client().state(), 2);
    fs::write(rig.path("store/context"), &good).unwrap();
    eventually(Duration::from_secs(10), "the old state", || rig.client().state() == 12);
    cwc.kill();

    let asset = rig.record("digitalassetid");
    fs::write(rig.path("store/context"), "{}").unwrap();
    let _cwc = rig.start();
    let client = rig.client();
    let bearer = format!("Bearer {}", rig.token());
    let reply =
        client.send("POST", "/v1/license/reset", &[("Authorization", &bearer)], b"").unwrap();
    assert_eq!(reply.status, 204, "{reply:?}");
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    assert_ne!(rig.record("digitalassetid"), asset);
    assert!(rig.told("LicenseReset"));
}

/// LIC-516, the CWC's side: everything is deleted, keys too: fresh state, asset, lease key and
/// epoch. What Controllers keep is shown with them.
#[test]
fn a_deleted_state_is_a_fresh_start() {
    let rig = Rig::new("paid");
    let cwc = rig.start();
    activate(&rig);
    let (asset, key) = (rig.record("digitalassetid"), lease_key(&rig));
    cwc.kill();
    fs::remove_dir_all(rig.path("store")).unwrap();
    for secret in ["cwc-lease-key", "cwc-lease-jwks", "cwc-report-key", "cwc-auth-token"] {
        fs::remove_dir_all(rig.path(&format!("config/{secret}"))).unwrap();
    }
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    assert_ne!(rig.record("digitalassetid"), asset);
    assert_ne!(lease_key(&rig), key);
    let context: Value = serde_json::from_str(&rig.record("context")).unwrap();
    assert_eq!(context["epoch"], 1);
}

fn lease_key(rig: &Rig) -> String {
    fs::read_to_string(rig.path("config/cwc-lease-key/private.jwk")).unwrap()
}

/// LIC-011 on files: keys are made once and never replaced; `next.jwk` only adds its public key.
#[test]
fn lease_keys_are_made_once_and_never_replaced() {
    let rig = Rig::new("eval");
    let cwc = rig.start();
    let key = lease_key(&rig);
    let set = || fs::read_to_string(rig.path("config/cwc-lease-jwks/jwks.json")).unwrap();
    let first = set();
    cwc.kill();
    let cwc = rig.start();
    assert_eq!((lease_key(&rig), set()), (key.clone(), first.clone()));
    cwc.kill();
    let next = spk_jose::Ed25519Key::from_seed([7; 32]).unwrap();
    rig.put("config/cwc-lease-key/next.jwk", &next.to_jwk());
    let cwc = rig.start();
    assert_eq!(lease_key(&rig), key);
    let kids = |text: &str| {
        let set = spk_jose::Jwks::parse(text).unwrap();
        set.kids().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut expected = kids(&first);
    expected.push(next.kid().to_owned());
    assert_eq!(kids(&set()), expected);
    cwc.kill();

    // Foreign ones are used as they are.
    let foreign = spk_jose::Ed25519Key::from_seed([9; 32]).unwrap();
    fs::remove_file(rig.path("config/cwc-lease-key/next.jwk")).unwrap();
    rig.put("config/cwc-lease-key/private.jwk", &foreign.to_jwk());
    rig.put("config/cwc-lease-jwks/jwks.json", &foreign.jwks().to_json());
    let _cwc = rig.start();
    assert_eq!(lease_key(&rig), foreign.to_jwk());
    assert_eq!(kids(&set()), [foreign.kid()]);
}

/// LIC-530: what the program writes is 0600 in folders of 0700. The other rules of §7.2 on files are
/// in this module.
#[test]
fn state_and_keys_are_private_files() {
    let rig = Rig::new("paid");
    let _cwc = rig.start();
    activate(&rig);
    let mode = |name: &str| fs::metadata(rig.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("store"), 0o700);
    for name in rig.records().keys() {
        assert_eq!(mode(&format!("store/{name}")), 0o600, "{name}");
    }
    for (folder, file) in [
        ("cwc-lease-key", "private.jwk"),
        ("cwc-lease-jwks", "jwks.json"),
        ("cwc-report-key", "private.jwk"),
        ("cwc-auth-token", "token"),
    ] {
        assert_eq!(mode(&format!("config/{folder}")), 0o700, "{folder}");
        assert_eq!(mode(&format!("config/{folder}/{file}")), 0o600, "{folder}");
    }
    assert_eq!(mode("events.jsonl"), 0o600);
}

/// LIC-531: a second CWC on the same store refuses to start and says who holds it.
#[test]
fn a_second_cwc_refuses_to_start() {
    let rig = Rig::new("eval");
    let cwc = rig.start();
    let second = rig.spawn();
    assert_eq!(second.wait().code(), Some(1));
    let held = format!("held by another process (pid {})", cwc.child.id());
    assert!(rig.log().contains(&held), "{}", rig.log());
    assert_eq!(rig.client().get("/status").status, 200);
}

/// LIC-944 (F12): killed and started again, `/status` answers with the old state within 3 s.
#[test]
fn a_killed_cwc_answers_with_its_old_state_within_three_seconds() {
    let rig = Rig::new("paid");
    let mut cwc = rig.start();
    let client = activate(&rig);
    let before = client.json("/status");
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        cwc.kill();
        cwc = rig.spawn();
        cwc.wait_ready();
        slowest = slowest.max(cwc.started.elapsed());
        assert_eq!(client.json("/status"), before);
    }
    println!("F12: slowest of 5 starts {slowest:?}, spk-cwc {}", env!("CARGO_PKG_VERSION"));
    assert!(slowest <= Duration::from_secs(3), "{slowest:?}");
}

/// A start of the program whose store is a file system of 512 KiB of its own, with `ballast` bytes
/// used already.
fn spawn_on_small_disk(rig: &Rig, ballast: u32) -> crate::rig::Cwc<'_> {
    fs::create_dir_all(rig.path("store")).unwrap();
    let mount = format!(
        "mount -t tmpfs -o size=512k,mode=0700 none '{store}' && \
         head -c {ballast} /dev/zero > '{store}/.ballast'; exec \"$0\" \"$@\"",
        store = rig.path("store").display()
    );
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount])
        .arg(env!("CARGO_BIN_EXE_spk-cwc"));
    rig.spawn_by(command)
}

/// LIC-530, LIC-512: a full disk is said to be one, changes nothing, and is got over.
#[test]
fn a_full_disk_is_named_and_got_over() {
    let rig = Rig::new("eval");
    let cwc = spawn_on_small_disk(&rig, 0);
    cwc.wait_ready();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    // The program's own view of the file system, which nobody else sees.
    let inside = format!("/proc/{}/root{}", cwc.child.id(), rig.path("store").display());
    let ballast = format!("{inside}/.ballast");
    let filled = fs::write(&ballast, vec![b'x'; 1 << 20]);
    assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let reply = client.get("/report");
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(rig.log().contains("store_full"), "{}", rig.log());
    assert!(rig.log().contains("free disk space there"), "{}", rig.log());
    assert_eq!(client.state(), 7);
    let context: Value =
        serde_json::from_str(&fs::read_to_string(format!("{inside}/context")).unwrap()).unwrap();
    assert_eq!(context["license"]["state"], 7);
    fs::remove_file(&ballast).unwrap();
    client.report();
    assert_eq!(client.state(), 10);
}

/// LIC-512 at a start: nothing can be stored, so nothing begins; there is space again, and it does.
#[test]
fn a_start_on_a_full_disk_goes_on_when_there_is_space() {
    let rig = Rig::new("eval");
    let cwc = spawn_on_small_disk(&rig, 1 << 20);
    cwc.wait_ready();
    let client = rig.client();
    let license = client.json("/v1/license");
    assert_eq!(license["slots"]["license"]["state"], 0);
    assert_eq!(license["error"]["code"], "store_unavailable");
    let inside = format!("/proc/{}/root{}", cwc.child.id(), rig.path("store").display());
    assert!(!fs::exists(format!("{inside}/digitalassetid")).unwrap());
    fs::remove_file(format!("{inside}/.ballast")).unwrap();
    eventually(Duration::from_secs(15), "a report", || client.state() == 7);
}
