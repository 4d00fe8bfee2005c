//! Messages there and back, and what is refused.

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::lease::Class;

const WALL: u64 = 1_800_000_000;

fn facts() -> LicenseFacts {
    LicenseFacts {
        order_type: OrderType::Eval,
        expiry: Some("2027-01-01T00:00:00Z".to_owned()),
        digital_asset_id: Uuid::from_u128(1),
        jti: "jti".to_owned(),
    }
}

/// One message of each type, with every member that it may have.
fn all() -> Vec<Message> {
    let statement = || "a.b.c".to_owned();
    let tmm = TmmNonce {
        pod: "uid".to_owned(),
        name: "f5-tmm-0".to_owned(),
        nonce: Nonce([7; 16]),
        gate: GateState::Closed,
    };
    let entitlement = |class, latch: Option<&str>| Entitlement {
        class,
        latch: latch.map(str::to_owned),
        statement: statement(),
    };
    let bodies = vec![
        Body::GetEntitlementRequest(GetEntitlementRequest {
            instance: "pod".to_owned(),
            version: "1".to_owned(),
            attempt: 3,
            last: Some(statement()),
            tmms: vec![tmm.clone()],
            trust: vec!["kid".to_owned()],
        }),
        Body::LeaseRequest(LeaseRequest { tmms: vec![tmm], trust: Vec::new() }),
        Body::Goodbye,
        Body::GetbackLater(GetbackLater {
            state: 10,
            state_text: "Config Report Downloaded".to_owned(),
            retry_after: 5,
            statement: statement(),
        }),
        Body::Verified(Verified {
            license: facts(),
            leases: vec![PodLease { pod: "uid".to_owned(), lease: statement() }],
            statement: statement(),
        }),
        Body::EntitlementPaid(entitlement(Class::Production, Some("l.a.t"))),
        Body::EntitlementTrial(entitlement(Class::Trial, None)),
        Body::Heartbeat(Heartbeat { seq: 9, statement: statement(), license: Some(facts()) }),
        Body::LicenseChanged(LicenseChanged { state: 12, statement: statement() }),
    ];
    let message = |(number, body): (usize, Body)| {
        let answer = matches!(
            body,
            Body::GetbackLater(_)
                | Body::Verified(_)
                | Body::EntitlementPaid(_)
                | Body::EntitlementTrial(_)
        );
        Message {
            id: Uuid::from_u128(100 + number as u128),
            reply_to: answer.then(|| Uuid::from_u128(50)),
            namespace: "spk".to_owned(),
            body,
        }
    };
    bodies.into_iter().enumerate().map(message).collect()
}

fn members(envelope: &Envelope) -> Value {
    serde_json::from_slice(&envelope.body).unwrap()
}

#[test]
fn each_message_comes_back_as_it_was() {
    let all = all();
    assert_eq!(all.len(), KINDS.len());
    for message in all {
        let Envelope { properties, body, .. } = message.seal(WALL);
        assert_eq!(Message::open(&properties, &body), Ok(message));
    }
}

/// The properties and common members that licensing.md §10.3 and §10.4 give every message (a real
/// broker's trace is taken with the bus).
#[test]
fn each_message_carries_the_common_properties_and_members() {
    for message in all() {
        let Envelope { route, properties, body } = message.seal(WALL);
        let from_controller = route == Route::Cwc;
        let heartbeat = properties.kind == "heartbeat";
        assert_eq!(properties.content_type, "application/json");
        assert_eq!(properties.content_encoding, "utf-8");
        assert_eq!(properties.message_id, message.id.to_string());
        assert_eq!(properties.timestamp, WALL);
        assert_eq!(properties.app_id, if from_controller { "f5-lic-helper" } else { "spk-cwc" });
        assert_eq!(properties.user_id, "f5net");
        assert_eq!(properties.delivery_mode, if heartbeat { 1 } else { 2 });
        assert_eq!(properties.expiration.as_deref(), heartbeat.then_some("60000"));
        let answers = message.reply_to.map(|id| id.to_string());
        assert_eq!(properties.correlation_id, answers);

        let members: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(members["v"], json!(1));
        assert_eq!(members["type"], json!(properties.kind));
        assert_eq!(members["id"], json!(message.id.to_string()));
        assert_eq!(members["ts"], json!("2027-01-15T08:00:00Z"));
        assert_eq!(members["namespace"], json!("spk"));
    }
}

