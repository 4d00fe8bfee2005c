//! `spkctl validate`: the controller's verdict on files, offline (OPS-139).
//!
//! Owns reading files and choosing namespaces; the verdict is `spk-plan`'s, the same code that the
//! controller runs.

mod report;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use spk_api::load::Content;
use spk_api::{Document, Home};

use report::Report;

/// Arguments of `spkctl validate`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Examples:\n  spkctl validate -f web.yaml\n  spkctl validate -f infra/ -f \
                       apps/ --tmm-namespace spk-core --watch demo,core-apps\n  kubectl get f5spk \
                       -A -o yaml | spkctl validate -f -\n\nExit code 0: every object is accepted. \
                       1: at least one is refused, or a file is no YAML. 2: a file cannot be read."
)]
pub struct Args {
    /// File or directory of YAML or JSON, `-` for standard input. May be given several times.
    #[arg(short, long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Namespace of controller and TMM. Default: the one that holds the F5SPKVlan, F5SPKStaticRoute
    /// and F5SPKEgress objects.
    #[arg(long, value_name = "NAMESPACE")]
    tmm_namespace: Option<String>,
    /// App namespaces that the controller watches, separated by commas. Default: every other
    /// namespace in the files.
    #[arg(long, value_name = "NAMESPACES", value_delimiter = ',')]
    watch: Vec<String>,
    /// Namespace of objects that name none.
    #[arg(short, long, default_value = "default", value_name = "NAMESPACE")]
    namespace: String,
    /// How the verdict is written.
    #[arg(short, long, default_value = "text")]
    output: Output,
}

/// How the verdict is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people: one line an object, problems and fixes below it.
    Text,
    /// For programs: one JSON object.
    Json,
}

/// One file as it was read.
#[derive(Debug)]
struct Source {
    name: String,
    documents: Result<Vec<Document>, spk_api::LoadError>,
}

/// Prints the verdict on the files of `args`.
///
/// # Errors
///
/// A file that cannot be read, or namespaces that cannot be told apart.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sources = read(args)?;
    let (tmm, watched) = namespaces(args, &sources)?;
    let report = Report::new(&sources, tmm, watched);
    let text = match args.output {
        Output::Text => report.to_string(),
        Output::Json => serde_json::to_string_pretty(&report)? + "\n",
    };
    match io::stdout().write_all(text.as_bytes()) {
        // A reader such as `head` may leave early; the verdict stands all the same.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        Err(_) | Ok(()) => {}
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(args: &Args) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in &args.files {
        for file in expand(path)? {
            let name = file.display().to_string();
            let text = if file == Path::new("-") {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
                text
            } else {
                fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?
            };
            sources.push(Source { name, documents: spk_api::load(&text, &args.namespace) });
        }
    }
    Ok(sources)
}

/// The file itself, or the resource files of a directory in the order of their names.
fn expand(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    for entry in entries {
        let file = entry?.path();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let wanted = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        if wanted && !name.starts_with('.') && !name.ends_with(".status.yaml") && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        bail!("{} holds no .yaml, .yml or .json file; name another directory", path.display());
    }
    files.sort();
    Ok(files)
}

fn namespaces(args: &Args, sources: &[Source]) -> anyhow::Result<(String, BTreeSet<String>)> {
    let manifests = || {
        sources.iter().flat_map(|s| s.documents.iter().flatten()).filter_map(|d| match &d.content {
            Content::Resource(manifest) => Some(&manifest.id),
            Content::Service(_)
            | Content::EndpointSlice(_)
            | Content::Pod(_)
            | Content::Namespace(_)
            | Content::Ignored
            | Content::Refused(_) => None,
        })
    };
    let infrastructure: BTreeSet<_> = manifests()
        .filter(|id| id.kind.home() == Home::Tmm)
        .map(|id| id.namespace.as_str())
        .collect();
    let tmm = match (&args.tmm_namespace, infrastructure.len()) {
        (Some(given), _) => given.clone(),
        (None, 0) => String::new(),
        (None, 1) => infrastructure.first().copied().unwrap_or_default().to_owned(),
        (None, _) => bail!(
            "objects of the TMM namespace lie in {}; say which it is with --tmm-namespace",
            infrastructure.into_iter().collect::<Vec<_>>().join(", ")
        ),
    };
    let watched = if args.watch.is_empty() {
        manifests().map(|id| id.namespace.clone()).filter(|namespace| *namespace != tmm).collect()
    } else {
        args.watch.iter().cloned().collect()
    };
    Ok((tmm, watched))
}
