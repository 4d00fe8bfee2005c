//! One custom resource: who it is, and either its checked contents or what is wrong with it.
//!
//! [`Manifest::admit`] is the one way in, for files and for objects of an API server alike: schema,
//! defaults and CEL rules run here, so an object of an older or foreign CRD is caught as well
//! (crds.md §3.2).

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::egress::EgressSpec;
use crate::ingress_ngap::IngressNgap;
use crate::ingress_tcp::IngressTcp;
use crate::ingress_udp::IngressUdp;
use crate::kind::Kind;
use crate::problem::{Path, Problem};
use crate::rule::Rules;
use crate::schema::{self, Schema, Typed};
use crate::static_route::StaticRouteSpec;
use crate::vlan::VlanSpec;

/// Names one custom resource.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
}

impl fmt::Display for ObjectId {
    /// `<kind> <namespace>/<name>`, as conditions and events write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// The contents of a custom resource whose schema and CEL rules hold, with defaults filled.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// F5SPKVlan.
    Vlan(Box<VlanSpec>),
    /// F5SPKStaticRoute.
    StaticRoute(Box<StaticRouteSpec>),
    /// F5SPKEgress.
    Egress(Box<EgressSpec>),
    /// F5SPKIngressTCP.
    IngressTcp(Box<IngressTcp>),
    /// F5SPKIngressUDP.
    IngressUdp(Box<IngressUdp>),
    /// F5SPKIngressNGAP.
    IngressNgap(Box<IngressNgap>),
    /// A kind that this build has no data plane for; its contents as they came.
    Later(Map<String, Value>),
}

/// One custom resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Who it is.
    pub id: ObjectId,
    /// Its metadata, namespace filled.
    pub meta: ObjectMeta,
    /// Its contents, or every problem that schema and CEL rules found.
    pub content: Result<Resource, Vec<Problem>>,
}

impl Manifest {
    /// Takes an object of a known kind, as YAML or an API server gives it.
    ///
    /// `namespace` is used where metadata names none.
    ///
    /// # Errors
    ///
    /// Every problem that keeps the object from having a name. Problems of a named object are in
    /// [`Manifest::content`].
    pub fn admit(kind: Kind, object: Value, namespace: &str) -> Result<Self, Vec<Problem>> {
        let Value::Object(mut body) = object else {
            return Err(vec![Problem::invalid(
                &Path::root(),
                "type",
                "is not an object",
                "write apiVersion, kind, metadata and spec",
            )]);
        };
        let version = body.remove("apiVersion");
        body.remove("kind");
        body.remove("status");
        let meta = metadata(body.remove("metadata"), namespace)?;
        let id = ObjectId {
            kind,
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        };
        let content = match api_version(kind, version.as_ref()) {
            Some(problem) => Err(vec![problem]),
            None => contents(kind, body),
        };
        Ok(Self { id, meta, content })
    }

    /// The object as JSON, ready to be stored and admitted again; nothing if it was refused.
    #[must_use]
    pub fn to_value(&self) -> Option<Value> {
        let resource = self.content.as_ref().ok()?;
        let mut body = match resource {
            Resource::Vlan(spec) => in_spec(spec.as_ref()),
            Resource::StaticRoute(spec) => in_spec(spec.as_ref()),
            Resource::Egress(spec) => in_spec(spec.as_ref()),
            Resource::IngressTcp(body) => whole(body.as_ref()),
            Resource::IngressUdp(body) => whole(body.as_ref()),
            Resource::IngressNgap(body) => whole(body.as_ref()),
            Resource::Later(body) => body.clone(),
        };
        body.insert("apiVersion".to_owned(), self.id.kind.api_version().into());
        body.insert("kind".to_owned(), self.id.kind.name().into());
        body.insert("metadata".to_owned(), serde_json::to_value(&self.meta).ok()?);
        Some(Value::Object(body))
    }
}

/// The schema of a kind's object beside apiVersion, kind, metadata and status; none for kinds
/// without data plane.
#[must_use]
pub fn body_schema(kind: Kind) -> Option<Schema> {
    let spec = |schema: Schema| {
        schema::fields(vec![schema::Field { name: "spec", schema: schema.required() }])
    };
    match kind {
        Kind::F5SPKVlan => Some(spec(VlanSpec::schema())),
        Kind::F5SPKStaticRoute => Some(spec(StaticRouteSpec::schema())),
        Kind::F5SPKEgress => Some(spec(EgressSpec::schema())),
        Kind::F5SPKIngressTCP => Some(IngressTcp::schema()),
        Kind::F5SPKIngressUDP => Some(IngressUdp::schema()),
        Kind::F5SPKIngressNGAP => Some(IngressNgap::schema()),
        Kind::F5SPKIngressEgressUDP
        | Kind::F5SPKIngressGTP
        | Kind::F5SPKIngressHTTP2
        | Kind::F5SPKIngressDiameter
        | Kind::F5SPKDnscache
        | Kind::F5SPKSnatpool
        | Kind::F5SPKAddressList
        | Kind::F5SPKPortList => None,
    }
}

