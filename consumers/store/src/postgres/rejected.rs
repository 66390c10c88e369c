//! Rows of records that were given up on: each is a letter to be sent.

use licenseflow_avro::headers::RequestId;
use licenseflow_avro::{Coordinates, Lane, Reason};
use licenseflow_core::Rejected;
use licenseflow_core::batch::Envelope;
use licenseflow_core::event_set::RecordedEvent;
use uuid::Uuid;

use super::session::Work;
use crate::Error;
use crate::columns::{CONFLICT, body_of, headers_blob, lane_number};

/// A row to be written.
pub(crate) struct RejectedRow<'a> {
    at: Coordinates,
    reason: Reason,
    error: String,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Option<Vec<u8>>,
    request_id: Option<RequestId>,
    /// The tenant and the license that it names.
    names: Option<(&'a str, &'a str)>,
    conflict: Option<Conflict>,
}

struct Conflict {
    license: i64,
    event_id: Uuid,
    body: Vec<u8>,
}

impl<'a> RejectedRow<'a> {
    /// Of a record that is rejected for its own fault.
    pub(crate) fn fault(rejected: &'a Rejected) -> Self {
        let Rejected { record, fault } = rejected;
        Self {
            at: record.at,
            reason: fault.reason,
            error: storable(fault.to_string()),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: Some(headers_blob(&record.headers)),
            request_id: Envelope::of(&record.headers).request_id,
            names: fault
                .names
                .as_deref()
                .map(|it| (it.tenant_id.as_str(), it.license_id.as_str())),
            conflict: None,
        }
    }

    /// Of a record whose event has another content.
    pub(crate) fn conflict(tenant: &'a str, license: i64, recorded: &'a RecordedEvent) -> Self {
        Self {
            at: recorded.at,
            reason: Reason::EventConflict,
            error: CONFLICT.to_owned(),
            key: None,
            value: None,
            headers: None,
            request_id: recorded.request_id.clone(),
            names: Some((tenant, &recorded.event.license_id)),
            conflict: Some(Conflict {
                license,
                event_id: recorded.event.event_id,
                body: body_of(&recorded.event),
            }),
        }
    }
}

/// PostgreSQL's text holds no U+0000; the words of a fault may quote one from the record.
pub(super) fn storable(error: String) -> String {
    if error.contains('\0') {
        error.replace('\0', "\u{fffd}")
    } else {
        error
    }
}

/// A lane as its column has it.
pub(crate) fn lane_column(lane: Lane) -> i16 {
    lane_number(lane) as i16
}

/// Writes rows; `now` is in milliseconds UTC.
pub(crate) async fn insert(
    work: &Work<'_>,
    rows: &[RejectedRow<'_>],
    now: i64,
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "insert into rejected (timestamp_ms, lane, partition, log_offset, reason, error, key, value,
           headers, request_id, tenant_id, license_id, license, event_id, body, rejected_at_ms)
         select *, $16::bigint from unnest($1::bigint[], $2::smallint[], $3::int[], $4::bigint[], $5::text[],
           $6::text[], $7::bytea[], $8::bytea[], $9::bytea[], $10::text[], $11::text[], $12::text[],
           $13::bigint[], $14::uuid[], $15::bytea[])";
    let conflicts = || rows.iter().map(|row| row.conflict.as_ref());
    let request_ids = rows.iter().map(|row| row.request_id.as_ref());
    work.execute(
        sql,
        &[
            &column(rows, |row| row.at.timestamp),
            &column(rows, |row| lane_column(row.at.lane)),
            &column(rows, |row| row.at.partition),
            &column(rows, |row| row.at.offset),
            &column(rows, |row| row.reason.name()),
            &column(rows, |row| row.error.as_str()),
            &column(rows, |row| row.key),
            &column(rows, |row| row.value),
            &column(rows, |row| row.headers.as_deref()),
            &request_ids
                .map(|it| it.map(RequestId::as_str))
                .collect::<Vec<_>>(),
            &column(rows, |row| row.names.map(|it| it.0)),
            &column(rows, |row| row.names.map(|it| it.1)),
            &conflicts()
                .map(|it| it.map(|it| it.license))
                .collect::<Vec<_>>(),
            &conflicts()
                .map(|it| it.map(|it| it.event_id))
                .collect::<Vec<_>>(),
            &conflicts()
                .map(|it| it.map(|it| it.body.as_slice()))
                .collect::<Vec<_>>(),
            &now,
        ],
    )
    .await?;
    Ok(())
}

fn column<'a, T>(rows: &'a [RejectedRow<'_>], value: impl Fn(&'a RejectedRow<'_>) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
