//! `spkctl license`, as an operator runs it.

#[path = "license/service.rs"]
mod service;
#[path = "license/tokens.rs"]
mod tokens;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use service::{Answer, Service};
use tempfile::TempDir;
use tokens::Tokens;

fn spkctl(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spkctl"));
    // Nothing of a cluster, a proxy or a profile is there.
    command.env_clear().current_dir(dir).arg("license").args(args);
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn shown(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A directory with a report, its licence and the keys.
fn site(tokens: &Tokens) -> TempDir {
    let dir = TempDir::new().unwrap();
    let file = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    file("report.json", &json!({ "report": tokens.report.text }).to_string());
    file("license.jwt", &format!("{}\n", tokens.license));
    file("other.jwt", &tokens.other_license);
    file("jwt.key", &tokens.keys);
    file("receipt.json", &json!({ "manifest": tokens.receipt }).to_string());
    file("lease.jws", &tokens.lease);
    file("jwks.json", &tokens.lease_keys);
    dir
}

fn submit(dir: &TempDir, service: &Service, more: &[&str]) -> Output {
    fs::write(dir.path().join("ca.pem"), &service.ca).unwrap();
    let url = format!("https://localhost:{}/ee/v1/entitlements/telemetry", service.port);
    let mut args = vec!["submit", "report.json", "-o", "answer.json", "--url", &url];
    args.extend(["--upstream-ca", "ca.pem"]);
    args.extend(more);
    spkctl(dir.path(), &args)
}

const WITH_LICENSE: [&str; 2] = ["--jwt-file", "license.jwt"];

/// LIC-912: no cluster, five headers, a fresh trace id each time, the manifest in a file.
#[test]
fn a_report_is_submitted_with_its_five_headers_and_the_receipt_written() {
    let tokens = Tokens::new();
    let dir = site(&tokens);
    let service = Service::start(Answer::Manifest(tokens.receipt.clone()));
    let mut traces = Vec::new();
    for more in [&WITH_LICENSE[..], &["--jwt-file", "license.jwt", "--jwks", "jwt.key"]] {
        let output = submit(&dir, &service, more);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        let path = dir.path().join("answer.json");
        let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(written, json!({ "manifest": tokens.receipt }));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
        let request = service.next_request();
        assert_eq!(request.line, "POST /ee/v1/entitlements/telemetry");
        let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
        assert_eq!(header("f5-digitalassetid"), tokens.asset);
        assert_eq!(header("user-agent"), "SPK");
        assert_eq!(header("content-type"), "application/json");
        assert_eq!(header("authorization"), format!("Bearer {}", tokens.license));
        let trace = header("f5-traceid");
        assert_eq!(trace.len(), 36);
        assert!(told(&output).contains(&trace));
        assert!(!told(&output).contains(&tokens.license));
        traces.push(trace);
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body, json!({ "report": tokens.report.text }));
    }
    assert_ne!(traces[0], traces[1]);
}

/// LIC-912: what cannot belong together is refused before anything is sent.
#[test]
fn another_licence_a_broken_report_and_plain_http_are_refused_before_sending() {
    let tokens = Tokens::new();
    let dir = site(&tokens);
    let service = Service::start(Answer::Manifest(tokens.receipt.clone()));
    let output = submit(&dir, &service, &["--jwt-file", "other.jwt"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("not the licence"), "{}", told(&output));
    let mut broken = tokens.report.text.clone();
    broken.pop();
    fs::write(dir.path().join("report.json"), broken).unwrap();
    let output = submit(&dir, &service, &WITH_LICENSE);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("no good report"), "{}", told(&output));
    let url = format!("http://localhost:{}/", service.port);
    let args = ["submit", "report.json", "--jwt-file", "license.jwt", "--url", &url];
    assert_eq!(spkctl(dir.path(), &args).status.code(), Some(1));
    assert_eq!(spkctl(dir.path(), &["submit", "report.json"]).status.code(), Some(2));
    assert_eq!(service.connections(), 0);
}

/// LIC-912: nothing is written unless the answer is this report's receipt, and a redirect takes the
/// licence nowhere.
#[test]
fn refusals_redirects_and_foreign_receipts_write_nothing() {
    let tokens = Tokens::new();
    let dir = site(&tokens);
    let elsewhere = Service::start(Answer::Manifest(tokens.receipt.clone()));
    let location = format!("https://localhost:{}/", elsewhere.port);
    for (answer, reason) in [
        (Answer::Status(403, "sequence does not rise".to_owned()), "sequence does not rise"),
        (Answer::Status(503, String::new()), "try again later"),
        (Answer::Redirect(location), "upstream_bad_response"),
        (Answer::Manifest(tokens.foreign_receipt.clone()), "another report"),
        (Answer::Manifest("no receipt".to_owned()), "no receipt"),
    ] {
        let service = Service::start(answer);
        let output = submit(&dir, &service, &WITH_LICENSE);
        assert_eq!(output.status.code(), Some(1));
        assert!(told(&output).contains(reason), "{reason}: {}", told(&output));
        assert!(!dir.path().join("answer.json").exists());
        assert_eq!(service.connections(), 1);
    }
    assert_eq!(elsewhere.connections(), 0);
    // A certificate of an unknown CA gets no request at all.
    let service = Service::start(Answer::Manifest(tokens.receipt.clone()));
    let url = format!("https://localhost:{}/", service.port);
    let args = ["submit", "report.json", "--jwt-file", "license.jwt", "--url", &url];
    let output = spkctl(dir.path(), &args);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("TLS fails"), "{}", told(&output));
    assert_eq!(service.requests(), 0);
}

