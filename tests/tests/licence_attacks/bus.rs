//! Clients of the bus that say what is not so.

use std::{fs, time::Duration};

use serde_json::Value;
use spk_bus::{Bus, BusEvent, End, Events, Link};
use spk_entitlement::lease::{self, LeaseClaims};
use spk_entitlement::messages::{Body, GetEntitlementRequest, Message};
use spk_entitlement::{Authority, Class, Jwks, LeaseKey, Occasion, Verdict};
use spk_jose::base64url;
use spk_serving::tls::{Alpn, Tls, TlsFiles, install_provider};
use spk_tests::{
    broker::Broker,
    certificates,
    cwc::{self, Cwc, NAMESPACE},
    licence::OrderType,
    poll,
};
use tokio::{runtime::Runtime, time::timeout};
use uuid::Uuid;

use crate::forge;

/// A client of the bus under a namespace's name.
pub struct Peer {
    bus: Bus,
    events: Events,
    namespace: String,
    // Last: the bus works in it until it is dropped.
    runtime: Runtime,
}

impl Peer {
    pub fn new(link: Link, namespace: &str) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let (bus, events) = runtime.block_on(async {
            Bus::open(End::Controller { namespace: namespace.to_owned() }, link)
        });
        Self { bus, events, namespace: namespace.to_owned(), runtime }
    }

    pub fn local(cwc: &Cwc, namespace: &str) -> Self {
        Self::new(Link::Local { path: cwc.path("bus.sock") }, namespace)
    }

    /// Sends a message and gives its id.
    pub fn say(&self, body: Body) -> Uuid {
        self.say_as(&self.namespace, body)
    }

    /// The same under another namespace's name.
    pub fn say_as(&self, namespace: &str, body: Body) -> Uuid {
        let (id, namespace) = (Uuid::new_v4(), namespace.to_owned());
        let message = Message { id, reply_to: None, namespace, body };
        let sent = self.bus.publish(message.seal(forge::now()));
        let sent = async { timeout(Duration::from_secs(20), sent).await };
        self.runtime.block_on(sent).expect("no confirm").unwrap();
        id
    }

    /// Asks for the entitlement and gives the statement of the answer, as signed.
    pub fn ask(&mut self, request: GetEntitlementRequest) -> String {
        let id = self.say(Body::GetEntitlementRequest(request));
        let events = &mut self.events;
        let answer = async move {
            loop {
                let BusEvent::Message(delivery) = events.next().await.unwrap() else { continue };
                let message = delivery.message().clone();
                delivery.ack();
                if message.reply_to == Some(id)
                    && let Some(statement) = message.body.statement()
                {
                    return statement.to_owned();
                }
            }
        };
        let answer = async { timeout(Duration::from_secs(20), answer).await };
        self.runtime.block_on(answer).expect("no answer")
    }
}

/// A request with this `last`.
pub fn request(last: Option<String>) -> GetEntitlementRequest {
    GetEntitlementRequest {
        instance: String::from("instance-uid"),
        version: String::from("0.1.0"),
        attempt: 1,
        last,
        tmms: Vec::new(),
        trust: Vec::new(),
    }
}

/// What a statement of this CWC says.
pub fn claims(cwc: &Cwc, statement: &str) -> LeaseClaims {
    let keys = fs::read_to_string(cwc.path("config/cwc-lease-jwks/jwks.json")).unwrap();
    lease::verify(statement, &Jwks::parse(&keys).unwrap()).unwrap().claims
}

/// The statement with other claims under its old signature.
fn altered(cwc: &Cwc, statement: &str, change: impl Fn(&mut LeaseClaims)) -> String {
    let mut claims = claims(cwc, statement);
    change(&mut claims);
    let parts: Vec<&str> = statement.split('.').collect();
    let payload = base64url::encode(&serde_json::to_vec(&claims).unwrap());
    format!("{}.{payload}.{}", parts[0], parts[2])
}

/// A statement of a stranger's key.
fn foreign(cwc: &Cwc, epoch: u64, iat: u64) -> String {
    let asset = cwc.context().unwrap()["digital_asset_id"].as_str().unwrap().parse().unwrap();
    stranger(asset, epoch).renew(&allowed(iat))
}

/// Who signs with a key that nobody trusts.
pub fn stranger(asset: Uuid, epoch: u64) -> Authority {
    Authority::new(LeaseKey::from_seed([66; 32]).unwrap(), asset, epoch)
}

/// What it would say.
pub fn allowed(iat: u64) -> Occasion {
    Occasion {
        class: Class::Production,
        verdict: Verdict::Allow,
        reason: String::from("verified"),
        iat,
        ttl: 603,
        ends: None,
    }
}

/// The 1st of January 2099.
const YEAR_2099: u64 = 4_070_908_800;

