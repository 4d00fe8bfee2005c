//! A CWC as a process, with an authority of its own, asked by `curl` as operators ask it.
//!
//! Owns the files of one CWC, its wrong clock and its end. Knows the REST API, the files of the store
//! and the bus's address, and nothing of how the program works. Everything a CWC wrote and said is
//! searched for its secrets when it is dropped (LIC-013).

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    certificates::Authority,
    licence::{Licence, OrderType},
    poll, programs, secrets,
};

/// How long the program may take until it answers.
pub const START: Duration = Duration::from_secs(30);
/// How long a state may take that comes by itself.
pub const SOON: Duration = Duration::from_secs(30);
/// The namespace whose Controller is registered.
pub const NAMESPACE: &str = "spk-1";
/// Where Debian has the library that fakes the wall clock.
pub const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Gives the calling thread, and what it starts, a network that is nothing but loopback.
///
/// # Errors
///
/// Without root.
pub fn alone() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("a network of its own needs root")?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    ensure!(up.success(), "cannot set loopback up");
    Ok(())
}

/// The environment of a program whose wall clock is a wrong one, as `source` says; its waits go by
/// the right one.
fn faketime<const N: usize>(source: [(&str, String); N]) -> Vec<(String, String)> {
    let fixed = [
        ("LD_PRELOAD", String::from(FAKETIME)),
        ("FAKETIME_DONT_FAKE_MONOTONIC", String::from("1")),
        ("FAKETIME_NO_CACHE", String::from("1")),
    ];
    fixed.into_iter().chain(source).map(|(name, text)| (name.to_owned(), text)).collect()
}

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// HTTP status; 0 if there was none.
    pub status: u16,
    /// Body.
    pub body: String,
}

/// One CWC and its authority; dropping it ends the process and searches what it left for secrets.
#[derive(Debug)]
pub struct Cwc {
    folder: TempDir,
    licence: Licence,
    host: Ipv4Addr,
    bus: String,
    faked: bool,
    child: Option<Child>,
}

