//! What can go wrong while a lab is built.

use std::{io, path::PathBuf};

/// A step of building or reading a lab failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program of the system ended with an error.
    #[error("`{command}` failed: {output}")]
    Command {
        /// The command line.
        command: String,
        /// What it printed.
        output: String,
    },
    /// A program could not be started.
    #[error("`{program}` could not be started: {source}. Fix: make setup")]
    Spawn {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The namespace could not be entered.
    #[error("namespace {name} cannot be entered: {source}. Fix: run as root")]
    Enter {
        /// Its name.
        name: String,
        /// Why.
        source: nix::Error,
    },
    /// A living process owns a namespace of this name.
    #[error("namespace {name} belongs to running process {owner}")]
    Taken {
        /// Its name.
        name: String,
        /// The owner's process id.
        owner: i32,
    },
    /// This process is removing its labs.
    #[error("namespace {name} is not made: this process is removing its labs")]
    Closing {
        /// Its name.
        name: String,
    },
    /// No interface of this name in the namespace.
    #[error("no interface {interface} in namespace {namespace}")]
    NoInterface {
        /// Interface name.
        interface: String,
        /// Namespace name.
        namespace: String,
    },
    /// A VLAN identifier outside 0 to 4094, or more than eight of them.
    #[error("{tags:?}: a port takes one to eight VLAN tags of 0 (untagged) to 4094")]
    Tags {
        /// What was asked for.
        tags: Vec<u16>,
    },
    /// The BPF program could not be loaded, attached or read.
    #[error("{step} of the BPF port on {interface}: {source}")]
    Bpf {
        /// The step: load, attach or read.
        step: &'static str,
        /// Interface name.
        interface: String,
        /// Why.
        source: libbpf_rs::Error,
    },
    /// A process ended before it was ready, or did not become so in time.
    #[error("{name} {problem}; log {log}, last lines:\n{tail}")]
    Process {
        /// Its name.
        name: String,
        /// What happened.
        problem: String,
        /// Its log file.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// The machine lacks something a lab needs.
    #[error("{missing}. Fix: {fix}")]
    Machine {
        /// What.
        missing: String,
        /// The command that mends it.
        fix: &'static str,
    },
}

impl Error {
    /// Stable label of the kind of failure.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Command { .. } => "command_failed",
            Self::Spawn { .. } => "program_missing",
            Self::File { .. } => "file",
            Self::Enter { .. } => "namespace_closed",
            Self::Taken { .. } => "namespace_taken",
            Self::Closing { .. } => "closing",
            Self::NoInterface { .. } => "no_interface",
            Self::Tags { .. } => "bad_tags",
            Self::Bpf { .. } => "bpf",
            Self::Process { .. } => "process",
            Self::Machine { .. } => "machine",
        }
    }
}
