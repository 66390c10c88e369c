//! The projector's numbers. No ids are labels.

use std::time::Duration;

use licenseflow_avro::{Lane, PartitionId, Reason};
use licenseflow_core::Fate;
use metrics::{
    Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::waiting::Breaker;

const RECORDS: &str = "licenseflow_projector_records_total";
const REJECTED: &str = "licenseflow_projector_rejected_total";
const FAILURES: &str = "licenseflow_projector_failures_total";
const BATCH_RECORDS: &str = "licenseflow_projector_batch_records";
const BATCH_BYTES: &str = "licenseflow_projector_batch_bytes";
const APPLY_SECONDS: &str = "licenseflow_projector_apply_seconds";
const LAST_BATCH: &str = "licenseflow_projector_last_batch_timestamp_seconds";
const LAG: &str = "licenseflow_projector_lag_events";
const BEHIND: &str = "licenseflow_projector_lag_seconds";
const OLDEST: &str = "licenseflow_projector_oldest_waiting_seconds";
const PAUSED: &str = "licenseflow_projector_paused";
const WAITING_RECORDS: &str = "licenseflow_projector_waiting_records";
const WAITING_BYTES: &str = "licenseflow_projector_waiting_bytes";
const ALERT: &str = "licenseflow_projector_alert";
const YIELDING: &str = "licenseflow_projector_bulk_yielding";
const BREAKER: &str = "licenseflow_projector_breaker_state";
const HALTED: &str = "licenseflow_projector_halted_partitions";
const LETTERS_WAITING: &str = "licenseflow_projector_letters_waiting";
const LETTERS_SLOWED: &str = "licenseflow_projector_letters_slowed_partitions";
const LETTERS_SENT: &str = "licenseflow_projector_letters_sent_total";
const RETRIES_WAITING: &str = "licenseflow_projector_retries_waiting";
const RETRIES_SENT: &str = "licenseflow_projector_retries_sent_total";
const LETTERS_LEFT: &str = "licenseflow_projector_letters_left_total";
const GENERATION_BEHIND: &str = "licenseflow_generation_behind_records";

/// Says what each number is; once, before the first is written.
pub fn describe() {
    describe_counter!(
        RECORDS,
        "Records by what became of them: apply, duplicate, retry, hold, reject, halt"
    );
    describe_counter!(REJECTED, "Rejected records by reason");
    describe_counter!(FAILURES, "What went wrong, by where and kind");
    describe_histogram!(
        BATCH_RECORDS,
        "Records of a batch that was handed to the store"
    );
    describe_histogram!(
        BATCH_BYTES,
        Unit::Bytes,
        "Bytes of a batch that was handed to the store, about"
    );
    describe_histogram!(
        APPLY_SECONDS,
        Unit::Seconds,
        "Time to fold and write a batch"
    );
    describe_gauge!(
        LAST_BATCH,
        Unit::Seconds,
        "When the last batch was written, in seconds since 1970"
    );
    describe_gauge!(
        LAG,
        "Offsets between the store's position and the last end that was seen, by lane and partition"
    );
    describe_gauge!(
        BEHIND,
        Unit::Seconds,
        "How long ago a partition was last seen applied up to its end, by lane and partition; 0 while it is"
    );
    describe_gauge!(
        BREAKER,
        "The circuit breaker to the store, by applier: 0 closed, 1 open, 2 asking whether it is back"
    );
    describe_gauge!(HALTED, "Partitions that cannot be read on, by applier");
    describe_gauge!(
        LETTERS_WAITING,
        "Letters that wait to be acknowledged, as far as they were looked at, by applier"
    );
    describe_gauge!(
        RETRIES_WAITING,
        "Records that wait for another try, in all partitions of the store"
    );
    describe_counter!(
        RETRIES_SENT,
        "Records that wait and were acknowledged, by where they were sent: topic, lane"
    );
    describe_gauge!(
        LETTERS_SLOWED,
        "Partitions whose letters are sent more slowly, since one record after the other is rejected, by applier"
    );
    describe_counter!(LETTERS_SENT, "Letters that were acknowledged and marked");
    describe_counter!(
        LETTERS_LEFT,
        "Letters that were tried and are tried again behind the others: refused, unanswered"
    );
    describe_gauge!(
        GENERATION_BEHIND,
        "Offsets that a generation beside the live one is behind that, by generation"
    );
    describe_what_waits();
}

/// How far a generation beside the live one is behind.
pub(crate) fn generation_behind(number: i64, behind: i64) {
    gauge!(GENERATION_BEHIND, "generation" => number.to_string()).set(behind as f64);
}

fn describe_what_waits() {
    describe_gauge!(
        OLDEST,
        Unit::Seconds,
        "Age of the oldest record that was read and is not applied, by the time the broker took it, by applier"
    );
    describe_gauge!(
        PAUSED,
        "1 while partitions are left because the store does not keep up, by applier"
    );
    describe_gauge!(
        WAITING_RECORDS,
        "Records that were read and are not applied, by applier"
    );
    describe_gauge!(
        WAITING_BYTES,
        Unit::Bytes,
        "What they hold, about, by applier"
    );
    describe_gauge!(
        ALERT,
        "1 while a threshold of the configuration is passed, by name (lag, waiting) and applier"
    );
    describe_gauge!(
        YIELDING,
        "1 while records of the bulk lane wait for the interactive one, by applier"
    );
}

pub(crate) fn records(fate: &Fate, count: u64) {
    if count > 0 {
        counter!(RECORDS, "fate" => fate.label()).increment(count);
    }
}

pub(crate) fn rejected(reason: Reason) {
    counter!(REJECTED, "reason" => reason.name()).increment(1);
}

pub(crate) fn failure(place: &'static str, kind: &'static str) {
    counter!(FAILURES, "place" => place, "kind" => kind).increment(1);
}

pub(crate) fn batch(records: usize, bytes: usize) {
    histogram!(BATCH_RECORDS).record(records as f64);
    histogram!(BATCH_BYTES).record(bytes as f64);
}

pub(crate) fn applied(took: Duration, now_ms: i64) {
    histogram!(APPLY_SECONDS).record(took.as_secs_f64());
    gauge!(LAST_BATCH).set(now_ms as f64 / 1000.0);
}

pub(crate) fn lag(lane: Lane, partition: PartitionId, events: i64, behind: Duration) {
    let of = |name| gauge!(name, "lane" => lane.to_string(), "partition" => partition.to_string());
    of(LAG).set(events as f64);
    of(BEHIND).set(behind.as_secs_f64());
}

/// What each loop of a projector says for itself: the label tells them apart.
#[derive(Debug, Clone)]
pub(crate) struct Gauges {
    applier: String,
}

impl Gauges {
    pub(crate) fn of(applier: usize) -> Self {
        Self {
            applier: applier.to_string(),
        }
    }

    pub(crate) fn paused(&self, is_paused: bool) {
        self.gauge(PAUSED).set(f64::from(u8::from(is_paused)));
    }

    /// What was read and is not applied.
    pub(crate) fn waiting(&self, records: usize, bytes: usize) {
        self.gauge(WAITING_RECORDS).set(records as f64);
        self.gauge(WAITING_BYTES).set(bytes as f64);
    }

    pub(crate) fn alert(&self, name: &'static str, is_over: bool) {
        gauge!(ALERT, "name" => name, "applier" => self.applier.clone())
            .set(f64::from(u8::from(is_over)));
    }

    pub(crate) fn yielding(&self, is_yielding: bool) {
        self.gauge(YIELDING).set(f64::from(u8::from(is_yielding)));
    }

    pub(crate) fn breaker(&self, breaker: Breaker) {
        self.gauge(BREAKER).set(match breaker {
            Breaker::Closed => 0.0,
            Breaker::Open => 1.0,
            Breaker::HalfOpen => 2.0,
        });
    }

    pub(crate) fn halted(&self, count: usize) {
        self.gauge(HALTED).set(count as f64);
    }

    /// The age of the oldest record that waits, in milliseconds.
    pub(crate) fn oldest_waiting(&self, age_ms: i64) {
        self.gauge(OLDEST).set(age_ms as f64 / 1000.0);
    }

    pub(crate) fn letters_slowed(&self, partitions: usize) {
        self.gauge(LETTERS_SLOWED).set(partitions as f64);
    }

    pub(crate) fn letters_waiting(&self, count: usize) {
        self.gauge(LETTERS_WAITING).set(count as f64);
    }

    fn gauge(&self, name: &'static str) -> Gauge {
        gauge!(name, "applier" => self.applier.clone())
    }
}

pub(crate) fn letters_sent(count: usize) {
    counter!(LETTERS_SENT).increment(count as u64);
}

pub(crate) fn letters_left(why: &'static str, count: usize) {
    counter!(LETTERS_LEFT, "why" => why).increment(count as u64);
}

/// Records that wait, in the whole store: every projector of it says the same.
pub(crate) fn retries_waiting(count: usize) {
    gauge!(RETRIES_WAITING).set(count as f64);
}

pub(crate) fn retry_sent(to: &'static str) {
    counter!(RETRIES_SENT, "to" => to).increment(1);
}
