//! One record on the way of a request: received, produced, applied, dead-lettered, and the
//! milliseconds between.

use licenseflow_core::contract::{Offset, PartitionId, Topics};
use licenseflow_runtime::http::openapi::words::{EventId, Time};
use licenseflow_store::lookup::{self, JourneyOutcome};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{time_ms, value};
use crate::openapi::{EventType, ReasonName};

/// What became of one record of a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct JourneyStep<'s> {
    /// Where the record lies.
    topic: String,
    #[schema(value_type = i32, minimum = 0)]
    partition: PartitionId,
    #[schema(value_type = i64, minimum = 0)]
    offset: Offset,
    /// The license as the record says it, also where that was at fault; null where it could not be read.
    #[schema(required = true)]
    license_id: Option<&'s str>,
    #[schema(required = true, value_type = Option<EventId>)]
    event_id: Option<String>,
    #[schema(required = true, value_type = Option<EventType>)]
    r#type: Option<&'static str>,
    outcome: RecordOutcome,
    /// Why it was rejected; null: it was not.
    #[schema(required = true)]
    rejected: Option<Rejection<'s>>,
    /// The tries before it, where it is the last of several; null: it is the only one.
    #[schema(required = true)]
    retried: Option<Retried>,
    /// When the intake received it; null: it came another way.
    #[schema(required = true, value_type = Option<Time>)]
    received_at: Option<String>,
    /// The record's time in the log.
    #[schema(value_type = Time)]
    produced_at: String,
    /// When the batch that has it was written.
    #[schema(value_type = Time)]
    applied_at: String,
    /// The number of that batch.
    #[schema(minimum = 0)]
    batch: i64,
    #[schema(required = true, value_type = Option<Time>)]
    dead_lettered_at: Option<String>,
    milliseconds: Milliseconds,
}

/// That a record was tried before: it lay elsewhere first, and could not be judged then.
#[derive(Serialize, ToSchema)]
struct Retried {
    /// Where the first try lay.
    topic: String,
    #[schema(value_type = i32, minimum = 0)]
    partition: PartitionId,
    #[schema(value_type = i64, minimum = 0)]
    offset: Offset,
    /// How many tries there were, this one among them.
    #[schema(minimum = 2)]
    attempts: i64,
    /// Why it waited.
    #[schema(value_type = ReasonName)]
    reason: &'static str,
    /// Since when it waited.
    #[schema(value_type = Time)]
    since: String,
}

/// What a record came to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RecordOutcome {
    /// It is an event of its license.
    Applied,
    /// It told that a device is alive.
    Heartbeat,
    /// Its event was there already.
    Duplicate,
    /// It lies in the dead-letter topic, or will.
    Rejected,
}

/// Why a record was rejected.
#[derive(Serialize, ToSchema)]
struct Rejection<'r> {
    #[schema(value_type = ReasonName)]
    reason: &'static str,
    /// In words, with the field.
    error: &'r str,
}

/// Between the times of a record; clocks of several machines may differ.
#[derive(Serialize, ToSchema)]
struct Milliseconds {
    #[schema(required = true)]
    received_to_produced: Option<i64>,
    produced_to_applied: i64,
    #[schema(required = true)]
    received_to_applied: Option<i64>,
    #[schema(required = true)]
    applied_to_dead_lettered: Option<i64>,
}

pub(crate) fn step(step: &lookup::JourneyStep, topics: &Topics) -> Value {
    let (received_at, produced_at, applied_at) =
        (step.received_at, step.at.timestamp, step.applied_at);
    let (rejected, dead_lettered_at) = rejection(&step.outcome);
    let said = step.said.as_ref();
    value(JourneyStep {
        topic: topics.lane(step.at.lane),
        partition: step.at.partition,
        offset: step.at.offset,
        license_id: said.map(|(license_id, ..)| license_id.as_str()),
        event_id: said.map(|(_, event_id, _)| event_id.hyphenated().to_string()),
        r#type: said.map(|(.., kind)| kind.name()),
        outcome: outcome(&step.outcome),
        rejected,
        retried: step.retried.as_ref().map(|it| retried(it, topics)),
        received_at: received_at.map(time_ms),
        produced_at: time_ms(produced_at),
        applied_at: time_ms(applied_at),
        batch: step.batch,
        dead_lettered_at: dead_lettered_at.map(time_ms),
        milliseconds: Milliseconds {
            received_to_produced: received_at.map(|at| produced_at.saturating_sub(at)),
            produced_to_applied: applied_at.saturating_sub(produced_at),
            received_to_applied: received_at.map(|at| applied_at.saturating_sub(at)),
            applied_to_dead_lettered: dead_lettered_at.map(|at| at.saturating_sub(applied_at)),
        },
    })
}

fn outcome(outcome: &JourneyOutcome) -> RecordOutcome {
    match outcome {
        JourneyOutcome::Applied => RecordOutcome::Applied,
        JourneyOutcome::Heartbeat => RecordOutcome::Heartbeat,
        JourneyOutcome::Duplicate => RecordOutcome::Duplicate,
        JourneyOutcome::Rejected { .. } => RecordOutcome::Rejected,
    }
}

fn retried(retried: &lookup::Retried, topics: &Topics) -> Retried {
    let (lane, partition, offset) = retried.first;
    Retried {
        topic: topics.lane(lane),
        partition,
        offset,
        attempts: retried.attempts,
        reason: retried.reason.name(),
        since: time_ms(retried.since),
    }
}

fn rejection(outcome: &JourneyOutcome) -> (Option<Rejection<'_>>, Option<i64>) {
    match outcome {
        JourneyOutcome::Applied | JourneyOutcome::Heartbeat | JourneyOutcome::Duplicate => {
            (None, None)
        }
        JourneyOutcome::Rejected {
            reason,
            error,
            dead_lettered_at,
        } => {
            let reason = reason.name();
            (Some(Rejection { reason, error }), *dead_lettered_at)
        }
    }
}
