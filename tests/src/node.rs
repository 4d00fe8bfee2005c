//! `spk-node` and its TMMs, run in a namespace as their users run them.
//!
//! Owns the files of one node: `node.yaml`, state and resource directory. Resources go in as
//! files; status comes out as files.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use netlab::{Namespace, Process, ProcessBuilder};
use tmm_rpc::{TlsFiles, proto};

use crate::{
    licence::{Licence, OrderType},
    poll,
    programs::program,
    tmm::{self, Tables},
};

/// How long `spk-node` has until its TMMs answer: the start of DPDK with all its drivers, certificates.
const START: Duration = Duration::from_secs(20);
/// By how much the ports of a moved node are higher.
const MOVED_PORTS: u16 = 10_000;
const APPLY: Duration = Duration::from_secs(5);
/// From a verdict that allows to open gates, the asking of a Controller (5 s) included.
const OPEN: Duration = Duration::from_secs(10);

/// How the TMMs are run.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Kind of all ports: `afXdp` or `afPacket`.
    pub port_kind: &'static str,
    /// Number of TMMs, 1 or 2.
    pub replicas: u8,
    /// CPUs of each.
    pub cores: &'static str,
    /// MiB of each.
    pub memory: u32,
    /// Whether memory comes from huge pages.
    pub hugepages: bool,
    /// Flow-table size.
    pub flows: u32,
    /// Log level word.
    pub log_level: &'static str,
    /// The licence.
    pub licence: OrderType,
    /// How long the licence lasts, such as `90s`; a year without.
    pub validity: Option<&'static str>,
    /// Further fields of section `cwc`, each after a comma.
    pub cwc: String,
    /// Whether all addresses are other ones than the default.
    pub moved: bool,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            port_kind: "afXdp",
            replicas: 1,
            cores: "[1]",
            memory: 192,
            hugepages: true,
            flows: 65_536,
            log_level: "Notice",
            licence: OrderType::Paid,
            validity: None,
            cwc: String::new(),
            moved: false,
        }
    }
}

/// A running node; dropping it ends `spk-node` and its TMMs.
#[derive(Debug)]
pub struct Node {
    process: Option<Process>,
    namespace: String,
    folder: PathBuf,
    replicas: u8,
    moved: bool,
    licence: Licence,
}

impl Node {
    /// Writes `node.yaml` under `folder`, starts `spk-node` in `namespace` and waits until every
    /// TMM answers.
    ///
    /// # Errors
    ///
    /// With the end of the log if it does not come up.
    pub fn start(namespace: &Namespace, folder: &Path, options: &NodeOptions) -> Result<Self> {
        let licence = Licence::shipped(&folder.join("licence"), options.licence)?;
        if let Some(span) = options.validity {
            licence.renew(options.licence, &["--for", span])?;
        }
        let mut node = Self {
            process: None,
            namespace: namespace.name().to_owned(),
            folder: folder.to_owned(),
            replicas: options.replicas,
            moved: options.moved,
            licence,
        };
        fs::create_dir_all(node.resources())?;
        fs::write(node.settings(), node.text(options)?)?;
        node.launch(namespace)?;
        Ok(node)
    }

    /// Starts `spk-node` (again) and waits until every TMM answers.
    ///
    /// # Errors
    ///
    /// As [`Node::start`].
    pub fn launch(&mut self, namespace: &Namespace) -> Result<()> {
        let mut command = namespace.command(program("spk-node")?);
        command.arg("run").arg("--config").arg(self.settings());
        let mut process = ProcessBuilder::new("spk-node", command).spawn(&self.folder)?;
        let mut last = None;
        let up = poll::hold("every TMM answers", START, || {
            process.ended().is_some()
                || (0..self.replicas).all(|index| match self.tables(namespace, index) {
                    Ok(_) => true,
                    Err(error) => {
                        last = Some(error);
                        false
                    }
                })
        });
        let ended = process.ended();
        if up.is_err() || ended.is_some() {
            anyhow::bail!(
                "spk-node did not come up ({ended:?}; last error: {last:?})\n{}\n{}",
                process.log(),
                self.tmm_log(0)
            );
        }
        self.process = Some(process);
        Ok(())
    }

