//! The producer library: an event goes to its lane, and a receipt comes back once all in-sync replicas
//! have it.
//!
//! It owns the producer, its bounds, and the words for what became of a record that was not
//! acknowledged. It must not know HTTP; librdkafka's settings are the runtime's.

mod breaker;
mod delivery;
mod engine;
mod error;
mod record;

pub use delivery::{Delivery, Receipt};
pub use error::{Outcome, PublishError};
pub use record::{RawRecord, RequestContext};

use std::sync::Arc;
use std::time::Duration;

use licenseflow_avro::topics::MAX_RECORD_BYTES;
use licenseflow_avro::{Lane, LicenseEvent, Topics, codec};
use licenseflow_runtime::log::KafkaSettings;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::FutureRecord;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use uuid::Uuid;

use breaker::Breaker;
use delivery::Wait;
use engine::Engine;
use record::{event_headers, raw_headers};

/// A record takes at least this much of the bound, so that small records are bounded in number too.
const PERMIT_BYTES: usize = 1024;

/// How long a record that finds librdkafka's own queue full waits before it is offered again.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

/// The registry's id of our schema for each lane's subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaIds {
    /// For the interactive lane.
    pub interactive: u32,
    /// For the bulk lane.
    pub bulk: u32,
}

impl SchemaIds {
    /// The id for a lane.
    #[must_use]
    pub fn of(self, lane: Lane) -> u32 {
        match lane {
            Lane::Interactive => self.interactive,
            Lane::Bulk => self.bulk,
        }
    }
}

/// What a publisher is made of.
#[derive(Debug, Clone)]
pub struct PublisherSettings {
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// The topics' names.
    pub topics: Topics,
    /// The schema that events are written in.
    pub schema_ids: SchemaIds,
    /// The most that may be on its way to the brokers at once, in bytes; a record counts for at least
    /// 1 KiB. More waits.
    pub in_flight_bytes_max: usize,
    /// How long a record may wait for room before it is refused, where its request names no deadline.
    pub queue_timeout: Duration,
}

impl PublisherSettings {
    /// Settings with the usual bounds: 48 MiB on their way, 10 s of waiting for room.
    #[must_use]
    pub fn new(kafka: KafkaSettings, topics: Topics, schema_ids: SchemaIds) -> Self {
        Self {
            kafka,
            topics,
            schema_ids,
            in_flight_bytes_max: 48 * 1024 * 1024,
            queue_timeout: Duration::from_secs(10),
        }
    }
}

/// An idempotent producer of license events; clones share it.
#[derive(Clone)]
pub struct Publisher {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    breaker: Arc<Breaker>,
    room: Arc<Semaphore>,
    permits_max: u32,
    interactive: Arc<str>,
    bulk: Arc<str>,
    schema_ids: SchemaIds,
    queue_timeout: Duration,
}

