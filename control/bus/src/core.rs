//! What an end keeps over all its connections: the messages on their way out, those in its user's
//! hands, and what its user was told.

use std::collections::VecDeque;

use spk_entitlement::messages::{Envelope, Message, Properties, Rejection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, sleep_until};
use uuid::Uuid;

use crate::bus::{BusEvent, Delivery};
use crate::inbox::{Arrival, Inbox};
use crate::limit::Limit;
use crate::metrics::BusMetrics;
use crate::outbox::{Answer, Outbox};

/// What the handle asks for.
#[derive(Debug)]
pub enum Command {
    /// Publish a message.
    Publish(Box<Envelope>, Answer),
    /// Close the end, and say when that is done.
    Close(oneshot::Sender<()>),
}

/// What became of a delivery.
#[derive(Debug)]
pub enum Settlement {
    /// Its user is done with it.
    Done(Uuid),
    /// Its user dropped it.
    Refused(Uuid),
}

/// What a connection has to do, besides reading.
#[derive(Debug)]
pub enum Task<T> {
    /// Look at the outbox: there may be something to send, or a confirm overdue.
    Send,
    /// Acknowledge these copies.
    Acknowledge(Vec<T>),
    /// Hand these copies back to the bus.
    HandBack(Vec<T>),
    /// Close, and answer.
    Close(Option<oneshot::Sender<()>>),
}

/// The state of one end; `T` acknowledges one copy of a message on its present connection.
#[derive(Debug)]
pub struct Core<T> {
    commands: mpsc::Receiver<Command>,
    settlements: mpsc::UnboundedReceiver<Settlement>,
    settle: mpsc::UnboundedSender<Settlement>,
    events: mpsc::UnboundedSender<BusEvent>,
    /// Messages on their way out.
    pub outbox: Outbox,
    /// Messages in the user's hands.
    pub inbox: Inbox<T>,
    /// What its user dropped, and when it may come again.
    refused: VecDeque<(Instant, Uuid)>,
    metrics: BusMetrics,
    rejections: [Limit; Rejection::ALL.len()],
    returns: Limit,
    up_since: Option<Instant>,
    told: Option<String>,
}

impl<T> Core<T> {
    /// An end that has no connection yet.
    pub fn new(
        commands: mpsc::Receiver<Command>,
        events: mpsc::UnboundedSender<BusEvent>,
        metrics: BusMetrics,
    ) -> Self {
        let (settle, settlements) = mpsc::unbounded_channel();
        Self {
            commands,
            settlements,
            settle,
            events,
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            refused: VecDeque::new(),
            metrics,
            rejections: Default::default(),
            returns: Limit::default(),
            up_since: None,
            told: None,
        }
    }

    /// The next thing to do. May be cancelled without loss.
    pub async fn next_task(&mut self) -> Task<T> {
        loop {
            let refused = self.refused.front().map(|(due, _)| *due);
            let timeout = [self.outbox.poll_timeout(), refused].into_iter().flatten().min();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Publish(envelope, answer)) => {
                        self.outbox.push(*envelope, answer, Instant::now());
                        return Task::Send;
                    }
                    Some(Command::Close(done)) => return Task::Close(Some(done)),
                    None => return Task::Close(None),
                },
                Some(settlement) = self.settlements.recv() => match settlement {
                    Settlement::Done(id) => return Task::Acknowledge(self.inbox.done(id)),
                    Settlement::Refused(id) => {
                        self.refused.push_back((Instant::now() + AGAIN_AFTER, id));
                    }
                },
                () = self.events.closed() => return Task::Close(None),
                () = sleep_until(timeout.unwrap_or_else(Instant::now)), if timeout.is_some() => {
                    let now = Instant::now();
                    self.outbox.handle_timeout(now);
                    let due = |(due, _): &(Instant, Uuid)| *due <= now;
                    let Some((_, id)) = self.refused.pop_front_if(|entry| due(entry)) else {
                        return Task::Send;
                    };
                    return Task::HandBack(self.inbox.refused(id));
                }
            }
        }
    }

    /// What is to be acknowledged before the end closes: its user was done with it.
    pub fn last_acknowledgements(&mut self) -> Vec<T> {
        let mut tags = Vec::new();
        while let Ok(settlement) = self.settlements.try_recv() {
            match settlement {
                Settlement::Done(id) => tags.extend(self.inbox.done(id)),
                // The bus gives it to the next one by itself.
                Settlement::Refused(_) => {}
            }
        }
        tags
    }

    /// Takes a message from the bus. Gives `tag` back if this copy is to be acknowledged now.
    pub fn receive(
        &mut self,
        properties: &Properties,
        body: &[u8],
        redelivered: bool,
        tag: T,
    ) -> Option<T> {
        let message = match Message::open(properties, body) {
            Ok(message) => message,
            Err(rejection) => {
                self.reject(rejection, properties);
                return Some(tag);
            }
        };
        match self.inbox.arrived(message.id, tag) {
            Arrival::New => {
                let delivery = Delivery::new(message, redelivered, self.settle.clone());
                // Without a user the end closes, and the message stays with the bus.
                let _ = self.events.send(BusEvent::Message(delivery));
                None
            }
            Arrival::Held => {
                self.metrics.count_repeated();
                None
            }
            Arrival::Repeat(tag) => {
                self.metrics.count_repeated();
                Some(tag)
            }
        }
    }

    fn reject(&mut self, rejection: Rejection, properties: &Properties) {
        self.metrics.count_rejected(rejection);
        let kind = Rejection::ALL.iter().position(|kind| *kind == rejection);
        let limit = kind.and_then(|kind| self.rejections.get_mut(kind));
        if let Some(held_back) = limit.and_then(|limit| limit.allow(Instant::now())) {
            // What a peer wrote is not shown: it may be long, or a secret.
            tracing::warn!(
                reason = rejection.code(),
                held_back,
                bytes_of_type = properties.kind.len(),
                "refused a message from the bus: {rejection}"
            );
        }
    }

    /// A message came back: no queue has the key `key`.
    pub fn returned(&mut self, key: &str) {
        self.metrics.count_returned();
        if let Some(held_back) = self.returns.allow(Instant::now()) {
            tracing::warn!(held_back, "no queue {key} on the bus: the instance is unknown");
        }
    }

    /// The connection is good: tells the user.
    pub fn up(&mut self) {
        self.metrics.count_connection();
        self.up_since = Some(Instant::now());
        self.told = None;
        // Without a user the end closes.
        let _ = self.events.send(BusEvent::Up);
    }

    /// The connection ended, or was not made: tells the user if that is news, and what was under way
    /// is under way no more. Gives how long it was good.
    pub fn down(&mut self, reason: &str) -> Duration {
        self.outbox.lost();
        self.inbox.lost();
        let good = self.up_since.take().map(|since| since.elapsed());
        if self.told.as_deref() != Some(reason) {
            self.told = Some(reason.to_owned());
            // Without a user the end closes.
            let _ = self.events.send(BusEvent::Down { reason: reason.to_owned() });
        }
        good.unwrap_or_default()
    }
}

/// How long a message that its user dropped stays away.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
