//! How far long work is: a bar on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far a piece of work is, on standard error.
pub(crate) struct Shown {
    bar: ProgressBar,
    is_terminal: bool,
    unit: &'static str,
    line_at: Instant,
}

impl Shown {
    /// `total` is none where it is not known.
    pub(crate) fn new(total: Option<u64>, unit: &'static str) -> Self {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{bar:40} {pos} of {len} {msg}, {per_sec}, {eta} to go",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{spinner} {pos} {msg}, {per_sec}",
            ),
        };
        let style = ProgressStyle::with_template(template);
        Self {
            bar: bar
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                .with_message(unit),
            is_terminal: std::io::stderr().is_terminal(),
            unit,
            line_at: Instant::now(),
        }
    }

    /// The work is that far.
    pub(crate) fn advanced(&mut self, done: u64) {
        self.bar.set_position(done);
        if !self.is_terminal && self.line_at.elapsed() >= LINE_EVERY {
            self.line_at = Instant::now();
            tracing::info!(done, unit = self.unit, "going on");
        }
    }

    /// The work has grown, or shrunk, to this.
    pub(crate) fn is_of(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// A word that does not disturb the bar.
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| tracing::warn!("{text}"));
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
