//! A topic as it should be and a topic as it is.

use std::collections::BTreeMap;

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its full name, prefix included.
    pub name: String,
    /// How many partitions it is created with; more are fine later, fewer are not.
    pub partitions: i32,
    /// Replicas of each partition; none for three where there are three brokers, else one.
    pub replication: Option<i32>,
    /// Topic settings by Kafka's names, as Kafka prints their values.
    pub settings: BTreeMap<String, String>,
}

/// Where there are this many brokers, a topic has this many replicas.
const REPLICATION: i32 = 3;
/// Replicas that must have a record before it is acknowledged, where there are [`REPLICATION`].
const IN_SYNC_MIN: &str = "2";
pub(crate) const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

impl TopicSpec {
    /// Replicas of each partition in a cluster of that many brokers.
    pub fn replication_for(&self, brokers: usize) -> i32 {
        let replicated = brokers >= REPLICATION as usize;
        self.replication
            .unwrap_or(if replicated { REPLICATION } else { 1 })
    }

    /// All settings in a cluster of that many brokers.
    pub fn settings_for(&self, brokers: usize) -> BTreeMap<String, String> {
        let mut settings = self.settings.clone();
        if self.replication_for(brokers) >= REPLICATION {
            settings
                .entry(MIN_INSYNC_REPLICAS.to_owned())
                .or_insert_with(|| IN_SYNC_MIN.to_owned());
        }
        settings
    }
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its full name.
    pub name: String,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionDescription>,
    /// Its settings by Kafka's names, those left at the broker's defaults included.
    pub settings: BTreeMap<String, String>,
}

/// One partition as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its number.
    pub id: i32,
    /// The broker that leads it; none while an election is on.
    pub leader: Option<i32>,
    /// The brokers that should have it.
    pub replicas: Vec<i32>,
    /// The brokers that have all of it.
    pub in_sync: Vec<i32>,
}
