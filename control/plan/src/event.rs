//! Events about objects (crds.md §4.2 rule 6).

use serde::Serialize;
use spk_api::ObjectId;

use crate::outcome::Plan;

/// Severity of an event.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum EventType {
    /// As it should be.
    Normal,
    /// Someone should look.
    Warning,
}

/// One event about one object.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Event {
    /// The object.
    pub object: ObjectId,
    /// Its severity.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Its reason, such as `ValueIgnored`.
    pub reason: &'static str,
    /// Its text.
    pub message: String,
}

impl Event {
    pub(crate) fn warning(object: &ObjectId, reason: &'static str, message: String) -> Self {
        Self { object: object.clone(), kind: EventType::Warning, reason, message }
    }

    /// The events to emit when `next` takes the place of `previous`: objects that came, changed and
    /// went, and those warnings that `previous` did not have. At most one warning a minute per
    /// object and reason is the shell's to hold.
    #[must_use]
    pub fn between(previous: &Plan, next: &Plan) -> Vec<Self> {
        let lifecycle = |object: &ObjectId, reason, verb: &str| Self {
            object: object.clone(),
            kind: EventType::Normal,
            reason,
            message: format!("{object} was {verb}"),
        };
        let mut events = Vec::new();
        for (id, object) in &next.objects {
            match previous.objects.get(id) {
                None => events.push(lifecycle(id, "Added", "added")),
                Some(before) if before.contents != object.contents => {
                    events.push(lifecycle(id, "Updated", "updated"));
                }
                Some(_) => {}
            }
        }
        let gone = previous.objects.keys().filter(|id| !next.objects.contains_key(id));
        events.extend(gone.map(|id| lifecycle(id, "Deleted", "deleted")));
        let fresh = next.warnings.iter().filter(|event| !previous.warnings.contains(event));
        events.extend(fresh.cloned());
        events
    }
}