impl Cwc {
    /// The files of a CWC on the local bus with a licence of this type. Call [`alone`] before.
    ///
    /// # Errors
    ///
    /// The system's, the authority's.
    pub fn new(order: OrderType) -> Result<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(10);
        let folder = TempDir::new()?;
        let licence = Licence::shipped(&folder.path().join("licence"), order)?;
        let bus = format!("local:{}", folder.path().join("bus.sock").display());
        let host = Ipv4Addr::new(127, 0, 2, NEXT.fetch_add(1, Ordering::Relaxed));
        let own = Self { folder, licence, host, bus, faked: false, child: None };
        Authority::new()?.rest(&own.path("config"))?;
        own.put("config/cpcl-key-cm/jwt.key", &fs::read_to_string(own.licence.jwks())?)?;
        let jwt = fs::read_to_string(own.licence.jwt())?;
        for (key, text) in
            [("jwt", jwt.trim()), ("log_level", "debug"), ("posts_per_minute", "100000")]
        {
            own.put(&format!("config/cpcl-config-cm/{key}"), text)?;
        }
        fs::create_dir_all(own.path("resources"))?;
        Ok(own)
    }

    /// Uses this bus instead; `client` is the folder of its client certificate.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn on_broker(mut self, port: u16, client: &Path) -> Result<Self> {
        let own = self.path("config/rabbitmq-client-certs");
        fs::create_dir_all(&own)?;
        for entry in fs::read_dir(client)? {
            let entry = entry?;
            fs::copy(entry.path(), own.join(entry.file_name()))?;
        }
        self.bus = format!("amqps://localhost:{port}");
        Ok(self)
    }

    /// A file of this CWC.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file in place at once, as a mount does.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn put(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        let aside = path.with_extension("aside");
        fs::write(&aside, text)?;
        Ok(fs::rename(aside, path)?)
    }

    /// The address that its REST API has to itself.
    pub const fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// Its licence and authority.
    pub const fn licence(&self) -> &Licence {
        &self.licence
    }

    /// The authority's acknowledgement of a report.
    ///
    /// # Errors
    ///
    /// With its complaint.
    pub fn acknowledge(&self, report: &str) -> Result<String> {
        Ok(self.licence.call(&["ack"], Some(report))?.trim().to_owned())
    }

    /// As [`Self::acknowledge`], by an authority whose clock is `days` ahead.
    ///
    /// # Panics
    ///
    /// If the authority refuses.
    pub fn acknowledge_at(&self, report: &str, days: u32) -> String {
        let environment = faketime([("FAKETIME", format!("+{days}d"))]);
        let receipt = self.licence.call_with(&["ack"], Some(report), environment);
        receipt.expect("the authority acknowledges").trim().to_owned()
    }

    /// Another licence of its authority.
    ///
    /// # Errors
    ///
    /// With its complaint.
    pub fn issue(&self, arguments: &[&str]) -> Result<String> {
        let given = [&["issue", "--cat", "lab"], arguments].concat();
        Ok(self.licence.call(&given, None)?.trim().to_owned())
    }

    /// Sets the program's wall clock off by this much, such as `-61m`, now and at every start. The
    /// first call must come before the program is started.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn clock(&mut self, offset: &str) -> Result<()> {
        ensure!(self.faked || self.child.is_none(), "the program runs by the right clock");
        self.faked = true;
        self.put("clock", offset)
    }

    /// Starts the program and waits until it answers.
    ///
    /// # Errors
    ///
    /// With the end of its log.
    pub fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.await_answer()
    }

    /// Starts the program.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn spawn(&mut self) -> Result<()> {
        let mut command = Command::new(programs::program("spk-cwc")?);
        if self.faked {
            ensure!(Path::new(FAKETIME).exists(), "package faketime is missing: make setup");
            let file = self.path("clock").to_string_lossy().into_owned();
            command.envs(faketime([("FAKETIME_TIMESTAMP_FILE", file)]));
        }
        self.spawn_by(command)
    }

    /// Starts `command`, which runs the program, with the program's arguments.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn spawn_by(&mut self, mut command: Command) -> Result<()> {
        ensure!(self.child.is_none(), "the program runs");
        let log = File::options().append(true).create(true).open(self.path("cwc.log"))?;
        command
            .arg("--config")
            .arg(self.path("config"))
            .arg("--store")
            .arg(format!("file:{}", self.path("store").display()))
            .args(["--bus", &self.bus, "--rest", &format!("{}:30881", self.host)])
            .args(["--probes", &format!("{}:8081", self.host), "--instance", NAMESPACE])
            .arg("--resources")
            .arg(self.path("resources"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.spawn().context("spk-cwc")?;
        // What everybody on the machine can read of a process.
        let said = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
        fs::write(self.path("arguments"), said)?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the program answers.
    ///
    /// # Errors
    ///
    /// With the end of its log.
    pub fn await_answer(&mut self) -> Result<()> {
        let end = Instant::now() + START;
        while self.send("GET", "/status", "").status != 200 {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || Instant::now() > end {
                bail!("spk-cwc does not answer ({ended:?}):\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Process id of the running program.
    ///
    /// # Panics
    ///
    /// If it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the program runs").id()
    }

    /// Kills the program, without a word to it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until the program has ended by itself.
    ///
    /// # Errors
    ///
    /// If it goes on.
    pub fn ended(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("the program does not run")?;
        let status = poll::until("the program ends", START, || child.try_wait().ok().flatten());
        if status.is_err() {
            self.child = Some(child);
        }
        status
    }

    /// Sends a request with the good client certificate.
    pub fn send(&self, method: &str, path: &str, body: &str) -> Reply {
        self.send_with(method, path, body, &[])
    }

    /// As [`Self::send`], with more arguments of curl.
    pub fn send_with(&self, method: &str, path: &str, body: &str, more: &[&str]) -> Reply {
        let certs = self.path("config/cwc-license-certs");
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "30", "-X", method, "-w", "\n%{http_code}", "--cacert"])
            .arg(certs.join("ca_root.crt"))
            .arg("--cert")
            .arg(certs.join("client.crt"))
            .arg("--key")
            .arg(certs.join("client.key"))
            .args(["--resolve", &format!("localhost:30881:{}", self.host)])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if method == "POST" {
            // By its input: everybody can read the arguments of a process.
            curl.args(["-H", "Expect:", "--data-binary", "@-"]);
            self.keep("sent", body);
        }
        curl.arg(format!("https://localhost:30881{path}"));
        let answer = curl.spawn().and_then(|mut child| {
            if let Some(mut input) = child.stdin.take() {
                // A server that refuses by the length does not read the body.
                let _ = input.write_all(body.as_bytes());
            }
            child.wait_with_output()
        });
        let text = answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let text = text.unwrap_or_default();
        let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
        let reply = Reply { status: status.parse().unwrap_or(0), body: body.to_owned() };
        if reply.status >= 400 {
            self.keep("refusals", &reply.body);
        }
        reply
    }

    /// Keeps what was said, for the search at the end: bodies are secrets, refusals must hold none.
    fn keep(&self, name: &str, text: &str) {
        let file = File::options().append(true).create(true).open(self.path(name));
        let kept = file.and_then(|mut file| file.write_all(format!("{text}\n").as_bytes()));
        kept.expect("the test's own folder is written to");
    }

    /// The JSON of a page that must be there.
    ///
    /// # Errors
    ///
    /// With the answer if it is not.
    pub fn json(&self, path: &str) -> Result<Value> {
        let reply = self.send("GET", path, "");
        ensure!(reply.status == 200, "{path}: {reply:?}");
        Ok(serde_json::from_str(&reply.body)?)
    }

    /// State of a slot, nothing if it is empty: `license`, `current`, `next` or `switch`.
    ///
    /// # Errors
    ///
    /// If the program does not answer.
    pub fn slot(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.json("/v1/license")?["slots"][name]["state"].as_u64())
    }

    /// Waits until a slot has this state.
    ///
    /// # Errors
    ///
    /// With the state as it is.
    pub fn await_slot(&self, name: &str, state: u64) -> Result<()> {
        let mut last = None;
        poll::hold(&format!("slot {name} is {state}"), SOON, || {
            last = self.slot(name).ok().flatten();
            last == Some(state)
        })
        .with_context(|| format!("it is {last:?}; log:\n{}", self.log()))
    }

    /// Downloads the report.
    ///
    /// # Errors
    ///
    /// With the refusal.
    pub fn report(&self) -> Result<String> {
        let report = self.json("/report")?;
        Ok(report["report"].as_str().context("no report")?.to_owned())
    }

    /// Activates the licence from state 7 on, and gives the receipt.
    ///
    /// # Errors
    ///
    /// With what stands in the way.
    pub fn activate(&self) -> Result<String> {
        self.await_slot("license", 7)?;
        let receipt = self.acknowledge(&self.report()?)?;
        let reply = self.send("POST", "/receipt", &receipt);
        ensure!(reply.status == 200, "{reply:?}");
        Ok(receipt)
    }

    /// The records of the store, by name.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn records(&self) -> Result<BTreeMap<String, String>> {
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(self.path("store"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && !name.ends_with(".tmp") {
                records.insert(name, fs::read_to_string(entry.path())?);
            }
        }
        Ok(records)
    }

    /// Record `context`, as JSON.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn context(&self) -> Result<Value> {
        Ok(serde_json::from_str(&fs::read_to_string(self.path("store/context"))?)?)
    }

    /// Whether an event of this reason was written.
    pub fn told(&self, reason: &str) -> bool {
        let text = fs::read_to_string(self.path("events.jsonl")).unwrap_or_default();
        text.contains(&format!("\"reason\":\"{reason}\""))
    }

    /// All that the program logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("cwc.log")).unwrap_or_default()
    }

    /// The page of metrics.
    ///
    /// # Errors
    ///
    /// With curl's complaint.
    pub fn metrics(&self) -> Result<String> {
        let url = format!("http://{}:8081/metrics", self.host);
        let output = Command::new("curl").args(["-sS", "-m", "5", "--fail", &url]).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What of this CWC's secrets stands where it must not: in its log, events, metrics, refusals,
    /// arguments.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn spoken(&self) -> Result<Vec<String>> {
        if self.child.is_some() {
            fs::write(self.path("metrics"), self.metrics().unwrap_or_default())?;
        }
        let told = ["cwc.log", "events.jsonl", "metrics", "refusals", "arguments"];
        let told: Vec<PathBuf> = told.iter().map(|name| self.path(name)).collect();
        secrets::spoken(&secrets::marks(self.folder.path())?, &told)
    }
}

impl Drop for Cwc {
    fn drop(&mut self) {
        let spoken = if std::thread::panicking() { Ok(Vec::new()) } else { self.spoken() };
        self.kill();
        match spoken {
            Ok(found) => assert_eq!(found, Vec::<String>::new(), "secrets were spoken"),
            Err(error) => panic!("{error:#}"),
        }
    }
}
