//! The loop that owns the licence machine and the desk.
//!
//! One event after the other: step, store, project, do. Owns that order and nothing of what the
//! events mean. Invariants: nothing is answered, published, posted or shown that was not stored
//! before (P1); one event is finished before the next begins (LIC-324).
//! Source: licensing.md §7.2, architecture.md §6.

mod desk;
mod outputs;
mod refusals;
mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use spk_bus::{Bus, BusEvent, Events as BusEvents};
use spk_entitlement::desk::{Desk, KeyRing};
use spk_license::codes::Code;
use spk_license::{Answer, Event, Machine, Now, PeerStatement, Refusal, Step, Stored, Storing};
use spk_serving::log::LogControl;
use spk_serving::shutdown::Signals;
use spk_serving::tls::CertificateEvent;
use spk_store::{Store, StoreError, Version};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::config::{Change, Config, ShellSettings};
use crate::events::{EventFile, EventKind, EventRecord};
use crate::front::{Ask, News, Shown, Wish, now};
use crate::keys::Lease;
use crate::metrics::Counters;
use crate::persist::Keeper;
use crate::random::SystemEntropy;
use crate::usage::UsageSource;
use refusals::Refusals;

/// What the loop is made of.
#[derive(Debug)]
pub struct Parts<S, U> {
    /// The state.
    pub keeper: Keeper<S>,
    /// The machine: it has read nothing yet.
    pub machine: Machine,
    /// The keys that sign statements.
    pub keys: Lease,
    /// Where the own keys are kept.
    pub key_store: S,
    /// What the folder says at the start.
    pub config: Config,
    /// Counts usage.
    pub usage: U,
    /// The bus.
    pub bus: Bus,
    /// The registered namespaces.
    pub instances: BTreeSet<String>,
    /// Namespace of this CWC.
    pub namespace: Arc<str>,
    /// Where events go.
    pub events: EventFile,
    /// What is counted.
    pub counters: Counters,
    /// Changes the level of the log.
    pub log: LogControl,
}

/// What comes in.
#[derive(Debug)]
pub struct Inbox {
    /// Requests.
    pub asks: mpsc::Receiver<Ask>,
    /// The bus.
    pub bus: BusEvents,
    /// The folder's changes.
    pub config: mpsc::Receiver<Change>,
    /// Certificates.
    pub certificates: mpsc::UnboundedReceiver<CertificateEvent>,
}

/// What goes out to the REST API.
#[derive(Debug)]
pub struct Outlet {
    /// What is shown.
    pub shown: watch::Sender<Arc<Shown>>,
    /// The values in force.
    pub settings: watch::Sender<Arc<ShellSettings>>,
    /// Changes.
    pub news: broadcast::Sender<News>,
}

/// The loop's own state.
struct Shell<S, U> {
    keeper: Keeper<S>,
    key_store: S,
    machine: Machine,
    desk: Option<Desk>,
    /// Given to the desk when it opens.
    keys: Option<KeyRing>,
    /// Version of the Secret of these keys, and when it was last looked at (boot time).
    keys_read: (Version, Duration),
    config: Config,
    usage: Arc<U>,
    bus: Bus,
    instances: BTreeSet<String>,
    namespace: Arc<str>,
    events: EventFile,
    counters: Counters,
    log: LogControl,
    /// The log levels commanded so far, by component.
    levels: BTreeMap<String, String>,
    outlet: Outlet,
    /// Where the ends of what runs beside the loop go.
    done: mpsc::UnboundedSender<Event>,
    uploads: BTreeMap<Uuid, AbortHandle>,
    /// Whether the machine started from what is stored.
    booted: bool,
    /// When to read it again, if it is to be read (boot time).
    boot_at: Duration,
    /// What was read and cannot be used: `context` and the asset id.
    found: Option<(Stored, Stored)>,
    /// Since when storing fails (boot time).
    failing_since: Option<Duration>,
    /// What machine and desk were last told.
    told_works: bool,
    /// When the machine's next timer is due (boot time).
    timer_at: Duration,
    /// Timers wait until then after a store that failed (boot time).
    deferred_until: Duration,
    /// Whether the last projections were written.
    projected: bool,
    /// What Controllers showed, for the machine (§7.5).
    learnt: VecDeque<PeerStatement>,
    /// What nobody says again and could not be stored (P3), in order.
    unstored: VecDeque<Event>,
    /// When refused messages were last logged.
    refusals: Refusals,
    /// Another process wrote `context` (P4).
    lost: Option<StoreError>,
}

