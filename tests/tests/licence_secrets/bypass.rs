//! No environment variable and no flag opens a gate without a lease.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use spk_tests::{
    cwc::{self, Cwc},
    licence::{Licence, OrderType},
    poll,
    programs::program,
};
use tempfile::TempDir;

/// How long a data plane may take to start.
const START: Duration = Duration::from_secs(30);
/// Random names in all, and in one batch.
const NAMES: usize = 200;
const BATCH: usize = 50;

/// A process that ends with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Random numbers from a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        words[usize::try_from(self.0 % words.len() as u64).unwrap()]
    }
}

/// Names that somebody might try, with values that say yes.
fn names() -> Vec<(String, String)> {
    let mut dice = Dice(20_261_201);
    let mut found = std::collections::BTreeMap::new();
    while found.len() < NAMES {
        let name = format!(
            "{}_{}_{}",
            dice.pick(&["SPK", "TMM", "CWC", "F5", "LICENSE", "LICENCE", "GATE", "DEBUG", "TEST"]),
            dice.pick(&["LICENSE", "GATE", "LEASE", "ENTITLEMENT", "VERDICT", "LATCH", "DEV"]),
            dice.pick(&["BYPASS", "OPEN", "SKIP", "DISABLE", "FORCE", "ALLOW", "MODE", "CHECK"]),
        );
        let value =
            dice.pick(&["1", "0", "true", "false", "yes", "off", "open", "allow", "latched"]);
        found.insert(name, value.to_owned());
    }
    found.into_iter().collect()
}

/// The documented variables of all programs, with values that change something.
fn documented() -> Vec<(&'static str, &'static str)> {
    vec![
        ("POD_NAME", "f5-tmm-0"),
        ("POD_UID", "0f3b6c1e-6f0e-4b52-9d0a-6d6b8f6f3a11"),
        ("POD_NAMESPACE", "spk-core"),
        ("PAL_CPU_SET", "0"),
        ("TMM_LOG_LEVEL", "Debug"),
        ("SPK_AUTHORITY_STATE", "/tmp"),
    ]
}

/// Each name as a flag: alone, with a value, and the program's answer to all of them: it does not
/// start.
fn flags_are_refused(name: &str, before: &[&str], after: &[&str]) {
    for (variable, value) in names() {
        let flag = format!("--{}", variable.to_lowercase().replace('_', "-"));
        let with_value = format!("{flag}={value}");
        let given = if value == "1" { &flag } else { &with_value };
        let mut command = Command::new(program(name).unwrap());
        command.args(before).arg(given).args(after);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = Guard(child.spawn().unwrap());
        let ended = poll::until("it ends", START, || child.0.try_wait().unwrap())
            .unwrap_or_else(|error| panic!("{name} {given} runs: {error}"));
        assert_eq!(ended.code(), Some(2), "{name} {given}");
    }
}

/// The files of a data plane with a trust anchor and no lease, on a port without a device.
fn tmm_files(folder: &Path, host: Ipv4Addr) {
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let ca = spk_tests::certificates::Authority::new().unwrap();
    let certs = ca.rest(folder).unwrap();
    let text = |name: &str| fs::read_to_string(certs.join(name)).unwrap();
    put("certs/ca_root.crt", &text("ca_root.crt"));
    put("certs/grpc-svc.crt", &text("server.crt"));
    put("keys/grpc-svc.key", &text("server.key"));
    let key = spk_jose::Ed25519Key::from_seed([1; 32]).unwrap();
    put("license/jwks.json", &key.jwks().to_json());
    put(
        "tmm.yaml",
        &format!(
            "clusterUid: c\nlisten: {host}:8750\nprobes: {host}:8081\nmetrics: {host}:9090\n\
             memory: 64\nhugepages: false\nflows: 1024\ndrainSeconds: 0\n\
             ports: [{{name: \"1.1\", kind: ring}}]\n"
        ),
    );
}

/// What the data plane itself says of its gate, once it runs.
fn gate_metric(host: Ipv4Addr, child: &mut Guard, log: &Path) -> String {
    let page = poll::until("the data plane answers", START, || {
        if let Some(ended) = child.0.try_wait().unwrap() {
            panic!("tmm ended: {ended}\n{}", fs::read_to_string(log).unwrap_or_default());
        }
        let url = format!("http://{host}:9090/metrics");
        let output =
            Command::new("curl").args(["-sS", "-m", "5", "--fail", &url]).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    })
    .unwrap();
    let line = page.lines().find(|line| line.starts_with("spk_license_gate_open"));
    line.unwrap_or_else(|| panic!("no gate in\n{page}")).to_owned()
}

