//! Starts the real `tmm` with certificates, a key and a directory of its own.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cert_gen::pki::{self, KeyKind, Leaf, Pair, Period};
use netlab::{Namespace, Process, ProcessBuilder};
use nix::unistd::Pid;
use spk_entitlement::{Authority, Class, LeaseKey, Occasion, Verdict};
use tmm_rpc::proto::{GateReply, HelloRequest, LeaseRequest};
use tmm_rpc::{TlsMaterial, TmmClient};
use tonic::transport::Channel;

pub type Client = TmmClient<Channel>;

pub const POD: &str = "0f3b6c1e-6f0e-4b52-9d0a-6d6b8f6f3a11";
pub const NAMESPACE: &str = "spk-core";

/// A CA and what it signed.
pub struct Ca(pki::Authority);

impl Ca {
    pub fn new() -> Self {
        Self(pki::Authority::make("ca", KeyKind::EcP256, period()).unwrap())
    }

    pub fn pem(&self) -> Vec<u8> {
        self.0.pair().certificate.clone().into_bytes()
    }

    /// A certificate and its key, for a server with these names or, without any, a client.
    pub fn sign(&self, names: &[&str]) -> (Vec<u8>, Vec<u8>) {
        let leaf = Leaf {
            common_name: String::from("f5net.com"),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            server: !names.is_empty(),
            client: names.is_empty(),
            ..Leaf::default()
        };
        let Pair { certificate, key } = self.0.issue(&leaf, KeyKind::EcP256, period()).unwrap();
        (certificate.into_bytes(), key.into_bytes())
    }

    /// A client of this CA that trusts `server`'s.
    pub fn client(&self, server: &Self) -> TlsMaterial {
        let (certificate, key) = self.sign(&[]);
        TlsMaterial::from_pem(server.pem(), certificate, key)
    }
}

fn period() -> Period {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Period::days(now, 100)
}

/// How a TMM is started.
pub struct Setup {
    pub directory: tempfile::TempDir,
    pub ca: Ca,
    pub key: LeaseKey,
    pub address: IpAddr,
    pub ports: String,
    pub memory: u32,
    pub hugepages: bool,
    pub flows: u32,
    pub drain_seconds: u16,
    pub server_names: Vec<&'static str>,
    pub has_anchor: bool,
    pub metrics_port: u16,
    /// Whether it may keep what it resumes from, in folder `cache` beside its files.
    pub has_cache: bool,
    pub environment: Vec<(&'static str, String)>,
}

/// A running TMM.
pub struct Tmm {
    pub process: Process,
    pub listen: SocketAddr,
    pub probes: SocketAddr,
    pub metrics: SocketAddr,
    tls: TlsMaterial,
    pub authority: Authority,
    pub setup: Setup,
}

impl Setup {
    /// One port that receives nothing, ordinary pages, addresses that no other test has.
    pub fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(4);
        let [high, low] = (std::process::id() as u16).to_be_bytes();
        // 127.0.0.0/24 is for people who run the product.
        let address = Ipv4Addr::new(127, high | 0x80, low, NEXT.fetch_add(1, Ordering::Relaxed));
        Self {
            directory: tempfile::tempdir().unwrap(),
            ca: Ca::new(),
            key: LeaseKey::from_seed([1; 32]).unwrap(),
            address: IpAddr::V4(address),
            ports: r#"[{"name":"1.1","kind":"ring"}]"#.to_owned(),
            memory: 64,
            hugepages: false,
            flows: 1024,
            drain_seconds: 1,
            server_names: vec!["grpc-svc"],
            has_anchor: true,
            metrics_port: 9090,
            has_cache: false,
            environment: vec![
                ("POD_NAME", "f5-tmm-0".to_owned()),
                ("POD_UID", POD.to_owned()),
                ("POD_NAMESPACE", NAMESPACE.to_owned()),
                ("PAL_CPU_SET", "0".to_owned()),
            ],
        }
    }

