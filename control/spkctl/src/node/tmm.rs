//! `spkctl node flows`, `drops` and `stats`: asks the TMMs themselves.
//!
//! Source: operations.md §1.2 (N20), §7.1.

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Map, Value};
use spk_node::layout::Layout;
use tmm_rpc::proto::{self, cell};
use tmm_rpc::{TlsFiles, TmmClient};
use tonic::transport::Channel;

use super::{Output, emit, json, status_of, table};

/// Arguments of `flows`.
#[derive(Debug, Args)]
pub(super) struct FlowArgs {
    /// Only this replica's.
    #[arg(long, value_name = "INDEX")]
    replica: Option<u16>,
    /// Only flows of this client (of this pod, for egress).
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    client: String,
    /// Only flows to this virtual address.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    vip: String,
    /// Only flows sent on to this address.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    member: String,
    /// Most flows of each TMM.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
}

/// Arguments of `drops`.
#[derive(Debug, Args)]
pub(super) struct DropArgs {
    /// Only this replica's.
    #[arg(long, value_name = "INDEX")]
    replica: Option<u16>,
    /// Reasons without a drop too.
    #[arg(long)]
    all: bool,
}

/// Arguments of `stats`.
#[derive(Debug, Args)]
pub(super) struct StatArgs {
    /// Only this replica's.
    #[arg(long, value_name = "INDEX")]
    replica: Option<u16>,
    /// Names of tables, such as virtual_server_stat; all without one.
    tables: Vec<String>,
}

