//! One spk-node with the real `tmm`, alone in a network namespace of its own.
//!
//! Everything is gone when the rig is dropped: processes, namespace, files.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use netlab::Namespace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use spk_controller::view::GateView;
use spk_node::socket::{Answer, NodeStatus, Request, ask};
use spk_tests::licence::{Licence, OrderType};

#[path = "../../../../dataplane/tmm/tests/process/grammar.rs"]
mod grammar;

/// For what must happen within a second, and as much again for a busy machine's timers.
pub const SOON: Duration = Duration::from_secs(2);
/// For the start of DPDK, with all its drivers, on a busy machine.
pub const A_WHILE: Duration = Duration::from_secs(20);

pub const VLAN: &str = "apiVersion: k8s.f5net.com/v1
kind: F5SPKVlan
metadata: {name: external, namespace: spk-core}
spec:
  {name: external, interfaces: [\"1.1\"], tag: 100, prefixlen_v4: 24,
   selfip_v4s: [198.51.100.11, 198.51.100.12]}
";

pub struct Rig {
    pub namespace: Namespace,
    folder: tempfile::TempDir,
    /// Its licence, activated by the first [`Rig::start_ready`].
    pub licence: Licence,
    activated: bool,
    node: Option<Child>,
    /// Processes that spk-node started, ended with the rig.
    seen: Vec<i32>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let bad_line = if std::thread::panicking() {
            eprintln!("spk-node's log:\n{}\ntmm-0's log:\n{}", self.log(), self.tmm_log(0));
            None
        } else {
            self.malformed_tmm_line()
        };
        self.note_tmms();
        if let Some(mut node) = self.node.take() {
            // Either may be gone already.
            let _ = node.kill();
            let _ = node.wait();
        }
        for pid in &self.seen {
            if fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| ["tmm\n", "spk-cwc\n"].contains(&name.as_str()))
            {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
        }
        // Last, so that nothing is left behind by it.
        assert_eq!(bad_line, None, "a line of a TMM's log has another form");
    }
}

impl Rig {
    /// Files of a node with `replicas` TMMs on ring ports; nothing runs yet.
    pub fn new(replicas: u16) -> Self {
        let ports = |_| String::from("[{name: \"1.1\", kind: ring}, {name: \"1.2\", kind: ring}]");
        Self::with_ports(replicas, ports)
    }

    /// The same under a trial.
    pub fn trial(replicas: u16) -> Self {
        let ports = |_| String::from("[{name: \"1.1\", kind: ring}, {name: \"1.2\", kind: ring}]");
        Self::with(replicas, OrderType::Eval, ports)
    }

    /// The same with ports of one's own, as YAML.
    pub fn with_ports(replicas: u16, ports: impl Fn(u16) -> String) -> Self {
        Self::with(replicas, OrderType::Paid, ports)
    }

