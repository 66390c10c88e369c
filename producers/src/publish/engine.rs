//! The running producer, and its replacement when it breaks for good.
//!
//! librdkafka calls an error fatal when the idempotent producer can no longer promise its order; such a
//! producer never works again, but a new one does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use licenseflow_runtime::log::{ClientLog, Error, KafkaSettings, Result};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, Producer, PurgeConfig};

use super::error::PublishError;
use crate::metrics;

/// A producer that breaks sooner after its start is not made anew at once: its successor would break too.
const LIFE_MIN: Duration = Duration::from_secs(1);

/// How long the reports of records that were given up may take.
const PURGE_TIME: Duration = Duration::from_secs(1);

pub(super) struct Engine {
    config: ClientConfig,
    running: Mutex<Arc<Running>>,
}

/// One producer, until it breaks.
pub(super) struct Running {
    pub(super) producer: FutureProducer<Watch>,
    is_fatal: Arc<AtomicBool>,
    started_at: Instant,
}

impl Running {
    fn start(config: &ClientConfig) -> Result<Arc<Self>> {
        let is_fatal = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            is_fatal: Arc::clone(&is_fatal),
        };
        let producer = config.create_with_context(watch).map_err(Error::client)?;
        Ok(Arc::new(Self {
            producer,
            is_fatal,
            started_at: Instant::now(),
        }))
    }

    pub(super) fn mark_fatal(&self) {
        self.is_fatal.store(true, Ordering::Release);
    }
}

impl Engine {
    pub(super) fn start(kafka: &KafkaSettings) -> Result<Self> {
        let config = kafka.producer_config()?;
        let running = Mutex::new(Running::start(&config)?);
        Ok(Self { config, running })
    }

    /// The producer to send with: a new one if the last has broken.
    pub(super) fn current(&self) -> std::result::Result<Arc<Running>, PublishError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_fatal.load(Ordering::Acquire) {
            if running.started_at.elapsed() < LIFE_MIN {
                return Err(PublishError::NoProducer);
            }
            let next = Running::start(&self.config).map_err(|error| {
                tracing::error!(%error, "the producer broke and no new one can be made");
                PublishError::NoProducer
            })?;
            let broken = std::mem::replace(&mut *running, next);
            metrics::producer_rebuilt();
            tracing::warn!("the producer broke for good: a new one goes on");
            // What it still holds is given up, which takes a moment.
            tokio::task::spawn_blocking(move || give_up(&broken));
        }
        Ok(Arc::clone(&running))
    }

    /// Waits until everything has arrived, at most that long, and gives the rest up.
    pub(super) async fn stop(&self, bound: Duration) {
        let running = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&running)
        };
        let flushed = tokio::task::spawn_blocking(move || {
            let flushed = running.producer.flush(bound);
            give_up(&running);
            flushed
        });
        match flushed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "not everything on its way has arrived"),
            Err(error) => tracing::error!(%error, "the last events could not be waited for"),
        }
    }
}

fn give_up(running: &Running) {
    running
        .producer
        .purge(PurgeConfig::default().queue().inflight());
    // Reports of purged records come at once; where they do not, dropping the producer ends the waits.
    let _ = running.producer.flush(PURGE_TIME);
}

/// Hears when a producer breaks for good.
pub(super) struct Watch {
    is_fatal: Arc<AtomicBool>,
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        ClientLog::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.is_fatal.store(true, Ordering::Release);
        }
        ClientLog::trouble(&error, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_producer_that_broke_is_replaced_but_not_one_that_breaks_at_once() {
        // Nobody listens there, and nobody is asked.
        let kafka = KafkaSettings::new("127.0.0.1:1", "engine-test");
        let engine = Engine::start(&kafka).unwrap();
        let first = engine.current().unwrap();
        first.mark_fatal();
        assert!(matches!(engine.current(), Err(PublishError::NoProducer)));
        while first.started_at.elapsed() < LIFE_MIN {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let second = engine.current().unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &engine.current().unwrap()));
    }
}
