//! The processes of a run: the engine, the generator, and how they are asked.
//!
//! Each is this program again with a role. It counts on a pinned thread and answers each line on
//! its standard input with its counts; it ends at end of file. Invariant: a child dies with its
//! handle.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use capsule::{CpuId, Eal, Lcore, Memory, Pool, PoolSpec, Port, PortKind, PortSpec};
use serde::{Deserialize, Serialize};

use crate::generator::{self, CameBack};
use crate::under_test::{Counted, Sizes, UnderTest};

/// Buffers of each process.
pub const BUFFERS: u32 = 8191;
/// Binary logarithm of the ring's length, in both directions.
pub const RING_LOG2: u8 = 10;
/// Bytes of one memif buffer.
pub const BUFFER_BYTES: u16 = 2048;
/// How long a link may take to come up.
const LINK: Duration = Duration::from_secs(10);

/// What a process has counted since it began.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Frames received.
    pub packets: u64,
    /// Cycles of turns with frames.
    pub busy_cycles: u64,
    /// Turns with frames.
    pub bursts: u64,
    /// Packets dropped.
    pub drops: u64,
    /// Frames checked.
    pub checked: u64,
    /// Frames found wrong.
    pub wrong: u64,
}

/// Which of the processes of a memif run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// The engine, memif server.
    Engine,
    /// The generator, memif client.
    Generator,
}

/// Runs `role` on `core` over the memif socket `socket` until standard input ends.
///
/// # Errors
///
/// Whatever keeps it from running.
pub fn serve(role: Role, socket: &str, core: u16, flows: u32) -> Result<()> {
    let (file, id) = (false, 0);
    let kind = match role {
        Role::Engine => PortKind::Memif {
            socket: socket.into(),
            file,
            id,
            ring_log2: RING_LOG2,
            buffer_bytes: BUFFER_BYTES,
        },
        Role::Generator => {
            PortKind::MemifClient { socket: socket.into(), file, id, zero_copy: true }
        }
    };
    let core = CpuId(core);
    let eal = Eal::builder()
        .cores(&[core])
        .memory(Memory::InMemory)
        .memory_mib(64)
        // The client's packet memory is mapped by the server.
        .argument("--single-file-segments")
        .port(&kind)
        .init()?;
    let mut pool = Pool::new(&eal, &PoolSpec::new("frames", BUFFERS))?;
    let (port, mut queues) = Port::configure(&eal, &PortSpec::new("1.1", kind), &pool)?;
    let ended = Arc::new(AtomicBool::new(false));
    let stop = {
        let ended = Arc::clone(&ended);
        move || ended.load(Ordering::Relaxed)
    };
    match role {
        Role::Engine => {
            let sizes = Sizes { v4: flows, v6: 0 };
            let mut under_test = UnderTest::new(pool.clone(), sizes)?;
            under_test.fill(&mut pool, sizes)?;
            let counted = Arc::new(Counted::default());
            let seen = Arc::clone(&counted);
            let lcore = Lcore::spawn(&eal, core, move || {
                under_test.run(&mut queues, &seen, stop);
                for (reason, count) in under_test.worker().counters().drop_rows() {
                    if count > 0 {
                        eprintln!("dropped {count}: {reason:?}");
                    }
                }
                under_test.worker().counters().identity().holds()
            })?;
            answer(|| Counts {
                packets: counted.packets.load(Ordering::Relaxed),
                busy_cycles: counted.busy_cycles.load(Ordering::Relaxed),
                bursts: counted.bursts.load(Ordering::Relaxed),
                drops: counted.drops.load(Ordering::Relaxed),
                ..Counts::default()
            })?;
            ended.store(true, Ordering::Relaxed);
            ensure!(lcore.join()?, "the accounting identity does not hold");
        }
        Role::Generator => {
            let end = Instant::now() + LINK;
            while !port.link()?.up {
                ensure!(Instant::now() < end, "the memif server does not answer");
                std::thread::sleep(Duration::from_millis(5));
            }
            let back = Arc::new(CameBack::default());
            let seen = Arc::clone(&back);
            let lcore = Lcore::spawn(&eal, core, move || {
                generator::run(&mut queues, &mut pool, flows, &seen, stop)
            })?;
            answer(|| Counts {
                packets: back.packets.load(Ordering::Relaxed),
                checked: back.checked.load(Ordering::Relaxed),
                wrong: back.wrong.load(Ordering::Relaxed),
                ..Counts::default()
            })?;
            ended.store(true, Ordering::Relaxed);
            lcore.join()??;
        }
    }
    Ok(())
}

/// Says `counts` once at first, then for each line of standard input.
fn answer(counts: impl Fn() -> Counts) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::to_string(&counts())?)?;
    for line in std::io::stdin().lines() {
        line?;
        writeln!(out, "{}", serde_json::to_string(&counts())?)?;
    }
    Ok(())
}

/// A running process that answers lines.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    log: std::path::PathBuf,
}

impl Process {
    /// Starts `command`, its errors into `log`.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let errors = std::fs::File::create(log).with_context(|| log.display().to_string())?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("a pipe")?);
        Ok(Self { child, input, output, log: log.to_owned() })
    }

    /// Starts this program in a role and waits until it counts.
    ///
    /// # Errors
    ///
    /// With the end of its log, if it ends instead.
    pub fn role(role: Role, socket: &str, core: u16, flows: u32, log: &Path) -> Result<Self> {
        let word = match role {
            Role::Engine => "engine",
            Role::Generator => "generator",
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.args([word, "--socket", socket]);
        command.args(["--core", &core.to_string(), "--flows", &flows.to_string()]);
        let mut process = Self::start(&mut command, log)?;
        process.line()?;
        Ok(process)
    }

    /// Sends a line.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("the process was told to end")?;
        writeln!(input, "{line}").with_context(|| self.log_end())
    }

    /// Waits for a line.
    ///
    /// # Errors
    ///
    /// With the end of its log, if there is none any more.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let bytes = self.output.read_line(&mut line).with_context(|| self.log_end())?;
        ensure!(bytes > 0, "the process ended: {}", self.log_end());
        Ok(line)
    }

    /// Asks a process of this program for its counts.
    ///
    /// # Errors
    ///
    /// If it has ended or says something else.
    pub fn counts(&mut self) -> Result<Counts> {
        self.say("")?;
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| line)
    }

    /// CPU time of its thread whose name holds `name`.
    ///
    /// # Errors
    ///
    /// If there is no such thread.
    pub fn cpu(&self, name: &str) -> Result<Duration> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        for task in tasks.flatten() {
            let comm = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            if comm.contains(name) {
                let text = std::fs::read_to_string(task.path().join("schedstat"))?;
                let nanos = text.split(' ').next().unwrap_or_default().parse()?;
                return Ok(Duration::from_nanos(nanos));
            }
        }
        anyhow::bail!("no thread named {name}: {}", self.log_end())
    }

    /// Ends it: end of file first, a signal if it does not mind.
    pub fn end(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.input = None;
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // Both fail only when it has ended meanwhile.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn log_end(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        format!("{} (log {})", lines.join("; "), self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.input.is_some() {
            self.stop();
        }
    }
}
