//! What the same iperf3 reaches without the proxy: through testpmd, and over a bare link.
//!
//! testpmd forwards frames between two ports of the same kind as the TMM's without looking at
//! them: the floor of any DPDK program on these ports. The bare link has the same offloads turned
//! off, which is all a port that faces DPDK can have on a veth pair.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use netlab::{Namespace, Process, ProcessBuilder, VlanPort, veth};
use serde_json::Value;

use crate::{peers, plan};

const START: Duration = Duration::from_secs(15);
/// Addresses of the two ends of a floor.
const LEFT: &str = "10.99.0.1";
const RIGHT: &str = "10.99.0.2";

/// What iperf3 measured.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    /// Received by the far end, in Mbit/s.
    pub mbps: f64,
    /// Datagrams lost, in percent; 0 for TCP.
    pub lost_percent: f64,
    /// Segments sent again; 0 for UDP.
    pub retransmits: u64,
}

/// Runs an iperf3 client for `seconds` towards `address`: TCP, or UDP at a given Mbit/s.
///
/// # Errors
///
/// With iperf3's own error.
pub fn iperf(
    namespace: &Namespace,
    address: &str,
    seconds: u32,
    udp_mbps: Option<u32>,
) -> Result<Throughput> {
    let (port, seconds) = (plan::IPERF_PORT.to_string(), seconds.to_string());
    let rate = udp_mbps.map(|mbps| format!("{mbps}M"));
    let mut arguments =
        vec!["-c", address, "-p", &port, "-t", &seconds, "-J", "--connect-timeout", "3000"];
    if let Some(rate) = &rate {
        // 1,400 bytes fit any MTU here, tag and headers included.
        arguments.extend(["-u", "-b", rate, "-l", "1400"]);
    }
    let text = match namespace.run("iperf3", arguments) {
        Ok(text) => text,
        Err(netlab::Error::Command { output, .. }) => {
            let said: Value = serde_json::from_str(&output).unwrap_or(Value::String(output));
            bail!("iperf3: {}", said.get("error").unwrap_or(&said));
        }
        Err(error) => return Err(error.into()),
    };
    let report: Value = serde_json::from_str(&text).context("iperf3's report")?;
    if let Some(error) = report.get("error") {
        bail!("iperf3: {error}");
    }
    let end = &report["end"];
    let (sum, sent) = if udp_mbps.is_some() {
        (&end["sum"], &Value::Null)
    } else {
        (&end["sum_received"], &end["sum_sent"]["retransmits"])
    };
    Ok(Throughput {
        mbps: sum["bits_per_second"].as_f64().context("iperf3's rate")? / 1e6,
        lost_percent: sum["lost_percent"].as_f64().unwrap_or(0.0),
        retransmits: sent.as_u64().unwrap_or(0),
    })
}

/// Two namespaces with something between them, and an iperf3 server in the second.
#[derive(Debug)]
pub struct Floor {
    _server: Process,
    _between: Option<Process>,
    left: Namespace,
    _right: Namespace,
    _ports: Vec<VlanPort>,
    _node: Option<Namespace>,
}

impl Floor {
    /// A veth pair, untagged, offloads off.
    ///
    /// # Errors
    ///
    /// What netlab reports.
    pub fn bare(prefix: &str, folder: &Path) -> Result<Self> {
        let left = Namespace::create(&format!("{prefix}-bare-a"))?;
        let right = Namespace::create(&format!("{prefix}-bare-b"))?;
        veth::pair(&left, "v0", 1500, &right, "v0", 1500)?;
        veth::plain_frames(&left, "v0")?;
        veth::plain_frames(&right, "v0")?;
        Self::number(&left, &right)?;
        let server = peers::iperf_server(&right, "bare", folder)?;
        Ok(Self {
            _server: server,
            _between: None,
            left,
            _right: right,
            _ports: Vec::new(),
            _node: None,
        })
    }

    /// testpmd in io mode between two AF_XDP ports, on CPU `core`, both ends in one VLAN.
    ///
    /// # Errors
    ///
    /// With testpmd's output if it does not start.
    pub fn testpmd(prefix: &str, folder: &Path, core: u16) -> Result<Self> {
        let left = Namespace::create(&format!("{prefix}-pmd-a"))?;
        let right = Namespace::create(&format!("{prefix}-pmd-b"))?;
        let node = Namespace::create(&format!("{prefix}-pmd-node"))?;
        veth::dpdk_port(&left, "v0", &node, "p0", 1500)?;
        veth::dpdk_port(&right, "v0", &node, "p1", 1500)?;
        let ports = vec![
            VlanPort::access(&left, "v0", plan::EXTERNAL_TAG)?,
            VlanPort::access(&right, "v0", plan::EXTERNAL_TAG)?,
        ];
        Self::number(&left, &right)?;
        let main = u16::from(core == 0);
        let mut command = node.command("stdbuf");
        command.args(["-oL", "-eL", "dpdk-testpmd", "--in-memory", "-m", "128", "--no-pci"]);
        command.args(["--lcores", &format!("{main},{core}"), "--main-lcore", &main.to_string()]);
        command.arg(format!("--file-prefix={prefix}pmd"));
        command.args(["--vdev=net_af_xdp0,iface=p0", "--vdev=net_af_xdp1,iface=p1", "--"]);
        command.args(["--forward-mode=io", "--auto-start", "--stats-period=3600"]);
        command.args(["--total-num-mbufs=16384", "--no-lsc-interrupt"]);
        let mut between = ProcessBuilder::new("testpmd", command).spawn(folder)?;
        between.wait_for(START, |log| log.contains("packet forwarding"))?;
        let server = peers::iperf_server(&right, "testpmd", folder)?;
        Ok(Self {
            _server: server,
            _between: Some(between),
            left,
            _right: right,
            _ports: ports,
            _node: Some(node),
        })
    }

    fn number(left: &Namespace, right: &Namespace) -> Result<()> {
        left.address("v0", &format!("{LEFT}/24"))?;
        right.address("v0", &format!("{RIGHT}/24"))?;
        Ok(())
    }

    /// Runs iperf3 from one end to the other.
    ///
    /// # Errors
    ///
    /// As [`iperf`].
    pub fn run(&self, seconds: u32, udp_mbps: Option<u32>) -> Result<Throughput> {
        iperf(&self.left, RIGHT, seconds, udp_mbps)
    }
}
