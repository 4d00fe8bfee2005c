//! `spkctl node status`.

use std::process::ExitCode;

use spk_controller::view::{ObjectView, ReplicaView};
use spk_node::socket::{NodeStatus, ProcessView};

use super::{Output, emit, json, table};

/// Prints `status`; exit code 1 if a TMM is not ready.
pub(super) fn show(status: &NodeStatus, output: Output) -> anyhow::Result<ExitCode> {
    match output {
        Output::Json => emit(&json(status)?)?,
        Output::Table => emit(&people(status))?,
    }
    let ready = status.controller.replicas.iter().all(|replica| replica.not_ready.is_none());
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn people(status: &NodeStatus) -> String {
    let view = &status.controller;
    let licence = &view.licence;
    let class = if licence.class.is_empty() { "unknown" } else { &licence.class };
    let mut text = format!(
        "Configuration {}{}; licence {class}: {}, {}\n",
        view.generation,
        if licence.withheld { " (withheld)" } else { "" },
        licence.verdict,
        licence.text
    );
    if licence.halted {
        text += "The licence stopped the TMMs; they start again when it allows.\n";
    }
    text.push('\n');
    let processes = &status.processes;
    let rows: Vec<Vec<String>> =
        view.replicas.iter().map(|replica| replica_row(replica, processes)).collect();
    let head = ["TMM", "PROCESS", "RESTARTS", "CONFIGURATION", "GATE", "INTERFACES", "READY"];
    text += &table::text(&head, &rows);
    for complaint in &status.complaints {
        text += &format!("\n{} is refused: {}\n", complaint.file, complaint.problem);
    }
    if view.objects.is_empty() {
        return text + "\nNo resources yet: put YAML files into resourceDir.\n";
    }
    text.push('\n');
    let rows: Vec<Vec<String>> = view.objects.iter().map(object_row).collect();
    let head = ["KIND", "NAMESPACE", "NAME", "ACCEPTED", "PROGRAMMED", "MEMBERS", "VIP", "MESSAGE"];
    text + &table::text(&head, &rows)
}

fn replica_row(replica: &ReplicaView, processes: &[ProcessView]) -> Vec<String> {
    let process = processes.iter().find(|process| process.index == Some(replica.index));
    let running = process.map_or_else(String::new, |process| match process.pid {
        Some(pid) => format!("{} {pid}", process.state),
        None => process.state.clone(),
    });
    let gate = replica.gate.as_ref().map_or_else(
        || String::from("unknown"),
        |gate| match gate.deadline_ms {
            0 => format!("{} ({})", gate.state, gate.reason),
            left => format!("{}, {} s left", gate.state, left / 1000),
        },
    );
    let interfaces: Vec<String> = replica
        .interfaces
        .iter()
        .map(|interface| format!("{} {}", interface.name, if interface.up { "up" } else { "down" }))
        .collect();
    vec![
        replica.pod.clone(),
        running,
        process.map_or_else(String::new, |process| process.restarts.to_string()),
        replica.acknowledged.map_or_else(|| String::from("none"), |number| number.to_string()),
        gate,
        interfaces.join(", "),
        process
            .and_then(|process| process.cause.clone())
            .or_else(|| replica.not_ready.clone())
            .unwrap_or_else(|| String::from("yes")),
    ]
}

fn object_row(object: &ObjectView) -> Vec<String> {
    let condition =
        |name: &str| object.status.conditions.iter().find(|condition| condition.type_ == name);
    let word =
        |name| condition(name).map_or_else(String::new, |condition| condition.status.clone());
    // What is wrong, else nothing: people look for trouble here.
    let message = ["Accepted", "ResolvedRefs", "Programmed"]
        .into_iter()
        .filter_map(condition)
        .find(|condition| condition.status != "True")
        .map_or_else(String::new, |condition| {
            format!("{}: {}", condition.reason, condition.message)
        });
    vec![
        object.id.kind.name().to_owned(),
        object.id.namespace.clone(),
        object.id.name.clone(),
        word("Accepted"),
        word("Programmed"),
        object.status.member_summary.clone().unwrap_or_default(),
        object.status.vip.clone().unwrap_or_default(),
        message,
    ]
}
