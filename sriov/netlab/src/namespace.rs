//! A network namespace and what is configured inside it.
//!
//! Owns its name under `/run/netns` and everything in it. Loopback is up, IPv6 addresses are
//! usable at once (no duplicate address detection), router advertisements are ignored.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use nix::sched::{CloneFlags, setns};

use crate::{Error, registry};

/// A network namespace; dropping it ends its processes and deletes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    kept: bool,
}

impl Namespace {
    /// Makes the namespace `name`, at once visible to `ip netns`.
    ///
    /// A namespace of this name that a dead process left is removed first.
    ///
    /// # Errors
    ///
    /// [`Error::Taken`] if a running process owns it; [`Error::Closing`] after
    /// [`registry::remove_own`]; [`Error::Command`] or [`Error::File`] without
    /// the rights to make one.
    pub fn create(name: &str) -> Result<Self, Error> {
        registry::claim(name, || run(Command::new("ip").args(["netns", "add", name])).map(drop))
            .inspect_err(|error| {
                if !matches!(error, Error::Taken { .. }) {
                    registry::remove(name);
                }
            })?;
        let made = Self { name: name.to_owned(), kept: false };
        for (key, value) in [
            ("net/ipv6/conf/all/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_ra", "0"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
        ] {
            made.sysctl(key, value)?;
        }
        made.ip(["link", "set", "lo", "up"])?;
        Ok(made)
    }

    /// Its name, as `ip netns exec` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Leaves the namespace and its processes standing when this value is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if the registry cannot be written.
    pub fn keep(&mut self) -> Result<(), Error> {
        registry::keep(&self.name)?;
        self.kept = true;
        Ok(())
    }

    /// Runs `work` on a thread inside the namespace and returns its result.
    ///
    /// # Errors
    ///
    /// [`Error::Enter`] if the namespace is gone or root's rights are missing.
    ///
    /// # Panics
    ///
    /// If `work` panics, with the same payload.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let path = self.path();
        let file = File::open(&path).map_err(|source| Error::File { path, source })?;
        let entered = thread::scope(|scope| {
            scope
                .spawn(move || {
                    setns(&file, CloneFlags::CLONE_NEWNET)?;
                    Ok(work())
                })
                .join()
        });
        match entered {
            Ok(result) => result.map_err(|source| Error::Enter { name: self.name.clone(), source }),
            Err(payload) => std::panic::resume_unwind(payload),
        }
    }

    /// A command that runs `program` inside, with this namespace's view of `/sys`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a program inside to its end and returns what it printed on standard output.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] with its output if it ended with an error; [`Error::Spawn`].
    pub fn run<S: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String, Error> {
        run(self.command(program).args(arguments))
    }

    /// Runs `ip` with these arguments on the namespace.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] with the complaint of `ip`.
    pub fn ip<const N: usize>(&self, arguments: [&str; N]) -> Result<String, Error> {
        run(Command::new("ip").args(["-n", &self.name]).args(arguments))
    }

    /// Adds an address with prefix length to an interface; IPv6 addresses are usable at once.
    ///
    /// # Errors
    ///
    /// [`Error::Command`], for example if it is there already.
    pub fn address(&self, interface: &str, address: &str) -> Result<(), Error> {
        if address.contains(':') {
            self.ip(["address", "add", address, "dev", interface, "nodad"])?;
        } else {
            self.ip(["address", "add", address, "dev", interface])?;
        }
        Ok(())
    }

    /// Routes `prefix` ("default" for all) by gateway `via`.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] if the gateway is on no link that is up.
    pub fn route(&self, prefix: &str, via: &str) -> Result<(), Error> {
        let family = if via.contains(':') { "-6" } else { "-4" };
        self.ip([family, "route", "replace", prefix, "via", via])?;
        Ok(())
    }

    /// Writes a value under `/proc/sys` as seen inside; `key` has slashes ("net/ipv4/ip_forward").
    ///
    /// # Errors
    ///
    /// [`Error::File`] if there is no such key or the value is refused.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), Error> {
        let path = Path::new("/proc/sys").join(key);
        self.enter(|| fs::write(&path, value).map_err(|source| Error::File { path, source }))?
    }

    /// Index of an interface.
    ///
    /// # Errors
    ///
    /// [`Error::NoInterface`].
    pub fn index_of(&self, interface: &str) -> Result<u32, Error> {
        self.enter(|| nix::net::if_::if_nametoindex(interface))?.map_err(|_| Error::NoInterface {
            interface: interface.to_owned(),
            namespace: self.name.clone(),
        })
    }

    /// Hardware address of an interface, `aa:bb:cc:dd:ee:ff`.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] if there is no such interface.
    pub fn mac_of(&self, interface: &str) -> Result<String, Error> {
        let line = self.ip(["-o", "link", "show", "dev", interface])?;
        line.split_whitespace()
            .skip_while(|word| *word != "link/ether")
            .nth(1)
            .map(str::to_owned)
            .ok_or_else(|| Error::NoInterface {
                interface: interface.to_owned(),
                namespace: self.name.clone(),
            })
    }

    fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !self.kept {
            registry::remove(&self.name);
        }
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let line = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|source| Error::Spawn { program: line.clone(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    Err(Error::Command { command: line, output: said.trim().to_owned() })
}
