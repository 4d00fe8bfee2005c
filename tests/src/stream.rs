//! A steady stream of datagrams through the proxy and back, with every one accounted for.
//!
//! Owns the client's socket and the servers' echoes. One flow; each datagram has a number.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;
use netlab::Namespace;

use crate::{
    lab::{Lab, monotonic},
    plan::{self, Family},
    poll,
};

/// A stream; dropping it ends it.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    paused: AtomicBool,
    sent: AtomicU64,
    answered: AtomicU64,
    last: AtomicU64,
}

impl Stream {
    /// Sends `rate` datagrams a second, at least 100, from the client of `lab` to the VIP `echo`;
    /// every server answers.
    ///
    /// # Errors
    ///
    /// If a port is taken.
    pub fn start(lab: &Lab, rate: u32) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        for server in &lab.topology.servers {
            let socket = bound(server, plan::ECHO_PORT)?;
            let shared = Arc::clone(&shared);
            threads.push(thread::spawn(move || echo(&socket, &shared)));
        }
        let socket = bound(lab.client(), 0)?;
        let vip = match plan::echo(Family::V4) {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let reader = socket.try_clone()?;
        let (own, vip) = (Arc::clone(&shared), SocketAddr::from((vip, plan::ECHO_PORT)));
        threads.push(thread::spawn(move || send(&socket, vip, rate, &own)));
        let own = Arc::clone(&shared);
        threads.push(thread::spawn(move || receive(&reader, &own)));
        Ok(Self { shared, threads })
    }

    /// Datagrams that came back.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Acquire)
    }

    /// When the last one came back, by CLOCK_MONOTONIC.
    pub fn last(&self) -> Duration {
        Duration::from_nanos(self.shared.last.load(Ordering::Acquire))
    }

    /// Waits until datagrams come back; when the first one did, by CLOCK_MONOTONIC.
    ///
    /// # Errors
    ///
    /// If none does within `limit`.
    pub fn flows(&self, limit: Duration) -> Result<Duration> {
        let before = self.answered();
        let end = Instant::now() + limit;
        while self.answered() == before {
            anyhow::ensure!(Instant::now() < end, "nothing came back within {limit:?}");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(self.last())
    }

    /// Waits until nothing has come back for `quiet`; when the last one did, by CLOCK_MONOTONIC.
    ///
    /// # Errors
    ///
    /// If datagrams still come after `limit`.
    pub fn silent(&self, quiet: Duration, limit: Duration) -> Result<Duration> {
        poll::until("the stream is silent", limit, || {
            let last = self.last();
            (monotonic().saturating_sub(last) >= quiet).then_some(last)
        })
    }

    /// Datagrams sent since the start or the last call that never came back. The stream rests
    /// meanwhile, and then begins to count anew.
    pub fn lost(&self) -> u64 {
        let shared = &self.shared;
        shared.paused.store(true, Ordering::Release);
        let missing = || {
            let answered = shared.answered.load(Ordering::Acquire);
            shared.sent.load(Ordering::Acquire).saturating_sub(answered)
        };
        // Whether they all came is what is asked.
        let _ = poll::hold("all came back", Duration::from_secs(2), || missing() == 0);
        let lost = missing();
        shared.sent.fetch_sub(lost, Ordering::AcqRel);
        shared.paused.store(false, Ordering::Release);
        lost
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // A thread that panicked was heard of on the way.
            let _ = thread.join();
        }
    }
}

/// A socket made inside the namespace, where it stays.
fn bound(namespace: &Namespace, port: u16) -> Result<UdpSocket> {
    let socket = namespace.enter(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)))??;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(socket)
}

fn echo(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 64];
    while !shared.ended.load(Ordering::Acquire) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // One that cannot be sent counts as lost.
            let _ = socket.send_to(&buffer[..length], from);
        }
    }
}

fn send(socket: &UdpSocket, vip: SocketAddr, rate: u32, shared: &Shared) {
    let (tick, burst) = (TICK.min(Duration::from_secs(1) / rate), (rate / 500).max(1));
    let tick = if burst > 1 { Duration::from_secs(1) * burst / rate } else { tick };
    let mut number = 0_u64;
    let mut due = Instant::now();
    while !shared.ended.load(Ordering::Acquire) {
        if !shared.paused.load(Ordering::Acquire) {
            for _ in 0..burst {
                number += 1;
                // Counted first: an answer must not come before its question.
                shared.sent.fetch_add(1, Ordering::AcqRel);
                let _ = socket.send_to(&number.to_be_bytes(), vip);
            }
        }
        due += tick;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // What a busy machine held back is not made up for in one burst.
        due = due.max(Instant::now().checked_sub(TICK).unwrap_or(due));
    }
}

fn receive(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 64];
    while !shared.ended.load(Ordering::Acquire) {
        if socket.recv_from(&mut buffer).is_ok() {
            let now = u64::try_from(monotonic().as_nanos()).unwrap_or(u64::MAX);
            shared.last.store(now, Ordering::Release);
            shared.answered.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Longest pause between two bursts.
const TICK: Duration = Duration::from_millis(10);
