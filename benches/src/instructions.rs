//! P4: instructions a packet on the hit path, counted by callgrind.
//!
//! Deterministic where cycles are not. One process without hugepages, two ring ports back to back:
//! the generator's end and the engine's. Only the engine's turns are counted, and the difference
//! between a long and a short run is taken, so that start-up falls out.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use capsule::{CpuId, Eal, Lcore, Mbuf, Memory, Pool, PoolSpec, Port, PortKind, PortSpec, RingEnd};
use serde::Serialize;
use tmm_wire::PacketBuf;

use crate::traffic::{self, Draw, Templates};
use crate::under_test::{BURST, Sizes, UnderTest, filled};

/// Bursts of the two runs.
const RUNS: [u64; 2] = [2_000, 6_000];
/// Flows in the table.
const FLOWS: u32 = 4096;

/// Cycles that a burst takes without valgrind, about: 200 a packet.
const BURST_CYCLES: u64 = 200 * BURST as u64;

/// What callgrind counted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Instructions {
    /// Instructions a packet: ring receive, engine, timers, ring send.
    pub per_packet: f64,
}

/// Runs both under callgrind.
///
/// # Errors
///
/// If valgrind is not there or a run fails.
pub fn run(folder: &Path) -> Result<Instructions> {
    let mut counts = [0_u64; 2];
    for (count, bursts) in counts.iter_mut().zip(RUNS) {
        *count = under_callgrind(folder, bursts)?;
    }
    let packets = (RUNS[1] - RUNS[0]) * BURST as u64;
    let difference = counts[1].checked_sub(counts[0]).context("the longer run counted less")?;
    Ok(Instructions { per_packet: difference as f64 / packets as f64 })
}

fn under_callgrind(folder: &Path, bursts: u64) -> Result<u64> {
    let out = folder.join(format!("callgrind.{bursts}"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*UnderTest*turn*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["bursts", "--bursts", &bursts.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("valgrind: install it (apt-get install valgrind)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "callgrind: {said}");
    let text = std::fs::read_to_string(&out)?;
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("totals: ")) else {
        bail!("callgrind wrote no totals into {}", out.display());
    };
    line.trim().parse().context("callgrind's totals")
}

/// `bursts` full bursts through the engine over rings in one process, without hugepages.
///
/// # Errors
///
/// If a frame is lost or comes back wrong.
pub fn bursts(bursts: u64) -> Result<()> {
    let kind = |end| PortKind::RingPair { pair: "wire".to_owned(), end };
    let core = CpuId(0);
    let eal = Eal::builder()
        .cores(&[core])
        .memory(Memory::NoHuge)
        .memory_mib(64)
        .port(&kind(RingEnd::A))
        .init()?;
    let mut pool = Pool::new(&eal, &PoolSpec::new("frames", 8191))?;
    let (_, mut far) = Port::configure(&eal, &PortSpec::new("far", kind(RingEnd::A)), &pool)?;
    let (_, mut near) = Port::configure(&eal, &PortSpec::new("near", kind(RingEnd::B)), &pool)?;
    Lcore::spawn(&eal, core, move || -> Result<()> {
        let sizes = Sizes { v4: FLOWS, v6: 0 };
        let mut under_test = UnderTest::new(pool.clone(), sizes)?;
        under_test.fill(&mut pool, sizes)?;
        let templates = Templates::default();
        let mut draw = Draw::new(FLOWS, 3);
        let mut frames: Vec<Mbuf> = Vec::with_capacity(4 * BURST);
        for _ in 0..BURST {
            frames.push(filled(&mut pool, traffic::FRAME, |_| ())?);
        }
        // Valgrind slows the program, not the clock: time passes as it would without it, so that
        // timers run as often, and every run counts the same.
        let begun = capsule::cycles();
        for burst in 0..bursts {
            for frame in &mut frames {
                templates.write(draw.next_leg(), frame.data_mut());
            }
            far.tx[0].tx_burst(&mut frames);
            let received = under_test.turn(&mut near, begun + burst * BURST_CYCLES);
            ensure!(received == BURST, "{received} frames in a burst");
            far.rx[0].rx_burst(&mut frames);
            // The engine announces itself now and then.
            frames.retain(|frame| frame.data().len() == traffic::FRAME);
            ensure!(frames.len() == BURST, "{} frames came back", frames.len());
            for frame in &frames {
                ensure!(traffic::is_right(frame.data(), FLOWS), "a frame came back wrong");
            }
        }
        Ok(())
    })?
    .join()?
}
