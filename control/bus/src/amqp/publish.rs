//! Publishing on one channel, in order, with confirms (LIC-720, LIC-721).

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection, Result};
use spk_entitlement::messages::Envelope;
use tokio::sync::mpsc;

use super::properties::to_amqp;
use crate::outbox::Number;

/// The publisher of one connection.
#[derive(Debug)]
pub struct Publisher {
    envelopes: mpsc::UnboundedSender<(Number, Envelope)>,
    answers: mpsc::UnboundedReceiver<(Number, Result<Confirmation>)>,
}

impl Publisher {
    /// Starts it on a channel of its own; it ends with the connection.
    ///
    /// # Errors
    ///
    /// The broker's.
    pub async fn start(connection: &Connection) -> Result<Self> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let (envelopes, receiver) = mpsc::unbounded_channel();
        let (sender, answers) = mpsc::unbounded_channel();
        tokio::spawn(publish_all(channel, receiver, sender));
        Ok(Self { envelopes, answers })
    }

    /// Sends a message. The outbox bounds how many are under way.
    pub fn send(&self, number: Number, envelope: Envelope) {
        // A publisher that ended said so in its last answer.
        let _ = self.envelopes.send((number, envelope));
    }

    /// The next answer; none when the channel is gone. May be cancelled without loss.
    pub async fn next_answer(&mut self) -> Option<(Number, Result<Confirmation>)> {
        self.answers.recv().await
    }
}

/// A write waits while the broker takes nothing, so it must not wait in the session itself.
async fn publish_all(
    channel: Channel,
    mut envelopes: mpsc::UnboundedReceiver<(Number, Envelope)>,
    answers: mpsc::UnboundedSender<(Number, Result<Confirmation>)>,
) {
    while let Some((number, envelope)) = envelopes.recv().await {
        match publish(&channel, &envelope).await {
            Ok(confirm) => {
                let answers = answers.clone();
                // The session that asked may have ended; then the outbox sends again.
                tokio::spawn(async move {
                    let _ = answers.send((number, confirm.await));
                });
            }
            Err(error) => {
                let _ = answers.send((number, Err(error)));
            }
        }
    }
}

async fn publish(channel: &Channel, envelope: &Envelope) -> Result<lapin::PublisherConfirm> {
    let route = &envelope.route;
    let options = BasicPublishOptions { mandatory: route.is_direct(), immediate: false };
    channel
        .basic_publish(
            route.exchange().into(),
            route.key().as_str().into(),
            options,
            &envelope.body,
            to_amqp(&envelope.properties),
        )
        .await
}
