//! P6: bytes of a session, both directions, index included; and no allocation once flows are open
//! or being opened (OPS-1215).
//!
//! The tables' own accounting is compared with what the process really takes (resident set), and a
//! counting allocator watches the opening of flows and a million hits.

use anyhow::{Context, Result, ensure};
use capsule::{CountingAllocator, CpuId, Eal, Lcore, Memory, Pool, PoolSpec};
use serde::{Deserialize, Serialize};

use crate::under_test::{Sizes, UnderTest};

/// Sessions of one family.
const SESSIONS: u32 = 1 << 20;

/// What one family takes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Footprint {
    /// Bytes of the tables by their own account, a session.
    pub accounted: f64,
    /// Growth of the resident set, a session.
    pub resident: f64,
    /// Allocations while flows were opened and hit.
    pub allocations: u64,
}

/// Opens 1 Mi sessions of a family and weighs them. Starts an environment.
///
/// # Errors
///
/// If the sessions do not open.
pub fn weigh(is_v6: bool) -> Result<Footprint> {
    let sizes = if is_v6 { Sizes { v4: 0, v6: SESSIONS } } else { Sizes { v4: SESSIONS, v6: 0 } };
    let core = CpuId(0);
    let eal = Eal::builder().cores(&[core]).memory(Memory::NoHuge).memory_mib(64).init()?;
    let mut pool = Pool::new(&eal, &PoolSpec::new("frames", 1023))?;
    Lcore::spawn(&eal, core, move || -> Result<Footprint> {
        let before = resident()?;
        let mut under_test = UnderTest::new(pool.clone(), sizes)?;
        // One flow first: vectors by slot grow when a configuration is first seen.
        let first = Sizes { v4: sizes.v4.min(1), v6: sizes.v6.min(1) };
        under_test.fill(&mut pool, first)?;
        let calls = CountingAllocator::calls();
        under_test.open_flows(&mut pool, first, sizes)?;
        if !is_v6 {
            under_test.hit(&mut pool, SESSIONS, SESSIONS)?;
        }
        let allocations = CountingAllocator::calls() - calls;
        ensure!(under_test.worker().flows().len() == SESSIONS, "a session ended");
        let grown = resident()?.saturating_sub(before);
        let accounted = under_test.worker().flows().memory_bytes();
        let per_session = |bytes: usize| bytes as f64 / f64::from(SESSIONS);
        Ok(Footprint {
            accounted: per_session(accounted),
            resident: per_session(grown),
            allocations,
        })
    })?
    .join()?
}

/// The same in a process of its own.
///
/// # Errors
///
/// As [`weigh`].
pub fn in_child(is_v6: bool) -> Result<Footprint> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("sessions");
    if is_v6 {
        command.arg("--v6");
    }
    let output = command.output()?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Bytes of the resident set.
fn resident() -> Result<usize> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = text.split(' ').nth(1).context("statm")?.parse()?;
    Ok(pages * 4096)
}
