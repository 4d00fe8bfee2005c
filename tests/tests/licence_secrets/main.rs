//! What never leaves: secrets (LIC-013), the machine (LIC-001), and packets without a lease (LIC-014).
//!
//! Suite `licence`. Sources: licensing.md §1.2, §1.3, §0.3.

mod bypass;

use std::{collections::BTreeSet, fs, io, net::UdpSocket};

use spk_tests::{
    cwc::{self, Cwc},
    licence::OrderType,
    secrets,
};

/// LIC-001: the suite runs in a network that is nothing but loopback: no route leaves it, and a packet
/// to another machine is refused by the kernel. `make test-licence` starts it so, and all its tests
/// pass there.
#[test]
fn no_test_of_the_suite_can_leave_the_machine() {
    let hint = "run it by make test-licence, or: unshare --net sh -c 'ip link set lo up; …'";
    let routes = fs::read_to_string("/proc/thread-self/net/route").unwrap();
    assert_eq!(routes.lines().count(), 1, "{hint}\n{routes}");
    let routes = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap();
    let beyond: Vec<&str> = routes.lines().filter(|line| !line.ends_with(" lo")).collect();
    assert_eq!(beyond, Vec::<&str>::new(), "{hint}");
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Two addresses that are for documentation, and so nobody's.
    for address in ["192.0.2.1:9", "198.51.100.1:9"] {
        let error = socket.send_to(b"anybody?", address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable, "{address}: {error}");
    }
}

/// LIC-013: a CWC at debug level goes through activation, refusals, a switch, a month and a kill, with
/// a marked customer; nothing of its tokens, keys and bearer token stands in log, events, metrics,
/// errors or process arguments. Every other CWC of this suite's own rig is searched in the same way
/// when its test ends.
#[test]
fn nothing_secret_is_logged_told_measured_or_shown() {
    cwc::alone().unwrap();
    let mut cwc = Cwc::new(OrderType::Paid).unwrap();
    let customer = "CAT-MARKED-c3VwZXItc2VjcmV0LWN1c3RvbWVy";
    let jwt = cwc.licence().call(&["issue", "--type", "paid", "--cat", customer], None).unwrap();
    cwc.put("config/cpcl-config-cm/jwt", jwt.trim()).unwrap();
    cwc.clock("+0").unwrap();
    cwc.start().unwrap();
    let receipt = cwc.activate().unwrap();
    let token = fs::read_to_string(cwc.path("config/cwc-auth-token/token")).unwrap();
    let problem = ["-H", "Accept: application/problem+json"];
    let broken = format!("{}AAAA", &receipt[..receipt.len() - 4]);
    for (path, body) in [
        ("/receipt", receipt.as_str()),
        ("/receipt", &broken),
        ("/receipt", jwt.trim()),
        ("/reactivate", jwt.trim()),
        ("/reactivate", &receipt),
        ("/reactivate", &token),
        ("/v1/license/reset", ""),
    ] {
        for more in [&[][..], &problem] {
            let reply = cwc.send_with("POST", path, body, more);
            assert!((400..500).contains(&reply.status), "{path}: {reply:?}");
        }
    }
    // The bearer token is a secret of the caller, too: by a file, as arguments are no secret.
    let bearer = cwc.path("bearer.curl");
    fs::write(&bearer, format!("header = \"Authorization: Bearer {}\"\n", token.trim())).unwrap();
    let config = ["--config", bearer.to_str().unwrap()];
    let level = "{\"component\":\"spk-cwc\",\"level\":\"debug\"}";
    let _ = cwc.send_with("POST", "/v1/log", level, &config);
    let reset = cwc.send_with("POST", "/v1/license/reset", "", &config);
    assert_eq!(reset.status, 405, "active: {reset:?}");

    let other = cwc.issue(&["--type", "ela", "--days", "400"]).unwrap();
    assert_eq!(cwc.send("POST", "/reactivate", &other).status, 200);
    cwc.await_slot("switch", 7).unwrap();
    let receipt = cwc.acknowledge(&cwc.report().unwrap()).unwrap();
    assert_eq!(cwc.send("POST", "/receipt", &receipt).status, 200);
    cwc.kill();
    cwc.clock("+32d").unwrap();
    cwc.start().unwrap();
    cwc.await_slot("current", 7).unwrap();
    let receipt = cwc.acknowledge_at(&cwc.report().unwrap(), 32);
    assert_eq!(cwc.send("POST", "/receipt", &receipt).status, 200);

    // The search knows the secrets it looks for, and there was something to search.
    let marks = secrets::marks(cwc.path("").as_path()).unwrap();
    let mut expected = BTreeSet::new();
    for token in [jwt.trim(), &other, &receipt] {
        secrets::of_text(token, false, &mut expected);
    }
    assert_eq!(expected.len(), 6);
    for key in ["cwc-lease-key", "cwc-report-key"] {
        let text = fs::read_to_string(cwc.path(&format!("config/{key}/private.jwk"))).unwrap();
        let d = text.split("\"d\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        expected.insert(d.to_owned());
    }
    expected.insert(token.trim().to_owned());
    assert!(expected.is_subset(&marks), "{:?}", expected.difference(&marks).count());
    for (name, least) in
        [("cwc.log", 2_000), ("events.jsonl", 500), ("refusals", 500), ("arguments", 50)]
    {
        let found = fs::metadata(cwc.path(name)).map_or(0, |file| file.len());
        assert!(found >= least, "{name} has {found} bytes");
    }
    assert!(cwc.metrics().unwrap().contains("spk_license_state"));
    assert_eq!(cwc.spoken().unwrap(), Vec::<String>::new());
    for name in ["cwc.log", "events.jsonl", "refusals", "arguments", "metrics"] {
        let text = fs::read_to_string(cwc.path(name)).unwrap();
        assert!(!text.contains(customer), "the customer stands in {name}");
    }
}
