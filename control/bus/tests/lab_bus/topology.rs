//! Exchange, queues, bindings and consumers, as RabbitMQ's own tools list them.

use std::time::{Duration, Instant};

use lapin::{
    Connection, Consumer,
    options::{BasicConsumeOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};
use spk_bus::{BusEvent, End, topology};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;

use crate::{
    block_on,
    rig::Rig,
    samples::later,
    side::{PATIENCE, Side, controller},
};

#[test]
fn topology_is_the_seeds_and_is_restored_when_taken_away() {
    let rig = Rig::start();
    block_on(async {
        bindings_and_consumers_are_the_seeds(&rig).await;
        full_queue_of_a_stopped_consumer_delays_no_other(&rig).await;
        old_queue_is_replaced_idle_and_in_use(&rig).await;
        queue_taken_away_is_consumed_again_within_a_second(&rig).await;
    });
}

/// LIC-710, LIC-715.
async fn bindings_and_consumers_are_the_seeds(rig: &Rig) {
    let _cwc = rig.cwc().await;
    let _ends = (rig.controller("peter-net").await, rig.controller("other").await);
    let plain = rig.plain().await;
    let channel = plain.connection.create_channel().await.unwrap();
    let mut debug = Vec::new();
    for (namespace, pod) in [("peter-net", "f5-tmm-6c96c59856-lgmsw"), ("other", "f5-tmm-1")] {
        let queue = topology::declare_debug_queue(&channel, namespace, pod).await.unwrap();
        debug.push(consume(&plain.connection, &queue).await);
    }
    let row = |queue: &str, key: &str| format!("CWC-SPK\texchange\t{queue}\tqueue\t{key}\t[]");
    let pods = ["debug-api/peter-net/f5-tmm-6c96c59856-lgmsw", "debug-api/other/f5-tmm-1"];
    let mut expected: Vec<_> = pods.map(|pod| row(pod, pod)).into();
    for queue in ["spk-peter-net", "spk-other"] {
        expected.extend(["heartbeat", "license", queue].map(|key| row(queue, key)));
    }
    let bindings = rig.ctl(&["list_bindings"]);
    let mut ours: Vec<_> =
        bindings.iter().filter(|line| line.starts_with("CWC-SPK\t")).cloned().collect();
    ours.sort();
    expected.sort();
    assert_eq!(ours, expected);
    // The rest is the default exchange, which has no name.
    assert!(
        bindings
            .iter()
            .all(|line| line.starts_with("CWC-SPK") || line.starts_with('\t') || is_heading(line)),
        "{bindings:#?}"
    );

    let consumers =
        rig.broker.tool("rabbitmq-diagnostics", &["list_consumers", "queue_name", "active"]);
    let mut consumers: Vec<_> =
        consumers.unwrap().into_iter().filter(|line| line != "queue_name\tactive").collect();
    let mut expected: Vec<_> = ["cwc", "spk-peter-net", "spk-other", pods[0], pods[1]]
        .map(|queue| format!("{queue}\ttrue"))
        .into();
    consumers.sort();
    expected.sort();
    assert_eq!(consumers, expected);

    let queues = rig.ctl(&["list_queues", "name", "durable", "arguments"]);
    let arguments = |queue: &str| {
        let line = queues.iter().find(|line| line.starts_with(&format!("{queue}\t"))).unwrap();
        let mut words: Vec<_> = line.split(['\t', '{', '}', '[', ']']).map(str::to_owned).collect();
        words.retain(|word| !matches!(word.as_str(), "" | ","));
        words[1..].sort();
        words
    };
    assert_eq!(
        arguments("cwc")[1..],
        [
            "\"x-max-length\",10000",
            "\"x-overflow\",\"reject-publish\"",
            "\"x-single-active-consumer\",true",
            "true",
        ]
    );
    assert_eq!(
        arguments("spk-other")[1..],
        [
            "\"x-expires\",86400000",
            "\"x-max-length\",1000",
            "\"x-message-ttl\",300000",
            "\"x-overflow\",\"drop-head\"",
            "\"x-single-active-consumer\",true",
            "true",
        ]
    );
    assert_eq!(
        arguments(pods[1])[1..],
        ["\"x-expires\",120000", "\"x-message-ttl\",60000", "false"]
    );
}

/// LIC-711.
async fn full_queue_of_a_stopped_consumer_delays_no_other(rig: &Rig) {
    let stopped = rig.controller("stopped").await;
    let mut other = rig.controller("brisk").await;
    let cwc = rig.cwc().await;
    let before = median_latency(&cwc, &mut other).await;
    // A connection of its own, so that the measured one carries nothing else.
    let flood = rig.cwc().await;
    let mut confirms = std::collections::VecDeque::new();
    for number in 0..100_000 {
        confirms.push_back(flood.bus.publish(later("stopped").seal(0)));
        if confirms.len() == 500 {
            for confirm in confirms.drain(..250) {
                confirm.await.unwrap();
            }
        }
        if number % 10_000 == 0 {
            // While the machine is busy, the answer's second is the bound (licensing.md §10.4).
            let slowest = latency(&cwc, &mut other).await;
            assert!(slowest < Duration::from_secs(1), "{slowest:?} at {number}");
        }
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
    let after = median_latency(&cwc, &mut other).await;
    assert!(after <= before * 2 + Duration::from_millis(10), "{before:?} before, {after:?} after");
    let held = rig.ctl(&["list_queues", "name", "messages_ready", "messages_unacknowledged"]);
    assert!(held.contains(&String::from("spk-stopped\t1000\t8")), "{held:#?}");
    drop(stopped);
}

async fn latency(cwc: &Side, other: &mut Side) -> Duration {
    let start = Instant::now();
    let message = later("brisk");
    drop(cwc.bus.publish(message.seal(0)));
    let delivery = other.message().await;
    assert_eq!(delivery.message().id, message.id);
    delivery.ack();
    start.elapsed()
}

async fn median_latency(cwc: &Side, other: &mut Side) -> Duration {
    let mut times = Vec::new();
    for _ in 0..51 {
        times.push(latency(cwc, other).await);
    }
    times.sort();
    times[25]
}

/// LIC-713: a durable queue with other arguments.
async fn old_queue_is_replaced_idle_and_in_use(rig: &Rig) {
    let plain = rig.plain().await;
    for (namespace, used) in [("idle", false), ("used", true)] {
        let queue = format!("spk-{namespace}");
        let channel = plain.connection.create_channel().await.unwrap();
        let durable = QueueDeclareOptions::durable();
        let mut old = FieldTable::default();
        old.insert("x-max-length".into(), AMQPValue::LongInt(5));
        channel.queue_declare(queue.as_str().into(), durable, old).await.unwrap();
        let reader = if used { Some(consume(&plain.connection, &queue).await) } else { None };
        let start = Instant::now();
        let mut side = Side::open(controller(namespace), rig.link());
        if let Some(mut reader) = reader {
            assert!(timeout(PATIENCE, reader.next()).await.unwrap().is_none(), "was cancelled");
        }
        assert!(matches!(side.event().await, BusEvent::Up));
        let took = start.elapsed();
        assert!(took <= Duration::from_secs(1), "{namespace}: {took:?} with its connection");
        let cwc = rig.cwc().await;
        cwc.bus.publish(later(namespace).seal(0)).await.unwrap();
        side.message().await.ack();
        let queues = rig.ctl(&["list_queues", "name", "arguments"]);
        let line = queues.iter().find(|line| line.starts_with(&queue)).unwrap();
        assert!(line.contains("86400000") && line.contains("1000"), "{line}");
    }
}

/// LIC-713: consumer cancel; `cwc` by the way, too.
async fn queue_taken_away_is_consumed_again_within_a_second(rig: &Rig) {
    let mut cwc = rig.cwc().await;
    let mut side = rig.controller("robbed").await;
    let plain = rig.plain().await;
    let channel = plain.connection.create_channel().await.unwrap();
    let delete = async |end: &End| {
        let queue = end.queue();
        channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    };
    let start = Instant::now();
    delete(&controller("robbed")).await;
    let back = async {
        loop {
            match cwc.bus.publish(later("robbed").seal(0)).await {
                Ok(()) => return,
                Err(error) => assert_eq!(error.code(), "bus_unroutable"),
            }
        }
    };
    timeout(PATIENCE, back).await.unwrap();
    side.message().await.ack();
    assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());

    let start = Instant::now();
    delete(&End::Cwc).await;
    let back = async {
        while side.bus.publish(crate::samples::goodbye("robbed").seal(0)).await.is_err() {}
    };
    timeout(PATIENCE, back).await.unwrap();
    cwc.message().await.ack();
    assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(side.pending().await.is_none(), "the connection itself was never lost");
}

async fn consume(connection: &Connection, queue: &str) -> Consumer {
    let channel = connection.create_channel().await.unwrap();
    channel
        .basic_consume(
            queue.into(),
            format!("plain {queue}").as_str().into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap()
}

fn is_heading(line: &str) -> bool {
    line.starts_with("source_name")
}