    pub fn write(&self) {
        let (certificate, key) = self.ca.sign(&self.server_names);
        let file = |name: &str, bytes: &[u8]| {
            let path = self.directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        file("certs/ca_root.crt", &self.ca.pem());
        file("certs/grpc-svc.crt", &certificate);
        file("keys/grpc-svc.key", &key);
        if self.has_anchor {
            file("license/jwks.json", self.key.jwks().to_json().as_bytes());
        }
        let Self { address, ports, memory, hugepages, flows, drain_seconds, metrics_port, .. } =
            self;
        let cache = match self.has_cache {
            true => format!("cache: {}\n", self.path("cache").display()),
            false => String::new(),
        };
        let yaml = format!(
            "clusterUid: c\nlisten: {address}:8750\nprobes: {address}:8081\n\
             metrics: {address}:{metrics_port}\nmemory: {memory}\nhugepages: {hugepages}\nflows: {flows}\n\
             drainSeconds: {drain_seconds}\n{cache}ports: {ports}\n"
        );
        file("tmm.yaml", yaml.as_bytes());
    }

    /// Runs packet threads on these CPUs.
    pub fn cores(&mut self, list: &str) {
        self.environment.retain(|(name, _)| *name != "PAL_CPU_SET");
        self.environment.push(("PAL_CPU_SET", list.to_owned()));
    }

    /// The command; in `namespace` if there is one.
    pub fn command(&self, namespace: Option<&Namespace>) -> Command {
        // The whole suite also runs against another build, such as that of a release.
        let program =
            std::env::var_os("TMM_UNDER_TEST").unwrap_or_else(|| env!("CARGO_BIN_EXE_tmm").into());
        let mut command = match namespace {
            Some(namespace) => namespace.command(&program),
            None => Command::new(&program),
        };
        command.arg("--config").arg(self.directory.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a process on the files that are there, and waits until it says so.
    fn launch(&self, namespace: Option<&Namespace>) -> Process {
        let mut process = ProcessBuilder::new("tmm", self.command(namespace))
            .spawn(self.directory.path())
            .unwrap();
        process.wait_for(Duration::from_secs(20), |log| log.contains(": 2a000001:5:")).unwrap();
        process
    }

    /// Starts it and waits until it says so.
    pub fn start(self, namespace: Option<&Namespace>) -> Tmm {
        self.write();
        self.start_written(namespace)
    }

    /// Starts it with the files that are there.
    pub fn start_written(self, namespace: Option<&Namespace>) -> Tmm {
        let process = self.launch(namespace);
        Tmm {
            process,
            listen: SocketAddr::new(self.address, 8750),
            probes: SocketAddr::new(self.address, 8081),
            metrics: SocketAddr::new(self.address, self.metrics_port),
            tls: self.ca.client(&self.ca),
            authority: Authority::new(
                LeaseKey::from_seed([1; 32]).unwrap(),
                uuid::Uuid::from_u128(1),
                1,
            ),
            setup: self,
        }
    }
}

/// OPS-720: every line of every process that these tests start.
impl Drop for Tmm {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let log = self.log();
            assert_eq!(crate::grammar::malformed(&log), None);
        }
    }
}

impl Tmm {
    /// A client with a good certificate.
    pub async fn client(&self) -> Client {
        TmmClient::to(self.listen, &self.tls).await.unwrap()
    }

    /// Kills the process and starts another on the same files, as a kubelet restarts a container.
    pub fn crash(&mut self, namespace: Option<&Namespace>) {
        self.process.signal(nix::sys::signal::Signal::SIGKILL);
        self.process.wait(Duration::from_secs(5)).unwrap();
        self.process = self.setup.launch(namespace);
    }

    /// Opens the gate.
    pub async fn open(&mut self, client: &mut Client) -> GateReply {
        let nonce = nonce(client).await;
        let jws = self.authority.open(NAMESPACE, POD, &nonce, &allow());
        lease(client, jws).await
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}

pub async fn nonce(client: &mut Client) -> [u8; 16] {
    let hello = client.hello(HelloRequest {}).await.unwrap().into_inner();
    hello.nonce.try_into().unwrap()
}

pub async fn lease(client: &mut Client, jws: String) -> GateReply {
    client.lease(LeaseRequest { jws }).await.unwrap().into_inner()
}

/// A statement of now that allows traffic.
pub fn allow() -> Occasion {
    Occasion {
        class: Class::Trial,
        verdict: Verdict::Allow,
        reason: "verified".to_owned(),
        iat: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
        ttl: 183,
        ends: None,
    }
}

/// Status and body of a page.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: tmm\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// Waits, at most 10 s, until `holds`.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The threads of a process, with their names.
pub fn threads(tmm: &Tmm) -> Vec<(Pid, String)> {
    // The guard started `ip netns exec`, which became the process.
    let tasks = std::fs::read_dir(format!("/proc/{}/task", tmm.process.id())).unwrap();
    let thread = |entry: std::fs::DirEntry| {
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap();
        let number = entry.file_name().to_str().unwrap().parse().unwrap();
        (Pid::from_raw(number), name.trim_end().to_owned())
    };
    tasks.flatten().map(thread).collect()
}

/// What a killed process left where DPDK and hugepages have files.
pub fn left_behind(process: i32) -> Vec<PathBuf> {
    let name = format!("tmm{process}");
    let hugepage_mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let mounts = hugepage_mounts
        .lines()
        .filter(|line| line.split(' ').nth(2) == Some("hugetlbfs"))
        .filter_map(|line| line.split(' ').nth(1));
    let places = mounts.chain(["/var/run/dpdk", "/run/dpdk", "/dev/shm", "/tmp"]);
    let entries = places.filter_map(|place| std::fs::read_dir(place).ok()).flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().contains(&name));
    ours.map(|entry| entry.path()).collect()
}
