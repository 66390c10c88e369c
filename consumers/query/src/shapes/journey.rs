//! One record on the way of a request: received, produced, applied, dead-lettered, and the
//! milliseconds between.

use licenseflow_core::contract::Topics;
use licenseflow_store::lookup::{JourneyOutcome, JourneyStep};
use serde_json::{Value, json};

use super::time_ms;

pub(crate) fn step(step: &JourneyStep, topics: &Topics) -> Value {
    let (received_at, produced_at, applied_at) =
        (step.received_at, step.at.timestamp, step.applied_at);
    let (rejected, dead_lettered_at) = rejection(&step.outcome);
    let (license_id, event_id, kind) = match &step.said {
        Some((license_id, event_id, kind)) => (
            Some(license_id),
            Some(event_id.hyphenated().to_string()),
            Some(kind.name()),
        ),
        None => (None, None, None),
    };
    json!({
        "topic": topics.lane(step.at.lane),
        "partition": step.at.partition,
        "offset": step.at.offset,
        "license_id": license_id,
        "event_id": event_id,
        "type": kind,
        "outcome": outcome(&step.outcome),
        "rejected": rejected,
        "received_at": received_at.map(time_ms),
        "produced_at": time_ms(produced_at),
        "applied_at": time_ms(applied_at),
        "batch": step.batch,
        "dead_lettered_at": dead_lettered_at.map(time_ms),
        "milliseconds": {
            "received_to_produced": received_at.map(|at| produced_at.saturating_sub(at)),
            "produced_to_applied": applied_at.saturating_sub(produced_at),
            "received_to_applied": received_at.map(|at| applied_at.saturating_sub(at)),
            "applied_to_dead_lettered": dead_lettered_at.map(|at| at.saturating_sub(applied_at)),
        },
    })
}

fn outcome(outcome: &JourneyOutcome) -> &'static str {
    match outcome {
        JourneyOutcome::Applied => "applied",
        JourneyOutcome::Heartbeat => "heartbeat",
        JourneyOutcome::Duplicate => "duplicate",
        JourneyOutcome::Rejected { .. } => "rejected",
    }
}

fn rejection(outcome: &JourneyOutcome) -> (Option<Value>, Option<i64>) {
    match outcome {
        JourneyOutcome::Applied | JourneyOutcome::Heartbeat | JourneyOutcome::Duplicate => {
            (None, None)
        }
        JourneyOutcome::Rejected {
            reason,
            error,
            dead_lettered_at,
        } => {
            let words = json!({ "reason": reason.name(), "error": error });
            (Some(words), *dead_lettered_at)
        }
    }
}
