//! The lanes as a verification reads them, over Kafka.

use licenseflow_avro::{Coordinates, Position, RawRecord, Topics};
use licenseflow_kafka::{LaneRecords, lane_records_at};
use licenseflow_projector::Result;
use licenseflow_projector::verify::{Lanes, Records};
use licenseflow_runtime::log::KafkaSettings;
use std::time::Duration;

/// How long the brokers may stand still.
const PATIENCE: Duration = Duration::from_secs(30);

/// Both lanes under their prefix.
pub(crate) struct LanesOverKafka {
    pub(crate) settings: KafkaSettings,
    pub(crate) topics: Topics,
}

impl Lanes for LanesOverKafka {
    fn between(&self, from: &Position, to: &Position) -> Result<Records<'_>> {
        let records = LaneRecords::between(&self.settings, &self.topics, from, to, PATIENCE)?;
        Ok(Box::new(records))
    }

    fn at(&self, places: &[Coordinates]) -> Result<Vec<RawRecord>> {
        Ok(lane_records_at(
            &self.settings,
            &self.topics,
            places,
            PATIENCE,
        )?)
    }
}
