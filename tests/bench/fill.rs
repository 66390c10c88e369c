//! Fills the log through the producer library, as the intake does.

use std::collections::VecDeque;
use std::time::Duration;

use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_avro::{Lane, Topics, codec, schema};
use licenseflow_producers::generate::bench_event;
use licenseflow_producers::publish::{Publisher, PublisherSettings, RawRecord, SchemaIds};
use licenseflow_runtime::log::{Admin, KafkaSettings};
use licenseflow_tests::harness::{Platform, Role};

use crate::{Headers, Options, report, sample};

/// How many records are on their way at once.
const ON_THEIR_WAY: usize = 20_000;

/// The log, filled.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) topic: String,
    /// The sum of its partitions' ends.
    pub(crate) offsets: i64,
}

impl Log {
    /// Where nothing is measured that reads it.
    pub(crate) fn none() -> Self {
        Self {
            topic: String::new(),
            offsets: 0,
        }
    }
}

/// Creates the topics, registers the schema, and sends so many events into the lane.
pub(crate) fn fill(
    options: &Options,
    (lane, events): (Lane, u64),
    bootstrap: &str,
    prefix: &str,
) -> anyhow::Result<Log> {
    report::note(&format!("filling the {lane} lane with {events} events"));
    let runtime = tokio::runtime::Runtime::new()?;
    let topics = Topics::new(prefix);
    let kafka = KafkaSettings::new(bootstrap, "bench");
    let schema_ids = runtime.block_on(register(bootstrap, prefix, &topics))?;
    let settings = PublisherSettings::new(kafka.clone(), topics.clone(), schema_ids);
    runtime.block_on(send(options, (lane, events), schema_ids, settings))?;
    let topic = topics.lane(lane);
    let ends = Admin::new(&kafka, Duration::from_secs(30))?.end_offsets(&topic)?;
    Ok(Log {
        topic,
        offsets: ends.values().sum(),
    })
}

/// The platform itself makes the topics and takes the schema, and then leaves.
async fn register(bootstrap: &str, prefix: &str, topics: &Topics) -> anyhow::Result<SchemaIds> {
    let platform = Platform::new(bootstrap, prefix)?;
    let up = platform.start(Role::Up)?;
    let ids = schema_ids(&platform, topics).await?;
    Platform::stop(up)?;
    Ok(ids)
}

/// The ids of our schema at the platform's registry.
pub(crate) async fn schema_ids(platform: &Platform, topics: &Topics) -> anyhow::Result<SchemaIds> {
    let registry = RegistryClient::new(&platform.registry())?;
    let id = async |lane| {
        let subject = topics.subject(lane);
        registry.register(&subject, schema::LICENSE_EVENT).await
    };
    Ok(SchemaIds {
        interactive: id(Lane::Interactive).await?,
        bulk: id(Lane::Bulk).await?,
    })
}

async fn send(
    options: &Options,
    (lane, events): (Lane, u64),
    ids: SchemaIds,
    settings: PublisherSettings,
) -> anyhow::Result<()> {
    let publisher = Publisher::start(settings)?;
    let mut sent = VecDeque::with_capacity(ON_THEIR_WAY);
    for number in 0..events {
        let event = bench_event(number, options.licenses);
        let context = sample::request(number)?;
        let delivery = match options.headers {
            Headers::Intake => publisher.enqueue(&event, lane, &context).await?,
            Headers::Request => {
                let record = RawRecord {
                    key: Some(event.license_id.clone().into_bytes()),
                    value: Some(codec::encode(ids.of(lane), &event)),
                    headers: Vec::new(),
                };
                publisher.enqueue_raw(&record, lane, &context).await?
            }
        };
        sent.push_back(delivery);
        if sent.len() >= ON_THEIR_WAY
            && let Some(oldest) = sent.pop_front()
        {
            oldest.receipt().await?;
        }
    }
    for delivery in sent {
        delivery.receipt().await?;
    }
    publisher.stop(Duration::from_secs(10)).await;
    Ok(())
}
