//! What a command was asked for goes to standard output, here and nowhere else:
//! text for people, JSON for scripts.

use serde_json::Value;
use std::fmt::Display;
use std::io::{self, Write};

/// Whom the output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub(crate) struct OutputArgs {
    /// Print JSON, for scripts
    #[arg(long)]
    pub(crate) json: bool,
}

impl OutputArgs {
    /// Prints the one form or the other, as it was asked for.
    pub(crate) fn print(self, text: impl Display, json: &Value) -> io::Result<()> {
        if self.json {
            self::json(json)
        } else {
            line(text)
        }
    }
}

/// Prints a line.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Prints one JSON value, over several lines.
pub(crate) fn json(value: &Value) -> io::Result<()> {
    line(format_args!("{value:#}"))
}
