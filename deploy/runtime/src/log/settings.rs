//! librdkafka's keys, all of them here, so that one test pins them.
//!
//! What a user passes with `-X key=value` is applied last; which keys are refused there, and why, is
//! in `overrides`.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::overrides::refusal;
use super::{Error, Result};

/// Larger than any record that our topics take (4 MiB with headers, in retry and dead letters).
pub(super) const MESSAGE_BYTES_MAX: u32 = 6 * 1024 * 1024;
/// The largest message that librdkafka takes, uncompressed.
const WRITER_BYTES_MAX: u32 = 1_000_000_000;
/// Under the HTTP service's 20 s, so that the intake can still say what became of an event.
const DELIVERY_TIMEOUT_MS: u32 = 15_000;
/// What no member may say by the newer protocol of groups.
const BROKERS_OWN: [&str; 2] = ["session.timeout.ms", "heartbeat.interval.ms"];

/// By which protocol a group shares its partitions out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum GroupProtocol {
    /// The members agree, cooperatively: every broker knows it.
    #[default]
    Classic,
    /// The broker decides (KIP-848): Kafka 4.0 and later. Session and heartbeat are the broker's settings.
    Consumer,
}

/// How to reach Kafka: the same for every client of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, several joined by commas.
    pub bootstrap_servers: String,
    /// Service and instance, as brokers' logs and quotas show it.
    pub client_id: String,
    /// Any other librdkafka key, TLS and SASL among them.
    pub overrides: BTreeMap<String, String>,
    /// How groups are joined.
    pub group_protocol: GroupProtocol,
}

/// Whether a consumer is told that it reached the end of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionEof {
    /// `KafkaError::PartitionEOF` comes out of the consumer.
    Reported,
    /// It does not.
    Silent,
}

/// What differs from one consumer to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// The consumer group.
    pub group: String,
    /// The static member's name; none for a dynamic member.
    pub group_instance: Option<String>,
    /// How the group is joined; whoever joins none has the classic one.
    pub group_protocol: GroupProtocol,
    /// The ceiling of librdkafka's own queues, over all partitions, in KiB.
    pub queued_kbytes_max: u32,
    /// The most that one fetch brings, over all partitions, in bytes: it comes on top of the queues.
    pub fetch_bytes_max: u32,
    /// Whether the end of a partition is reported.
    pub partition_eof: PartitionEof,
    /// How often librdkafka gives its statistics; none for never.
    pub statistics_interval: Option<Duration>,
}

impl ConsumerSettings {
    /// A dynamic member with 64 MiB of queues and fetches of 16 MiB, without statistics.
    pub fn new(group: impl Into<String>) -> ConsumerSettings {
        ConsumerSettings {
            group: group.into(),
            group_instance: None,
            group_protocol: GroupProtocol::Classic,
            queued_kbytes_max: 64 * 1024,
            fetch_bytes_max: 16 * 1024 * 1024,
            partition_eof: PartitionEof::Silent,
            statistics_interval: None,
        }
    }
}

impl KafkaSettings {
    /// Settings without overrides.
    pub fn new(
        bootstrap_servers: impl Into<String>,
        client_id: impl Into<String>,
    ) -> KafkaSettings {
        KafkaSettings {
            bootstrap_servers: bootstrap_servers.into(),
            client_id: client_id.into(),
            overrides: BTreeMap::new(),
            group_protocol: GroupProtocol::default(),
        }
    }

    /// The same brokers under another client id.
    pub fn named(&self, client_id: impl Into<String>) -> KafkaSettings {
        KafkaSettings {
            client_id: client_id.into(),
            ..self.clone()
        }
    }

    /// Refuses overrides that would break a promise; called by every function that gives a config,
    /// and by the configuration at start, so that the answer comes before any client is made.
    ///
    /// # Errors
    /// [`Error::Refused`] with the key and the reason.
    pub fn check_overrides(&self) -> Result<()> {
        for (key, value) in &self.overrides {
            if let Some(reason) = refusal(key, value) {
                let (key, value) = (key.clone(), value.clone());
                return Err(Error::Refused { key, value, reason });
            }
        }
        Ok(())
    }

    /// Refuses overrides of what is the broker's to say by the newer protocol.
    fn check_brokers_own(&self) -> Result<()> {
        let found = BROKERS_OWN
            .iter()
            .find_map(|key| self.overrides.get_key_value(*key));
        match found {
            None => Ok(()),
            Some((key, value)) => Err(Error::Refused {
                key: key.clone(),
                value: value.clone(),
                reason: "the broker says it where the group's protocol is consumer",
            }),
        }
    }

    /// The base of every client: addresses, names, reconnection, and the overrides.
    ///
    /// # Errors
    /// [`Error::Refused`] for an override that is ours to set.
    pub fn client_config(&self) -> Result<ClientConfig> {
        self.finished(self.base())
    }