/// Runs until a signal comes.
///
/// # Errors
///
/// [`StoreError::Conflict`] if another process wrote the state: this one must not go on (P4).
pub async fn run<S: Store + Clone, U: UsageSource>(
    parts: Parts<S, U>,
    outlet: Outlet,
    mut inbox: Inbox,
    mut signals: Signals,
) -> Result<(), StoreError> {
    let (done, mut ended) = mpsc::unbounded_channel();
    let mut shell = Shell::new(parts, outlet, done);
    shell.boot().await;
    loop {
        if let Some(error) = shell.lost.take() {
            return Err(error);
        }
        shell.show();
        let due = shell.due(now());
        tokio::select! {
            // In no order: whoever asks without a pause must not keep the others waiting.
            () = signals.next() => break,
            Some(ask) = inbox.asks.recv() => shell.asked(ask).await,
            Some(event) = ended.recv() => shell.feed_surely(event).await,
            Some(event) = inbox.bus.next() => shell.heard(event).await,
            Some(change) = inbox.config.recv() => shell.configure(change).await,
            Some(event) = inbox.certificates.recv() => shell.certificate(&event),
            () = sleep_until(Instant::now() + due) => shell.timers().await,
        }
    }
    shell.bus.close().await;
    Ok(())
}

impl<S: Store + Clone, U: UsageSource> Shell<S, U> {
    fn new(parts: Parts<S, U>, outlet: Outlet, done: mpsc::UnboundedSender<Event>) -> Self {
        Self {
            keeper: parts.keeper,
            key_store: parts.key_store,
            machine: parts.machine,
            desk: None,
            keys: Some(parts.keys.ring),
            keys_read: (parts.keys.version, now().boot),
            config: parts.config,
            usage: Arc::new(parts.usage),
            bus: parts.bus,
            instances: parts.instances,
            namespace: parts.namespace,
            events: parts.events,
            counters: parts.counters,
            log: parts.log,
            levels: BTreeMap::new(),
            outlet,
            done,
            uploads: BTreeMap::new(),
            booted: false,
            boot_at: Duration::ZERO,
            found: None,
            failing_since: None,
            told_works: true,
            timer_at: Duration::ZERO,
            deferred_until: Duration::ZERO,
            projected: false,
            learnt: VecDeque::new(),
            unstored: VecDeque::new(),
            refusals: Refusals::default(),
            lost: None,
        }
    }

    /// Feeds `event`, and what it leads to at once; gives the answer.
    async fn feed(&mut self, event: Event) -> Result<Answer, Refusal> {
        let answer = self.steps(event).await;
        let now = now();
        self.timer_at = now.boot + self.machine.poll_timeout(now);
        answer
    }

    async fn steps(&mut self, event: Event) -> Result<Answer, Refusal> {
        let mut event = event;
        loop {
            let Step { next, storing, answer, outputs, then, instead } =
                self.machine.step(event, now(), &mut SystemEntropy);
            let kept = match storing {
                Storing::No => true,
                Storing::First | Storing::IfPossible => self.keep(&next).await,
            };
            // Of another writer's state nothing is done any more, not even what needs no storing (P4).
            if !kept && (storing == Storing::First || self.lost.is_some()) {
                self.tell_storing().await;
                match instead {
                    Some(other) => {
                        event = other;
                        continue;
                    }
                    None => {
                        let code = Code::StoreUnavailable;
                        return Err(Refusal::new(code, code.text()));
                    }
                }
            }
            self.machine = next;
            self.tell_storing().await;
            if storing != Storing::No || !self.projected {
                self.project().await;
            }
            self.perform(outputs).await;
            self.tell_desk().await;
            match then {
                Some(other) => event = other,
                None => return answer,
            }
        }
    }

    /// Feeds an event that nobody repeats: what cannot be stored now is fed again later (P3).
    async fn feed_surely(&mut self, event: Event) {
        self.unstored.push_back(event);
        self.feed_unstored().await;
    }

    async fn feed_unstored(&mut self) {
        while self.deferred_until <= now().boot {
            let Some(event) = self.unstored.pop_front() else { return };
            let answer = self.feed(event.clone()).await;
            if answer.is_err_and(|refusal| refusal.code == Code::StoreUnavailable) {
                self.unstored.push_front(event);
                return;
            }
        }
    }

