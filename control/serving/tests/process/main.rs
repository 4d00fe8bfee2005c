//! Listeners, clients and probes on loopback, with files in temporary directories.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cert_gen::pki::{Authority, Facts, KeyKind, Leaf, Pair, Period};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use spk_serving::tls::{self, Alpn, CertificateEvent, Report, Tls, TlsFiles, TlsListener};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

mod http;
mod reload;
mod versions;

/// Two Secrets of one CA, as directories.
struct Place {
    dir: TempDir,
    ca: Authority,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn authority() -> Authority {
    Authority::make("ca", KeyKind::EcP256, Period::days(now(), 3650)).unwrap()
}

fn server_leaf() -> Leaf {
    Leaf {
        common_name: String::from("f5net"),
        names: vec![String::from("f5-spk-cwc.default")],
        server: true,
        ..Leaf::default()
    }
}

fn client_leaf() -> Leaf {
    Leaf { common_name: String::from("f5net"), client: true, ..Leaf::default() }
}

fn pair(ca: &Authority, leaf: &Leaf) -> Pair {
    ca.issue(leaf, KeyKind::EcP256, Period::days(now(), 100)).unwrap()
}

/// Writes a Secret as the kubelet mounts it: `..data` leads to the newest set, each key into it.
fn mount(dir: &Path, keys: [&str; 3], ca: &str, pair: &Pair) {
    let version = format!("..{}", fs::read_dir(dir).map_or(0, Iterator::count));
    fs::create_dir_all(dir.join(&version)).unwrap();
    for (key, value) in keys.iter().zip([ca, &pair.certificate, &pair.key]) {
        fs::write(dir.join(&version).join(key), value).unwrap();
        let _ = symlink(Path::new("..data").join(key), dir.join(key));
    }
    symlink(&version, dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
}

const SERVER_KEYS: [&str; 3] = ["ca_root.crt", "server.crt", "server.key"];
const CLIENT_KEYS: [&str; 3] = ["ca-root-cert", "client-cert", "client-key"];

impl Place {
    /// Both Secrets are there.
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap(), ca: authority() };
        place.server(&pair(&place.ca, &server_leaf()));
        let client = pair(&place.ca, &client_leaf());
        mount(&place.client_dir(), CLIENT_KEYS, &place.ca_text(), &client);
        place
    }

    fn ca_text(&self) -> String {
        self.ca.pair().certificate.clone()
    }

    fn server_dir(&self) -> PathBuf {
        self.dir.path().join("cwc-license-certs")
    }

    fn client_dir(&self) -> PathBuf {
        self.dir.path().join("cwc-license-client-certs")
    }

    /// Mounts another server's pair.
    fn server(&self, pair: &Pair) {
        mount(&self.server_dir(), SERVER_KEYS, &self.ca_text(), pair);
    }

    fn new_server_pair(&self) -> Pair {
        pair(&self.ca, &server_leaf())
    }

    fn follow_server(&self) -> (Tls, Events) {
        follow(TlsFiles::server(&self.server_dir()))
    }

    fn follow_client(&self) -> Tls {
        follow(TlsFiles::client(&self.client_dir())).0
    }
}

/// Events that were reported.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<CertificateEvent>>>);

impl Events {
    fn reasons(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().iter().map(CertificateEvent::reason).collect()
    }

    fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(CertificateEvent::to_string).collect()
    }
}

fn follow(files: TlsFiles) -> (Tls, Events) {
    let events = Events::default();
    let seen = events.clone();
    let report: Report = Arc::new(move |event| seen.0.lock().unwrap().push(event));
    (Tls::follow(files, Alpn::Http, report), events)
}

