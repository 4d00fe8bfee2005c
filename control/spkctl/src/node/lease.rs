//! `spkctl node lease`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use spk_node::layout::Layout;
use spk_node::socket::{Answer, Request};

use super::{Output, emit, json, order, table};

/// What to do with the gates.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Subcommand)]
pub(super) enum Action {
    /// Lets spk-node sign leases: traffic passes.
    Open,
    /// Withdraws the lease: traffic stops at once, on established flows too.
    Close,
    /// Shows the gates.
    Status,
}

/// Carries out `action`; exit code 1 if a gate is not as it was ordered.
pub(super) fn act(layout: &Layout, action: Action, output: Output) -> anyhow::Result<ExitCode> {
    let (request, wanted) = match action {
        Action::Open => (Request::LeaseOpen, Some("open")),
        Action::Close => (Request::LeaseClose, Some("closed")),
        Action::Status => (Request::LeaseStatus, None),
    };
    let Answer::Lease(lease) = order(layout, request)? else {
        bail!("spk-node gives another answer");
    };
    match output {
        Output::Json => emit(&json(&lease)?)?,
        Output::Table => {
            let authority = &lease.authority;
            let head = format!(
                "Leases are {}: signed by spk-node's own key {}, epoch {}, {} so far.\n\n",
                authority.licence, authority.kid, authority.epoch, authority.seq
            );
            let rows: Vec<Vec<String>> = lease
                .gates
                .iter()
                .map(|gate| {
                    let left = match gate.deadline_ms {
                        0 => String::new(),
                        left => format!("{} s", left / 1000),
                    };
                    vec![gate.index.to_string(), gate.state.clone(), left, gate.reason.clone()]
                })
                .collect();
            let columns = ["REPLICA", "GATE", "CLOSES IN", "REASON"];
            emit(&(head + &table::text(&columns, &rows)))?;
        }
    }
    let done = wanted.is_none_or(|wanted| lease.gates.iter().all(|gate| gate.state == wanted));
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
