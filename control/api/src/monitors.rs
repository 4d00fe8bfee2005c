//! Health monitors: items as written, and the merging of items into monitors.
//!
//! Source: crds.md §3.4.3.

mod merge;
#[cfg(test)]
mod tests;

use crate::problem::{Path, Problem};
use crate::rule::{Rule, Rules, each};
use crate::schema::{self, Schema, int, list, object, text};

pub use merge::{Monitor, MonitorKind, Monitors, Unescaped};

object! {
    /// One item of a `tcp`, `icmp` or `sctp` list.
    pub struct MonitorItem {
        /// Seconds between probes.
        interval: Option<i32>, "interval", int(1, 86_400);
        /// Seconds without success after which a member is down.
        timeout: Option<i32>, "timeout", int(2, 86_400);
        /// Probe port; none is the member's.
        port: Option<u16>, "port", int(1, 65_535);
        /// Accepted without effect.
        username: Option<String>, "username", text(0, 255).or_empty();
        /// Accepted without effect.
        password: Option<String>, "password", text(0, 255).or_empty();
        /// Accepted without effect.
        serverssl_profile_name: Option<String>, "serversslProfileName", text(0, 255).or_empty();
    }
}

object! {
    /// One item of a `udp` list.
    pub struct UdpMonitorItem {
        /// Seconds between probes.
        interval: Option<i32>, "interval", int(1, 86_400);
        /// Seconds without success after which a member is down.
        timeout: Option<i32>, "timeout", int(2, 86_400);
        /// Probe port; none is the member's.
        port: Option<u16>, "port", int(1, 65_535);
        /// Payload to send, with `\xHH` escapes.
        send: Option<String>, "send", text(0, 512);
        /// Text that the answer must contain, with `\xHH` escapes.
        recv: Option<String>, "recv", text(0, 512);
        /// Accepted without effect.
        username: Option<String>, "username", text(0, 255).or_empty();
        /// Accepted without effect.
        password: Option<String>, "password", text(0, 255).or_empty();
        /// Accepted without effect.
        serverssl_profile_name: Option<String>, "serversslProfileName", text(0, 255).or_empty();
    }
}

object! {
    /// `monitors` of F5SPKIngressTCP.
    pub struct TcpMonitors {
        /// A completed handshake is success.
        tcp: Vec<MonitorItem>, "tcp", items::<MonitorItem>();
        /// An echo reply is success.
        icmp: Vec<MonitorItem>, "icmp", items::<MonitorItem>();
    }
}

object! {
    /// `monitors` of F5SPKIngressUDP.
    pub struct UdpMonitors {
        /// An echo reply is success.
        icmp: Vec<MonitorItem>, "icmp", items::<MonitorItem>();
        /// A completed handshake is success.
        tcp: Vec<MonitorItem>, "tcp", items::<MonitorItem>();
        /// An answer, or silence if none is asked for, is success.
        udp: Vec<UdpMonitorItem>, "udp", items::<UdpMonitorItem>();
    }
}

object! {
    /// `monitors` of F5SPKIngressNGAP.
    pub struct NgapMonitors {
        /// An echo reply is success.
        icmp: Vec<MonitorItem>, "icmp", items::<MonitorItem>();
        /// INIT answered by INIT ACK is success.
        sctp: Vec<MonitorItem>, "sctp", items::<MonitorItem>();
    }
}

/// V-MON.
pub const MONITOR: Rule = Rule {
    id: "V-MON",
    cel: "!has(self.interval) || !has(self.timeout) || self.timeout > self.interval",
    message: "timeout must be greater than interval",
    fix: "raise timeout or lower interval",
};

impl Rules for MonitorItem {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        times(self.interval, self.timeout, at, out);
    }
}

impl Rules for UdpMonitorItem {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        times(self.interval, self.timeout, at, out);
    }
}

impl Rules for TcpMonitors {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        each(&self.tcp, &at.field("tcp"), out);
        each(&self.icmp, &at.field("icmp"), out);
    }
}

impl Rules for UdpMonitors {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        each(&self.icmp, &at.field("icmp"), out);
        each(&self.tcp, &at.field("tcp"), out);
        each(&self.udp, &at.field("udp"), out);
    }
}

impl Rules for NgapMonitors {
    fn rules(&self, at: &Path, out: &mut Vec<Problem>) {
        each(&self.icmp, &at.field("icmp"), out);
        each(&self.sctp, &at.field("sctp"), out);
    }
}

fn times(interval: Option<i32>, timeout: Option<i32>, at: &Path, out: &mut Vec<Problem>) {
    let good = match (interval, timeout) {
        (Some(interval), Some(timeout)) => timeout > interval,
        (None, _) | (_, None) => true,
    };
    MONITOR.check(good, at, out);
}

fn items<T: schema::Typed>() -> Schema {
    list(schema::nested::<T>(), 0, 8)
}
