//! One process: started here or adopted.
//!
//! A process is named by a pidfd, so a signal never reaches another one that got its number.
//! Source: pidfd_open(2).

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::{Child, Command};

use super::identity::{self, Identity};
use super::log_file::LogFile;
use super::recipe::Recipe;

/// A running process.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    pidfd: OwnedFd,
    /// None if adopted.
    child: Option<Child>,
}

/// A process could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program}: {source}; build it or set {setting} in node.yaml")]
pub struct SpawnError {
    /// The program.
    pub program: PathBuf,
    /// The field of `node.yaml` that names the program.
    pub setting: &'static str,
    /// The system's error.
    pub source: io::Error,
}

impl SpawnError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "part_not_started"
    }
}

/// How a process ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Exit {
    pid: u32,
    /// None for an adopted process: only its parent learns it.
    status: Option<ExitStatus>,
    /// Where its reason may be read, and the last line there.
    log: Option<(PathBuf, String)>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ended", self.pid)?;
        if let Some(status) = self.status {
            match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, " with exit code {code}")?,
                (None, Some(signal)) => write!(f, " by signal {signal}")?,
                (None, None) => {}
            }
        }
        match &self.log {
            Some((log, last)) => write!(f, "; see {}, which ends: {last}", log.display()),
            None => Ok(()),
        }
    }
}

impl Process {
    /// Starts `recipe` in a process group of its own, so that a terminal's Ctrl-C does not reach
    /// it, with its output in `log`, and writes its pid file. Its standard input is `lock`, which is
    /// locked as long as it lives: whoever dies before the pid file is written leaves no stranger.
    pub(super) fn spawn(
        recipe: &Recipe,
        setting: &'static str,
        log: &LogFile,
        pid_file: &Path,
        lock: &Path,
    ) -> Result<Self, SpawnError> {
        let failed = |source| SpawnError { program: recipe.program.clone(), setting, source };
        let lock = take_lock(lock).map_err(failed)?;
        let output = log.open().map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let mut command = Command::new(&recipe.program);
        command
            .args(&recipe.arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(&recipe.environment)
            .current_dir("/")
            .stdin(lock)
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(false);
        let mut child = command.spawn().map_err(failed)?;
        let pid = child.id().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let pidfd = match open(pid) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                // Nobody could supervise it; the runtime reaps it.
                let _ = child.start_kill();
                return Err(failed(error));
            }
        };
        if let Ok(identity) = Identity::of(pid, recipe)
            && let Err(error) = identity.write(pid_file)
        {
            tracing::warn!(path = %pid_file.display(), %error, "no pid file: the process is not adopted later");
        }
        Ok(Self { pid, pidfd, child: Some(child) })
    }

    /// Takes over the process of `identity` if it lives.
    pub(super) fn adopt(identity: &Identity) -> Option<Self> {
        // Open first, then look: what is looked at is then what is held.
        let pidfd = open(identity.pid).ok()?;
        identity.lives().then_some(Self { pid: identity.pid, pidfd, child: None })
    }

    /// Takes over the process that holds `lock` and has `config` among its arguments.
    pub(super) fn find(lock: &Path, config: &Path) -> Option<Self> {
        // Not locked, or no such file: there is none.
        let file = File::open(lock).ok()?;
        if file.try_lock().is_ok() {
            return None;
        }
        let pid = identity::holder(lock, config)?;
        let pidfd = open(pid).ok()?;
        // As above.
        (identity::holder(lock, config) == Some(pid)).then_some(Self { pid, pidfd, child: None })
    }

    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) const fn is_adopted(&self) -> bool {
        self.child.is_none()
    }

    /// Waits until it ended. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> Exit {
        let status = match &mut self.child {
            Some(child) => child.wait().await.ok(),
            None => {
                while !self.is_over() {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
                None
            }
        };
        Exit { pid: self.pid, status, log: None }
    }

    /// Ends it: SIGTERM, and SIGKILL if it still runs after `patience`.
    pub(super) async fn stop(mut self, patience: Duration) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(patience, self.ended()).await.is_err() {
            tracing::warn!("process {} did not end in time and is killed", self.pid);
            self.signal(Signal::KILL);
            self.ended().await;
        }
    }

    /// A pidfd turns readable when its process ends.
    fn is_over(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.pidfd, signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::error!(%error, "cannot signal process {}", self.pid);
        }
    }
}

impl Exit {
    /// The same with the log of a process that ended by itself: its last line is why.
    pub(super) fn logged_in(self, log: &LogFile) -> Self {
        let failed = self.status.is_some_and(|status| status.code().is_some_and(|code| code != 0));
        let last = failed.then(|| log.last_line()).flatten();
        Self { log: last.map(|last| (log.path().to_owned(), last)), ..self }
    }
}

/// Locks the file at `path` by a descriptor that a child may keep.
fn take_lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).mode(0o600).open(path)?;
    let held = |_| io::Error::other(format!("another process holds {}", path.display()));
    file.try_lock().map_err(held)?;
    Ok(file)
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    Ok(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

/// How soon the end of an adopted process is seen.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
