//! Probes and metrics of the real process, and peers of them that misbehave.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::rig::{Setup, get};

/// OPS-175 (`probes` and `metrics` have addresses of their own): each serves its pages only.
#[test]
fn probes_and_metrics_are_apart_unless_they_share_an_address() {
    let tmm = Setup::new().start(None);
    assert_eq!(get(tmm.probes, "/healthz").0, 200);
    assert_eq!(get(tmm.probes, "/metrics").0, 404);
    assert_eq!(get(tmm.metrics, "/metrics").0, 200);
    assert_eq!(get(tmm.metrics, "/healthz").0, 404);

    let mut shared = Setup::new();
    shared.metrics_port = 8081;
    let tmm = shared.start(None);
    assert_eq!(get(tmm.probes, "/healthz").0, 200);
    assert_eq!(get(tmm.probes, "/metrics").0, 200);
}

#[test]
fn a_peer_that_sends_no_request_is_cut_off_and_many_of_them_end() {
    let tmm = Setup::new().start(None);
    let begun = Instant::now();
    let silent: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(tmm.probes).unwrap()).collect();
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut text = Vec::new();
        // Answered with a refusal, or reset: ended by the other side at least.
        let _ = stream.read_to_end(&mut text);
    }
    assert!(begun.elapsed() < Duration::from_secs(18), "{:?}", begun.elapsed());
    assert_eq!(get(tmm.probes, "/healthz").0, 200);
}
