//! Certificates of port 8750 that come, change and break while the process runs.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tmm_rpc::TmmClient;
use tmm_rpc::proto::{GateState, HelloRequest, WatchGateRequest};
use tokio::time::timeout;

use crate::rig::{Setup, Tmm, get, until};

/// The certificate that port 8750 shows to a client of the CA, without white space.
fn shown(tmm: &Tmm) -> String {
    let (certificate, key) = tmm.setup.ca.sign(&[]);
    let file = |name: &str, bytes: &[u8]| {
        let path = tmm.setup.path(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &tmm.listen.to_string(), "-alpn", "h2"])
        .arg("-cert")
        .arg(file("client.crt", &certificate))
        .arg("-key")
        .arg(file("client.key", &key))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = text.find("-----BEGIN CERTIFICATE-----").unwrap();
    let end = text.find("-----END CERTIFICATE-----").unwrap();
    text[begin..end].split_whitespace().collect()
}

fn bare(pem: &[u8]) -> String {
    let text = String::from_utf8(pem.to_vec()).unwrap();
    text.split("-----END").next().unwrap().split_whitespace().collect()
}

/// OPS-320 (N1, the TMM's end) and OPS-322: new files are in use within 10 s in the same process,
/// and an open stream lives on; a pair that does not fit changes nothing, and the log names Secret
/// and reason.
#[tokio::test]
async fn new_certificate_is_shown_and_open_streams_live_on() {
    let mut setup = Setup::new();
    setup.environment.push(("TMM_LOG_LEVEL", String::from("Info")));
    let mut tmm = setup.start(None);
    let first = bare(&fs::read(tmm.setup.path("certs/grpc-svc.crt")).unwrap());
    assert_eq!(shown(&tmm), first);
    let mut client = tmm.client().await;
    let mut stream = client.watch_gate(WatchGateRequest {}).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().gate(), GateState::Closed);

    let (certificate, key) = tmm.setup.ca.sign(&["grpc-svc"]);
    let foreign = tmm.setup.ca.sign(&["grpc-svc"]).1;
    fs::write(tmm.setup.path("keys/grpc-svc.key"), foreign).unwrap();
    until("the refusal is told", || tmm.log().contains("Secret certs-secret are refused: key "));
    assert_eq!(shown(&tmm), first);

    fs::write(tmm.setup.path("keys/grpc-svc.key"), key).unwrap();
    fs::write(tmm.setup.path("certs/grpc-svc.crt"), &certificate).unwrap();
    // At most 10 s.
    until("the new certificate is shown", || shown(&tmm) == bare(&certificate));
    until("it is told", || tmm.log().contains(": 2a080001:6: "));
    assert!(tmm.log().contains("Certificate grpc-svc.crt reloaded"));
    tmm.client().await.hello(HelloRequest {}).await.unwrap();
    // The old connection carries calls and what the old stream has to say.
    assert_eq!(tmm.open(&mut client).await.gate(), GateState::Open);
    let told = timeout(Duration::from_secs(5), stream.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(told.gate(), GateState::Open);
    tmm.process.signal(Signal::SIGTERM);
    assert_eq!(tmm.process.wait(Duration::from_secs(10)).unwrap().code(), Some(0));
}

/// OPS-160 (the TMM's certificates): what is missing is waited for, and readiness names it.
#[tokio::test]
async fn missing_key_is_waited_for() {
    let setup = Setup::new();
    setup.write();
    let key = fs::read(setup.path("keys/grpc-svc.key")).unwrap();
    fs::remove_file(setup.path("keys/grpc-svc.key")).unwrap();
    let tmm = setup.start_written(None);
    let (status, cause) = get(tmm.probes, "/readyz");
    assert_eq!(status, 503);
    assert!(cause.starts_with("Secret certs-secret is missing"), "{cause}");
    assert_eq!(get(tmm.probes, "/healthz").0, 200);
    let tls = tmm.setup.ca.client(&tmm.setup.ca);
    assert!(TmmClient::to(tmm.listen, &tls).await.is_err());
    fs::write(tmm.setup.path("keys/grpc-svc.key"), key).unwrap();
    until("the cause is gone", || get(tmm.probes, "/readyz").1 == "no configuration\n");
    tmm.client().await.hello(HelloRequest {}).await.unwrap();
}

/// OPS-323 (the TMM's metric): a line for each file.
#[test]
fn metrics_tell_when_certificates_end() {
    let tmm = Setup::new().start(None);
    let text = get(tmm.metrics, "/metrics").1;
    for file in ["ca_root.crt", "grpc-svc.crt"] {
        let line =
            format!("spk_certificate_expiry_seconds{{object=\"certs-secret\",file=\"{file}\"}} ");
        let value = text.lines().find_map(|found| found.strip_prefix(&line)).unwrap();
        assert!(value.parse::<i64>().unwrap() > 0, "{value}");
    }
}
