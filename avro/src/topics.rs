//! The topics: their names, partitions and settings.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which of the two topics an event goes through.
///
/// Declared in the order of the topics' names by bytes (`license.events.bulk.v1` before
/// `license.events.v1`), which decides between records of one event with equal timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Imports and backfills; yields to the interactive lane.
    Bulk,
    /// What happens now.
    Interactive,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Lane; 2] = [Lane::Bulk, Lane::Interactive];

    /// The letter that stands for the lane's topic in a position.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Lane::Bulk => 'b',
            Lane::Interactive => 'e',
        }
    }

    /// The lane of this letter, if there is one.
    #[must_use]
    pub fn from_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.letter() == letter)
    }
}

/// How many partitions each topic has when we create it (`_schemas` has one).
pub const PARTITIONS: i32 = 12;

/// The largest record that the lanes take, in bytes, uncompressed; larger ones are `too_large`.
pub const MAX_RECORD_BYTES: usize = 2 * 1024 * 1024;

/// The largest headers of a record, names and values together, in bytes.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// The topics under one prefix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topics {
    prefix: String,
}

impl Topics {
    /// The topics whose names begin with `prefix`, which may be empty.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// The prefix of topics, consumer groups and transactional ids.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The topic of a lane.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> String {
        match lane {
            Lane::Bulk => format!("{}license.events.bulk.v1", self.prefix),
            Lane::Interactive => format!("{}license.events.v1", self.prefix),
        }
    }

    /// The lane of a topic, if it is one.
    #[must_use]
    pub fn lane_of(&self, topic: &str) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| self.lane(*lane) == topic)
    }

    /// Where records wait for another try; a copy for other tools.
    #[must_use]
    pub fn retry(&self) -> String {
        format!("{}license.events.retry.v1", self.prefix)
    }

    /// Where records go that were given up on.
    #[must_use]
    pub fn dead_letters(&self) -> String {
        format!("{}license.events.dlq.v1", self.prefix)
    }

    /// The embedded schema registry's own log.
    #[must_use]
    pub fn schemas(&self) -> String {
        format!("{}_schemas", self.prefix)
    }

    /// The consumer group of the projector.
    #[must_use]
    pub fn projector_group(&self) -> String {
        format!("{}licenseflow.projector", self.prefix)
    }

    /// The registry's subject for the values of a lane.
    #[must_use]
    pub fn subject(&self, lane: Lane) -> String {
        format!("{}-value", self.lane(lane))
    }

    /// Every topic with the settings that it must have.
    #[must_use]
    pub fn all(&self) -> Vec<TopicPlan> {
        vec![
            TopicPlan::kept(self.lane(Lane::Interactive), MAX_RECORD_BYTES),
            TopicPlan::kept(self.lane(Lane::Bulk), MAX_RECORD_BYTES),
            TopicPlan::kept(self.retry(), 2 * MAX_RECORD_BYTES),
            TopicPlan::kept(self.dead_letters(), 2 * MAX_RECORD_BYTES),
            TopicPlan {
                name: self.schemas(),
                partitions: 1,
                settings: vec![("cleanup.policy", "compact".to_owned())],
            },
        ]
    }
}

/// A topic as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name, prefix included.
    pub name: String,
    /// How many partitions it gets when it is created; more are taken up.
    pub partitions: i32,
    /// The topic's own settings.
    pub settings: Vec<(&'static str, String)>,
}

impl TopicPlan {
    /// A topic that is kept for ever, in the brokers' time.
    fn kept(name: String, max_message_bytes: usize) -> Self {
        Self {
            name,
            partitions: PARTITIONS,
            settings: vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", "-1".to_owned()),
                ("retention.bytes", "-1".to_owned()),
                ("message.timestamp.type", "LogAppendTime".to_owned()),
                ("max.message.bytes", max_message_bytes.to_string()),
            ],
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lane::Bulk => "bulk",
            Lane::Interactive => "interactive",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_ordered_as_their_topics_names_are() {
        let topics = Topics::new("t-");
        assert!(Lane::Bulk < Lane::Interactive);
        assert!(topics.lane(Lane::Bulk) < topics.lane(Lane::Interactive));
    }
}
