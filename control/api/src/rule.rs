//! CEL rules: the text that CRDs carry, beside the code that decides the same here.
//!
//! Source: crds.md §3.2, and the rule tables of each kind.

use crate::problem::{Path, Problem};

/// One CEL rule of a schema (`x-kubernetes-validations`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    /// Its name in crds.md, such as `V-DST`.
    pub id: &'static str,
    /// Its CEL text, over `self`.
    pub cel: &'static str,
    /// What the API server says when it is false.
    pub message: &'static str,
    /// How to make it true.
    pub fix: &'static str,
}

impl Rule {
    /// Adds the rule's problem at `at` unless it `holds`.
    pub fn check(&self, holds: bool, at: &Path, out: &mut Vec<Problem>) {
        if !holds {
            out.push(Problem::invalid(at, self.id, self.message, self.fix));
        }
    }
}

/// A type with rules over its own fields or over what it holds.
pub trait Rules {
    /// Adds every broken rule of this value, which stands at `at`.
    fn rules(&self, at: &Path, out: &mut Vec<Problem>);
}

/// Applies the rules of each item of a list at `at`.
pub(crate) fn each<T: Rules>(items: &[T], at: &Path, out: &mut Vec<Problem>) {
    for (index, item) in items.iter().enumerate() {
        item.rules(&at.index(index), out);
    }
}
