//! The lab that the demo plays on.

use std::{fs, net::IpAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use netlab::{Namespace, Process, Stamp};

use super::{PREFIX, folder};
use crate::{
    floor::Floor,
    licence::OrderType,
    node::{Node, NodeOptions},
    peers,
    plan::{self, Family},
    poll, programs, samples,
    tmm::Tables,
    topology::{Topology, TopologyOptions},
};

/// CPU of the TMM and of testpmd, its floor.
const CORE: u16 = 1;

/// Network, node and peers; dropping it removes them.
#[derive(Debug)]
pub struct Stage {
    /// `spk-node` and its TMM.
    pub node: Node,
    peers: Vec<Process>,
    /// The network.
    pub topology: Topology,
    commands: Vec<String>,
}

impl Stage {
    /// Builds all of it, applies the samples and activates a trial licence.
    ///
    /// # Errors
    ///
    /// Whatever is missing.
    pub fn build() -> Result<Self> {
        let run = folder().join("run");
        let topology = Topology::build(PREFIX, TopologyOptions::default())?;
        let options = NodeOptions { licence: OrderType::Eval, ..NodeOptions::default() };
        let node = Node::start(&topology.node, &run, &options)?;
        let mut stage = Self { node, peers: Vec::new(), topology, commands: Vec::new() };
        stage.start_peers()?;
        let shown =
            |path: PathBuf| path.strip_prefix(programs::root()).map(PathBuf::from).unwrap_or(path);
        for path in samples::files()? {
            let name = samples::file_name(&path);
            stage.node.write(&name, &fs::read_to_string(&path)?)?;
            let to = shown(stage.node.resources());
            stage.commands.push(format!("cp {} {}/", shown(path).display(), to.display()));
        }
        stage.node.activate(&stage.topology.node)?;
        let state = shown(stage.node.state());
        let curl = format!(
            "curl --cacert {0}/ca-root-cert --cert {0}/client-cert --key {0}/client-key",
            state.join("cwc-license-client-certs").display()
        );
        stage.commands.push(format!("{curl} https://localhost:30881/report > report.json"));
        stage.commands.push("spk-authority ack < report.json > receipt".to_owned());
        stage.commands.push(format!("{curl} https://localhost:30881/receipt --data @receipt"));
        for pool in ["demo-web-v4", "demo-web-v6", "demo-echo-v4", "demo-amf-v4", "demo-amf-v6"] {
            stage.await_members(pool, plan::SERVERS).with_context(|| stage.last_words())?;
        }
        Ok(stage)
    }

    fn start_peers(&mut self) -> Result<()> {
        let log = folder().join("log");
        for (place, server) in self.topology.servers.iter().enumerate() {
            let name = format!("server-{}", place + 1);
            self.peers.push(peers::nginx(server, &name, plan::WEB_PORT, &log)?);
            self.peers.push(peers::udp_echo(server, &name, &log)?);
            self.peers.push(peers::sctp_server(server, &name, &log)?);
        }
        let first = self.topology.servers.first().context("server 1")?;
        self.peers.push(peers::iperf_server(first, "server-1", &log)?);
        self.peers.push(peers::nginx(&self.topology.client, "world", plan::WORLD_PORT, &log)?);
        Ok(())
    }

    /// Waits until `number` members of a pool may get new flows, by the TMM's monitors.
    ///
    /// # Errors
    ///
    /// If they do not within ten seconds.
    pub fn await_members(&self, pool: &str, number: usize) -> Result<()> {
        poll::hold(&format!("{pool} has {number} members"), Duration::from_secs(10), || {
            self.node.members_up(&self.topology.node, pool).is_ok_and(|up| up == number)
        })
    }

    /// The client's namespace.
    pub fn client(&self) -> &Namespace {
        &self.topology.client
    }

    /// Commands that a person could have typed, so far.
    pub fn take_commands(&mut self) -> Vec<String> {
        std::mem::take(&mut self.commands)
    }

    /// Tables of the TMM.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn tables(&self) -> Result<Tables> {
        self.node.tables(&self.topology.node, 0)
    }

    /// TCP, UDP and SCTP frames delivered to clients and servers.
    ///
    /// # Errors
    ///
    /// If a port cannot be read.
    pub fn delivered(&self) -> Result<Stamp> {
        self.topology.delivered()
    }

    /// A floor made of testpmd in the TMM's role.
    ///
    /// # Errors
    ///
    /// If testpmd does not start.
    pub fn testpmd(&self) -> Result<Floor> {
        Floor::testpmd(PREFIX, &folder().join("log"), CORE)
    }

    /// A floor without anything between.
    ///
    /// # Errors
    ///
    /// If it cannot be built.
    pub fn bare(&self) -> Result<Floor> {
        Floor::bare(PREFIX, &folder().join("log"))
    }

    /// Both addresses of a server.
    pub fn addresses(number: usize) -> [IpAddr; 2] {
        Family::BOTH.map(|family| plan::server(number, family))
    }

    /// The last line that the TMM logged, else spk-node, and where the log is.
    pub fn last_words(&self) -> String {
        let tmm = self.node.tmm_log(0);
        let node = fs::read_to_string(folder().join("run/spk-node.log")).unwrap_or_default();
        let (line, path) = match tmm.lines().last() {
            Some(line) => (line, "target/demo/log/tmm-0.log"),
            None => {
                (node.lines().last().unwrap_or("nothing logged"), "target/demo/log/spk-node.log")
            }
        };
        format!("{line} ({path})")
    }

    /// Copies the logs of `spk-node` and the TMM to where they stay.
    pub fn save_logs(&self) {
        let log = folder().join("log");
        for from in [
            self.node.state().join("log/tmm-0.log"),
            self.node.state().join("log/cwc.log"),
            self.node.state().join("events.jsonl"),
            folder().join("run/spk-node.log"),
        ] {
            // A log that was never written has nothing to save.
            let _ = fs::copy(&from, log.join(samples::file_name(&from)));
        }
    }

    /// Leaves everything running when this value is dropped.
    ///
    /// # Errors
    ///
    /// If the registry of namespaces cannot be written.
    pub fn keep(mut self) -> Result<()> {
        self.node.keep();
        self.peers.iter_mut().for_each(Process::keep);
        for namespace in self.topology.namespaces() {
            namespace.keep()?;
        }
        Ok(())
    }
}
