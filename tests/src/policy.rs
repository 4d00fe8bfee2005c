//! A site under a licence and under traffic: what its rows of the policy do to packets.
//!
//! Owns a bare lab, a stream through it and its outages, and nothing of the rules. Times are by
//! CLOCK_MONOTONIC, the clock of the stream and of the stamps on frames.

use std::{
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use netlab::Namespace;
use serde_json::Value;

use crate::{
    lab::{Lab, LabOptions, monotonic},
    licence::{self, OrderType},
    outage::Outage,
    poll,
    stream::Stream,
};

/// From a verdict that allows to the first datagram, the goal of F6 and F7 together (LIC-656, LIC-940).
pub const FLOWS: Duration = Duration::from_secs(2);
/// A TMM that was stopped is up again, has its configuration and its servers' monitors.
pub const RESTORED: Duration = Duration::from_secs(20);

/// A site.
#[derive(Debug)]
pub struct Site {
    /// The stream through it. First, as fields are dropped in order.
    pub stream: Stream,
    /// Its programs and networks.
    pub lab: Lab,
    /// What can be done to its CWC.
    pub outage: Outage,
}

/// What may differ between sites.
#[derive(Clone, Debug)]
pub struct SiteOptions {
    /// The licence.
    pub order: OrderType,
    /// Its span; a year without.
    pub validity: Option<&'static str>,
    /// Whether the bus is RabbitMQ.
    pub broker: bool,
    /// Datagrams a second.
    pub rate: u32,
    /// Further values of `cpcl-config-cm`, such as `missed_heartbeats: "2"`.
    pub config: String,
}

impl SiteOptions {
    /// A site on the local bus with a slow stream.
    pub const fn of(order: OrderType) -> Self {
        Self { order, validity: None, broker: false, rate: 200, config: String::new() }
    }

    /// The same on RabbitMQ.
    #[must_use]
    pub const fn on_broker(mut self) -> Self {
        self.broker = true;
        self
    }
}

impl Site {
    /// Starts a site that is not activated, with its samples and a stream that nothing lets through.
    ///
    /// # Errors
    ///
    /// As [`Lab::start`].
    pub fn start(options: SiteOptions) -> Result<Option<Self>> {
        let mut lab = LabOptions {
            bare: true,
            broker: options.broker,
            outage: true,
            ..LabOptions::default()
        };
        lab.node.licence = options.order;
        lab.node.validity = options.validity;
        lab.node.flows = 1024;
        lab.node.memory = 128;
        if !options.config.is_empty() {
            write!(lab.node.cwc, ", config: {{{}}}", options.config)?;
        }
        let Some(lab) = Lab::start(&lab)? else { return Ok(None) };
        lab.apply_samples()?;
        let stream = Stream::start(&lab, options.rate)?;
        let outage = Outage::of(lab.folder());
        Ok(Some(Self { stream, lab, outage }))
    }

    /// The same, activated and with traffic.
    ///
    /// # Errors
    ///
    /// As [`Lab::start`] and [`Lab::activate`].
    pub fn active(options: SiteOptions) -> Result<Option<Self>> {
        let Some(site) = Self::start(options)? else { return Ok(None) };
        site.lab.node.activate(site.node()).with_context(|| site.lab.logs())?;
        site.stream.flows(RESTORED).with_context(|| site.lab.logs())?;
        site.stream.lost();
        Ok(Some(site))
    }

    /// Where the programs run.
    pub const fn node(&self) -> &Namespace {
        &self.lab.topology.node
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.lab.node.state()
    }

    /// What the Controller says of the licence; null if `spk-node` does not run.
    pub fn licence(&self) -> Value {
        let status = self.lab.node.ask().unwrap_or_default();
        status["controller"]["licence"].clone()
    }

    /// Whether the Controller's verdict and reason are these.
    pub fn is(&self, verdict: &str, reason: &str) -> bool {
        let licence = self.licence();
        licence["verdict"] == verdict && licence["reason"] == reason
    }

    /// Waits until the Controller's verdict and reason are these.
    ///
    /// # Errors
    ///
    /// With what they are instead.
    pub fn judged(&self, verdict: &str, reason: &str, limit: Duration) -> Result<()> {
        poll::hold(&format!("{verdict}, {reason}"), limit, || self.is(verdict, reason))
            .with_context(|| format!("{}\n{}", self.licence(), self.lab.logs()))
    }

    /// Waits until traffic is blocked for `reason`, none comes through and, `halted`, the data plane is
    /// stopped; when the last datagram came.
    ///
    /// # Errors
    ///
    /// If traffic flows on.
    pub fn blocked(&self, reason: &str, limit: Duration) -> Result<Duration> {
        self.judged("block", reason, limit)?;
        poll::hold("the data plane is stopped", STOPPED, || self.licence()["halted"] == true)?;
        poll::hold("no TMM runs", STOPPED, || !self.tmm_runs())?;
        self.stream.silent(QUIET, STOPPED)
    }

    /// Waits until traffic flows again after a block.
    ///
    /// # Errors
    ///
    /// If it does not within `limit`, or `limit` and the start of a TMM.
    pub fn recovered(&self, limit: Duration) -> Result<()> {
        poll::hold("the verdict allows", limit, || self.licence()["verdict"] == "allow")
            .with_context(|| format!("{}\n{}", self.licence(), self.lab.logs()))?;
        self.stream.flows(RESTORED).map(drop).with_context(|| self.lab.logs())
    }

    /// Whether nothing was lost since the stream was last looked at.
    ///
    /// # Errors
    ///
    /// With the number, and what the programs say.
    pub fn unharmed(&self, what: &str) -> Result<()> {
        let (lost, answered) = (self.stream.lost(), self.stream.answered());
        let last = monotonic().saturating_sub(self.stream.last());
        ensure!(
            lost == 0,
            "{what}: {lost} lost, {answered} answered, the last {last:?} ago\n{}",
            self.lab.logs()
        );
        Ok(())
    }

    /// Whether the process of TMM 0 lives.
    pub fn tmm_runs(&self) -> bool {
        self.lab.node.tmm_pid(0).is_ok_and(alive)
    }

    /// When the newest event `reason` was.
    pub fn event(&self, reason: &str) -> Option<Duration> {
        let ago = SystemTime::now().duration_since(self.lab.node.event(reason)?).ok()?;
        monotonic().checked_sub(ago)
    }

    /// When the Controller last took a statement of the CWC.
    pub fn heard(&self) -> Option<Duration> {
        self.licence()["heardAt"].as_u64().map(Duration::from_nanos)
    }

    /// Kills the broker, as a machine does that loses its power.
    ///
    /// # Panics
    ///
    /// If the site has none.
    pub fn kill_broker(&mut self) {
        self.lab.broker.as_mut().expect("a broker").kill();
    }

    /// Starts it again.
    ///
    /// # Errors
    ///
    /// As [`crate::broker::Broker::start_again`].
    pub fn start_broker(&mut self) -> Result<()> {
        let broker = self.lab.broker.as_mut().context("no broker")?;
        self.lab.topology.node.enter(|| broker.start_again())?
    }

    /// Asks the CWC's REST API by `curl`.
    ///
    /// # Errors
    ///
    /// With curl's complaint.
    pub fn curl(&self, arguments: &[&str]) -> Result<String> {
        licence::curl(self.node(), &self.state(), arguments)
    }
}

/// Whether a process lives; a zombie does not.
pub fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// A stream is silent after this long without a datagram.
pub const QUIET: Duration = Duration::from_millis(500);
/// A TMM that is told to end has ended, its drain included.
const STOPPED: Duration = Duration::from_secs(20);