/// Lists flows.
pub(super) fn flows(layout: &Layout, args: &FlowArgs, output: Output) -> anyhow::Result<ExitCode> {
    let replies = of_each(layout, args.replica, |mut tmm| async move {
        let request = proto::FlowsRequest {
            client: args.client.clone(),
            vip: args.vip.clone(),
            member: args.member.clone(),
            limit: args.limit,
        };
        Ok(tmm.flows(request).await?.into_inner())
    })?;
    if output == Output::Json {
        let of = |(replica, reply): &(u16, proto::FlowsReply)| {
            let flows: Vec<Value> = reply.flows.iter().map(flow_json).collect();
            serde_json::json!({"replica": replica, "truncated": reply.truncated, "flows": flows})
        };
        emit(&json(&replies.iter().map(of).collect::<Vec<_>>())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = replies
        .iter()
        .flat_map(|(replica, reply)| reply.flows.iter().map(|flow| flow_row(*replica, flow)))
        .collect();
    let head = [
        "REPLICA", "PROTO", "CLIENT", "VIP", "SNAT", "MEMBER", "LISTENER", "STATE", "AGE", "IDLE",
        "PACKETS", "BYTES",
    ];
    let mut text = table::text(&head, &rows);
    for (replica, _) in replies.iter().filter(|(_, reply)| reply.truncated) {
        text +=
            &format!("Replica {replica} has more flows; raise --limit or narrow with --client.\n");
    }
    emit(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows drops by reason.
pub(super) fn drops(layout: &Layout, args: &DropArgs, output: Output) -> anyhow::Result<ExitCode> {
    let mut tables = tables(layout, args.replica, &[String::from("drop_stat")])?;
    for (_, tables) in &mut tables {
        for table in tables {
            let packets = table.column("packets");
            table.rows.retain(|row| {
                let cell = packets.and_then(|at| row.cells.get(at));
                args.all || cell.is_some_and(|cell| *cell != proto::Cell::number(0))
            });
        }
    }
    show(&tables, output, "No packet was dropped.")
}

/// Shows tables.
pub(super) fn stats(layout: &Layout, args: &StatArgs, output: Output) -> anyhow::Result<ExitCode> {
    show(&tables(layout, args.replica, &args.tables)?, output, "empty")
}

type Tables = Vec<(u16, Vec<proto::Table>)>;

fn tables(layout: &Layout, replica: Option<u16>, names: &[String]) -> anyhow::Result<Tables> {
    of_each(layout, replica, |mut tmm| async move {
        let request = proto::StatisticsRequest { tables: names.to_vec() };
        Ok(tmm.statistics(request).await?.into_inner().tables)
    })
}

fn show(tables: &Tables, output: Output, empty: &str) -> anyhow::Result<ExitCode> {
    if output == Output::Json {
        let of = |(replica, tables): &(u16, Vec<proto::Table>)| {
            let tables: Map<String, Value> =
                tables.iter().map(|table| (table.name.clone(), table_json(table))).collect();
            serde_json::json!({"replica": replica, "tables": tables})
        };
        emit(&json(&tables.iter().map(of).collect::<Vec<_>>())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for (replica, tables) in tables {
        for table in tables {
            text += &format!("{} of replica {replica}\n", table.name);
            if table.rows.is_empty() {
                text += &format!("{empty}\n\n");
                continue;
            }
            let head: Vec<&str> = table.columns.iter().map(String::as_str).collect();
            let rows: Vec<Vec<String>> =
                table.rows.iter().map(|row| row.cells.iter().map(cell_text).collect()).collect();
            text += &table::text(&head, &rows);
            text.push('\n');
        }
    }
    emit(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Asks each TMM, or the one of `replica`.
fn of_each<T, F: Future<Output = anyhow::Result<T>>>(
    layout: &Layout,
    replica: Option<u16>,
    ask: impl Fn(TmmClient<Channel>) -> F,
) -> anyhow::Result<Vec<(u16, T)>> {
    let status = status_of(layout)?;
    let tls = TlsFiles::controller(layout.root()).load()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wanted: Vec<_> = status
        .controller
        .replicas
        .iter()
        .filter(|found| replica.is_none_or(|index| index == found.index))
        .collect();
    if wanted.is_empty() {
        bail!("there is no such replica; `spkctl node status` lists them");
    }
    let mut answers = Vec::new();
    for found in wanted {
        let address: SocketAddr = found.address.parse()?;
        let answer = runtime.block_on(async { ask(TmmClient::to(address, &tls).await?).await });
        answers.push((found.index, answer.with_context(|| format!("{} fails", found.pod))?));
    }
    Ok(answers)
}

fn flow_row(replica: u16, flow: &proto::Flow) -> Vec<String> {
    vec![
        replica.to_string(),
        flow.protocol.clone(),
        flow.client.clone(),
        flow.vip.clone(),
        flow.snat.clone(),
        flow.member.clone(),
        flow.listener.clone(),
        flow.state.clone(),
        seconds(flow.age_ms),
        seconds(flow.idle_ms),
        format!("{}/{}", flow.client_packets, flow.server_packets),
        format!("{}/{}", flow.client_bytes, flow.server_bytes),
    ]
}

fn flow_json(flow: &proto::Flow) -> Value {
    serde_json::json!({
        "protocol": flow.protocol, "client": flow.client, "vip": flow.vip, "snat": flow.snat,
        "member": flow.member, "listener": flow.listener, "state": flow.state,
        "ageMs": flow.age_ms, "idleMs": flow.idle_ms,
        "clientPackets": flow.client_packets, "clientBytes": flow.client_bytes,
        "serverPackets": flow.server_packets, "serverBytes": flow.server_bytes,
        "worker": flow.worker,
    })
}

fn table_json(table: &proto::Table) -> Value {
    let row = |row: &proto::Row| {
        let cells = table.columns.iter().zip(&row.cells).map(|(name, cell)| {
            let value = match &cell.value {
                Some(cell::Value::Text(text)) => Value::from(text.as_str()),
                Some(cell::Value::Number(number)) => Value::from(*number),
                None => Value::Null,
            };
            (name.clone(), value)
        });
        Value::Object(cells.collect())
    };
    table.rows.iter().map(row).collect()
}

fn cell_text(cell: &proto::Cell) -> String {
    match &cell.value {
        Some(cell::Value::Text(text)) => text.clone(),
        Some(cell::Value::Number(number)) => number.to_string(),
        None => String::new(),
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}
