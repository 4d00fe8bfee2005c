//! One end of the bus in a test.

use std::time::Duration;

use spk_bus::{Bus, BusEvent, Delivery, End, Events, Link};
use tokio::time::timeout;

/// Longest wait for anything that needs no pause of the back-off.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The end of the Controller of `namespace`.
pub fn controller(namespace: &str) -> End {
    End::Controller { namespace: namespace.to_owned() }
}

/// One end and its events.
pub struct Side {
    pub bus: Bus,
    pub events: Events,
}

impl Side {
    pub fn open(end: End, link: Link) -> Self {
        let (bus, events) = Bus::open(end, link);
        Self { bus, events }
    }

    pub async fn up(end: End, link: Link) -> Self {
        let mut side = Self::open(end, link);
        side.comes_up(PATIENCE).await;
        side
    }

    pub async fn event(&mut self) -> BusEvent {
        let event = timeout(PATIENCE, self.events.next()).await.expect("no event in time");
        event.expect("the end is open")
    }

    /// Waits for `Up`, over any `Down`.
    pub async fn comes_up(&mut self, limit: Duration) {
        let up = async {
            loop {
                match self.events.next().await.expect("the end is open") {
                    BusEvent::Up => return,
                    BusEvent::Down { .. } => {}
                    BusEvent::Message(delivery) => panic!("{delivery:?} before Up"),
                }
            }
        };
        timeout(limit, up).await.expect("not up in time");
    }

    /// The reason of the next `Down`.
    pub async fn goes_down(&mut self) -> String {
        match self.event().await {
            BusEvent::Down { reason } => reason,
            event => panic!("{event:?} instead of Down"),
        }
    }

    /// The next message.
    pub async fn message(&mut self) -> Delivery {
        match self.event().await {
            BusEvent::Message(delivery) => delivery,
            event => panic!("{event:?} instead of a message"),
        }
    }

    /// Closes the end.
    pub async fn close(&mut self) {
        timeout(PATIENCE, self.bus.close()).await.expect("closed in time");
    }

    /// What arrived and was not looked at; waits for nothing.
    pub async fn pending(&mut self) -> Option<BusEvent> {
        timeout(Duration::ZERO, self.events.next()).await.ok().flatten()
    }
}
