//! The tables of operations.md §7.1, made from the newest copies.
//!
//! Owns names and columns. Every counter is the sum over packet threads.

use tmm_config::Config;
use tmm_engine::DropReason;
use tmm_rpc::proto::{Cell, Row, Table};
use tmm_wire::PortId;

use crate::control::collector::Readings;
use crate::sample::Sample;

/// All tables, in the order of operations.md §7.1.
#[must_use]
pub fn all(readings: &Readings, config: &Config) -> Vec<Table> {
    vec![
        pool_stat(config),
        tmm_stat(readings),
        interface_stat(readings),
        vlan_stat(readings, config),
        drop_stat(readings),
        packet_stat(readings),
    ]
}

fn sum(readings: &Readings, of: impl Fn(&Sample) -> u64) -> u64 {
    readings.threads.iter().map(|sample| of(sample)).sum()
}

fn table(name: &str, columns: &[&str], rows: Vec<Vec<Cell>>) -> Table {
    Table {
        name: name.to_owned(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        rows: rows.into_iter().map(|cells| Row { cells }).collect(),
    }
}

fn pool_stat(config: &Config) -> Table {
    let rows = config.pools().map(|pool| {
        let up = pool.eligible.len();
        vec![
            Cell::text(&pool.name),
            Cell::number(up as u64),
            Cell::number(pool.members.len() as u64),
        ]
    });
    table("pool_stat", &["name", "members_up", "members_total"], rows.collect())
}

fn tmm_stat(readings: &Readings) -> Table {
    let columns = [
        "thread",
        "memory_total",
        "client_side_traffic.cur_conns",
        "flow_capacity",
        "cycles_per_pkt",
        "bursts",
        "busy_polls",
        "empty_polls",
        "busy_cycles",
        "total_cycles",
    ];
    let rows = readings.threads.iter().enumerate().map(|(thread, sample)| {
        let received = sample.counters.received.max(1);
        vec![
            Cell::text(thread.to_string()),
            Cell::number(sample.flow_bytes),
            Cell::number(u64::from(sample.flows)),
            Cell::number(u64::from(sample.flow_capacity)),
            Cell::number(sample.polls.busy_cycles / received),
            Cell::number(sample.counters.bursts),
            Cell::number(sample.polls.busy_polls),
            Cell::number(sample.polls.empty_polls),
            Cell::number(sample.polls.busy_cycles),
            Cell::number(sample.polls.total_cycles),
        ]
    });
    table("tmm_stat", &columns, rows.collect())
}

fn interface_stat(readings: &Readings) -> Table {
    let columns =
        ["name", "pkts_in", "pkts_out", "bytes_in", "bytes_out", "drops_in", "errors_in", "link"];
    let rows = readings.ports.iter().map(|port| {
        let of = |read: fn(&Sample, PortId) -> u64| sum(readings, |sample| read(sample, port.id));
        vec![
            Cell::text(port.id.to_string()),
            Cell::number(of(|sample, id| sample.counters.port(id).received.packets)),
            Cell::number(of(|sample, id| sample.counters.port(id).sent().packets)),
            Cell::number(of(|sample, id| sample.counters.port(id).received.bytes)),
            Cell::number(of(|sample, id| sample.counters.port(id).sent().bytes)),
            Cell::number(port.stats.missed + port.stats.no_buffer),
            Cell::number(port.stats.receive_errors),
            Cell::text(if port.up { "up" } else { "down" }),
        ]
    });
    table("interface_stat", &columns, rows.collect())
}

fn vlan_stat(readings: &Readings, config: &Config) -> Table {
    let columns = ["name", "pkts_in", "pkts_out", "bytes_in", "bytes_out"];
    let rows = config.vlans().map(|vlan| {
        let slot = vlan.slot;
        vec![
            Cell::text(&vlan.name),
            Cell::number(sum(readings, |s| s.counters.vlan(slot).received.packets)),
            Cell::number(sum(readings, |s| s.counters.vlan(slot).sent().packets)),
            Cell::number(sum(readings, |s| s.counters.vlan(slot).received.bytes)),
            Cell::number(sum(readings, |s| s.counters.vlan(slot).sent().bytes)),
        ]
    });
    table("vlan_stat", &columns, rows.collect())
}

fn drop_stat(readings: &Readings) -> Table {
    let rows = DropReason::ALL.into_iter().map(|reason| {
        vec![
            Cell::text(reason.name()),
            Cell::number(sum(readings, |sample| sample.counters.drops(reason))),
        ]
    });
    table("drop_stat", &["reason", "packets"], rows.collect())
}

/// The terms of the accounting identity (OPS-701): what came and was made equals what left, was
/// dropped, consumed, punted, is held or on its way between threads.
fn packet_stat(readings: &Readings) -> Table {
    let counters: [(&str, fn(&Sample) -> u64); 10] = [
        ("received", |s| s.counters.received),
        ("originated", |s| s.counters.originated),
        ("sent", |s| s.counters.sent()),
        ("dropped", |s| s.counters.dropped()),
        ("consumed", |s| s.counters.consumed),
        ("punted", |s| s.counters.punted),
        ("held", |s| s.counters.held),
        ("handed_out", |s| s.counters.handed_out - s.counters.hand_refused),
        ("handed_in", |s| s.counters.handed_in),
        ("pool_empty", |s| s.counters.pool_empty),
    ];
    let rows = counters
        .into_iter()
        .map(|(name, read)| vec![Cell::text(name), Cell::number(sum(readings, read))]);
    table("packet_stat", &["counter", "packets"], rows.collect())
}