    fn with(replicas: u16, order: OrderType, ports: impl Fn(u16) -> String) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("node{}-{number}", std::process::id());
        let namespace = Namespace::create(&name).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("resources")).unwrap();
        let authority = program("spk-authority");
        let licence = Licence::issue(&folder.path().join("licence"), order, &authority).unwrap();
        let mut text = licence.section(&format!(", binary: {}", program("spk-cwc").display()));
        text += &format!(
            "uid: 2f1b6c1e-6f0e-4b52-9d0a-6d6b8f6f3a10\ntmmNamespace: spk-core\n\
             appNamespaces: [spk-apps]\nstateDir: {0}/state\nresourceDir: {0}/resources\n\
             tmm: {{binary: {1}, drainSeconds: 1}}\nreplicas:\n",
            folder.path().display(),
            tmm_program().display(),
        );
        for index in 0..replicas {
            text += &format!(
                "- {{index: {index}, cores: [{}], memory: 96, hugepages: false, flows: 1024, \
                 ports: {}}}\n",
                index % 2,
                ports(index)
            );
        }
        fs::write(folder.path().join("node.yaml"), text).unwrap();
        Self { namespace, folder, licence, activated: false, node: None, seen: Vec::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts spk-node and waits until it answers on its socket.
    pub fn start(&mut self, more: &[&str]) {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        // `ip netns exec` becomes the program, so the child's pid is spk-node's.
        let child = self
            .namespace
            .command(env!("CARGO_BIN_EXE_spk-node"))
            .args(["run", "--config"])
            .arg(self.path("node.yaml"))
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.node = Some(child);
        until("spk-node answers", A_WHILE, || self.try_status().is_some());
    }

    /// Starts spk-node and waits until every TMM runs the newest configuration; the first time it
    /// activates the licence.
    pub fn start_ready(&mut self) {
        self.start(&[]);
        self.until_ready();
    }

    /// Activates the licence, once.
    pub fn activate(&mut self) {
        if !std::mem::replace(&mut self.activated, true) {
            self.licence.activate(&self.namespace, &self.path("state")).unwrap();
        }
    }

    pub fn until_ready(&mut self) {
        self.activate();
        let passes = |gate: &GateView| gate.state != "closed";
        until("every TMM is ready", A_WHILE, || {
            self.try_status().is_some_and(|status| {
                status.controller.generation > 0
                    && !status.controller.replicas.is_empty()
                    && status.controller.replicas.iter().all(|replica| {
                        replica.not_ready.is_none() && replica.gate.as_ref().is_some_and(passes)
                    })
                    && status.processes.iter().all(|process| process.pid.is_some())
            })
        });
        self.note_tmms();
    }

    fn note_tmms(&mut self) {
        let processes = self.try_status().map(|status| status.processes).unwrap_or_default();
        let pids = processes.iter().filter_map(|process| process.pid);
        self.seen.extend(pids.filter_map(|pid| i32::try_from(pid).ok()));
    }

    pub fn try_status(&self) -> Option<NodeStatus> {
        match ask(&self.path("state/run/node.sock"), Request::Status).ok()? {
            Answer::Status(status) => Some(*status),
            Answer::Refused { .. } => None,
        }
    }

    /// Pid of the running TMM of replica `index`.
    pub fn tmm(&mut self, index: u16) -> i32 {
        self.note_tmms();
        let status = self.try_status().unwrap();
        let process = status.processes.iter().find(|process| process.index == Some(index)).unwrap();
        i32::try_from(process.pid.unwrap()).unwrap()
    }

    /// Pid of spk-node.
    pub fn node_id(&self) -> i32 {
        i32::try_from(self.node.as_ref().unwrap().id()).unwrap()
    }

    /// Ends spk-node by `signal` and waits for its end; its exit code.
    pub fn end(&mut self, signal: Signal) -> Option<i32> {
        self.note_tmms();
        let mut node = self.node.take().unwrap();
        kill(Pid::from_raw(i32::try_from(node.id()).unwrap()), signal).unwrap();
        let mut code = None;
        until("spk-node ends", A_WHILE, || match node.try_wait().unwrap() {
            Some(status) => {
                code = status.code();
                true
            }
            None => false,
        });
        code
    }

    /// Puts a resource file in place at once.
    pub fn put(&self, name: &str, text: &str) {
        let aside = self.path(name);
        fs::write(&aside, text).unwrap();
        fs::rename(aside, self.path("resources").join(name)).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path("resources").join(name)).unwrap();
    }

    /// The status file beside a resource file; null while there is none.
    pub fn status_of(&self, name: &str) -> Value {
        let path = self.path("resources").join(format!("{name}.status.yaml"));
        let text = fs::read_to_string(path).unwrap_or_default();
        serde_saphyr::from_str(&text).unwrap_or_default()
    }

    /// Lines of events, oldest first.
    pub fn events(&self) -> Vec<Value> {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
        let text = read("state/events.jsonl.1") + &read("state/events.jsonl");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn tmm_log(&self, index: u16) -> String {
        fs::read_to_string(self.path(&format!("state/log/tmm-{index}.log"))).unwrap_or_default()
    }

    /// OPS-720: the first line of a TMM's log that has not the documented form, older logs included.
    fn malformed_tmm_line(&self) -> Option<String> {
        let logs = fs::read_dir(self.path("state/log")).ok()?.flatten();
        let texts = logs.filter(|log| log.file_name().to_string_lossy().starts_with("tmm-"));
        texts.filter_map(|log| fs::read_to_string(log.path()).ok()).find_map(|text| {
            // A log that was moved aside begins at a whole line, as it is cut to nothing.
            grammar::malformed(&text).map(str::to_owned)
        })
    }

    /// Body and status line of an HTTP GET inside the namespace.
    pub fn get(&self, address: &str, path: &str) -> String {
        let fetch = || {
            let mut stream = TcpStream::connect(address).ok()?;
            stream.set_read_timeout(Some(SOON)).ok()?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            Some(text)
        };
        self.namespace.enter(fetch).unwrap().unwrap_or_default()
    }
}

/// Status of a condition in a status file's object.
pub fn condition(object: &Value, kind: &str) -> String {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default().to_owned()
}

/// Waits, at most `limit`, until `holds`.
pub fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process lives; a zombie does not.
pub fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// `tmm` of `SPK_TMM`, or as [`program`].
pub fn tmm_program() -> PathBuf {
    std::env::var_os("SPK_TMM").map_or_else(|| program("tmm"), PathBuf::from)
}

/// A program of the folder `SPK_PROGRAMS`, or of this target folder, release before dev.
pub fn program(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_spk-node")).parent().unwrap().parent().unwrap();
    let programs = std::env::var_os("SPK_PROGRAMS").map(PathBuf::from);
    programs
        .into_iter()
        .chain([target.join("release"), target.join("debug")])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not built; cargo build -p {name}"))
}

/// Runs a program to its end inside the rig's namespace.
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
