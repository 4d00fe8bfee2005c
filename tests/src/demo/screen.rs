//! What people see: one screen with progress, or one line a step without a terminal.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use super::Outcome;

/// The screen.
#[derive(Debug)]
pub struct Screen {
    terminal: bool,
}

impl Screen {
    /// Looks whether standard output is a terminal.
    #[expect(clippy::new_without_default, reason = "it looks at the world")]
    pub fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal() }
    }

    /// Prints text.
    pub fn say(&self, text: &str) {
        println!("{text}");
    }

    /// Does something while a line shows that it goes on.
    ///
    /// # Errors
    ///
    /// Those of `work`.
    pub fn work<T>(&self, name: &str, title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let bar = if self.terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_message(format!("{name}: {title}"));
        bar.enable_steady_tick(Duration::from_millis(120));
        let result = work();
        bar.finish_and_clear();
        if result.is_ok() && name == "build" {
            println!("ok   {name:<17} {title} ({:.1} s)", started.elapsed().as_secs_f64());
        }
        result
    }

    /// One line for a step that passed.
    pub fn passed(&self, name: &str, outcome: &Outcome) {
        println!("ok   {name:<17} {}", outcome.text);
        for note in &outcome.notes {
            println!("     {:<17} {note}", "");
        }
    }

    /// What failed, why, where to read on, and what to do.
    pub fn failed(&self, name: &str, problem: &str, fix: &str, log: Option<&str>) {
        println!("FAIL {name:<17} {problem}");
        if let Some(log) = log {
            println!("     {:<17} log: {log}", "");
        }
        println!("     {:<17} fix: {fix}", "");
    }
}