    /// The running `spk-node`.
    ///
    /// # Panics
    ///
    /// If it was ended by [`Node::end`] and not launched again.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("spk-node was launched")
    }

    /// Leaves `spk-node` and its TMMs running when this value is dropped.
    pub fn keep(&mut self) {
        if let Some(process) = &mut self.process {
            process.keep();
        }
    }

    /// Ends `spk-node` without a signal that it could act on.
    pub fn end(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// The file `node.yaml`.
    pub fn settings(&self) -> PathBuf {
        self.folder.join("node.yaml")
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The resource directory.
    pub fn resources(&self) -> PathBuf {
        self.folder.join("resources")
    }

    /// gRPC address of replica `index` (OPS-175).
    pub fn listen(&self, index: u8) -> SocketAddr {
        let (net, shift) = if self.moved { (1, MOVED_PORTS) } else { (0, 0) };
        (Ipv4Addr::new(127, 0, net, 4 + index), tmm_rpc::PORT + shift).into()
    }

    /// The log of the TMM of replica `index`, this start and earlier ones.
    pub fn tmm_log(&self, index: u8) -> String {
        let folder = self.state().join("log");
        let read = |name: String| fs::read_to_string(folder.join(name)).unwrap_or_default();
        read(format!("tmm-{index}.log.1")) + &read(format!("tmm-{index}.log"))
    }

    /// Process id of the TMM of replica `index`.
    ///
    /// # Errors
    ///
    /// If there is no pid file.
    pub fn tmm_pid(&self, index: u8) -> Result<i32> {
        let path = self.state().join(format!("run/tmm-{index}.pid"));
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        text.split_whitespace().next().and_then(|word| word.parse().ok()).context("pid file")
    }

    /// Reads all tables of replica `index`.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn tables(&self, namespace: &Namespace, index: u8) -> Result<Tables> {
        tmm::tables(namespace, self.listen(index), &self.state())
    }

    /// What replica `index` reports of members and interfaces now.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn report(&self, namespace: &Namespace, index: u8) -> Result<proto::Report> {
        let tls = TlsFiles::controller(&self.state()).load()?;
        tmm::call(namespace, self.listen(index), &tls, async |mut client: tmm::Client| {
            let request = proto::WatchReportsRequest::default();
            let mut stream = client.watch_reports(request).await?.into_inner();
            let first = stream.message().await?;
            Ok(tonic::Response::new(first.unwrap_or_default()))
        })
    }

    /// Members of a pool of replica 0 that may get new flows: their monitors say up, or they have
    /// none.
    ///
    /// # Errors
    ///
    /// If the TMM does not answer.
    pub fn members_up(&self, namespace: &Namespace, pool: &str) -> Result<usize> {
        let usable = |member: &&proto::MemberReport| {
            member.pool == pool && ["up", "unchecked"].contains(&member.state.as_str())
        };
        Ok(self.report(namespace, 0)?.members.iter().filter(usable).count())
    }

    /// Puts a resource file in place at once, as `mv` does.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let scratch = self.folder.join(format!("{name}.new"));
        fs::write(&scratch, text)?;
        fs::rename(scratch, self.resources().join(name))?;
        Ok(())
    }

    /// Takes a resource file away.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn remove(&self, name: &str) -> Result<()> {
        Ok(fs::remove_file(self.resources().join(name))?)
    }

    /// The status text beside a resource file, empty if there is none yet.
    pub fn status(&self, name: &str) -> String {
        fs::read_to_string(self.resources().join(format!("{name}.status.yaml"))).unwrap_or_default()
    }

    /// Waits until the status of a resource file satisfies `holds`.
    ///
    /// # Errors
    ///
    /// With the status as it is after five seconds.
    pub fn await_status(&self, name: &str, what: &str, holds: impl Fn(&str) -> bool) -> Result<()> {
        poll::hold(&format!("{name}: {what}"), APPLY, || holds(&self.status(name)))
            .with_context(|| format!("status of {name}:\n{}", self.status(name)))
    }

    /// Runs `spkctl node ...` for this node.
    ///
    /// # Errors
    ///
    /// With its complaint.
    pub fn spkctl(&self, arguments: &[&str]) -> Result<String> {
        let output = std::process::Command::new("ip")
            .args(["netns", "exec", &self.namespace])
            .arg(program("spkctl")?)
            .args(arguments)
            .arg("--state-dir")
            .arg(self.state())
            .output()?;
        ensure!(
            output.status.success(),
            "spkctl {}: {}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The licence, as its operator has it.
    pub const fn licence(&self) -> &Licence {
        &self.licence
    }

    /// Activates the licence and waits until every gate is open.
    ///
    /// # Errors
    ///
    /// If it cannot be activated or a gate is not open within five seconds.
    pub fn activate(&self, namespace: &Namespace) -> Result<()> {
        self.licence.activate(namespace, &self.state())?;
        self.await_open()
    }

    /// Waits until every gate is open.
    ///
    /// # Errors
    ///
    /// With the node's status if one is not within ten seconds.
    pub fn await_open(&self) -> Result<()> {
        let open = |gate: &str| gate == "open" || gate == "latched";
        poll::hold("every gate is open", OPEN, || {
            self.gates().is_ok_and(|gates| {
                gates.len() == usize::from(self.replicas) && gates.iter().all(|gate| open(gate))
            })
        })
        .with_context(|| format!("{:?}", self.ask()))
    }

    /// Ends `spk-node` without a word, and closes the gates that no latch holds: nobody opens them
    /// before it is launched again.
    ///
    /// # Errors
    ///
    /// If a TMM does not answer.
    pub fn close_gates(&mut self, namespace: &Namespace) -> Result<()> {
        self.end();
        let tls = TlsFiles::controller(&self.state()).load()?;
        for index in 0..self.replicas {
            tmm::call(namespace, self.listen(index), &tls, async |mut client: tmm::Client| {
                let reason = "comms_lost".to_owned();
                client.close(proto::CloseRequest { reason, generation: 1 }).await
            })?;
        }
        Ok(())
    }

    /// Blocks a trial: takes the authority's keys away, and waits until the Controller hears the CWC
    /// that was started without them.
    ///
    /// # Errors
    ///
    /// If the CWC does not come back.
    pub fn block_trial(&self, namespace: &Namespace) -> Result<()> {
        self.licence.spoil(&self.state())?;
        let connected = |wanted| {
            self.ask().is_ok_and(|status| status["controller"]["licence"]["busConnected"] == wanted)
        };
        poll::hold("the CWC is gone", APPLY, || connected(false))?;
        poll::hold("the CWC is back", OPEN, || connected(true))?;
        self.licence.speak(namespace, &self.state())
    }

    /// State of each gate, as `spk-node` knows it.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn gates(&self) -> Result<Vec<String>> {
        let status = self.ask()?;
        let replicas = status["controller"]["replicas"].as_array().context("no replicas")?;
        let state = |replica: &serde_json::Value| {
            replica["gate"]["state"].as_str().unwrap_or("unknown").to_owned()
        };
        Ok(replicas.iter().map(state).collect())
    }

    /// Everything that `spk-node` knows, over its socket.
    ///
    /// # Errors
    ///
    /// If the socket does not answer.
    pub fn ask(&self) -> Result<serde_json::Value> {
        let mut stream = UnixStream::connect(self.state().join("run/node.sock"))?;
        writeln!(stream, "{{\"command\":\"status\"}}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Wall time of the newest event `reason`.
    pub fn event(&self, reason: &str) -> Option<SystemTime> {
        let text = fs::read_to_string(self.state().join("events.jsonl")).ok()?;
        let line =
            text.lines().rev().find(|line| line.contains(&format!("\"reason\":\"{reason}\"")))?;
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        let time: jiff::Timestamp = event["time"].as_str()?.parse().ok()?;
        Some(SystemTime::from(time))
    }

    fn text(&self, options: &NodeOptions) -> Result<String> {
        let mut text = format!(
            "uid: 2f1b6c1e-6f0e-4b52-9d0a-6d6b8f6f3a10
tmmNamespace: spk-core
appNamespaces: [demo]
stateDir: {}
resourceDir: {}
tmm:
  logLevel: {}
  drainSeconds: 1
replicas:
",
            self.state().display(),
            self.resources().display(),
            options.log_level
        );
        if self.moved {
            text.insert_str(0, "probes: 127.0.1.3:18081\nmetrics: 127.0.1.3:19090\n");
        }
        let moved = ", rest: 127.0.0.1:40881, probes: 127.0.1.2:18081, metrics: 127.0.1.2:19090";
        let more = format!("{}{}", if self.moved { moved } else { "" }, options.cwc);
        text.insert_str(0, &self.licence.section(&more));
        for index in 0..options.replicas {
            write!(
                text,
                "  - index: {index}
    cores: {}
    memory: {}
    hugepages: {}
    flows: {}
    ports:
      - {{name: \"1.1\", kind: {kind}, device: ext{index}}}
      - {{name: \"1.2\", kind: {kind}, device: int{index}}}
",
                options.cores,
                options.memory,
                options.hugepages,
                options.flows,
                kind = options.port_kind
            )?;
            if self.moved {
                let host = format!("127.0.1.{}", 4 + index);
                writeln!(text, "    listen: {}", self.listen(index))?;
                writeln!(text, "    probes: {host}:18081\n    metrics: {host}:19090")?;
            }
        }
        Ok(text)
    }
}

/// Whether condition `kind` is True in every object of a status text.
pub fn is_true(status: &str, kind: &str) -> bool {
    let documents: Vec<serde_json::Value> = match serde_saphyr::from_multiple(status) {
        Ok(documents) => documents,
        Err(_) => return false,
    };
    let mut found = 0;
    let mut all = true;
    for document in &documents {
        visit(document, &mut |condition| {
            if condition["type"] == kind {
                found += 1;
                all &= condition["status"] == "True";
            }
        });
    }
    found > 0 && all
}

fn visit(value: &serde_json::Value, see: &mut impl FnMut(&serde_json::Value)) {
    see(value);
    match value {
        serde_json::Value::Array(items) => items.iter().for_each(|item| visit(item, see)),
        serde_json::Value::Object(fields) => fields.values().for_each(|item| visit(item, see)),
        _ => {}
    }
}
