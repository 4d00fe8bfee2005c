//! testpmd's 5tswap in the engine's role: the same device with the same arguments, one core.
//!
//! It swaps both ends of every frame and looks nothing up: the least that a translating proxy on
//! this device can cost. It counts its own busy cycles.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::child::{BUFFER_BYTES, BUFFERS, Counts, Process, RING_LOG2};
use crate::under_test::BURST;

/// A running testpmd.
#[derive(Debug)]
pub struct Testpmd {
    process: Process,
}

/// Part of the name of its polling thread.
pub const THREAD: &str = "worker";

impl Testpmd {
    /// Starts it on `core`, with its idle main thread on `other`, as memif server of `socket`.
    ///
    /// # Errors
    ///
    /// If it does not start; the package is dpdk-dev.
    pub fn start(socket: &str, core: u16, other: u16, log: &Path) -> Result<Self> {
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "dpdk-testpmd", "--in-memory", "--single-file-segments", "-m", "64"]);
        command.args(["--no-pci", "--no-telemetry", "--file-prefix", socket]);
        command.args(["--lcores", &format!("0@{other},1@{core}"), "--vdev"]);
        command.arg(format!(
            "net_memif_1.1,role=server,id=0,socket={socket},socket-abstract=yes,rsize={RING_LOG2},\
             bsize={BUFFER_BYTES}"
        ));
        command.args(["--", "-i", "--forward-mode=5tswap", "--record-core-cycles"]);
        command.arg(format!("--burst={BURST}"));
        command.args(["--rxd=1024", "--txd=1024", "--mbcache=256"]);
        command.arg(format!("--total-num-mbufs={BUFFERS}"));
        let mut process = Process::start(&mut command, log)?;
        process.say("start")?;
        let mut testpmd = Self { process };
        testpmd.settle()?;
        Ok(testpmd)
    }

    /// What it has counted since it began to forward.
    ///
    /// # Errors
    ///
    /// If it has ended or says something else.
    pub fn counts(&mut self) -> Result<Counts> {
        self.process.say("show fwd stats all")?;
        let said = self.settle()?;
        let Some((_, rest)) = said.split_once("busy cycles=").or(said.split_once("total cycles="))
        else {
            return Ok(Counts::default());
        };
        let number = |text: &str| -> Result<u64> {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().with_context(|| text.to_owned())
        };
        let packets = rest.split_once("packets=").context("packets")?.1;
        Ok(Counts { busy_cycles: number(rest)?, packets: number(packets)?, ..Counts::default() })
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it.
    pub fn end(mut self) {
        // At end of file it would wait for its prompt.
        let _ = self.process.say("quit");
        self.process.end();
    }

    /// Everything it says up to the answer to a command that it does not know.
    fn settle(&mut self) -> Result<String> {
        self.process.say("no-such-command")?;
        let mut said = String::new();
        loop {
            let line = self.process.line()?;
            if line.contains("Command not found") || line.contains("Bad arguments") {
                return Ok(said);
            }
            said += &line;
        }
    }
}