fn contents(kind: Kind, body: Map<String, Value>) -> Result<Resource, Vec<Problem>> {
    let Some(schema) = body_schema(kind) else { return Ok(Resource::Later(body)) };
    let mut body = Value::Object(body);
    let mut problems = Vec::new();
    schema.admit(&mut body, &Path::root(), &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    match kind {
        Kind::F5SPKVlan => spec(body).map(Resource::Vlan),
        Kind::F5SPKStaticRoute => spec(body).map(Resource::StaticRoute),
        Kind::F5SPKEgress => spec(body).map(Resource::Egress),
        Kind::F5SPKIngressTCP => typed(body, &Path::root()).map(Resource::IngressTcp),
        Kind::F5SPKIngressUDP => typed(body, &Path::root()).map(Resource::IngressUdp),
        Kind::F5SPKIngressNGAP => typed(body, &Path::root()).map(Resource::IngressNgap),
        Kind::F5SPKIngressEgressUDP
        | Kind::F5SPKIngressGTP
        | Kind::F5SPKIngressHTTP2
        | Kind::F5SPKIngressDiameter
        | Kind::F5SPKDnscache
        | Kind::F5SPKSnatpool
        | Kind::F5SPKAddressList
        | Kind::F5SPKPortList => Ok(Resource::Later(into_map(body))),
    }
}

fn spec<T: Rules + for<'de> Deserialize<'de>>(body: Value) -> Result<Box<T>, Vec<Problem>> {
    let spec = into_map(body).remove("spec").unwrap_or_default();
    typed(spec, &Path::of("spec"))
}

/// Reads a value that its schema has admitted, then applies its rules.
fn typed<T: Rules + for<'de> Deserialize<'de>>(
    value: Value,
    at: &Path,
) -> Result<Box<T>, Vec<Problem>> {
    let typed: T = serde_json::from_value(value).map_err(|error| {
        vec![Problem::invalid(at, "type", error.to_string(), "compare it with the field table")]
    })?;
    let mut problems = Vec::new();
    typed.rules(at, &mut problems);
    if problems.is_empty() { Ok(Box::new(typed)) } else { Err(problems) }
}

fn metadata(value: Option<Value>, namespace: &str) -> Result<ObjectMeta, Vec<Problem>> {
    let at = Path::of("metadata");
    let refuse = |at: &Path, code, problem: &str, fix: &str| {
        Err(vec![Problem::invalid(at, code, problem, fix)])
    };
    let Some(value) = value else {
        return refuse(&at, "required", "is required", "add metadata with a name");
    };
    let mut meta: ObjectMeta = match serde_json::from_value(value) {
        Ok(meta) => meta,
        Err(error) => {
            return refuse(&at, "type", &error.to_string(), "write it as Kubernetes does");
        }
    };
    let named = meta
        .name
        .as_deref()
        .is_some_and(|name| name.len() <= 253 && (crate::pattern::OBJECT_NAME.matches)(name));
    if !named {
        let fix = "give a DNS-1123 subdomain of at most 253 characters";
        return refuse(&at.field("name"), "pattern", "is missing or no object name", fix);
    }
    // Who wrote which field is the API server's book-keeping, and large.
    meta.managed_fields = None;
    if meta.namespace.as_deref().is_none_or(str::is_empty) {
        meta.namespace = Some(namespace.to_owned());
    }
    Ok(meta)
}

fn api_version(kind: Kind, version: Option<&Value>) -> Option<Problem> {
    let version = version.and_then(Value::as_str).unwrap_or_default();
    if version == kind.api_version() {
        return None;
    }
    let at = Path::of("apiVersion");
    let old =
        kind == Kind::F5SPKEgress && matches!(version, "k8s.f5net.com/v1" | "k8s.f5net.com/v2");
    Some(if old {
        let fix = format!("use {}; conversion comes with step kubernetes", kind.api_version());
        Problem::unsupported(&at, version, fix)
    } else {
        let problem = format!("{version:?} has no kind {kind}");
        Problem::invalid(&at, "version", problem, format!("use {}", kind.api_version()))
    })
}

fn in_spec<T: Serialize>(spec: &T) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("spec".to_owned(), serde_json::to_value(spec).unwrap_or_default());
    body
}

fn whole<T: Serialize>(body: &T) -> Map<String, Value> {
    into_map(serde_json::to_value(body).unwrap_or_default())
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