#[test]
fn each_message_has_the_route_and_the_members_of_its_row() {
    let rows: [(&str, &str, &str, &[&str]); 9] = [
        (
            "GetEntitlementRequest",
            "",
            "cwc",
            &["instance", "version", "attempt", "last", "tmms", "trust"],
        ),
        ("LeaseRequest", "", "cwc", &["tmms", "trust"]),
        ("Goodbye", "", "cwc", &[]),
        (
            "GetbackLater",
            "CWC-SPK",
            "spk-spk",
            &["replyTo", "state", "stateText", "retryAfter", "statement"],
        ),
        ("Verified", "CWC-SPK", "spk-spk", &["replyTo", "license", "leases", "statement"]),
        ("Entitlement Paid", "CWC-SPK", "spk-spk", &["class", "latch", "statement"]),
        ("Entitlement Trial", "CWC-SPK", "spk-spk", &["class", "statement"]),
        ("heartbeat", "CWC-SPK", "heartbeat", &["seq", "statement", "license"]),
        ("LicenseChanged", "CWC-SPK", "license", &["state", "statement"]),
    ];
    for (message, (kind, exchange, key, own)) in all().into_iter().zip(rows) {
        let envelope = message.seal(WALL);
        assert_eq!(envelope.properties.kind, kind);
        assert_eq!(envelope.route.exchange(), exchange);
        assert_eq!(envelope.route.key(), key);
        assert_eq!(envelope.route.is_direct(), !["heartbeat", "license"].contains(&key));
        let members = members(&envelope);
        let mut names: Vec<&str> =
            members.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        let mut expected = [&["v", "type", "id", "ts", "namespace"], own].concat();
        expected.sort_unstable();
        assert_eq!(names, expected, "{kind}");
    }
    let verified = members(&all()[4].seal(WALL));
    let license = json!({
        "orderType": "eval",
        "expiry": "2027-01-01T00:00:00Z",
        "digitalAssetID": Uuid::from_u128(1),
        "jti": "jti",
    });
    assert_eq!(verified["license"], license);
    let request = members(&all()[0].seal(WALL));
    let tmm = json!({
        "pod": "uid", "name": "f5-tmm-0", "nonce": "BwcHBwcHBwcHBwcHBwcHBw", "gate": "closed",
    });
    assert_eq!(request["tmms"], json!([tmm]));
}

#[test]
fn unknown_members_are_ignored_and_a_missing_last_is_none() {
    for message in all() {
        let Envelope { properties, body, .. } = message.seal(WALL);
        let mut members: Value = serde_json::from_slice(&body).unwrap();
        members["invented"] = json!({ "depth": [1] });
        let opened = Message::open(&properties, members.to_string().as_bytes());
        assert_eq!(opened, Ok(message));
    }
    let mut request = all().remove(0);
    let Body::GetEntitlementRequest(body) = &mut request.body else { unreachable!() };
    body.last = None;
    let Envelope { properties, body, .. } = request.seal(WALL);
    assert_eq!(members(&request.seal(WALL))["last"], Value::Null);
    assert_eq!(Message::open(&properties, &body), Ok(request));
}

/// LIC-726: each kind of bad message is refused with its own reason. (That it is acknowledged,
/// counted and logged once a minute is the bus's.)
#[test]
fn each_kind_of_bad_message_is_refused_with_its_reason() {
    let good = all().remove(7).seal(WALL);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut members = members(&good);
        change(&mut members);
        members.to_string().into_bytes()
    };
    let refused = |body: &[u8]| Message::open(&good.properties, body);

    let mut long = good.body.clone();
    long.resize(BODY_LIMIT, b' ');
    assert!(refused(&long).is_ok(), "65,536 bytes pass");
    long.push(b' ');
    assert_eq!(refused(&long), Err(Rejection::TooLarge));

    let mut other = good.properties.clone();
    for kind in ["Heartbeat", "Probe", ""] {
        kind.clone_into(&mut other.kind);
        assert_eq!(Message::open(&other, &good.body), Err(Rejection::UnknownType), "{kind}");
    }

    for body in ["", "{", "[]", "{}{}", "\u{feff}{}", r#"{"v":1,"v":1}"#] {
        assert_eq!(refused(body.as_bytes()), Err(Rejection::BadJson), "{body}");
    }
    assert_eq!(refused(b"{\"v\":\"\xff\"}"), Err(Rejection::BadJson));
    let deep = format!(r#"{{"v":1,"x":{}{}}}"#, "[".repeat(9), "]".repeat(9));
    assert_eq!(refused(deep.as_bytes()), Err(Rejection::BadJson));

    for version in [json!(2), json!("1"), json!(1.0), Value::Null] {
        let body = changed(&|members| members["v"] = version.clone());
        assert_eq!(refused(&body), Err(Rejection::WrongVersion), "{version}");
    }

    let wrong: [(&str, Value); 6] = [
        ("id", json!(Uuid::from_u128(3))),
        ("id", json!("no uuid")),
        ("type", json!("Verified")),
        ("namespace", json!(1)),
        ("seq", json!(-1)),
        ("statement", Value::Null),
    ];
    for (name, value) in wrong {
        let body = changed(&|members| members[name] = value.clone());
        assert_eq!(refused(&body), Err(Rejection::BadMembers), "{name}");
    }
    let mut other = good.properties.clone();
    other.correlation_id = Some("no uuid".to_owned());
    assert_eq!(Message::open(&other, &good.body), Err(Rejection::BadMembers));

    let codes = ["too_large", "unknown_type", "bad_json", "wrong_version", "bad_members"];
    assert_eq!(Rejection::ALL.map(Rejection::code), codes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// LIC-726: no bytes under any type make it panic, and what is taken says its type.
    #[test]
    fn any_bytes_are_refused_or_read(
        kind in proptest::sample::select(&KINDS[..]),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        place in any::<proptest::sample::Index>(),
        message in proptest::sample::select(all()),
    ) {
        let Envelope { mut properties, mut body, .. } = message.seal(WALL);
        properties.kind = kind.to_owned();
        let taken = Message::open(&properties, &bytes);
        prop_assert!(taken.is_err(), "{:?}", taken);
        let place = place.index(body.len());
        body[place] = bytes.first().copied().unwrap_or(b'x');
        if let Ok(read) = Message::open(&properties, &body) {
            prop_assert_eq!(read.body.kind(), kind);
        }
    }
}
