//! A record on its way, and the receipt at its end.

use std::sync::Arc;

use licenseflow_avro::{Lane, Offset, PartitionId, Position};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::DeliveryFuture;
use serde::{Serialize, Serializer};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use uuid::Uuid;

use super::breaker::Breaker;
use super::error::PublishError;
use crate::metrics;

/// Where an event lies in the log, once all in-sync replicas have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The event; nil for a raw record.
    pub event_id: Uuid,
    /// The lane's topic.
    #[serde(serialize_with = "as_text")]
    pub topic: Arc<str>,
    /// The partition.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
    /// The lane.
    #[serde(skip)]
    pub lane: Lane,
}

impl Receipt {
    /// The position that covers all of these receipts.
    pub fn position<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> Position {
        let mut position = Position::default();
        for receipt in receipts {
            position.raise(receipt.lane, receipt.partition, receipt.offset + 1);
        }
        position
    }
}

/// A record on its way to the brokers. Dropping it gives up the receipt, not the record.
#[must_use = "the record is on its way, but only its receipt says that it has arrived"]
pub struct Delivery {
    future: DeliveryFuture,
    _permit: OwnedSemaphorePermit,
    wait: Wait,
}

/// What is known of a record while it is waited for.
pub(super) struct Wait {
    pub(super) event_id: Uuid,
    pub(super) lane: Lane,
    pub(super) topic: Arc<str>,
    pub(super) answer_by: Option<Instant>,
    pub(super) enqueued_at: Instant,
    pub(super) breaker: Arc<Breaker>,
}

impl Delivery {
    pub(super) fn new(future: DeliveryFuture, permit: OwnedSemaphorePermit, wait: Wait) -> Self {
        metrics::record_enqueued();
        Self {
            future,
            _permit: permit,
            wait,
        }
    }

    /// Waits for the acknowledgement of all in-sync replicas.
    ///
    /// # Errors
    /// There was none; see [`PublishError::outcome`].
    pub async fn receipt(mut self) -> Result<Receipt, PublishError> {
        let delivered = match self.wait.answer_by {
            None => (&mut self.future).await,
            Some(answer_by) => {
                let Ok(delivered) = tokio::time::timeout_at(answer_by, &mut self.future).await
                else {
                    return self.failed(PublishError::TooLate);
                };
                delivered
            }
        };
        match delivered {
            Ok(Ok(delivery)) => {
                let now = Instant::now();
                self.wait.breaker.acknowledged(now);
                metrics::record_acknowledged(self.wait.lane, now - self.wait.enqueued_at);
                Ok(Receipt {
                    event_id: self.wait.event_id,
                    topic: Arc::clone(&self.wait.topic),
                    partition: delivery.partition,
                    offset: delivery.offset,
                    lane: self.wait.lane,
                })
            }
            Ok(Err((error, _))) => self.failed(PublishError::of_delivery(error)),
            Err(_canceled) => self.failed(PublishError::of_delivery(
                KafkaError::MessageProduction(RDKafkaErrorCode::PurgeInflight),
            )),
        }
    }

    fn failed(&self, error: PublishError) -> Result<Receipt, PublishError> {
        if timed_out(&error) {
            self.wait
                .breaker
                .timed_out(self.wait.enqueued_at, Instant::now());
        }
        metrics::record_failed(self.wait.lane, &error);
        Err(error)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        metrics::record_left();
    }
}

fn as_text<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

fn timed_out(error: &PublishError) -> bool {
    match error {
        PublishError::TooLate => true,
        PublishError::Unacknowledged(error) => {
            error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut)
        }
        PublishError::TooLarge { .. }
        | PublishError::QueueFull
        | PublishError::BrokersAway
        | PublishError::Stopped
        | PublishError::Refused(_)
        | PublishError::NoProducer => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_of_receipts_is_the_offset_after_the_last_of_each_partition() {
        let receipt = |lane, partition, offset| Receipt {
            event_id: Uuid::nil(),
            topic: "t".into(),
            partition,
            offset,
            lane,
        };
        let receipts = [
            receipt(Lane::Interactive, 0, 41),
            receipt(Lane::Interactive, 0, 40),
            receipt(Lane::Interactive, 7, 2),
            receipt(Lane::Bulk, 2, 8),
        ];
        assert_eq!(
            Receipt::position(&receipts).to_string(),
            "e:0:42,e:7:3,b:2:9"
        );
    }
}
