//! The cluster that is restored into: topics that are made, or are there and empty, and their settings meanwhile.
//!
//! While records are restored their topics take the time that each record brings, whatever it is, and records
//! as large as they come. Afterwards they are set as the platform wants them.

use std::collections::BTreeMap;
use std::time::Duration;

use licenseflow_avro::Topics;
use licenseflow_avro::causes::chain;
use licenseflow_avro::topics::{Lane, TopicPlan};
use licenseflow_runtime::log::{
    Admin, Error as LogError, KafkaSettings, Record, TopicPartition, TopicSpec, Watermarks, read_at,
};

use crate::manifest::{Holds, Manifest};
use crate::{Error, Result};

/// Of each topic, while it is restored.
const RESTORING: [(&str, &str); 3] = [
    ("message.timestamp.type", "CreateTime"),
    // The old brokers' clocks may have been ahead of these.
    ("message.timestamp.after.max.ms", "9223372036854775807"),
    // What came well compressed may need more room as we compress it.
    ("max.message.bytes", "67108864"),
];

/// A broker may follow changed settings a moment after it describes them.
const SETTLED: Duration = Duration::from_secs(2);
/// What a client that was killed has sent may be written a moment after its end.
const ARRIVED: Duration = Duration::from_secs(1);
/// How long one question to the brokers may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A topic as it is to be in the new cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) holds: Holds,
    /// Its name in the archive.
    pub(crate) archived: String,
    /// Its name in the new cluster.
    pub(crate) name: String,
    pub(crate) partitions: usize,
}

/// The new cluster.
pub struct Target {
    pub(crate) settings: KafkaSettings,
    admin: Admin,
    topics: Topics,
    /// The schemas' topic; none where they are left out.
    schemas: Option<String>,
}

impl Target {
    /// A cluster, with the names that topics have there.
    #[must_use]
    pub fn new(
        settings: &KafkaSettings,
        admin: Admin,
        topics: &Topics,
        schemas: Option<String>,
    ) -> Target {
        Target {
            settings: settings.clone(),
            admin,
            topics: topics.clone(),
            schemas,
        }
    }

    /// The topics of an archive that are wanted here.
    pub(crate) fn wanted(&self, manifest: &Manifest) -> Vec<Wanted> {
        let each = manifest.topics.iter().filter_map(|topic| {
            let name = match topic.holds {
                Holds::Schemas => self.schemas.clone()?,
                Holds::Interactive => self.topics.lane(Lane::Interactive),
                Holds::Bulk => self.topics.lane(Lane::Bulk),
            };
            Some(Wanted {
                holds: topic.holds,
                archived: topic.name.clone(),
                name,
                partitions: topic.ends.len(),
            })
        });
        each.collect()
    }

    /// How many offsets each partition of these topics has, when nothing arrives any more; partitions of topics
    /// that are not there are left out.
    pub(crate) fn held(&self, wanted: &[Wanted]) -> Result<BTreeMap<TopicPartition, i64>> {
        let mut before = self.ends(wanted)?;
        while before.values().any(|end| *end > 0) {
            std::thread::sleep(ARRIVED);
            let now = self.ends(wanted)?;
            if now == before {
                break;
            }
            before = now;
        }
        Ok(before)
    }

