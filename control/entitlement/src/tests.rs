//! A CWC, a Controller and its TMM in one virtual world, for properties of the three together.
//!
//! Owns virtual time, a wire that loses, delays, repeats and reorders, and the records that outlive
//! a process. The licence is a model: class, conditions, end; the policy table judges it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tmm_config::Nanos;
use uuid::Uuid;

use crate::client::{self, Change, Client, Enforcement, Hello, Judged, Records};
use crate::contact::MissedHeartbeats;
use crate::desk::{self, Desk, KeyRing, Moment, Standing};
use crate::enforcer::{self, Enforcer};
use crate::fixture::{EPOCH, NAMESPACE, identity, key};
use crate::messages::{GateState, Message, Nonce, TmmNonce};
use crate::{Class, Gate, Jwks, Reason, Verdict};

mod attacks;
mod inputs;
mod licence;
mod production;
mod recovery;
mod trial;

use inputs::{some_pause, some_reason, some_wire, wrapped};
use licence::Licence;

const TMM: &str = crate::fixture::POD;

/// How the wire treats what is sent now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wire {
    /// Delivers at once.
    Good,
    /// Delivers nothing, neither what is sent now nor what is under way; all is lost.
    Cut,
    /// Loses one in four, repeats one in four, delays up to this many seconds.
    Poor(u64),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Cwc,
    Controller,
}

/// Everything.
pub struct World {
    pub now: Nanos,
    pub wire: Wire,
    pub licence: Licence,
    /// The CWC's stored epoch, the number of its lease key, and how far its clock is moved.
    pub epoch: u64,
    pub signer: u8,
    pub clock: i64,
    pub desk: Option<Desk>,
    pub client: Option<Client>,
    pub tmm: Option<Enforcer>,
    /// Secrets of the Controller's namespace.
    pub trust: Option<Jwks>,
    pub latch: Option<String>,
    pub last: Option<String>,
    /// Every message of the CWC that reached the wire, for who replays.
    pub recorded: Vec<Message>,
    /// Every statement delivered to the TMM.
    pub leases: Vec<String>,
    /// How many events the client took.
    pub events: u64,
    /// Every change of the Controller's judgement.
    pub changes: Vec<Change>,
    under_way: BTreeMap<(Nanos, u64), (End, Message)>,
    random: u64,
    count: u64,
    /// The gate as the client was told.
    told: Option<GateState>,
}

impl World {
    /// All three run, nothing is activated, the wire is good.
    pub fn new(random: u64) -> Self {
        let mut world = Self {
            now: Nanos(0),
            wire: Wire::Good,
            licence: Licence::waiting(),
            epoch: 0,
            signer: 1,
            clock: 0,
            desk: None,
            client: None,
            tmm: None,
            trust: Some(key(1).jwks()),
            latch: None,
            last: None,
            recorded: Vec::new(),
            leases: Vec::new(),
            events: 0,
            changes: Vec::new(),
            under_way: BTreeMap::new(),
            random: random | 1,
            count: 0,
            told: None,
        };
        world.start_cwc();
        world.start_tmm();
        world.start_controller();
        world
    }

    pub fn seconds(&self) -> u64 {
        self.now.0 / 1_000_000_000
    }

