//! The loop's dealings with the desk: what it is told, and what it has done.

use std::collections::BTreeMap;
use std::time::Duration;

use spk_entitlement::Class;
use spk_entitlement::desk::{Desk, Input, Moment, Output, Standing, Start};
use spk_entitlement::messages::{Body, LicenseFacts, Message, OrderType};
use spk_license::calendar::instant;
use spk_license::token as order;
use spk_license::{Event, Machine, Now, PeerStatement};
use spk_store::Store;
use tmm_config::Nanos;

use super::Shell;
use crate::events::EventKind;
use crate::front::now;
use crate::usage::UsageSource;
use crate::{keys, random};

/// Boot time as the desk counts it.
pub(super) fn boot(now: Now) -> Nanos {
    Nanos(u64::try_from(now.boot.as_nanos()).unwrap_or(u64::MAX))
}

impl<S: Store + Clone, U: UsageSource> Shell<S, U> {
    fn moment(&self, now: Now) -> Moment {
        Moment { boot: boot(now), iat: self.machine.high_water(now) }
    }

    /// Opens the desk once there is an epoch to sign in; there is none while the stored state cannot
    /// be used.
    pub(super) async fn open_desk(&mut self) {
        let Some(epoch) = self.machine.epoch() else { return };
        // Without a random seed the ids of messages could be guessed; the next step tries again.
        let Ok(seed) = random::bytes() else { return };
        let Some(keys) = self.keys.take() else { return };
        let now = now();
        let start = Start {
            missed: self.config.shell.missed_heartbeats,
            keys,
            epoch,
            standing: standing(&self.machine, now),
            seed,
        };
        let mut desk = Desk::new(start, self.moment(now));
        desk.handle_input(Input::Instances(self.instances.clone()), self.moment(now));
        self.desk = Some(desk);
        self.desk_outputs().await;
    }

    async fn desk_input(&mut self, input: Input) {
        let moment = self.moment(now());
        if let Some(desk) = self.desk.as_mut() {
            desk.handle_input(input, moment);
        }
        self.desk_outputs().await;
    }

    pub(super) async fn desk_timers(&mut self) {
        let moment = self.moment(now());
        if let Some(desk) = self.desk.as_mut() {
            desk.handle_timeout(moment);
        }
        self.desk_outputs().await;
    }

    /// Takes a `next.jwk` that came (LIC-017).
    pub(super) async fn look_at_keys(&mut self) {
        let now = now().boot;
        if now.saturating_sub(self.keys_read.1) < LOOK_AT_KEYS_EVERY {
            return;
        }
        self.keys_read.1 = now;
        match keys::changed(&self.key_store, &self.keys_read.0).await {
            Ok(None) => {}
            Ok(Some(lease)) => {
                self.keys_read.0 = lease.version;
                tracing::info!(kid = lease.ring.signing.kid(), "the keys of statements were read");
                if self.desk.is_some() {
                    self.desk_input(Input::Keys(lease.ring)).await;
                } else {
                    self.keys = Some(lease.ring);
                }
            }
            Err(error) => tracing::warn!(%error, "the keys of statements stay as they are"),
        }
    }

    /// Tells the desk what the machine says now, and a new epoch.
    pub(super) async fn tell_desk(&mut self) {
        if self.desk.is_none() {
            self.open_desk().await;
            return;
        }
        let (now, Some(epoch)) = (now(), self.machine.epoch()) else { return };
        let moment = self.moment(now);
        let standing = standing(&self.machine, now);
        if let Some(desk) = self.desk.as_mut() {
            if desk.last().0 != epoch {
                desk.handle_input(Input::Epoch(epoch), moment);
            }
            desk.handle_input(Input::Standing(standing), moment);
        }
        self.desk_outputs().await;
    }

    pub(super) fn tell_desk_storing(&mut self, works: bool) {
        let moment = self.moment(now());
        if let Some(desk) = self.desk.as_mut() {
            desk.handle_input(Input::Storing(works), moment);
        }
    }

