//! TLS, limits and headers of the REST API.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::authority;
use crate::client::{Client, read_reply};
use crate::rig::{Authority, Rig, eventually};

/// What comes back to a request whose handshake is refused: an error, and no byte of HTTP.
fn refused(client: &Client) {
    let mut stream = client.connect().unwrap();
    let written = stream.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    assert!(written.is_err() || read.is_err(), "the server went on");
    assert_eq!(bytes, b"");
    let error = written.and(read.map(drop)).unwrap_err().to_string();
    assert!(error.contains("alert") || error.contains("eof") || error.contains("reset"), "{error}");
}

/// LIC-301: without a client certificate the handshake is refused and no byte of HTTP comes.
#[test]
fn a_client_without_a_certificate_is_refused_in_the_handshake() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    refused(&rig.client_with(None));
}

/// LIC-302: so are one that ended and one of another CA.
#[test]
fn an_expired_or_foreign_client_certificate_is_refused_in_the_handshake() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    refused(&rig.client_with(Some(&rig.ca.expired_client())));
    refused(&rig.client_with(Some(&Authority::new().client())));
}

/// What `openssl s_client` makes of the server with `arguments`.
fn s_client(rig: &Rig, arguments: &[&str]) -> String {
    rig.put("client.crt", &rig.client_pair.certificate);
    rig.put("client.key", &rig.client_pair.key);
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("{}:30881", rig.ip)])
        .arg("-cert")
        .arg(rig.path("client.crt"))
        .arg("-key")
        .arg(rig.path("client.key"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// LIC-303: TLS 1.1 and suites without AEAD are refused; 1.2 with GCM and 1.3 pass; HTTP/2 is
/// negotiated.
#[test]
fn tls_is_1_2_with_aead_or_1_3() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let weak = "ALL:@SECLEVEL=0";
    assert!(s_client(&rig, &["-tls1_1", "-cipher", weak]).contains("Cipher is (NONE)"));
    let cbc = "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0";
    assert!(s_client(&rig, &["-tls1_2", "-cipher", cbc]).contains("Cipher is (NONE)"));
    let gcm = s_client(&rig, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
    assert!(gcm.contains("Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"), "{gcm}");
    let newest = s_client(&rig, &["-tls1_3", "-alpn", "h2,http/1.1"]);
    assert!(newest.contains("TLSv1.3") && newest.contains("ALPN protocol: h2"), "{newest}");
}

/// LIC-304: without its Secret the listener does not start, readiness is false and the log names it;
/// it comes, and the listener is there within 10 s.
#[test]
fn the_listener_waits_for_its_secret() {
    let rig = Rig::bare();
    let cwc = rig.spawn();
    let ready = || rig.probe("/readyz");
    eventually(Duration::from_secs(10), "not ready", || {
        ready().is_some_and(|(status, text)| status == 503 && text.contains("cwc-license-certs"))
    });
    assert!(rig.log().contains("cwc-license-certs"), "{}", rig.log());
    assert!(std::net::TcpStream::connect((rig.ip, 30_881)).is_err());
    rig.certificates();
    eventually(Duration::from_secs(10), "the listener", || {
        rig.client().send("GET", "/status", &[], b"").is_ok()
    });
    eventually(Duration::from_secs(10), "ready", || {
        ready().is_some_and(|(status, _)| status == 200)
    });
    assert_eq!(rig.probe("/healthz").unwrap().0, 200);
    assert!(cwc.terminate().success());
}

/// LIC-305: new files are used by new handshakes within 10 s; an open event stream lives on.
#[test]
fn new_certificates_are_used_within_ten_seconds_and_streams_live_on() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let serial = || {
        let text = s_client(&rig, &["-showcerts"]);
        text.split_once("-----BEGIN").map(|(_, rest)| rest.to_owned()).unwrap()
    };
    let before = serial();
    let mut stream = client.connect().unwrap();
    write!(stream, "GET /v1/license/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.flush().unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    rig.certificates();
    eventually(Duration::from_secs(10), "the new certificate", || serial() != before);
    client.report();
    let mut told = String::new();
    let mut byte = [0; 256];
    while !told.contains("\"to\":10") {
        let count = stream.read(&mut byte).unwrap();
        assert!(count > 0, "the stream ended: {told}");
        told.push_str(&String::from_utf8_lossy(&byte[..count]));
    }
    assert!(told.contains("event: state"), "{told}");
}

/// LIC-306: a strict client takes the name of the `-a` SAN and no other.
#[test]
fn the_server_is_known_by_its_name_and_no_other() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    rig.put("ca.crt", &rig.ca.pem);
    let ca = rig.path("ca.crt");
    let verify = |name: &str| {
        let ca = ca.to_str().unwrap();
        let arguments = ["-CAfile", ca, "-verify_hostname", name, "-servername", name];
        s_client(&rig, &arguments)
    };
    let good = verify("f5-spk-cwc.default");
    assert!(good.contains("Verify return code: 0 (ok)"), "{good}");
    let bad = verify("f5-spk-cwc.other");
    assert!(bad.contains("Verify return code: 62"), "{bad}");
}

/// LIC-307: the bearer token, on the licence endpoints only with the value set. LIC-329's part of
/// one process: 401 without and 403 with a wrong one whatever `requireToken` says; a reset is 405
/// while active. That levels reach Controllers and TMMs, and a reset at `store_corrupt`, are
/// elsewhere.
#[test]
fn the_bearer_token_is_asked_where_it_must_be() {
    let rig = Rig::new("paid");
    let _cwc = rig.start();
    let client = rig.client();
    let right = format!("Bearer {}", rig.token());
    let post = |path: &str, token: Option<&str>, body: &str| {
        let headers: Vec<_> = token.iter().map(|token| ("Authorization", *token)).collect();
        client.send("POST", path, &headers, body.as_bytes()).unwrap()
    };
    let always = ["/v1/license/reset", "/v1/clock/accept", "/v1/upgrade/confirm", "/v1/log"];
    let level = json!({ "component": "spk-cwc", "level": "warn" }).to_string();
    for path in always {
        let reply = post(path, None, &level);
        assert_eq!(reply.status, 401, "{path}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        assert_eq!(post(path, Some("Basic eDp5"), &level).status, 401, "{path}");
        assert_eq!(post(path, Some("Bearer wrong"), &level).status, 403, "{path}");
    }
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let report = client.report();
    assert_eq!(client.post("/receipt", &authority::receipt(&report)).status, 200);
    assert_eq!(post("/v1/license/reset", Some(&right), "").status, 405);
    assert_eq!(post("/v1/clock/accept", Some(&right), "").status, 204);
    assert_eq!(post("/v1/upgrade/confirm", Some(&right), "").status, 204);
    assert_eq!(post("/v1/log", Some(&right), &level).status, 204);
    assert_eq!(post("/v1/log", Some(&right), "{}").status, 400);

    rig.value("require_token", "true");
    let with = |token: &str| {
        client.send("GET", "/status", &[("Authorization", token)], b"").unwrap().status
    };
    eventually(Duration::from_secs(10), "the value", || client.get("/status").status == 401);
    assert_eq!(with("Bearer wrong"), 403);
    assert_eq!(with(&right), 200);
    assert_eq!(client.get("/v1/license").status, 401);
    assert_eq!(rig.probe("/healthz").unwrap().0, 200);
}

/// LIC-308 but for the page's own forms: what a page of another origin sends is 403.
#[test]
fn a_request_of_a_foreign_page_is_refused() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let client = rig.client();
    let own = format!("https://{}", client.address);
    let status = |method: &str, headers: &[(&str, &str)]| {
        let path = if method == "GET" { "/status" } else { "/receipt" };
        let reply = client.send(method, path, headers, b"x").unwrap();
        reply.status
    };
    // Whatever else is wrong with this receipt, it was looked at.
    let passed = |method: &str| if method == "GET" { 200 } else { 400 };
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    client.report();
    for method in ["GET", "POST"] {
        assert_eq!(status(method, &[]), passed(method));
        assert_eq!(status(method, &[("Sec-Fetch-Site", "same-origin")]), passed(method));
        assert_eq!(status(method, &[("Origin", &own)]), passed(method));
        for origin in ["https://evil.example", "null", "http://x", &format!("{own}0")] {
            assert_eq!(status(method, &[("Origin", origin)]), 403, "{method} {origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert_eq!(status(method, &[("Sec-Fetch-Site", site)]), 403, "{method} {site}");
        }
    }
    assert_eq!(status("GET", &[("Sec-Fetch-Site", "none")]), 200);
    assert_eq!(status("POST", &[("Sec-Fetch-Site", "none")]), 403);
}

/// LIC-309: bodies above their limit are 413, those that do not come 408, and the eleventh POST
/// within a minute 429 with `Retry-After`; another certificate has its own count. The range of the
/// value is in `config`.
#[test]
fn bodies_and_posts_are_limited() {
    let rig = Rig::new("eval");
    std::fs::remove_file(rig.path("config/cpcl-config-cm/posts_per_minute")).unwrap();
    let _cwc = rig.start();
    let mut posts = 0;
    let client = rig.client();
    for (path, limit, over) in [("/receipt", 65_536, 413), ("/reactivate", 8_192, 413)] {
        let status = |length: usize| client.post(path, &"x".repeat(length)).status;
        assert_ne!(status(limit), 413, "{path}");
        assert_eq!(status(limit + 1), over, "{path}");
        posts += 2;
    }
    let started = std::time::Instant::now();
    let mut stream = client.connect().unwrap();
    write!(stream, "POST /receipt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc").unwrap();
    stream.flush().unwrap();
    posts += 1;
    for _ in posts..10 {
        assert_ne!(client.post("/receipt", "x").status, 429);
    }
    let reply = client.post("/receipt", "x");
    assert_eq!(reply.status, 429, "{reply:?}");
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let other = rig.client_with(Some(&rig.ca.client()));
    assert_ne!(other.post("/receipt", "x").status, 429);
    assert_eq!(client.get("/status").status, 200);

    let reply = read_reply(&mut stream).unwrap();
    assert_eq!(reply.status, 408, "{reply:?}");
    let waited = started.elapsed().as_secs();
    assert!((29..36).contains(&waited), "{waited}");
}

/// LIC-310: no answer is stored, and each has an id: that of the request if it has one.
#[test]
fn every_answer_forbids_storing_and_has_an_id() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let client = rig.client();
    for path in ["/status", "/report", "/v1/license", "/nothing", "/receipt"] {
        let reply = client.get(path);
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        let id = reply.header("x-request-id").unwrap();
        assert!(uuid::Uuid::parse_str(id).is_ok(), "{path}: {id}");
        let own = [("F5-TraceId", "350df9a4-4703-11ec-bbe5-acde48001122")];
        let reply = client.send("GET", path, &own, b"").unwrap();
        assert_eq!(reply.header("x-request-id"), Some(own[0].1), "{path}");
    }
}

/// LIC-323: an unknown path is 404; a known one with another method is 405 and says which it takes.
#[test]
fn every_path_says_which_methods_it_takes() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let client = rig.client();
    let paths = [
        ("/status", "GET"),
        ("/report", "GET"),
        ("/receipt", "POST"),
        ("/reactivate", "POST"),
        ("/v1/license", "GET"),
        ("/v1/license/history", "GET"),
        ("/v1/license/events", "GET"),
        ("/v1/license/switch", "DELETE"),
        ("/v1/telemetry", "GET"),
        ("/openapi.json", "GET"),
    ];
    for (path, own) in paths {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            if method == own {
                continue;
            }
            let reply = client.send(method, path, &[], b"").unwrap();
            assert_eq!(reply.status, 405, "{method} {path}");
            let allow = reply.header("allow").unwrap();
            assert!(allow.split(',').any(|one| one == own), "{method} {path}: {allow}");
        }
    }
    for method in ["GET", "POST", "DELETE"] {
        for path in ["/nothing", "/status/", "/v1", "/report/x", "//status"] {
            assert_eq!(client.send(method, path, &[], b"").unwrap().status, 404, "{path}");
        }
    }
}

