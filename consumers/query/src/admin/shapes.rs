//! Letters as JSON.

use licenseflow_core::contract::headers;
use licenseflow_core::contract::record::Header;
use licenseflow_core::contract::{Coordinates, Topics};
use licenseflow_runtime::http::openapi::words::{EventId, Id, RequestIdText, Time};
use licenseflow_store::LetterRow;
use licenseflow_store::lookup::RecordPlace;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::links::{self, Links};
use crate::openapi::{LinksByRelation, ReasonName};
use crate::shapes::time_ms;

/// A dead letter.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(crate) struct LetterShape {
    topic: String,
    #[schema(minimum = 0)]
    partition: i32,
    #[schema(minimum = 0)]
    offset: i64,
    /// The record's own time, the brokers'.
    #[schema(value_type = Time)]
    recorded_at: String,
    #[schema(value_type = ReasonName)]
    reason: &'static str,
    /// What is wrong with it, in words.
    error: String,
    /// Whose it is, where the record decodes far enough to name both.
    #[schema(required = true, value_type = Option<Id>)]
    tenant_id: Option<String>,
    #[schema(required = true, value_type = Option<Id>)]
    license_id: Option<String>,
    /// The event that a conflict is about.
    #[schema(required = true, value_type = Option<EventId>)]
    event_id: Option<Uuid>,
    #[schema(required = true, value_type = Option<RequestIdText>)]
    request_id: Option<String>,
    /// What was done about it.
    #[schema(value_type = super::words::LetterStateName)]
    state: &'static str,
    #[schema(value_type = Time)]
    rejected_at: String,
    /// When the dead-letter topic had it.
    #[schema(required = true, value_type = Option<Time>)]
    sent_at: Option<String>,
    #[schema(required = true, value_type = Option<Time>)]
    resolved_at: Option<String>,
    /// Why it was closed.
    #[schema(required = true)]
    resolution: Option<String>,
    #[schema(required = true, value_type = Option<Time>)]
    redriven_at: Option<String>,
    /// How often this very letter was redriven.
    #[schema(minimum = 0)]
    redrives: i64,
    #[schema(value_type = LinksByRelation)]
    _links: Links,
}

/// A letter without its record.
pub(crate) fn letter(row: &LetterRow, topics: &Topics) -> LetterShape {
    let topic = topics.lane(row.at.lane);
    let mut links = Links::itself(address(&topic, row.at));
    if let Some(license) = &row.license {
        links = links.and("license", links::license(&license.license_id));
    }
    if let Some(request_id) = &row.request_id {
        links = links.and("request", links::request(request_id.as_str()));
    }
    LetterShape {
        topic,
        partition: row.at.partition,
        offset: row.at.offset,
        recorded_at: time_ms(row.at.timestamp),
        reason: row.reason.name(),
        error: row.error.clone(),
        tenant_id: row.license.as_ref().map(|it| it.tenant_id.clone()),
        license_id: row.license.as_ref().map(|it| it.license_id.clone()),
        event_id: row.event_id,
        request_id: row.request_id.as_ref().map(|it| it.as_str().to_owned()),
        state: row.state().name(),
        rejected_at: time_ms(row.rejected_at),
        sent_at: row.sent_at.map(time_ms),
        resolved_at: row.resolved.as_ref().map(|(at, _)| time_ms(*at)),
        resolution: row.resolved.as_ref().map(|(_, why)| why.clone()),
        redriven_at: row.redriven_at.map(time_ms),
        redrives: row.redrives,
        _links: links,
    }
}

fn address(topic: &str, at: Coordinates) -> String {
    format!("/v1/admin/dlq/{topic}/{}/{}", at.partition, at.offset)
}

/// How often a record was tried again already: what its own header says, and what was done with this letter.
pub(crate) fn tries(row: &LetterRow, own: &[Header]) -> u32 {
    let here = u32::try_from(row.redrives).unwrap_or(u32::MAX);
    headers::attempt(own).saturating_add(here)
}

/// What became of one letter.
#[derive(Serialize, ToSchema)]
pub(crate) struct LetterDealtWith {
    pub(crate) topic: String,
    #[schema(minimum = 0)]
    pub(crate) partition: i32,
    #[schema(minimum = 0)]
    pub(crate) offset: i64,
    /// Why it was given up on; null: there is no such letter.
    #[schema(required = true, value_type = Option<ReasonName>)]
    pub(crate) reason: Option<&'static str>,
    /// What was done, or would be.
    #[schema(value_type = super::words::OutcomeName)]
    pub(crate) outcome: &'static str,
    /// Why not, in words.
    #[schema(required = true)]
    pub(crate) detail: Option<String>,
}

impl LetterDealtWith {
    /// Of a letter that there is.
    pub(crate) fn of(row: &LetterRow, outcome: &'static str, topics: &Topics) -> Self {
        Self {
            topic: topics.lane(row.at.lane),
            partition: row.at.partition,
            offset: row.at.offset,
            reason: Some(row.reason.name()),
            outcome,
            detail: None,
        }
    }

    /// Of a place where there is none.
    pub(crate) fn missing((lane, partition, offset): RecordPlace, topics: &Topics) -> Self {
        Self {
            topic: topics.lane(lane),
            partition,
            offset,
            reason: None,
            outcome: "not_found",
            detail: Some("no record was rejected there".to_owned()),
        }
    }

    pub(crate) fn because(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }
}

/// What became of the letters that were asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct LettersDealtWith {
    /// Each of them, in order.
    pub(crate) items: Vec<LetterDealtWith>,
    /// With how many it was done, or would be.
    #[schema(minimum = 0)]
    pub(crate) done: usize,
    /// Whether nothing was done but look.
    pub(crate) dry_run: bool,
    /// For the member `cursor` of the next request with this filter; null: these were all.
    #[schema(required = true)]
    pub(crate) next_cursor: Option<String>,
    #[schema(value_type = LinksByRelation)]
    pub(crate) _links: Links,
}
