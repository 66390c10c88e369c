//! Sends a history straight to the brokers, at a rate or as fast as they take it.

use std::collections::VecDeque;
use std::time::Duration;

use licenseflow_avro::{Lane, Position};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Generated;
use crate::publish::{Delivery, PublishError, Publisher, RequestContext};

/// How a history is sent.
#[derive(Debug, Clone)]
pub struct SendGenerated {
    /// The lane.
    pub lane: Lane,
    /// Records a second; none for as fast as they are taken.
    pub rate: Option<f64>,
    /// How many records may be on their way at once.
    pub in_flight_max: usize,
    /// For how long a record is sent again while the brokers do not acknowledge it.
    pub retry_for: Duration,
}

impl SendGenerated {
    /// As fast as they are taken, 20 000 on their way, two minutes of trying again.
    #[must_use]
    pub fn to(lane: Lane) -> Self {
        Self {
            lane,
            rate: None,
            in_flight_max: 20_000,
            retry_for: Duration::from_secs(120),
        }
    }
}

/// Hears how many records were acknowledged so far.
pub trait GenerateProgress: Send {
    /// Called every thousand records and at the end.
    fn advanced(&mut self, acknowledged: u64);
}

/// Sends every record and waits for all acknowledgements, or until `stop` is cancelled; gives the
/// position that covers them and their number.
///
/// # Errors
/// The last answer to a record that was not acknowledged however often it was sent.
#[expect(
    clippy::too_many_arguments,
    reason = "each is another owner's: options say what is wanted, the others who does and hears it"
)]
pub async fn send(
    publisher: &Publisher,
    records: impl Iterator<Item = Generated>,
    options: &SendGenerated,
    context: &RequestContext,
    progress: &mut dyn GenerateProgress,
    stop: &CancellationToken,
) -> Result<(Position, u64), PublishError> {
    let begun = Instant::now();
    let mut run = Run {
        publisher,
        options,
        context,
        in_flight: VecDeque::new(),
        position: Position::default(),
        acknowledged: 0,
    };
    for (number, record) in records.enumerate() {
        if let Some(rate) = options.rate.filter(|rate| *rate > 0.0) {
            let due = begun + Duration::from_secs_f64(number as f64 / rate);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(due) => {}
            }
        }
        if stop.is_cancelled() {
            break;
        }
        let sent = run.enqueue(&record).await;
        run.in_flight.push_back((record, sent));
        while run.in_flight.len() > options.in_flight_max {
            run.settle_first(progress).await?;
        }
    }
    while !run.in_flight.is_empty() {
        run.settle_first(progress).await?;
    }
    progress.advanced(run.acknowledged);
    Ok((run.position, run.acknowledged))
}

struct Run<'a> {
    publisher: &'a Publisher,
    options: &'a SendGenerated,
    context: &'a RequestContext,
    in_flight: VecDeque<(Generated, Result<Delivery, PublishError>)>,
    position: Position,
    acknowledged: u64,
}

impl Run<'_> {
    async fn enqueue(&self, record: &Generated) -> Result<Delivery, PublishError> {
        let lane = self.options.lane;
        match record {
            Generated::Event(event) => self.publisher.enqueue(event, lane, self.context).await,
            Generated::Raw(raw) => self.publisher.enqueue_raw(raw, lane, self.context).await,
        }
    }

    async fn settle_first(
        &mut self,
        progress: &mut dyn GenerateProgress,
    ) -> Result<(), PublishError> {
        let Some((record, mut sent)) = self.in_flight.pop_front() else {
            return Ok(());
        };
        let give_up_at = Instant::now() + self.options.retry_for;
        let receipt = loop {
            let answer = match sent {
                Ok(delivery) => delivery.receipt().await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(receipt) => break receipt,
                Err(error) if !error.may_pass() || Instant::now() >= give_up_at => {
                    return Err(error);
                }
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    sent = self.enqueue(&record).await;
                }
            }
        };
        self.position
            .raise(receipt.lane, receipt.partition, receipt.offset + 1);
        self.acknowledged += 1;
        if self.acknowledged.is_multiple_of(1000) {
            progress.advanced(self.acknowledged);
        }
        Ok(())
    }
}
