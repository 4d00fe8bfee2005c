//! Connected mode: reports travel by themselves.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::authority;
use crate::rig::{Rig, eventually};
use crate::service::{Service, acknowledge, answer, proxy};

/// A rig that sends its reports to `service`, whose CA is known.
fn connected(order_type: &str, service: &Service) -> Rig {
    let rig = Rig::new(order_type);
    rig.value("mode", "connected");
    rig.value("upstream_url", &service.url());
    rig.value("upstream_ca", &service.ca);
    rig
}

/// LIC-215, LIC-400: a report that is ready is posted once, with the seed's five headers and body,
/// and the licence is active without hands. A retry has another trace id.
#[test]
fn a_ready_report_is_posted_and_its_receipt_taken_without_hands() {
    let service = Service::start(|number, asked| match number {
        0 => answer("503 Service Unavailable", "Retry-After: 1\r\n", "{}"),
        _ => acknowledge(asked),
    });
    let rig = connected("paid", &service);
    let _cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(20), "activation", || client.state() == 12);
    assert!(rig.told("LicenseReportReady"));
    let asked = service.asked();
    assert_eq!(asked.len(), 2);
    for request in &asked {
        assert_eq!(request.line, "POST /ee/v1/entitlements/telemetry HTTP/1.1");
        assert_eq!(request.header("F5-DigitalAssetId"), rig.record("digitalassetid"));
        assert_eq!(request.header("User-Agent"), "SPK");
        assert_eq!(request.header("Content-Type"), "application/json");
        let bearer = format!("Bearer {}", rig.record("licensekey"));
        assert_eq!(request.header("Authorization"), bearer);
        assert!(uuid::Uuid::parse_str(request.header("F5-TraceId")).is_ok());
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1);
    }
    assert_ne!(asked[0].header("F5-TraceId"), asked[1].header("F5-TraceId"));
    assert_eq!(asked[0].report(), asked[1].report());
    // By hand nothing goes in this mode.
    assert_eq!(client.get("/report").status, 405);
}

/// LIC-403: a refusal, an answer without a manifest and a manifest that fails A1 lead to 13; a change
/// of the values tries at once (the hourly attempts are in `spk-license`).
#[test]
fn a_final_refusal_leads_to_13_and_new_values_try_again() {
    let forged = authority::foreign_key();
    let service = Service::start(move |number, asked| match number {
        0 => answer("401 Unauthorized", "", "{}"),
        1 => answer("400 Bad Request", "", "{}"),
        2 => answer("403 Forbidden", "", "{}"),
        3 => answer("200 OK", "", "{\"other\":1}"),
        4 => {
            let manifest = forged.sign(authority::claims(&asked.report()).to_string().as_bytes());
            answer("200 OK", "", &json!({ "manifest": manifest.unwrap() }).to_string())
        }
        _ => acknowledge(asked),
    });
    let rig = connected("eval", &service);
    let _cwc = rig.start();
    let client = rig.client();
    for number in 0..5 {
        let code = if number < 3 { "upstream_rejected" } else { "upstream_bad_response" };
        eventually(Duration::from_secs(10), code, || {
            let license = client.json("/v1/license");
            service.asked().len() == number + 1
                && license["slots"]["license"]["state"] == 13
                && license["error"]["code"] == code
        });
        rig.value("custom_id", &format!("attempt {number}"));
    }
    eventually(Duration::from_secs(10), "activation", || client.state() == 12);
}

/// LIC-404: a redirect is not followed, and the proxy of the environment is used, or not where
/// `NO_PROXY` names the host.
#[test]
fn redirects_are_not_followed_and_the_proxy_is_used() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = elsewhere.local_addr().unwrap();
    let followed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&followed);
    std::thread::spawn(move || {
        for _ in elsewhere.incoming() {
            seen.store(true, Ordering::SeqCst);
        }
    });
    let service = Service::start(move |number, asked| match number {
        0 => answer("302 Found", &format!("Location: https://{target}/\r\n"), ""),
        _ => acknowledge(asked),
    });
    let (address, lines) = proxy();
    let mut rig = connected("eval", &service);
    rig.env.push(("HTTPS_PROXY".to_owned(), format!("http://{address}")));
    let cwc = rig.start();
    let client = rig.client();
    eventually(Duration::from_secs(10), "state 13", || client.state() == 13);
    assert!(!followed.load(Ordering::SeqCst));
    let line = format!("CONNECT {} HTTP/1.1", service.address);
    assert_eq!(*lines.lock().unwrap(), [line]);
    cwc.kill();

    rig.env.push(("NO_PROXY".to_owned(), "127.0.0.1".to_owned()));
    let _cwc = rig.start();
    eventually(Duration::from_secs(10), "activation", || rig.client().state() == 12);
    assert_eq!(lines.lock().unwrap().len(), 1);
}

/// LIC-405: a service whose CA nobody named is refused and asked nothing; `upstreamCa` is named and
/// it is accepted. LIC-900: so it is by `cpcl-crt-cm`.
#[test]
fn an_unknown_ca_is_refused_until_it_is_named() {
    for name in ["cpcl-config-cm/upstream_ca", "cpcl-crt-cm/jwt_ca.crt"] {
        let service = Service::start(|_, asked| acknowledge(asked));
        let rig = connected("eval", &service);
        rig.value("upstream_ca", "");
        let _cwc = rig.start();
        let client = rig.client();
        eventually(Duration::from_secs(10), "a refused handshake", || {
            rig.log().contains("UnknownIssuer")
        });
        assert_eq!(client.state(), 11);
        assert!(service.asked().is_empty());
        rig.put(&format!("config/{name}"), &service.ca);
        eventually(Duration::from_secs(15), "activation", || client.state() == 12);
        assert_eq!(service.asked().len(), 1);
    }
}

/// LIC-106: a token whose header names an address makes no connection there.
#[test]
fn no_address_in_a_header_is_visited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let rig = Rig::new("eval");
    let header = json!({
        "alg": "RS512", "typ": "JWT", "kid": "v1",
        "jku": format!("https://{address}/jwks"), "x5u": format!("http://{address}/x5u"),
    });
    let claims = authority::license_claims("eval", &json!({}));
    let jwt = authority::key()
        .sign_parts(header.to_string().as_bytes(), claims.to_string().as_bytes())
        .unwrap();
    rig.value("jwt", &jwt);
    let _cwc = rig.start();
    eventually(Duration::from_secs(10), "a report", || rig.client().state() == 7);
    let report = rig.client().report();
    let receipt = authority::key()
        .sign_parts(
            header.to_string().as_bytes(),
            authority::claims(&report).to_string().as_bytes(),
        )
        .unwrap();
    assert_eq!(rig.client().post("/receipt", &receipt).status, 200);
    listener.set_nonblocking(true).unwrap();
    let error = listener.accept().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}
