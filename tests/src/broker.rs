//! A real RabbitMQ broker for one test, run by the project's own script.
//!
//! Owns the script's process, its files and its end: dropping the guard ends broker and name server.
//! If the test dies first, the script sees its input end and does the same. Several brokers stand
//! side by side, each with ports and a folder of its own.

use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, TcpListener},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{poll, programs};

/// Longest start; about 7 s on a quiet machine.
const START: Duration = Duration::from_secs(90);
/// Longest orderly end.
const STOP: Duration = Duration::from_secs(20);
/// What the broker logs when it listens.
const READY: &str = "Server startup complete";

/// A broker; dropping it ends it and removes its files.
#[derive(Debug)]
pub struct Broker {
    script: Option<Child>,
    folder: TempDir,
    certificates: PathBuf,
    ports: [u16; 3],
}

impl Broker {
    /// Starts a broker on 127.0.0.1 with the files of Secret `rabbitmq-server-certs` in
    /// `certificates`, and waits until it listens.
    ///
    /// # Errors
    ///
    /// Shows the end of its log if it does not start.
    pub fn start(certificates: &Path) -> Result<Self> {
        // The broker runs as another user, who has to get through to its own folder.
        let folder =
            tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir()?;
        let certificates = certificates.to_owned();
        let mut broker = Self { script: None, folder, certificates, ports: free_ports()? };
        broker.start_again()?;
        Ok(broker)
    }

    /// Its port, the same over all starts.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.ports[0]
    }

    /// What it has printed since its last start.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Starts it again with its files after [`Self::stop`] or [`Self::kill`].
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.script.is_none(), "the broker runs");
        let log = fs::File::create(self.log_path())?;
        let [port, epmd, dist] = self.ports.map(|port| port.to_string());
        let script = script()
            .arg("run")
            .arg("--state")
            .arg(self.state())
            .arg("--certs")
            .arg(&self.certificates)
            .args(["--address", "127.0.0.1", "--port", &port])
            .args(["--epmd-port", &epmd, "--dist-port", &dist, "--until-eof"])
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("the broker's script")?;
        self.script = Some(script);
        let ready = poll::until("the broker starts", START, || {
            let ended = self.script.as_mut()?.try_wait().ok().flatten().is_some();
            (ended || self.log().contains(READY)).then_some(!ended)
        });
        ensure!(ready.unwrap_or(false), "the broker did not start:\n{}", self.tail());
        Ok(())
    }

    /// Ends it in an orderly way.
    ///
    /// # Errors
    ///
    /// Shows the end of its log if it goes on.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut script) = self.script.take() else { return Ok(()) };
        // ESRCH: it ended by itself.
        let _ = kill(pid(&script), Signal::SIGTERM);
        let ended = poll::hold("the broker ends", STOP, || has_ended(&mut script));
        if ended.is_err() {
            self.script = Some(script);
            let tail = self.tail();
            self.kill();
            anyhow::bail!("the broker did not end:\n{tail}");
        }
        Ok(())
    }

    /// Kills it, as a machine does that loses its power.
    pub fn kill(&mut self) {
        let Some(mut script) = self.script.take() else { return };
        // All of them are in the script's group; ESRCH: they ended by themselves.
        let _ = killpg(pid(&script), Signal::SIGKILL);
        let _ = script.wait();
    }

    /// Removes all its data while it does not run: exchanges, queues and messages.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn lose_disk(&mut self) -> Result<()> {
        ensure!(self.script.is_none(), "the broker runs");
        fs::remove_dir_all(self.state().join("data"))?;
        Ok(())
    }

    /// Runs one of RabbitMQ's tools on it and gives the lines that it prints, without headings.
    ///
    /// # Errors
    ///
    /// Shows what the tool said if it failed.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> Result<Vec<String>> {
        let output = script()
            .arg("tool")
            .arg("--state")
            .arg(self.state())
            .args([program, "--silent"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {arguments:?}: {text}{said}");
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("broker.log")
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn script() -> Command {
    Command::new(programs::root().join("control/bus/rabbitmq/broker"))
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

fn has_ended(child: &mut Child) -> bool {
    child.try_wait().is_ok_and(|status| status.is_some())
}

/// Ports that nobody uses now: broker, name server, Erlang.
fn free_ports() -> Result<[u16; 3]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = [listen()?, listen()?, listen()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