/// LIC-014 for `tmm`: under every documented and 200 random variables, in batches, the gate is closed;
/// a random flag ends it.
#[test]
fn no_variable_or_flag_of_tmm_opens_the_gate() {
    cwc::alone().unwrap();
    let folder = TempDir::new().unwrap();
    let host = Ipv4Addr::new(127, 0, 3, 1);
    tmm_files(folder.path(), host);
    for (number, batch) in names().chunks(BATCH).enumerate() {
        let log = folder.path().join(format!("tmm-{number}.log"));
        let out = fs::File::create(&log).unwrap();
        let child = Command::new(program("tmm").unwrap())
            .arg("--config")
            .arg(folder.path())
            .envs(documented())
            .envs(batch.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let mut child = Guard(child);
        let gate = gate_metric(host, &mut child, &log);
        assert!(gate.ends_with(" 0"), "batch {number}: {gate}");
    }
    let config = folder.path().to_string_lossy().into_owned();
    flags_are_refused("tmm", &["--config", &config], &[]);
    // The documented flags that are left end the process at once: nothing runs whose gate is open.
    for flag in ["--check", "--help", "--version"] {
        let ended = Command::new(program("tmm").unwrap())
            .args(["--config", &config, flag])
            .envs(documented())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(ended.success(), "{flag}");
    }
}

/// LIC-014 for `spk-cwc`: the same variables and flags allow nothing without a receipt.
#[test]
fn no_variable_or_flag_of_the_cwc_allows_traffic() {
    cwc::alone().unwrap();
    let mut cwc = Cwc::new(OrderType::Eval).unwrap();
    for batch in names().chunks(BATCH) {
        let mut command = Command::new(program("spk-cwc").unwrap());
        command.envs(documented()).envs(batch.iter().map(|(name, value)| (name, value)));
        // Documented flags beside those that the rig gives.
        command.args(["--namespace", "other", "--metrics", "127.0.3.2:9090"]);
        cwc.spawn_by(command).unwrap();
        cwc.await_answer().unwrap();
        cwc.await_slot("license", 7).unwrap();
        let license = cwc.json("/v1/license").unwrap();
        assert_eq!(license["verdict"]["value"], "block", "{license}");
        assert_eq!(license["active"], false);
        cwc.kill();
    }
    let config = cwc.path("config").to_string_lossy().into_owned();
    let store = format!("file:{}", cwc.path("store").display());
    let bus = format!("local:{}", cwc.path("bus.sock").display());
    flags_are_refused("spk-cwc", &["--config", &config, "--store", &store, "--bus", &bus], &[]);
}

/// LIC-014 for `spk-node`: a node with all variables at once, with its CWC and its data plane, has a
/// closed gate; a random flag ends it.
#[test]
fn no_variable_or_flag_of_the_node_opens_the_gate() {
    cwc::alone().unwrap();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("resources")).unwrap();
    let licence = Licence::shipped(&path("licence"), OrderType::Paid).unwrap();
    let text = format!(
        "{}uid: 2f1b6c1e-6f0e-4b52-9d0a-6d6b8f6f3a10\ntmmNamespace: spk-core\n\
         appNamespaces: [spk-apps]\nstateDir: {state}\nresourceDir: {resources}\n\
         tmm: {{drainSeconds: 1}}\nreplicas:\n- {{index: 0, cores: [0], memory: 96, \
         hugepages: false, flows: 1024, ports: [{{name: \"1.1\", kind: ring}}]}}\n",
        licence.section(""),
        state = path("state").display(),
        resources = path("resources").display(),
    );
    fs::write(path("node.yaml"), text).unwrap();
    let log = fs::File::create(path("log")).unwrap();
    let child = Command::new(program("spk-node").unwrap())
        .args(["run", "--config"])
        .arg(path("node.yaml"))
        .envs(documented())
        .envs(names())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut node = Node(Guard(child), path("state"));
    let said = || fs::read_to_string(path("log")).unwrap_or_default();
    let mut last = None;
    let gate = poll::until("the node knows its gate", START, || {
        assert_eq!(node.0.0.try_wait().unwrap(), None, "spk-node ended:\n{}", said());
        last = status(&path("state"));
        let gate = last.as_ref()?["controller"]["replicas"][0]["gate"]["state"].as_str()?;
        // Only once the CWC has answered is a closed gate its word.
        spk_tests::licence::cwc_pid(&path("state")).ok()?;
        Some(gate.to_owned())
    })
    .unwrap_or_else(|error| panic!("{error}; {last:?}\n{}", said()));
    assert_eq!(gate, "closed", "{last:?}");
    drop(node);
    let config = path("node.yaml").to_string_lossy().into_owned();
    flags_are_refused("spk-node", &["run", "--config", &config], &[]);
}

/// A node with what it started.
struct Node(Guard, std::path::PathBuf);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.0.kill();
        let _ = self.0.0.wait();
        // Its children live on after it, by design; each is named in a file of its own.
        for entry in fs::read_dir(self.1.join("run")).into_iter().flatten().flatten() {
            let path = entry.path();
            let text = fs::read_to_string(&path).unwrap_or_default();
            let pid = text.split_whitespace().next().and_then(|word| word.parse::<i32>().ok());
            if path.extension().is_some_and(|kind| kind == "pid")
                && let Some(pid) = pid
                && fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|name| ["tmm\n", "spk-cwc\n"].contains(&name.as_str()))
            {
                let _ = spk_tests::licence::kill(pid);
            }
        }
    }
}

/// What spk-node says of itself.
fn status(state: &Path) -> Option<serde_json::Value> {
    use std::io::{BufRead as _, Write as _};
    let mut stream = UnixStream::connect(state.join("run/node.sock")).ok()?;
    writeln!(stream, "{{\"command\":\"status\"}}").ok()?;
    let mut answer = String::new();
    std::io::BufReader::new(stream).read_line(&mut answer).ok()?;
    serde_json::from_str(&answer).ok()
}
