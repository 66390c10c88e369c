//! What generations beside the live one are built with: the lanes, read in no group, and the schemas.

use licenseflow_avro::registry_client::{BlockingSchemas, RegistryClient};
use licenseflow_avro::{Lane, Topics};
use licenseflow_kafka::{KafkaSource, LanePartition, SourceSettings};
use licenseflow_projector::replay::Means;
use licenseflow_projector::{Error, Result, Shares};
use licenseflow_runtime::log::{Admin, KafkaSettings};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long the brokers may take to say which partitions there are.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(15);

/// The lanes and the registry.
pub(crate) struct OverKafka {
    admin: Admin,
    source: SourceSettings,
    schemas: RegistryClient,
    runtime: Handle,
}

impl OverKafka {
    pub(crate) fn new(
        kafka: KafkaSettings,
        topics: &Topics,
        shares: Shares,
        ends_interval: Duration,
        schemas: RegistryClient,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            admin: Admin::new(&kafka, ADMIN_TIMEOUT)?,
            source: SourceSettings {
                kafka,
                topics: topics.clone(),
                group_instance: None,
                queued_kbytes_max: shares.queued_kbytes,
                fetch_bytes_max: shares.fetch_bytes,
                ends_interval,
            },
            schemas,
            runtime: Handle::current(),
        })
    }
}

impl Means for OverKafka {
    type Source = KafkaSource;
    type Schemas = BlockingSchemas;

    fn partitions(&self) -> Result<Vec<LanePartition>> {
        let mut all = Vec::new();
        for lane in Lane::ALL {
            let topic = self.source.topics.lane(lane);
            let found = self.admin.partitions(&topic);
            let found = found.map_err(|error| Error::Log(error.into()))?;
            all.extend(found.iter().map(|it| (lane, it.partition)));
        }
        Ok(all)
    }

    fn source(&self, partitions: Vec<LanePartition>) -> Result<KafkaSource> {
        Ok(KafkaSource::alone(&self.source, partitions)?)
    }

    fn schemas(&self) -> BlockingSchemas {
        self.schemas.blocking(self.runtime.clone())
    }
}
