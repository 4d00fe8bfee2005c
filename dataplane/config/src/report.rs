//! What became of a snapshot, for the controller.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;
use crate::spec::ObjectRef;

/// Answer to one snapshot.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ApplyReport {
    /// [`crate::Spec::generation`] of the snapshot.
    pub generation: u64,
    /// Whether it is in force. If not, the one before stays in force whole (OPS-134).
    pub accepted: bool,
    /// Why it was refused: every error, in the order of the snapshot; empty if it is in force.
    pub errors: Vec<ReportedError>,
    /// What of an accepted snapshot is not in force, by object.
    pub problems: Vec<ObjectProblem>,
}

/// One reason for refusing a snapshot.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReportedError {
    /// Where in the snapshot, such as `listeners[core-web-tcp-v4].pool`.
    pub path: String,
    /// Stable label.
    pub code: String,
    /// What is wrong, for people.
    pub text: String,
}

/// Something that keeps one object, or a part of it, out of force on this replica. It heals by
/// itself when its cause goes and the snapshot is compiled again.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ObjectProblem {
    /// The object. F5SPKVlans carry no namespace in a snapshot; theirs is empty here.
    pub object: ObjectRef,
    /// Stable label: `device_missing`, `device_mtu`, `link_down` (a `DeviceError`),
    /// `self_ip_exhausted`, `gateway_not_connected`, `vlan_absent`, `route_connected`.
    pub code: String,
    /// What is wrong and how to mend it, for people.
    pub text: String,
}

impl ApplyReport {
    /// The report of a snapshot that is in force.
    #[must_use]
    pub const fn accepted(generation: u64, problems: Vec<ObjectProblem>) -> Self {
        Self { generation, accepted: true, errors: Vec::new(), problems }
    }

    /// The report of a snapshot that was refused.
    #[must_use]
    pub fn refused(generation: u64, errors: &[SpecError]) -> Self {
        let errors = errors.iter().map(|error| ReportedError {
            path: error.path.clone(),
            code: error.code().to_owned(),
            text: error.problem.to_string(),
        });
        Self { generation, accepted: false, errors: errors.collect(), problems: Vec::new() }
    }
}
