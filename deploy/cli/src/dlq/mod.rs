//! `dlq`: dead letters, over the admin API of whoever builds the read model.

mod client;
mod deed;
mod list;
mod show;

use crate::exit::{Exit, WrongUse};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

/// What is done with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List dead letters, the oldest first
    List(list::ListArgs),
    /// Show one with its record, and how far that can be read
    Show(show::ShowArgs),
    /// Publish records again into the lanes that they came from
    Redrive(deed::RedriveArgs),
    /// Close letters for a reason
    Resolve(deed::ResolveArgs),
}

pub(crate) async fn run(command: DlqCommand) -> anyhow::Result<Exit> {
    match command {
        DlqCommand::List(arguments) => list::run(arguments).await,
        DlqCommand::Show(arguments) => show::run(arguments).await,
        DlqCommand::Redrive(arguments) => deed::redrive(arguments).await,
        DlqCommand::Resolve(arguments) => deed::resolve(arguments).await,
    }
}

/// Which letters: all of this holds.
#[derive(Debug, Clone, Args)]
pub(crate) struct FilterArgs {
    /// Only those rejected for this, such as unknown_schema
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only those that name this tenant
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Only those that name this license
    #[arg(long, value_name = "ID")]
    license: Option<String>,
    /// Only those of this request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Only those rejected at this time or later
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only those rejected before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

impl FilterArgs {
    /// The filter by the API's names.
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("reason", &self.reason),
            ("tenant_id", &self.tenant),
            ("license_id", &self.license),
            ("request_id", &self.request),
            ("from", &self.from),
            ("to", &self.to),
        ];
        let given = all.into_iter();
        given
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
            .collect()
    }

    fn json(&self) -> Value {
        let pairs = self.pairs().into_iter();
        let members: Map<String, Value> = pairs
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        members.into()
    }
}

/// Where a letter's record lies, as `topic:partition:offset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    topic: String,
    partition: i32,
    offset: i64,
}

impl std::str::FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let mut parts = text.rsplitn(3, ':');
        let (offset, partition, topic) = (parts.next(), parts.next(), parts.next());
        let place = || {
            Some(Self {
                offset: offset?.parse().ok()?,
                partition: partition?.parse().ok()?,
                topic: topic.filter(|topic| !topic.is_empty())?.to_owned(),
            })
        };
        place().ok_or(NoPlace)
    }
}

impl Place {
    fn json(&self) -> Value {
        json!({ "topic": self.topic, "partition": self.partition, "offset": self.offset })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("expected topic:partition:offset, such as license.events.v1:3:1042")]
pub(crate) struct NoPlace;

/// A command line that asks for something that cannot be.
fn wrong(why: &str) -> anyhow::Error {
    WrongUse::of(std::io::Error::other(why.to_owned())).into()
}

/// A member of an answer as text.
fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or("")
}

/// Where an answer's letter lies.
fn place_of(letter: &Value) -> String {
    let (topic, partition, offset) = (
        text(letter, "topic"),
        &letter["partition"],
        &letter["offset"],
    );
    format!("{topic}:{partition}:{offset}")
}

/// A text without what would break a table, and no longer than this.
fn cell(text: &str, length_max: usize) -> String {
    let plain = text
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it });
    let mut cell: String = plain.clone().take(length_max).collect();
    if plain.count() > length_max {
        cell.pop();
        cell.push('…');
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_its_end_since_a_topic_may_hold_colons() {
        let place: Place = "a:b:3:1042".parse().unwrap();
        assert_eq!(
            (&*place.topic, place.partition, place.offset),
            ("a:b", 3, 1042)
        );
        for text in ["", "t", "t:1", ":1:2", "t:x:2", "t:1:"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_cell_is_one_line_and_bounded() {
        assert_eq!(cell("a\nb", 10), "a b");
        assert_eq!(cell("abcdef", 4), "abc…");
        assert_eq!(cell("abcd", 4), "abcd");
    }
}
