//! A bare librdkafka consumer with the projector's own fetch settings: it counts bytes and does no more.

use std::time::{Duration, Instant};

use licenseflow_avro::topics::PARTITIONS;
use licenseflow_runtime::log::{ConsumerSettings, KafkaSettings};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::Options;
use crate::meter::{Measured, cpu_seconds, peak_bytes};

/// Reads the topic from its beginning; timed from its first record to its last.
pub(crate) fn read(options: &Options) -> anyhow::Result<Measured> {
    let shares = options.shares();
    let mut settings = ConsumerSettings::new("bench-bare");
    settings.queued_kbytes_max = shares.queued_kbytes;
    settings.fetch_bytes_max = shares.fetch_bytes;
    let kafka = KafkaSettings::new(&options.bootstrap, "bench-bare");
    let consumer: BaseConsumer = kafka.consumer_config(&settings)?.create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(&options.topic, partition, Offset::Offset(0))?;
    }
    let cpu_before = cpu_seconds("self")?;
    consumer.assign(&list)?;
    let (mut events, mut bytes) = (0, 0);
    let mut begun = None;
    while events < options.events {
        let Some(message) = consumer.poll(Duration::from_secs(1)) else {
            continue;
        };
        let message = message?;
        begun.get_or_insert_with(Instant::now);
        events += 1;
        bytes += (message.key_len() + message.payload_len()) as u64;
    }
    Ok(Measured {
        events,
        bytes,
        seconds: begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64()),
        cpu_seconds: cpu_seconds("self")? - cpu_before,
        peak_bytes: peak_bytes("self")?,
    })
}