/// A server that sends back what it gets.
async fn echo(tls: Tls) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut listener = TlsListener::serve(listener, tls).unwrap();
    let address = listener.address();
    tokio::spawn(async move {
        while let Some(accepted) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(accepted.stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

async fn connect(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("f5-spk-cwc.default").unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

/// Sends a word and gets it back.
async fn say(stream: &mut TlsStream<TcpStream>, word: &[u8]) -> io::Result<()> {
    stream.write_all(word).await?;
    let mut heard = vec![0; word.len()];
    stream.read_exact(&mut heard).await?;
    assert_eq!(heard, word);
    Ok(())
}

/// Facts of the certificate that the server showed.
fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(pair: &Pair) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec()
}

/// A client that trusts `ca` and shows `pair`, if any.
fn client(ca: &str, pair: Option<&Pair>) -> Arc<ClientConfig> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}

/// Waits until `condition` holds, for 10 s at most (OPS-320); how long it took.
async fn within_10_s(what: &str, mut condition: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}

/// LIC-301, LIC-302 (with a listener of this crate; the CWC's is one): without a certificate, with
/// one that ended, or one of another CA of the same name, the handshake is refused and nothing is
/// answered; the right one is served.
#[tokio::test]
async fn client_without_a_good_certificate_hears_nothing() {
    let place = Place::new();
    let address = echo(place.follow_server().0).await;
    let ca = place.ca_text();
    let good = pair(&place.ca, &client_leaf());
    let mut stream = connect(address, client(&ca, Some(&good))).await.unwrap();
    say(&mut stream, b"hello").await.unwrap();

    let ended = Period { begin: now() - 200_000, end: now() - 100_000 };
    let ended = place.ca.issue(&client_leaf(), KeyKind::EcP256, ended).unwrap();
    assert!(Facts::first(&ended.certificate).unwrap().end < now());
    let foreign = pair(&authority(), &client_leaf());
    let server = place.new_server_pair();
    for (case, shown) in [
        ("none", None),
        ("ended", Some(&ended)),
        ("foreign", Some(&foreign)),
        ("server", Some(&server)),
    ] {
        let mut heard = Vec::new();
        // In TLS 1.3 a client learns of the refusal only when it reads.
        let result = match connect(address, client(&ca, shown)).await {
            Err(error) => Err(error),
            Ok(mut stream) => {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
                stream.read_to_end(&mut heard).await
            }
        };
        let error = result.expect_err(case).to_string();
        assert!(error.contains("alert"), "{case}: {error}");
        assert!(heard.is_empty(), "{case}");
    }
}

/// LIC-304 (the listener's part): without its Secret nothing listens and the cause names the Secret;
/// it is made later: listening within 10 s.
#[tokio::test]
async fn listener_waits_for_its_secret() {
    let place = Place::new();
    let dir = place.dir.path().join("later/cwc-license-certs");
    let (tls, events) = follow(TlsFiles::server(&dir));
    let reason = tls.not_ready().unwrap();
    assert!(reason.starts_with("Secret cwc-license-certs is missing"), "{reason}");
    // A port that nobody has: the socket that held it is closed again.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let opening = tokio::spawn(TlsListener::open(address, tls.clone()));
    let config = place.follow_client().client_config().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!opening.is_finished());
    mount(&dir, SERVER_KEYS, &place.ca_text(), &place.new_server_pair());
    within_10_s("the listener opens", async || opening.is_finished()).await;
    let mut listener = opening.await.unwrap().unwrap();
    assert_eq!(tls.not_ready(), None);
    let (accepted, stream) = tokio::join!(listener.accept(), connect(address, config));
    stream.unwrap();
    assert_eq!(accepted.unwrap().peer.address.ip(), address.ip());
    assert!(events.reasons().is_empty());
}

/// OPS-315 and LIC-903 for all that follow files by this crate; that the CWC starts with either is
/// shown there.
#[tokio::test]
async fn each_layout_of_names_is_read() {
    let place = Place::new();
    let server = place.new_server_pair();
    let root = place.dir.path().join("layouts");
    for (index, (role, keys)) in [
        ("server", SERVER_KEYS),
        ("server", ["ca-root-cert", "server-cert", "server-key"]),
        ("server", ["ca-root-cert.pem", "server-cert.pem", "server-key.pem"]),
        ("server", ["ca.crt", "tls.crt", "tls.key"]),
        ("client", ["ca_root.crt", "client.crt", "client.key"]),
        ("client", CLIENT_KEYS),
        ("client", ["ca-root-cert.pem", "client-cert.pem", "client-key.pem"]),
        ("client", ["ca.crt", "tls.crt", "tls.key"]),
    ]
    .into_iter()
    .enumerate()
    {
        let dir = root.join(index.to_string()).join("cwc-license-certs");
        mount(&dir, keys, &place.ca_text(), &server);
        let files = if role == "server" { TlsFiles::server(&dir) } else { TlsFiles::client(&dir) };
        let (tls, _) = follow(files);
        assert_eq!(tls.not_ready(), None, "{keys:?}");
        assert_eq!(tls.certificates()[0].file, keys[1]);
    }
    let dir = root.join("grpc");
    for keys in [
        ["certs/ca_root.crt", "certs/grpc-svc.crt", "keys/grpc-svc.key"],
        ["certs/ca.crt", "certs/tls.crt", "certs/tls.key"],
    ] {
        let (certs, values) =
            (dir.join("certs"), [&place.ca_text(), &server.certificate, &server.key]);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(certs).unwrap();
        fs::create_dir_all(dir.join("keys")).unwrap();
        for (key, value) in keys.iter().zip(values) {
            fs::write(dir.join(key), value).unwrap();
        }
        let (tls, _) = follow(TlsFiles::grpc(&dir, "grpc-svc"));
        assert_eq!(tls.not_ready(), None, "{keys:?}");
    }
    // Of a layout that is not complete the missing file is named.
    fs::remove_file(dir.join("certs/tls.key")).unwrap();
    let (tls, _) = follow(TlsFiles::grpc(&dir, "grpc-svc"));
    assert!(tls.not_ready().unwrap().ends_with("certs/tls.key"), "{:?}", tls.not_ready());
}
