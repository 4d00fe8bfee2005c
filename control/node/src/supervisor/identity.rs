//! The pid file: which process is whose, beyond doubt.
//!
//! Its first line is the pid alone, as people and scripts expect it; the second is the rest.
//! A pid alone may be another process's after a while; pid, start time and boot together name one
//! process for good (proc(5), `/proc/<pid>/stat` field 22). Source: operations.md §1.6 (OPS-177).

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use super::recipe::Recipe;
use spk_store::durable::{self, Access};

/// Contents of a pid file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start_ticks: u64,
    /// Boot that the start time counts from.
    pub boot_id: String,
    /// How it was started; none if another version of spk-node wrote it in another form.
    #[serde(deserialize_with = "known_recipe")]
    pub recipe: Option<Recipe>,
}

fn known_recipe<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Recipe>, D::Error> {
    let value = serde_json::Value::deserialize(input)?;
    Ok(serde_json::from_value(value).ok())
}

/// A pid file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct IdentityError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl IdentityError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "pid_file"
    }
}

impl Identity {
    /// The process `pid` of now.
    ///
    /// # Errors
    ///
    /// The system's error if it is gone.
    pub fn of(pid: u32, recipe: &Recipe) -> io::Result<Self> {
        Ok(Self {
            pid,
            start_ticks: start_ticks(pid)?,
            boot_id: boot_id()?,
            recipe: Some(recipe.clone()),
        })
    }

    /// Reads the file at `path`, none if there is none.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if it is not readable or no pid file.
    pub fn read(path: &Path) -> Result<Option<Self>, IdentityError> {
        let failed = |source| IdentityError { path: path.to_owned(), source };
        match fs::read_to_string(path) {
            Ok(text) => {
                let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
                serde_json::from_str(rest).map(Some).map_err(|error| failed(error.into()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    /// Writes the file at `path`.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = format!("{}\n{}\n", self.pid, serde_json::to_string(self)?);
        durable::write_unsynced(path, text.as_bytes(), Access::Private)
    }

    /// Whether that very process lives (a zombie does not).
    #[must_use]
    pub fn lives(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot_id)
            && start_ticks(self.pid).is_ok_and(|ticks| ticks == self.start_ticks)
    }
}

/// The process that was started with the lock file `lock` as its standard input and `config` among
/// its arguments, whatever its pid file says.
pub(super) fn holder(lock: &Path, config: &Path) -> Option<u32> {
    let wanted = fs::metadata(lock).ok()?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let input = fs::metadata(entry.path().join("fd/0")).ok()?;
        let is_ours = (input.dev(), input.ino()) == (wanted.dev(), wanted.ino());
        let arguments = fs::read(entry.path().join("cmdline")).ok()?;
        let mut arguments = arguments.split(|byte| *byte == 0);
        (is_ours && arguments.any(|text| text == config.as_os_str().as_bytes())).then_some(pid)
    })
}

/// Removes the pid file at `path`; one that stays does no harm.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "pid file stays");
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn start_ticks(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&stat).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Field 22 of a living process. The name in field 2 may hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    (state != "Z" && state != "X").then(|| fields.nth(18)?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            program: "/bin/true".into(),
            arguments: Vec::new(),
            config: "/c".into(),
            environment: BTreeMap::new(),
            settings: String::new(),
            files: Vec::new(),
            trust: String::new(),
        }
    }

    #[test]
    fn own_process_lives_and_one_of_another_start_or_boot_does_not() {
        let own = Identity::of(std::process::id(), &recipe()).unwrap();
        assert!(own.lives());
        let other = Identity { start_ticks: own.start_ticks + 1, ..own.clone() };
        assert!(!other.lives());
        let other = Identity { boot_id: "earlier".to_owned(), ..own.clone() };
        assert!(!other.lives());
        assert_eq!(Identity::read(Path::new("/nonexistent")).unwrap(), None);
    }

    #[test]
    fn pid_file_begins_with_the_pid_and_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tmm-0.pid");
        let own = Identity::of(std::process::id(), &recipe()).unwrap();
        own.write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().next(), Some(std::process::id().to_string().as_str()));
        assert_eq!(Identity::read(&path).unwrap().as_ref(), Some(&own));
        let mut value = serde_json::to_value(&own).unwrap();
        value["recipe"] = serde_json::json!({"another": "form"});
        fs::write(&path, format!("{}\n{value}\n", own.pid)).unwrap();
        assert_eq!(Identity::read(&path).unwrap(), Some(Identity { recipe: None, ..own }));
        fs::write(&path, "12\n").unwrap();
        assert!(Identity::read(&path).is_err());
    }

    #[test]
    fn start_time_is_field_22_whatever_the_name_holds_and_a_zombie_has_none() {
        let rest: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let rest = rest.join(" ");
        assert_eq!(parse_stat(&format!("7 (a) b) (c) S {rest}")), Some(22));
        assert_eq!(parse_stat(&format!("7 (a) Z {rest}")), None);
        assert_eq!(parse_stat("7"), None);
    }
}
