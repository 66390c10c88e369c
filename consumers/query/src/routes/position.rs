//! Where the read model stands: position and digest of one snapshot, and the lag of each partition.

use axum::extract::State;
use axum::http::Uri;
use licenseflow_core::contract::{Offset, PartitionId, Topics};
use licenseflow_runtime::http::openapi::words::PositionText;
use licenseflow_store::lookup::PartitionFreshness;
use serde::Serialize;
use utoipa::ToSchema;

use super::Answered;
use crate::answer::Answer;
use crate::links::{self, Links};
use crate::openapi::{self, LinksByRelation};
use crate::params::Params;
use crate::state::QueryState;

/// Where the read model stands.
#[derive(Serialize, ToSchema)]
pub(super) struct Position {
    #[schema(value_type = PositionText)]
    position: String,
    /// The digest of all rows at this position, the same for the same events in any order.
    #[schema(pattern = "^d1:[0-9a-f]{32}$")]
    digest: String,
    /// Which build of the read model this is.
    #[schema(minimum = 0)]
    generation: i64,
    partitions: Vec<Partition>,
    #[schema(value_type = LinksByRelation)]
    _links: Links,
}

/// How far a partition is read.
#[derive(Serialize, ToSchema)]
struct Partition {
    topic: String,
    #[schema(value_type = i32, minimum = 0)]
    partition: PartitionId,
    /// The next offset to read.
    #[schema(value_type = i64, minimum = 0)]
    next_offset: Offset,
    /// The end of the partition when it was last seen; null: not yet.
    #[schema(required = true, value_type = Option<i64>, minimum = 0)]
    end_offset: Option<Offset>,
    #[schema(required = true, minimum = 0)]
    lag_events: Option<i64>,
    /// Since when its end has not been seen applied; null: it never was.
    #[schema(required = true, minimum = 0)]
    lag_ms: Option<i64>,
}

/// Where the read model stands
///
/// Position and digest of one snapshot, and how far behind each partition is.
#[utoipa::path(
    get, path = "/v1/position", tag = openapi::FRESHNESS, operation_id = "position",
    responses((status = 200, body = Position, description = "Where it stands."))
)]
pub(super) async fn position(State(state): State<QueryState>, uri: Uri) -> Answered {
    Params::of(&uri, &[])?;
    let read = state
        .store
        .ask("position", |lookup| lookup.position())
        .await?;
    let freshness = &read.freshness;
    let now = state.now_ms();
    let partitions = freshness.partitions.iter();
    let shown = Position {
        position: freshness.position().to_string(),
        digest: read.value.text(),
        generation: freshness.generation,
        partitions: partitions
            .map(|it| partition(it, &state.topics, now))
            .collect(),
        _links: Links::itself(links::asked(&uri)),
    };
    Ok(Answer::of(&shown, read.freshness))
}

fn partition(it: &PartitionFreshness, topics: &Topics, now: i64) -> Partition {
    Partition {
        topic: topics.lane(it.lane),
        partition: it.partition,
        next_offset: it.next_offset,
        end_offset: it.end_offset,
        // The end was seen some time ago; the model may have gone past it since.
        lag_events: it.end_offset.map(|end| (end - it.next_offset).max(0)),
        lag_ms: it.caught_up_at.map(|at| (now - at).max(0)),
    }
}
