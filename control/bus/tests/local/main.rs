//! The local form of the bus: what it shares with RabbitMQ, and what is its own.

#[path = "../lab_bus/samples.rs"]
mod samples;
#[path = "../lab_bus/side.rs"]
mod side;
#[path = "../lab_bus/suite.rs"]
mod suite;

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use samples::{goodbye, heartbeat, later};
use side::{PATIENCE, Side, controller};
use spk_bus::{End, Link, PublishError};
use spk_entitlement::messages::Rejection;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A folder for the socket.
struct Place {
    _folder: TempDir,
    socket: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("bus.sock");
        Self { _folder: folder, socket }
    }

    fn link(&self) -> Link {
        Link::Local { path: self.socket.clone() }
    }

    async fn cwc(&self) -> Side {
        Side::up(End::Cwc, self.link()).await
    }

    async fn controller(&self, namespace: &str) -> Side {
        Side::up(controller(namespace), self.link()).await
    }
}

/// OPS-171, with the same functions as over RabbitMQ; LIC-721, LIC-722, LIC-723.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_bus_keeps_the_rules_of_the_broker() {
    let place = Place::new();
    suite::run(&suite::Links { cwc: place.link(), controller: place.link() }).await;
}

#[tokio::test]
async fn socket_is_the_owners_only_and_takes_the_place_of_an_old_one() {
    let place = Place::new();
    fs::write(&place.socket, "left behind").unwrap();
    let mut cwc = place.cwc().await;
    let kind = fs::symlink_metadata(&place.socket).unwrap();
    assert!(kind.file_type().is_socket());
    assert_eq!(kind.permissions().mode() & 0o777, 0o600);
    cwc.close().await;
    assert!(!place.socket.exists());
}

#[tokio::test]
async fn directory_that_is_missing_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let directory = folder.path().join("later");
    let link = Link::Local { path: directory.join("bus.sock") };
    let mut cwc = Side::open(End::Cwc, link);
    let reason = cwc.goes_down().await;
    assert!(reason.contains("cannot serve the bus at"), "{reason}");
    fs::create_dir(&directory).unwrap();
    cwc.comes_up(PATIENCE).await;
}

#[tokio::test]
async fn controller_reconnects_to_a_cwc_that_was_started_again() {
    let place = Place::new();
    let mut cwc = place.cwc().await;
    let mut side = place.controller("demo").await;
    cwc.close().await;
    assert!(side.goes_down().await.contains("closed the connection"));
    let waiting = side.bus.publish(goodbye("demo").seal(0));
    let mut cwc = place.cwc().await;
    side.comes_up(PATIENCE).await;
    assert_eq!(waiting.await, Ok(()));
    cwc.message().await.ack();
    // What was in the queues is lost with the CWC; what is published now is not.
    let message = later("demo");
    assert_eq!(cwc.bus.publish(message.seal(0)).await, Ok(()));
    let delivery = side.message().await;
    assert_eq!(delivery.message(), &message);
    delivery.ack();
}

/// The local form of `x-single-active-consumer`.
#[tokio::test]
async fn second_controller_of_a_namespace_waits_for_the_first() {
    let place = Place::new();
    let _cwc = place.cwc().await;
    let mut first = place.controller("demo").await;
    let mut second = Side::open(controller("demo"), place.link());
    let reason = second.goes_down().await;
    assert_eq!(reason, "another Controller of demo is on the bus");
    first.close().await;
    second.comes_up(PATIENCE).await;
}

/// LIC-726 over the local form: a peer that sends what is no message of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_message_is_taken_counted_and_not_given_to_the_user() {
    let place = Place::new();
    let mut cwc = place.cwc().await;
    let side = place.controller("demo").await;
    let mut wrong = goodbye("demo").seal(0);
    wrong.body = b"no JSON".to_vec();
    assert_eq!(side.bus.publish(wrong.clone()).await, Ok(()));
    wrong.body = vec![b' '; 65_537];
    assert_eq!(side.bus.publish(wrong.clone()).await, Ok(()));
    let metrics = cwc.bus.metrics();
    assert_eq!(
        (metrics.rejected(Rejection::BadJson), metrics.rejected(Rejection::TooLarge)),
        (1, 1)
    );
    wrong.body = vec![b' '; 1 << 20];
    assert_eq!(side.bus.publish(wrong).await, Err(PublishError::Rejected));
    // A Controller speaks to the CWC only.
    assert_eq!(side.bus.publish(heartbeat().seal(0)).await, Err(PublishError::Unroutable));
    assert!(cwc.pending().await.is_none());
}

#[tokio::test]
async fn peer_that_speaks_no_frames_is_dropped_and_no_other() {
    let place = Place::new();
    let mut cwc = place.cwc().await;
    let mut side = place.controller("demo").await;
    let tag = b"{\"frame\":\"done\",\"tag\":0}";
    for text in [&b"{}"[..], &b"\xff\xff"[..], &tag[..]] {
        assert!(is_dropped(&place.socket, text).await);
    }
    // Longer than any frame.
    let mut peer = UnixStream::connect(&place.socket).await.unwrap();
    peer.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    assert_eq!(timeout(PATIENCE, peer.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    assert_eq!(side.bus.publish(goodbye("demo").seal(0)).await, Ok(()));
    cwc.message().await.ack();
    assert!(side.pending().await.is_none());
}

async fn is_dropped(socket: &Path, text: &[u8]) -> bool {
    let mut peer = UnixStream::connect(socket).await.unwrap();
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    peer.write_all(&[&length, text].concat()).await.unwrap();
    let read = timeout(PATIENCE, peer.read(&mut [0; 64])).await.unwrap();
    matches!(read, Ok(0) | Err(_))
}

/// Published without anybody there: answered after its time, and the end closes at once.
#[tokio::test(start_paused = true)]
async fn message_that_no_bus_takes_is_answered_after_a_minute() {
    let place = Place::new();
    let mut side = Side::open(controller("demo"), place.link());
    let confirm = side.bus.publish(goodbye("demo").seal(0));
    let start = tokio::time::Instant::now();
    assert_eq!(confirm.await, Err(PublishError::Expired));
    assert_eq!(start.elapsed().as_secs(), 60);
    let open = side.bus.publish(goodbye("demo").seal(0));
    side.close().await;
    assert_eq!(open.await, Err(PublishError::Closed));
    assert_eq!(side.bus.publish(goodbye("demo").seal(0)).await, Err(PublishError::Closed));
    assert!(start.elapsed() < Duration::from_secs(62));
}
