//! Merging of monitor items (crds.md §3.4.3 rule 1).
//!
//! An item whose keys are all unset in the monitor being built joins it; an item that repeats a key
//! starts a new monitor. Defaults are applied afterwards, then V-MON again.

use super::{MonitorItem, NgapMonitors, TcpMonitors, UdpMonitorItem, UdpMonitors};
use crate::problem::{Path, Problem, Reason};

/// What a probe is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum MonitorKind {
    /// Echo request.
    Icmp,
    /// Handshake.
    Tcp,
    /// Datagram.
    Udp,
    /// INIT.
    Sctp,
}

/// One monitor after merging and defaults.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Monitor {
    /// What a probe is.
    pub kind: MonitorKind,
    /// Seconds between probes.
    pub interval: u32,
    /// Seconds without success after which a member is down; above `interval`.
    pub timeout: u32,
    /// Probe port, none is the member's.
    pub port: Option<u16>,
    /// `udp` only: payload to send.
    pub send: Vec<u8>,
    /// `udp` only: bytes the answer must contain.
    pub receive: Vec<u8>,
}

/// A kind's `monitors`.
pub trait Monitors {
    /// The merged monitors, by kind then in order; what does not merge is added to `out`.
    ///
    /// `at` is the place of `monitors`; `need_port` says that members have no port of their own.
    fn merged(&self, at: &Path, need_port: bool, out: &mut Vec<Problem>) -> Vec<Monitor>;

    /// Paths of keys that are accepted without effect.
    fn without_effect(&self, at: &Path) -> Vec<Path>;
}

/// One item, whatever its list, as the keys it sets.
#[derive(Clone, Debug, Default)]
struct Keys {
    interval: Option<i32>,
    timeout: Option<i32>,
    port: Option<u16>,
    send: Option<String>,
    receive: Option<String>,
    username: Option<()>,
    password: Option<()>,
    serverssl: Option<()>,
}

trait Item {
    fn keys(&self) -> Keys;
}

impl Item for MonitorItem {
    fn keys(&self) -> Keys {
        Keys {
            interval: self.interval,
            timeout: self.timeout,
            port: self.port,
            username: self.username.as_ref().map(drop),
            password: self.password.as_ref().map(drop),
            serverssl: self.serverssl_profile_name.as_ref().map(drop),
            ..Keys::default()
        }
    }
}

impl Item for UdpMonitorItem {
    fn keys(&self) -> Keys {
        Keys {
            interval: self.interval,
            timeout: self.timeout,
            port: self.port,
            send: self.send.clone(),
            receive: self.recv.clone(),
            username: self.username.as_ref().map(drop),
            password: self.password.as_ref().map(drop),
            serverssl: self.serverssl_profile_name.as_ref().map(drop),
        }
    }
}

impl Keys {
    fn repeats(&self, other: &Self) -> bool {
        self.interval.is_some() && other.interval.is_some()
            || self.timeout.is_some() && other.timeout.is_some()
            || self.port.is_some() && other.port.is_some()
            || self.send.is_some() && other.send.is_some()
            || self.receive.is_some() && other.receive.is_some()
            || self.username.is_some() && other.username.is_some()
            || self.password.is_some() && other.password.is_some()
            || self.serverssl.is_some() && other.serverssl.is_some()
    }

    fn join(&mut self, other: Self) {
        self.interval = self.interval.or(other.interval);
        self.timeout = self.timeout.or(other.timeout);
        self.port = self.port.or(other.port);
        self.send = self.send.take().or(other.send);
        self.receive = self.receive.take().or(other.receive);
        self.username = self.username.or(other.username);
        self.password = self.password.or(other.password);
        self.serverssl = self.serverssl.or(other.serverssl);
    }
}

/// Items of one list with where they stand and what they probe.
struct List<'a, T> {
    kind: MonitorKind,
    items: &'a [T],
    at: Path,
}