impl Publisher {
    /// Makes the producer; no broker is asked yet.
    ///
    /// # Errors
    /// The settings are refused, by us or by librdkafka.
    pub fn start(settings: PublisherSettings) -> licenseflow_runtime::log::Result<Self> {
        let permits = settings.in_flight_bytes_max.max(2 * MAX_RECORD_BYTES) / PERMIT_BYTES;
        let permits = permits.min(u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        Ok(Self {
            inner: Arc::new(Inner {
                engine: Engine::start(&settings.kafka)?,
                breaker: Arc::new(Breaker::new(Instant::now())),
                room: Arc::new(Semaphore::new(permits)),
                permits_max: permits as u32,
                interactive: settings.topics.lane(Lane::Interactive).into(),
                bulk: settings.topics.lane(Lane::Bulk).into(),
                schema_ids: settings.schema_ids,
                queue_timeout: settings.queue_timeout,
            }),
        })
    }

    /// Publishes one event and waits for its receipt.
    ///
    /// # Errors
    /// What became of it instead; see [`PublishError::outcome`].
    pub async fn publish(
        &self,
        event: &LicenseEvent,
        lane: Lane,
        context: &RequestContext,
    ) -> Result<Receipt, PublishError> {
        self.enqueue(event, lane, context).await?.receipt().await
    }

    /// Publishes many events together; the results stand in the order of the events, and so do the
    /// records of one license in their partition.
    pub async fn publish_all<'a, I>(
        &self,
        events: I,
        lane: Lane,
        context: &RequestContext,
    ) -> Vec<Result<Receipt, PublishError>>
    where
        I: IntoIterator<Item = &'a LicenseEvent>,
    {
        let mut deliveries = Vec::new();
        for event in events {
            deliveries.push(self.enqueue(event, lane, context).await);
        }
        let mut results = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            results.push(match delivery {
                Ok(delivery) => delivery.receipt().await,
                Err(error) => Err(error),
            });
        }
        results
    }

    /// Hands one event to the producer, as soon as there is room. Its receipt is waited for apart, so
    /// that many can be on their way; records of one license keep the order of these calls.
    ///
    /// # Errors
    /// It was refused here, and was never sent.
    pub async fn enqueue(
        &self,
        event: &LicenseEvent,
        lane: Lane,
        context: &RequestContext,
    ) -> Result<Delivery, PublishError> {
        let value = codec::encode(self.inner.schema_ids.of(lane), event);
        let message = Message {
            event_id: event.event_id,
            lane,
            key: Some(event.license_id.as_bytes()),
            value: Some(&value),
            headers: event_headers(event, context),
        };
        self.offer(message, context).await
    }

    /// Hands a record to the producer as it is. For what is no event: the generator's poison.
    ///
    /// # Errors
    /// It was refused here, and was never sent.
    pub async fn enqueue_raw(
        &self,
        record: &RawRecord,
        lane: Lane,
        context: &RequestContext,
    ) -> Result<Delivery, PublishError> {
        let message = Message {
            event_id: Uuid::nil(),
            lane,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: raw_headers(record, context),
        };
        self.offer(message, context).await
    }

    /// Takes nothing more, and gives what is on its way that long to arrive; then gives it up. Every
    /// delivery that is waited for ends.
    pub async fn stop(&self, bound: Duration) {
        self.inner.room.close();
        self.inner.engine.stop(bound).await;
    }

    async fn offer(
        &self,
        message: Message<'_>,
        context: &RequestContext,
    ) -> Result<Delivery, PublishError> {
        let offered_at = Instant::now();
        if !self.inner.breaker.lets_through(offered_at) {
            return Err(PublishError::BrokersAway);
        }
        let room_by = context
            .answer_by
            .unwrap_or_else(|| offered_at + self.inner.queue_timeout);
        let permit = self.room_for(message.size(), room_by).await?;
        let topic = match message.lane {
            Lane::Interactive => &self.inner.interactive,
            Lane::Bulk => &self.inner.bulk,
        };
        let future = self.hand_over(topic, &message, room_by).await?;
        Ok(Delivery::new(
            future,
            permit,
            Wait {
                event_id: message.event_id,
                lane: message.lane,
                topic: Arc::clone(topic),
                answer_by: context.answer_by,
                enqueued_at: Instant::now(),
                breaker: Arc::clone(&self.inner.breaker),
            },
        ))
    }

    async fn room_for(
        &self,
        size: usize,
        room_by: Instant,
    ) -> Result<OwnedSemaphorePermit, PublishError> {
        if size > MAX_RECORD_BYTES {
            return Err(PublishError::TooLarge { bytes: size });
        }
        let permits = (size.div_ceil(PERMIT_BYTES) as u32).clamp(1, self.inner.permits_max);
        let room = Arc::clone(&self.inner.room).acquire_many_owned(permits);
        match tokio::time::timeout_at(room_by, room).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(PublishError::Stopped),
            Err(_elapsed) => Err(PublishError::QueueFull),
        }
    }

    /// Puts a record into librdkafka's queue, waiting while that is full.
    async fn hand_over(
        &self,
        topic: &str,
        message: &Message<'_>,
        room_by: Instant,
    ) -> Result<rdkafka::producer::DeliveryFuture, PublishError> {
        loop {
            let running = self.inner.engine.current()?;
            let mut record = FutureRecord::<[u8], [u8]>::to(topic).headers(message.headers.clone());
            record.key = message.key;
            record.payload = message.value;
            let error = match running.producer.send_result(record) {
                Ok(future) => return Ok(future),
                Err((error, _)) => error,
            };
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                    if Instant::now() >= room_by {
                        return Err(PublishError::QueueFull);
                    }
                    tokio::time::sleep(QUEUE_FULL_PAUSE).await;
                }
                // The next round makes a new producer, or says that it cannot.
                KafkaError::MessageProduction(RDKafkaErrorCode::Fatal) => running.mark_fatal(),
                other => return Err(PublishError::Refused(Box::new(other))),
            }
        }
    }
}

/// A record on its way into the queue.
struct Message<'a> {
    /// Nil for what is no event.
    event_id: Uuid,
    lane: Lane,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: rdkafka::message::OwnedHeaders,
}

impl Message<'_> {
    fn size(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }
}
