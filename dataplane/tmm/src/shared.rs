//! What packet threads and the control side share: the gate, the configuration, one word of
//! life, and how far each thread is.
//!
//! Invariant: the control side holds every configuration that a thread may still use, so a thread
//! never frees one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use arc_swap::ArcSwap;
use tmm_config::{Config, Gate};

/// What a process is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Life {
    /// Serving.
    Running = 0,
    /// Serving old flows only.
    Draining = 1,
    /// Threads end.
    Ending = 2,
}

/// The shared words.
#[derive(Debug)]
pub struct Shared {
    /// Closed until the enforcer opens it (LIC-800).
    pub gate: Gate,
    /// The configuration in force.
    pub config: ArcSwap<Config>,
    life: AtomicU8,
    /// Generation that each thread took.
    taken: Vec<AtomicU32>,
}

impl Shared {
    /// A closed gate and an empty configuration for `workers` threads.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            gate: Gate::closed(),
            config: ArcSwap::new(Arc::new(Config::default())),
            life: AtomicU8::new(Life::Running as u8),
            taken: (0..workers).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// What the process is doing.
    #[must_use]
    pub fn life(&self) -> Life {
        match self.life.load(Ordering::Relaxed) {
            0 => Life::Running,
            1 => Life::Draining,
            _ => Life::Ending,
        }
    }

    /// Tells the threads what the process is doing.
    pub fn set_life(&self, life: Life) {
        self.life.store(life as u8, Ordering::Relaxed);
    }

    /// Thread `worker` took `generation` and holds no earlier configuration any more.
    pub fn take(&self, worker: usize, generation: u32) {
        if let Some(taken) = self.taken.get(worker) {
            taken.store(generation, Ordering::Release);
        }
    }

    /// The generation that every thread took at least.
    #[must_use]
    pub fn taken_by_all(&self) -> u32 {
        self.taken.iter().map(|taken| taken.load(Ordering::Acquire)).min().unwrap_or(0)
    }
}
