//! An authority in a directory of its own, clusters that report to it, and a plain HTTP client.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use spk_authority::request::TELEMETRY_PATH;
use spk_jose::{Ed25519Key, name};
use tempfile::TempDir;
use uuid::Uuid;

/// A new authority with key `v1`.
pub struct Authority {
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().unwrap() };
        authority.ok(&["keygen", "--bits", "2048"], "");
        authority
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Runs one command.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        run(&self.state(), arguments, input)
    }

    /// Runs one command that must succeed, and gives what it printed, trimmed.
    pub fn ok(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// Issues a licence of this type without an end.
    pub fn license(&self, order_type: &str) -> String {
        self.ok(&["issue", "--type", order_type, "--cat", "CAT-SECRET"], "")
    }

    /// Certificate and key for `localhost` in the state directory, made anew by each call.
    pub fn certificate(&self) -> rcgen::Certificate {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        std::fs::write(self.state().join("tls.key"), key.serialize_pem()).unwrap();
        std::fs::write(self.state().join("tls.crt"), certificate.pem()).unwrap();
        certificate
    }

    /// The path of a file in the state directory.
    pub fn file(&self, name: &str) -> String {
        self.state().join(name).to_str().unwrap().to_owned()
    }

    /// An endpoint with TLS.
    pub fn serve_tls(&self) -> Server {
        self.serve(&["--cert", &self.file("tls.crt"), "--key", &self.file("tls.key")])
    }

    /// A licence manager in front of `upstream`, which shows the certificate of this authority. It
    /// gets a state directory that is not there: it needs none.
    pub fn manager(&self, upstream: &Server, arguments: &[&str]) -> Server {
        let nowhere = self.state().join("nowhere");
        let url = format!("https://localhost:{}{TELEMETRY_PATH}", upstream.address.port());
        let ca = self.file("tls.crt");
        let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--log-level", "trace"];
        all.extend(["--role", "llm", "--upstream", &url, "--upstream-ca", &ca]);
        all.extend(arguments);
        let server = Server::start(&nowhere, &all);
        assert!(!nowhere.exists());
        server
    }

    pub fn serve(&self, arguments: &[&str]) -> Server {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--log-level", "trace"];
        all.extend(arguments);
        Server::start(&self.state(), &all)
    }
}

fn command(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spk-authority"));
    command.arg("--state").arg(state).args(arguments);
    command
}

pub fn run(state: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = command(state, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails at once does not read; that is no fault here.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A running endpoint. It is killed at the end.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// The address of the telemetry endpoint, as it was printed.
    pub url: String,
}

impl Server {
    pub fn start(state: &Path, arguments: &[&str]) -> Self {
        let mut child = command(state, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let read = BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut url);
        assert!(read.unwrap() > 0, "it ended before it was ready: {:?}", child.wait());
        let url = url.trim().to_owned();
        let rest = url.split("://").nth(1).unwrap();
        let address = rest.split('/').next().unwrap().parse().unwrap();
        Self { child, address, url }
    }

    /// Ends the process and gives all it logged.
    pub fn end(mut self) -> String {
        // By the system's own command, for the standard library sends no SIGTERM.
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cluster: an asset with its report key and its chain.
pub struct Cluster {
    pub asset: Uuid,
    pub key: Ed25519Key,
    pub sequence: u64,
    pub previous: Option<String>,
}

impl Cluster {
    pub fn new(number: u8) -> Self {
        let asset = Uuid::from_u128(0xda1d_0000 + u128::from(number));
        let key = Ed25519Key::from_seed([number; 32]).unwrap();
        Self { asset, key, sequence: 0, previous: None }
    }

    /// The next report's payload, under licence `jwt`. It is written out by hand, member by member
    /// as licensing.md §2.3 lists them, so that no type of ours stands between.
    pub fn telemetry(&self, jwt: &str) -> Value {
        let license = claims(jwt);
        let now = jiff::Timestamp::from_second(i64::try_from(now()).unwrap()).unwrap().to_string();
        json!({
            "documentType": "ProductTelemetry",
            "documentVersion": "1.0",
            "digitalAssetID": self.asset,
            "digitalAssetName": "SPK",
            "digitalAssetVersion": "1.2.0",
            "productName": "SPK",
            "customID": "SPK Cluster",
            "reportType": if self.sequence == 0 { "initial-config" } else { "telemetry" },
            "reportID": Uuid::new_v4(),
            "sequence": self.sequence + 1,
            "previousReportSha256": self.previous,
            "generatedAt": now,
            "period": {"start": now, "end": now},
            "supersedes": [],
            "usage": {"cpu_count": 4, "unique_crds": 2, "total_crds": 3, "samples": 1, "missed": 0},
            "license": {"jti": license["jti"], "orderType": license["f5_order_type"]},
            "clock": {"state": "good", "highWater": now},
        })
    }

    pub fn sign(&self, telemetry: &Value) -> String {
        self.key.sign_embedded(telemetry.to_string().as_bytes())
    }

    pub fn report(&self, jwt: &str) -> String {
        self.sign(&self.telemetry(jwt))
    }

    /// Goes on after `report` was acknowledged.
    pub fn acknowledged(&mut self, report: &str) {
        self.sequence += 1;
        self.previous = Some(name::sha256(report));
    }
}

/// The payload of a token, unverified.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&spk_jose::base64url::decode(payload).unwrap()).unwrap()
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// One HTTP/1.1 answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Member `code` of problem details.
    pub fn code(&self) -> String {
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// A request with its head as it is sent; nothing is added but the length.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    /// A request as licensing.md §5.1 has it.
    pub fn report(asset: Uuid, jwt: &str, report: &str) -> Self {
        let headers = [
            ("F5-DigitalAssetId", asset.to_string()),
            ("User-Agent", "SPK".to_owned()),
            ("F5-TraceId", Uuid::new_v4().to_string()),
            ("Authorization", format!("Bearer {jwt}")),
            ("Content-Type", "application/json".to_owned()),
        ];
        Self {
            method: "POST".to_owned(),
            path: TELEMETRY_PATH.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body: json!({ "report": report }).to_string(),
        }
    }

    pub fn get(path: &str) -> Self {
        let (method, path) = ("GET".to_owned(), path.to_owned());
        Self { method, path, headers: Vec::new(), body: String::new() }
    }

    /// This request with another value of a header, or without it.
    pub fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        self
    }

    /// Sends it to a plain HTTP endpoint.
    pub fn send(&self, address: SocketAddr) -> Answer {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        self.send_over(stream)
    }

    pub fn send_over(&self, mut stream: impl std::io::Read + std::io::Write) -> Answer {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = self.body.len();
        head.push_str(&format!("Host: authority\r\nContent-Length: {length}\r\n"));
        head.push_str("Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // A body that is too large may be refused before it was read.
        let _ = stream.write_all(self.body.as_bytes());
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let answer = text(&answer);
        let (head, body) =
            answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{read:?} {answer}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}
