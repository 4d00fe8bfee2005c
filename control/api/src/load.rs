//! Reads YAML files with several documents, as one would give them to `kubectl apply`.
//!
//! Splits, recognises, and gives every problem its line. Custom resources come back as
//! [`Manifest`]s; Service, EndpointSlice, Pod and Namespace as themselves; other Kubernetes kinds
//! are passed over with a note. A broken document refuses that document, broken YAML the file.

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::de::DeserializeOwned;

use crate::kind::Kind;
use crate::manifest::Manifest;
use crate::node::Node;
use crate::problem::{Path, Problem};

/// Documents of one file, in order.
pub type Documents = Vec<Document>;

/// One document that is not empty.
#[derive(Clone, Debug)]
pub struct Document {
    /// Line, from 1, where it begins.
    pub line: u64,
    /// Its kind as written, empty if it has none.
    pub kind: String,
    /// metadata.namespace, or the namespace given to [`load`].
    pub namespace: String,
    /// metadata.name, empty if it has none.
    pub name: String,
    /// What it is.
    pub content: Content,
    source: Node,
}

impl Document {
    /// Line of the field at `path`, or of the nearest part above it that is written.
    #[must_use]
    pub fn line_of(&self, path: &Path) -> u64 {
        self.source.line_of(path)
    }
}

/// What a document is.
#[derive(Clone, Debug)]
pub enum Content {
    /// A custom resource, good or refused.
    Resource(Box<Manifest>),
    /// A Service.
    Service(Box<Service>),
    /// An EndpointSlice.
    EndpointSlice(Box<EndpointSlice>),
    /// A Pod.
    Pod(Box<Pod>),
    /// A Namespace.
    Namespace(Box<Namespace>),
    /// A Kubernetes object that nothing here reads.
    Ignored,
    /// A document that cannot be taken, and why.
    Refused(Vec<Problem>),
}

/// The text is no YAML.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct LoadError {
    /// Line, from 1; 0 if the parser gave none.
    pub line: u64,
    /// Column, from 1; 0 if the parser gave none.
    pub column: u64,
    /// What the parser says.
    pub problem: String,
}

impl LoadError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "broken_yaml"
    }
}

/// Reads the documents of `text`; `namespace` is used where an object names none.
///
/// # Errors
///
/// [`LoadError`] if any document is no YAML: then none is given.
pub fn load(text: &str, namespace: &str) -> Result<Documents, LoadError> {
    let mut options = serde_saphyr::Options::default();
    // `y` and `on` are names here; a boolean field takes true and false only.
    options.strict_booleans = true;
    if let Some(budget) = &mut options.budget {
        budget.max_documents = MOST_DOCUMENTS;
        budget.max_nodes = MOST_NODES;
        budget.max_events = 4 * MOST_NODES;
    }
    let nodes: Vec<Node> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| broken(&error))?;
    let mut documents = Vec::new();
    for node in nodes.iter().filter(|node| !node.is_null()) {
        match node.list("items") {
            Some(items) if node.text("kind") == Some("List") => {
                documents.extend(items.iter().map(|item| document(item, namespace)));
            }
            Some(_) | None => documents.push(document(node, namespace)),
        }
    }
    Ok(documents)
}

/// The parser's error in one line, without a copy of the text.
fn broken(error: &serde_saphyr::Error) -> LoadError {
    let (line, column) = error.location().map_or((0, 0), |l| (l.line(), l.column()));
    let mut options = serde_saphyr::RenderOptions::default();
    options.snippets = serde_saphyr::SnippetMode::Off;
    let text = error.without_snippet().render_with_options(options);
    let first = text.lines().next().unwrap_or_default();
    let problem = first.strip_prefix("error: ").unwrap_or(first);
    let place = format!(" at line {line}, column {column}");
    let problem = problem.trim_end_matches(&place).trim_end_matches(PARSER_ADVICE);
    LoadError { line, column, problem: problem.to_owned() }
}

fn document(node: &Node, namespace: &str) -> Document {
    let written = node.text("kind").unwrap_or_default();
    let meta = node.get("metadata");
    let own = |key| meta.and_then(|meta| meta.text(key)).filter(|text| !text.is_empty());
    let content = match content(node, written, namespace) {
        Ok(content) => content,
        Err(mut problems) => {
            locate(&mut problems, node);
            Content::Refused(problems)
        }
    };
    Document {
        line: node.line(),
        kind: written.to_owned(),
        namespace: own("namespace").unwrap_or(namespace).to_owned(),
        name: own("name").unwrap_or_default().to_owned(),
        content,
        source: node.clone(),
    }
}

