//! A licence for a node under test: the real authority, the real CWC, and what an operator does.
//!
//! Owns the authority's folder and the two files that a node follows. Knows the CWC as operators do:
//! by `curl` with a client certificate. A licence is active within two seconds of the node's start.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use netlab::Namespace;

use crate::{poll, programs::program};

/// How long the CWC may take until its first report is there.
const REPORT: Duration = Duration::from_secs(20);

/// What the customer ordered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OrderType {
    /// Production: nothing interrupts it once it is active.
    #[default]
    Paid,
    /// Trial: any error blocks it.
    Eval,
}

impl OrderType {
    const fn word(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Eval => "eval",
        }
    }
}

/// A licence and its authority.
#[derive(Clone, Debug)]
pub struct Licence {
    folder: PathBuf,
    authority: PathBuf,
}

impl Licence {
    /// Makes an authority in `folder`, and a licence of it that ends in a year. `authority` is the
    /// program.
    ///
    /// # Errors
    ///
    /// With its complaint.
    pub fn issue(folder: &Path, order: OrderType, authority: &Path) -> Result<Self> {
        Self::signed_by("v1", folder, order, authority)
    }

    fn signed_by(kid: &str, folder: &Path, order: OrderType, authority: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let own = Self { folder: folder.to_owned(), authority: authority.to_owned() };
        own.call(&["keygen", "--bits", "2048", "--kid", kid], None)?;
        fs::write(own.jwks(), own.call(&["jwks"], None)?)?;
        let licence = ["issue", "--type", order.word(), "--cat", "lab", "--days", "365"];
        fs::write(own.jwt(), own.call(&licence, None)?)?;
        Ok(own)
    }

    /// The same with the program that is shipped.
    ///
    /// # Errors
    ///
    /// As [`Licence::issue`].
    pub fn shipped(folder: &Path, order: OrderType) -> Result<Self> {
        Self::issue(folder, order, &program("spk-authority")?)
    }

    /// Puts another licence in the place of this one; `span` says how long it lasts.
    ///
    /// # Errors
    ///
    /// With the authority's complaint.
    pub fn renew(&self, order: OrderType, span: &[&str]) -> Result<()> {
        let licence = [&["issue", "--type", order.word(), "--cat", "lab"], span].concat();
        Ok(fs::write(self.jwt(), self.call(&licence, None)?)?)
    }

    /// The licence.
    pub fn jwt(&self) -> PathBuf {
        self.folder.join("license.jwt")
    }

    /// The authority's keys.
    pub fn jwks(&self) -> PathBuf {
        self.folder.join("jwks.json")
    }

    /// Section `cwc` of node.yaml, with these further fields of it.
    pub fn section(&self, more: &str) -> String {
        format!("cwc: {{jwt: {}, jwks: {}{more}}}\n", self.jwt().display(), self.jwks().display())
    }

    /// Takes the first report from the CWC of the node whose state lies in `state`, has it
    /// acknowledged, and hands the receipt in: as seed 003 does, with `curl`.
    ///
    /// # Errors
    ///
    /// With what the CWC or the authority says.
    pub fn activate(&self, namespace: &Namespace, state: &Path) -> Result<()> {
        let mut said = String::new();
        let report = poll::until("the report is ready", REPORT, || {
            match curl(namespace, state, &["/report"]) {
                Ok(report) => Some(report),
                Err(error) => {
                    said = format!("{error:#}");
                    None
                }
            }
        });
        let report = report.with_context(|| said)?;
        let receipt = self.call(&["ack"], Some(&report))?;
        let file = self.folder.join("receipt");
        fs::write(&file, receipt)?;
        let data = format!("@{}", file.display());
        curl(namespace, state, &["/receipt", "--data", &data]).map(drop)
    }

