//! What every store must do. Each form runs this suite.

use std::sync::Arc;

use crate::{Record, Store, StoreError};

/// Runs all rules over stores that `open` makes, each empty.
pub(crate) async fn run<S: Store>(open: impl Fn() -> S) {
    an_absent_record_is_none(&open()).await;
    a_record_is_made_once(&open()).await;
    only_the_version_read_is_replaced(&open()).await;
    a_put_takes_any_place(&open()).await;
    a_deleted_record_may_be_made_again(&open()).await;
    every_key_of_a_record_comes_back(&open()).await;
    names_are_listed_in_order(&open()).await;
    one_of_many_makers_wins(open()).await;
    one_of_many_replacers_of_a_version_wins(open()).await;
    names_with_another_meaning_are_refused(&open()).await;
}

async fn an_absent_record_is_none(store: &impl Store) {
    assert_eq!(store.read("context").await.unwrap(), None);
}

async fn a_record_is_made_once(store: &impl Store) {
    let first = Record::of("context", "first");
    store.create("context", first.clone()).await.unwrap();
    let refused = store.create("context", Record::of("context", "second")).await;
    assert!(matches!(refused, Err(StoreError::Exists { .. })), "{refused:?}");
    assert_eq!(store.read("context").await.unwrap().unwrap().record, first);
}

async fn only_the_version_read_is_replaced(store: &impl Store) {
    let old = store.create("context", Record::of("context", "a")).await.unwrap();
    let new = store.replace("context", Record::of("context", "b"), &old).await.unwrap();
    let refused = store.replace("context", Record::of("context", "c"), &old).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    let stored = store.read("context").await.unwrap().unwrap();
    assert_eq!(stored.record, Record::of("context", "b"));
    assert_eq!(stored.version, new);

    store.delete("context").await.unwrap();
    let refused = store.replace("context", Record::of("context", "d"), &new).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    assert_eq!(store.read("context").await.unwrap(), None);
}

async fn a_put_takes_any_place(store: &impl Store) {
    store.put("csr", Record::of("csr", "a")).await.unwrap();
    store.put("csr", Record::of("csr", "b")).await.unwrap();
    assert_eq!(store.read("csr").await.unwrap().unwrap().record, Record::of("csr", "b"));
}

async fn a_deleted_record_may_be_made_again(store: &impl Store) {
    store.delete("context").await.unwrap();
    store.create("context", Record::of("context", "a")).await.unwrap();
    store.delete("context").await.unwrap();
    assert_eq!(store.read("context").await.unwrap(), None);
    store.create("context", Record::of("context", "b")).await.unwrap();
}

async fn every_key_of_a_record_comes_back(store: &impl Store) {
    let one = Record::of("private.jwk", "{}");
    let old = store.create("cwc-lease-key", one.clone()).await.unwrap();
    assert_eq!(store.read("cwc-lease-key").await.unwrap().unwrap().record, one);

    let two = one.with("next.jwk", vec![0, 255, 10]);
    store.replace("cwc-lease-key", two.clone(), &old).await.unwrap();
    let stored = store.read("cwc-lease-key").await.unwrap().unwrap();
    assert_eq!(stored.record, two);
    assert_eq!(stored.record.get("next.jwk"), Some(&[0, 255, 10][..]));

    let less = Record::of("next.jwk", "{}");
    store.put("cwc-lease-key", less.clone()).await.unwrap();
    assert_eq!(store.read("cwc-lease-key").await.unwrap().unwrap().record, less);
}

async fn names_are_listed_in_order(store: &impl Store) {
    for name in ["licensekey", "context", "cwc-lease-key"] {
        store.put(name, Record::of("key", "value")).await.unwrap();
    }
    store.delete("licensekey").await.unwrap();
    assert_eq!(store.list().await.unwrap(), ["context", "cwc-lease-key"]);
}

async fn one_of_many_makers_wins(store: impl Store) {
    let store = Arc::new(store);
    let tries = (0..16).map(|id| {
        let store = Arc::clone(&store);
        let record = Record::of("digitalassetid", format!("{id}"));
        tokio::spawn(async move { store.create("digitalassetid", record).await })
    });
    assert_eq!(successes(tries.collect()).await, 1);
}

async fn one_of_many_replacers_of_a_version_wins(store: impl Store) {
    let store = Arc::new(store);
    let version = store.create("context", Record::of("context", "start")).await.unwrap();
    let tries = (0..16).map(|id| {
        let (store, version) = (Arc::clone(&store), version.clone());
        let record = Record::of("context", format!("{id}"));
        tokio::spawn(async move { store.replace("context", record, &version).await })
    });
    assert_eq!(successes(tries.collect()).await, 1);
}

async fn successes<T>(tries: Vec<tokio::task::JoinHandle<Result<T, StoreError>>>) -> usize {
    let mut won = 0;
    for one in tries {
        match one.await.unwrap() {
            Ok(_) => won += 1,
            Err(StoreError::Exists { .. } | StoreError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    won
}

async fn names_with_another_meaning_are_refused(store: &impl Store) {
    for name in ["", ".", "..", "../context", "a/b", ".lock", "a b", "ä", &"x".repeat(254)] {
        let refused = store.put(name, Record::of("key", "value")).await;
        assert!(matches!(refused, Err(StoreError::Name { .. })), "{name}: {refused:?}");
        let refused = store.put("record", Record::of(name, "value")).await;
        assert!(matches!(refused, Err(StoreError::Name { .. })), "{name}: {refused:?}");
    }
    assert!(store.list().await.unwrap().is_empty());
}
