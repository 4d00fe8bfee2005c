//! Starting the environment: quickly, without traces, and with errors that name the fix.

mod rig;

use std::path::Path;
use std::time::{Duration, Instant};

use capsule::{CpuId, Eal, EalError, Lcore, Memory, Pool, PoolSpec, PortKind};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

fn affinity() -> CpuSet {
    sched_getaffinity(Pid::from_raw(0)).unwrap()
}

fn cpus(set: &CpuSet) -> Vec<usize> {
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap()).collect()
}

/// The environment is up well within a second and a second start in the process is refused.
#[test]
fn environment_starts_within_a_second_and_only_once() {
    let before = Instant::now();
    let eal = rig::start(&[PortKind::RingLoopback]);
    let took = before.elapsed();
    println!("environment up after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(eal.version().starts_with("DPDK 2"), "{}", eal.version());
    let again = Eal::builder().memory(Memory::NoHuge).init().unwrap_err();
    assert_eq!(again, EalError::AlreadyStarted);
}

/// Starting leaves the caller's affinity alone, so threads made later run everywhere; a polling
/// thread runs on its core only.
#[test]
fn only_polling_threads_are_pinned() {
    let before = affinity();
    let last = *cpus(&before).last().unwrap();
    let core = CpuId(last as u16);
    let eal = Eal::builder().memory(Memory::NoHuge).cores(&[core]).init().unwrap();
    assert_eq!(affinity(), before);
    assert_eq!(eal.cores(), [core]);
    assert_eq!(std::thread::spawn(affinity).join().unwrap(), before);
    let poller = Lcore::spawn(&eal, core, affinity).unwrap();
    assert_eq!(cpus(&poller.join().unwrap()), [last]);
    let absent = Lcore::spawn(&eal, CpuId(1023), || ()).unwrap_err();
    assert_eq!(absent.code(), "lcore_pin");
    let panics: Lcore<()> = Lcore::spawn(&eal, core, || panic!("as asked")).unwrap();
    assert_eq!(panics.join().unwrap_err().code(), "lcore_panicked");
    // A thread that polls holds the environment.
    let (stop, wait) = std::sync::mpsc::channel::<()>();
    let poller = Lcore::spawn(&eal, core, move || wait.recv().is_err()).unwrap();
    let (eal, error) = eal.shutdown().unwrap_err();
    assert_eq!(error.code(), "eal_handles_out");
    drop(stop);
    assert!(poller.join().unwrap());
    eal.shutdown().map_err(|(_, error)| error).unwrap();
}

/// In-memory hugepages leave no file anywhere, running or ended.
#[test]
fn in_memory_environment_leaves_no_file() {
    let prefix = format!("capsule{}", std::process::id());
    let left = || -> Vec<String> {
        ["/dev/hugepages", "/run/dpdk", "/var/run/dpdk", "/tmp/dpdk"]
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flat_map(|entries| entries.flatten())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.contains(&prefix))
            .collect()
    };
    let eal = match Eal::builder().memory_mib(32).file_prefix(&prefix).init() {
        Ok(eal) => eal,
        // A machine without hugepages cannot show it.
        Err(EalError::NoHugepages { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let pool = Pool::new(&eal, &PoolSpec::new("frames", 1023)).unwrap();
    assert_eq!(left(), Vec::<String>::new());
    drop(pool);
    eal.shutdown().map_err(|(_, error)| error).unwrap();
    assert_eq!(left(), Vec::<String>::new());
}

/// Asking for more hugepages than there are names the sysctl with a number that would do.
#[test]
fn missing_hugepages_are_refused_with_the_sysctl_that_adds_them() {
    let error = Eal::builder().memory_mib(16_000_000).init().unwrap_err();
    assert_eq!(error.code(), "eal_no_hugepages");
    let text = error.to_string();
    assert!(text.contains("sysctl -w vm.nr_hugepages=8000000"), "{text}");
    assert!(text.contains("start without hugepages"), "{text}");
}

/// An argument that DPDK refuses is quoted with DPDK's own words.
#[test]
fn argument_that_dpdk_refuses_is_quoted() {
    let eal = Eal::builder().memory(Memory::NoHuge).argument("--no-such-argument");
    let error = eal.init().unwrap_err();
    assert_eq!(error.code(), "eal_bad_argument");
    let text = error.to_string();
    assert!(text.contains("--no-such-argument"), "{text}");
    assert!(text.contains("correct or remove it"), "{text}");
}

/// What can be told without DPDK is told before it is started, so the process may try again.
#[test]
fn wrong_core_prefix_and_driver_are_refused_before_anything_starts() {
    let core = Eal::builder().memory(Memory::NoHuge).cores(&[CpuId(1023)]).init().unwrap_err();
    assert_eq!(core.code(), "eal_unknown_core");
    assert!(core.to_string().contains("core 1023"), "{core}");
    let prefix = Eal::builder().memory(Memory::NoHuge).file_prefix("a/b").init().unwrap_err();
    assert_eq!(prefix.code(), "eal_bad_prefix");
    let driver = Eal::builder().memory(Memory::NoHuge).driver_directory(Path::new("/nonexistent"));
    let driver = driver.init().unwrap_err();
    assert_eq!(driver.code(), "eal_driver_missing");
    assert!(driver.to_string().contains("/nonexistent"), "{driver}");
    Eal::builder().memory(Memory::NoHuge).init().unwrap();
}
