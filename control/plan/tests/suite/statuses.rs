//! Delivery facts to conditions and status.

use k8s_openapi::jiff::Timestamp;
use spk_api::Kind;
use spk_api::status::{MemberState, ReplicaState, Status};
use spk_plan::delivery::{DeviceFault, Licence, MemberReport, ReplicaDelivery, programmed};
use spk_plan::{Delivery, Plan, plan, status};

use crate::scenario::{id, inputs, samples, words};

fn planned() -> Plan {
    plan(&inputs(&samples()))
}

fn replica(index: u16, acknowledged: Option<u64>) -> ReplicaDelivery {
    let pod = format!("f5-tmm-{index}");
    ReplicaDelivery { index, pod, acknowledged, ..ReplicaDelivery::default() }
}

fn allowed(replicas: Vec<ReplicaDelivery>) -> Delivery {
    Delivery { licence: Licence::Allowed, replicas }
}

#[test]
fn programmed_follows_delivery_in_the_documented_words() {
    let plan = planned();
    let vlan = id(Kind::F5SPKVlan, "spk-core", "vlan-external");
    let failed = ReplicaDelivery { failure: Some("connection refused".into()), ..replica(1, None) };
    let fault = DeviceFault {
        vlan: "vlan-external".into(),
        interface: "1.1".into(),
        cause: "no such interface".into(),
        fix: "add it to the ports".into(),
    };
    let faulty = ReplicaDelivery { faults: vec![fault], ..replica(1, Some(1)) };
    let healed = ReplicaDelivery { failure: Some("late news".into()), ..replica(1, Some(1)) };
    let table = [
        (
            Delivery::default(),
            "False/NotLicensed: waiting for licence verification by CWC; nothing is sent to TMM",
        ),
        (
            Delivery { licence: Licence::Blocked("trial has ended".into()), replicas: vec![] },
            "False/NotLicensed: trial has ended",
        ),
        (allowed(vec![]), "False/NoTMM: no TMM replica is running; check tmm.replicaCount"),
        (
            allowed(vec![replica(0, Some(1)), replica(1, None)]),
            "False/Pending: CR config deployment is in progress",
        ),
        (
            allowed(vec![replica(0, Some(1)), failed]),
            "False/DeliveryFailed: Failure in sending CR config to grpc endpoints: f5-tmm-1: \
             connection refused",
        ),
        (
            allowed(vec![replica(0, Some(1)), faulty]),
            "False/DeviceError: f5-tmm-1 1.1: no such interface; add it to the ports",
        ),
        (
            allowed(vec![replica(0, Some(1)), replica(3, Some(1))]),
            "False/SelfIpExhausted: replica 3 (f5-tmm-3) has no entry in spec.selfip_v4s: add 2 or \
             lower tmm.replicaCount to 2",
        ),
        (
            allowed(vec![replica(0, Some(2)), healed]),
            "True/Programmed: CR config sent to all grpc endpoints",
        ),
    ];
    for (delivery, expected) in table {
        assert_eq!(words(&programmed(&vlan, &plan.objects[&vlan], &delivery)), expected);
    }
}

#[test]
fn a_fault_of_a_device_and_a_missing_self_ip_concern_only_their_vlan() {
    let plan = planned();
    let fault = DeviceFault {
        vlan: "vlan-internal".into(),
        interface: "1.2".into(),
        cause: "link is down".into(),
        fix: "plug it in".into(),
    };
    let faulty = ReplicaDelivery { faults: vec![fault], ..replica(0, Some(1)) };
    let delivery = allowed(vec![faulty]);
    let reason = |kind, namespace, name| {
        let id = id(kind, namespace, name);
        programmed(&id, &plan.objects[&id], &delivery).reason
    };
    assert_eq!(reason(Kind::F5SPKVlan, "spk-core", "vlan-internal"), "DeviceError");
    assert_eq!(reason(Kind::F5SPKVlan, "spk-core", "vlan-external"), "Programmed");
    assert_eq!(reason(Kind::F5SPKIngressTCP, "demo", "web"), "Programmed");
}

#[test]
fn a_refused_object_is_not_programmed_whatever_was_delivered() {
    let text = "apiVersion: k8s.f5net.com/v1\nkind: F5SPKVlan\nmetadata: {name: x, namespace: \
                spk-core}\nspec: {interfaces: [\"1.1\"], bonded: true}\n";
    let plan = plan(&inputs(text));
    let vlan = id(Kind::F5SPKVlan, "spk-core", "x");
    let verdict = programmed(&vlan, &plan.objects[&vlan], &Delivery::default());
    assert_eq!(
        words(&verdict),
        "False/NotAccepted: spec.bonded: true is not implemented; set false; link aggregation \
         comes with step engine"
    );
}

