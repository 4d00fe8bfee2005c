//! A whole lab for one test: network, node, samples, peers; checked and removed at its end.

use std::{
    fmt::Write as _,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use netlab::{Namespace, Process, ProcessBuilder, machine, registry};
use nix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use crate::{
    broker::Broker,
    certificates::Authority,
    grammar,
    licence::OrderType,
    node::{Node, NodeOptions},
    outage::Outage,
    peers,
    plan::{self, Family},
    poll, samples,
    tmm::Tables,
    topology::{Topology, TopologyOptions},
};

/// Huge pages that a lab with two replicas may need at once.
const HUGE_PAGES: u64 = 256;
/// Longest time from a change of a resource to its effect (crds.md 1).
const T_CFG: Duration = Duration::from_secs(5);

/// What may differ between labs.
#[derive(Clone, Debug, Default)]
pub struct LabOptions {
    /// The network.
    pub topology: TopologyOptions,
    /// The node.
    pub node: NodeOptions,
    /// Leaves the samples and the activation to the test.
    pub bare: bool,
    /// A broker of its own between CWC and Controller, instead of the local bus.
    pub broker: bool,
    /// Starts the CWC by a script that can keep it down and set its clock ([`Outage`]).
    pub outage: bool,
}

impl LabOptions {
    /// Takes a trial instead of a paid licence, whose gates can be closed.
    #[must_use]
    pub const fn trial(mut self) -> Self {
        self.node.licence = OrderType::Eval;
        self
    }

    /// Sets the number of replicas in network and node.
    #[must_use]
    pub fn replicas(mut self, replicas: u8) -> Self {
        self.topology.replicas = replicas;
        self.node.replicas = replicas;
        self
    }
}

/// A lab; dropping it removes all of it. After a failure its files stay for a look.
#[derive(Debug)]
pub struct Lab {
    /// `spk-node` and its TMMs. First, as fields are dropped in order.
    pub node: Node,
    /// Peers started by the lab.
    pub peers: Vec<Process>,
    /// The broker, if there is one.
    pub broker: Option<Broker>,
    /// The network.
    pub topology: Topology,
    folder: Option<TempDir>,
}

impl Lab {
    /// Builds the network, starts the node and, unless `bare`, applies all samples and activates the
    /// licence. Returns nothing, and says why, on a machine that cannot do it.
    ///
    /// # Errors
    ///
    /// If any of it fails, or the machine cannot do it and `SPK_NO_SKIP` is set.
    pub fn start(options: &LabOptions) -> Result<Option<Self>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if let Err(error) = machine::check().and_then(|()| machine::reserve_huge_pages(HUGE_PAGES))
        {
            ensure!(std::env::var_os("SPK_NO_SKIP").is_none(), "{error}");
            println!("skipped: {error}");
            return Ok(None);
        }
        registry::remove_stale();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("lab{}-{number}", std::process::id());
        let folder = TempDir::with_prefix(&prefix)?;
        let topology = Topology::build(&prefix, options.topology)?;
        let mut settings = options.node.clone();
        if options.outage {
            settings.cwc.push_str(&Outage::of(folder.path()).install()?);
        }
        let broker = if options.broker {
            let certificates = bus_certificates(folder.path())?;
            let broker = topology.node.enter(|| Broker::start(&certificates))??;
            write!(settings.cwc, ", bus: \"amqps://localhost:{}\"", broker.port())?;
            Some(broker)
        } else {
            None
        };
        let node = Node::start(&topology.node, folder.path(), &settings)?;
        let lab = Self { node, peers: Vec::new(), broker, topology, folder: Some(folder) };
        if !options.bare {
            lab.apply_samples()?;
            lab.activate().with_context(|| lab.logs())?;
        }
        Ok(Some(lab))
    }

    /// The folder of logs, state and resources.
    ///
    /// # Panics
    ///
    /// Never before [`Lab::finish`].
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("lab is not finished").path()
    }

    /// What `spk-node` and the TMM of replica 0 logged.
    pub fn logs(&self) -> String {
        let node = fs::read_to_string(self.folder().join("spk-node.log")).unwrap_or_default();
        format!("spk-node:\n{node}\ntmm:\n{}", self.node.tmm_log(0))
    }

    /// The client's namespace.
    pub fn client(&self) -> &Namespace {
        &self.topology.client
    }

    /// Server `number`'s namespace, 1 to 3.
    pub fn server(&self, number: usize) -> &Namespace {
        &self.topology.servers[number - 1]
    }

    /// Puts all samples into the resource directory and waits until replica 0 runs them.
    ///
    /// # Errors
    ///
    /// With the statuses if they are not programmed within five seconds.
    pub fn apply_samples(&self) -> Result<()> {
        for path in samples::files()? {
            self.node.write(&samples::file_name(&path), &fs::read_to_string(&path)?)?;
        }
        Ok(())
    }

    /// Activates the licence and waits until the TMMs' gates are open and they run the configuration.
    ///
    /// # Errors
    ///
    /// If it cannot be activated, or they do not within ten seconds.
    pub fn activate(&self) -> Result<()> {
        self.node.activate(&self.topology.node)?;
        self.await_forwarding()
    }

    /// Closes the gates of a trial, and keeps `spk-node` from opening them: it is ended.
    ///
    /// # Errors
    ///
    /// If a TMM does not answer.
    pub fn close(&mut self) -> Result<()> {
        self.node.close_gates(&self.topology.node)
    }

    /// Starts `spk-node` again and waits until it has opened the gates.
    ///
    /// # Errors
    ///
    /// If it does not within ten seconds.
    pub fn open(&mut self) -> Result<()> {
        self.node.launch(&self.topology.node)?;
        self.node.await_open()?;
        self.await_forwarding()
    }

    /// Waits until replica 0 lists the virtual servers of the samples.
    fn await_forwarding(&self) -> Result<()> {
        poll::hold("the TMM runs the samples", Duration::from_secs(5), || {
            self.tables().is_ok_and(|tables| !tables.rows("pool_stat").is_empty())
        })
    }

    /// Tables of replica 0.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn tables(&self) -> Result<Tables> {
        self.node.tables(&self.topology.node, 0)
    }

    /// Starts an HTTP server in each server's namespace, `server-1` to `server-3`.
    ///
    /// # Errors
    ///
    /// If one does not come up.
    pub fn start_web(&mut self) -> Result<()> {
        for (place, server) in self.topology.servers.iter().enumerate() {
            let name = format!("server-{}", place + 1);
            let folder = self.folder.as_ref().context("finished")?.path();
            self.peers.push(peers::nginx(server, &name, plan::WEB_PORT, folder)?);
        }
        Ok(())
    }

    /// Starts a UDP echo in each server's namespace.
    ///
    /// # Errors
    ///
    /// If one does not come up.
    pub fn start_echo(&mut self) -> Result<()> {
        for (place, server) in self.topology.servers.iter().enumerate() {
            let name = format!("server-{}", place + 1);
            let folder = self.folder.as_ref().context("finished")?.path();
            self.peers.push(peers::udp_echo(server, &name, folder)?);
        }
        Ok(())
    }

    /// Starts an SCTP echo in each server's namespace.
    ///
    /// # Errors
    ///
    /// If one does not come up.
    pub fn start_sctp(&mut self) -> Result<()> {
        for (place, server) in self.topology.servers.iter().enumerate() {
            let name = format!("server-{}", place + 1);
            let folder = self.folder.as_ref().context("finished")?.path();
            self.peers.push(peers::sctp_server(server, &name, folder)?);
        }
        Ok(())
    }

    /// Starts the HTTP server that stands for the world, in the client's namespace.
    ///
    /// # Errors
    ///
    /// If it does not come up.
    pub fn start_world(&mut self) -> Result<()> {
        let folder = self.folder.as_ref().context("finished")?.path();
        self.peers.push(peers::nginx(&self.topology.client, "world", plan::WORLD_PORT, folder)?);
        Ok(())
    }

    /// Starts a program in the client's namespace that runs on while the test acts.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn background(&self, program: &str, arguments: &[&str]) -> Result<Process> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut command = self.client().command(program);
        command.args(arguments);
        let name = format!("{program}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(ProcessBuilder::new(name, command).spawn(self.folder())?)
    }

    /// Waits for the end of a `wrk` and checks that each of its requests was answered.
    ///
    /// # Errors
    ///
    /// With wrk's report.
    pub fn no_failed_request(&self, mut load: Process) -> Result<()> {
        load.wait(Duration::from_secs(30))?;
        let report = load.log();
        let load = peers::load(&report)?;
        ensure!(load.failed == 0, "{} of {} failed: {report}", load.failed, load.requests);
        Ok(())
    }

    /// Waits for a state that must come within T_cfg after a change of resources (crds.md 1).
    ///
    /// # Errors
    ///
    /// If it does not.
    pub fn within_t_cfg(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<()> {
        poll::hold(what, T_CFG, || holds(self))
    }

    /// Members of a pool of replica 0 that may get new flows.
    ///
    /// # Errors
    ///
    /// If the TMM does not answer.
    pub fn members_up(&self, pool: &str) -> Result<usize> {
        self.node.members_up(&self.topology.node, pool)
    }

    /// Waits until a pool has `number` members that may get new flows.
    ///
    /// # Errors
    ///
    /// If it does not within T_cfg.
    pub fn await_members(&self, pool: &str, number: usize) -> Result<()> {
        self.within_t_cfg(&format!("{pool} has {number} members"), |lab| {
            lab.members_up(pool).is_ok_and(|up| up == number)
        })
        .with_context(|| {
            format!("{:?}", self.node.report(&self.topology.node, 0).map(|report| report.members))
        })
    }

    /// Waits until all servers are up in the pool of `object` (`<namespace>-<name>`).
    ///
    /// # Errors
    ///
    /// If they are not within T_cfg.
    pub fn await_member(&self, object: &str, family: Family) -> Result<()> {
        let end = if family == Family::V4 { "v4" } else { "v6" };
        self.await_members(&format!("{object}-{end}"), plan::SERVERS)
    }

    /// Hardware address that `namespace` has learnt for `address`.
    ///
    /// # Errors
    ///
    /// If it has none.
    pub fn neighbour(&self, namespace: &Namespace, address: IpAddr) -> Result<String> {
        let line = namespace.ip(["neighbour", "show", &address.to_string()])?;
        line.split_whitespace()
            .skip_while(|word| *word != "lladdr")
            .nth(1)
            .map(str::to_owned)
            .with_context(|| format!("{address} is not resolved: {line}"))
    }

    /// Hardware address that replica `index` reports for an interface, such as `1.1`.
    ///
    /// # Errors
    ///
    /// If it reports none.
    pub fn interface_mac(&self, index: u8, name: &str) -> Result<String> {
        self.node
            .report(&self.topology.node, index)?
            .interfaces
            .into_iter()
            .find(|interface| interface.name == name)
            .map(|interface| interface.mac)
            .with_context(|| format!("replica {index} reports no {name}"))
    }

    /// Waits until no traffic was delivered for `quiet`; returns when the last frame was, by
    /// CLOCK_MONOTONIC.
    ///
    /// # Errors
    ///
    /// If frames still arrive after five seconds.
    pub fn silence(&self, quiet: Duration) -> Result<Duration> {
        poll::until("traffic is silent", T_CFG, || {
            let last = self.topology.delivered().ok()?.last;
            (monotonic().saturating_sub(last) >= quiet).then_some(last)
        })
    }

    /// Checks what must hold after any test: the accounting identity of every TMM that answers,
    /// and the grammar of every line they logged. Then removes the lab.
    ///
    /// # Errors
    ///
    /// With the numbers or the line.
    pub fn finish(mut self) -> Result<()> {
        self.check()?;
        self.peers.clear();
        self.node.process().stop()?;
        for index in 0..2 {
            log_lines(&self.node.tmm_log(index)).with_context(|| self.node.tmm_log(index))?;
        }
        Ok(())
    }

    /// The checks of [`Lab::finish`], with the lab left running.
    ///
    /// # Errors
    ///
    /// With the numbers or the line.
    pub fn check(&self) -> Result<()> {
        for index in 0..2 {
            if self.node.tmm_pid(index).is_ok() {
                identity(&self.node.tables(&self.topology.node, index)?)?;
                log_lines(&self.node.tmm_log(index))?;
            }
        }
        Ok(())
    }
}

