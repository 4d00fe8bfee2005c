//! One connection, from its login to its end.
//!
//! Sources: licensing.md §10.2 (LIC-713), §10.3.

use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Channel, Confirmation, Connection, Consumer};
use spk_serving::tls::Tls;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until, timeout};
use tokio_stream::StreamExt as _;

use super::connect::{Connected, connect};
use super::properties::from_amqp;
use super::publish::Publisher;
use super::topology::{
    declare_exchange, declare_queue, delete_queue, is_missing, is_other_arguments,
};
use crate::bus::End;
use crate::core::{Core, Task};
use crate::outbox::{Number, PublishError};
use crate::supervise::{Ended, Session};

/// The way to a broker.
#[derive(Debug)]
pub struct AmqpLink {
    end: End,
    host: String,
    port: u16,
    tls: Tls,
    certificates: watch::Receiver<u64>,
}

impl AmqpLink {
    /// The way of `end` to `host`:`port`.
    pub fn new(end: End, host: String, port: u16, tls: Tls) -> Self {
        let certificates = tls.changes();
        Self { end, host, port, tls, certificates }
    }

    async fn connect(&mut self) -> Result<Open, String> {
        self.certificates.mark_unchanged();
        let name = self.end.connection_name();
        let connected = connect(&self.host, self.port, &self.tls, &name).await;
        // The texts of both lines are the seed's (LIC-704).
        let opened = match connected {
            Ok(connected) => set_up(connected, &self.end).await.inspect_err(|reason| {
                tracing::error!("Failed to create AMQP. Error Failed to Setup exchange: {reason}");
            }),
            Err(error) => {
                tracing::error!("Failed to establish connection to rabbitmq server. Error {error}");
                tracing::error!(
                    "Failed to create AMQP. Error Failed to Setup exchange: Failed to open channel"
                );
                Err(error.to_string())
            }
        };
        if opened.is_ok() {
            tracing::info!("connected to the bus at {}:{} as {name}", self.host, self.port);
        }
        opened
    }
}

impl Session for AmqpLink {
    type Tag = Acker;

    async fn run(&mut self, core: &mut Core<Acker>) -> Ended {
        let mut open = match self.connect().await {
            Ok(open) => open,
            Err(reason) => return Ended::Lost(reason),
        };
        core.up();
        let ended = open.serve(core, &self.end).await;
        match &ended {
            Ended::Lost(reason) => tracing::warn!("lost the bus: {reason}"),
            Ended::Closed(_) => open.close(core.last_acknowledgements()).await,
        }
        ended
    }

    async fn better_prospects(&mut self) {
        if self.certificates.changed().await.is_err() {
            // Nobody follows the files any more.
            std::future::pending::<()>().await;
        }
    }
}

/// A connection in use.
#[derive(Debug)]
struct Open {
    connected: Connected,
    publisher: Publisher,
    /// None while the queue is being taken back.
    reader: Option<Reader>,
    /// When the queue was last taken (back).
    taken: Instant,
    /// What the reader ended with.
    fault: Option<String>,
    /// Acknowledgements on their way.
    settling: JoinSet<()>,
}

/// The channel of a consumer, and the consumer.
#[derive(Debug)]
struct Reader {
    _channel: Channel,
    consumer: Consumer,
}

impl Open {
    async fn new(connected: Connected, end: &End) -> lapin::Result<Self> {
        let publisher = Publisher::start(&connected.connection).await?;
        let reader = read_queue(&connected.connection, end).await?;
        Ok(Self {
            connected,
            publisher,
            reader: Some(reader),
            taken: Instant::now(),
            fault: None,
            settling: JoinSet::new(),
        })
    }

    /// Acknowledges the last messages and closes, in bounded time.
    async fn close(&mut self, last: Vec<Acker>) {
        last.into_iter().for_each(|copy| self.acknowledge(copy));
        let settled = async { while self.settling.join_next().await.is_some() {} };
        // Those that were not settled come again.
        let _ = timeout(CLOSING, settled).await;
        self.connected.close(CLOSING).await;
    }

