//! The tables as Prometheus metrics: the same numbers under `f5_<table>_<column>`.
//!
//! Text columns are labels, so their values come from closed sets or from names of objects.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use spk_serving::probes;
use spk_serving::tls::{CertificateMetrics, Tls};
use tmm_rpc::proto::{GateReply, GateState, Table, cell};

/// What one scrape shows.
#[derive(Debug)]
pub struct Scrape {
    /// The tables.
    pub tables: Vec<Table>,
    /// The gate.
    pub gate: GateReply,
    /// How often a latched gate was asked to close.
    pub latched_ignored: u64,
    /// Generation of the snapshot in force.
    pub generation: u64,
    /// The identity of port 8750.
    pub tls: Tls,
}

/// The scrape in the text form of OpenMetrics.
#[must_use]
pub fn text(scrape: Scrape) -> String {
    let mut registry = Registry::default();
    let own = registry.sub_registry_with_prefix("spk");
    CertificateMetrics::register(own, vec![scrape.tls.clone()]);
    registry.register_collector(Box::new(scrape));
    probes::metrics_text(&registry)
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for table in &self.tables {
            for (place, column) in table.columns.iter().enumerate() {
                encode_column(&mut encoder, table, place, column)?;
            }
        }
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let open = u64::from(self.gate.gate != GateState::Closed as i32);
        gauge("spk_license_gate_open", "Whether the gate is open", open)?;
        gauge(
            "spk_license_lease_remaining_seconds",
            "Time until the gate closes by itself",
            self.gate.deadline_ms / 1000,
        )?;
        gauge(
            "spk_config_generation",
            "Generation of the snapshot in force; 0 is none",
            self.generation,
        )?;
        let ignored = ConstCounter::new(self.latched_ignored);
        let help = "How often a latched gate was asked to close";
        let name = "spk_license_latched_ignored";
        ignored.encode(encoder.encode_descriptor(name, help, None, ignored.metric_type())?)
    }
}

/// One numeric column: a family with the text columns as labels.
fn encode_column(
    encoder: &mut DescriptorEncoder<'_>,
    table: &Table,
    place: usize,
    column: &str,
) -> fmt::Result {
    let numbers =
        table.rows.iter().filter_map(|row| match row.cells.get(place)?.value.as_ref()? {
            cell::Value::Number(number) => Some((row, *number)),
            cell::Value::Text(_) => None,
        });
    let mut numbers = numbers.peekable();
    if numbers.peek().is_none() {
        return Ok(());
    }
    let name = format!("f5_{}_{}", table.name.trim_end_matches("_stat"), column.replace('.', "_"));
    let help = format!("Column {column} of table {}", table.name);
    let is_gauge = GAUGES.contains(&column);
    let kind = if is_gauge {
        ConstGauge::<i64>::new(0).metric_type()
    } else {
        ConstCounter::<u64>::new(0).metric_type()
    };
    let mut family = encoder.encode_descriptor(&name, &help, None, kind)?;
    for (row, number) in numbers {
        let labels: Vec<(String, String)> = table
            .columns
            .iter()
            .zip(&row.cells)
            .filter_map(|(label, cell)| match cell.value.as_ref()? {
                cell::Value::Text(text) if !STATES.contains(&label.as_str()) => {
                    Some((label.replace('.', "_"), text.clone()))
                }
                cell::Value::Text(_) | cell::Value::Number(_) => None,
            })
            .collect();
        let metric = family.encode_family(&labels)?;
        if is_gauge {
            ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX)).encode(metric)?;
        } else {
            ConstCounter::new(number).encode(metric)?;
        }
    }
    Ok(())
}

/// Columns of text that changes: no labels, as each change would begin another series.
const STATES: [&str; 2] = ["link", "monitor_status"];
/// Columns that also fall.
const GAUGES: [&str; 11] = [
    "members_up",
    "members_total",
    "memory_total",
    "client_side_traffic.cur_conns",
    "clientside.cur_conns",
    "clientside.max_conns",
    "serverside.cur_conns",
    "serverside.max_conns",
    "flow_capacity",
    "cycles_per_pkt",
    "status_since",
];
