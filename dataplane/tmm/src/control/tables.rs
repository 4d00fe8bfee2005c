//! The tables of operations.md §7.1, made from the newest copies.
//!
//! Owns names and columns. Every counter is the sum over packet threads.

use tmm_config::Config;
use tmm_config::config::MemberState;
use tmm_engine::DropReason;
use tmm_engine::flows::Usage;
use tmm_rpc::member_state_name;
use tmm_rpc::proto::{Cell, Row, Table};
use tmm_wire::PortId;

use crate::control::collector::Readings;
use crate::sample::{Sample, UsageCopy};

/// All tables, in the order of operations.md §7.1.
#[must_use]
pub fn all(readings: &Readings, config: &Config) -> Vec<Table> {
    vec![
        virtual_server_stat(readings, config),
        pool_stat(readings, config),
        pool_member_stat(readings, config),
        tmm_stat(readings),
        interface_stat(readings),
        vlan_stat(readings, config),
        drop_stat(readings),
        snat_stat(readings),
        packet_stat(readings),
    ]
}

fn sum(readings: &Readings, of: impl Fn(&Sample) -> u64) -> u64 {
    readings.threads.iter().map(of).sum()
}

fn table(name: &str, columns: &[&str], rows: Vec<Vec<Cell>>) -> Table {
    Table {
        name: name.to_owned(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        rows: rows.into_iter().map(|cells| Row { cells }).collect(),
    }
}

/// One row a listener, and one an egress with its pods as clients.
fn virtual_server_stat(readings: &Readings, config: &Config) -> Table {
    let columns = [
        "name",
        "destination",
        "port",
        "protocol",
        "clientside.pkts_in",
        "clientside.bytes_in",
        "clientside.pkts_out",
        "clientside.bytes_out",
        "clientside.cur_conns",
        "clientside.max_conns",
        "clientside.tot_conns",
        "no_member_drops",
    ];
    let row = |name: &str, destination: String, port: u16, protocol: &str, usage: Usage| {
        let Usage { volume, current, highest, total, no_member, .. } = usage;
        vec![
            Cell::text(name),
            Cell::text(destination),
            Cell::text(port.to_string()),
            Cell::text(protocol),
            Cell::number(volume.packets[0]),
            Cell::number(volume.bytes[0]),
            Cell::number(volume.packets[1]),
            Cell::number(volume.bytes[1]),
            Cell::number(u64::from(current)),
            Cell::number(u64::from(highest)),
            Cell::number(total),
            Cell::number(no_member),
        ]
    };
    let mut rows = Vec::new();
    for listener in config.listeners() {
        let usage = usage_of(readings, |copy| copy.listener(listener.slot, listener.since));
        let (vip, protocol) = (listener.vip.to_string(), listener.protocol.name());
        rows.push(row(&listener.name, vip, listener.port, protocol, usage));
    }
    for egress in config.egresses() {
        let usage = usage_of(readings, |copy| copy.egress(egress.slot, egress.since));
        rows.push(row(&egress.name, "any".to_owned(), 0, "any", usage));
    }
    table("virtual_server_stat", &columns, rows)
}

/// The sum over packet threads; `highest` of one moment is at most the sum of each one's.
fn usage_of(readings: &Readings, of: impl Fn(&UsageCopy) -> Usage) -> Usage {
    let mut sum = Usage::default();
    for one in readings.threads.iter().map(|sample| of(&sample.usage)) {
        sum.current += one.current;
        sum.highest += one.highest;
        sum.total += one.total;
        sum.no_member += one.no_member;
        sum.volume.add(&one.volume);
    }
    sum
}

fn pool_stat(readings: &Readings, config: &Config) -> Table {
    let rows = config.pools().map(|pool| {
        let is_up =
            |state: MemberState| !matches!(state, MemberState::Down | MemberState::Checking);
        let up = pool.members.iter().filter(|member| is_up(member.state)).count();
        let picks: u64 = pool
            .members
            .iter()
            .map(|member| usage_of(readings, |copy| copy.member(member.slot, member.since)).total)
            .sum();
        vec![
            Cell::text(&pool.name),
            Cell::number(picks),
            Cell::number(up as u64),
            Cell::number(pool.members.len() as u64),
        ]
    });
    table("pool_stat", &["name", "pick_tot", "members_up", "members_total"], rows.collect())
}

fn pool_member_stat(readings: &Readings, config: &Config) -> Table {
    let columns = [
        "pool_name",
        "addr",
        "port",
        "monitor_status",
        "serverside.pkts_in",
        "serverside.bytes_in",
        "serverside.pkts_out",
        "serverside.bytes_out",
        "serverside.cur_conns",
        "serverside.tot_conns",
    ];
    let rows = config.pools().flat_map(|pool| pool.members.iter().map(move |it| (pool, it)));
    let rows = rows.map(|(pool, member)| {
        let usage = usage_of(readings, |copy| copy.member(member.slot, member.since));
        // In is what comes from the member.
        vec![
            Cell::text(&pool.name),
            Cell::text(member.address.to_string()),
            Cell::text(member.port.to_string()),
            Cell::text(member_state_name(member.state)),
            Cell::number(usage.volume.packets[1]),
            Cell::number(usage.volume.bytes[1]),
            Cell::number(usage.volume.packets[0]),
            Cell::number(usage.volume.bytes[0]),
            Cell::number(u64::from(usage.current)),
            Cell::number(usage.total),
        ]
    });
    table("pool_member_stat", &columns, rows.collect())
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

/// How hard source ports are to find: the share of taken ones says how full addresses are towards
/// destinations that are asked for (architecture.md §3.1). The warning at 80 % comes with `engine`.
fn snat_stat(readings: &Readings) -> Table {
    let rows = readings.threads.iter().enumerate().map(|(thread, sample)| {
        vec![
            Cell::text(thread.to_string()),
            Cell::number(sample.ports.tries),
            Cell::number(sample.ports.taken),
            Cell::number(sample.ports.exhausted),
        ]
    });
    table("snat_stat", &["thread", "tries", "taken", "fails"], rows.collect())
}

/// The terms of the accounting identity (OPS-701): what came and was made equals what left, was
/// dropped, consumed, punted, is held or on its way between threads.
fn packet_stat(readings: &Readings) -> Table {
    type Read = fn(&Sample) -> u64;
    let counters: [(&str, Read); 10] = [
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
