//! A worker of a process that ends: old flows go on, none begins; and listings in pieces.

mod rig;

use rig::craft::{ACK, CLIENT, SERVER, SYN, Tcp};
use rig::{Rig, spec};
use tmm_engine::DropReason;
use tmm_engine::flows::FlowRow;
use tmm_wire::Protocol;

const VIP: &str = "192.0.2.10:80";
const M: &str = "10.2.0.11:8080";

fn rig() -> Rig {
    let mut spec = spec::vlans();
    spec::listen(&mut spec, Protocol::Tcp, VIP, &[M]);
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    rig
}

fn syn(port: u16) -> Vec<u8> {
    let segment = Tcp { flags: SYN, seq: 1000, ack: 0, payload: b"" };
    CLIENT.tcp(&format!("10.1.0.100:{port}"), VIP, segment)
}

#[test]
fn a_draining_worker_serves_old_flows_and_opens_none() {
    let mut rig = rig();
    assert_eq!(rig.send(&CLIENT, syn(40_000)).len(), 1);
    rig.worker.refuse_new_flows();
    rig.must_drop(&CLIENT, syn(40_001), DropReason::Draining);
    let answer = Tcp { flags: SYN | ACK, seq: 5000, ack: 1001, payload: b"" };
    assert_eq!(rig.send(&SERVER, SERVER.tcp(M, "10.1.0.100:40000", answer)).len(), 1);
    assert_eq!(rig.send(&CLIENT, syn(40_000)).len(), 1, "a repeated SYN is of an old flow");
}

#[test]
fn pages_of_a_listing_hold_each_flow_once() {
    let mut rig = rig();
    for port in 40_000..40_100 {
        assert_eq!(rig.send(&CLIENT, syn(port)).len(), 1);
    }
    let flows = rig.worker.flows();
    let all: Vec<FlowRow> = flows.rows(rig.now).collect();
    assert_eq!(all.len(), 100);
    let mut paged = Vec::new();
    for from in (0..flows.places()).step_by(7) {
        paged.extend(flows.page(rig.now, from, from + 7));
    }
    assert_eq!(paged, all);
}
