//! Runs the licence client: messages and the trust anchor in, requests and records out.
//!
//! Owns the connection to the bus, the file of the trust anchor and the clock of the client. Decides
//! nothing: [`spk_entitlement::client`] does, and what it says about gates and replicas is carried
//! out by [`super::runtime`]. Source: licensing.md §10.3, §10.4, §11.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use spk_bus::{Bus, BusEvent, Delivery, End, Events, Link};
use spk_entitlement::client::{Client, Input, Output, Records, Refusal, Settings};
use spk_entitlement::contact::MissedHeartbeats;
use spk_entitlement::messages::{Message, TmmNonce};
use spk_entitlement::{Class, Jwks};
use spk_serving::clock;
use tmm_config::Nanos;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::core::{Core, News};
use super::link::statements::gate_state;
use super::ports::Vault;
use super::reasons;
use super::view::LicenceView;

/// What the licence client needs of its world.
#[derive(Debug)]
pub struct LicenceWorld {
    /// How the bus is reached; none if there is no bus.
    pub link: Option<Link>,
    /// Its file `jwks.json` of the trust anchor, Secret `cwc-lease-jwks`; followed.
    pub trust: PathBuf,
    /// UID of the Controller's pod.
    pub instance: String,
    /// When silence is loss.
    pub missed: MissedHeartbeats,
    /// 32 bytes of a random source, used for nothing else.
    pub seed: [u8; 32],
    /// Takes the log levels that the CWC commands, by component.
    pub levels: watch::Sender<BTreeMap<String, String>>,
}

/// The running client.
pub(crate) struct Licensee {
    client: Client,
    bus: Option<Bus>,
    events: Option<Events>,
    connected: bool,
    trust: mpsc::Receiver<Jwks>,
    reader: JoinHandle<()>,
    levels: watch::Sender<BTreeMap<String, String>>,
    told: HashMap<&'static str, Instant>,
    /// Wall time of the newest judgement.
    since: Timestamp,
}

/// Something that happened.
pub(crate) enum Occurrence {
    Bus(BusEvent),
    Trust(Jwks),
    Timer,
}

impl Drop for Licensee {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Licensee {
    /// Starts with the records in `vault`.
    pub(crate) fn start(world: LicenceWorld, namespace: &str, vault: &dyn Vault) -> Self {
        let LicenceWorld { link, trust, instance, missed, seed, levels } = world;
        let record = |name: &str| match vault.load(name) {
            Ok(record) => record.and_then(|bytes| String::from_utf8(bytes).ok()),
            Err(error) => {
                tracing::error!(%error, "a record of the licence is lost");
                None
            }
        };
        let text = std::fs::read_to_string(&trust).ok();
        let keys = text.as_deref().and_then(|text| Jwks::parse(text).ok());
        let records = Records { trust: keys, latch: record(LATCH), last: record(LAST) };
        let settings = Settings {
            namespace: namespace.to_owned(),
            instance,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            missed,
        };
        let (give, given) = mpsc::channel(1);
        let open = |link| Bus::open(End::Controller { namespace: namespace.to_owned() }, link);
        let (bus, events) = link.map(open).unzip();
        Self {
            client: Client::new(settings, records, seed, now()),
            bus,
            events,
            connected: false,
            trust: given,
            reader: tokio::spawn(follow(trust, text, give)),
            levels,
            told: HashMap::new(),
            since: clock::wall(),
        }
    }

    /// The next thing that happens; may be dropped and called again.
    pub(crate) async fn next(&mut self) -> Occurrence {
        let wait = self.wait();
        let event = async {
            match &mut self.events {
                Some(events) => events.next().await,
                None => None,
            }
        };
        tokio::select! {
            Some(event) = event => Occurrence::Bus(event),
            Some(keys) = self.trust.recv() => Occurrence::Trust(keys),
            () = tokio::time::sleep(wait) => Occurrence::Timer,
        }
    }

    /// Tokio's clock stops in a suspend of the machine, so the client is asked once a second.
    fn wait(&self) -> Duration {
        let due = self.client.poll_timeout();
        due.map_or(LONGEST_WAIT, |due| Duration::from_nanos(due.since(now()).0).min(LONGEST_WAIT))
    }

    /// Takes what happened; what to acknowledge once all outputs are done.
    pub(crate) fn take(&mut self, occurrence: Occurrence) -> Option<Delivery> {
        match occurrence {
            Occurrence::Bus(BusEvent::Up) => {
                tracing::info!("the bus is connected");
                self.connected = true;
            }
            Occurrence::Bus(BusEvent::Down { reason }) => {
                tracing::warn!(reason, "the bus is not connected");
                self.connected = false;
            }
            Occurrence::Bus(BusEvent::Message(delivery)) => {
                let message = delivery.message().clone();
                self.client.handle_input(Input::Message(message), now());
                return Some(delivery);
            }
            Occurrence::Trust(keys) => {
                let kids: Vec<&str> = keys.kids().collect();
                tracing::info!("trust anchor: {}", kids.join(", "));
                self.client.handle_input(Input::TrustAnchor(keys), now());
            }
            Occurrence::Timer => self.client.handle_timeout(now()),
        }
        None
    }

