//! The verdict on every document of the files, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use spk_api::load::Content;
use spk_api::{Document, ObjectId, Problem};
use spk_plan::{Dangling, Inputs, ObjectPlan};

use super::Source;

/// The whole verdict.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    objects: Vec<Object>,
    accepted: usize,
    refused: usize,
    ignored: usize,
}

/// One document.
#[derive(Debug, Serialize)]
struct Object {
    file: String,
    line: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Accepted,
    Refused,
    /// Read as a fact, or not ours.
    Ignored,
}

/// Something about one field.
#[derive(Debug, Serialize)]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
    problem: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    fix: String,
}

impl Report {
    /// The verdict on `sources`, judged with these namespaces.
    pub(super) fn new(sources: &[Source], tmm: String, watched: BTreeSet<String>) -> Self {
        let plan = spk_plan::plan(&inputs(sources, tmm, watched));
        let mut first: BTreeMap<&ObjectId, String> = BTreeMap::new();
        let mut objects = Vec::new();
        for source in sources {
            let documents = match &source.documents {
                Ok(documents) => documents,
                Err(error) => {
                    objects.push(broken(&source.name, error));
                    continue;
                }
            };
            for document in documents {
                let mut object = Object::new(&source.name, document);
                match &document.content {
                    Content::Resource(manifest) => {
                        if let Some(place) = first.get(&manifest.id) {
                            object.refuse_repeated(place);
                        } else {
                            let place = format!("{}:{}", source.name, document.line);
                            first.insert(&manifest.id, place);
                            object.judge(document, plan.objects.get(&manifest.id));
                            let warnings = plan.warnings.iter().filter(|w| w.object == manifest.id);
                            let notes = warnings.map(|w| Entry::note(w.reason, &w.message));
                            object.notes.extend(notes);
                        }
                    }
                    Content::Refused(problems) => {
                        object.verdict = Verdict::Refused;
                        object.problems =
                            problems.iter().map(|p| Entry::problem(p, None)).collect();
                    }
                    Content::Service(_)
                    | Content::EndpointSlice(_)
                    | Content::Pod(_)
                    | Content::Namespace(_) => {}
                    Content::Ignored => {
                        object.notes.push(Entry::note("NotRead", "the product does not read it"));
                    }
                }
                objects.push(object);
            }
        }
        let count = |verdict| objects.iter().filter(|o| o.verdict == verdict).count();
        Self {
            accepted: count(Verdict::Accepted),
            refused: count(Verdict::Refused),
            ignored: count(Verdict::Ignored),
            objects,
        }
    }

    /// Whether nothing was refused.
    pub(super) const fn is_good(&self) -> bool {
        self.refused == 0
    }
}

