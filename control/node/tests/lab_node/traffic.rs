//! The TMM under load while its supervisor dies and another takes over.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use netlab::{Namespace, veth};
use nix::sys::signal::Signal;

use crate::rig::{A_WHILE, Rig, until};

const RESOURCES: &str = "apiVersion: k8s.f5net.com/v1
kind: F5SPKVlan
metadata: {name: external, namespace: spk-core}
spec: {name: external, interfaces: [\"1.1\"], selfip_v4s: [198.51.100.11], prefixlen_v4: 24}
---
apiVersion: k8s.f5net.com/v1
kind: F5SPKVlan
metadata: {name: internal, namespace: spk-core}
spec: {name: internal, interfaces: [\"1.2\"], selfip_v4s: [10.20.0.11], prefixlen_v4: 24}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: spk-apps}
spec: {ports: [{name: echo, port: 7007, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: echo-1, namespace: spk-apps, labels: {kubernetes.io/service-name: echo}}
addressType: IPv4
ports: [{name: echo, port: 7007, protocol: UDP}]
endpoints: [{addresses: [10.20.0.21], conditions: {ready: true}}]
---
apiVersion: ingressudp.k8s.f5net.com/v1
kind: F5SPKIngressUDP
metadata: {name: echo, namespace: spk-apps}
service: {name: echo, port: 7007}
spec: {destinationAddress: 192.0.2.20, destinationPort: 7007, snat: SRC_TRANS_AUTOMAP}
";

/// OPS-177: under load from one client that waits for each answer, so that any loss is seen.
#[test]
fn killed_spk_node_costs_no_packet_and_the_next_one_keeps_the_pids() {
    let ports = |_| {
        String::from(
            "[{name: \"1.1\", kind: afPacket, device: ext0}, \
             {name: \"1.2\", kind: afPacket, device: int0}]",
        )
    };
    let mut rig = Rig::with_ports(1, ports);
    let peer = |name: &str| Namespace::create(&format!("{}{name}", rig.namespace.name())).unwrap();
    let (client, server) = (peer("c"), peer("s"));
    for (namespace, device, address) in
        [(&client, "ext0", "198.51.100.50/24"), (&server, "int0", "10.20.0.21/24")]
    {
        veth::pair(namespace, "v0", 1500, &rig.namespace, device, 1504).unwrap();
        veth::plain_frames(namespace, "v0").unwrap();
        namespace.address("v0", address).unwrap();
        namespace.ip(["link", "set", "v0", "up"]).unwrap();
        rig.namespace.ip(["link", "set", device, "up"]).unwrap();
    }
    client.route("192.0.2.0/24", "198.51.100.11").unwrap();
    rig.put("all.yaml", RESOURCES);
    rig.start_ready();
    let pid = rig.tmm(0);

    let over = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    let lost = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let stop = StopOnDrop(&over);
        scope.spawn(|| server.enter(|| echo(&over)).unwrap());
        scope.spawn(|| client.enter(|| load(&over, &answered, &lost)).unwrap());
        let flows = |least: u64| {
            let goal = answered.load(Ordering::Relaxed) + least;
            until("packets flow", A_WHILE, || answered.load(Ordering::Relaxed) >= goal);
        };
        flows(1);
        // The first packets may wait for ARP.
        lost.store(0, Ordering::Relaxed);
        flows(500);
        rig.end(Signal::SIGKILL);
        flows(500);
        rig.start_ready();
        flows(500);
        assert_eq!(rig.tmm(0), pid, "the TMM was restarted");
        assert!(rig.try_status().unwrap().processes[0].adopted);
        drop(stop);
    });
    assert_eq!(lost.load(Ordering::Relaxed), 0, "of {answered:?} packets");
}

/// Ends the peers also when an assertion fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn echo(over: &AtomicBool) {
    let socket = UdpSocket::bind("10.20.0.21:7007").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut bytes = [0; 64];
    while !over.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut bytes) {
            socket.send_to(&bytes[..length], from).unwrap();
        }
    }
}

/// One numbered datagram at a time; each waits a second for its answer.
fn load(over: &AtomicBool, answered: &AtomicU64, lost: &AtomicU64) {
    let socket = UdpSocket::bind("198.51.100.50:0").unwrap();
    socket.connect("192.0.2.20:7007").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut bytes = [0; 64];
    for number in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        if socket.send(&number.to_be_bytes()).is_err() {
            continue;
        }
        let deadline = Instant::now() + Duration::from_secs(1);
        loop {
            let found = socket.recv(&mut bytes).is_ok_and(|n| bytes[..n] == number.to_be_bytes());
            if found {
                answered.fetch_add(1, Ordering::Relaxed);
                break;
            }
            if over.load(Ordering::Relaxed) {
                return;
            }
            if Instant::now() > deadline {
                lost.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
    }
}