fn content(node: &Node, kind: &str, namespace: &str) -> Result<Content, Vec<Problem>> {
    let version = node.text("apiVersion").unwrap_or_default();
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    let core = |kinds: &[&str]| kinds.contains(&kind);
    if group == "k8s.f5net.com" || group.ends_with(".k8s.f5net.com") {
        let Some(known) = Kind::ALL.into_iter().find(|known| known.name() == kind) else {
            return Err(vec![unknown_kind(kind)]);
        };
        let mut manifest = Manifest::admit(known, node.value(), namespace)?;
        if let Err(problems) = &mut manifest.content {
            locate(problems, node);
        }
        return Ok(Content::Resource(Box::new(manifest)));
    }
    match (version, kind) {
        ("v1", "Service") => {
            native(node, namespace, |o: &mut Service| &mut o.metadata).map(Content::Service)
        }
        ("v1", "Pod") => native(node, namespace, |o: &mut Pod| &mut o.metadata).map(Content::Pod),
        ("v1", "Namespace") => {
            native(node, "", |o: &mut Namespace| &mut o.metadata).map(Content::Namespace)
        }
        ("discovery.k8s.io/v1", "EndpointSlice") => {
            native(node, namespace, |o: &mut EndpointSlice| &mut o.metadata)
                .map(Content::EndpointSlice)
        }
        _ if kind.is_empty() || version.is_empty() => {
            let missing = if kind.is_empty() { "kind" } else { "apiVersion" };
            let fix = "every document needs apiVersion and kind";
            Err(vec![Problem::invalid(&Path::of(missing), "required", "is required", fix)])
        }
        _ if Kind::from_name(kind).is_some() || kind.starts_with("F5") => {
            let fix = Kind::from_name(kind)
                .map_or_else(known_kinds, |kind| format!("use {}", kind.api_version()));
            let problem = format!("{version:?} has no kind {kind}");
            Err(vec![Problem::invalid(&Path::of("apiVersion"), "version", problem, fix)])
        }
        _ if core(&KUBERNETES) || group.ends_with(".k8s.io") || group == "apps" => {
            Ok(Content::Ignored)
        }
        _ => Err(vec![unknown_kind(kind)]),
    }
}

/// Reads an object of Kubernetes itself and fills its namespace.
fn native<T: DeserializeOwned>(
    node: &Node,
    namespace: &str,
    meta: impl Fn(&mut T) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> Result<Box<T>, Vec<Problem>> {
    let mut object: T = serde_json::from_value::<T>(node.value()).map_err(|error| {
        vec![Problem::invalid(
            &Path::root(),
            "type",
            error.to_string(),
            "write it as Kubernetes does",
        )]
    })?;
    let meta = meta(&mut object);
    if meta.name.as_deref().is_none_or(str::is_empty) {
        let at = Path::of("metadata.name");
        return Err(vec![Problem::invalid(&at, "required", "is required", "name the object")]);
    }
    if !namespace.is_empty() && meta.namespace.as_deref().is_none_or(str::is_empty) {
        meta.namespace = Some(namespace.to_owned());
    }
    Ok(Box::new(object))
}

fn unknown_kind(kind: &str) -> Problem {
    let problem = format!("{kind:?} is not a kind of this product");
    Problem::invalid(&Path::of("kind"), "unknown_kind", problem, known_kinds())
}

fn known_kinds() -> String {
    format!("use one of {}", Kind::ALL.map(Kind::name).join(", "))
}

fn locate(problems: &mut [Problem], node: &Node) {
    for problem in problems {
        problem.line = Some(node.line_of(&problem.path));
    }
}

/// Kinds of Kubernetes' core group and their neighbours that files may hold beside ours.
const KUBERNETES: [&str; 15] = [
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "Node",
    "Endpoints",
    "Event",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "LimitRange",
    "ResourceQuota",
    "ReplicationController",
    "Job",
    "CronJob",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
];

/// What the parser tells programmers about repeated keys, who are not its readers here.
const PARSER_ADVICE: &str = ", set DuplicateKeyPolicy in Options if acceptable";

/// Documents of one file: far above the 1,000 objects and 10,000 members of crds.md §1.
const MOST_DOCUMENTS: usize = 100_000;
/// Values in one file: 10,000 endpoints as a cluster prints them have some 500,000.
const MOST_NODES: usize = 5_000_000;
