//! The demonstration: the whole thing on one machine, for people.
//!
//! Owns the order of steps, what is shown and what is written to `target/demo/report.json`. The
//! steps themselves are in the modules below; the rig does the work.

pub mod change;
pub mod keep;
pub mod report;
pub mod screen;
pub mod stage;
pub mod traffic;

use std::{fs, path::PathBuf};

use anyhow::Result;
use netlab::{machine, registry};

use crate::{plan, programs::root};
use report::Report;
use screen::Screen;
use stage::Stage;

/// What the names of the demo's namespaces begin with.
pub const PREFIX: &str = "spk-demo";

/// Where the demo writes: logs and the report stay, the rest is removed.
pub fn folder() -> PathBuf {
    root().join("target/demo")
}

/// One thing that is shown.
struct Step {
    /// Name in the report.
    name: &'static str,
    /// What happens, in a few words.
    title: &'static str,
    /// What to do if it fails.
    fix: &'static str,
    /// Does it.
    run: fn(&mut Stage) -> Result<Outcome>,
}

/// What came out of a step.
#[derive(Debug)]
pub struct Outcome {
    /// One line for people.
    pub text: String,
    /// Sentences printed under it.
    pub notes: Vec<String>,
    /// Numbers for the report.
    pub figures: serde_json::Map<String, serde_json::Value>,
}

impl Outcome {
    /// An outcome told in one line.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), notes: Vec::new(), figures: serde_json::Map::new() }
    }

    /// Adds a number.
    #[must_use]
    pub fn figure(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.figures.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a sentence.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }
}

const STEPS: &[Step] = &[
    Step {
        name: "tcp-spread",
        title: "curl the VIP nine times: which member answers?",
        fix: "read target/demo/run/resources/*.status.yaml",
        run: traffic::tcp_spread,
    },
    Step {
        name: "tcp-keepalive",
        title: "keep-alive HTTP load over 24 connections",
        fix: "see the drops below and target/demo/log/nginx-*.log",
        run: traffic::tcp_keepalive,
    },
    Step {
        name: "tcp-iperf3",
        title: "iperf3 through the VIP, through testpmd, over a bare link",
        fix: "free the cores of other load, then repeat",
        run: traffic::tcp_iperf,
    },
    Step {
        name: "udp-echo",
        title: "UDP echo through the VIP",
        fix: "see target/demo/log/udp-*.log",
        run: traffic::udp_echo,
    },
    Step {
        name: "udp-iperf3",
        title: "iperf3 UDP, 100 Mbit/s offered",
        fix: "free the cores of other load, then repeat",
        run: traffic::udp_iperf,
    },
    Step {
        name: "sctp-association",
        title: "an SCTP association (usrsctp) through F5SPKIngressNGAP",
        fix: "see target/demo/log/sctp-*.log",
        run: traffic::sctp,
    },
    Step {
        name: "ipv6-tcp",
        title: "the same over IPv6: HTTP",
        fix: "check that the kernel has IPv6 (net.ipv6.conf.all.disable_ipv6 = 0)",
        run: traffic::ipv6_tcp,
    },
    Step {
        name: "ipv6-udp",
        title: "the same over IPv6: UDP echo",
        fix: "see target/demo/log/udp-*.log",
        run: traffic::ipv6_udp,
    },
    Step {
        name: "ipv6-sctp",
        title: "the same over IPv6: SCTP",
        fix: "see target/demo/log/sctp-*.log",
        run: traffic::ipv6_sctp,
    },
    Step {
        name: "egress-source",
        title: "a server calls the world: which source does the world see?",
        fix: "read the status of the F5SPKEgress in target/demo/run/resources",
        run: traffic::egress,
    },
    Step {
        name: "churn-member",
        title: "server 3 is scaled away and comes back under load",
        fix: "read the status of web in target/demo/run/resources",
        run: change::churn,
    },
    Step {
        name: "lease-blocked",
        title: "the trial is blocked under load, and comes back",
        fix: "see target/demo/log/cwc.log and events.jsonl",
        run: change::blocked,
    },
];

/// Runs the demo; `keep` leaves the lab running afterwards. Returns whether all steps passed.
///
/// # Errors
///
/// If the machine cannot run it or the lab cannot be built.
pub fn run(keep: bool) -> Result<bool> {
    let screen = Screen::new();
    machine::check()?;
    machine::reserve_huge_pages(200)?;
    registry::remove_stale();
    registry::remove_kept(PREFIX);
    let _ = fs::remove_dir_all(folder());
    fs::create_dir_all(folder())?;
    screen.say(plan::PICTURE);
    let mut report = Report::default();
    let mut stage = match screen.work("build", "network, spk-node, samples", Stage::build) {
        Ok(stage) => stage,
        Err(error) => {
            screen.failed("build", &format!("{error:#}"), "make setup, then repeat", None);
            report.add("build", false, &Outcome::new(format!("{error:#}")));
            report.write(&folder())?;
            remove_files();
            return Ok(false);
        }
    };
    for line in stage.take_commands() {
        screen.say(&format!("    $ {line}"));
    }
    let mut failed = None;
    for step in STEPS {
        match screen.work(step.name, step.title, || (step.run)(&mut stage)) {
            Ok(outcome) => {
                screen.passed(step.name, &outcome);
                report.add(step.name, true, &outcome);
            }
            Err(error) => {
                let log = stage.last_words();
                screen.failed(step.name, &format!("{error:#}"), step.fix, Some(&log));
                report.add(step.name, false, &Outcome::new(format!("{error:#}")));
                failed.get_or_insert(step.name);
            }
        }
    }
    match stage.tables() {
        Ok(tables) => {
            screen.say(&report::table(&tables));
            report.count(&tables);
        }
        Err(error) => {
            screen.failed("counters", &format!("{error:#}"), "see target/demo/log", None);
            failed.get_or_insert("counters");
        }
    }
    report.write(&folder())?;
    screen.say(&report::outlook());
    if keep {
        screen.say(&keep::instructions(&stage));
        stage.keep()?;
    } else {
        stage.save_logs();
        drop(stage);
        remove_files();
        screen.say("All namespaces, processes and files of the demo are removed; logs and report are in target/demo.");
    }
    if let Some(step) = failed {
        screen.say(&format!("FAILED: {step}"));
    }
    Ok(failed.is_none())
}

/// Removes a lab that `KEEP=1` left.
pub fn stop() {
    let names = registry::remove_kept(PREFIX);
    remove_files();
    println!(
        "removed: {}",
        if names.is_empty() { "nothing was kept".into() } else { names.join(" ") }
    );
}

/// Removes what the running demo made, from a signal's thread.
pub fn abandon() {
    registry::remove_own();
    remove_files();
}

fn remove_files() {
    // Absent is as good as removed.
    let _ = fs::remove_dir_all(folder().join("run"));
}
