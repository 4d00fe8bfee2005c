//! Exchange, queues and bindings, exactly as licensing.md §10.2 lists them.

use lapin::options::{
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Error, ErrorKind, ExchangeKind, Result};

use crate::bus::End;

/// The exchange of all messages from the CWC.
pub const EXCHANGE: &str = "CWC-SPK";

/// Declares the exchange.
///
/// # Errors
///
/// The broker's; the channel is closed then.
pub async fn declare_exchange(channel: &Channel) -> Result<()> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel
        .exchange_declare(EXCHANGE.into(), ExchangeKind::Direct, options, FieldTable::default())
        .await
}

/// Declares the queue of `end` and its bindings; the exchange must be there.
///
/// # Errors
///
/// The broker's; the channel is closed then.
pub async fn declare_queue(channel: &Channel, end: &End) -> Result<()> {
    let queue = end.queue();
    let mut arguments = FieldTable::default();
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    match end {
        End::Cwc => {
            limit(&mut arguments, 10_000, "reject-publish");
        }
        End::Controller { .. } => {
            limit(&mut arguments, 1_000, "drop-head");
            milliseconds(&mut arguments, "x-message-ttl", 300_000);
            milliseconds(&mut arguments, "x-expires", 86_400_000);
        }
    }
    channel.queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), arguments).await?;
    match end {
        // Reached through the default exchange.
        End::Cwc => Ok(()),
        End::Controller { .. } => {
            for key in ["heartbeat", "license", &queue] {
                bind(channel, &queue, key).await?;
            }
            Ok(())
        }
    }
}

/// Declares the queue of the debug sidecar of pod `pod` in `namespace` and its binding; the exchange
/// must be there. Gives the queue's name.
///
/// # Errors
///
/// The broker's; the channel is closed then.
pub async fn declare_debug_queue(channel: &Channel, namespace: &str, pod: &str) -> Result<String> {
    let queue = format!("debug-api/{namespace}/{pod}");
    let mut arguments = FieldTable::default();
    milliseconds(&mut arguments, "x-message-ttl", 60_000);
    milliseconds(&mut arguments, "x-expires", 120_000);
    channel.queue_declare(queue.as_str().into(), QueueDeclareOptions::default(), arguments).await?;
    bind(channel, &queue, &queue).await?;
    Ok(queue)
}

/// Deletes the queue of `end`, with all messages in it and whoever reads it (LIC-713).
///
/// # Errors
///
/// The broker's; the channel is closed then.
pub async fn delete_queue(channel: &Channel, end: &End) -> Result<()> {
    let queue = end.queue();
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.map(drop)
}

/// Whether the broker says that a queue is there with other arguments: 406 PRECONDITION_FAILED.
pub fn is_other_arguments(error: &Error) -> bool {
    reply_code(error) == Some(406)
}

/// Whether the broker says that a queue is not there, or no more: 404 NOT_FOUND.
pub fn is_missing(error: &Error) -> bool {
    reply_code(error) == Some(404)
}

fn reply_code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

fn limit(arguments: &mut FieldTable, messages: i32, overflow: &str) {
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(messages));
    arguments.insert("x-overflow".into(), AMQPValue::LongString(overflow.into()));
}

fn milliseconds(arguments: &mut FieldTable, name: &str, time: i32) {
    arguments.insert(name.into(), AMQPValue::LongInt(time));
}

async fn bind(channel: &Channel, queue: &str, key: &str) -> Result<()> {
    let options = QueueBindOptions::default();
    channel
        .queue_bind(queue.into(), EXCHANGE.into(), key.into(), options, FieldTable::default())
        .await
}
