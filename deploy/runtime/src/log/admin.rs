//! Questions and orders to the cluster: topics, their settings, their offsets, who the cluster is.
//!
//! Every call blocks up to the timeout given at the start; an async caller uses `off_thread`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::client::Attentive;
use super::deviation::{Cluster, deviations};
use super::offsets::{Asked, At};
use super::{
    Deviation, Error, KafkaSettings, PartitionDescription, PartitionEof, Result, TopicDescription,
    TopicPartition, TopicSpec, Watermarks,
};

mod alter;

/// How long librdkafka's words are listened to after a failure, and how many errors among them.
const HEARD_FOR: Duration = Duration::from_millis(20);
const EVENTS_MAX: usize = 100;

/// What became of a topic that should exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicOutcome {
    /// It was created now.
    Created,
    /// It was there already; its settings were not looked at.
    Existed,
}

/// A connection for questions and orders; clones share it.
#[derive(Clone)]
pub struct Admin {
    inner: Arc<Inner>,
}

struct Inner {
    client: AdminClient<DefaultClientContext>,
    consumer: BaseConsumer<Attentive>,
    servers: String,
    timeout: Duration,
}

impl Admin {
    /// Makes the clients; no broker is asked yet. `timeout` bounds each call.
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Client`], both about the settings.
    pub fn new(settings: &KafkaSettings, timeout: Duration) -> Result<Admin> {
        let client = settings.client_config()?.create().map_err(Error::client)?;
        let consumer = settings
            .reader_config(PartitionEof::Silent)?
            .create_with_context(Attentive::default())
            .map_err(Error::client)?;
        let servers = settings.bootstrap_servers.clone();
        Ok(Admin {
            inner: Arc::new(Inner {
                client,
                consumer,
                servers,
                timeout,
            }),
        })
    }

    /// Runs a call on a thread where blocking is allowed.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn off_thread<T, F>(&self, call: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Admin) -> Result<T> + Send + 'static,
    {
        let admin = self.clone();
        tokio::task::spawn_blocking(move || call(&admin))
            .await
            .unwrap_or(Err(Error::client(KafkaError::Canceled)))
    }

    /// The cluster's id: another one means that the log is not the one that was read before.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if no broker says it in time.
    pub fn cluster_id(&self) -> Result<String> {
        // The id comes with the metadata; asking for that first tells an absent broker from a slow one.
        self.metadata("ask the cluster's id")?;
        let client = self.inner.consumer.client();
        client.fetch_cluster_id(self.inner.timeout).ok_or_else(|| {
            self.error(
                "ask the cluster's id".into(),
                KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut),
            )
        })
    }

    /// How many brokers are up.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if no broker answers in time.
    pub fn broker_count(&self) -> Result<usize> {
        Ok(self.metadata("count the brokers")?.brokers().len())
    }

    /// How many partitions each topic has.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if no broker answers in time.
    pub fn partition_counts(&self) -> Result<BTreeMap<String, usize>> {
        let metadata = self.metadata("count the partitions")?;
        let topics = metadata.topics().iter();
        let counts = topics.map(|topic| (topic.name().to_owned(), topic.partitions().len()));
        // A topic that has lost its leader for a moment is there with none.
        Ok(counts.filter(|(_, count)| *count > 0).collect())
    }

    /// Creates the topics that are missing and waits until each of their partitions has a leader.
    ///
    /// # Errors
    /// From the brokers, with the topic's name; topics before it may have been created.
    pub fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<BTreeMap<String, TopicOutcome>> {
        let metadata = self.metadata("list the topics")?;
        let there = names_of(&metadata);
        let brokers = metadata.brokers().len();
        let mut outcomes = BTreeMap::new();
        for spec in specs {
            let outcome = if there.contains(&spec.name) {
                TopicOutcome::Existed
            } else {
                self.create(spec, brokers)?
            };
            outcomes.insert(spec.name.clone(), outcome);
        }
        if outcomes
            .values()
            .any(|outcome| *outcome == TopicOutcome::Created)
        {
            self.wait_for_leaders(specs)?;
        }
        Ok(outcomes)
    }

    /// The topics of those names that exist, with partitions and settings.
    ///
    /// # Errors
    /// From the brokers.
    pub fn describe_topics(&self, names: &[&str]) -> Result<BTreeMap<String, TopicDescription>> {
        let metadata = self.metadata("describe the topics")?;
        let there = names_of(&metadata);
        let wanted: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| there.contains(*name))
            .collect();
        let mut settings = self.settings_of(&wanted)?;
        let topics = metadata
            .topics()
            .iter()
            .filter(|topic| wanted.contains(&topic.name()));
        Ok(topics
            .map(|topic| {
                let name = topic.name().to_owned();
                let settings = settings.remove(&name).unwrap_or_default();
                let partitions = partitions_of(topic);
                (
                    name.clone(),
                    TopicDescription {
                        name,
                        partitions,
                        settings,
                    },
                )
            })
            .collect())
    }

    /// How the topics differ from what they should be; nothing is changed.
    ///
    /// # Errors
    /// From the brokers.
    pub fn check_topics(&self, specs: &[TopicSpec]) -> Result<Vec<Deviation>> {
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let actual = self.describe_topics(&names)?;
        let metadata = self.metadata("list the brokers")?;
        let mut brokers: Vec<i32> = metadata
            .brokers()
            .iter()
            .map(|broker| broker.id())
            .collect();
        brokers.sort_unstable();
        let cluster = Cluster {
            bootstrap_servers: &self.inner.servers,
            brokers: &brokers,
        };
        Ok(specs
            .iter()
            .flat_map(|spec| deviations(spec, actual.get(&spec.name), &cluster))
            .collect())
    }

    /// The partitions of a topic, by number.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], or from the brokers.
    pub fn partitions(&self, topic: &str) -> Result<Vec<TopicPartition>> {
        let found = self.asked().partitions(topic);
        found.map_err(|error| self.explained(error))
    }

    /// The last stable offset of every partition of a topic.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], or from the brokers.
    pub fn end_offsets(&self, topic: &str) -> Result<BTreeMap<TopicPartition, i64>> {
        let partitions = self.partitions(topic)?;
        self.asked().offsets(&partitions, At::End)
    }

    /// Both ends of many partitions, of any topics.
    ///
    /// # Errors
    /// From the brokers.
    pub fn watermarks(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Watermarks>> {
        let starts = self.asked().offsets(partitions, At::Start)?;
        let ends = self.asked().offsets(partitions, At::End)?;
        Ok(starts
            .into_iter()
            .filter_map(|(partition, start)| {
                let end = *ends.get(&partition)?;
                Some((partition, Watermarks { start, end }))
            })
            .collect())
    }

    /// The first offset of each partition whose record is at or after that time, in milliseconds;
    /// the end offset where there is none.
    ///
    /// # Errors
    /// From the brokers.
    pub fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        time_ms: i64,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.asked().offsets(partitions, At::Time(time_ms))
    }

    /// The first offset of each partition whose record is at or after its time, in milliseconds; partitions
    /// without one are left out.
    ///
    /// # Errors
    /// From the brokers.
    pub fn first_from(
        &self,
        times: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.asked().first_from(times)
    }

    fn asked(&self) -> Asked<'_, Attentive> {
        Asked {
            consumer: &self.inner.consumer,
            servers: &self.inner.servers,
            timeout: self.inner.timeout,
        }
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.inner.timeout))
            .operation_timeout(Some(self.inner.timeout))
    }

    /// The error with what librdkafka has to say, which lies in the consumer's queue until it is taken.
    fn explained(&self, error: Error) -> Error {
        for _ in 0..EVENTS_MAX {
            if self.inner.consumer.poll(HEARD_FOR).is_none() {
                break;
            }
        }
        error.because(self.inner.consumer.context().turned_away())
    }

    fn error(&self, operation: String, source: KafkaError) -> Error {
        self.explained(Error::of(operation, &self.inner.servers, source))
    }

    fn metadata(&self, operation: &str) -> Result<Metadata> {
        self.inner
            .consumer
            .fetch_metadata(None, self.inner.timeout)
            .map_err(|source| self.error(operation.to_owned(), source))
    }

    fn create(&self, spec: &TopicSpec, brokers: usize) -> Result<TopicOutcome> {
        let settings = spec.settings_for(brokers);
        let replication = TopicReplication::Fixed(spec.replication_for(brokers));
        let mut topic = NewTopic::new(&spec.name, spec.partitions, replication);
        for (key, value) in &settings {
            topic = topic.set(key, value);
        }
        let operation = || format!("create the topic {}", spec.name);
        let answer = block_on(self.inner.client.create_topics([&topic], &self.options()))
            .map_err(|source| self.error(operation(), source))?;
        match answer.into_iter().next() {
            // Another instance was faster.
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(TopicOutcome::Existed),
            Some(Err((_, code))) => Err(self.error(operation(), KafkaError::AdminOp(code))),
            Some(Ok(_)) | None => Ok(TopicOutcome::Created),
        }
    }

    fn wait_for_leaders(&self, specs: &[TopicSpec]) -> Result<()> {
        let deadline = Instant::now() + self.inner.timeout;
        loop {
            let metadata = self.metadata("wait for the new topics' leaders")?;
            let led = |spec: &&TopicSpec| {
                let found = metadata
                    .topics()
                    .iter()
                    .find(|topic| topic.name() == spec.name);
                found.is_some_and(|topic| {
                    let partitions = topic.partitions();
                    !partitions.is_empty() && partitions.iter().all(|one| one.leader() >= 0)
                })
            };
            let Some(waiting) = specs.iter().find(|spec| !led(spec)) else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                let operation = format!("wait for the leaders of {}", waiting.name);
                let code = RDKafkaErrorCode::LeaderNotAvailable;
                return Err(self.error(operation, KafkaError::MetadataFetch(code)));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn settings_of(&self, names: &[&str]) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
        let mut found = BTreeMap::new();
        for name in names {
            let operation = || format!("describe the settings of {name}");
            let resource = [ResourceSpecifier::Topic(name)];
            let answer = block_on(
                self.inner
                    .client
                    .describe_configs(&resource, &self.options()),
            )
            .map_err(|source| self.error(operation(), source))?;
            for resource in answer {
                let resource =
                    resource.map_err(|code| self.error(operation(), KafkaError::AdminOp(code)))?;
                let entries = resource.entries.into_iter();
                let settings = entries.filter_map(|entry| Some((entry.name, entry.value?)));
                found.insert((*name).to_owned(), settings.collect());
            }
        }
        Ok(found)
    }
}

fn names_of(metadata: &Metadata) -> BTreeSet<String> {
    metadata
        .topics()
        .iter()
        .map(|topic| topic.name().to_owned())
        .collect()
}

fn partitions_of(topic: &MetadataTopic) -> Vec<PartitionDescription> {
    let mut partitions: Vec<PartitionDescription> = topic
        .partitions()
        .iter()
        .map(|partition| PartitionDescription {
            id: partition.id(),
            leader: (partition.leader() >= 0).then(|| partition.leader()),
            replicas: partition.replicas().to_vec(),
            in_sync: partition.isr().to_vec(),
        })
        .collect();
    partitions.sort_unstable_by_key(|partition| partition.id);
    partitions
}