    /// The idempotent producer.
    ///
    /// # Errors
    /// [`Error::Refused`] for an override that is ours to set.
    pub fn producer_config(&self) -> Result<ClientConfig> {
        self.finished(self.producer_base())
    }

    /// A transactional producer: the newest one with an id fences all earlier ones.
    ///
    /// # Errors
    /// [`Error::Refused`] for an override that is ours to set.
    pub fn transactional_config(&self, transactional_id: &str) -> Result<ClientConfig> {
        let mut config = self.producer_base();
        config.set("transactional.id", transactional_id);
        // A writer that died in the middle must not hold readers back for long.
        config.set("transaction.timeout.ms", DELIVERY_TIMEOUT_MS.to_string());
        self.finished(config)
    }

    /// The producer that writes records as they are, each into its place: nothing may be left out before what
    /// comes behind it, so a record is waited for without end, and one that is refused ends the producer.
    ///
    /// # Errors
    /// [`Error::Refused`] for an override that is ours to set.
    pub(crate) fn writer_config(&self) -> Result<ClientConfig> {
        let mut config = self.producer_base();
        config
            .set("compression.type", "zstd")
            .set("linger.ms", "20");
        let mut config = self.finished(config)?;
        // Last: no override for the publishing of events may open a gap.
        config
            .set("enable.gapless.guarantee", "true")
            .set("delivery.timeout.ms", "0")
            // What once came compressed into a topic may be larger than what we take.
            .set("message.max.bytes", WRITER_BYTES_MAX.to_string());
        Ok(config)
    }

    /// A member of a consumer group.
    ///
    /// # Errors
    /// [`Error::Refused`] for an override that is ours to set.
    pub fn consumer_config(&self, consumer: &ConsumerSettings) -> Result<ClientConfig> {
        let mut config = self.base();
        config
            .set("group.id", &consumer.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("allow.auto.create.topics", "false")
            .set("check.crcs", "true")
            .set("fetch.message.max.bytes", MESSAGE_BYTES_MAX.to_string())
            .set(
                "queued.max.messages.kbytes",
                consumer.queued_kbytes_max.to_string(),
            )
            .set("fetch.max.bytes", consumer.fetch_bytes_max.to_string())
            .set("fetch.error.backoff.ms", "100")
            // A queue that was full is emptied in less than the second that librdkafka waits.
            .set("fetch.queue.backoff.ms", "50")
            // Partitions that are added are taken up within half a minute, not five.
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set(
                "enable.partition.eof",
                match consumer.partition_eof {
                    PartitionEof::Reported => "true",
                    PartitionEof::Silent => "false",
                },
            );
        match consumer.group_protocol {
            GroupProtocol::Classic => config
                .set("group.protocol", "classic")
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", "10000")
                .set("heartbeat.interval.ms", "2000"),
            // Strategy and timeouts are the broker's: librdkafka takes no word of ours about them.
            GroupProtocol::Consumer => {
                self.check_brokers_own()?;
                config.set("group.protocol", "consumer")
            }
        };
        if let Some(instance) = &consumer.group_instance {
            config.set("group.instance.id", instance);
        }
        if let Some(interval) = consumer.statistics_interval {
            config.set("statistics.interval.ms", interval.as_millis().to_string());
        }
        self.finished(config)
    }

    /// A consumer that is in no group: `assign` wants a `group.id`, but nothing ever joins it.
    pub(crate) fn reader_config(&self, partition_eof: PartitionEof) -> Result<ClientConfig> {
        let mut consumer = ConsumerSettings::new(format!("{}-reader", self.client_id));
        consumer.partition_eof = partition_eof;
        let mut config = self.consumer_config(&consumer)?;
        // The end of a partition shows as an empty fetch: do not let the broker sit on it.
        config.set("fetch.wait.max.ms", "20");
        Ok(config)
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            .set("socket.keepalive.enable", "true")
            .set("log.connection.close", "false")
            // A broker that is gone without a word is given up after a quarter of a minute, not a whole
            // one: until then nothing is read of the partitions that it led. No delivery waits longer.
            .set("socket.timeout.ms", "15000")
            // A broker that comes back is found again within two seconds, not ten.
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000");
        config
    }

    fn producer_base(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "65536")
            .set("delivery.timeout.ms", DELIVERY_TIMEOUT_MS.to_string())
            .set("linger.ms", "3");
        config
    }