fn report(pool: &str, last: u8, state: MemberState, since: &str) -> MemberReport {
    MemberReport {
        pool: pool.into(),
        address: [10, 20, 0, last].into(),
        port: 8080,
        state,
        since: Some(since.into()),
        reason: format!("{state:?}").to_lowercase(),
    }
}

#[test]
fn status_joins_the_replicas_views_of_members() {
    let plan = planned();
    let web = id(Kind::F5SPKIngressTCP, "demo", "web");
    let mut zero = replica(0, Some(1));
    let mut one = replica(1, None);
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z");
    zero.members = vec![
        report("demo-web-v4", 21, MemberState::Up, early),
        report("demo-web-v4", 22, MemberState::Up, early),
        report("another-pool", 23, MemberState::Down, early),
    ];
    one.members = vec![
        report("demo-web-v4", 21, MemberState::Up, early),
        report("demo-web-v4", 22, MemberState::Down, late),
    ];
    let delivery = allowed(vec![one, zero]);
    let status = status(&plan, &web, &delivery, None, Timestamp::UNIX_EPOCH).expect("it is ours");
    let members: Vec<_> = status
        .members
        .iter()
        .filter(|member| member.address.is_ipv4())
        .map(|m| (m.address.to_string(), m.state, m.last_transition.as_deref(), m.reason.as_str()))
        .collect();
    assert_eq!(
        members,
        [
            ("10.20.0.21".into(), MemberState::Up, Some(early), "up"),
            ("10.20.0.22".into(), MemberState::Partial, Some(late), "down"),
            ("10.20.0.23".into(), MemberState::Checking, None, ""),
        ]
    );
    assert_eq!(status.member_summary.as_deref(), Some("1/6"));
    assert_eq!(status.vip.as_deref(), Some("192.0.2.10,2001:db8:10::10"));
    assert_eq!(status.port.as_deref(), Some("80"));
    let replicas: Vec<_> = status.replicas.iter().map(|r| (r.index, r.state)).collect();
    assert_eq!(replicas, [(0, ReplicaState::Programmed), (1, ReplicaState::Pending)]);
    assert_eq!(status.generation_id, None, "not every replica acknowledged");
}

#[test]
fn status_of_a_vlan_shows_each_replicas_addresses() {
    let plan = planned();
    let vlan = id(Kind::F5SPKVlan, "spk-core", "vlan-internal");
    let delivery = allowed((0..3).map(|index| replica(index, Some(1))).collect());
    let status = status(&plan, &vlan, &delivery, None, Timestamp::UNIX_EPOCH).expect("it is ours");
    let seen: Vec<_> = status
        .replicas
        .iter()
        .map(|r| (r.state, r.addresses.iter().map(ToString::to_string).collect::<Vec<_>>()))
        .collect();
    let own = |n: u8| vec![format!("10.20.0.{n}"), format!("2001:db8:200::{n}")];
    assert_eq!(
        seen,
        [
            (ReplicaState::Programmed, own(11)),
            (ReplicaState::Programmed, own(12)),
            (ReplicaState::NoAddress, vec![]),
        ]
    );
    assert!(status.vip.is_none() && status.member_summary.is_none());
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let plan = planned();
    let web = id(Kind::F5SPKIngressTCP, "demo", "web");
    let at = |second| Timestamp::from_second(second).expect("in range");
    let times = |status: &Status| -> Vec<(String, i64)> {
        let conditions = status.conditions.iter();
        conditions.map(|c| (c.type_.clone(), c.last_transition_time.0.as_second())).collect()
    };
    let pending = allowed(vec![replica(0, None)]);
    let first = status(&plan, &web, &pending, None, at(10)).expect("it is ours");
    let failed = ReplicaDelivery { failure: Some("x".into()), ..replica(0, None) };
    let second = status(&plan, &web, &allowed(vec![failed]), Some(&first), at(20)).expect("ours");
    let done = allowed(vec![replica(0, Some(1))]);
    let third = status(&plan, &web, &done, Some(&second), at(30)).expect("it is ours");
    let expect = |programmed| {
        [("Accepted", 10), ("Programmed", programmed), ("ResolvedRefs", 10)]
            .map(|(name, time)| (name.to_owned(), time))
    };
    assert_eq!(times(&second), expect(10), "another reason, the same status");
    assert_eq!(times(&third), expect(30));
    assert_eq!(third.generation_id, Some(1));
}

#[test]
fn an_object_that_is_not_ours_has_no_status() {
    let plan = planned();
    let stranger = id(Kind::F5SPKIngressTCP, "elsewhere", "web");
    let status = status(&plan, &stranger, &Delivery::default(), None, Timestamp::UNIX_EPOCH);
    assert_eq!(status, None);
}
