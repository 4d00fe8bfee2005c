use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use tempfile::TempDir;

use super::*;
use crate::suite;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

#[test]
fn a_folder_of_files_is_a_store() {
    let root = TempDir::new().unwrap();
    let count = std::cell::Cell::new(0);
    let open = || {
        count.set(count.get() + 1);
        FileStore::open(&root.path().join(format!("{}", count.get()))).unwrap()
    };
    runtime().block_on(suite::run(open));
}

/// LIC-530: files are 0600 and folders 0700, whatever the umask lets through.
#[test]
fn files_and_folders_are_private() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("store");
    let store = FileStore::open(&path).unwrap();
    runtime().block_on(async {
        store.put("context", Record::of("context", "secret")).await.unwrap();
        let key = Record::of("private.jwk", "secret").with("next.jwk", "secret");
        store.put("cwc-lease-key", key.clone()).await.unwrap();
        store.put("cwc-lease-key", key).await.unwrap();
    });
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("cwc-lease-key"), 0o700);
    for name in [".lock", "context", "cwc-lease-key/private.jwk", "cwc-lease-key/next.jwk"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    assert_eq!(fs::read(path.join("context")).unwrap(), b"secret");
    // Nothing is left over from writing.
    let mut found: Vec<_> =
        fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, [".lock", "context", "cwc-lease-key"]);
}

#[test]
fn what_a_crash_left_aside_is_neither_read_nor_written_through() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("store");
    let store = FileStore::open(&path).unwrap();
    let elsewhere = root.path().join("elsewhere");
    fs::write(&elsewhere, "untouched").unwrap();
    std::os::unix::fs::symlink(&elsewhere, path.join("context.tmp")).unwrap();
    fs::create_dir(path.join("cwc-lease-key.tmp")).unwrap();
    runtime().block_on(async {
        assert!(store.list().await.unwrap().is_empty());
        store.put("context", Record::of("context", "new")).await.unwrap();
        store.put("cwc-lease-key", Record::of("private.jwk", "new")).await.unwrap();
        assert_eq!(store.list().await.unwrap(), ["context", "cwc-lease-key"]);
    });
    assert_eq!(fs::read(&elsewhere).unwrap(), b"untouched");
    assert!(!path.join("context.tmp").exists());
}

#[test]
fn a_replaced_file_is_a_new_one() {
    let root = TempDir::new().unwrap();
    let store = FileStore::open(root.path()).unwrap();
    let inode = || fs::metadata(root.path().join("context")).unwrap().ino();
    runtime().block_on(async {
        store.put("context", Record::of("context", "a")).await.unwrap();
        let before = inode();
        let held = File::open(root.path().join("context")).unwrap();
        store.put("context", Record::of("context", "b")).await.unwrap();
        assert_ne!(inode(), before);
        assert_eq!(io::read_to_string(held).unwrap(), "a");
    });
}

/// LIC-531: a second opener is told who holds the store, until the first is gone.
#[test]
fn a_second_opener_is_kept_out_by_the_lock() {
    let root = TempDir::new().unwrap();
    let store = FileStore::open(root.path()).unwrap();
    match FileStore::open(root.path()) {
        Err(StoreError::Locked { holder, .. }) => assert_eq!(holder, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(store);
    FileStore::open(root.path()).unwrap();
}

#[test]
fn a_folder_that_is_gone_is_an_error_and_no_empty_store() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("store");
    let store = FileStore::open(&path).unwrap();
    runtime().block_on(async {
        let version = store.put("context", Record::of("context", "a")).await.unwrap();
        fs::rename(&path, root.path().join("away")).unwrap();
        let refused = store.read("context").await;
        assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
        let refused = store.replace("context", Record::of("context", "b"), &version).await;
        assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
        fs::rename(root.path().join("away"), &path).unwrap();
        store.replace("context", Record::of("context", "b"), &version).await.unwrap();
    });
}

#[test]
fn a_store_without_space_says_so() {
    let error = StoreError::io("write", Path::new("store/context"))(io::Error::from_raw_os_error(
        rustix::io::Errno::NOSPC.raw_os_error(),
    ));
    assert_eq!(error.code(), "store_full");
    assert!(error.to_string().contains("store/context"), "{error}");
}