    /// Takes what the TMM with UID `pod` said.
    pub(crate) fn note(&mut self, pod: &str, news: &News) {
        let pod = pod.to_owned();
        let input = match news {
            News::Connected { gate, latch, .. } => {
                if !latch.is_empty() {
                    let input = Input::LatchOffered { jws: latch.clone() };
                    self.client.handle_input(input, now());
                }
                Input::Tmm { pod, gate: gate_state(gate) }
            }
            News::Gate(gate) | News::Closed(gate) => Input::Tmm { pod, gate: gate_state(gate) },
            News::RenewalRefused => Input::RenewalRefused { pod },
            News::Lost { .. } => Input::TmmGone { pod },
            News::Applied(_) | News::Report(_) => return,
        };
        self.client.handle_input(input, now());
    }

    /// The TMM with UID `pod` runs no more.
    pub(crate) fn gone(&mut self, pod: &str) {
        self.client.handle_input(Input::TmmGone { pod: pod.to_owned() }, now());
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        let output = self.client.poll_output();
        if let Some(Output::Judged(_)) = output {
            self.since = clock::wall();
        }
        output
    }

    /// Publishes `message`; without a bus it is dropped.
    pub(crate) fn publish(&self, message: &Message) {
        publish(self.bus.as_ref(), message);
    }

    /// Publishes `request` with the nonces that come within a second.
    pub(crate) fn ask(&self, mut request: Message, nonces: Vec<oneshot::Receiver<TmmNonce>>) {
        let bus = self.bus.clone();
        tokio::spawn(async move {
            let deadline = tokio::time::Instant::now() + NONCE_LIMIT;
            let mut tmms = Vec::new();
            for nonce in nonces {
                if let Ok(Ok(tmm)) = tokio::time::timeout_at(deadline, nonce).await {
                    tmms.push(tmm);
                }
            }
            if let Some(empty) = request.body.tmms_mut() {
                *empty = tmms;
            }
            publish(bus.as_ref(), &request);
        });
    }

    /// Hands on the log levels that the CWC commands.
    pub(crate) fn set_levels(&self, levels: BTreeMap<String, String>) {
        self.levels.send_replace(levels);
    }

    /// Tells of something that did not count, at most once a minute.
    pub(crate) fn refused(&mut self, refusal: Refusal) {
        let code = refusal.code();
        let now = Instant::now();
        let recent = |then: &Instant| now.saturating_duration_since(*then) < TELL_AGAIN;
        if !self.told.get(code).is_some_and(recent) {
            self.told.insert(code, now);
            tracing::warn!(code, "something of the licence does not count: {refusal}");
        }
    }

    /// Ends: says goodbye and closes the bus. The outputs after [`Licensee::stop`] come before.
    pub(crate) async fn close(self) {
        if let Some(bus) = &self.bus {
            bus.close().await;
        }
    }

    /// Makes the last outputs.
    pub(crate) fn stop(&mut self) {
        self.client.handle_input(Input::Stop, now());
    }

    pub(crate) const fn state(&self) -> &'static str {
        self.client.state().name()
    }

    /// What people see of it.
    pub(crate) fn view(&self, core: &Core) -> LicenceView {
        let judgement = self.client.judgement();
        LicenceView {
            class: judgement.class.map_or("", class_word).to_owned(),
            verdict: judgement.verdict.code().to_owned(),
            reason: judgement.reason.code().to_owned(),
            text: reasons::text(judgement.reason),
            since: self.since.round(jiff::Unit::Second).unwrap_or(self.since).to_string(),
            state: self.client.state().name().to_owned(),
            bus_connected: self.connected,
            heard_at: self.client.heard_at().map(|at| at.0),
            latched_ignored: self.client.latched_ignored(),
            withheld: core.is_withheld(),
            halted: core.is_halted(),
        }
    }
}

fn publish(bus: Option<&Bus>, message: &Message) {
    let wall = u64::try_from(clock::wall().as_second()).unwrap_or(0);
    if let Some(bus) = bus {
        // It is sent again until it is confirmed; the client asks again anyway.
        drop(bus.publish(message.seal(wall)));
    }
}

/// Time since boot, suspends included.
pub(crate) fn now() -> Nanos {
    Nanos(u64::try_from(clock::boot().as_nanos()).unwrap_or(u64::MAX))
}

const fn class_word(class: Class) -> &'static str {
    match class {
        Class::Unactivated => "unactivated",
        Class::Trial => "trial",
        Class::Production => "production",
    }
}

/// Looks at the trust anchor once a second. A missing or bad file leaves the last good one.
async fn follow(path: PathBuf, mut held: Option<String>, give: mpsc::Sender<Jwks>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(text) = tokio::fs::read_to_string(&path).await else { continue };
        if held.as_ref() == Some(&text) {
            continue;
        }
        match Jwks::parse(&text) {
            Ok(keys) => {
                if give.send(keys).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), code = error.code(), "trust anchor is refused: {error}");
            }
        }
        held = Some(text);
    }
}

/// Secret `spk-license-latch`, key `latch.jws` (LIC-904).
pub(crate) const LATCH: &str = "spk-license-latch/latch.jws";
/// Secret `spk-license-last`, key `last.jws` (LIC-542).
pub(crate) const LAST: &str = "spk-license-last/last.jws";
/// How long a request waits for nonces.
const NONCE_LIMIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const TELL_AGAIN: Duration = Duration::from_secs(60);
