//! Kills of a CWC at chosen moments (suite `licence`): after a restart the state is the one before or
//! the next, the asset the same, and no receipt was accepted twice.
//!
//! The moments are random and seeded: `SPK_SEED` repeats a run. Sources: licensing.md §7.2 (P8).

mod world;

use std::{
    thread,
    time::{Duration, Instant},
};

use spk_tests::{
    broker::Broker,
    certificates::Authority,
    cwc::{self, Cwc},
    licence::OrderType,
};
use world::{Dice, World};

/// Worlds side by side, each with its kills one after the other.
const WORLDS: u64 = 4;

fn seed() -> u64 {
    let given = std::env::var("SPK_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or(20_261_201);
    println!("SPK_SEED={seed}");
    seed
}

/// LIC-517 on the local bus: 200 kills in the middle of start, activation, switching and telemetry.
#[test]
fn two_hundred_kills_leave_the_state_before_or_after() {
    cwc::alone().unwrap();
    let (seed, began) = (seed(), Instant::now());
    let kills = |number: u64| {
        let mut dice = Dice(seed ^ (number + 1) << 32);
        let mut kills = Vec::new();
        while kills.len() < 50 {
            let mut cwc = Cwc::new(OrderType::Paid).unwrap();
            cwc.clock("+0").unwrap();
            World::new(cwc, &mut dice).run(50 - kills.len(), &mut kills);
        }
        kills
    };
    let kills = &kills;
    let kills: Vec<_> = thread::scope(|scope| {
        let worlds: Vec<_> = (0..WORLDS).map(|number| scope.spawn(move || kills(number))).collect();
        worlds.into_iter().flat_map(|world| world.join().unwrap()).collect()
    });
    world::tell(&kills, began.elapsed());
    assert_eq!(kills.len(), 200);
    // Moments that all fall before or all behind the writes prove nothing.
    let passed = kills.iter().filter(|kill| kill.passed).count();
    assert!((20..=180).contains(&passed), "{passed} of 200 kills came after the step");
}

/// LIC-517 on RabbitMQ: 20 kills; the broker goes on, and the CWC finds its queue again.
#[test]
fn twenty_kills_on_rabbitmq_leave_the_state_before_or_after() {
    cwc::alone().unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let authority = Authority::new().unwrap();
    let broker = Broker::start(&authority.bus_server(folder.path()).unwrap()).unwrap();
    let client = authority.bus_client(folder.path(), "rabbitmq-client-certs", "f5net").unwrap();
    let (mut dice, began) = (Dice(seed() ^ 7), Instant::now());
    let mut kills = Vec::new();
    while kills.len() < 20 {
        let cwc = Cwc::new(OrderType::Paid).unwrap();
        let mut cwc = cwc.on_broker(broker.port(), &client).unwrap();
        cwc.clock("+0").unwrap();
        let mut world = World::new(cwc, &mut dice);
        world.run(20 - kills.len(), &mut kills);
        spk_tests::poll::hold("the CWC reads its queue", Duration::from_secs(30), || {
            let lines = broker.tool("rabbitmqctl", &["list_consumers", "queue_name"]);
            lines.is_ok_and(|lines| lines.iter().any(|line| line.contains("cwc")))
        })
        .unwrap();
    }
    world::tell(&kills, began.elapsed());
}
