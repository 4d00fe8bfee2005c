//! What holds on both buses (OPS-171): the same functions run over RabbitMQ and over the local form.

use spk_bus::{End, Link, PublishError};
use spk_entitlement::messages::Message;

use crate::{
    samples::{all, goodbye, heartbeat, later},
    side::{PATIENCE, Side, controller},
};

/// The links of both ends to one bus.
pub struct Links {
    pub cwc: Link,
    pub controller: Link,
}

impl Links {
    async fn cwc(&self) -> Side {
        Side::up(End::Cwc, self.cwc.clone()).await
    }

    async fn controller(&self, namespace: &str) -> Side {
        Side::up(controller(namespace), self.controller.clone()).await
    }
}

/// All of them, one after the other, each with ends of its own.
pub async fn run(links: &Links) {
    every_message_reaches_its_recipients_in_order(links).await;
    unknown_instance_returns_the_message(links).await;
    message_is_acknowledged_after_its_effect_is_stored(links).await;
    repeated_message_has_one_effect(links).await;
    message_for_an_absent_controller_waits_for_it(links).await;
    cwc_that_comes_later_gets_what_was_published(links).await;
}

async fn every_message_reaches_its_recipients_in_order(links: &Links) {
    let mut cwc = links.cwc().await;
    let (mut one, mut two) = (links.controller("one").await, links.controller("two").await);
    let messages = all("one");
    let mut confirms = Vec::new();
    for message in &messages {
        let bus = if is_for_cwc(message) { &one.bus } else { &cwc.bus };
        confirms.push(bus.publish(message.seal(0)));
    }
    for confirm in confirms {
        assert_eq!(confirm.await, Ok(()));
    }
    let (to_cwc, to_one): (Vec<_>, Vec<_>) = messages.iter().partition(|m| is_for_cwc(m));
    takes_all(&mut cwc, &to_cwc).await;
    takes_all(&mut one, &to_one).await;
    let for_all = |m: &&Message| matches!(m.body.kind(), "heartbeat" | "LicenseChanged");
    takes_all(&mut two, &to_one.into_iter().filter(for_all).collect::<Vec<_>>()).await;
    for side in [&mut one, &mut two, &mut cwc] {
        assert!(side.pending().await.is_none());
        // The local bus ends with the CWC, so that goes last.
        side.close().await;
    }
}

/// LIC-721: each is answered, none is an error of the connection.
async fn unknown_instance_returns_the_message(links: &Links) {
    let mut cwc = links.cwc().await;
    for _ in 0..3 {
        let result = cwc.bus.publish(later("nobody").seal(0)).await;
        assert_eq!(result, Err(PublishError::Unroutable));
    }
    assert_eq!(cwc.bus.metrics().returned(), 3);
    // A heartbeat is for whoever is there.
    assert_eq!(cwc.bus.publish(heartbeat().seal(0)).await, Ok(()));
    assert_eq!(cwc.bus.metrics().returned(), 3);
    assert!(cwc.pending().await.is_none());
    cwc.close().await;
}

/// LIC-722: the reader dies between delivery and store.
async fn message_is_acknowledged_after_its_effect_is_stored(links: &Links) {
    let mut cwc = links.cwc().await;
    let mut side = links.controller("storing").await;
    let message = later("storing");
    assert_eq!(cwc.bus.publish(message.seal(0)).await, Ok(()));
    let delivery = side.message().await;
    assert!(!delivery.redelivered());
    side.close().await;
    let mut next = links.controller("storing").await;
    drop(delivery);
    let again = next.message().await;
    assert_eq!((again.message().id, again.redelivered()), (message.id, true));
    // It cannot store it just now, and says so by dropping it.
    drop(again);
    let again = next.message().await;
    assert_eq!((again.message().id, again.redelivered()), (message.id, true));
    again.ack();
    // The same on the other side.
    let message = goodbye("storing");
    assert_eq!(next.bus.publish(message.seal(0)).await, Ok(()));
    drop(cwc.message().await);
    let again = cwc.message().await;
    assert_eq!((again.message().id, again.redelivered()), (message.id, true));
    again.ack();
    next.close().await;
    cwc.close().await;
}

/// LIC-723: on both sides.
async fn repeated_message_has_one_effect(links: &Links) {
    let mut cwc = links.cwc().await;
    let mut side = links.controller("repeating").await;
    for to_cwc in [true, false] {
        let make = if to_cwc { goodbye } else { later };
        let (from, to) =
            if to_cwc { (&side.bus.clone(), &mut cwc) } else { (&cwc.bus.clone(), &mut side) };
        let message = make("repeating");
        // A copy that comes while the first is in work, and one that comes when it is done.
        assert_eq!(from.publish(message.seal(0)).await, Ok(()));
        assert_eq!(from.publish(message.seal(0)).await, Ok(()));
        let first = to.message().await;
        assert_eq!(first.message().id, message.id);
        first.ack();
        assert_eq!(from.publish(message.seal(0)).await, Ok(()));
        let last = make("repeating");
        assert_eq!(from.publish(last.seal(0)).await, Ok(()));
        takes_all(to, &[&last]).await;
        assert_eq!(to.bus.metrics().repeated(), 2);
    }
    side.close().await;
    cwc.close().await;
}

async fn message_for_an_absent_controller_waits_for_it(links: &Links) {
    let mut cwc = links.cwc().await;
    links.controller("absent").await.close().await;
    let messages: Vec<_> = (0..20).map(|_| later("absent")).collect();
    for message in &messages {
        assert_eq!(cwc.bus.publish(message.seal(0)).await, Ok(()));
    }
    let mut side = links.controller("absent").await;
    takes_all(&mut side, &messages.iter().collect::<Vec<_>>()).await;
    side.close().await;
    cwc.close().await;
}

async fn cwc_that_comes_later_gets_what_was_published(links: &Links) {
    links.cwc().await.close().await;
    let mut side = Side::open(controller("early"), links.controller.clone());
    let message = goodbye("early");
    let confirm = side.bus.publish(message.seal(0));
    let mut cwc = links.cwc().await;
    takes_all(&mut cwc, &[&message]).await;
    assert_eq!(confirm.await, Ok(()));
    side.comes_up(PATIENCE).await;
    side.close().await;
    cwc.close().await;
}

async fn takes_all(side: &mut Side, messages: &[&Message]) {
    for message in messages {
        let delivery = side.message().await;
        assert_eq!(delivery.message(), *message);
        delivery.ack();
    }
}

fn is_for_cwc(message: &Message) -> bool {
    matches!(message.body.kind(), "GetEntitlementRequest" | "LeaseRequest" | "Goodbye")
}
