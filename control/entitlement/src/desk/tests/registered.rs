//! Who is registered and listed.

use super::*;

fn names(prefix: &str, count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("{prefix}-{number:03}")).collect()
}

/// LIC-738: requests of 300 namespaces without a Deployment of ours are counted, not answered and
/// not registered; of 257 real ones the last is refused. (That report and `context` stay as they are
/// is shown on a real bus.)
#[test]
fn invented_instances_are_neither_registered_nor_answered() {
    let mut rig = Rig::new(trial());
    rig.run(0);
    let real = names("real", 257);
    rig.give(Input::Instances(real.clone()), 0);
    for namespace in names("invented", 300) {
        let outputs = rig.message(&namespace, request(), 1).1;
        assert_eq!(outputs, [Output::Refused(Refusal::UnknownInstance)]);
        let goodbye = rig.message(&namespace, Body::Goodbye, 1).1;
        assert_eq!(goodbye, [Output::Refused(Refusal::UnknownInstance)]);
    }
    assert_eq!(rig.desk.controllers(Nanos(0)), []);
    for (number, namespace) in real.iter().enumerate() {
        let outputs = rig.message(namespace, request(), 1).1;
        if number < 256 {
            assert_eq!(kinds(&outputs), ["Verified", "Entitlement Trial"], "{namespace}");
        } else {
            assert_eq!(outputs, [Output::Refused(Refusal::Full)]);
        }
    }
    assert_eq!(rig.desk.controllers(Nanos(0)).len(), 256);
    // One real namespace goes: there is room for the last.
    let left: BTreeSet<String> = real.iter().skip(1).cloned().collect();
    rig.give(Input::Instances(left), 2);
    assert_eq!(kinds(&rig.message("real-256", request(), 2).1).len(), 2);
    assert_eq!(
        rig.message("real-000", request(), 2).1,
        [Output::Refused(Refusal::UnknownInstance)]
    );
}

#[test]
fn nobody_is_registered_before_the_api_was_read() {
    let keys = KeyRing { signing: key(1), next: None, published: Jwks::default() };
    let missed = MissedHeartbeats::default();
    let start = Start { missed, keys, epoch: 1, standing: trial(), seed: [9; 32] };
    let mut rig = Rig { desk: Desk::new(start, at(0)), messages: 0 };
    rig.run(0);
    assert_eq!(rig.ask(1).1, [Output::Refused(Refusal::UnknownInstance)]);
}

#[test]
fn malformed_names_and_messages_of_a_cwc_are_refused() {
    let mut rig = Rig::new(trial());
    rig.run(0);
    for name in ["", "a b", "<script>", "ü", &"x".repeat(254)] {
        let Body::GetEntitlementRequest(good) = request() else { panic!("a request") };
        let mut bad = good.clone();
        name.clone_into(&mut bad.instance);
        let outputs = rig.message(NAMESPACE, Body::GetEntitlementRequest(bad), 1).1;
        assert_eq!(outputs, [Output::Refused(Refusal::BadName)], "{name}");
        let mut bad = good;
        name.clone_into(&mut bad.tmms[0].name);
        let tmms = bad.tmms.clone();
        let outputs = rig.message(NAMESPACE, Body::GetEntitlementRequest(bad), 1).1;
        assert_eq!(outputs, [Output::Refused(Refusal::BadName)], "{name}");
        let body = Body::LeaseRequest(LeaseRequest { tmms, trust: vec![] });
        let outputs = rig.message(NAMESPACE, body, 1).1;
        assert_eq!(outputs, [Output::Refused(Refusal::BadName)], "{name}");
    }
    assert_eq!(rig.desk.controllers(Nanos(0)), []);
    let outputs = rig.ask(1).1;
    let Some(Output::Publish(answer)) = outputs.last() else { panic!("{outputs:?}") };
    let (_, outputs) = rig.message(NAMESPACE, answer.body.clone(), 1);
    assert_eq!(outputs, [Output::Refused(Refusal::NoRequest)]);
}

#[test]
fn the_list_shows_each_controller_and_its_tmms() {
    let mut rig = Rig::new(waiting());
    rig.run(0);
    let list = |rig: &Rig, now| rig.desk.controllers(Nanos::from_secs(now)).remove(0);
    rig.ask(10);
    let view = list(&rig, 10);
    assert_eq!((view.namespace.as_str(), view.instance.as_str()), (NAMESPACE, "controller"));
    assert_eq!((view.last_seen, view.gone), (Nanos::from_secs(10), false));
    let closed = |reason| TmmView {
        name: format!("name-{POD}"),
        gate: GateState::Closed,
        reason: Some(reason),
        lease_remaining: None,
    };
    assert_eq!(view.tmms, [closed(Reason::NotActivated)]);

    rig.give(Input::Standing(trial()), 20);
    assert_eq!(list(&rig, 20).tmms, [closed(Reason::NoLease)]);
    rig.ask(20);
    let open = |left| TmmView {
        gate: GateState::Open,
        reason: None,
        lease_remaining: Some(left),
        ..closed(Reason::NoLease)
    };
    assert_eq!(list(&rig, 20).tmms, [open(183)]);
    assert_eq!(list(&rig, 50).tmms, [open(153)]);
    rig.run(60);
    assert_eq!(list(&rig, 60).tmms, [open(183)]);
    assert_eq!(list(&rig, 243).tmms, [closed(Reason::LeaseEnded)]);

    rig.give(Input::Standing(standing(Class::Trial, Verdict::Block, Reason::Expired)), 70);
    assert_eq!(list(&rig, 70).tmms, [closed(Reason::Expired)]);
    rig.give(Input::Standing(production()), 80);
    rig.ask(80);
    let latched = TmmView { gate: GateState::Latched, lease_remaining: None, ..open(0) };
    assert_eq!(list(&rig, 9999).tmms, [latched]);

    rig.message(NAMESPACE, Body::Goodbye, 90);
    assert!(list(&rig, 90).gone);
    rig.ask(95);
    assert!(!list(&rig, 95).gone);
}
