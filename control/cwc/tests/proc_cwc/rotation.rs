//! Rotation of the key that signs statements.

use std::fs;
use std::time::Duration;

use spk_bus::{Bus, BusEvent, End, Events, Link};
use spk_entitlement::messages::{Body, LeaseRequest, Message};
use spk_jose::{Ed25519Key, Jwks, Limits, unverified};
use tokio::time::timeout;
use uuid::Uuid;

use crate::authority;
use crate::controller::runtime;
use crate::rig::{Rig, eventually};

/// A Controller that only reports which keys it trusts.
struct Reporter {
    bus: Bus,
    events: Events,
}

impl Reporter {
    fn new(rig: &Rig) -> Self {
        let end = End::Controller { namespace: "spk-1".to_owned() };
        let (bus, events) = Bus::open(end, Link::Local { path: rig.path("bus.sock") });
        Self { bus, events }
    }

    /// Reports `trust`; gives the name of the key that signed the answer.
    async fn report(&mut self, trust: &[&str]) -> String {
        let trust = trust.iter().map(|kid| (*kid).to_owned()).collect();
        let body = Body::LeaseRequest(LeaseRequest { tmms: Vec::new(), trust });
        let id = Uuid::new_v4();
        let request = Message { id, reply_to: None, namespace: "spk-1".to_owned(), body };
        drop(self.bus.publish(request.seal(authority::wall())));
        let answered = async {
            loop {
                if let BusEvent::Message(delivery) = self.events.next().await.unwrap() {
                    let message = delivery.message().clone();
                    delivery.ack();
                    if message.reply_to == Some(id) {
                        return message;
                    }
                }
            }
        };
        let answer = timeout(Duration::from_secs(10), answered).await.expect("no answer");
        let statement = answer.body.statement().unwrap();
        let read = unverified::read(statement, &Limits::STATEMENT).unwrap();
        read.header["kid"].as_str().unwrap().to_owned()
    }
}

fn published(rig: &Rig) -> Jwks {
    let text = fs::read_to_string(rig.path("config/cwc-lease-jwks/jwks.json")).unwrap();
    Jwks::parse(&text).unwrap()
}

/// LIC-017 but for the gates: `next.jwk` is published at once, the old key signs until the last
/// Controller reported the new one, then the new one does and takes the old one's place.
#[test]
fn the_next_key_signs_once_every_controller_trusts_it() {
    let rig = Rig::new("eval");
    let cwc = rig.start();
    let key = rig.path("config/cwc-lease-key/private.jwk");
    let old = Ed25519Key::from_jwk(&fs::read_to_string(&key).unwrap()).unwrap();
    let new = Ed25519Key::from_seed([3; 32]).unwrap();
    runtime().block_on(async {
        let mut controller = Reporter::new(&rig);
        assert_eq!(controller.report(&[old.kid()]).await, old.kid());
        rig.put("config/cwc-lease-key/next.jwk", &new.to_jwk());
        eventually(Duration::from_secs(10), "the public key", || {
            published(&rig).find(new.kid()).is_some()
        });
        assert_eq!(controller.report(&[old.kid()]).await, old.kid());
        assert_eq!(controller.report(&[old.kid(), new.kid()]).await, new.kid());
    });
    eventually(Duration::from_secs(5), "the new private key", || {
        fs::read_to_string(&key).unwrap() == new.to_jwk()
    });
    assert!(!rig.path("config/cwc-lease-key/next.jwk").exists());
    assert!(published(&rig).find(old.kid()).is_some());

    // The old private key is lost: the next one signs at once, and the steps name who needs it.
    let newest = Ed25519Key::from_seed([4; 32]).unwrap();
    cwc.kill();
    fs::remove_file(&key).unwrap();
    rig.put("config/cwc-lease-key/next.jwk", &newest.to_jwk());
    let _cwc = rig.start();
    runtime().block_on(async {
        let mut controller = Reporter::new(&rig);
        assert_eq!(controller.report(&[new.kid()]).await, newest.kid());
    });
    let steps = rig.client().json("/v1/license")["nextSteps"].clone();
    let trust = steps.as_array().unwrap().iter().find(|step| step["id"] == "trust");
    let trust = trust.unwrap_or_else(|| panic!("{steps}"));
    assert_eq!(trust["command"], "spkctl license trust -n spk-1");
}