    /// Commands `levels` beside those of other components that were commanded before.
    pub(super) async fn command_log_levels(&mut self, levels: BTreeMap<String, String>) {
        self.levels.extend(levels);
        self.desk_input(Input::LogLevels(self.levels.clone())).await;
    }

    /// A message from the bus.
    pub(super) async fn message(&mut self, message: Message) {
        self.desk_input(Input::Message(message)).await;
        // A Controller asks: what it showed may have taught the machine something.
        while let Some(peer) = self.learnt.pop_front() {
            // What cannot be stored is not learnt, and the request not answered: it comes again.
            if self.feed(Event::Peer(peer)).await.is_err() {
                continue;
            }
            if let Some(epoch) = self.machine.epoch() {
                self.desk_input(Input::Epoch(epoch)).await;
            }
        }
    }

    async fn desk_outputs(&mut self) {
        loop {
            let output = self.desk.as_mut().and_then(Desk::poll_output);
            match output {
                None => return,
                Some(Output::Publish(message)) => self.publish(&message),
                Some(Output::Learnt { epoch, seq, iat }) => {
                    self.learnt.push_back(PeerStatement { epoch, seq, iat });
                }
                Some(Output::Rotated { kid }) => match keys::rotate(&self.key_store).await {
                    Ok(version) => {
                        self.keys_read.0 = version;
                        tracing::info!(kid, "signing with the new key");
                    }
                    Err(error) => {
                        tracing::error!(%error, "the new key signs, but is not stored as such");
                    }
                },
                Some(Output::TrustAnchorReplaced { namespace, kid }) => {
                    let text = format!(
                        "The copy of Secret cwc-lease-jwks in namespace {namespace} holds key \
                         {kid}, which this CWC did not publish."
                    );
                    self.tell("TrustAnchorReplaced", EventKind::Warning, None, text);
                }
                Some(Output::Refused(refusal)) => {
                    self.counters.refused(refusal.code());
                    self.refusals.log(refusal);
                }
            }
        }
    }

    /// Publishes without waiting; a heartbeat is logged as the original does (LIC-737).
    fn publish(&self, message: &Message) {
        let wall = u64::try_from(now().wall.as_second()).unwrap_or(0);
        let envelope = message.seal(wall);
        let heartbeat = matches!(message.body, Body::Heartbeat(_));
        if heartbeat {
            tracing::info!("DEBUG: exchange name = {}", envelope.route.exchange());
        }
        let kind = message.body.kind();
        let confirm = self.bus.publish(envelope);
        tokio::spawn(async move {
            match confirm.await {
                Ok(()) if heartbeat => tracing::info!("====> Published heartbeat message"),
                Ok(()) => tracing::debug!(kind, "published"),
                Err(error) => tracing::warn!(kind, code = error.code(), "not published: {error}"),
            }
        });
    }
}

/// What the machine says now, as the desk tells it to Controllers.
fn standing(machine: &Machine, now: Now) -> Standing {
    let context = machine.context();
    let ruling = machine.ruling(now);
    let state = machine.license_state(now);
    let daid = machine.digital_asset_id().unwrap_or_default();
    let end = context.end();
    let license = context.grant.as_ref().map(|grant| LicenseFacts {
        order_type: match grant.claims.order_type {
            order::OrderType::Eval => OrderType::Eval,
            order::OrderType::Freemium => OrderType::Freemium,
            order::OrderType::Paid => OrderType::Paid,
            order::OrderType::Ela => OrderType::Ela,
        },
        expiry: end.map(|end| instant(end).to_string()),
        digital_asset_id: daid,
        jti: grant.claims.jti.to_string(),
    });
    Standing {
        class: machine.class(),
        active: machine.is_active(),
        verdict: ruling.verdict,
        reason: ruling.reason,
        state: state.number(),
        state_text: state.text().to_owned(),
        license,
        daid,
        ends: end.filter(|_| machine.class() == Class::Trial),
    }
}

/// How often the Secret of the keys is looked at.
const LOOK_AT_KEYS_EVERY: Duration = Duration::from_secs(5);
