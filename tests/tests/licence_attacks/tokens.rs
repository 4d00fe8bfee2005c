//! Licences that are none, posted to a running production.

use std::{io, net::TcpListener};

use serde_json::json;
use spk_tests::{
    cwc::{self, Cwc},
    licence::OrderType,
};

use crate::forge::{self, Forger};
use crate::rules::{self, Kind};
use crate::{Attack, Leaves, attack};

/// LIC-106: headers that name a key's place: a listener there sees no connection. With it, at the door
/// of the running program, the rules of LIC-104, LIC-105, LIC-107 and LIC-109, and sizes, depths and
/// duplicates: no forged licence is taken, and none leaves a trace.
#[test]
fn no_forged_licence_is_taken_and_nothing_is_fetched() {
    cwc::alone().unwrap();
    let mut cwc = Cwc::new(OrderType::Eval).unwrap();
    cwc.start().unwrap();
    cwc.activate().unwrap();
    let forger = Forger::new(&cwc);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let place = listener.local_addr().unwrap();
    let claims = forge::license("paid", forge::now());
    let kind = Kind { word: "jwt", depth: 8, size: 8_192 };
    let mut attacks = rules::broken(&forger, kind, &claims, place);
    attacks.extend(claims_refused(&forger));
    attack(&cwc, "/reactivate", &attacks);

    // The right key, and its place beside it: good, and nobody asks there.
    let header =
        json!({ "alg": "RS512", "kid": forger.kid(), "jku": format!("http://{place}/keys") });
    let good = forger.sign(&header.to_string(), &claims.to_string());
    assert_eq!(cwc.send("POST", "/reactivate", &good).status, 200);
    let connection = listener.accept().map(|(_, from)| from);
    assert_eq!(connection.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// Licences that the authority signed, and that entitle nobody here.
fn claims_refused(forger: &Forger) -> Vec<Attack> {
    let now = forge::now();
    let claims = forge::license("paid", now);
    let row = |name: &str, more, code: &str| Attack {
        name: name.to_owned(),
        body: forger.usual(&forge::with(&claims, more)),
        status: 422,
        code: code.to_owned(),
        leaves: Leaves::Nothing,
    };
    vec![
        row("another issuer", json!({ "iss": "F5 inc." }), "jwt_issuer"),
        row("issuers", json!({ "iss": ["F5 Inc."] }), "jwt_issuer"),
        row("another audience", json!({ "aud": "urn:f5:team" }), "jwt_audience"),
        row("no customer", json!({ "sub": "" }), "jwt_claims"),
        row("no id", json!({ "jti": "1" }), "jwt_claims"),
        row("order of another case", json!({ "f5_order_type": "Paid" }), "jwt_order_type"),
        row("orders", json!({ "f5_order_type": ["paid"] }), "jwt_order_type"),
        row("from tomorrow", json!({ "iat": now + 90_000 }), "jwt_not_yet_valid"),
        row("not before tomorrow", json!({ "nbf": now + 90_000 }), "jwt_not_yet_valid"),
        row("ended", json!({ "exp": now - 1 }), "jwt_expired"),
        row("ended subscription", json!({ "f5_sat": now - 1, "exp": now + 900 }), "jwt_expired"),
    ]
}
