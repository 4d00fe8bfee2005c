//! Who hears of the gate when, and that a mount that hangs delays nobody.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tmm_rpc::proto::{CloseRequest, GateState, WatchGateRequest};
use tokio::time::timeout;

use crate::rig::{Setup, allow, lease};

#[tokio::test]
async fn followers_hear_of_each_change_and_of_nothing_between() {
    let mut tmm = Setup::new().start(None);
    let mut client = tmm.client().await;
    let mut follow = client.watch_gate(WatchGateRequest {}).await.unwrap().into_inner();
    assert_eq!(follow.message().await.unwrap().unwrap().gate(), GateState::Closed);
    assert_eq!(tmm.open(&mut client).await.rejected, "");
    assert_eq!(follow.message().await.unwrap().unwrap().gate(), GateState::Open);
    let silence = timeout(Duration::from_millis(1600), follow.message()).await;
    assert!(silence.is_err(), "{silence:?}");
    let renewal = tmm.authority.renew(&allow());
    assert_eq!(lease(&mut client, renewal).await.rejected, "");
    let renewed = timeout(Duration::from_secs(2), follow.message()).await.unwrap();
    let renewed = renewed.unwrap().unwrap();
    assert_eq!(renewed.gate(), GateState::Open);
    assert!(renewed.deadline_ms > 173_000, "{renewed:?}");
}

#[tokio::test]
async fn a_key_set_that_cannot_be_read_to_its_end_delays_no_call_and_no_end() {
    let mut tmm = Setup::new().start(None);
    let mut client = tmm.client().await;
    let anchor = tmm.setup.path("license/jwks.json");
    // A pipe whose writer says nothing is read without end, as a file of a mount that hangs.
    std::fs::remove_file(&anchor).unwrap();
    mkfifo(&anchor, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let writer = read_by_somebody(&anchor).await;
    let quick = timeout(Duration::from_secs(2), async {
        assert_eq!(tmm.open(&mut client).await.gate(), GateState::Open);
        let close = CloseRequest { reason: "expired".to_owned(), generation: 1 };
        client.close(close).await.unwrap().into_inner()
    });
    assert_eq!(quick.await.expect("calls wait for the file").gate(), GateState::Closed);
    drop(client);
    tmm.process.signal(Signal::SIGTERM);
    let status = tmm.process.wait(Duration::from_secs(10)).unwrap();
    assert_eq!(status.code(), Some(0), "{}", tmm.log());
    drop(writer);
}

/// The writing end of a pipe that another process opened for reading.
async fn read_by_somebody(path: &Path) -> File {
    let open = || File::options().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let opened = async {
        loop {
            match open() {
                Ok(file) => return file,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(Duration::from_secs(5), opened).await.expect("nobody reads the key set")
}