/// LIC-326, LIC-327: a telemetry report before its date is 405 with the seed's text, or a problem
/// with the same status, and says when to come again.
#[test]
fn a_report_before_its_date_says_when_to_come_again() {
    let rig = Rig::new("paid");
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    let report = client.report();
    assert_eq!(client.post("/receipt", &authority::receipt(&report)).status, 200);
    let license = client.json("/status");
    let end = license["TelemetryStatus"]["NextReport"]["EndDate"].as_str().unwrap().to_owned();
    let end = spk_license::calendar::parse_status_date(&end).unwrap();

    let reply = client.get("/report");
    let distance = end - authority::wall();
    assert_eq!(reply.status, 405);
    assert_eq!(reply.body, "Cannot download config report in current state. Error Invalid State");
    assert_eq!(reply.header("allow"), Some(""));
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!(wait.abs_diff(distance) <= 2, "{wait} {distance}");

    let accept = [("Accept", "application/problem+json")];
    let reply = client.send("GET", "/report", &accept, b"").unwrap();
    assert_eq!(reply.status, 405);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = reply.json();
    assert_eq!(problem["type"], "urn:spk:problem:report_not_ready");
    assert_eq!(problem["title"], "Cannot download config report in current state");
    assert_eq!(problem["status"], 405);
    assert_eq!(problem["instance"], "/report");
    assert_eq!(problem["code"], "report_not_ready");
    assert_eq!(problem["state"], 17);
    assert_eq!(problem["stateText"], "Telemetry In Progress");
    let not_before: jiff::Timestamp = problem["notBefore"].as_str().unwrap().parse().unwrap();
    assert_eq!(u64::try_from(not_before.as_second()).unwrap(), end);
    assert!(!problem["suggestedAction"].as_str().unwrap().is_empty());
    // Members ours and RFC 9457's are in every problem, with the status of the plain form.
    for (method, path, body) in [
        ("POST", "/receipt", "x"),
        ("POST", "/reactivate", "x"),
        ("GET", "/nothing", ""),
        ("DELETE", "/v1/license/switch", ""),
        ("POST", "/v1/license/reset", ""),
        ("PUT", "/status", ""),
    ] {
        let plain = client.send(method, path, &[], body.as_bytes()).unwrap();
        let reply = client.send(method, path, &accept, body.as_bytes()).unwrap();
        assert_eq!(reply.status, plain.status, "{path}");
        assert!(plain.header("content-type").unwrap().starts_with("text/plain"), "{path}");
        let problem = reply.json();
        assert_eq!(problem["status"], reply.status, "{path}");
        for member in
            ["type", "title", "detail", "instance", "code", "state", "stateText", "suggestedAction"]
        {
            assert_ne!(problem[member], Value::Null, "{path} {member}");
        }
    }
}

