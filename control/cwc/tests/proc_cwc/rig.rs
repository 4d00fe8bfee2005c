//! The program with its files: certificates, values, state.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::authority;
use crate::client::Client;

/// A CA.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "TLSGenSelfSignedtRootCA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    pub fn server(&self, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(CertificateParams::new(names).unwrap(), ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub fn client(&self) -> Pair {
        self.sign(CertificateParams::new(Vec::new()).unwrap(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A client's certificate that ended an hour ago.
    pub fn expired_client(&self) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let wall = i64::try_from(authority::wall()).unwrap();
        let date = |seconds: i64| {
            let date = jiff::Timestamp::from_second(seconds).unwrap();
            let date = date.to_zoned(jiff::tz::TimeZone::UTC);
            rcgen::date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8)
        };
        params.not_before = date(wall - 20 * 86_400);
        params.not_after = date(wall - 2 * 86_400);
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Pair {
        params.distinguished_name.push(DnType::CommonName, "f5net");
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// TLS of a client that trusts `ca` and shows `pair`.
pub fn client_config(ca: &str, pair: Option<&Pair>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(spk_serving::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap(),
            )
            .unwrap(),
    })
}

/// The files of one CWC.
pub struct Rig {
    pub dir: TempDir,
    pub ca: Authority,
    pub client_pair: Pair,
    pub ip: IpAddr,
    pub env: Vec<(String, String)>,
}

impl Rig {
    /// Everything in place, with a JWT of `order_type`.
    pub fn new(order_type: &str) -> Self {
        let rig = Self::bare();
        rig.value("jwt", &authority::jwt(order_type));
        rig.put("config/cpcl-key-cm/jwt.key", &authority::jwks());
        rig.certificates();
        rig
    }

    /// Without JWT, key set and certificates.
    pub fn bare() -> Self {
        let ca = Authority::new();
        let rig = Self {
            dir: TempDir::new().unwrap(),
            client_pair: ca.client(),
            ca,
            ip: own_address(),
            env: Vec::new(),
        };
        rig.value("posts_per_minute", "100000");
        rig.value("log_level", "debug");
        rig
    }

    /// Writes the server's certificates.
    pub fn certificates(&self) {
        let pair = self.ca.server(&["f5-spk-cwc.default"]);
        self.put("config/cwc-license-certs/ca_root.crt", &self.ca.pem);
        self.put("config/cwc-license-certs/server.crt", &pair.certificate);
        self.put("config/cwc-license-certs/server.key", &pair.key);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Whole or absent, as a mount shows it.
        let aside = path.with_extension("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, &path).unwrap();
    }

    /// Sets a value of `cpcl-config-cm`.
    pub fn value(&self, key: &str, text: &str) {
        self.put(&format!("config/cpcl-config-cm/{key}"), text);
    }

    /// Starts the program and waits until it answers.
    pub fn start(&self) -> Cwc<'_> {
        let cwc = self.spawn();
        cwc.wait_ready();
        cwc
    }

