//! Which CPUs run packet threads and which the rest (operations.md §4.4, OPS-422, OPS-423).

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

/// The CPUs of packet threads, one thread each, at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CoreSet {
    /// CPUs of packet threads, as asked for.
    pub data: Vec<u16>,
    /// CPUs of all other threads: those that are left, else the last of `data`.
    pub other: Vec<u16>,
}

/// The CPUs cannot be chosen so.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// The variable is no list of CPUs.
    #[error("PAL_CPU_SET={text:?} is no list such as 0,1 or 8-15")]
    Syntax {
        /// Its value.
        text: String,
    },
    /// A CPU is named twice.
    #[error("PAL_CPU_SET names CPU {cpu} twice")]
    Twice {
        /// The CPU.
        cpu: u16,
    },
    /// A CPU is not this process's.
    #[error("PAL_CPU_SET names CPU {cpu}, but this process may use {usable:?} only")]
    Outside {
        /// The CPU.
        cpu: u16,
        /// Those it may use.
        usable: Vec<u16>,
    },
    /// The kernel does not say which CPUs this process may use.
    #[error("cannot read this process's CPU set: {0}")]
    Affinity(nix::Error),
}

impl CoreError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "cpu_set_syntax",
            Self::Twice { .. } => "cpu_set_twice",
            Self::Outside { .. } => "cpu_set_outside",
            Self::Affinity(_) => "cpu_set_affinity",
        }
    }
}

impl CoreSet {
    /// The CPUs of `wanted` (`PAL_CPU_SET`), or all that this process may use.
    ///
    /// # Errors
    ///
    /// [`CoreError`].
    pub fn choose(wanted: Option<&str>) -> Result<Self, CoreError> {
        let set = sched_getaffinity(Pid::from_raw(0)).map_err(CoreError::Affinity)?;
        let usable = (0..CpuSet::count())
            .filter(|&cpu| set.is_set(cpu).unwrap_or(false))
            .filter_map(|cpu| u16::try_from(cpu).ok())
            .collect();
        Self::of(wanted, usable)
    }

    fn of(wanted: Option<&str>, usable: Vec<u16>) -> Result<Self, CoreError> {
        let data = match wanted.map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => list(text)?,
            None => usable.clone(),
        };
        for (index, cpu) in data.iter().enumerate() {
            if !usable.contains(cpu) {
                return Err(CoreError::Outside { cpu: *cpu, usable });
            }
            if data[..index].contains(cpu) {
                return Err(CoreError::Twice { cpu: *cpu });
            }
        }
        let mut other: Vec<u16> = usable.into_iter().filter(|cpu| !data.contains(cpu)).collect();
        if other.is_empty() {
            other.extend(data.last());
        }
        Ok(Self { data, other })
    }
}

/// `0,1` or `8-15`, and both mixed.
fn list(text: &str) -> Result<Vec<u16>, CoreError> {
    let syntax = || CoreError::Syntax { text: text.to_owned() };
    let number = |part: &str| part.trim().parse::<u16>().map_err(|_| syntax());
    let mut cpus = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first || last - first > 1024 {
                    return Err(syntax());
                }
                cpus.extend(first..=last);
            }
            None => cpus.push(number(part)?),
        }
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_name_cpus_and_the_rest_keeps_house() {
        let set = CoreSet::of(Some("1,4-6"), (0..8).collect()).unwrap();
        assert_eq!(set.data, [1, 4, 5, 6]);
        assert_eq!(set.other, [0, 2, 3, 7]);
    }

    #[test]
    fn without_a_list_every_cpu_moves_packets_and_the_last_keeps_house_too() {
        for wanted in [None, Some(""), Some(" ")] {
            let set = CoreSet::of(wanted, vec![2, 3]).unwrap();
            assert_eq!((set.data, set.other), (vec![2, 3], vec![3]));
        }
    }

    #[test]
    fn a_list_that_is_none_or_leaves_the_cpu_set_is_refused() {
        let of = |text| CoreSet::of(Some(text), vec![0, 1]).unwrap_err().code();
        for text in ["x", "1-", "-1", "1,,0", "1-0", "0-70000"] {
            assert_eq!(of(text), "cpu_set_syntax", "{text}");
        }
        assert_eq!(of("0,2"), "cpu_set_outside");
        assert_eq!(of("0,0-1"), "cpu_set_twice");
    }
}