impl<T: Item> List<'_, T> {
    fn merge(&self, need_port: bool, monitors: &mut Vec<Monitor>, out: &mut Vec<Problem>) {
        let mut building: Option<(usize, Keys)> = None;
        for (index, item) in self.items.iter().enumerate() {
            let keys = item.keys();
            match &mut building {
                Some((_, built)) if !built.repeats(&keys) => built.join(keys),
                _ => {
                    if let Some((first, built)) = building.replace((index, keys)) {
                        self.finish(first, built, need_port, monitors, out);
                    }
                }
            }
        }
        if let Some((first, built)) = building {
            self.finish(first, built, need_port, monitors, out);
        }
    }

    fn finish(
        &self,
        first: usize,
        keys: Keys,
        need_port: bool,
        monitors: &mut Vec<Monitor>,
        out: &mut Vec<Problem>,
    ) {
        let at = self.at.index(first);
        let before = out.len();
        let interval = keys.interval.map_or(DEFAULT_INTERVAL, i32::unsigned_abs);
        let timeout = keys.timeout.map_or(3 * interval + 1, i32::unsigned_abs);
        if timeout <= interval {
            let problem = format!("interval {interval} is not below timeout {timeout}");
            out.push(refused(&at, "V-MON", problem, super::MONITOR.fix));
        }
        if need_port && keys.port.is_none() && self.kind != MonitorKind::Icmp {
            let problem = "port is required when service.port is 0";
            out.push(refused(&at, "R-MON-PORT", problem.to_owned(), "add the port to probe"));
        }
        let mut bytes = |text: Option<String>, name: &str| match unescape(&text.unwrap_or_default())
        {
            Unescaped::Bytes(bytes) => bytes,
            Unescaped::BadAt(position) => {
                let problem = format!("broken escape at character {position}");
                let fix = r"write bytes as \xHH and a backslash as \\";
                out.push(refused(&at.field(name), "R-MON-ESCAPE", problem, fix));
                Vec::new()
            }
        };
        let send = bytes(keys.send, "send");
        let receive = bytes(keys.receive, "recv");
        if out.len() == before {
            let (kind, port) = (self.kind, keys.port);
            monitors.push(Monitor { kind, interval, timeout, port, send, receive });
        }
    }

    fn without_effect(&self, out: &mut Vec<Path>) {
        for (index, item) in self.items.iter().enumerate() {
            let (at, keys) = (self.at.index(index), item.keys());
            // An echo has no port.
            let port = keys.port.filter(|_| self.kind == MonitorKind::Icmp).map(drop);
            for (set, name) in [
                (port, "port"),
                (keys.username, "username"),
                (keys.password, "password"),
                (keys.serverssl, "serversslProfileName"),
            ] {
                if set.is_some() {
                    out.push(at.field(name));
                }
            }
        }
    }
}

macro_rules! monitors {
    ($type:ty { $($field:ident: $kind:ident),* }) => {
        impl Monitors for $type {
            fn merged(&self, at: &Path, need_port: bool, out: &mut Vec<Problem>) -> Vec<Monitor> {
                let mut monitors = Vec::new();
                $(List {
                    kind: MonitorKind::$kind,
                    items: &self.$field,
                    at: at.field(stringify!($field)),
                }
                .merge(need_port, &mut monitors, out);)*
                monitors.sort_by_key(|monitor| monitor.kind);
                monitors
            }

            fn without_effect(&self, at: &Path) -> Vec<Path> {
                let mut out = Vec::new();
                $(List {
                    kind: MonitorKind::$kind,
                    items: &self.$field,
                    at: at.field(stringify!($field)),
                }
                .without_effect(&mut out);)*
                out
            }
        }
    };
}

monitors!(TcpMonitors { icmp: Icmp, tcp: Tcp });
monitors!(UdpMonitors { icmp: Icmp, tcp: Tcp, udp: Udp });
monitors!(NgapMonitors { icmp: Icmp, sctp: Sctp });

/// Outcome of reading a string with `\xHH` escapes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unescaped {
    /// The bytes.
    Bytes(Vec<u8>),
    /// The character, from 1, where no escape stands after a backslash.
    BadAt(usize),
}

/// Reads `\xHH` as a byte and `\\` as a backslash; all else stands for itself in UTF-8.
#[must_use]
fn unescape(text: &str) -> Unescaped {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars().enumerate();
    while let Some((position, c)) = rest.next() {
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        match rest.next().map(|(_, c)| c) {
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let mut digit = || rest.next().and_then(|(_, c)| c.to_digit(16));
                let byte = digit().zip(digit()).and_then(|(h, l)| u8::try_from(h * 16 + l).ok());
                match byte {
                    Some(byte) => bytes.push(byte),
                    None => return Unescaped::BadAt(position + 1),
                }
            }
            Some(_) | None => return Unescaped::BadAt(position + 1),
        }
    }
    Unescaped::Bytes(bytes)
}

fn refused(at: &Path, code: &'static str, problem: String, fix: &str) -> Problem {
    Problem::invalid(at, code, problem, fix).because(Reason::InvalidMonitor)
}

/// Seconds between probes when no item says so.
const DEFAULT_INTERVAL: u32 = 5;
