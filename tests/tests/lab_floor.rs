//! The floors of the comparison work by themselves (suite `lab`).

use netlab::machine;
use spk_tests::floor::Floor;
use tempfile::TempDir;

#[test]
fn iperf3_runs_over_a_bare_link_and_through_testpmd() {
    if let Err(error) = machine::check().and_then(|()| machine::reserve_huge_pages(80)) {
        assert!(std::env::var_os("SPK_NO_SKIP").is_none(), "{error}");
        println!("skipped: {error}");
        return;
    }
    let prefix = format!("fl{}", std::process::id());
    let folder = TempDir::new().unwrap();
    let bare = Floor::bare(&prefix, folder.path()).unwrap().run(1, None).unwrap();
    let pmd = Floor::testpmd(&prefix, folder.path(), 1).unwrap();
    let (tcp, udp) = (pmd.run(1, None).unwrap(), pmd.run(1, Some(20)).unwrap());
    println!("bare {bare:?}, testpmd TCP {tcp:?}, UDP {udp:?}");
    assert!(bare.mbps > 0.0 && tcp.mbps > 0.0 && udp.mbps > 0.0);
}
