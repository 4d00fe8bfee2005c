//! What is wrong with an object, where, and how to mend it.
//!
//! Owns the text form `<path>: <problem>; <fix>` of conditions and of `spkctl validate`.
//!
//! Source: crds.md §4.2.

use std::fmt;

use serde::Serialize;

/// Place of a field in an object, such as `spec.vlans.vlanList[2]`. Empty is the object itself.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Path(String);

impl Path {
    /// The object itself.
    #[must_use]
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// The place written as text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The field `name` of this place.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// Item `index` of the list at this place, from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The text, `(object)` for the object itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        if self.0.is_empty() { "(object)" } else { &self.0 }
    }

    /// The place that holds this one; none for the object itself.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.rfind(['.', '[']).unwrap_or(0);
        Some(Self(self.0[..end].to_owned()))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reason of a condition `Accepted=False` (crds.md §4.2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Reason {
    /// A value that the schema or a rule refuses.
    InvalidValue,
    /// An address that cannot be used where it stands.
    InvalidAddress,
    /// Monitor items that do not merge into a monitor.
    InvalidMonitor,
    /// Another object owns the listener, name, tag or VLAN.
    Conflict,
    /// Another object uses the address.
    AddressConflict,
    /// Valid, but its function is not in this build.
    UnsupportedValue,
    /// The object lies in the wrong kind of namespace.
    WrongNamespace,
}

impl Reason {
    /// The reason as conditions spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidValue => "InvalidValue",
            Self::InvalidAddress => "InvalidAddress",
            Self::InvalidMonitor => "InvalidMonitor",
            Self::Conflict => "Conflict",
            Self::AddressConflict => "AddressConflict",
            Self::UnsupportedValue => "UnsupportedValue",
            Self::WrongNamespace => "WrongNamespace",
        }
    }
}

/// One thing that keeps an object from being accepted.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// Where it is.
    pub path: Path,
    /// What is wrong, with the offending value. For Conflict, AddressConflict and WrongNamespace
    /// the whole of it up to the fix.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
    /// Rule that refused: `V-…`, `R-…`, or a schema code such as `unknown_field`.
    pub code: &'static str,
    /// Reason of the condition.
    pub reason: Reason,
    /// Line of the file, from 1, if the object came from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

impl Problem {
    /// An `InvalidValue` at `path`.
    #[must_use]
    pub fn invalid(
        path: &Path,
        code: &'static str,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            path: path.clone(),
            problem: problem.into(),
            fix: fix.into(),
            code,
            reason: Reason::InvalidValue,
            line: None,
        }
    }

    /// `value` at `path` names a function that this build does not have.
    #[must_use]
    pub fn unsupported(path: &Path, value: &str, fix: impl Into<String>) -> Self {
        Self {
            path: path.clone(),
            problem: format!("{value} is not implemented"),
            fix: fix.into(),
            code: "not_implemented",
            reason: Reason::UnsupportedValue,
            line: None,
        }
    }

    /// The same problem under another reason.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = reason;
        self
    }

    /// The text of the condition (crds.md §4.2).
    #[must_use]
    pub fn message(&self) -> String {
        match self.reason {
            Reason::Conflict | Reason::AddressConflict | Reason::WrongNamespace => {
                format!("{}; {}", self.problem, self.fix)
            }
            Reason::InvalidValue
            | Reason::InvalidAddress
            | Reason::InvalidMonitor
            | Reason::UnsupportedValue => {
                format!("{}: {}; {}", self.path, self.problem, self.fix)
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}
