//! The bus as a Controller sees it: answers, broadcasts, heartbeats.

use std::time::Duration;

use spk_entitlement::lease::{self, Kind, LeaseClaims};
use spk_entitlement::messages::Body;
use spk_entitlement::{Class, Jwks, Verdict};

use crate::authority;
use crate::controller::{Controller, runtime};
use crate::rig::{Rig, eventually};

fn claims(rig: &Rig, token: &str) -> LeaseClaims {
    let set = std::fs::read_to_string(rig.path("config/cwc-lease-jwks/jwks.json")).unwrap();
    lease::verify(token, &Jwks::parse(&set).unwrap()).unwrap().claims
}

/// LIC-217, what Controllers see of the first activation: `GetbackLater` before, the broadcast at
/// the receipt, then leases, class and the latch of a production licence.
#[test]
fn a_controller_hears_of_the_activation_and_gets_leases_and_latch() {
    let rig = Rig::new("paid");
    let _cwc = rig.start();
    eventually(Duration::from_secs(10), "a report", || rig.client().state() == 7);
    runtime().block_on(async {
        let mut controller = Controller::new(&rig, "spk-1");
        let id = controller.ask();
        let later = controller
            .next("GetbackLater", |message| matches!(message.body, Body::GetbackLater(_)))
            .await;
        assert_eq!(later.reply_to, Some(id));
        let statement = claims(&rig, later.body.statement().unwrap());
        assert_eq!(statement.verdict, Verdict::Block);
        assert_eq!(statement.reason, "not_activated");
        assert_eq!(statement.class, Class::Unactivated);

        let report = rig.client().report();
        assert_eq!(rig.client().post("/receipt", &authority::receipt(&report)).status, 200);
        let changed = controller
            .next("LicenseChanged", |message| match &message.body {
                Body::LicenseChanged(body) => body.state == 12,
                _ => false,
            })
            .await;
        let statement = claims(&rig, changed.body.statement().unwrap());
        assert_eq!(statement.verdict, Verdict::Allow);
        assert_eq!(statement.class, Class::Production);

        let id = controller.ask();
        let verified = controller
            .next("Verified", |message| {
                matches!(message.body, Body::Verified(_)) && message.reply_to == Some(id)
            })
            .await;
        let Body::Verified(verified) = verified.body else { unreachable!() };
        assert_eq!(verified.leases.len(), 1);
        let open = claims(&rig, &verified.leases[0].lease);
        assert_eq!((open.kind, open.pod.as_deref()), (Kind::Open, Some("pod-uid")));
        let asset = rig.record("digitalassetid");
        assert_eq!(open.daid.to_string(), asset);
        let paid = controller
            .next("Entitlement Paid", |message| matches!(message.body, Body::EntitlementPaid(_)))
            .await;
        let Body::EntitlementPaid(paid) = paid.body else { unreachable!() };
        let latch = claims(&rig, &paid.latch.unwrap());
        assert_eq!((latch.kind, latch.sub.as_str()), (Kind::Latch, "spk-1"));
    });
    let license = rig.client().json("/v1/license");
    assert_eq!(license["controllers"][0]["namespace"], "spk-1");
    assert_eq!(license["controllers"][0]["tmms"][0]["name"], "f5-tmm-0");
}

/// LIC-329, the CWC's side: statements command the level of each component that was set, not only of
/// the last.
#[test]
fn log_levels_of_several_components_travel_together() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    let bearer = format!("Bearer {}", rig.token());
    for component in ["tmm", "f5ingress"] {
        let level = format!("{{\"component\":\"{component}\",\"level\":\"debug\"}}");
        let headers = [("Authorization", bearer.as_str())];
        let reply = rig.client().send("POST", "/v1/log", &headers, level.as_bytes()).unwrap();
        assert_eq!(reply.status, 204, "{reply:?}");
    }
    let message = runtime().block_on(async {
        let mut controller = Controller::new(&rig, "spk-1");
        controller.ask();
        controller.next("an answer", |message| message.reply_to.is_some()).await
    });
    let log = claims(&rig, message.body.statement().unwrap()).log.unwrap();
    assert_eq!(log.keys().collect::<Vec<_>>(), ["f5ingress", "tmm"]);
}

/// LIC-540 and P1: what a Controller shows of a time that the state does not know is answered when it
/// is stored, and not before.
#[test]
fn nothing_is_answered_before_what_was_shown_is_stored() {
    let rig = Rig::new("eval");
    let cwc = rig.start();
    eventually(Duration::from_secs(10), "a report", || rig.client().state() == 7);
    let old = rig.record("context");
    cwc.kill();
    rig.start().kill();
    let cwc = rig.start();
    let runtime = runtime();
    let _inside = runtime.enter();
    let answer = |controller: &mut Controller| {
        let answered = controller.next("an answer", |message| message.reply_to.is_some());
        let message = runtime.block_on(answered);
        let statement = message.body.statement().unwrap().to_owned();
        (claims(&rig, &statement).epoch, statement)
    };
    let mut controller = Controller::new(&rig, "spk-1");
    controller.ask();
    let (newest, last) = answer(&mut controller);
    assert_eq!(newest, 3);
    cwc.kill();
    std::fs::write(rig.path("store/context"), old).unwrap();
    let _cwc = rig.start();
    std::fs::rename(rig.path("store"), rig.path("away")).unwrap();
    controller.ask_showing(&last);
    eventually(Duration::from_secs(15), "the store to fail", || {
        rig.client().json("/v1/license")["error"]["code"] == "store_unavailable"
    });
    std::fs::rename(rig.path("away"), rig.path("store")).unwrap();
    controller.ask_showing(&last);
    let (epoch, _) = answer(&mut controller);
    assert!(epoch > newest, "{epoch}");
}

/// LIC-737: the seed's two log lines, in klog form, and a heartbeat behind them.
#[test]
fn heartbeats_are_logged_as_the_seed_shows() {
    let rig = Rig::new("eval");
    let _cwc = rig.start();
    runtime().block_on(async {
        let mut controller = Controller::new(&rig, "spk-1");
        controller.ask();
        controller.next("an answer", |_| true).await;
    });
    for text in ["====> Published heartbeat message", "DEBUG: exchange name = CWC-SPK"] {
        eventually(Duration::from_secs(10), text, || {
            rig.log().lines().any(|line| is_klog(line, text))
        });
    }
}

/// `I1123 14:20:34.106219       1 cm20.go:105] text`.
fn is_klog(line: &str, text: &str) -> bool {
    let Some((head, rest)) = line.split_once("] ") else { return false };
    let parts: Vec<&str> = head.split_ascii_whitespace().collect();
    let digits = |text: &str, count: usize| {
        text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let [date, time, pid, place] = parts.as_slice() else { return false };
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    rest == text
        && date.strip_prefix('I').is_some_and(|date| digits(date, 4))
        && shape == "00:00:00.000000"
        && digits(pid, pid.len())
        && place
            .split_once(':')
            .is_some_and(|(file, line)| file.ends_with(".rs") && digits(line, line.len()))
}