/// LIC-903: the program starts with either style of key names.
#[test]
fn either_style_of_certificate_names_is_read() {
    let rig = Rig::new("eval");
    for (file, dash) in [
        ("ca_root.crt", "ca-root-cert"),
        ("server.crt", "server-cert"),
        ("server.key", "server-key"),
    ] {
        let folder = rig.path("config/cwc-license-certs");
        std::fs::rename(folder.join(file), folder.join(dash)).unwrap();
    }
    let cwc = rig.start();
    assert_eq!(rig.client().get("/status").status, 200);
    cwc.kill();
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    assert_eq!(rig.client().get("/status").status, 200);
}

/// LIC-901, the program's half: each value of `cpcl-config-cm` has its effect. `log_format`,
/// `missed_heartbeats` and the upstream's are with their own tests.
#[test]
fn each_value_has_its_effect() {
    let rig = Rig::new("paid");
    for (key, text) in [
        ("custom_id", "Marked Cluster"),
        ("digital_asset_name", "MARKED-NAME"),
        ("digital_asset_version", "9.8.7"),
        ("product_name", "MARKED-PRODUCT"),
        ("trusted_issuers", "[\"Marked Issuer\", \"F5 Inc.\"]"),
        ("expiring_soon_days", "366"),
        ("log_format", "json"),
    ] {
        rig.value(key, text);
    }
    let jwt = authority::jwt_with("paid", &json!({ "iss": "Marked Issuer" }));
    rig.value("jwt", &jwt);
    let moved = rig.path("elsewhere/jwt.key");
    rig.put("elsewhere/jwt.key", &authority::jwks());
    std::fs::remove_file(rig.path("config/cpcl-key-cm/jwt.key")).unwrap();
    rig.value("signed_verification_cert_path", moved.to_str().unwrap());
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "a report", || client.state() == 7);
    assert_eq!(rig.record("licensekey"), jwt);
    let report = client.report();
    let telemetry = authority::read(&report).telemetry;
    assert_eq!(telemetry.custom_id, "Marked Cluster");
    assert_eq!(telemetry.digital_asset_name, "MARKED-NAME");
    assert_eq!(telemetry.digital_asset_version, "9.8.7");
    assert_eq!(telemetry.product_name, "MARKED-PRODUCT");
    let status = client.json("/status");
    let name = &status["InitialRegistrationStatus"]["ClusterDetails"]["Name"];
    assert_eq!(name, "Marked Cluster");
    let receipt = authority::receipt_with(&report, &json!({ "iss": "Marked Issuer" }));
    assert_eq!(client.post("/receipt", &receipt).status, 200);
    // 364 days are left, and 366 are soon.
    eventually(Duration::from_secs(5), "state 14", || client.state() == 14);
    for line in rig.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["component"], "spk-cwc");
    }
    assert!(rig.log().contains("\"level\":\"debug\""), "the rig sets log_level");
}
