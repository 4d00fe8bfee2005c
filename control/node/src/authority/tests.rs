//! What survives a restart, and that nothing is signed unasked.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;

#[derive(Debug, Default)]
struct MemoryVault(Mutex<BTreeMap<String, Vec<u8>>>);

impl Vault for MemoryVault {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    fn remove(&self, _: &str) -> Result<(), VaultError> {
        Ok(())
    }

    fn store(&self, name: &str, record: &[u8]) -> Result<(), VaultError> {
        self.0.lock().unwrap().insert(name.to_owned(), record.to_vec());
        Ok(())
    }
}

fn vault() -> Arc<dyn Vault> {
    Arc::new(MemoryVault::default())
}

fn start(vault: &Arc<dyn Vault>) -> TestAuthority {
    TestAuthority::start(vault, || Some([7; 32])).unwrap()
}

#[test]
fn nothing_is_signed_before_a_person_opens() {
    let vault = vault();
    let mut authority = start(&vault);
    assert_eq!(authority.wanted(), Wanted::Closed);
    assert_eq!(authority.open("spk-core", "pod", &[0; 16], 0), None);
    assert_eq!(authority.renew(0), None);
    assert_eq!(authority.last(), (1, 0));
    authority.want(Wanted::Open);
    assert!(authority.open("spk-core", "pod", &[0; 16], 0).is_some());
    authority.want(Wanted::Closed);
    assert_eq!(authority.renew(0), None);
}

#[test]
fn restart_keeps_key_asset_and_wish_and_takes_a_new_epoch() {
    let vault = vault();
    let mut first = start(&vault);
    first.want(Wanted::Open);
    store_wish(&vault, Wanted::Open).unwrap();
    let second = TestAuthority::start(&vault, || None).unwrap();
    assert_eq!(second.kid(), first.kid());
    assert_eq!(second.authority.daid(), first.authority.daid());
    assert_eq!(second.wanted(), Wanted::Open);
    assert_eq!((first.last().0, second.last().0), (1, 2));
    assert_eq!(second.jwks(), first.jwks());
}

#[test]
fn broken_record_is_refused_and_not_replaced() {
    let vault = vault();
    start(&vault);
    for name in [KEY, DAID, EPOCH] {
        let held = vault.load(name).unwrap().unwrap();
        vault.store(name, b"broken").unwrap();
        assert!(TestAuthority::start(&vault, || Some([9; 32])).is_err(), "{name}");
        assert_eq!(vault.load(name).unwrap().unwrap(), b"broken");
        vault.store(name, &held).unwrap();
    }
}
