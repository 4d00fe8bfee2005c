//! A Controller as far as the CWC sees it.

use std::time::Duration;

use spk_bus::{Bus, BusEvent, End, Events, Link};
use spk_entitlement::messages::{Body, GateState, GetEntitlementRequest, Message, Nonce, TmmNonce};
use tokio::time::timeout;
use uuid::Uuid;

use crate::authority;
use crate::rig::Rig;

/// A Controller's end of the bus.
pub struct Controller {
    namespace: &'static str,
    bus: Bus,
    events: Events,
}

impl Controller {
    pub fn new(rig: &Rig, namespace: &'static str) -> Self {
        let end = End::Controller { namespace: namespace.to_owned() };
        let (bus, events) = Bus::open(end, Link::Local { path: rig.path("bus.sock") });
        Self { namespace, bus, events }
    }

    /// Asks for the entitlement with one closed TMM; gives the id of the request.
    pub fn ask(&self) -> Uuid {
        self.ask_for(&[("pod-uid", "f5-tmm-0", GateState::Closed)])
    }

    /// Asks for the entitlement with these TMMs: pod, name and gate.
    pub fn ask_for(&self, tmms: &[(&str, &str, GateState)]) -> Uuid {
        self.ask_with(tmms, None)
    }

    /// Asks for the entitlement and shows the newest statement it saw.
    pub fn ask_showing(&self, last: &str) -> Uuid {
        self.ask_with(&[], Some(last.to_owned()))
    }

    fn ask_with(&self, tmms: &[(&str, &str, GateState)], last: Option<String>) -> Uuid {
        let id = Uuid::new_v4();
        let tmms = tmms.iter().map(|(pod, name, gate)| TmmNonce {
            pod: (*pod).to_owned(),
            name: (*name).to_owned(),
            nonce: Nonce([5; 16]),
            gate: *gate,
        });
        let body = Body::GetEntitlementRequest(GetEntitlementRequest {
            instance: "instance-uid".to_owned(),
            version: "0.1.0".to_owned(),
            attempt: 1,
            last,
            tmms: tmms.collect(),
            trust: Vec::new(),
        });
        let message = Message { id, reply_to: None, namespace: self.namespace.to_owned(), body };
        drop(self.bus.publish(message.seal(authority::wall())));
        id
    }

    /// The next message that `wanted` takes.
    pub async fn next(&mut self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let waiting = async {
            loop {
                match self.events.next().await.expect("the end is open") {
                    BusEvent::Message(delivery) => {
                        let message = delivery.message().clone();
                        delivery.ack();
                        if wanted(&message) {
                            return message;
                        }
                    }
                    BusEvent::Up | BusEvent::Down { .. } => {}
                }
            }
        };
        timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("no {what}"))
    }
}

/// Runs what waits for the bus.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}
