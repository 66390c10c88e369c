//! Where the read model stands: position and digest of one snapshot, and the lag of each partition.

use axum::extract::State;
use axum::http::Uri;
use licenseflow_core::contract::Topics;
use licenseflow_store::lookup::PartitionFreshness;
use serde_json::{Value, json};

use super::Answered;
use crate::answer::Answer;
use crate::links::{self, Links};
use crate::params::Params;
use crate::state::QueryState;

/// `GET /v1/position`
pub(super) async fn position(State(state): State<QueryState>, uri: Uri) -> Answered {
    Params::of(&uri, &[])?;
    let read = state
        .store
        .ask("position", |lookup| lookup.position())
        .await?;
    let freshness = read.freshness;
    let now = state.now_ms();
    let partitions = freshness.partitions.iter();
    let partitions: Vec<Value> = partitions
        .map(|it| partition(it, &state.topics, now))
        .collect();
    let json = json!({
        "position": freshness.position().to_string(),
        "digest": read.value.text(),
        "generation": freshness.generation,
        "partitions": partitions,
        "_links": Links::itself(links::asked(&uri)).json(),
    });
    Ok(Answer { json, freshness })
}

fn partition(it: &PartitionFreshness, topics: &Topics, now: i64) -> Value {
    json!({
        "topic": topics.lane(it.lane),
        "partition": it.partition,
        "next_offset": it.next_offset,
        "end_offset": it.end_offset,
        // The end was seen some time ago; the model may have gone past it since.
        "lag_events": it.end_offset.map(|end| (end - it.next_offset).max(0)),
        "lag_ms": it.caught_up_at.map(|at| (now - at).max(0)),
    })
}
