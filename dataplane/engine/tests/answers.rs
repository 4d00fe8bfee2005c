//! The rate of answers to packets that no member is there for (crds.md §5.3): a listener's own,
//! whatever its protocol and family, and however many workers share it.

mod rig;

use std::collections::BTreeMap;
use std::net::IpAddr;

use rig::craft::{CLIENT, SYN, Tcp};
use rig::{Rig, Seen, spec};
use tmm_config::Nanos;
use tmm_engine::DropReason;
use tmm_wire::Protocol;

const INIT: [u8; 20] = [1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5];

/// Packets that each listener is sent in a second.
const OFFERED: u16 = 2000;

/// Workers that share one configuration; frames arrive at the first.
struct Workers(Vec<Rig>);

impl Workers {
    fn new(spec: &tmm_config::Spec, workers: u16) -> Self {
        let rig = |worker| {
            Rig::with(spec, |setup| {
                setup.worker = worker;
                setup.workers = workers;
            })
        };
        Self((0..workers).map(rig).collect())
    }

    fn send(&mut self, frame: Vec<u8>) -> Vec<Seen> {
        let mut seen = self.0[0].send(&CLIENT, frame);
        for (to, item) in std::mem::take(&mut self.0[0].handed) {
            seen.extend(self.0[usize::from(to)].take_handed(vec![item]));
        }
        seen
    }

    fn wait(&mut self, nanos: u64) {
        self.0.iter_mut().for_each(|rig| rig.now = rig.now.plus(Nanos(nanos)));
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.0.iter().map(|rig| rig.drops(reason)).sum()
    }
}

/// A packet that opens a flow to `vip`.
fn opening(protocol: Protocol, client: &str, vip: &str) -> Vec<u8> {
    match protocol {
        Protocol::Tcp => CLIENT.tcp(client, vip, Tcp { flags: SYN, seq: 77, ..Tcp::default() }),
        Protocol::Udp => CLIENT.udp(client, vip, b"query"),
        Protocol::Sctp => CLIENT.sctp(client, vip, 0, &INIT),
    }
}

/// Answers by listener in each of three seconds in which all are sent `OFFERED` packets at once.
fn answers(
    listeners: &[(Protocol, &str)],
    client: &str,
    workers: u16,
) -> Vec<BTreeMap<IpAddr, usize>> {
    let mut spec = spec::vlans();
    for (protocol, vip) in listeners {
        spec::listen(&mut spec, *protocol, vip, &[]);
    }
    let mut all = Workers::new(&spec, workers);
    let mut seconds = Vec::new();
    for _ in 0..3 {
        let mut answers = BTreeMap::new();
        for port in 0..OFFERED {
            all.wait(1_000_000_000 / u64::from(OFFERED));
            for (protocol, vip) in listeners {
                let from = format!("{client}:{}", 10_000 + port);
                for seen in all.send(opening(*protocol, &from, vip)) {
                    assert!(seen.checksums_are_right(), "{seen:?}");
                    *answers.entry(seen.src()).or_insert(0) += 1;
                }
            }
        }
        seconds.push(answers);
    }
    let sent: usize = seconds.iter().flat_map(BTreeMap::values).sum();
    let offered = 3 * usize::from(OFFERED) * listeners.len();
    assert_eq!(all.drops(DropReason::NoMember), sent as u64);
    assert_eq!(all.drops(DropReason::AnswerRate), (offered - sent) as u64);
    seconds
}

fn each_has_the_rate(listeners: &[(Protocol, &str)], client: &str, workers: u16) {
    for (second, answers) in answers(listeners, client, workers).into_iter().enumerate() {
        assert_eq!(answers.len(), listeners.len(), "one address a listener");
        for (vip, answers) in answers {
            assert!((800..=1000).contains(&answers), "{answers} of {vip} in second {second}");
        }
    }
}

/// CHK-068: two listeners that are flooded at once have 1,000 answers a second each: TCP beside
/// TCP, and UDP beside SCTP.
#[test]
fn listeners_flooded_at_once_have_the_rate_each() {
    let pairs = [
        [(Protocol::Tcp, "192.0.2.10:80"), (Protocol::Tcp, "192.0.2.11:80")],
        [(Protocol::Udp, "192.0.2.20:53"), (Protocol::Sctp, "192.0.2.50:38412")],
    ];
    for pair in pairs {
        each_has_the_rate(&pair, "10.1.0.100", 1);
    }
}

/// CHK-068: the same rate over IPv6.
#[test]
fn answers_over_ipv6_have_the_rate() {
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        each_has_the_rate(&[(protocol, "[2001:db8:f::10]:80")], "[2001:db8:1::100]", 1);
    }
}

/// CHK-068: the rate is the listener's, so that workers share it.
#[test]
fn two_workers_send_no_more_than_the_rate_together() {
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        each_has_the_rate(&[(protocol, "192.0.2.10:80")], "10.1.0.100", 2);
        each_has_the_rate(&[(protocol, "[2001:db8:f::10]:80")], "[2001:db8:1::100]", 2);
    }
}