impl Object {
    fn new(file: &str, document: &Document) -> Self {
        Self {
            file: file.to_owned(),
            line: document.line,
            kind: document.kind.clone(),
            namespace: document.namespace.clone(),
            name: document.name.clone(),
            verdict: Verdict::Ignored,
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn judge(&mut self, document: &Document, plan: Option<&ObjectPlan>) {
        let Some(plan) = plan else {
            let text = format!("namespace {} is not watched", self.namespace);
            self.notes.push(Entry::note("Unwatched", &text));
            return;
        };
        let accepted = plan.accepted.status;
        self.verdict = if accepted { Verdict::Accepted } else { Verdict::Refused };
        let line = |problem: &Problem| document.line_of(&problem.path);
        let entry = |problem| Entry::problem(problem, Some(line(problem)));
        self.problems = plan.problems.iter().map(entry).collect();
        let note = |dangling| Entry::dangling(dangling, document);
        self.notes = plan.dangling.iter().map(note).collect();
    }

    fn refuse_repeated(&mut self, place: &str) {
        self.verdict = Verdict::Refused;
        self.problems.push(Entry {
            line: Some(self.line),
            reason: "InvalidValue",
            code: Some("repeated"),
            field: "metadata.name".to_owned(),
            problem: format!("the same object stands at {place}"),
            fix: "remove one of the two".to_owned(),
        });
    }
}

impl Entry {
    fn problem(problem: &Problem, line: Option<u64>) -> Self {
        Self {
            line: problem.line.or(line),
            reason: problem.reason.as_str(),
            code: Some(problem.code),
            field: problem.path.as_str().to_owned(),
            problem: problem.problem.clone(),
            fix: problem.fix.clone(),
        }
    }

    fn dangling(dangling: &Dangling, document: &Document) -> Self {
        Self {
            line: Some(document.line_of(&dangling.path)),
            reason: dangling.reason.as_str(),
            code: None,
            field: dangling.path.as_str().to_owned(),
            problem: format!("{} {}", dangling.name, dangling.problem),
            fix: dangling.fix.clone(),
        }
    }

    fn note(reason: &'static str, text: &str) -> Self {
        Self {
            line: None,
            reason,
            code: None,
            field: String::new(),
            problem: text.to_owned(),
            fix: String::new(),
        }
    }
}

/// What the planner sees of the files.
fn inputs(sources: &[Source], tmm_namespace: String, watched: BTreeSet<String>) -> Inputs {
    let mut inputs = Inputs { tmm_namespace, watched, ..Inputs::default() };
    let mut seen = BTreeSet::new();
    for document in sources.iter().flat_map(|source| source.documents.iter().flatten()) {
        match &document.content {
            // The second of one name is refused as such; the first is the one to judge.
            Content::Resource(manifest) if seen.insert(&manifest.id) => {
                inputs.objects.push(manifest.as_ref().clone());
            }
            Content::Service(service) => inputs.services.push(service.as_ref().clone()),
            Content::EndpointSlice(slice) => inputs.slices.push(slice.as_ref().clone()),
            Content::Pod(pod) => inputs.pods.push(pod.as_ref().clone()),
            Content::Resource(_)
            | Content::Namespace(_)
            | Content::Ignored
            | Content::Refused(_) => {}
        }
    }
    inputs
}

fn broken(file: &str, error: &spk_api::LoadError) -> Object {
    Object {
        file: file.to_owned(),
        line: error.line,
        kind: String::new(),
        namespace: String::new(),
        name: String::new(),
        verdict: Verdict::Refused,
        problems: vec![Entry {
            line: Some(error.line),
            reason: "InvalidValue",
            code: Some(error.code()),
            field: String::new(),
            problem: format!("is no YAML: {} (column {})", error.problem, error.column),
            fix: "mend it; the whole file is refused".to_owned(),
        }],
        notes: Vec::new(),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for object in self.objects.iter().filter(|o| o.verdict != Verdict::Ignored) {
            write!(f, "{object}")?;
        }
        for object in self.objects.iter().filter(|o| o.verdict == Verdict::Ignored) {
            for note in &object.notes {
                writeln!(f, "{} ignored: {}", object.title(), note.problem)?;
            }
        }
        let other = match self.ignored {
            0 => String::new(),
            1 => ", 1 other document".to_owned(),
            many => format!(", {many} other documents"),
        };
        writeln!(f, "{} accepted, {} refused{other}", self.accepted, self.refused)
    }
}

impl Object {
    fn title(&self) -> String {
        let place = format!("{}:{}:", self.file, self.line);
        match (self.kind.as_str(), self.name.as_str()) {
            ("", _) => place,
            (kind, "") => format!("{place} {kind}"),
            (kind, name) => format!("{place} {kind} {}/{name}", self.namespace),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.verdict == Verdict::Accepted { "accepted" } else { "REFUSED" };
        writeln!(f, "{} {word}", self.title())?;
        for problem in &self.problems {
            writeln!(f, "  {problem}")?;
            writeln!(f, "    fix: {}", problem.fix)?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
            if !note.fix.is_empty() {
                writeln!(f, "    fix: {}", note.fix)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}, ")?;
        }
        write!(f, "{}: ", self.reason)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)
    }
}