/// LIC-916, the command: all four kinds, with and without keys, exit codes, no `sub` in full.
#[test]
fn every_kind_of_token_is_decoded_and_verified() {
    let tokens = Tokens::new();
    let dir = site(&tokens);
    let authority = ["--jwks", "jwt.key"];
    let own = ["--lease-jwks", "jwks.json"];
    for (file, keys, kind) in [
        ("license.jwt", &authority[..], "licence JWT"),
        ("receipt.json", &authority[..], "receipt"),
        ("report.json", &[][..], "report"),
        ("lease.jws", &own[..], "lease statement"),
    ] {
        for form in ["table", "json", "yaml"] {
            let mut args = vec!["decode", file, "-o", form];
            args.extend(keys);
            let output = spkctl(dir.path(), &args);
            assert_eq!(output.status.code(), Some(0), "{file}: {}", told(&output));
            assert!(shown(&output).contains("good"), "{}", shown(&output));
            for secret in [&tokens.subject, &tokens.namespace] {
                assert!(!shown(&output).contains(secret.as_str()), "{}", shown(&output));
            }
            if form == "table" {
                assert!(shown(&output).contains(kind), "{}", shown(&output));
            }
        }
        let output = spkctl(dir.path(), &["decode", file]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(shown(&output).contains("not checked"), !keys.is_empty());
    }
}

/// LIC-916: a bad token is shown, its reason told, and the exit code is 1.
#[test]
fn a_token_that_is_not_good_is_told_by_exit_code_1() {
    let tokens = Tokens::new();
    let dir = site(&tokens);
    let (head, _) = tokens.license.rsplit_once('.').unwrap();
    fs::write(dir.path().join("license.jwt"), format!("{head}.AAAA")).unwrap();
    let output = spkctl(dir.path(), &["decode", "license.jwt", "--jwks", "jwt.key", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("jwt_signature"), "{}", told(&output));
    let token: Value = serde_json::from_str(&shown(&output)).unwrap();
    assert_eq!(token["verification"]["result"], "bad");
    assert_eq!(token["payload"]["f5_order_type"], "paid");
    fs::write(dir.path().join("nothing"), "nothing").unwrap();
    assert_eq!(spkctl(dir.path(), &["decode", "nothing"]).status.code(), Some(1));
    assert_eq!(spkctl(dir.path(), &["decode", "absent"]).status.code(), Some(1));
    assert_eq!(spkctl(dir.path(), &["decode"]).status.code(), Some(2));
}
