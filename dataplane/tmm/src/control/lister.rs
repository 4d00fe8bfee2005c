//! Asks packet threads for flows and puts their answers together.
//!
//! One listing at a time; the others wait their turn.

use std::sync::Arc;
use std::time::Duration;

use tmm_config::Config;
use tmm_engine::flows::FlowRow;
use tmm_rpc::proto::{Flow, FlowsReply};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::flow_listing::{FlowFilter, FlowPage};

/// The rings to and from one packet thread.
#[derive(Debug)]
pub struct FlowLine {
    /// Pages to fill.
    pub ask: rtrb::Producer<Box<FlowPage>>,
    /// Pages that are done.
    pub answer: rtrb::Consumer<Box<FlowPage>>,
}

/// All packet threads' rings.
#[derive(Clone, Debug)]
pub struct Lister(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    lines: Vec<FlowLine>,
    number: u64,
}

/// A packet thread does not answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a packet thread does not list its flows")]
pub struct NoAnswer;

impl Lister {
    /// Lists by these rings.
    #[must_use]
    pub fn new(lines: Vec<FlowLine>) -> Self {
        Self(Arc::new(Mutex::new(State { lines, number: 0 })))
    }

    /// At most `limit` flows that `filter` takes; their names are those of `config`.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`] after 2 s.
    pub async fn list(
        &self,
        filter: FlowFilter,
        limit: usize,
        config: &Config,
    ) -> Result<FlowsReply, NoAnswer> {
        let mut state = self.0.lock().await;
        state.number += 1;
        let number = state.number;
        for line in &mut state.lines {
            // Of listings that were given up; their room is needed.
            while line.answer.pop().is_ok() {}
        }
        for line in &mut state.lines {
            // A thread that still has earlier pages answers none of them in time either.
            line.ask.push(Box::new(FlowPage::new(number, filter, limit))).map_err(|_| NoAnswer)?;
        }
        let end = Instant::now() + PATIENCE;
        let mut reply = FlowsReply::default();
        for (worker, line) in state.lines.iter_mut().enumerate() {
            let page = loop {
                match line.answer.pop() {
                    Ok(page) if page.number == number => break page,
                    Ok(_) => {}
                    Err(_) if Instant::now() > end => return Err(NoAnswer),
                    Err(_) => sleep(Duration::from_millis(1)).await,
                }
            };
            reply.truncated |= page.is_full;
            let worker = u32::try_from(worker).unwrap_or(u32::MAX);
            reply.flows.extend(page.rows.iter().map(|row| flow(row, worker, config)));
        }
        reply.truncated |= reply.flows.len() > limit;
        reply.flows.truncate(limit);
        Ok(reply)
    }
}

fn flow(row: &FlowRow, worker: u32, config: &Config) -> Flow {
    let end = |(address, port): (std::net::IpAddr, u16)| {
        std::net::SocketAddr::new(address, port).to_string()
    };
    let listener = row
        .listener
        .and_then(|slot| config.listener(slot))
        .map(|listener| listener.name.clone())
        .or_else(|| row.egress.and_then(|slot| config.egress(slot)).map(|it| it.name.clone()));
    Flow {
        protocol: protocol_name(row.protocol).to_owned(),
        client: end(row.client),
        vip: end(row.asked),
        snat: end(row.source),
        member: end(row.server),
        listener: listener.unwrap_or_default(),
        state: row.state.name().to_owned(),
        age_ms: u64::from(row.age_seconds) * 1000,
        idle_ms: u64::from(row.idle_seconds) * 1000,
        client_packets: row.volume.packets[0],
        client_bytes: row.volume.bytes[0],
        server_packets: row.volume.packets[1],
        server_bytes: row.volume.bytes[1],
        worker,
    }
}

/// IANA protocol numbers of flows.
const fn protocol_name(number: u8) -> &'static str {
    match number {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        58 => "icmp6",
        132 => "sctp",
        _ => "ip",
    }
}

/// How long packet threads may take for a listing.
const PATIENCE: Duration = Duration::from_secs(2);