    async fn serve(&mut self, core: &mut Core<Acker>, end: &End) -> Ended {
        loop {
            let now = Instant::now();
            if core.outbox.is_overdue(now) {
                return Ended::Lost(String::from("the broker did not confirm a message in time"));
            }
            while let Some((number, envelope)) = core.outbox.poll_output(now) {
                self.publisher.send(number, envelope);
            }
            let lost_queue = self.reader.is_none();
            tokio::select! {
                task = core.next_task() => match task {
                    Task::Send => {}
                    Task::Acknowledge(copies) => {
                        copies.into_iter().for_each(|copy| self.acknowledge(copy));
                    }
                    Task::HandBack(copies) => {
                        copies.into_iter().for_each(|copy| self.hand_back(copy));
                    }
                    Task::Close(done) => return Ended::Closed(done),
                },
                answer = self.publisher.next_answer() => match answer {
                    Some((number, Ok(confirmation))) => answered(core, number, confirmation),
                    Some((_, Err(error))) => return Ended::Lost(error.to_string()),
                    None => return Ended::Lost(String::from("the publisher ended")),
                },
                delivery = next_delivery(&mut self.reader) => match delivery {
                    Some(Ok(delivery)) => self.receive(core, delivery),
                    fault => {
                        // Cancelled, as the queue was deleted; or the connection is lost, which
                        // taking the queue back will show.
                        self.fault = fault.and_then(Result::err).map(|error| error.to_string());
                        self.reader = None;
                        core.inbox.lost();
                    }
                },
                Some(_) = self.settling.join_next() => {}
                () = sleep_until(self.taken + TAKE_AGAIN), if lost_queue => {
                    if let Err(reason) = self.take_back(end).await {
                        return Ended::Lost(self.fault.take().unwrap_or(reason));
                    }
                }
            }
        }
    }

    /// LIC-713: the queue is declared and read again.
    async fn take_back(&mut self, end: &End) -> Result<(), String> {
        self.taken = Instant::now();
        let reading = timeout(TAKING, read_queue(&self.connected.connection, end)).await;
        let reader = reading
            .map_err(|_| format!("taking queue {} back took too long", end.queue()))?
            .map_err(|error| error.to_string())?;
        self.reader = Some(reader);
        tracing::warn!("queue {} was taken away; it is declared and read again", end.queue());
        Ok(())
    }
}

/// The settling of messages.
impl Open {
    fn receive(&mut self, core: &mut Core<Acker>, delivery: Delivery) {
        let properties = from_amqp(&delivery.properties);
        let tag = delivery.acker;
        if let Some(tag) = core.receive(&properties, &delivery.data, delivery.redelivered, tag) {
            self.acknowledge(tag);
        }
    }

    /// A write waits while the broker takes nothing, so it must not wait in the session itself. One
    /// that fails is of a connection that is gone: the message comes again.
    fn acknowledge(&mut self, copy: Acker) {
        self.settling.spawn(async move {
            let _ = copy.ack(BasicAckOptions::default()).await;
        });
    }

    fn hand_back(&mut self, copy: Acker) {
        self.settling.spawn(async move {
            let _ = copy.nack(BasicNackOptions { multiple: false, requeue: true }).await;
        });
    }
}

async fn set_up(connected: Connected, end: &End) -> Result<Open, String> {
    timeout(TAKING, Open::new(connected, end))
        .await
        .map_err(|_| String::from("declaring exchange and queue took too long"))?
        .map_err(|error| error.to_string())
}

async fn next_delivery(reader: &mut Option<Reader>) -> Option<lapin::Result<Delivery>> {
    match reader {
        Some(reader) => reader.consumer.next().await,
        None => std::future::pending().await,
    }
}

/// Declares and reads the queue of `end`; one with other arguments is deleted first (LIC-713).
async fn read_queue(connection: &Connection, end: &End) -> lapin::Result<Reader> {
    let mut tries = 0;
    loop {
        tries += 1;
        let channel = connection.create_channel().await?;
        declare_exchange(&channel).await?;
        match try_to_read(channel, end).await {
            Ok(reader) => return Ok(reader),
            Err(error) if tries < TRIES && is_other_arguments(&error) => {
                tracing::warn!("queue {} has other arguments; replacing it", end.queue());
                delete_queue(&connection.create_channel().await?, end).await?;
            }
            // Deleted between its declaration and its use.
            Err(error) if tries < TRIES && is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

async fn try_to_read(channel: Channel, end: &End) -> lapin::Result<Reader> {
    declare_queue(&channel, end).await?;
    channel.basic_qos(end.prefetch(), BasicQosOptions::default()).await?;
    let consumer = channel
        .basic_consume(
            end.queue().as_str().into(),
            end.connection_name().as_str().into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok(Reader { _channel: channel, consumer })
}

fn answered(core: &mut Core<Acker>, number: Number, confirmation: Confirmation) {
    let taken = confirmation.is_ack();
    let mut result = if taken { Ok(()) } else { Err(PublishError::Rejected) };
    if let Some(returned) = confirmation.take_message() {
        core.returned(returned.routing_key.as_str());
        // Lapin gives a returned message to the next confirm, which may be another's.
        let id = from_amqp(&returned.properties).message_id;
        if core.outbox.is_id(number, &id) {
            result = Err(PublishError::Unroutable);
        }
    }
    core.outbox.answered(number, result);
}

/// Longest orderly end of a connection.
const CLOSING: Duration = Duration::from_secs(2);
/// Shortest time between two takings of the queue: whoever deletes it again and again must not keep
/// the broker busy. Below the second that LIC-713 gives.
const TAKE_AGAIN: Duration = Duration::from_millis(500);
/// Longest declaration of exchange and queue.
const TAKING: Duration = Duration::from_secs(5);
/// How often a queue is replaced in one go.
const TRIES: u32 = 3;
