//! The records of the benchmark as they lie in the log, made from their numbers.

use std::sync::Arc;

use anyhow::Context;
use licenseflow_avro::codec::{self, Plan};
use licenseflow_avro::headers::{RECEIVED_AT, REQUEST_ID, RequestId};
use licenseflow_avro::judgement::{Schemas, SchemasAway};
use licenseflow_avro::record::Header;
use licenseflow_avro::time::format_rfc3339;
use licenseflow_avro::{Coordinates, Lane, LicenseEvent, RawRecord, schema};
use licenseflow_producers::generate::bench_event;
use licenseflow_producers::publish::{self as producers, RequestContext};

use crate::Headers;

/// How many events a request brings.
pub(crate) const EVENTS_PER_REQUEST: u64 = 100;
/// When all requests were taken in; after every event's own time.
const RECEIVED_AT_MS: i64 = 1_790_000_000_000;
const PARTITIONS: u64 = 12;
const SCHEMA_ID: u32 = 1;

fn request_id(number: u64) -> Option<RequestId> {
    let of_request = uuid::Uuid::from_u128(u128::from(number / EVENTS_PER_REQUEST) | 7 << 76);
    RequestId::parse(&of_request.to_string())
}

/// The request that brings event `number`.
pub(crate) fn request(number: u64) -> anyhow::Result<RequestContext> {
    Ok(RequestContext {
        request_id: request_id(number).context("a uuid is a request id")?,
        received_at_ms: RECEIVED_AT_MS,
        traceparent: None,
        tracestate: None,
        answer_by: None,
    })
}

/// Headers as the intake sends them, or the request id alone.
pub(crate) fn headers(event: &LicenseEvent, number: u64, which: Headers) -> Vec<Header> {
    let request_id = request_id(number).map_or(String::new(), |id| id.to_string());
    let mut headers = vec![(REQUEST_ID, request_id)];
    if which == Headers::Intake {
        headers.extend([
            (RECEIVED_AT, RECEIVED_AT_MS.to_string()),
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", event.event_id.to_string()),
            ("ce_source", event.source.clone()),
            (
                "ce_type",
                format!("licenseflow.v1.{}", event.payload.kind().name()),
            ),
            ("ce_time", format_rfc3339(event.occurred_at)),
            ("ce_subject", event.license_id.clone()),
            ("ce_tenantid", event.tenant_id.clone()),
        ]);
    }
    let each = headers.into_iter().map(|(name, value)| Header {
        name: name.to_owned(),
        value: Some(value.into_bytes()),
    });
    each.collect()
}

/// Record `number`. A license has one partition, as a partitioner by key would have it.
pub(crate) fn record(number: u64, licenses: u64, which: Headers) -> RawRecord {
    let event = bench_event(number, licenses);
    let partition = event
        .license_id
        .bytes()
        .fold(0, |sum: u64, byte| sum * 31 + u64::from(byte));
    RawRecord {
        at: Coordinates {
            timestamp: RECEIVED_AT_MS,
            lane: Lane::Interactive,
            partition: (partition % PARTITIONS) as i32,
            offset: number as i64,
        },
        key: Some(event.license_id.clone().into_bytes()),
        value: Some(codec::encode(SCHEMA_ID, &event)),
        headers: headers(&event, number, which),
    }
}

/// A record that says nothing, each for another reason than the one before.
pub(crate) fn poison(number: u64) -> producers::RawRecord {
    let schema = (number as u32).wrapping_mul(0x9E37_79B9) | 1 << 30;
    let value = match number % 5 {
        0 => None,
        1 => Some(b"not an event".to_vec()),
        2 => Some(b"{\"event_id\":".to_vec()),
        // A schema that nobody registered, another one each time.
        3 => Some([&[0], &schema.to_be_bytes()[..], b"?"].concat()),
        _ => Some(Vec::new()),
    };
    producers::RawRecord {
        key: Some(format!("poison-{number}").into_bytes()),
        value,
        headers: Vec::new(),
    }
}

/// A registry that has our schema.
pub(crate) struct OneSchema(Arc<Plan>);

impl OneSchema {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Plan::new(schema::LICENSE_EVENT)?)))
    }
}

impl Schemas for OneSchema {
    fn plan(&self, _id: u32) -> Result<Option<Arc<Plan>>, SchemasAway> {
        Ok(Some(self.0.clone()))
    }
}
