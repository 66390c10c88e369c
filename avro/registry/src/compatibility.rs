//! The levels of compatibility: which earlier schemas a new one is compared with, and which of the
//! two must read the other's data.

mod resolution;

use serde::{Deserialize, Serialize};

use crate::schema::Schema;
use crate::{Error, Result};
use resolution::can_read;

/// What a new schema of a subject must be compatible with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Nothing.
    None,
    /// It reads what the latest wrote.
    Backward,
    /// It reads what any before it wrote.
    BackwardTransitive,
    /// The latest reads what it writes.
    Forward,
    /// All before it read what it writes.
    ForwardTransitive,
    /// Both, with the latest.
    Full,
    /// Both, with all.
    FullTransitive,
}

/// How many earlier schemas a level looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Latest,
    All,
}

impl Level {
    /// As Confluent writes it, in either case.
    ///
    /// # Errors
    /// [`Error::InvalidLevel`].
    pub fn parse(text: &str) -> Result<Level> {
        let all = [
            Level::None,
            Level::Backward,
            Level::BackwardTransitive,
            Level::Forward,
            Level::ForwardTransitive,
            Level::Full,
            Level::FullTransitive,
        ];
        let found = all
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text));
        found.ok_or(Error::InvalidLevel)
    }

    /// As Confluent writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::None => "NONE",
            Level::Backward => "BACKWARD",
            Level::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Level::Forward => "FORWARD",
            Level::ForwardTransitive => "FORWARD_TRANSITIVE",
            Level::Full => "FULL",
            Level::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    fn reach(self) -> Reach {
        match self {
            Level::None | Level::Backward | Level::Forward | Level::Full => Reach::Latest,
            Level::BackwardTransitive | Level::ForwardTransitive | Level::FullTransitive => {
                Reach::All
            }
        }
    }

    fn must_read_earlier(self) -> bool {
        matches!(
            self,
            Level::Backward | Level::BackwardTransitive | Level::Full | Level::FullTransitive
        )
    }

    fn must_be_read_by_earlier(self) -> bool {
        matches!(
            self,
            Level::Forward | Level::ForwardTransitive | Level::Full | Level::FullTransitive
        )
    }

    /// What keeps the new schema from being compatible with the earlier ones, oldest first;
    /// nothing if it is.
    pub(crate) fn obstacles(self, new: &Schema, earlier: &[&Schema]) -> Vec<String> {
        let from = match self.reach() {
            Reach::Latest => earlier.len().saturating_sub(1),
            Reach::All => 0,
        };
        let mut found = Vec::new();
        for old in earlier.iter().skip(from).rev() {
            let (Some(new), Some(old)) = (&new.tree, &old.tree) else {
                if self != Level::None {
                    found.push("an earlier schema is not Avro, or cannot be read".into());
                }
                continue;
            };
            if self.must_read_earlier() {
                found.extend(
                    can_read(new, old).into_iter().map(|what| {
                        format!("the new schema cannot read data of an old one: {what}")
                    }),
                );
            }
            if self.must_be_read_by_earlier() {
                found.extend(
                    can_read(old, new).into_iter().map(|what| {
                        format!("an old schema cannot read data of the new one: {what}")
                    }),
                );
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
