//! The broker goes and comes.

use std::time::Duration;

use spk_bus::{BusEvent, End};

use crate::{
    block_on,
    rig::Rig,
    samples::{goodbye, later},
    side::{Side, controller},
};

/// LIC-706: without the verdict, which the licence suite watches.
#[test]
fn topology_and_messages_are_back_after_a_crash_and_a_lost_disk() {
    let mut rig = Rig::start();
    block_on(async {
        killed_broker_is_reached_again_with_the_messages_it_had(&mut rig).await;
        broker_with_an_empty_disk_gets_its_topology_back(&mut rig).await;
    });
}

async fn killed_broker_is_reached_again_with_the_messages_it_had(rig: &mut Rig) {
    let (mut cwc, mut side) = (rig.cwc().await, rig.controller("demo").await);
    let unread = rig.controller("away").await;
    unread.bus.close().await;
    let kept = later("away");
    cwc.bus.publish(kept.seal(0)).await.unwrap();
    rig.broker.kill();
    cwc.goes_down().await;
    side.goes_down().await;
    // Published while there is no broker.
    let waiting = (later("demo"), goodbye("demo"));
    let confirms = (cwc.bus.publish(waiting.0.seal(0)), side.bus.publish(waiting.1.seal(0)));
    tokio::task::block_in_place(|| rig.broker.start_again()).unwrap();
    cwc.comes_up(RETURN).await;
    // Both may come up in either order, and with the message at once.
    assert_eq!(first_message(&mut side).await, waiting.0.id);
    assert_eq!(first_message(&mut cwc).await, waiting.1.id);
    confirms.0.await.unwrap();
    confirms.1.await.unwrap();
    let mut reader = Side::up(controller("away"), rig.link()).await;
    let delivery = reader.message().await;
    assert_eq!(delivery.message().id, kept.id, "a durable message outlives the broker");
    delivery.ack();
}

async fn broker_with_an_empty_disk_gets_its_topology_back(rig: &mut Rig) {
    let mut cwc = Side::up(End::Cwc, rig.link()).await;
    let mut side = rig.controller("fresh").await;
    tokio::task::block_in_place(|| {
        rig.broker.stop()?;
        rig.broker.lose_disk()?;
        rig.broker.start_again()
    })
    .unwrap();
    cwc.goes_down().await;
    side.goes_down().await;
    cwc.comes_up(RETURN).await;
    side.comes_up(RETURN).await;
    let bindings = rig.ctl(&["list_bindings"]);
    for key in ["heartbeat", "license", "spk-fresh"] {
        let row = format!("CWC-SPK\texchange\tspk-fresh\tqueue\t{key}\t[]");
        assert!(bindings.contains(&row), "{bindings:#?}");
    }
    cwc.bus.publish(later("fresh").seal(0)).await.unwrap();
    side.message().await.ack();
    side.bus.publish(goodbye("fresh").seal(0)).await.unwrap();
    cwc.message().await.ack();
}

async fn first_message(side: &mut Side) -> uuid::Uuid {
    loop {
        let event = tokio::time::timeout(RETURN, side.events.next()).await.expect("in time");
        match event.expect("the end is open") {
            BusEvent::Message(delivery) => {
                let id = delivery.message().id;
                delivery.ack();
                return id;
            }
            BusEvent::Up | BusEvent::Down { .. } => {}
        }
    }
}

/// The pauses up to 16 s, and some time for the rest.
const RETURN: Duration = Duration::from_secs(45);
