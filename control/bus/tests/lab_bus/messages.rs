//! Confirms, returns, acknowledgements, repeats, refusals, properties.

use std::time::Duration;

use lapin::{
    BasicProperties,
    options::{BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use spk_bus::{End, topology};
use spk_entitlement::messages::{Rejection, Route};
use spk_tests::poll;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;

use crate::{
    block_on,
    rig::{Rig, log_with},
    samples::{all, later},
    side::{PATIENCE, Side},
    suite::{self, Links},
    wire::Wire,
};

#[test]
fn messages_are_confirmed_acknowledged_and_refused_by_the_rules() {
    let rig = Rig::start();
    block_on(async {
        every_type_has_its_properties(&rig).await;
        both_buses_keep_the_same_rules(&rig).await;
        prefetch_is_in_the_list_of_consumers(&rig).await;
        message_without_a_confirm_arrives_once(&rig).await;
        bad_messages_are_acknowledged_counted_and_rarely_logged(&rig).await;
    });
}

/// LIC-730: a trace of all types, read by a plain client. The three debug types come with the debug
/// interface.
async fn every_type_has_its_properties(rig: &Rig) {
    let plain = rig.plain().await;
    let channel = plain.connection.create_channel().await.unwrap();
    topology::declare_exchange(&channel).await.unwrap();
    // No CWC reads yet, so what is for it stays for the trace.
    topology::declare_queue(&channel, &End::Cwc).await.unwrap();
    let queue = "trace";
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
    for key in ["heartbeat", "license", "spk-traced"] {
        let options = QueueBindOptions::default();
        let exchange = topology::EXCHANGE.into();
        let arguments = FieldTable::default();
        channel.queue_bind(queue.into(), exchange, key.into(), options, arguments).await.unwrap();
    }
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let read = async |queue: &str| {
        let arguments = FieldTable::default();
        channel.basic_consume(queue.into(), queue.into(), options, arguments).await.unwrap()
    };
    let (mut traced, mut to_cwc) = (read(queue).await, read("cwc").await);
    let side = rig.controller("traced").await;
    for message in all("traced") {
        let route = message.route();
        side.bus.publish(message.seal(1_800_000_000)).await.unwrap();
        let trace = if route == Route::Cwc { &mut to_cwc } else { &mut traced };
        let delivery = timeout(PATIENCE, trace.next()).await.unwrap().unwrap().unwrap();
        let kind = message.body.kind();
        let direct = route == Route::Cwc;
        let mut expected = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_type(kind.into())
            .with_message_id(message.id.to_string().as_str().into())
            .with_timestamp(1_800_000_000)
            .with_app_id(if direct { "f5-lic-helper" } else { "spk-cwc" }.into())
            .with_user_id("f5net".into())
            .with_delivery_mode(if kind == "heartbeat" { 1 } else { 2 });
        if let Some(id) = message.reply_to {
            expected = expected.with_correlation_id(id.to_string().as_str().into());
        }
        if kind == "heartbeat" {
            expected = expected.with_expiration("60000".into());
        }
        assert_eq!(delivery.properties, expected);
        assert_eq!(delivery.exchange.as_str(), route.exchange());
        assert_eq!(delivery.routing_key.as_str(), route.key());
    }
}

/// OPS-171; LIC-721 with its one warning, LIC-722, LIC-723: everything was acknowledged in the end.
async fn both_buses_keep_the_same_rules(rig: &Rig) {
    suite::run(&Links { cwc: rig.link(), controller: rig.link() }).await;
    assert_eq!(log_with("no queue spk-nobody on the bus").len(), 1);
    for queue in ["cwc", "spk-storing", "spk-repeating", "spk-absent"] {
        all_acknowledged(rig, queue).await;
    }
}

/// LIC-722.
async fn prefetch_is_in_the_list_of_consumers(rig: &Rig) {
    let (_cwc, _side) = (rig.cwc().await, rig.controller("listed").await);
    let prefetch = rig.ctl(&["list_consumers", "queue_name", "prefetch_count"]);
    for line in ["cwc\t64", "spk-listed\t8"] {
        assert!(prefetch.contains(&String::from(line)), "{prefetch:#?}");
    }
}

/// LIC-720.
async fn message_without_a_confirm_arrives_once(rig: &Rig) {
    let mut reader = rig.controller("once").await;
    let wire = Wire::to(rig.broker.port()).await;
    let mut cwc = Side::up(End::Cwc, rig.link_by(&rig.shared(), wire.port())).await;
    // The link is cut before the confirm, then it only falls silent: the end cuts it after 5 s.
    for cut in [true, false] {
        wire.hold_answers();
        let message = later("once");
        let confirm = cwc.bus.publish(message.seal(0));
        let first = reader.message().await;
        assert_eq!(first.message().id, message.id);
        first.ack();
        if cut {
            wire.cut();
        }
        let reason = cwc.goes_down().await;
        assert_eq!(reason.contains("did not confirm a message in time"), !cut, "{reason}");
        cwc.comes_up(PATIENCE).await;
        timeout(PATIENCE, confirm).await.unwrap().unwrap();
        // What is published later arrives later: no second copy is on its way.
        let last = later("once");
        cwc.bus.publish(last.seal(0)).await.unwrap();
        let next = reader.message().await;
        assert_eq!(next.message().id, last.id, "the copy was given to the user");
        next.ack();
    }
    assert_eq!(reader.bus.metrics().repeated(), 2, "each message reached the queue twice");
}

/// LIC-726.
async fn bad_messages_are_acknowledged_counted_and_rarely_logged(rig: &Rig) {
    let mut side = rig.controller("strict").await;
    let plain = rig.plain().await;
    let channel = plain.connection.create_channel().await.unwrap();
    let good = later("strict").seal(0);
    let text = String::from_utf8(good.body.clone()).unwrap();
    let padded = format!("{}{}", text, " ".repeat(65_537 - text.len()));
    let kinds = [
        (Rejection::UnknownType, "Other", text.clone()),
        (Rejection::BadJson, "GetbackLater", text.replace('}', "")),
        (Rejection::TooLarge, "GetbackLater", padded),
        (Rejection::WrongVersion, "GetbackLater", text.replace("\"v\":1", "\"v\":2")),
        (Rejection::BadMembers, "GetbackLater", text.replace("\"retryAfter\":5", "\"other\":5")),
    ];
    for (rejection, kind, body) in &kinds {
        for _ in 0..3 {
            let properties = BasicProperties::default()
                .with_type((*kind).into())
                .with_message_id(good.properties.message_id.as_str().into());
            let options = BasicPublishOptions::default();
            channel
                .basic_publish("".into(), "spk-strict".into(), options, body.as_bytes(), properties)
                .await
                .unwrap();
        }
        let counted = || side.bus.metrics().rejected(*rejection) == 3;
        tokio::task::block_in_place(|| poll::hold("three are counted", PATIENCE, counted)).unwrap();
        let lines = log_with(&format!("reason=\"{}\"", rejection.code()));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines[0].contains("statement"), "{lines:?}");
    }
    assert!(side.pending().await.is_none(), "none reached the user");
    all_acknowledged(rig, "spk-strict").await;
    // The connection is as good as before.
    let message = later("strict");
    rig.cwc().await.bus.publish(message.seal(0)).await.unwrap();
    let delivery = side.message().await;
    assert_eq!(delivery.message(), &message);
    delivery.ack();
}

/// The queue is empty, and nobody holds a message of it.
async fn all_acknowledged(rig: &Rig, queue: &str) {
    let empty = format!("{queue}\t0");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let queues = rig.ctl(&["list_queues", "name", "messages"]);
        if queues.contains(&empty) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{queues:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
