//! What is stored late is stored in the end.

use std::sync::atomic::{AtomicUsize, Ordering};

use spk_api::ObjectId;
use spk_api::status::Status;

use super::*;
use crate::{LicenceStatus, PodStatus};

/// Fails the first times.
#[derive(Debug)]
struct LateVault {
    failures: AtomicUsize,
    stored: Mutex<Option<Vec<u8>>>,
}

impl Vault for LateVault {
    fn load(&self, _: &str) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.stored.lock().unwrap().clone())
    }

    fn remove(&self, _: &str) -> Result<(), VaultError> {
        *self.stored.lock().unwrap() = None;
        Ok(())
    }

    fn store(&self, name: &str, record: &[u8]) -> Result<(), VaultError> {
        let less = |left: usize| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            let source = std::io::ErrorKind::StorageFull.into();
            return Err(VaultError { name: name.to_owned(), source });
        }
        *self.stored.lock().unwrap() = Some(record.to_vec());
        Ok(())
    }
}

struct NoStatuses;

impl Statuses for NoStatuses {
    fn put(&mut self, _: &ObjectId, _: Option<&Status>) {}

    fn put_pods(&mut self, _: &[PodStatus]) {}

    fn put_licence(&mut self, _: &LicenceStatus) {}
}

struct NoTmms;

impl Actuator for NoTmms {
    fn replicas(&self) -> watch::Receiver<Vec<Target>> {
        watch::channel(Vec::new()).1
    }

    fn is_halted(&self) -> bool {
        false
    }

    async fn halt(&mut self) -> Result<(), VaultError> {
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), VaultError> {
        Ok(())
    }

    async fn stop(self) {}
}

#[derive(Debug, Default)]
struct Told(Vec<EventRecord>);

impl Events for Told {
    fn record(&mut self, event: EventRecord) {
        self.0.push(event);
    }
}

#[tokio::test]
async fn record_that_could_not_be_stored_is_told_once_and_stored_later_in_its_newest_form() {
    let vault = Arc::new(LateVault { failures: AtomicUsize::new(3), stored: Mutex::new(None) });
    let told = Arc::new(Mutex::new(Told::default()));
    let mut hands = Hands {
        statuses: NoStatuses,
        actuator: NoTmms,
        events: Arc::clone(&told) as _,
        vault: Arc::clone(&vault) as _,
        plans: watch::channel(None).0,
        orders: watch::channel(GateOrder::Leave).0,
        meters: Meters::default(),
        unkept: BTreeMap::new(),
    };
    hands.store(MEMORY, b"older".to_vec()).await;
    hands.store(MEMORY, b"newer".to_vec()).await;
    assert!(hands.next_try().is_some());
    hands.keep().await;
    assert_eq!(vault.load(MEMORY).unwrap(), None);
    hands.keep().await;
    assert_eq!(vault.load(MEMORY).unwrap().as_deref(), Some(b"newer".as_slice()));
    assert_eq!(hands.next_try(), None);
    assert_eq!(told.lock().unwrap().0.len(), 1);
}
