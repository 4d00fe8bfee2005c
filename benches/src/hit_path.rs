//! P1 and P2: the engine's hit path beside testpmd's 5tswap on the same memif device.
//!
//! In each round both stand on the same core in turn, with the same generator at the other end, so
//! that a slow spell of the machine meets both. P2's floor adds a bulk look-up in DPDK's own hash
//! table, measured in between on the same core.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use capsule::{CpuId, Eal, Lcore, Memory, ReferenceHash, cycles};
use serde::Serialize;

use crate::child::{Counts, Process, Role};
use crate::floor::{self, Testpmd};
use crate::priority::Priority;
use crate::window::{Sifted, Window, median, sift};

/// Numbers of flows.
pub const FLOWS: [u32; 3] = [4 << 10, 64 << 10, 1 << 20];
/// Windows in each visit.
const WINDOWS: usize = 6;
const WINDOW: Duration = Duration::from_millis(200);
const WARM_UP: Duration = Duration::from_millis(300);
/// Keys of one bulk look-up.
const BULK: usize = 32;
/// Core of the device under test, and of its generator.
const CORES: (u16, u16) = (1, 0);

/// Both variants at one number of flows.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// Flows.
    pub flows: u32,
    /// The engine.
    pub ours: Sifted,
    /// testpmd 5tswap.
    pub floor: Sifted,
    /// Ratio of the medians.
    pub ratio: f64,
    /// Ratios of the windows to the floor's median.
    pub runs: Vec<f64>,
}

/// All of P1 and P2.
#[derive(Clone, Debug, Serialize)]
pub struct HitPath {
    /// By number of flows.
    pub pairs: Vec<Pair>,
    /// Cycles of a look-up in rte_hash in bulks of 32 at 1 Mi entries, median of the rounds.
    pub bulk_cycles: f64,
    /// Frames that came back and were checked.
    pub checked: u64,
}

/// Runs everything, both variants `rounds` times at each number of flows; logs go into `folder`.
///
/// # Errors
///
/// If a part does not run, a frame comes back wrong or a packet is dropped.
pub fn run(folder: &Path, rounds: usize, say: &mut dyn FnMut(&str)) -> Result<HitPath> {
    let _priority = Priority::raise();
    let mut pairs = Vec::new();
    let mut bulks = Vec::new();
    let mut checked = 0;
    for flows in FLOWS {
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let name = format!("{flows}-{round}");
            floor.extend(visit_floor(folder, &name, flows)?);
            let (windows, frames) = visit_engine(folder, &name, flows)?;
            ours.extend(windows);
            checked += frames;
            if flows == 1 << 20 {
                bulks.push(bulk_in_child()?);
            }
        }
        let ours = sift(&ours).context("windows")?;
        let floor = sift(&floor).context("windows")?;
        let ratio = ours.cycles / floor.cycles;
        say(&format!(
            "{flows:>8} flows: {:.0} cycles a packet ({:.1} Mpps), 5tswap {:.0} ({:.1} Mpps): \
             {ratio:.2}{}",
            ours.cycles,
            ours.mpps,
            floor.cycles,
            floor.mpps,
            if ours.is_disturbed || floor.is_disturbed { " (busy machine)" } else { "" }
        ));
        let runs = ours.runs.iter().map(|cycles| cycles / floor.cycles).collect();
        pairs.push(Pair { flows, ours, floor, ratio, runs });
    }
    let bulk_cycles = median(&bulks).context("windows")?;
    say(&format!("rte_hash bulk look-up at 1 Mi entries: {bulk_cycles:.0} cycles a key"));
    Ok(HitPath { pairs, bulk_cycles, checked })
}

fn visit_engine(folder: &Path, name: &str, flows: u32) -> Result<(Vec<Window>, u64)> {
    let socket = format!("spk-bench-{}-e{name}", std::process::id());
    let (core, other) = CORES;
    let log = folder.join(format!("engine-{name}.log"));
    let mut engine = Process::role(Role::Engine, &socket, core, flows, &log)?;
    let log = folder.join(format!("generator-{name}.log"));
    let mut generator = Process::role(Role::Generator, &socket, other, flows, &log)?;
    std::thread::sleep(WARM_UP);
    let mut windows = Vec::new();
    for _ in 0..WINDOWS {
        let cpu = |engine: &Process, generator: &Process| -> Result<[Duration; 2]> {
            Ok([engine.cpu("lcore-")?, generator.cpu("lcore-")?])
        };
        let begun = (Instant::now(), engine.counts()?, cpu(&engine, &generator)?);
        std::thread::sleep(WINDOW);
        let ended = (Instant::now(), engine.counts()?, cpu(&engine, &generator)?);
        windows.extend(window(begun, ended));
    }
    let (ours, back) = (engine.counts()?, generator.counts()?);
    // A client first: it may die with its server.
    generator.end();
    engine.end();
    let drops = ours.drops;
    ensure!(drops == 0, "{drops} packets dropped at {flows} flows: see engine-{name}.log");
    ensure!(back.checked > 0 && back.wrong == 0, "{} of {} frames wrong", back.wrong, back.checked);
    Ok((windows, back.checked))
}

