//! The gate of a running process, over gRPC.

use std::time::{Duration, Instant};

use crate::rig::{NAMESPACE, POD, Setup, allow, lease, nonce};
use spk_entitlement::{Authority, LeaseKey, Occasion};
use tmm_rpc::proto::{CloseRequest, GateState, HelloRequest, WatchGateRequest};

#[tokio::test]
async fn an_open_lease_opens_and_an_unsigned_close_closes() {
    let mut tmm = Setup::new().start(None);
    let mut client = tmm.client().await;
    let hello = client.hello(HelloRequest {}).await.unwrap().into_inner();
    assert_eq!((hello.pod.as_str(), hello.name.as_str()), (POD, "f5-tmm-0"));
    assert_eq!(hello.gate.unwrap().gate(), GateState::Closed);
    assert_eq!((hello.last_epoch, hello.last_seq), (0, 0));

    let mut follow = client.watch_gate(WatchGateRequest {}).await.unwrap().into_inner();
    assert_eq!(follow.message().await.unwrap().unwrap().gate(), GateState::Closed);
    let reply = tmm.open(&mut client).await;
    assert_eq!((reply.gate(), reply.rejected.as_str()), (GateState::Open, ""));
    // It counts from the nonce, which is at most 10 s old.
    assert!((173_000..=183_000).contains(&reply.deadline_ms), "{}", reply.deadline_ms);
    assert_eq!(follow.message().await.unwrap().unwrap().gate(), GateState::Open);

    let renewal = tmm.authority.renew(&allow());
    assert_eq!(lease(&mut client, renewal).await.rejected, "");
    let hello = client.hello(HelloRequest {}).await.unwrap().into_inner();
    assert_eq!((hello.last_epoch, hello.last_seq), (1, 2));

    let close = CloseRequest { reason: "comms_lost".to_owned(), generation: 1 };
    let reply = client.close(close).await.unwrap().into_inner();
    assert_eq!((reply.gate(), reply.reason.as_str()), (GateState::Closed, "comms_lost"));
    let log = tmm.log();
    assert!(log.contains(": 2a010002:5: "), "{log}");
    assert!(log.contains(": 2a010001:2: "), "{log}");
}

