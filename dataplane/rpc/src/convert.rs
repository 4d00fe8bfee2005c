//! Conversion between messages and the types of `tmm-config`.
//!
//! Owns names on the wire. Decides nothing.

use tmm_config::config::MemberState;
use tmm_config::report::ReportedError;
use tmm_config::spec::ObjectRef;
use tmm_config::{ApplyReport, ObjectProblem, Spec};

use crate::proto;

impl proto::ApplyRequest {
    /// The message that carries `spec` in its canonical encoding.
    #[must_use]
    pub fn new(spec: &Spec) -> Self {
        Self { spec: spec.encode() }
    }
}

impl From<&ObjectRef> for proto::ObjectRef {
    fn from(object: &ObjectRef) -> Self {
        Self {
            kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        }
    }
}

impl From<proto::ObjectRef> for ObjectRef {
    fn from(object: proto::ObjectRef) -> Self {
        Self { kind: object.kind, namespace: object.namespace, name: object.name }
    }
}

impl proto::ApplyReply {
    /// The answer that carries `report`; `running` is the generation that runs after it, 0 if none.
    #[must_use]
    pub fn new(report: &ApplyReport, running: u64) -> Self {
        Self {
            generation: report.generation,
            accepted: report.accepted,
            errors: report.errors.iter().map(Into::into).collect(),
            problems: report.problems.iter().map(Into::into).collect(),
            running,
        }
    }
}

impl From<proto::ApplyReply> for ApplyReport {
    fn from(reply: proto::ApplyReply) -> Self {
        Self {
            generation: reply.generation,
            accepted: reply.accepted,
            errors: reply.errors.into_iter().map(Into::into).collect(),
            problems: reply.problems.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<&ReportedError> for proto::ApplyError {
    fn from(error: &ReportedError) -> Self {
        Self { path: error.path.clone(), code: error.code.clone(), text: error.text.clone() }
    }
}

impl From<proto::ApplyError> for ReportedError {
    fn from(error: proto::ApplyError) -> Self {
        Self { path: error.path, code: error.code, text: error.text }
    }
}

impl From<&ObjectProblem> for proto::Problem {
    fn from(problem: &ObjectProblem) -> Self {
        Self {
            object: Some((&problem.object).into()),
            code: problem.code.clone(),
            text: problem.text.clone(),
        }
    }
}

impl From<proto::Problem> for ObjectProblem {
    fn from(problem: proto::Problem) -> Self {
        let object = problem.object.unwrap_or_default();
        Self { object: object.into(), code: problem.code, text: problem.text }
    }
}

/// The word for a member's state on the wire, in tables and in status.
#[must_use]
pub const fn member_state_name(state: MemberState) -> &'static str {
    match state {
        MemberState::Up => "up",
        MemberState::Down => "down",
        MemberState::Checking => "checking",
        MemberState::Unchecked => "unchecked",
        MemberState::Draining => "draining",
    }
}

impl proto::Cell {
    /// A cell with text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { value: Some(proto::cell::Value::Text(text.into())) }
    }

    /// A cell with a number.
    #[must_use]
    pub const fn number(number: u64) -> Self {
        Self { value: Some(proto::cell::Value::Number(number)) }
    }
}

impl proto::Table {
    /// Position of the column `name`.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// The text in column `name` of `row`, if the column exists and holds text.
    #[must_use]
    pub fn text_at<'a>(&self, row: &'a proto::Row, name: &str) -> Option<&'a str> {
        match row.cells.get(self.column(name)?)?.value.as_ref()? {
            proto::cell::Value::Text(text) => Some(text),
            proto::cell::Value::Number(_) => None,
        }
    }

    /// The number in column `name` of `row`, if the column exists and holds one.
    #[must_use]
    pub fn number_at(&self, row: &proto::Row, name: &str) -> Option<u64> {
        match row.cells.get(self.column(name)?)?.value.as_ref()? {
            proto::cell::Value::Number(number) => Some(*number),
            proto::cell::Value::Text(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
