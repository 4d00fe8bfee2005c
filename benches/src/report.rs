//! The table that people read and the file that scripts read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// One figure beside its goal.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Number of the goal, such as `P1`.
    pub id: &'static str,
    /// What was measured, in words.
    pub what: String,
    /// The goal.
    pub goal: f64,
    /// Whether less is better.
    pub less_is_better: bool,
    /// The value.
    pub value: f64,
    /// Single values that it came from.
    pub runs: Vec<f64>,
    /// Whatever else is worth keeping.
    pub more: Map<String, Value>,
}

impl Figure {
    /// Whether the goal is met.
    #[must_use]
    pub fn is_met(&self) -> bool {
        if self.less_is_better { self.value <= self.goal } else { self.value >= self.goal }
    }

    fn json(&self) -> Value {
        let mut object = self.more.clone();
        object.insert("goal".to_owned(), json!(self.goal));
        object.insert("value".to_owned(), json!(self.value));
        object.insert("runs".to_owned(), json!(self.runs));
        Value::Object(object)
    }
}

/// The Markdown table.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut text = String::from("| goal | what | value | wanted | |\n|---|---|---|---|---|\n");
    for figure in figures {
        let sign = if figure.less_is_better { "<=" } else { ">=" };
        let met = if figure.is_met() { "met" } else { "missed" };
        let (id, what, value, goal) = (figure.id, &figure.what, figure.value, figure.goal);
        text += &format!("| {id} | {what} | {} | {sign} {goal} | {met} |\n", rounded(value));
    }
    text
}

/// Three significant digits, and no more than two after the point.
fn rounded(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// Writes `results.json` and `results.md` into `folder`; gives the first one's path.
///
/// # Errors
///
/// If they cannot be written.
pub fn write(folder: &Path, figures: &[Figure]) -> Result<PathBuf> {
    let map: BTreeMap<&str, Value> = figures.iter().map(|f| (f.id, f.json())).collect();
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let path = folder.join("results.json");
    std::fs::write(&path, serde_json::to_string_pretty(&map)? + "\n")?;
    std::fs::write(folder.join("results.md"), table(figures))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::{Figure, table, write};
    use serde_json::{Map, Value};

    #[test]
    fn results_hold_goal_value_and_runs_by_the_goals_number() {
        let folder = std::env::temp_dir().join(format!("spk-bench-{}", std::process::id()));
        let figure = Figure {
            id: "P1",
            what: "a ratio".to_owned(),
            goal: 1.5,
            less_is_better: true,
            value: 1.25,
            runs: vec![1.2, 1.3],
            more: Map::new(),
        };
        let path = write(&folder, std::slice::from_ref(&figure)).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["P1"], serde_json::json!({"goal": 1.5, "value": 1.25, "runs": [1.2, 1.3]}));
        assert!(table(&[figure]).contains("| P1 | a ratio | 1.25 | <= 1.5 | met |"));
    }
}
