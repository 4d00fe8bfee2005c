//! Transport: TLS, and many at once.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use spk_authority::request::{KEY_SET_PATH, TELEMETRY_PATH};

use crate::rig::{Answer, Authority, Cluster, Request, Server};

/// A certificate for `localhost` that signs itself, in two files.
fn certificate(folder: &Path) -> rcgen::Certificate {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
    certificate
}

/// Sends `request` over TLS; `None` if the handshake fails.
fn over_tls(
    address: SocketAddr,
    trusted: &rcgen::Certificate,
    request: &Request,
) -> Option<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(address).unwrap());
    stream.flush().ok()?;
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).ok()?;
    }
    Some(request.send_over(stream))
}

#[test]
fn reports_go_over_tls_and_a_renewed_certificate_is_taken_without_a_restart() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let first = certificate(folder.path());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let server = authority.serve(&["--cert", &file("tls.crt"), "--key", &file("tls.key")]);
    assert!(server.url.starts_with("https://"));
    let jwt = authority.license("paid");
    let cluster = Cluster::new(1);
    let request = Request::report(cluster.asset, &jwt, &cluster.report(&jwt));
    assert_eq!(over_tls(server.address, &first, &request).unwrap().status, 200);

    let second = certificate(folder.path());
    assert_eq!(over_tls(server.address, &second, &request).unwrap().status, 200);
    assert!(over_tls(server.address, &first, &request).is_none(), "the old one is shown no more");
    // A broken file leaves the last good one in use.
    std::fs::write(folder.path().join("tls.crt"), "").unwrap();
    assert_eq!(over_tls(server.address, &second, &request).unwrap().status, 200);
}

#[test]
fn a_licence_manager_checks_the_authoritys_certificate() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let trusted = certificate(folder.path());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let server = authority.serve(&["--cert", &file("tls.crt"), "--key", &file("tls.key")]);
    let url = format!("https://localhost:{}{TELEMETRY_PATH}", server.address.port());
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, trusted.pem()).unwrap();
    let jwt = authority.license("paid");
    let cluster = Cluster::new(1);
    let request = Request::report(cluster.asset, &jwt, &cluster.report(&jwt));
    let manager = |more: &[&str]| {
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--role", "llm"];
        arguments.extend(["--upstream", &url]);
        arguments.extend(more);
        Server::start(folder.path(), &arguments)
    };
    let knowing = manager(&["--upstream-ca", ca.to_str().unwrap()]);
    assert_eq!(request.send(knowing.address).status, 200);
    let answer = request.send(manager(&[]).address);
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
}

/// A licence goes nowhere but to the configured host.
#[test]
fn a_licence_manager_follows_no_redirect() {
    let authority = Authority::new();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let stub = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}{TELEMETRY_PATH}", stub.local_addr().unwrap());
    let target = format!("http://{}{TELEMETRY_PATH}", elsewhere.local_addr().unwrap());
    let manager = Server::start(
        &authority.state(),
        &["serve", "--listen", "127.0.0.1:0", "--role", "llm", "--upstream", &url],
    );
    let redirecting = std::thread::spawn(move || {
        let (mut stream, _) = stub.accept().unwrap();
        let mut seen = Vec::new();
        let mut part = [0; 4_096];
        while !seen.ends_with(b"\"}") {
            let read = stream.read(&mut part).unwrap();
            seen.extend_from_slice(&part[..read]);
        }
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).unwrap();
        crate::rig::text(&seen)
    });
    let jwt = authority.license("paid");
    let cluster = Cluster::new(1);
    let request = Request::report(cluster.asset, &jwt, &cluster.report(&jwt));
    let answer = request.send(manager.address);
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
    let seen = redirecting.join().unwrap();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    for (name, value) in &request.headers {
        let line = format!("{name}: {value}").to_ascii_lowercase();
        assert!(head.contains(&line), "{line} is not in {head}");
    }
    assert_eq!(body, request.body, "each byte of the report");
    assert!(elsewhere.accept().is_err(), "nobody came to the other address");
}

#[test]
fn the_same_report_sent_many_times_at_once_is_entered_once() {
    let authority = Authority::new();
    let server = authority.serve(&[]);
    let jwt = authority.license("paid");
    let mut cluster = Cluster::new(1);
    let report = cluster.report(&jwt);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let request = Request::report(cluster.asset, &jwt, &report);
                assert_eq!(request.send(server.address).status, 200);
            });
        }
    });
    let ledger = std::fs::read(authority.state().join("ledger.json")).unwrap();
    let ledger = spk_authority::Ledger::parse(&ledger).unwrap();
    let asset = &ledger.assets[&cluster.asset];
    assert_eq!((asset.sequence, asset.reports.len()), (1, 1));
    cluster.acknowledged(&report);
    let next = cluster.report(&jwt);
    assert_eq!(Request::report(cluster.asset, &jwt, &next).send(server.address).status, 200);
    assert_eq!(Request::get(KEY_SET_PATH).send(server.address).status, 200);
}
