//! What `/healthz`, `/readyz` and `/metrics` show.
//!
//! Ready: every packet thread lives, port 8750 has its certificate and a configuration runs.
//! Healthy: every packet thread lives. Sources: operations.md §1.2 (N17), §1.5 (OPS-160), §1.6
//! (OPS-175).

use std::sync::Arc;

use spk_serving::probes;
use spk_serving::tls::Tls;

use crate::clock;
use crate::control::collector::Latest;
use crate::control::gatekeeper::GateHandle;
use crate::control::metrics::{self, Scrape};
use crate::control::tables;
use crate::shared::{Life, Shared};

/// What the pages show.
#[derive(Debug)]
pub struct Pages {
    /// The shared words.
    pub shared: Arc<Shared>,
    /// The newest copies.
    pub latest: Latest,
    /// The gate.
    pub gate: GateHandle,
    /// The identity of port 8750.
    pub tls: Tls,
}

impl probes::Pages for Pages {
    /// Whether every packet thread told something within 2 s.
    fn not_healthy(&self) -> Option<String> {
        let now = clock::boot();
        let fresh = self.latest.read(|readings| {
            readings.threads.iter().all(|sample| now.since(sample.at).0 < 2_000_000_000)
        });
        (!fresh).then(|| String::from("a packet thread does not answer"))
    }

    fn not_ready(&self) -> Option<String> {
        if self.shared.life() != Life::Running {
            return Some(String::from("draining"));
        }
        if let Some(missing) = self.tls.not_ready() {
            return Some(missing);
        }
        let none = self.shared.config.load().spec_generation() == 0;
        none.then(|| String::from("no configuration"))
    }

    fn metrics(&self) -> String {
        let config = self.shared.config.load_full();
        metrics::text(Scrape {
            tables: self.latest.read(|readings| tables::all(readings, &config)),
            gate: self.gate.now(),
            latched_ignored: self.gate.latched_ignored(),
            generation: config.spec_generation(),
            tls: self.tls.clone(),
        })
    }
}
