//! One end of the bus, as its user sees it.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use spk_entitlement::messages::{Envelope, Message};
use spk_serving::tls::Tls;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::amqp::AmqpLink;
use crate::core::{Command, Core, Settlement};
use crate::local::{LocalClient, LocalServer};
use crate::metrics::BusMetrics;
use crate::outbox::{CAPACITY, PublishError};
use crate::supervise::supervise;

/// Whose end it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// The CWC: reads queue `cwc`.
    Cwc,
    /// The Controller of a namespace: reads queue `spk-<namespace>`.
    Controller {
        /// Its namespace.
        namespace: String,
    },
}

impl End {
    /// The queue that it reads (licensing.md §10.2).
    #[must_use]
    pub fn queue(&self) -> String {
        match self {
            Self::Cwc => String::from("cwc"),
            Self::Controller { namespace } => format!("spk-{namespace}"),
        }
    }

    /// The connection's name (LIC-725).
    #[must_use]
    pub fn connection_name(&self) -> String {
        match self {
            Self::Cwc => String::from("spk-cwc"),
            Self::Controller { namespace } => format!("f5-lic-helper/{namespace}"),
        }
    }

    /// How many messages it may hold without acknowledging one (LIC-722).
    #[must_use]
    pub const fn prefetch(&self) -> u16 {
        match self {
            Self::Cwc => 64,
            Self::Controller { .. } => 8,
        }
    }
}

/// How an end reaches the bus.
#[derive(Clone, Debug)]
pub enum Link {
    /// A RabbitMQ broker, over mutual TLS. The files that `tls` follows are used as they are when a
    /// connection is made (LIC-705).
    Broker {
        /// Name or IP address; the broker's certificate must carry it.
        host: String,
        /// TCP port.
        port: u16,
        /// The client's identity, without an application protocol.
        tls: Tls,
    },
    /// The local form: the CWC's end serves this Unix socket, a Controller's end connects to it.
    Local {
        /// The socket.
        path: PathBuf,
    },
}

/// What an end tells its user.
#[derive(Debug)]
pub enum BusEvent {
    /// The end is connected and reads its queue.
    Up,
    /// The end is not connected. Told once for each reason; it goes on trying.
    Down {
        /// Why, in words.
        reason: String,
    },
    /// A message arrived.
    Message(Delivery),
}

/// A message that waits for its acknowledgement. Dropped without one it comes again after a second,
/// marked as redelivered.
#[derive(Debug)]
pub struct Delivery {
    message: Message,
    redelivered: bool,
    settle: Option<mpsc::UnboundedSender<Settlement>>,
}

impl Delivery {
    pub(crate) const fn new(
        message: Message,
        redelivered: bool,
        settle: mpsc::UnboundedSender<Settlement>,
    ) -> Self {
        Self { message, redelivered, settle: Some(settle) }
    }

    /// The message.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// Whether the bus had given it to somebody before.
    #[must_use]
    pub const fn redelivered(&self) -> bool {
        self.redelivered
    }

    /// Tells the bus that the message is done, and remembers its id. Call it when the state that the
    /// message causes is stored, and not before.
    pub fn ack(mut self) {
        self.settle_as(Settlement::Done);
    }

    fn settle_as(&mut self, settlement: fn(Uuid) -> Settlement) {
        if let Some(settle) = self.settle.take() {
            // The end is closed: then the bus gives the message to the next one.
            let _ = settle.send(settlement(self.message.id));
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.settle_as(Settlement::Refused);
    }
}

/// The events of one end, in order.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::UnboundedReceiver<BusEvent>,
}

impl Events {
    /// The next event; none after [`Bus::close`]. May be cancelled without loss.
    pub async fn next(&mut self) -> Option<BusEvent> {
        self.receiver.recv().await
    }
}

/// One end of the bus. Clones are the same end; it closes when the last is dropped, or when its
/// [`Events`] are.
#[derive(Clone, Debug)]
pub struct Bus {
    commands: mpsc::Sender<Command>,
    metrics: BusMetrics,
}

impl Bus {
    /// Opens an end and keeps it connected; must be called in a tokio runtime. Never fails: what
    /// goes wrong is told by [`BusEvent::Down`] and tried again.
    #[must_use]
    pub fn open(end: End, link: Link) -> (Self, Events) {
        let (commands, receiver) = mpsc::channel(CAPACITY);
        let (sender, events) = mpsc::unbounded_channel();
        let metrics = BusMetrics::new();
        match (link, end) {
            (Link::Broker { host, port, tls }, end) => {
                let core = Core::new(receiver, sender, metrics.clone());
                tokio::spawn(supervise(AmqpLink::new(end, host, port, tls), core));
            }
            (Link::Local { path }, End::Cwc) => {
                let core = Core::new(receiver, sender, metrics.clone());
                tokio::spawn(supervise(LocalServer::new(path), core));
            }
            (Link::Local { path }, End::Controller { namespace }) => {
                let core = Core::new(receiver, sender, metrics.clone());
                tokio::spawn(supervise(LocalClient::new(path, namespace), core));
            }
        }
        (Self { commands, metrics }, Events { receiver: events })
    }

    /// Publishes `envelope` to its route, in the order of the calls. Never waits; it is sent with or
    /// without somebody waiting for the [`Confirm`]. Without a connection it waits up to 60 s for
    /// one; when a connection ends before the confirm, it is sent again under its message id.
    pub fn publish(&self, envelope: Envelope) -> Confirm {
        let (answer, learned) = oneshot::channel();
        match self.commands.try_send(Command::Publish(Box::new(envelope), answer)) {
            Ok(()) => Confirm(Waiting::Answer(learned)),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Confirm(Waiting::Refused(PublishError::Full))
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                Confirm(Waiting::Refused(PublishError::Closed))
            }
        }
    }

    /// Ends the connection in an orderly way, at most 2 s long. What was published and not confirmed
    /// is answered with [`PublishError::Closed`].
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close(done)).await.is_ok() {
            // Dropped unanswered only when the runtime ends.
            let _ = closed.await;
        }
    }

    /// What this end counts.
    #[must_use]
    pub const fn metrics(&self) -> &BusMetrics {
        &self.metrics
    }
}

/// Resolves when the bus has taken a message over, or to why it has not. At the latest 65 s after
/// the call, and dropping it takes nothing back.
#[must_use = "the result says whether the message reached the bus"]
pub struct Confirm(Waiting);

enum Waiting {
    Answer(oneshot::Receiver<Result<(), PublishError>>),
    Refused(PublishError),
}

impl Future for Confirm {
    type Output = Result<(), PublishError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Waiting::Answer(learned) => {
                let answer = ready!(Pin::new(learned).poll(context));
                Poll::Ready(answer.unwrap_or(Err(PublishError::Closed)))
            }
            Waiting::Refused(error) => Poll::Ready(Err(error.clone())),
        }
    }
}

impl fmt::Debug for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirm").finish_non_exhaustive()
    }
}