    fn finished(&self, mut config: ClientConfig) -> Result<ClientConfig> {
        self.check_overrides()?;
        for (key, value) in &self.overrides {
            config.set(key, value);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(overrides: &[(&str, &str)]) -> KafkaSettings {
        let mut settings = KafkaSettings::new("broker:9092", "licenseflow");
        for (key, value) in overrides {
            settings
                .overrides
                .insert((*key).to_owned(), (*value).to_owned());
        }
        settings
    }

    fn lines(config: &ClientConfig) -> Vec<String> {
        let map: BTreeMap<_, _> = config.config_map().into_iter().collect();
        map.iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }

    const BASE: &[&str] = &[
        "bootstrap.servers=broker:9092",
        "client.id=licenseflow",
        "log.connection.close=false",
        "reconnect.backoff.max.ms=2000",
        "reconnect.backoff.ms=100",
        "socket.keepalive.enable=true",
        "socket.timeout.ms=15000",
    ];

    fn with_base(own: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = BASE
            .iter()
            .chain(own)
            .map(|line| (*line).to_owned())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn the_keys_of_every_client_are_these() {
        assert_eq!(
            with_base(&[]),
            lines(&settings(&[]).client_config().unwrap())
        );
    }

    #[test]
    fn the_keys_of_the_producer_are_these() {
        let own = [
            "acks=all",
            "compression.type=lz4",
            "delivery.timeout.ms=15000",
            "enable.idempotence=true",
            "linger.ms=3",
            "message.max.bytes=6291456",
            "partitioner=murmur2_random",
            "queue.buffering.max.kbytes=65536",
            "queue.buffering.max.messages=100000",
        ];
        assert_eq!(
            with_base(&own),
            lines(&settings(&[]).producer_config().unwrap())
        );
    }

    #[test]
    fn whoever_writes_records_as_they_are_leaves_no_gap_whatever_is_overridden() {
        let config = settings(&[("delivery.timeout.ms", "5000")]);
        let config = config.writer_config().unwrap();
        for (key, value) in [
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("enable.gapless.guarantee", "true"),
            ("delivery.timeout.ms", "0"),
            ("message.max.bytes", "1000000000"),
        ] {
            assert_eq!(Some(value), config.get(key), "{key}");
        }
    }

    #[test]
    fn the_keys_of_the_consumer_are_these() {
        let mut consumer = ConsumerSettings::new("licenseflow-projector");
        consumer.group_instance = Some("host-0".into());
        let own = [
            "allow.auto.create.topics=false",
            "auto.offset.reset=error",
            "check.crcs=true",
            "enable.auto.commit=false",
            "enable.auto.offset.store=false",
            "enable.partition.eof=false",
            "fetch.error.backoff.ms=100",
            "fetch.max.bytes=16777216",
            "fetch.message.max.bytes=6291456",
            "fetch.queue.backoff.ms=50",
            "group.id=licenseflow-projector",
            "group.instance.id=host-0",
            "group.protocol=classic",
            "heartbeat.interval.ms=2000",
            "isolation.level=read_committed",
            "partition.assignment.strategy=cooperative-sticky",
            "queued.max.messages.kbytes=65536",
            "session.timeout.ms=10000",
            "topic.metadata.refresh.interval.ms=30000",
        ];
        assert_eq!(
            with_base(&own),
            lines(&settings(&[]).consumer_config(&consumer).unwrap())
        );
    }

    #[test]
    fn by_the_newer_protocol_session_and_strategy_are_the_brokers() {
        let mut consumer = ConsumerSettings::new("g");
        consumer.group_protocol = GroupProtocol::Consumer;
        let config = settings(&[]).consumer_config(&consumer).unwrap();
        assert_eq!(Some("consumer"), config.get("group.protocol"));
        for key in ["partition.assignment.strategy"].iter().chain(&BROKERS_OWN) {
            assert_eq!(None, config.get(key));
        }
        let told = settings(&[("session.timeout.ms", "6000")]);
        let refused = told.consumer_config(&consumer).unwrap_err().to_string();
        assert!(refused.contains("session.timeout.ms=6000"), "{refused}");
        // Who joins no group has nothing to do with it.
        assert!(told.reader_config(PartitionEof::Silent).is_ok());
    }

    #[test]
    fn librdkafka_accepts_every_client_of_ours() {
        use rdkafka::consumer::BaseConsumer;
        use rdkafka::producer::BaseProducer;
        let settings = settings(&[]);
        let consumer = ConsumerSettings::new("g");
        settings
            .producer_config()
            .unwrap()
            .create::<BaseProducer>()
            .unwrap();
        settings
            .transactional_config("t")
            .unwrap()
            .create::<BaseProducer>()
            .unwrap();
        settings
            .consumer_config(&consumer)
            .unwrap()
            .create::<BaseConsumer>()
            .unwrap();
        settings
            .writer_config()
            .unwrap()
            .create::<BaseProducer>()
            .unwrap();
        let newer = ConsumerSettings {
            group_protocol: GroupProtocol::Consumer,
            ..consumer
        };
        settings
            .consumer_config(&newer)
            .unwrap()
            .create::<BaseConsumer>()
            .unwrap();
        settings
            .reader_config(PartitionEof::Reported)
            .unwrap()
            .create::<BaseConsumer>()
            .unwrap();
    }

    #[test]
    fn an_override_wins_over_our_choice() {
        let config = settings(&[("linger.ms", "50"), ("security.protocol", "SSL")]);
        let config = config.producer_config().unwrap();
        assert_eq!(Some("50"), config.get("linger.ms"));
        assert_eq!(Some("SSL"), config.get("security.protocol"));
    }
}