/// LIC-541: forged `last` of every kind: epoch, mark of time and verdict are as before, each is
/// counted, and its request is answered as any other.
fn forged_last_teaches_nothing(cwc: &Cwc, peer: &mut Peer) {
    let own = peer.ask(request(None));
    let before = (cwc.context().unwrap()["epoch"].clone(), mark(cwc));
    let parts: Vec<&str> = own.split('.').collect();
    // {"alg":"none","typ":"spk-lease+jwt"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoic3BrLWxlYXNlK2p3dCJ9";
    let cases = [
        String::new(),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        altered(cwc, &own, |claims| claims.epoch = u64::MAX),
        altered(cwc, &own, |claims| (claims.iat, claims.exp) = (YEAR_2099, Some(YEAR_2099 + 183))),
        foreign(cwc, u64::MAX, forge::now()),
        foreign(cwc, 9, YEAR_2099),
    ];
    let counted = foreign_lasts(cwc);
    for (number, last) in cases.into_iter().enumerate() {
        let answer = peer.ask(request(Some(last)));
        let said = claims(cwc, &answer);
        assert_eq!((said.verdict, said.class), (Verdict::Allow, Class::Trial), "case {number}");
        assert_eq!(Value::from(said.epoch), before.0, "case {number}");
        assert_eq!(foreign_lasts(cwc), counted + number as u64 + 1, "case {number}");
    }
    assert_eq!(cwc.context().unwrap()["epoch"], before.0);
    // It went on by the running time alone.
    assert!(mark(cwc) - before.1 < 600, "{} after {}", mark(cwc), before.1);
    let events = fs::read_to_string(cwc.path("events.jsonl")).unwrap();
    assert!(!events.contains("state_rolled_back"), "{events}");
}

/// The stored mark of time.
fn mark(cwc: &Cwc) -> u64 {
    cwc.context().unwrap()["high_water"].as_u64().unwrap()
}

/// How many `last` were counted as not its own.
fn foreign_lasts(cwc: &Cwc) -> u64 {
    let page = cwc.metrics().unwrap();
    let line = page.lines().find(|line| line.contains("reason=\"foreign_last\""));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// Messages that no Controller of ours would send: the list marks a Goodbye and nothing else changes.
fn forged_messages_change_nothing(cwc: &Cwc, peer: &mut Peer, stranger: &Peer) {
    peer.ask(request(None));
    let before = crate::lasting(cwc);
    let verdict = cwc.json("/v1/license").unwrap()["verdict"].clone();
    peer.say(Body::Goodbye);
    // A namespace that nobody registered: it is counted, and not answered.
    for _ in 0..10 {
        stranger.say(Body::GetEntitlementRequest(GetEntitlementRequest {
            instance: String::from("FORGED-INSTANCE"),
            version: String::from("FORGED-VERSION"),
            ..request(None)
        }));
    }
    poll::hold("the stranger is counted", Duration::from_secs(20), || {
        let page = cwc.metrics().unwrap_or_default();
        page.lines()
            .any(|line| line.contains("reason=\"unknown_instance\"") && line.ends_with(" 10"))
    })
    .unwrap();
    let license = cwc.json("/v1/license").unwrap();
    assert_eq!(license["verdict"], verdict);
    let listed = license["controllers"].as_array().unwrap();
    let names: Vec<_> = listed.iter().map(|one| one["namespace"].as_str().unwrap()).collect();
    assert_eq!(names, [NAMESPACE]);
    assert_eq!(crate::lasting(cwc), before);
    for text in ["FORGED-INSTANCE", "FORGED-VERSION"] {
        assert!(!cwc.log().contains(text), "{text}");
        assert!(!license.to_string().contains(text), "{text}");
    }
}

/// LIC-541 on the local bus, and forged messages there.
#[test]
fn forged_messages_on_the_local_bus_change_nothing() {
    cwc::alone().unwrap();
    let mut cwc = Cwc::new(OrderType::Eval).unwrap();
    cwc.start().unwrap();
    cwc.activate().unwrap();
    let mut peer = Peer::local(&cwc, NAMESPACE);
    forged_last_teaches_nothing(&cwc, &mut peer);
    forged_messages_change_nothing(&cwc, &mut peer, &Peer::local(&cwc, "spk-9"));
}

/// LIC-541 on RabbitMQ, and forged messages there from a client with a valid bus certificate.
#[test]
fn forged_messages_on_rabbitmq_change_nothing() {
    cwc::alone().unwrap();
    install_provider();
    let folder = tempfile::TempDir::new().unwrap();
    let ca = certificates::Authority::new().unwrap();
    let broker = Broker::start(&ca.bus_server(folder.path()).unwrap()).unwrap();
    let client = ca.bus_client(folder.path(), "rabbitmq-client-certs", "f5net").unwrap();
    let cwc = Cwc::new(OrderType::Eval).unwrap();
    let mut cwc = cwc.on_broker(broker.port(), &client).unwrap();
    cwc.start().unwrap();
    cwc.activate().unwrap();
    let other = ca.bus_client(folder.path(), "rabbitmq-client-2-certs", "f5net").unwrap();
    let peer = |namespace: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let tls = Tls::follow(TlsFiles::client(&other), Alpn::None, std::sync::Arc::new(drop));
        Peer::new(
            Link::Broker { host: String::from("localhost"), port: broker.port(), tls },
            namespace,
        )
    };
    let mut controller = peer(NAMESPACE);
    forged_last_teaches_nothing(&cwc, &mut controller);
    forged_messages_change_nothing(&cwc, &mut controller, &peer("spk-9"));
}
