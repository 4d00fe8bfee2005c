//! Transport: TLS, and many at once.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use spk_authority::request::{KEY_SET_PATH, TELEMETRY_PATH};

use crate::rig::{Answer, Authority, Cluster, Request, Server};

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
    let first = authority.certificate();
    let server = authority.serve_tls();
    assert!(server.url.starts_with("https://"));
    let jwt = authority.license("paid");
    let cluster = Cluster::new(1);
    let request = Request::report(cluster.asset, &jwt, &cluster.report(&jwt));
    assert_eq!(over_tls(server.address, &first, &request).unwrap().status, 200);

    let second = authority.certificate();
    assert_eq!(over_tls(server.address, &second, &request).unwrap().status, 200);
    assert!(over_tls(server.address, &first, &request).is_none(), "the old one is shown no more");
    // A broken file leaves the last good one in use.
    std::fs::write(authority.file("tls.crt"), "").unwrap();
    assert_eq!(over_tls(server.address, &second, &request).unwrap().status, 200);
}

#[test]
fn a_licence_manager_checks_the_authoritys_certificate() {
    let authority = Authority::new();
    authority.certificate();
    let server = authority.serve_tls();
    let manager = authority.manager(&server, &[]);
    let jwt = authority.license("paid");
    let cluster = Cluster::new(1);
    let request = Request::report(cluster.asset, &jwt, &cluster.report(&jwt));
    assert_eq!(request.send(manager.address).status, 200);
    // The file of trusted certificates now holds one that the running server does not show.
    let shown = std::fs::read(authority.file("tls.crt")).unwrap();
    let url = format!("https://localhost:{}{TELEMETRY_PATH}", server.address.port());
    let other = Authority::new();
    other.certificate();
    let ca = other.file("tls.crt");
    let listen = ["serve", "--listen", "127.0.0.1:0", "--role", "llm", "--upstream", &url];
    let wary = Server::start(&other.state(), &[&listen[..], &["--upstream-ca", &ca]].concat());
    let answer = request.send(wary.address);
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
    // A renewed file is taken at the next request.
    std::fs::write(&ca, shown).unwrap();
    assert_eq!(request.send(wary.address).status, 200);
    let system_only = Server::start(&other.state(), &listen);
    assert_eq!(request.send(system_only.address).status, 502);
}

/// A licence goes nowhere but to the configured host.
#[test]
fn a_licence_manager_follows_no_redirect() {
    let authority = Authority::new();
    authority.certificate();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let stub = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}{TELEMETRY_PATH}", stub.local_addr().unwrap().port());
    let port = elsewhere.local_addr().unwrap().port();
    let target = format!("https://localhost:{port}{TELEMETRY_PATH}");
    let ca = authority.file("tls.crt");
    let manager = Server::start(
        &authority.state(),
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--role",
            "llm",
            "--upstream",
            &url,
            "--upstream-ca",
            &ca,
        ],
    );
    let config = server_config(&ca, &authority.file("tls.key"));
    let redirecting = std::thread::spawn(move || {
        let (stream, _) = stub.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        let mut seen = Vec::new();
        let mut part = [0; 4_096];
        while !seen.ends_with(b"\"}") {
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0, "it broke off");
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

fn server_config(certificate: &str, key: &str) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.unwrap())
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
