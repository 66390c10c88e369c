//! A record as `tail` sees it: its place, its event or what is wrong, and its request.

use licenseflow_avro::event::LicenseEvent;
use licenseflow_avro::headers;
use licenseflow_avro::judgement::{Schemas, Verdict, judge};
use licenseflow_avro::reason::Fault;
use licenseflow_avro::record::Header;
use licenseflow_avro::{Coordinates, Lane, RawRecord, Topics};
use licenseflow_runtime::log::Record;

use super::TailOptions;

/// A record, decoded.
#[derive(Debug, Clone)]
pub struct Tailed {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Kafka's timestamp, in milliseconds UTC.
    pub timestamp_ms: i64,
    /// The key, with what is no text escaped.
    pub key: Option<String>,
    /// The request that it belongs to; `topic:partition:offset` where it names none.
    pub request_id: String,
    /// What is in it.
    pub content: Content,
    /// Its headers, in order; a name may stand more than once.
    pub headers: Vec<ShownHeader>,
    /// Why it lies where it does, for a dead letter or a retry.
    pub dead_letter: Option<DeadLetter>,
}

/// A header, with what is no text escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownHeader {
    /// Its name.
    pub name: String,
    /// Its value; null is not empty.
    pub value: Option<String>,
}

/// What a record holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// An event.
    Event(Box<LicenseEvent>),
    /// Something that is no event.
    Fault(Fault),
    /// It cannot be told now, because the schema cannot be had.
    Unknown(String),
}

/// What the headers of a retried or dead-lettered record say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it came from, as `topic:partition:offset`.
    pub original: String,
    /// Why it was rejected.
    pub reason: String,
    /// In words.
    pub error: String,
    /// Which try it was.
    pub attempt: String,
}

impl Tailed {
    /// Decodes a record. Its key is not held against it: that is shown beside it.
    pub fn of(record: &Record, topics: &Topics, schemas: &dyn Schemas) -> Self {
        let timestamp_ms = record.timestamp_ms.unwrap_or_default();
        let raw = RawRecord {
            at: Coordinates {
                timestamp: timestamp_ms,
                lane: topics.lane_of(&record.topic).unwrap_or(Lane::Interactive),
                partition: record.partition,
                offset: record.offset,
            },
            key: None,
            value: record.value.clone(),
            headers: record
                .headers
                .iter()
                .map(|header| Header {
                    name: header.name.clone(),
                    value: header.value.clone(),
                })
                .collect(),
        };
        let content = match judge(&raw, schemas, i64::MAX) {
            Ok(event) => Content::Event(Box::new(event)),
            Err(Verdict::Fault(fault)) => Content::Fault(fault),
            Err(Verdict::Away(away)) => Content::Unknown(away.to_string()),
        };
        let place = format!("{}:{}:{}", record.topic, record.partition, record.offset);
        let request_id = headers::text(&raw.headers, headers::REQUEST_ID);
        let request_id = request_id.and_then(headers::RequestId::parse);
        Self {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
            timestamp_ms,
            key: record.key.as_deref().map(shown),
            request_id: request_id.map_or(place, |id| id.to_string()),
            content,
            headers: raw.headers.iter().map(shown_header).collect(),
            dead_letter: dead_letter(&raw.headers),
        }
    }

    pub(super) fn fits(&self, options: &TailOptions) -> bool {
        let event = match &self.content {
            Content::Event(event) => Some(event),
            Content::Fault(_) | Content::Unknown(_) => None,
        };
        let license_id = event
            .map(|event| event.license_id.as_str())
            .or(self.key.as_deref());
        let tenant_id = event.map(|event| event.tenant_id.as_str());
        let is = |asked: &Option<String>, found: Option<&str>| {
            asked.as_deref().is_none_or(|asked| found == Some(asked))
        };
        is(&options.license_id, license_id)
            && is(&options.tenant_id, tenant_id)
            && is(&options.request_id, Some(&self.request_id))
    }
}

fn dead_letter(given: &[Header]) -> Option<DeadLetter> {
    let text = |name| headers::text(given, name).map(str::to_owned);
    let topic = text(headers::ORIGINAL_TOPIC)?;
    let number = |name| text(name).unwrap_or_default();
    let partition = number(headers::ORIGINAL_PARTITION);
    let offset = number(headers::ORIGINAL_OFFSET);
    Some(DeadLetter {
        original: format!("{topic}:{partition}:{offset}"),
        reason: number(headers::REASON),
        error: number(headers::ERROR),
        attempt: number(headers::ATTEMPT),
    })
}

fn shown_header(header: &Header) -> ShownHeader {
    ShownHeader {
        name: header.name.clone(),
        value: header.value.as_deref().map(shown),
    }
}

fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => bytes.escape_ascii().to_string(),
    }
}
