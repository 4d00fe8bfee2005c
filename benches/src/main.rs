//! `make bench`: prints each ratio beside its goal and writes `target/bench/results.json`.
//!
//! Without a role it runs everything; with one it is a process of such a run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::{Map, Value, json};
use spk_benches::child::{self, Role};
use spk_benches::report::{self, Figure};
use spk_benches::{hit_path, instructions, maglev, memory, throughput};

#[global_allocator]
static ALLOCATOR: capsule::CountingAllocator = capsule::CountingAllocator;

/// Speed of the data plane beside its floors.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Part>,
    /// Where results and logs go.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Only these parts, such as P4; all by default.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of P1 and P2.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Processes of a run.
#[derive(Debug, Subcommand)]
enum Part {
    /// The engine on a memif device.
    #[command(hide = true)]
    Engine(Ends),
    /// The generator at its other end.
    #[command(hide = true)]
    Generator(Ends),
    /// Bulk look-ups in DPDK's hash table.
    #[command(hide = true)]
    Bulk,
    /// Bursts over rings, for callgrind.
    #[command(hide = true)]
    Bursts {
        /// How many.
        #[arg(long)]
        bursts: u64,
    },
    /// Memory of a million sessions.
    #[command(hide = true)]
    Sessions {
        /// IPv6 ones.
        #[arg(long)]
        v6: bool,
    },
}

/// Where a process of a memif run stands.
#[derive(Debug, clap::Args)]
struct Ends {
    #[arg(long)]
    socket: String,
    #[arg(long)]
    core: u16,
    #[arg(long)]
    flows: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.role {
        None => run(&arguments),
        Some(Part::Engine(ends)) => child::serve(Role::Engine, &ends.socket, ends.core, ends.flows),
        Some(Part::Generator(ends)) => {
            child::serve(Role::Generator, &ends.socket, ends.core, ends.flows)
        }
        Some(Part::Bulk) => hit_path::bulk().map(|cycles| println!("{cycles}")),
        Some(Part::Bursts { bursts }) => instructions::bursts(*bursts),
        Some(Part::Sessions { v6 }) => memory::weigh(*v6)
            .and_then(|weight| Ok(serde_json::to_string(&weight)?))
            .map(|text| println!("{text}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spk-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the parts; one that cannot run is named and fails the run, a slow one does not.
fn run(arguments: &Arguments) -> Result<()> {
    std::fs::create_dir_all(&arguments.folder)?;
    let begun = Instant::now();
    let mut figures = Vec::new();
    let mut failed = Vec::new();
    type Job = fn(&Arguments) -> Result<Vec<Figure>>;
    let jobs: [(&str, Job); 5] = [
        ("P1", |arguments| hit_path_figures(arguments)),
        ("P4", |arguments| Ok(vec![instruction_figure(arguments)?])),
        ("P6", |_| Ok(vec![memory_figure()?])),
        ("OPS-1217", |_| Ok(vec![maglev_figure()?])),
        ("P8", |arguments| Ok(throughput_figure(arguments)?.into_iter().collect())),
    ];
    for (name, job) in jobs {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name) {
            continue;
        }
        println!("== {name}");
        match job(arguments) {
            Ok(mut more) => figures.append(&mut more),
            Err(error) => {
                println!("{name} did not run: {error:#}");
                failed.push(name);
            }
        }
    }
    let path = report::write(&arguments.folder, &figures)?;
    println!("\n{}", report::table(&figures));
    println!("{:.0} s; {}", begun.elapsed().as_secs_f64(), path.display());
    anyhow::ensure!(failed.is_empty(), "did not run: {}", failed.join(", "));
    Ok(())
}

fn hit_path_figures(arguments: &Arguments) -> Result<Vec<Figure>> {
    let result =
        hit_path::run(&arguments.folder, arguments.rounds, &mut |line| println!("{line}"))?;
    println!("{} translated frames checked, none wrong", result.checked);
    let [few, many, most] = [0, 1, 2].map(|index| &result.pairs[index]);
    let floor = most.floor.cycles + result.bulk_cycles;
    Ok(vec![
        Figure {
            id: "P1",
            what: "cycles of a hit on memif, 64 Ki flows, to testpmd 5tswap".to_owned(),
            goal: 1.5,
            less_is_better: true,
            value: many.ratio,
            runs: many.runs.clone(),
            more: object(json!({ "4Ki": few, "64Ki": many })),
        },
        Figure {
            id: "P2",
            what: "the same at 1 Mi flows, to 5tswap + rte_hash bulk look-up".to_owned(),
            goal: 1.0,
            less_is_better: true,
            value: most.ours.cycles / floor,
            runs: most.ours.runs.iter().map(|cycles| cycles / floor).collect(),
            more: object(json!({ "1Mi": most, "bulkCycles": result.bulk_cycles })),
        },
    ])
}

fn instruction_figure(arguments: &Arguments) -> Result<Figure> {
    let counted = instructions::run(&arguments.folder)?;
    println!("{:.1} instructions a packet", counted.per_packet);
    Ok(Figure {
        id: "P4",
        what: "instructions a packet of a hit, ring and timers included".to_owned(),
        goal: 250.0,
        less_is_better: true,
        value: counted.per_packet,
        runs: vec![counted.per_packet],
        more: Map::new(),
    })
}

fn memory_figure() -> Result<Figure> {
    let [v4, v6] = [memory::in_child(false)?, memory::in_child(true)?];
    for (family, weight) in [("IPv4", v4), ("IPv6", v6)] {
        println!(
            "{family}: {:.1} bytes a session by account, {:.1} resident, {} allocations",
            weight.accounted, weight.resident, weight.allocations
        );
    }
    anyhow::ensure!(v4.allocations + v6.allocations == 0, "a packet allocated");
    Ok(Figure {
        id: "P6",
        what: "bytes a session at 1 Mi, both directions, IPv4".to_owned(),
        goal: 160.0,
        less_is_better: true,
        value: v4.accounted.max(v4.resident),
        runs: vec![v4.accounted, v4.resident],
        more: object(json!({
            "v6": v6.accounted.max(v6.resident), "v6Goal": 224, "accounts": { "v4": v4, "v6": v6 },
        })),
    })
}

fn maglev_figure() -> Result<Figure> {
    let tables = maglev::run()?;
    for table in &tables {
        println!(
            "{} members: {:.2} ms, slots {:.3} to {:.3} of the mean, {:.3} % of others move",
            table.members, table.build_ms, table.fewest, table.most, table.disruption_percent
        );
    }
    let value = tables.last().map_or(f64::NAN, |table| table.build_ms);
    Ok(Figure {
        id: "OPS-1217",
        what: "milliseconds to build a Maglev table of 1,000 members".to_owned(),
        goal: 1.8,
        less_is_better: true,
        value,
        runs: vec![value],
        more: object(json!({ "tables": tables })),
    })
}

fn throughput_figure(arguments: &Arguments) -> Result<Option<Figure>> {
    let Some(result) = throughput::run(&arguments.folder)? else { return Ok(None) };
    println!("iperf3 {:.0} Mbit/s, testpmd io {:.0}", result.ours_mbps, result.floor_mbps);
    Ok(Some(Figure {
        id: "P8",
        what: "iperf3 TCP through tmm on af_xdp, MTU 1500, to testpmd io".to_owned(),
        goal: 0.9,
        less_is_better: false,
        value: result.ratio,
        runs: result.runs,
        more: object(json!({
            "oursMbps": result.ours_mbps, "floorMbps": result.floor_mbps,
        })),
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
