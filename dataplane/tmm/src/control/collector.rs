//! Collects what packet threads tell: facts at once, counters ten times a second, links.
//!
//! The only reader of the threads' rings. Invariant: what it publishes is whole copies; nobody waits
//! for a packet thread (OPS-703).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use capsule::{Port, PortStats};
use tmm_engine::Event;
use tmm_wire::PortId;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::control::applier::Message;
use crate::ports;
use crate::sample::{Sample, SampleSink};
use crate::shared::Shared;

/// The newest copies, for readers.
#[derive(Clone, Debug)]
pub struct Latest(Arc<Mutex<Readings>>);

/// What was read last.
#[derive(Debug)]
pub struct Readings {
    /// One a packet thread.
    pub threads: Vec<Sample>,
    /// What the devices count, and their links.
    pub ports: Vec<PortReading>,
}

/// What a device says.
#[derive(Clone, Copy, Debug)]
pub struct PortReading {
    /// The port.
    pub id: PortId,
    /// Its counters.
    pub stats: PortStats,
    /// Whether its link is up.
    pub up: bool,
}

impl Latest {
    /// Reads under a lock that packet threads never take.
    pub fn read<T>(&self, read: impl FnOnce(&Readings) -> T) -> T {
        // A reader that panicked left whole values.
        let readings = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        read(&readings)
    }

    fn write(&self, write: impl FnOnce(&mut Readings)) {
        let mut readings = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        write(&mut readings);
    }
}

/// The task.
#[derive(Debug)]
pub struct Collector {
    samples: Vec<SampleSink>,
    events: Vec<rtrb::Consumer<Event>>,
    ports: Vec<(PortId, Port)>,
    latest: Latest,
    applier: mpsc::Sender<Message>,
    shared: Arc<Shared>,
}

impl Collector {
    /// A collector of these rings and ports.
    #[must_use]
    pub fn new(
        samples: Vec<SampleSink>,
        events: Vec<rtrb::Consumer<Event>>,
        ports: Vec<(PortId, Port)>,
        port_places: usize,
        applier: mpsc::Sender<Message>,
        shared: Arc<Shared>,
    ) -> (Self, Latest) {
        let threads = samples.iter().map(|_| Sample::new(port_places)).collect();
        let latest = Latest(Arc::new(Mutex::new(Readings { threads, ports: Vec::new() })));
        (Self { samples, events, ports, latest: latest.clone(), applier, shared }, latest)
    }

    /// Collects until the applier is gone or `stop` resolves; gives the ports back.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Vec<(PortId, Port)> {
        let mut facts = interval(FACTS_EVERY);
        facts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut links = interval(LINKS_EVERY);
        links.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            let message = tokio::select! {
                () = &mut stop => return self.ports,
                _ = facts.tick() => self.take(),
                _ = links.tick() => Some(self.look_at_ports()),
            };
            let Some(message) = message else { continue };
            if self.applier.send(message).await.is_err() {
                return self.ports;
            }
        }
    }

    fn take(&mut self) -> Option<Message> {
        let config = self.shared.config.load();
        let samples = &mut self.samples;
        self.latest.write(|readings| {
            for (sink, last) in samples.iter_mut().zip(&mut readings.threads) {
                sink.newest(last, &config);
            }
        });
        let mut events = Vec::new();
        for ring in &mut self.events {
            while let Ok(event) = ring.pop() {
                events.push(event);
            }
        }
        (!events.is_empty()).then_some(Message::Events(events))
    }

    fn look_at_ports(&self) -> Message {
        let mut readings = Vec::new();
        let mut links = Vec::new();
        for (id, port) in &self.ports {
            let facts = ports::facts(port);
            links.push((*id, facts));
            let stats = port.stats().unwrap_or_default();
            readings.push(PortReading { id: *id, stats, up: facts.link_up });
        }
        self.latest.write(|latest| latest.ports = readings);
        Message::Links(links)
    }
}

/// Time between two looks at the threads' rings.
const FACTS_EVERY: Duration = Duration::from_millis(10);
/// Time between two looks at links and devices.
const LINKS_EVERY: Duration = Duration::from_millis(100);