fn visit_floor(folder: &Path, name: &str, flows: u32) -> Result<Vec<Window>> {
    let socket = format!("spk-bench-{}-t{name}", std::process::id());
    let (core, other) = CORES;
    let mut testpmd =
        Testpmd::start(&socket, core, other, &folder.join(format!("testpmd-{name}.log")))?;
    let log = folder.join(format!("generator-t{name}.log"));
    let generator = Process::role(Role::Generator, &socket, other, flows, &log)?;
    std::thread::sleep(WARM_UP);
    let mut windows = Vec::new();
    for _ in 0..WINDOWS {
        let cpu = |testpmd: &Testpmd, generator: &Process| -> Result<[Duration; 2]> {
            Ok([testpmd.process().cpu(floor::THREAD)?, generator.cpu("lcore-")?])
        };
        let begun = (Instant::now(), testpmd.counts()?, cpu(&testpmd, &generator)?);
        std::thread::sleep(WINDOW);
        let ended = (Instant::now(), testpmd.counts()?, cpu(&testpmd, &generator)?);
        windows.extend(window(begun, ended));
    }
    generator.end();
    testpmd.end();
    Ok(windows)
}

/// One window from what was read at its ends; none if no packet passed.
fn window(
    (begun, before, cpu_before): (Instant, Counts, [Duration; 2]),
    (ended, after, cpu_after): (Instant, Counts, [Duration; 2]),
) -> Option<Window> {
    let wall = (ended - begun).as_secs_f64();
    let packets = after.packets.checked_sub(before.packets).filter(|packets| *packets > 0)?;
    let busy = after.busy_cycles.checked_sub(before.busy_cycles)?;
    let share = |n: usize| cpu_after[n].saturating_sub(cpu_before[n]).as_secs_f64() / wall;
    Some(Window {
        cycles: busy as f64 / packets as f64,
        mpps: packets as f64 / wall / 1e6,
        share: share(0).min(share(1)),
    })
}

fn bulk_in_child() -> Result<f64> {
    let output = std::process::Command::new(std::env::current_exe()?).arg("bulk").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| {
        format!("bulk look-up: {text} {}", String::from_utf8_lossy(&output.stderr))
    })
}

/// Cycles a key of bulk look-ups in a table of 1 Mi entries, all hits, in random order: the median
/// of 15 windows. Starts an environment.
///
/// # Errors
///
/// If there is no memory for the table.
pub fn bulk() -> Result<f64> {
    let entries = 1_u32 << 20;
    let core = CpuId(CORES.0);
    let eal = Eal::builder().cores(&[core]).memory(Memory::InMemory).memory_mib(256).init()?;
    let mut table = ReferenceHash::new(&eal, "floor", entries + entries / 4)?;
    let key = |n: u32| {
        let mut key = [0; 16];
        key[..4].copy_from_slice(&n.to_be_bytes());
        key[4..8].copy_from_slice(&[192, 0, 2, 1]);
        key[8..12].copy_from_slice(&0x1388_07d0_u32.to_be_bytes());
        key
    };
    for n in 0..entries {
        table.insert(&key(n), n as usize)?;
    }
    let measured = Lcore::spawn(&eal, core, move || {
        let mut draw = crate::traffic::Draw::new(entries, 5);
        let mut values = [0; ReferenceHash::BULK];
        let mut found = 0_u64;
        // Keys lie ready, as they would after parsing a burst.
        let bursts: Vec<[[u8; 16]; BULK]> =
            (0..4096).map(|_| std::array::from_fn(|_| key(draw.next_leg().flow))).collect();
        let windows: Vec<f64> = (0..15)
            .map(|_| {
                let begin = cycles();
                for keys in &bursts {
                    found += u64::from(table.lookup_bulk(keys, &mut values));
                }
                cycles().wrapping_sub(begin) as f64 / (bursts.len() * BULK) as f64
            })
            .collect();
        // The same keys in each window: the table is far larger than the caches.
        (windows, found == 15 * (bursts.len() * BULK) as u64)
    })?
    .join()?;
    ensure!(measured.1, "a key was not found");
    median(&measured.0).context("windows")
}
