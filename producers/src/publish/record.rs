//! What stands in a record's headers.

use licenseflow_avro::event::LicenseEvent;
use licenseflow_avro::headers::{RECEIVED_AT, REQUEST_ID, RequestId, TRACEPARENT, TRACESTATE};
use licenseflow_avro::json::CLOUDEVENTS_TYPE_PREFIX;
use licenseflow_avro::record::Header as AvroHeader;
use licenseflow_avro::time::format_rfc3339;
use rdkafka::message::{Header, OwnedHeaders};
use tokio::time::Instant;

/// The request that a record belongs to.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Goes into every record.
    pub request_id: RequestId,
    /// When the request was taken in, in milliseconds UTC.
    pub received_at_ms: i64,
    /// W3C trace context, where the client gave one.
    pub traceparent: Option<String>,
    /// W3C trace context, where the client gave one.
    pub tracestate: Option<String>,
    /// When the answer must be there, whatever has become of the record; none: as long as it takes.
    pub answer_by: Option<Instant>,
}

/// A record that is published as it is, whatever it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// Null, or the bytes.
    pub key: Option<Vec<u8>>,
    /// Null, or the bytes.
    pub value: Option<Vec<u8>>,
    /// Beside the request's own.
    pub headers: Vec<AvroHeader>,
}

/// What `ce_source` says of an event without a source: CloudEvents has no empty one.
const SOURCE_UNSAID: &str = "licenseflow";

/// The headers of an event: its request's, and CloudEvents' binary mode.
pub(super) fn event_headers(event: &LicenseEvent, context: &RequestContext) -> OwnedHeaders {
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    let id = event.event_id.hyphenated().encode_lower(&mut id);
    let event_type = format!("{CLOUDEVENTS_TYPE_PREFIX}{}", event.payload.kind().name());
    let source = match event.source.as_str() {
        "" => SOURCE_UNSAID,
        source => source,
    };
    let time = format_rfc3339(event.occurred_at);
    let mut headers = request_headers(context, 12);
    for (name, value) in [
        ("ce_specversion", "1.0"),
        ("ce_id", &*id),
        ("ce_source", source),
        ("ce_type", &event_type),
        ("ce_time", &time),
        ("ce_subject", &event.license_id),
        ("ce_tenantid", &event.tenant_id),
    ] {
        headers = with(headers, name, value);
    }
    headers
}

/// The headers of a raw record: its own, then its request's.
pub(super) fn raw_headers(record: &RawRecord, context: &RequestContext) -> OwnedHeaders {
    let mut headers = request_headers(context, record.headers.len() + 4);
    for header in &record.headers {
        headers = headers.insert(Header {
            key: &header.name,
            value: header.value.as_deref(),
        });
    }
    headers
}

fn request_headers(context: &RequestContext, capacity: usize) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(capacity);
    let headers = with(headers, REQUEST_ID, context.request_id.as_str());
    let mut headers = with(headers, RECEIVED_AT, &context.received_at_ms.to_string());
    if let Some(traceparent) = &context.traceparent {
        headers = with(headers, TRACEPARENT, traceparent);
        // A state without its parent means nothing.
        if let Some(tracestate) = &context.tracestate {
            headers = with(headers, TRACESTATE, tracestate);
        }
    }
    headers
}

fn with(headers: OwnedHeaders, name: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header {
        key: name,
        value: Some(value),
    })
}