/// LIC-806: over gRPC: unsigned, another key, another algorithm, altered, a signed debug request, no
/// trust anchor.
#[tokio::test]
async fn forged_leases_are_refused_with_their_code() {
    let mut tmm = Setup::new().start(None);
    let mut client = tmm.client().await;
    let nonce = nonce(&mut client).await;
    let good = tmm.authority.open(NAMESPACE, POD, &nonce, &allow());
    let parts: Vec<&str> = good.split('.').collect();
    // {"alg":"none","typ":"spk-lease+jwt","kid":"x"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoic3BrLWxlYXNlK2p3dCIsImtpZCI6IngifQ";
    let unsigned = format!("{none}.{}.", parts[1]);
    let mut forger =
        Authority::new(LeaseKey::from_seed([66; 32]).unwrap(), tmm.authority.daid(), 1);
    let foreign = forger.open(NAMESPACE, POD, &nonce, &allow());
    let other = tmm.authority.open(NAMESPACE, POD, &nonce, &allow());
    let altered = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
    let debug = tmm.authority.key().sign_typed("spk-debug+jwt", br#"{"iss":"spk-cwc"}"#);
    // The header of a good lease with {"alg":"HS256"} and {"alg":"RS512"} in place of EdDSA, as
    // {"alg":"...","typ":"spk-lease+jwt","kid":"x"}; the signature is a right one of the payload.
    let hs256 = "eyJhbGciOiJIUzI1NiIsInR5cCI6InNway1sZWFzZStqd3QiLCJraWQiOiJ4In0";
    let rs512 = "eyJhbGciOiJSUzUxMiIsInR5cCI6InNway1sZWFzZStqd3QiLCJraWQiOiJ4In0";
    let by = |header: &str| format!("{header}.{}.{}", parts[1], parts[2]);
    for (jws, code) in [
        // Its third part is empty, which is told before its algorithm.
        (unsigned, "lease_malformed"),
        (by(none), "lease_algorithm"),
        (by(hs256), "lease_algorithm"),
        (by(rs512), "lease_algorithm"),
        (foreign, "lease_unknown_key"),
        (altered, "lease_signature"),
        (debug, "lease_type"),
        ("not a jws".to_owned(), "lease_malformed"),
        (String::new(), "lease_malformed"),
    ] {
        let reply = lease(&mut client, jws).await;
        assert_eq!((reply.gate(), reply.rejected.as_str()), (GateState::Closed, code));
        assert!(tmm.log().contains(&format!("License lease rejected: {code}")));
    }
    assert_eq!(lease(&mut client, good).await.gate(), GateState::Open);

    let mut without = Setup::new();
    without.has_anchor = false;
    let mut tmm = without.start(None);
    let missing = |log: &str| log.contains("license/jwks.json is missing");
    tmm.process.wait_for(Duration::from_secs(5), missing).unwrap();
    let mut client = tmm.client().await;
    let reply = tmm.open(&mut client).await;
    assert_eq!((reply.gate(), reply.rejected.as_str()), (GateState::Closed, "no_trust_anchor"));
}

/// LIC-807: over gRPC: another pod's lease, a used nonce, the nonce of an earlier `Hello`, an 11 s
/// old nonce.
#[tokio::test]
async fn a_lease_answers_the_newest_unused_nonce_of_this_pod() {
    let mut tmm = Setup::new().start(None);
    let mut client = tmm.client().await;
    let earlier = nonce(&mut client).await;
    let newest = nonce(&mut client).await;
    assert_ne!(earlier, newest);
    for (pod, nonce, code) in [
        ("another", newest, "lease_wrong_pod"),
        (POD, earlier, "lease_wrong_nonce"),
        (POD, [0; 16], "lease_wrong_nonce"),
    ] {
        let jws = tmm.authority.open(NAMESPACE, pod, &nonce, &allow());
        let reply = lease(&mut client, jws).await;
        assert_eq!((reply.gate(), reply.rejected.as_str()), (GateState::Closed, code));
    }
    let good = tmm.authority.open(NAMESPACE, POD, &newest, &allow());
    assert_eq!(lease(&mut client, good.clone()).await.gate(), GateState::Open);
    assert_eq!(lease(&mut client, good).await.rejected, "lease_wrong_nonce");

    let made = Instant::now();
    let old = nonce(&mut client).await;
    let jws = tmm.authority.open(NAMESPACE, POD, &old, &allow());
    // The age of the nonce is what is tested, so time must pass.
    tokio::time::sleep(Duration::from_millis(11_100).saturating_sub(made.elapsed())).await;
    assert_eq!(lease(&mut client, jws).await.rejected, "lease_nonce_expired");
}

/// LIC-813: a lease that has 3 s left closes the gate after 3 s, within 1 s.
#[tokio::test]
async fn the_gate_closes_by_itself_at_its_deadline() {
    let mut tmm = Setup::new().start(None);
    let mut client = tmm.client().await;
    let nonce = nonce(&mut client).await;
    let made = Instant::now();
    let occasion = allow();
    let occasion = Occasion { ends: Some(occasion.iat + 3), ..occasion };
    let jws = tmm.authority.open(NAMESPACE, POD, &nonce, &occasion);
    let mut follow = client.watch_gate(WatchGateRequest {}).await.unwrap().into_inner();
    assert_eq!(lease(&mut client, jws).await.gate(), GateState::Open);
    let closed = loop {
        let gate = follow.message().await.unwrap().unwrap();
        if gate.reason == "lease_ended" {
            break gate;
        }
    };
    let lasted = made.elapsed();
    assert_eq!(closed.gate(), GateState::Closed);
    let within = Duration::from_secs(2)..=Duration::from_secs(4);
    assert!(within.contains(&lasted), "{lasted:?}");
    assert!(tmm.log().contains("License gate closed: lease_ended"));
}
