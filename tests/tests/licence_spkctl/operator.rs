//! An operator: a desk with files, a profile, and `spkctl`.

use std::{
    fs::{self, File},
    io::Write as _,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use spk_tests::{
    cwc::{Cwc, FAKETIME, alone},
    licence::OrderType,
    poll, programs,
};

/// A CWC and who operates it.
pub struct Operator {
    pub cwc: Cwc,
    service: Option<Child>,
}

impl Operator {
    /// A CWC that runs, with a licence of this type.
    pub fn of(order: OrderType) -> Self {
        let mut operator = Self::before(order);
        operator.cwc.start().unwrap();
        operator
    }

    /// As [`Self::of`]; the CWC is not started yet.
    pub fn before(order: OrderType) -> Self {
        alone().unwrap();
        let cwc = Cwc::new(order).unwrap();
        let host = cwc.host();
        cwc.put(
            "desk/profile.yaml",
            &format!(
                "cwc: https://{host}:30881\ncacert: ../config/cwc-license-certs/ca_root.crt\ncert: \
                 ../config/cwc-license-certs/client.crt\nkey: \
                 ../config/cwc-license-certs/client.key\nserverName: localhost\ntokenFile: \
                 ../config/cwc-auth-token/token\n"
            ),
        )
        .unwrap();
        fs::copy(cwc.licence().jwt(), cwc.path("desk/license.jwt")).unwrap();
        fs::copy(cwc.licence().jwks(), cwc.path("desk/jwt.key")).unwrap();
        Self { cwc, service: None }
    }

    /// A file of the desk.
    pub fn file(&self, name: &str) -> PathBuf {
        self.cwc.path("desk").join(name)
    }

    /// `spkctl license ARGS` at the desk.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(programs::program("spkctl").unwrap());
        // Nothing of this machine's configuration is there.
        command
            .env_clear()
            .env("SPKCTL_PROFILE", "profile.yaml")
            .current_dir(self.cwc.path("desk"))
            .arg("license")
            .args(args)
            .stdin(Stdio::null());
        if self.service.is_some() {
            command.env("SPKCTL_UPSTREAM_URL", UPSTREAM);
            command.env("SPKCTL_UPSTREAM_CA", "../config/cwc-license-certs/ca_root.crt");
        }
        command
    }

    /// Runs it.
    pub fn run(&self, args: &[&str]) -> Said {
        self.said(&self.command(args).output().unwrap())
    }

    /// Runs it; a person types this.
    pub fn run_typing(&self, args: &[&str], typed: &str) -> Said {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that asks nothing does not read.
        let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
        self.said(&child.wait_with_output().unwrap())
    }

    /// What a command said; the rig searches it for secrets at the end (LIC-013).
    pub fn said(&self, output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let said = Said {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        let path = self.cwc.path("refusals");
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        writeln!(file, "{}{}", said.out, said.err).unwrap();
        said
    }

    /// Serves the authority's endpoint, by a clock that is `days` ahead.
    pub fn serve(&mut self, days: u32) {
        self.stop_service();
        let certs = self.cwc.path("config/cwc-license-certs");
        let mut command = Command::new(programs::program("spk-authority").unwrap());
        if days > 0 {
            command
                .env("LD_PRELOAD", FAKETIME)
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("FAKETIME", format!("+{days}d"));
        }
        command
            .arg("--state")
            .arg(self.cwc.path("licence/authority"))
            .args(["serve", "--listen", SERVICE])
            .arg("--cert")
            .arg(certs.join("server.crt"))
            .arg("--key")
            .arg(certs.join("server.key"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.cwc.path("authority.log")).unwrap());
        self.service = Some(command.spawn().unwrap());
        poll::hold("the authority listens", Duration::from_secs(20), || {
            TcpStream::connect(SERVICE).is_ok()
        })
        .unwrap();
    }

    fn stop_service(&mut self) {
        if let Some(mut child) = self.service.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits for the first report and activates, in three commands.
    pub fn activate(&mut self) {
        if self.service.is_none() {
            self.serve(0);
        }
        self.run(&["watch", "--until", "report", "--timeout", "30s"]).done();
        self.run(&["report", "-o", "report.json"]).done();
        self.run(&SUBMIT).done();
        self.run(&["receipt", "receipt.json"]).done();
    }

    /// How many connections to the CWC are open.
    pub fn connections(&self) -> usize {
        // Of this thread's network: local address and port in hexadecimal, and 01 for established.
        let table = fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        let [a, b, c, d] = self.cwc.host().octets();
        let own = format!("{d:02X}{c:02X}{b:02X}{a:02X}:{:04X}", 30_881);
        table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|line| line.get(1) == Some(&own.as_str()) && line.get(3) == Some(&"01"))
            .count()
    }

    /// The object of `/v1/license`, by curl.
    pub fn license(&self) -> Value {
        self.cwc.json("/v1/license").unwrap()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop_service();
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// It succeeded.
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It ended with this code and said this on stderr.
    pub fn failed(self, code: i32, text: &str) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.contains(text), "{text}: {self:?}");
        self
    }
}

/// The second of the three commands.
pub const SUBMIT: [&str; 5] =
    ["submit", "report.json", "--jwt-file", "license.jwt", "--output=receipt.json"];
const SERVICE: &str = "127.0.0.1:8443";
const UPSTREAM: &str = "https://localhost:8443/ee/v1/entitlements/telemetry";
