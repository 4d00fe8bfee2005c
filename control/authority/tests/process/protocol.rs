//! The upstream protocol of licensing.md §5.1, from the client's side. It is run against the
//! authority and against a licence manager in front of one.

use std::net::SocketAddr;

use serde_json::json;
use spk_authority::request::{BODY_LIMIT, KEY_SET_PATH, TELEMETRY_PATH};
use spk_jose::{Limits, RsaKeySet, verify_rs512};
use uuid::Uuid;

use crate::rig::{Authority, Cluster, Request, claims};

/// The authority's half of LIC-400: it takes the documented request and answers with its manifest;
/// it refuses one that lacks any of the five headers. The client's half is tested in the CWC.
#[test]
fn the_authority_speaks_the_upstream_protocol() {
    let authority = Authority::new();
    let server = authority.serve(&[]);
    speaks_the_protocol(&authority, server.address);
    no_secret_in(&server.end());
}

/// LIC-425: the licence manager passes the same suite; the receipts are the authority's own.
#[test]
fn a_licence_manager_speaks_the_upstream_protocol() {
    let authority = Authority::new();
    authority.certificate();
    let server = authority.serve_tls();
    let manager = authority.manager(&server, &[]);
    speaks_the_protocol(&authority, manager.address);
    no_secret_in(&manager.end());
    no_secret_in(&server.end());
}

/// LIC-420, the licence manager's half: two of them in a row change nothing. The whole flow from the
/// CWC is tested there.
#[test]
fn a_receipt_through_two_licence_managers_is_the_authoritys_own() {
    let authority = Authority::new();
    authority.certificate();
    let server = authority.serve_tls();
    let (cert, key) = (authority.file("tls.crt"), authority.file("tls.key"));
    let near = authority.manager(&server, &["--cert", &cert, "--key", &key]);
    let far = authority.manager(&near, &[]);
    let jwt = authority.license("paid");
    let cluster = Cluster::new(1);
    let report = cluster.report(&jwt);
    let request = Request::report(cluster.asset, &jwt, &report);
    let answer = request.send(far.address);
    assert_eq!(answer.status, 200, "{answer:?}");
    let manifest = answer.json()["manifest"].as_str().unwrap().to_owned();
    let keys = RsaKeySet::parse(&authority.ok(&["jwks"], "")).unwrap();
    verify_rs512(&manifest, &Limits::RECEIPT, &keys).unwrap();
    let trace = request.headers.iter().find(|(name, _)| name == "F5-TraceId").unwrap().1.clone();
    for log in [far.end(), near.end(), server.end()] {
        assert!(log.contains(&trace), "one trace over all three: {log}");
    }
}

#[test]
fn a_licence_manager_without_its_authority_says_so_and_tries_again_at_the_next_request() {
    let authority = Authority::new();
    authority.certificate();
    let server = authority.serve_tls();
    let (address, manager) = (server.address, authority.manager(&server, &[]));
    let jwt = authority.license("paid");
    let cluster = Cluster::new(1);
    let request = Request::report(cluster.asset, &jwt, &cluster.report(&jwt));
    drop(server);
    let answer = request.send(manager.address);
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
    let listen = address.to_string();
    let (cert, key) = (authority.file("tls.crt"), authority.file("tls.key"));
    let arguments = ["serve", "--listen", &listen, "--cert", &cert, "--key", &key];
    let again = crate::rig::Server::start(&authority.state(), &arguments);
    assert_eq!(again.address, address);
    assert_eq!(request.send(manager.address).status, 200);
}

fn speaks_the_protocol(authority: &Authority, address: SocketAddr) {
    let jwt = authority.license("paid");
    let mut cluster = Cluster::new(1);
    let keys = Request::get(KEY_SET_PATH).send(address);
    assert_eq!(keys.status, 200);
    let keys = RsaKeySet::parse(&keys.body).unwrap();

    // The documented request, three times in a row, and its repetition.
    for _ in 0..3 {
        let report = cluster.report(&jwt);
        for _ in 0..2 {
            let answer = Request::report(cluster.asset, &jwt, &report).send(address);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
            let body = answer.json();
            assert_eq!(body.as_object().unwrap().len(), 1);
            let manifest = body["manifest"].as_str().unwrap();
            let receipt = verify_rs512(manifest, &Limits::RECEIPT, &keys).unwrap().payload;
            assert_eq!(receipt["reportSha256"], json!(spk_jose::name::sha256(&report)));
            assert_eq!(receipt["licenseJti"], claims(&jwt)["jti"]);
        }
        cluster.acknowledged(&report);
    }

    let good = Request::report(cluster.asset, &jwt, &cluster.report(&jwt));
    let refused = |request: Request, status: u16, code: &str| {
        let answer = request.send(address);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
        // No answer repeats what was secret in the question.
        assert!(!answer.body.contains(&jwt[jwt.len() - 40..]), "{answer:?}");
    };
    for (name, status, code) in [
        ("F5-DigitalAssetId", 400, "header_wrong"),
        ("User-Agent", 400, "header_wrong"),
        ("F5-TraceId", 400, "header_wrong"),
        ("Authorization", 401, "token_required"),
        ("Content-Type", 415, "media_type_wrong"),
    ] {
        refused(good.clone().with(name, None), status, code);
        refused(good.clone().with(name, Some("x")), status, code);
    }
    let with_body = |body: &str| Request { body: body.to_owned(), ..good.clone() };
    refused(with_body("{}"), 400, "body_malformed");
    refused(with_body(r#"{"report":"x"}"#), 400, "report_malformed");
    refused(with_body(&"x".repeat(BODY_LIMIT + 1)), 413, "too_large");

    let other = Uuid::new_v4().to_string();
    refused(good.clone().with("F5-DigitalAssetId", Some(&other)), 422, "report_wrong_asset");
    let second = format!("Bearer {}", authority.license("paid"));
    refused(good.clone().with("Authorization", Some(&second)), 422, "report_wrong_license");
    refused(good.clone().with("Authorization", Some("Bearer x")), 403, "jwt_malformed");
    let stranger = Authority::new().license("paid");
    let foreign = format!("Bearer {stranger}");
    refused(good.clone().with("Authorization", Some(&foreign)), 403, "jwt_signature");
    let thief = Cluster { key: Cluster::new(2).key, ..Cluster::new(1) };
    let stolen = Request::report(thief.asset, &jwt, &thief.report(&jwt));
    refused(stolen, 409, "report_key_changed");
    let late = Cluster::new(1);
    refused(Request::report(late.asset, &jwt, &late.report(&jwt)), 409, "report_sequence");

    for method in ["GET", "PUT", "DELETE"] {
        let request = Request { method: method.to_owned(), ..good.clone() };
        assert!(request.send(address).head.contains("allow: post\r"), "{method}");
        refused(request, 405, "method_not_allowed");
    }
    refused(Request { path: format!("{TELEMETRY_PATH}/"), ..good.clone() }, 404, "not_found");

    // Nothing of all this was in the way of the good one.
    assert_eq!(good.send(address).status, 200);
}

/// Tokens, the customer's name and signatures stay out of the log, at its finest level.
fn no_secret_in(log: &str) {
    assert!(log.contains("listening"), "{log}");
    for secret in ["eyJ", "CAT-SECRET", "Bearer e", "PRIVATE KEY"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
