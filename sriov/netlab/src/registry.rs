//! Who owns which namespace.
//!
//! Owns one small file a namespace under `/run/netlab`, named like it, which holds the owner's
//! process id and start time. A namespace whose owner is gone is stale and may be removed by
//! anyone; the start time tells a reused process id from the owner.
//!
//! Invariant: the file exists before the namespace and goes after it, so that none is orphaned.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::Error;

const FOLDER: &str = "/run/netlab";
/// Owner of a namespace that was kept on purpose: never alive, removed only when named.
const KEPT: &str = "kept";

fn file_of(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// Start time of a process in clock ticks since boot; `None` if there is no such process.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 22 of proc(5); the second one, in parentheses, may hold spaces.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn own_identity() -> String {
    let pid = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    format!("{pid} {}", start_time(pid).unwrap_or(0))
}

/// The living owner of `name`, if there is one.
fn living_owner(name: &str) -> Option<i32> {
    let text = fs::read_to_string(file_of(name)).ok()?;
    let (pid, started) = text.trim().split_once(' ')?;
    let pid = pid.parse().ok()?;
    (start_time(pid)? == started.parse::<u64>().ok()?).then_some(pid)
}

fn is_kept(name: &str) -> bool {
    fs::read_to_string(file_of(name)).is_ok_and(|text| text.trim() == KEPT)
}

/// Whether this process may still make namespaces; held while one is being made.
static OPEN: Mutex<bool> = Mutex::new(true);

/// Claims `name` for this process, then makes the namespace by `make`; removes what a dead or
/// keeping owner left under it.
pub(crate) fn claim(name: &str, make: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !*open {
        return Err(Error::Closing { name: name.to_owned() });
    }
    if let Some(owner) = living_owner(name) {
        return Err(Error::Taken { name: name.to_owned(), owner });
    }
    remove(name);
    write(name, &own_identity())?;
    make()
}

/// Leaves `name` standing after this process ends.
pub(crate) fn keep(name: &str) -> Result<(), Error> {
    write(name, KEPT)
}

fn write(name: &str, owner: &str) -> Result<(), Error> {
    let path = file_of(name);
    fs::create_dir_all(FOLDER)
        .and_then(|()| fs::write(&path, owner))
        .map_err(|source| Error::File { path, source })
}

/// Kills all processes inside namespace `name`, deletes it and forgets its owner.
///
/// Does nothing if there is none. Interfaces inside go with it, and so do their peers.
pub fn remove(name: &str) {
    if Path::new("/run/netns").join(name).exists() {
        end_processes(name);
        // The command may fail only if someone else deleted it meanwhile, which is what we want.
        let _ = Command::new("ip").args(["netns", "delete", name]).output();
    }
    if let Err(error) = fs::remove_file(file_of(name)) {
        debug_assert_eq!(error.kind(), io::ErrorKind::NotFound, "{name}: {error}");
    }
}

/// Kills what runs in a namespace and waits, at most two seconds, until it is gone.
fn end_processes(name: &str) {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let pids = processes(name);
        if pids.is_empty() || Instant::now() > deadline {
            return;
        }
        for pid in pids {
            // Already gone is fine.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Process ids inside a namespace, zombies left out.
fn processes(name: &str) -> Vec<i32> {
    let Ok(output) = Command::new("ip").args(["netns", "pids", name]).output() else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid| *pid != i32::try_from(std::process::id()).unwrap_or(0))
        .collect()
}

fn registered() -> Vec<String> {
    fs::read_dir(FOLDER)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Removes the namespaces of owners that died without cleaning up; returns their names.
///
/// Kept ones stay.
pub fn remove_stale() -> Vec<String> {
    let mut removed = Vec::new();
    for name in registered() {
        if living_owner(&name).is_none() && !is_kept(&name) {
            remove(&name);
            removed.push(name);
        }
    }
    removed
}

/// Removes all namespaces of this process, for use on a signal: guards need not run.
///
/// Afterwards none can be made any more, whatever other threads are at.
pub fn remove_own() {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    *open = false;
    let own = own_identity();
    for name in registered() {
        if fs::read_to_string(file_of(&name)).is_ok_and(|text| text == own) {
            remove(&name);
        }
    }
}

/// Removes the kept namespaces whose name begins with `prefix`; returns their names.
pub fn remove_kept(prefix: &str) -> Vec<String> {
    let names: Vec<String> =
        registered().into_iter().filter(|name| name.starts_with(prefix) && is_kept(name)).collect();
    names.iter().for_each(|name| remove(name));
    names
}