    /// Starts the program.
    pub fn spawn(&self) -> Cwc<'_> {
        self.spawn_by(Command::new(env!("CARGO_BIN_EXE_spk-cwc")))
    }

    /// Starts `command`, which runs the program, with the program's arguments.
    pub fn spawn_by(&self, mut command: Command) -> Cwc<'_> {
        fs::create_dir_all(self.path("resources")).unwrap();
        let log = File::options().append(true).create(true).open(self.path("log")).unwrap();
        command
            .arg("--config")
            .arg(self.path("config"))
            .arg("--store")
            .arg(format!("file:{}", self.path("store").display()))
            .arg("--bus")
            .arg(format!("local:{}", self.path("bus.sock").display()))
            .args(["--rest", &format!("{}:30881", self.ip)])
            .args(["--probes", &format!("{}:8081", self.ip)])
            .args(["--instance", "spk-1"])
            .arg("--resources")
            .arg(self.path("resources"))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        Cwc { rig: self, child: command.spawn().unwrap(), started: Instant::now() }
    }

    /// A client with the good certificate.
    pub fn client(&self) -> Client {
        self.client_with(Some(&self.client_pair))
    }

    pub fn client_with(&self, pair: Option<&Pair>) -> Client {
        Client {
            address: SocketAddr::new(self.ip, 30_881),
            config: client_config(&self.ca.pem, pair),
        }
    }

    /// All that the program logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The records of the store, by name.
    pub fn records(&self) -> BTreeMap<String, String> {
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(self.path("store")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if !name.starts_with('.') && !name.ends_with(".tmp") {
                records.insert(name, fs::read_to_string(entry.path()).unwrap());
            }
        }
        records
    }

    pub fn record(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("store/{name}"))).unwrap()
    }

    /// The bearer token.
    pub fn token(&self) -> String {
        fs::read_to_string(self.path("config/cwc-auth-token/token")).unwrap()
    }

    /// The events written so far.
    pub fn events(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.path("events.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Whether an event of this reason was written.
    pub fn told(&self, reason: &str) -> bool {
        self.events().iter().any(|event| event["reason"] == reason)
    }

    /// A plain page of the probe listener: status and body.
    pub fn probe(&self, path: &str) -> Option<(u16, String)> {
        use std::io::Write as _;
        let address = SocketAddr::new(self.ip, 8_081);
        let mut stream = std::net::TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let reply = crate::client::read_reply(&mut stream).ok()?;
        Some((reply.status, reply.body))
    }
}

/// LIC-013 at every run of this suite, at level debug: no JWT, receipt, private key or bearer token
/// is in the log or among the events.
impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let told = [self.log(), fs::read_to_string(self.path("events.jsonl")).unwrap_or_default()];
        for name in [
            "config/cpcl-config-cm/jwt",
            "store/licensekey",
            "store/configreportsignedackresponse",
            "config/cwc-auth-token/token",
            "config/cwc-lease-key/private.jwk",
            "config/cwc-report-key/private.jwk",
            "config/cwc-license-certs/server.key",
        ] {
            let secret = fs::read_to_string(self.path(name)).unwrap_or_default();
            // Payload and signature of a token, the private member of a key, the lines of a PEM.
            let parts = secret.split(['.', '"', '\n']).skip(usize::from(secret.contains('.')));
            for part in parts.filter(|part| part.len() >= 40 && !part.contains("-----")) {
                // The public half of a key, and its name, are no secret.
                let public = fs::read_to_string(self.path("config/cwc-lease-jwks/jwks.json"));
                if public.is_ok_and(|public| public.contains(part)) {
                    continue;
                }
                assert!(told.iter().all(|text| !text.contains(part)), "{name} is told");
            }
        }
    }
}

/// A running program; killed when dropped.
pub struct Cwc<'a> {
    rig: &'a Rig,
    pub child: Child,
    pub started: Instant,
}

impl Cwc<'_> {
    /// Waits until the REST API answers.
    pub fn wait_ready(&self) {
        let client = self.rig.client();
        let answers = || client.send("GET", "/status", &[], b"").ok().filter(|r| r.status == 200);
        if within(Duration::from_secs(20), answers).is_none() {
            panic!("no answer; log:\n{}", self.rig.log());
        }
    }

    pub fn rig_client(&self) -> Client {
        self.rig.client()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends the program in order.
    pub fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    /// Waits for a program that ends by itself.
    pub fn wait(mut self) -> ExitStatus {
        within(Duration::from_secs(20), || self.child.try_wait().unwrap()).expect("it goes on")
    }
}

impl Drop for Cwc<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of spk-cwc:\n{}", self.rig.log());
        }
    }
}

/// Asks again and again until there is an answer.
pub fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until `holds`.
pub fn eventually(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let held = within(limit, || holds().then_some(()));
    assert!(held.is_some(), "not within {limit:?}: {what}");
}

/// An address of loopback that no other test has: of the process and a count.
fn own_address() -> IpAddr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    IpAddr::V4(Ipv4Addr::new(127, 64 + high % 64, low, count))
}

/// Whether no file below `dir` holds `mark`.
pub fn nowhere(dir: &Path, mark: &str) -> bool {
    fs::read_dir(dir).unwrap().all(|entry| {
        let path = entry.unwrap().path();
        match fs::symlink_metadata(&path).unwrap() {
            found if found.is_dir() => nowhere(&path, mark),
            found if found.is_file() => {
                !String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(mark)
            }
            _ => true,
        }
    })
}
