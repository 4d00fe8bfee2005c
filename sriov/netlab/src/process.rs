//! Processes of a lab.
//!
//! Owns a child, its log file and its end: dropping the guard ends the process. Each has a process
//! group of its own, so that Ctrl-C on the terminal reaches only the program that set up the lab.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::Error;

/// How often a state is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(10);
/// How long a process has to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(3);
const TAIL_LINES: usize = 15;

/// A process about to be started.
#[derive(Debug)]
pub struct ProcessBuilder {
    name: String,
    command: Command,
}

impl ProcessBuilder {
    /// Names a command; the name is that of its log file.
    pub fn new(name: impl Into<String>, command: Command) -> Self {
        Self { name: name.into(), command }
    }

    /// Starts it; both its outputs go to `<folder>/<name>.log`, its input is empty.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if the log cannot be made, [`Error::Spawn`] if the program is missing.
    pub fn spawn(mut self, folder: &Path) -> Result<Process, Error> {
        let log = folder.join(format!("{}.log", self.name));
        let open = || {
            fs::create_dir_all(folder)?;
            let out = File::options().create(true).append(true).open(&log)?;
            let err = out.try_clone()?;
            Ok((out, err))
        };
        let (out, err) = open().map_err(|source| Error::File { path: log.clone(), source })?;
        let child = self
            .command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Spawn { program: self.name.clone(), source })?;
        Ok(Process { name: self.name, child, log, kept: false })
    }
}

/// A running process; dropping it ends the process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    kept: bool,
}

impl Process {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// The file both outputs go to.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Its exit status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal; one to a process that has ended is lost.
    pub fn signal(&self, signal: Signal) {
        // ESRCH means that it has ended, which the caller learns from `ended`.
        let _ = kill(Pid::from_raw(self.id()), signal);
    }

    /// Leaves the process running when this value is dropped.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Waits until `ready` holds for the log, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] with the end of the log if the process ends before, or time runs out.
    pub fn wait_for(&mut self, limit: Duration, ready: impl Fn(&str) -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        loop {
            if ready(&self.log()) {
                return Ok(());
            }
            if let Some(status) = self.ended() {
                return Err(self.failed(format!("ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(self.failed(format!("was not ready within {limit:?}")));
            }
            thread::sleep(POLL);
        }
    }

    /// Waits at most `limit` for its end and returns the status.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] if it still runs then; it goes on running.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, Error> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(self.failed(format!("still ran after {limit:?}")));
            }
            thread::sleep(POLL);
        }
    }

    /// Asks it to end by SIGTERM, kills it after three seconds, and returns the status.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] if even the kill does not end it within as long again.
    pub fn stop(&mut self) -> Result<ExitStatus, Error> {
        self.signal(Signal::SIGTERM);
        if let Ok(status) = self.wait(GRACE) {
            return Ok(status);
        }
        self.signal(Signal::SIGKILL);
        self.wait(GRACE)
    }

    fn failed(&self, problem: String) -> Error {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        Error::Process { name: self.name.clone(), problem, log: self.log.clone(), tail }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.kept {
            // A process that survives SIGKILL cannot be helped from here.
            let _ = self.stop();
        }
    }
}
