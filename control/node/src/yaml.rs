//! Where in a YAML text an error is.
//!
//! Owns the one-line form of a parser's error. Sources: style of crds.md §4.2 messages.

use serde_saphyr::{Error, RenderOptions, SnippetMode};

/// Line and column (from 1; 1 if unknown) and the problem in one line, without a copy of the text.
#[must_use]
pub fn place(error: &Error) -> (u64, u64, String) {
    let (line, column) =
        error.location().map_or((1, 1), |location| (location.line(), location.column()));
    let mut options = RenderOptions::default();
    options.snippets = SnippetMode::Off;
    let text = error.without_snippet().render_with_options(options);
    let first = text.lines().next().unwrap_or_default();
    let problem = first
        .strip_prefix("error: ")
        .unwrap_or(first)
        .trim_end_matches(&format!(" at line {line}, column {column}"))
        .to_owned();
    (line, column, problem)
}