    /// The next number below `limit` (xorshift64).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.below(256).to_le_bytes()[0])
    }

    fn moment(&self) -> Moment {
        let iat = (EPOCH + self.seconds()).saturating_add_signed(self.clock);
        Moment { boot: self.now, iat }
    }

    /// What the licence machine says.
    pub fn standing(&self) -> Standing {
        self.licence.standing()
    }

    /// The verdict that a Controller holds; none while it is down.
    pub fn verdict(&self) -> Option<Judged> {
        self.client.as_ref().map(|client| client.judgement().verdict)
    }

    pub fn allowed(&self) -> bool {
        matches!(self.verdict(), Some(Judged::Allow | Judged::Warn))
    }

    /// Whether a packet that comes now passes.
    pub fn passes(&self) -> bool {
        self.tmm.as_ref().is_some_and(|tmm| tmm.word().passes(self.now))
    }

    pub fn tmm_is_latched(&self) -> bool {
        self.tmm.as_ref().is_some_and(|tmm| *tmm.gate() == Gate::Latched)
    }

    // Processes.

    /// Starts the CWC anew: a crash, if it ran. The epoch is stored before it is used.
    pub fn start_cwc(&mut self) {
        self.epoch += 1;
        let start = desk::Start {
            missed: MissedHeartbeats::default(),
            keys: KeyRing {
                signing: key(self.signer),
                next: None,
                published: key(self.signer).jwks(),
            },
            epoch: self.epoch,
            standing: self.standing(),
            seed: self.bytes(),
        };
        let mut desk = Desk::new(start, self.moment());
        let listed = [NAMESPACE.to_owned()].into_iter().collect();
        desk.handle_input(desk::Input::Instances(listed), self.moment());
        self.desk = Some(desk);
        self.settle();
    }

    /// Starts the Controller anew, with what its Secrets hold.
    pub fn start_controller(&mut self) {
        let records = Records {
            trust: self.trust.clone(),
            latch: self.latch.clone(),
            last: self.last.clone(),
        };
        let settings = client::Settings {
            namespace: NAMESPACE.to_owned(),
            instance: "controller".to_owned(),
            version: "1".to_owned(),
            missed: MissedHeartbeats::default(),
        };
        let seed = self.bytes();
        self.client = Some(Client::new(settings, records, seed, self.now));
        self.told = None;
        self.settle();
    }

    /// Starts the TMM anew.
    pub fn start_tmm(&mut self) {
        let mut tmm = Enforcer::new(identity());
        if let Some(keys) = self.trust.clone() {
            tmm.handle_input(enforcer::Input::TrustAnchor(keys), self.now);
        }
        self.tmm = Some(tmm);
        self.told = None;
        self.settle();
    }

    /// The licence machine made a change: the desk hears of it.
    pub fn relicense(&mut self, change: impl FnOnce(&mut Licence)) {
        change(&mut self.licence);
        let (standing, moment) = (self.standing(), self.moment());
        if let Some(desk) = &mut self.desk {
            desk.handle_input(desk::Input::Standing(standing), moment);
        }
        self.settle();
    }

    /// `condition` begins or ends.
    pub fn condition(&mut self, reason: Reason, stands: bool) {
        self.relicense(|licence| {
            if stands { licence.conditions.add(reason) } else { licence.conditions.clear(reason) }
        });
    }

    /// A new epoch, as after K9.
    pub fn new_epoch(&mut self) {
        self.epoch += 1;
        let moment = self.moment();
        if let Some(desk) = &mut self.desk {
            desk.handle_input(desk::Input::Epoch(self.epoch), moment);
        }
        self.settle();
    }

    /// The trust file came or changed.
    pub fn retrust(&mut self, keys: Jwks) {
        self.trust = Some(keys.clone());
        if let Some(tmm) = &mut self.tmm {
            tmm.handle_input(enforcer::Input::TrustAnchor(keys.clone()), self.now);
        }
        self.tell(client::Input::TrustAnchor(keys));
        self.settle();
    }

    /// Cuts the wire: what is under way is lost, too.
    pub fn cut(&mut self) {
        self.wire = Wire::Cut;
        self.under_way.clear();
    }

    /// Delivers `message` to the Controller as if the bus had it.
    pub fn inject(&mut self, message: Message) {
        self.tell(client::Input::Message(message));
        self.settle();
    }

    fn tell(&mut self, input: client::Input) {
        if let Some(client) = &mut self.client {
            client.handle_input(input, self.now);
            self.events += 1;
        }
    }

    // Time.

    /// Runs `seconds` of virtual time, each timer and delivery at its own instant.
    pub fn run(&mut self, seconds: u64) {
        self.run_until(self.now.plus(Nanos::from_secs(seconds)));
    }

    pub fn run_until(&mut self, end: Nanos) {
        self.watch_until(end, |_| {});
    }

    /// Runs until `end` and calls `check` before and after whatever happens at an instant.
    pub fn watch_until(&mut self, end: Nanos, mut check: impl FnMut(&Self)) {
        while let Some(next) = self.next_instant().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            check(self);
            self.step();
            check(self);
        }
        self.now = end;
        check(self);
        self.step();
        check(self);
    }

    fn next_instant(&self) -> Option<Nanos> {
        let timers = [
            self.desk.as_ref().and_then(Desk::poll_timeout),
            self.client.as_ref().and_then(Client::poll_timeout),
            self.tmm.as_ref().and_then(Enforcer::poll_timeout),
            self.under_way.keys().next().map(|(at, _)| *at),
        ];
        timers.into_iter().flatten().min()
    }

    /// Runs what is due now.
    fn step(&mut self) {
        let (now, moment) = (self.now, self.moment());
        if let Some(desk) = &mut self.desk {
            desk.handle_timeout(moment);
        }
        if let Some(client) = &mut self.client {
            client.handle_timeout(now);
            self.events += 1;
        }
        if let Some(tmm) = &mut self.tmm {
            tmm.handle_timeout(now);
        }
        self.settle();
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= now) {
            let (to, message) = entry.remove();
            match to {
                End::Controller => self.tell(client::Input::Message(message)),
                End::Cwc => {
                    if let Some(desk) = &mut self.desk {
                        desk.handle_input(desk::Input::Message(message), moment);
                    }
                }
            }
            self.settle();
        }
    }

    // Shells.

    /// Does what the machines ask for, until they ask for nothing.
    fn settle(&mut self) {
        loop {
            if let Some(output) = self.desk.as_mut().and_then(Desk::poll_output) {
                self.serve_desk(output);
            } else if let Some(output) = self.client.as_mut().and_then(Client::poll_output) {
                self.serve_client(output);
            } else if self.tmm.as_mut().and_then(Enforcer::poll_output).is_none()
                && !self.tell_gate()
            {
                return;
            }
        }
    }

    fn serve_desk(&mut self, output: desk::Output) {
        match output {
            desk::Output::Publish(message) => self.send(End::Controller, message),
            desk::Output::Learnt { epoch, iat, .. } => {
                self.epoch = self.epoch.max(epoch) + 1;
                let own = self.moment().iat;
                if iat > own {
                    self.clock += i64::try_from(iat - own).unwrap();
                }
                let moment = self.moment();
                if let Some(desk) = &mut self.desk {
                    desk.handle_input(desk::Input::Epoch(self.epoch), moment);
                }
            }
            desk::Output::Rotated { .. }
            | desk::Output::TrustAnchorReplaced { .. }
            | desk::Output::Refused(_) => {}
        }
    }

    fn serve_client(&mut self, output: client::Output) {
        match output {
            client::Output::Ask { mut request, hello } => {
                let asked = match hello {
                    Hello::All => true,
                    Hello::One(pod) => pod == TMM,
                    Hello::Nobody => false,
                };
                if let (true, Some(tmm)) = (asked, self.hello())
                    && let Some(tmms) = request.body.tmms_mut()
                {
                    tmms.push(tmm);
                }
                self.send(End::Cwc, request);
            }
            client::Output::Publish(message) => self.send(End::Cwc, message),
            client::Output::Lease { pod, jws } => {
                assert_eq!(pod, TMM);
                self.deliver(jws, false);
            }
            client::Output::Renew { jws } => self.deliver(jws, true),
            client::Output::Latch { jws, .. } => self.deliver(jws, false),
            client::Output::StoreLatch { jws } => self.latch = Some(jws),
            client::Output::StoreLast { jws } => self.last = Some(jws),
            client::Output::Judged(change) => {
                self.changes.push(change);
                match change.to.enforcement() {
                    Enforcement::Serve | Enforcement::Withhold => {}
                    Enforcement::Close | Enforcement::Stop => {
                        let reason = change.to.reason.code().to_owned();
                        if let Some(tmm) = &mut self.tmm {
                            tmm.handle_input(enforcer::Input::Close { reason }, self.now);
                        }
                    }
                }
            }
            client::Output::StillWarned(_)
            | client::Output::TrustAnchorMissing
            | client::Output::ContactLost
            | client::Output::ContactRestored
            | client::Output::LogLevels(_)
            | client::Output::Refused(_) => {}
        }
    }

    /// A `Hello` to the TMM: its nonce for the request; its latch goes to the client.
    fn hello(&mut self) -> Option<TmmNonce> {
        let nonce = self.bytes();
        let tmm = self.tmm.as_mut()?;
        tmm.handle_input(enforcer::Input::Hello { nonce }, self.now);
        let gate = state_of(tmm);
        if let Some(jws) = tmm.latch().map(str::to_owned) {
            self.tell(client::Input::LatchOffered { jws });
        }
        let name = "f5-tmm-0".to_owned();
        Some(TmmNonce { pod: TMM.to_owned(), name, nonce: Nonce(nonce), gate })
    }

    fn deliver(&mut self, jws: String, renewal: bool) {
        let Some(tmm) = &mut self.tmm else { return };
        self.leases.push(jws.clone());
        tmm.handle_input(enforcer::Input::Lease { jws }, self.now);
        let mut refused = false;
        while let Some(output) = tmm.poll_output() {
            if let enforcer::Output::Rejected(error) = output {
                refused = error != crate::LeaseError::Replayed;
            }
        }
        if renewal && refused {
            self.tell(client::Input::RenewalRefused { pod: TMM.to_owned() });
        }
    }

    /// Tells the client of the TMM's gate if that moved; whether it did.
    fn tell_gate(&mut self) -> bool {
        let gate = self.tmm.as_ref().map(state_of);
        if self.client.is_none() || gate == self.told {
            return false;
        }
        self.told = gate;
        let pod = TMM.to_owned();
        match gate {
            Some(gate) => self.tell(client::Input::Tmm { pod, gate }),
            None => self.tell(client::Input::TmmGone { pod }),
        }
        true
    }

    fn send(&mut self, to: End, message: Message) {
        // Both ends seal and open what they send, as on a real bus.
        let envelope = message.seal(EPOCH);
        let message = Message::open(&envelope.properties, &envelope.body).unwrap();
        if self.wire == Wire::Cut {
            return;
        }
        if to == End::Controller {
            self.recorded.push(message.clone());
        }
        let copies = match self.wire {
            Wire::Good | Wire::Cut => vec![0],
            Wire::Poor(delay) => match self.below(4) {
                0 => return,
                1 => vec![self.below(delay + 1), self.below(delay + 1)],
                _ => vec![self.below(delay + 1)],
            },
        };
        for delay in copies {
            self.count += 1;
            let at = self.now.plus(Nanos::from_secs(delay));
            self.under_way.insert((at, self.count), (to, message.clone()));
        }
    }
}

fn state_of(tmm: &Enforcer) -> GateState {
    match tmm.gate() {
        Gate::Closed { .. } => GateState::Closed,
        Gate::Open { .. } => GateState::Open,
        Gate::Latched => GateState::Latched,
    }
}