    /// Where the partitions of those topics end that are there.
    pub(crate) fn ends(&self, wanted: &[Wanted]) -> Result<BTreeMap<TopicPartition, i64>> {
        let mut all = BTreeMap::new();
        for topic in wanted {
            let partitions = match self.admin.partitions(&topic.name) {
                Ok(partitions) => partitions,
                Err(LogError::UnknownTopic(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            if partitions.len() != topic.partitions {
                return Err(Error::Partitions {
                    topic: topic.name.clone(),
                    found: partitions.len(),
                    archived: topic.partitions,
                });
            }
            for (of, Watermarks { start, end }) in self.admin.watermarks(&partitions)? {
                if start > 0 {
                    return Err(self.not_empty(&of, format!("it begins at {start}")));
                }
                all.insert(of, end);
            }
        }
        Ok(all)
    }

    /// The record at an offset.
    pub(crate) fn record(&self, of: &TopicPartition, offset: i64) -> Result<Record> {
        read_at(&self.settings, of, offset, PATIENCE).map_err(|error| match error {
            LogError::NoRecord { reason, .. } => {
                self.not_empty(of, format!("at {offset} there is no record: {reason}"))
            }
            other => other.into(),
        })
    }

    pub(crate) fn not_empty(&self, of: &TopicPartition, found: String) -> Error {
        Error::NotEmpty {
            topic: of.topic.clone(),
            partition: of.partition,
            found,
            servers: self.settings.bootstrap_servers.clone(),
        }
    }

    /// Makes the topics that are missing, and sets all for restoring.
    pub(crate) fn prepare(&self, wanted: &[Wanted]) -> Result<()> {
        let there = self.admin.partition_counts()?;
        let specs: Vec<TopicSpec> = wanted.iter().map(|topic| self.spec(topic)).collect();
        self.admin.ensure_topics(&specs)?;
        let existed = wanted
            .iter()
            .filter(|topic| there.contains_key(&topic.name));
        let changes = RESTORING.map(|(key, value)| (key, Some(value))).into();
        let mut any = false;
        for topic in existed {
            self.admin.alter_topic(&topic.name, &changes)?;
            any = true;
        }
        if any {
            std::thread::sleep(SETTLED);
        }
        Ok(())
    }

    /// Sets the topics as the platform wants them.
    pub(crate) fn set_back(&self, wanted: &[Wanted]) -> Result<()> {
        let there = self.admin.partition_counts()?;
        let mut outcome = Ok(());
        for topic in wanted.iter().filter(|it| there.contains_key(&it.name)) {
            let plan = self.plan(topic);
            let of_plan = |key: &str| {
                let found = plan.settings.iter().find(|(name, _)| *name == key);
                found.map(|(_, value)| value.as_str())
            };
            let changes = RESTORING.map(|(key, _)| (key, of_plan(key))).into();
            if let Err(error) = self.admin.alter_topic(&topic.name, &changes) {
                // All are tried; the first that fails is told.
                outcome = outcome.and(Err(self.not_set_back(&topic.name, &changes, &error)));
            }
        }
        outcome
    }

    fn not_set_back(
        &self,
        topic: &str,
        changes: &BTreeMap<&str, Option<&str>>,
        error: &LogError,
    ) -> Error {
        let settings = changes.iter().filter_map(|(key, value)| {
            let value = (*value)?;
            Some(format!("{key}={value}"))
        });
        Error::NotSetBack {
            topic: topic.to_owned(),
            reason: chain(error),
            servers: self.settings.bootstrap_servers.clone(),
            settings: settings.collect::<Vec<_>>().join(","),
        }
    }

    fn spec(&self, topic: &Wanted) -> TopicSpec {
        let planned = self.plan(topic).settings.into_iter();
        let mut settings: BTreeMap<String, String> = planned
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        settings.extend(RESTORING.map(|(key, value)| (key.to_owned(), value.to_owned())));
        TopicSpec {
            name: topic.name.clone(),
            partitions: i32::try_from(topic.partitions).unwrap_or(i32::MAX),
            replication: None,
            settings,
        }
    }

    /// The topic as it must be when all is done; that of another registry as ours.
    fn plan(&self, topic: &Wanted) -> TopicPlan {
        let usual = match topic.holds {
            Holds::Schemas => self.topics.schemas(),
            Holds::Interactive | Holds::Bulk => topic.name.clone(),
        };
        let found = self.topics.all().into_iter().find(|it| it.name == usual);
        found.unwrap_or(TopicPlan {
            name: usual,
            partitions: 1,
            settings: Vec::new(),
        })
    }
}
