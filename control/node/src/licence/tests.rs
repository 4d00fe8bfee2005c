//! What a vault that fails may not do.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Keeps records until it is told to fail.
#[derive(Debug, Default)]
struct FailingVault {
    records: Mutex<BTreeMap<String, Vec<u8>>>,
    fails: AtomicBool,
}

impl Vault for FailingVault {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.records.lock().unwrap().get(name).cloned())
    }

    fn remove(&self, _: &str) -> Result<(), VaultError> {
        Ok(())
    }

    fn store(&self, name: &str, record: &[u8]) -> Result<(), VaultError> {
        if self.fails.load(Ordering::Relaxed) {
            let source = io::ErrorKind::StorageFull.into();
            return Err(VaultError { name: name.to_owned(), source });
        }
        self.records.lock().unwrap().insert(name.to_owned(), record.to_vec());
        Ok(())
    }
}

fn licence() -> (Arc<SelfIssued>, Arc<FailingVault>) {
    let vault = Arc::new(FailingVault::default());
    let shared: Arc<dyn Vault> = Arc::clone(&vault) as _;
    let authority = TestAuthority::start(&shared, || Some([5; 32])).unwrap();
    (SelfIssued::new(authority, shared), vault)
}

#[test]
fn close_that_cannot_be_stored_holds_over_the_next_heartbeats() {
    let (licence, vault) = licence();
    licence.want(Wanted::Open).unwrap();
    licence.renew();
    vault.fails.store(true, Ordering::Relaxed);
    licence.want(Wanted::Closed).unwrap_err();
    let signed = licence.view().seq;
    for _ in 0..3 {
        licence.renew();
        assert_eq!(*licence.order().borrow(), CLOSED);
        assert_eq!(licence.open("spk-core", "pod", &[0; 16]), None);
    }
    assert_eq!((licence.view().open, licence.view().seq), (false, signed));
}

#[test]
fn open_that_cannot_be_stored_opens_nothing() {
    let (licence, vault) = licence();
    vault.fails.store(true, Ordering::Relaxed);
    licence.want(Wanted::Open).unwrap_err();
    licence.renew();
    assert_eq!(*licence.order().borrow(), CLOSED);
    assert_eq!(licence.open("spk-core", "pod", &[0; 16]), None);
    vault.fails.store(false, Ordering::Relaxed);
    licence.want(Wanted::Open).unwrap();
    assert!(licence.open("spk-core", "pod", &[0; 16]).is_some());
}