    /// Takes the authority's keys away from the CWC and kills it: when it is started again a trial is
    /// blocked, as its licence verifies no more. Its Controller hears of that from the next
    /// statement; [`Licence::speak`] makes one.
    ///
    /// # Errors
    ///
    /// If there is no CWC.
    pub fn spoil(&self, state: &Path) -> Result<()> {
        fs::rename(self.jwks(), self.folder.join("kept.json"))?;
        let folder = self.folder.join("other");
        let other = Self::signed_by("other", &folder, OrderType::Eval, &self.authority)?;
        let keys = fs::read(other.jwks())?;
        fs::write(self.jwks(), &keys)?;
        let copy = state.join("cwc/config/cpcl-key-cm/jwt.key");
        poll::hold("the CWC has other keys", Duration::from_secs(5), || {
            fs::read(&copy).is_ok_and(|held| held == keys)
        })?;
        kill(cwc_pid(state)?)
    }

    /// Makes the CWC publish a heartbeat at once: it does when a log level is set.
    ///
    /// # Errors
    ///
    /// With curl's complaint.
    pub fn speak(&self, namespace: &Namespace, state: &Path) -> Result<()> {
        let token = fs::read_to_string(state.join("cwc/config/cwc-auth-token/token"))?;
        // Not an argument, as others may read those.
        let file = self.folder.join("authorization");
        fs::write(&file, format!("Authorization: Bearer {}\n", token.trim()))?;
        let header = format!("@{}", file.display());
        let level = r#"{"component":"tmm","level":"info"}"#;
        let kind = "Content-Type: application/json";
        curl(namespace, state, &["/v1/log", "-H", &header, "-H", kind, "--data", level]).map(drop)
    }

    /// Gives the authority's keys back.
    ///
    /// # Errors
    ///
    /// If they were not taken away.
    pub fn mend(&self) -> Result<()> {
        fs::remove_dir_all(self.folder.join("other"))?;
        Ok(fs::rename(self.folder.join("kept.json"), self.jwks())?)
    }

    /// Runs the authority's program and gives what it prints; `input` is its standard input.
    ///
    /// # Errors
    ///
    /// With its complaint.
    pub fn call(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        self.call_with(arguments, input, Vec::new())
    }

    /// As [`Licence::call`], with more environment.
    ///
    /// # Errors
    ///
    /// With its complaint.
    pub fn call_with(
        &self,
        arguments: &[&str],
        input: Option<&str>,
        environment: Vec<(String, String)>,
    ) -> Result<String> {
        let mut child = Command::new(&self.authority)
            .arg("--state")
            .arg(self.folder.join("authority"))
            .args(arguments)
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| self.authority.display().to_string())?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            std::io::Write::write_all(&mut stdin, input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "spk-authority {}: {complaint}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Asks the REST API of the CWC whose node has its state in `state`; `arguments` are a path and
/// curl's own.
///
/// # Errors
///
/// With curl's complaint, which names the status of an answer that is no success.
pub fn curl(namespace: &Namespace, state: &Path, arguments: &[&str]) -> Result<String> {
    let (path, more) = arguments.split_first().context("no path")?;
    let file = |name: &str| {
        state.join("cwc-license-client-certs").join(name).to_string_lossy().into_owned()
    };
    let (ca, cert, key) = (file("ca-root-cert"), file("client-cert"), file("client-key"));
    let url = format!("https://localhost:{}{path}", rest_port(state));
    let own = [
        "-sS",
        "--fail-with-body",
        "-m",
        "5",
        "--cacert",
        &ca,
        "--cert",
        &cert,
        "--key",
        &key,
        &url,
    ];
    Ok(namespace.run("curl", own.iter().chain(more).copied())?)
}

/// Process id of the CWC.
///
/// # Errors
///
/// If there is no pid file.
pub fn cwc_pid(state: &Path) -> Result<i32> {
    let path = state.join("run/cwc.pid");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.split_whitespace().next().and_then(|word| word.parse().ok()).context("pid file")
}

/// Kills a process.
///
/// # Errors
///
/// If there is none.
pub fn kill(pid: i32) -> Result<()> {
    Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)?)
}

fn rest_port(state: &Path) -> String {
    let told = fs::read_to_string(state.join("cwc/config/cpcl-config-cm/rest_api_port"));
    told.unwrap_or_else(|_| String::from("30881"))
}
