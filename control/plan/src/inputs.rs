//! What the planner looks at.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spk_api::{Kind, Manifest, ObjectId};

/// Everything that the plan depends on. The order of the lists has no effect.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Every custom resource, refused ones too. Of two with one [`ObjectId`] the one with the higher
    /// metadata.generation counts.
    pub objects: Vec<Manifest>,
    /// Services of the watched namespaces.
    pub services: Vec<Service>,
    /// EndpointSlices of the watched namespaces.
    pub slices: Vec<EndpointSlice>,
    /// Pods of the watched namespaces; labels and annotations weigh members.
    pub pods: Vec<Pod>,
    /// Namespace of controller and TMM.
    pub tmm_namespace: String,
    /// App namespaces (`controller.watchNamespace`).
    pub watched: BTreeSet<String>,
    /// TMM replicas with the index each was given.
    pub replicas: Vec<Replica>,
    /// The same on every replica; seeds the Maglev hash.
    pub cluster_uid: String,
    /// MTU in bytes of a F5SPKVlan that names none (`TMM_DEFAULT_MTU`); 0 is 1500.
    pub default_mtu: u16,
    /// What the plan before this one left, or what was stored of it.
    pub memory: Memory,
}

/// One TMM replica.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Replica {
    /// Its index (crds.md §5.8).
    pub index: u16,
    /// Name of its pod.
    pub pod: String,
    /// Whether it serves traffic: connected, with some configuration applied, gate open. Not
    /// whether it has the newest configuration, as this is part of it.
    pub ready: bool,
}

/// What one plan hands to the next: the last good configuration of each object, and revisions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Revision of the last plan's configuration; 0 before the first.
    pub generation: u64,
    /// Digest of that configuration.
    pub(crate) digest: u64,
    /// The last accepted version of each object.
    pub(crate) accepted: Vec<Manifest>,
    /// Digest of each object's part, and the revision in which it came to that.
    pub(crate) since: BTreeMap<ObjectId, (u64, u64)>,
}

/// [`Memory`] as it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    generation: u64,
    digest: u64,
    objects: Vec<Value>,
}

impl Memory {
    /// The memory as JSON, to survive a restart. Object revisions are left out: after a restart
    /// every replica acknowledges anew.
    #[must_use]
    pub fn store(&self) -> Value {
        let objects = self.accepted.iter().filter_map(Manifest::to_value).collect();
        let stored = Stored { generation: self.generation, digest: self.digest, objects };
        serde_json::to_value(stored).unwrap_or_default()
    }

    /// Reads what [`Memory::store`] wrote. Objects that this build no longer accepts are left out.
    ///
    /// # Errors
    ///
    /// The JSON error if it is something else.
    pub fn restore(stored: Value) -> Result<Self, serde_json::Error> {
        let Stored { generation, digest, objects } = serde_json::from_value(stored)?;
        let accepted = objects.into_iter().filter_map(|object| {
            let kind = object.get("kind").and_then(Value::as_str).and_then(Kind::from_name)?;
            Manifest::admit(kind, object, "").ok().filter(|manifest| manifest.content.is_ok())
        });
        Ok(Self { generation, digest, accepted: accepted.collect(), since: BTreeMap::new() })
    }
}