    /// A request of the REST API.
    async fn asked(&mut self, Ask { wish, reply }: Ask) {
        let answer = match wish {
            Wish::Event(event) => self.feed(event).await,
            Wish::LogLevels(levels) => {
                self.command_log_levels(levels).await;
                Ok(Answer::Done)
            }
        };
        // What the answer says is shown before it is given.
        self.show();
        // Who asked may have gone.
        let _ = reply.send(answer);
    }

    /// New contents of the folder.
    async fn configure(&mut self, change: Change) {
        let config = match change {
            Change::Read(config) => *config,
            Change::Refused(text) => {
                self.tell("ConfigurationRefused", EventKind::Warning, None, text);
                return;
            }
        };
        let settings_changed = config.settings != self.config.settings;
        let objects_changed = config.objects != self.config.objects;
        if config.shell.log_level != self.config.shell.log_level {
            self.log.set_level(config.shell.log_level);
        }
        self.config = config;
        self.outlet.settings.send_replace(Arc::new(self.config.shell.clone()));
        if settings_changed {
            // Of several that wait only the last one counts.
            self.unstored.retain(|event| !matches!(event, Event::Settings(_)));
            let settings = Box::new(self.config.settings.clone());
            self.feed_surely(Event::Settings(settings)).await;
        }
        if objects_changed {
            self.unstored.retain(|event| !matches!(event, Event::Objects(_)));
            let objects = Box::new(self.config.objects.clone());
            self.feed_surely(Event::Objects(objects)).await;
        }
    }

    fn certificate(&mut self, event: &CertificateEvent) {
        let kind = if event.is_warning() { EventKind::Warning } else { EventKind::Normal };
        self.tell(event.reason(), kind, None, event.to_string());
    }

    /// How long until the next timer.
    fn due(&self, now: Now) -> Duration {
        let machine = self.timer_at.max(self.deferred_until).saturating_sub(now.boot);
        let desk = self.desk.as_ref().and_then(Desk::poll_timeout);
        let desk = desk.map(|at| Duration::from_nanos(at.0).saturating_sub(now.boot));
        // Once a second at the latest the views get fresh lists of Controllers.
        [Some(machine), desk, Some(LOOK_EVERY)].into_iter().flatten().min().unwrap_or(LOOK_EVERY)
    }

    async fn timers(&mut self) {
        self.boot().await;
        self.feed_unstored().await;
        if self.timer_at.max(self.deferred_until) <= now().boot {
            drop(self.feed(Event::Timer).await);
        }
        self.desk_timers().await;
        self.look_at_keys().await;
    }

    /// Hands the present state to the REST API.
    fn show(&self) {
        let now = now();
        let (controllers, untrusting) = self.desk.as_ref().map_or_else(Default::default, |desk| {
            (desk.controllers(desk::boot(now)), desk.in_need_of_trust())
        });
        self.outlet.shown.send_replace(Arc::new(Shown {
            machine: self.machine.clone(),
            controllers,
            untrusting,
            at: now.boot,
            namespace: Arc::clone(&self.namespace),
            upstream: self.config.shell.upstream_url.to_string().into(),
        }));
    }

    /// Writes an event down, and tells who follows.
    fn tell(
        &mut self,
        reason: &'static str,
        kind: EventKind,
        code: Option<&'static str>,
        text: String,
    ) {
        let event = EventRecord::new(reason, kind, code, text);
        if self.events.record(&event) {
            self.publish_news("event", &event);
        }
    }

    fn publish_news<T: serde::Serialize>(&self, kind: &'static str, data: &T) {
        if let Ok(data) = serde_json::to_string(data) {
            // Nobody may be following.
            let _ = self.outlet.news.send(News { kind, data: data.into() });
        }
    }

    async fn heard(&mut self, event: BusEvent) {
        match event {
            BusEvent::Up => {
                self.counters.set_connected(true);
                tracing::info!("connected to the bus");
            }
            BusEvent::Down { reason } => {
                self.counters.set_connected(false);
                tracing::warn!(reason, "not connected to the bus");
            }
            BusEvent::Message(delivery) => {
                self.message(delivery.message().clone()).await;
                delivery.ack();
            }
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