/// The broker's certificates and the CWC's and the Controller's, where each looks for its own.
fn bus_certificates(folder: &Path) -> Result<PathBuf> {
    let state = folder.join("state");
    let authority = Authority::new()?;
    authority.bus_client(&state.join("cwc/config"), "rabbitmq-client-certs", "f5net")?;
    authority.bus_client(&state.join("controller"), "rabbitmq-client-1-certs", "f5net")?;
    authority.bus_server(folder)
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            println!("files of the lab: {}", folder.keep().display());
        }
    }
}

/// Time by the clock that stamps frames; zero on a system without it.
pub fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// Checks that every packet is accounted for (OPS-701).
///
/// # Errors
///
/// With the numbers.
pub fn identity(tables: &Tables) -> Result<()> {
    let total = |counter: &str| tables.number("packet_stat", counter, "packets");
    let dropped: u64 = tables.all_drops().values().sum();
    ensure!(dropped == total("dropped"), "{dropped} drops by reason: {tables:?}");
    // What is on its way between threads was handed out and not yet in.
    let left = total("received") + total("originated") + total("handed_in");
    let right: u64 = ["sent", "dropped", "consumed", "punted", "held", "handed_out"]
        .into_iter()
        .map(total)
        .sum();
    ensure!(left == right, "{left} packets came, {right} are accounted for: {tables:?}");
    Ok(())
}

/// Checks every line of a TMM's log (OPS-720).
///
/// # Errors
///
/// With the first line that does not match.
pub fn log_lines(log: &str) -> Result<()> {
    for line in log.lines() {
        if let Some(problem) = grammar::problem(line) {
            bail!("log line breaks the grammar ({problem}): {line}");
        }
    }
    Ok(())
}
