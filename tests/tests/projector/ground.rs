//! Topics of one test's own on a real Kafka, a store, and what tests do with them.

use std::time::Duration;

use licenseflow_avro::record::Header;
use licenseflow_avro::{Lane, Position, Topics, json};
use licenseflow_kafka::{KafkaLetters, KafkaSource, LanePartition, LaneRecords, SourceSettings};
use licenseflow_projector::verify::verify;
use licenseflow_projector::{Backoff, Handle, Parts, Projector, Retries, Settings, wall_clock};
use licenseflow_runtime::log::{Admin, KafkaSettings, Reader, Start, Stop, TopicSpec};
use licenseflow_tests::harness::{Folder, Kafka, unique_prefix, wait_until};
use rdkafka::message::{Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio_util::sync::CancellationToken;

use crate::events::{self, OneSchema, SKEW_MICROS};
use crate::stand_ins::{Door, Faults};
use licenseflow_tests::chance::Chance;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
pub(crate) const PARTITIONS: i32 = 3;

/// A record's key and value.
pub(crate) type Content<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Topics of one test's own, and a store.
pub(crate) struct Ground {
    pub(crate) topics: Topics,
    pub(crate) settings: KafkaSettings,
    pub(crate) admin: Admin,
    pub(crate) door: Door,
    _folder: Folder,
}

impl Ground {
    pub(crate) fn new() -> Ground {
        let topics = Topics::new(unique_prefix());
        let settings = KafkaSettings::new(Kafka::shared().bootstrap(), "projector-test");
        let admin = Admin::new(&settings, TIMEOUT).unwrap();
        let specs: Vec<TopicSpec> = topics
            .all()
            .into_iter()
            .map(|plan| TopicSpec {
                partitions: if plan.name == topics.dead_letters() {
                    2
                } else {
                    PARTITIONS
                },
                name: plan.name,
                replication: None,
                settings: plan
                    .settings
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), value.clone()))
                    .collect(),
            })
            .collect();
        admin.ensure_topics(&specs).unwrap();
        let folder = Folder::new("projector").unwrap();
        let door = Door::open(folder.path());
        Ground {
            topics,
            settings,
            admin,
            door,
            _folder: folder,
        }
    }

    pub(crate) fn project(&self, group_instance: Option<&str>) -> Handle {
        self.project_with(group_instance, &[])
    }

    pub(crate) fn project_with(
        &self,
        group_instance: Option<&str>,
        overrides: &[(&str, &str)],
    ) -> Handle {
        let mut kafka = self.settings.clone();
        kafka.overrides.extend(
            overrides
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        let source = SourceSettings {
            kafka,
            topics: self.topics.clone(),
            group_instance: group_instance.map(str::to_owned),
            queued_kbytes_max: 8 * 1024,
            fetch_bytes_max: 8 << 20,
            ends_interval: Duration::from_millis(100),
        };
        let parts = Parts {
            source: KafkaSource::start(&source).unwrap(),
            schemas: OneSchema::new(),
            model: self.door.with(Faults::default()),
            letters: KafkaLetters::new(&self.settings, &self.topics).unwrap(),
            clock: wall_clock(),
        };
        let settings = Settings {
            backoff: Backoff {
                first: Duration::from_millis(20),
                cap: Duration::from_millis(200),
            },
            // Tries would lie in the lanes beside what a test writes there, and be counted with it.
            retries: Retries {
                attempts_max: 1,
                ..Retries::default()
            },
            ..Settings::default()
        };
        Projector::start(settings, [parts], &CancellationToken::new()).unwrap()
    }

    pub(crate) fn end(&self) -> Position {
        let of = |lane| {
            let ends = self.admin.end_offsets(&self.topics.lane(lane)).unwrap();
            ends.into_iter()
                .map(move |(name, end)| (lane, name.partition, end))
        };
        of(Lane::Bulk).chain(of(Lane::Interactive)).collect()
    }

    pub(crate) fn wait_for_the_end(&self) {
        let end = self.end();
        let is_there = || self.door.position().covers(&end);
        wait_until("all is applied", DEADLINE, is_there)
            .unwrap_or_else(|error| panic!("{error}: {} of {end}", self.door.position()));
    }

    /// Compares the store with the log, read and folded anew.
    pub(crate) fn compare(&self) -> u64 {
        let stored = self.door.stored();
        let records =
            LaneRecords::below(&self.settings, &self.topics, &stored.position, TIMEOUT).unwrap();
        let report = verify(records, &OneSchema::new(), SKEW_MICROS, &stored, |_| {}).unwrap();
        assert!(report.equal, "{report:?}");
        report.records
    }

    pub(crate) fn producer(&self) -> BaseProducer {
        self.settings.producer_config().unwrap().create().unwrap()
    }

    /// Random records over all partitions, mostly events.
    pub(crate) fn write(&self, chance: &mut Chance, count: usize) {
        let producer = self.producer();
        for _ in 0..count {
            let lane = *chance.pick(&Lane::ALL);
            let partition = chance.below(PARTITIONS as u64) as i32;
            let (key, value) = events::value(chance);
            self.send(
                &producer,
                (lane, partition),
                (key.as_deref(), value.as_deref()),
                &[],
            );
        }
        producer.flush(TIMEOUT).unwrap();
    }

    pub(crate) fn send(
        &self,
        producer: &BaseProducer,
        of: LanePartition,
        (key, value): Content<'_>,
        headers: &[Header],
    ) {
        let topic = self.topics.lane(of.0);
        let mut record = BaseRecord::<[u8], [u8]>::to(&topic).partition(of.1);
        record.key = key;
        record.payload = value;
        record.headers = Some(headers.iter().fold(OwnedHeaders::new(), |all, header| {
            all.insert(KafkaHeader {
                key: &header.name,
                value: header.value.as_deref(),
            })
        }));
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    /// Records of one transaction, one to each partition of the interactive lane.
    pub(crate) fn transact(&self, chance: &mut Chance, is_committed: bool) {
        let id = format!("{}{}", self.topics.prefix(), uuid::Uuid::now_v7());
        let producer: BaseProducer = self
            .settings
            .transactional_config(&id)
            .unwrap()
            .create()
            .unwrap();
        producer.init_transactions(TIMEOUT).unwrap();
        producer.begin_transaction().unwrap();
        for partition in 0..PARTITIONS {
            let value = json::encode(&events::event(chance)).to_string();
            self.send(
                &producer,
                (Lane::Interactive, partition),
                (None, Some(value.as_bytes())),
                &[],
            );
        }
        producer.flush(TIMEOUT).unwrap();
        if is_committed {
            producer.commit_transaction(TIMEOUT).unwrap();
        } else {
            producer.abort_transaction(TIMEOUT).unwrap();
        }
    }

    pub(crate) fn letters(&self) -> Vec<licenseflow_runtime::log::Record> {
        let topic = self.topics.dead_letters();
        let mut reader = Reader::open(
            &self.settings,
            &[&topic],
            &Start::Beginning,
            Stop::AtEnd,
            TIMEOUT,
        )
        .unwrap();
        let mut letters = Vec::new();
        reader
            .drain(|record| {
                letters.push(record);
                Ok::<(), licenseflow_runtime::log::Error>(())
            })
            .unwrap();
        letters
    }
}

pub(crate) fn stop(handle: Handle) {
    handle.stop();
    handle.join().unwrap();
}
