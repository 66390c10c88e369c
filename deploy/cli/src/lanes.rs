//! The lanes as the admin API knows them, over Kafka.

use licenseflow_avro::Coordinates;
use licenseflow_avro::causes::chain;
use licenseflow_kafka::{Delivery, Error, KafkaLanes};
use licenseflow_query::{Lanes, LanesAway, Originals, Published, Redriven};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One who asks at a time.
pub(crate) struct LanesOverKafka(Mutex<KafkaLanes>);

impl LanesOverKafka {
    pub(crate) fn new(lanes: KafkaLanes) -> Self {
        Self(Mutex::new(lanes))
    }

    fn lanes(&self) -> MutexGuard<'_, KafkaLanes> {
        // A producer that a panic left behind is asked anew.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes for LanesOverKafka {
    fn originals(&self, at: &[Coordinates]) -> Result<Originals, LanesAway> {
        let read = self.lanes().originals(at).map_err(away)?;
        Ok((read.found, read.left))
    }

    fn publish(
        &self,
        records: Vec<Redriven>,
        within: Duration,
    ) -> Result<Vec<Published>, LanesAway> {
        let records = records
            .into_iter()
            .map(|redriven| licenseflow_kafka::Redriven {
                record: redriven.record,
                reason: redriven.reason,
                attempt: redriven.attempt,
            });
        let records: Vec<_> = records.collect();
        let deliveries = self.lanes().publish(&records, within).map_err(away)?;
        let each = deliveries.into_iter().map(|delivery| match delivery {
            Delivery::Acknowledged => Published::Acknowledged,
            Delivery::Refused(why) => Published::Refused(why),
            Delivery::Unanswered(why) => Published::Unanswered(why),
        });
        Ok(each.collect())
    }
}

fn away(error: Error) -> LanesAway {
    LanesAway { why: chain(&error) }
}
