//! A record's value as far as it can be read, and why not further: for who looks at a dead letter.
//!
//! It judges nothing; [`judge`](crate::judge) does. Knows no HTTP and no store.

use serde_json::{Map, Value};

use crate::codec::{PREFIX, Prefix, SoFar, prefix};
use crate::judgement::{Schemas, SchemasAway};

/// A value longer than this is not decoded for show.
const EXPLAINED_BYTES_MAX: usize = 256 << 10;

/// A value as far as it can be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Explained {
    /// `avro` or `json`; none: neither.
    pub format: Option<&'static str>,
    /// The schema id that an Avro value names.
    pub schema_id: Option<u32>,
    /// What was read; none: nothing.
    pub decoded: Option<Value>,
    /// Why it could not be read further; none: it was read to its end.
    pub stopped: Option<Stopped>,
}

/// Where reading could not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The field that could not be read, `data/` before one of the payload's; none: no single one.
    pub field: Option<String>,
    /// Where in the value that field, or what is wrong, begins.
    pub offset: Option<usize>,
    /// In words.
    pub error: String,
}

/// Reads a value as far as it goes.
///
/// # Errors
/// The registry cannot be asked now.
pub fn explain(value: Option<&[u8]>, schemas: &dyn Schemas) -> Result<Explained, SchemasAway> {
    let Some(value) = value else {
        return Ok(stopped(None, None, "there is no value"));
    };
    if value.len() > EXPLAINED_BYTES_MAX {
        let error = format!("{} bytes are too many to be decoded for show", value.len());
        return Ok(stopped(None, None, &error));
    }
    match prefix(value) {
        Prefix::Avro(id, body) => {
            let explained = match schemas.plan(id)? {
                Some(plan) => of_body(plan.read_so_far(body)),
                None => {
                    let error = format!("schema id {id} is not in the registry");
                    stopped(None, Some(1), &error)
                }
            };
            Ok(Explained {
                format: Some("avro"),
                schema_id: Some(id),
                ..explained
            })
        }
        Prefix::Truncated => Ok(Explained {
            format: Some("avro"),
            ..stopped(None, Some(1), "the bytes end within the schema id")
        }),
        Prefix::Other if value.first() == Some(&b'{') => Ok(of_json(value)),
        Prefix::Other => Ok(stopped(
            None,
            Some(0),
            "the first byte is that of neither form of an event",
        )),
    }
}

fn stopped(field: Option<String>, offset: Option<usize>, error: &str) -> Explained {
    Explained {
        stopped: Some(Stopped {
            field,
            offset,
            error: error.to_owned(),
        }),
        ..Explained::default()
    }
}

fn of_body(so_far: SoFar) -> Explained {
    let mut decoded: Map<String, Value> = so_far.members.into_iter().collect();
    if let Some(kind) = so_far.kind {
        decoded.insert("type".to_owned(), kind.into());
        let data: Map<String, Value> = so_far.data.into_iter().collect();
        decoded.insert("data".to_owned(), data.into());
    }
    let stopped = so_far.stopped.map(|(field, offset, error)| Stopped {
        field: Some(field).filter(|name| !name.is_empty()),
        offset: Some(PREFIX + offset),
        error,
    });
    Explained {
        decoded: Some(decoded.into()).filter(|it: &Value| *it != Value::Object(Map::new())),
        stopped,
        ..Explained::default()
    }
}

fn of_json(value: &[u8]) -> Explained {
    let format = Some("json");
    match serde_json::from_slice::<Value>(value) {
        Ok(decoded) => Explained {
            format,
            decoded: Some(decoded),
            ..Explained::default()
        },
        Err(error) => Explained {
            format,
            ..stopped(None, offset_of(value, &error), &error.to_string())
        },
    }
}

/// The offset of a line and a column, both counted from 1.
fn offset_of(value: &[u8], error: &serde_json::Error) -> Option<usize> {
    let before = value
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().checked_sub(1)?);
    let before: usize = before.map(<[u8]>::len).sum();
    Some(before + error.column().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::codec::{Plan, encode};
    use crate::json;
    use crate::schema::LICENSE_EVENT;

    struct Ours;

    impl Schemas for Ours {
        fn plan(&self, id: u32) -> Result<Option<Arc<Plan>>, SchemasAway> {
            Ok((id == 1).then(|| Arc::new(Plan::new(LICENSE_EVENT).unwrap())))
        }
    }

    const EVENT: &str = r#"{"event_id":"00000000-0000-7000-8000-000000000001","tenant_id":"t","license_id":"L",
        "occurred_at":"2026-01-31T10:00:00Z","type":"UsageRecorded","data":{"metric":"m","quantity":7}}"#;

    fn explained(value: &[u8]) -> Explained {
        explain(Some(value), &Ours).unwrap()
    }

    #[test]
    fn a_whole_body_is_shown_whole() {
        let value = encode(1, &json::decode(EVENT.as_bytes()).unwrap());
        let found = explained(&value);
        assert_eq!((found.format, found.schema_id), (Some("avro"), Some(1)));
        assert_eq!(found.stopped, None);
        let decoded = found.decoded.unwrap();
        assert_eq!(decoded["license_id"], "L");
        assert_eq!(decoded["occurred_at"], "2026-01-31T10:00:00.000000Z");
        assert_eq!(decoded["type"], "UsageRecorded");
        assert_eq!(
            decoded["data"],
            serde_json::json!({"metric": "m", "quantity": 7})
        );
    }

    #[test]
    fn a_body_is_shown_up_to_the_field_that_cannot_be_read() {
        let value = encode(1, &json::decode(EVENT.as_bytes()).unwrap());
        // The prefix, the event's id behind its length, and the license's.
        let tenant_begins = 5 + 37 + 2;
        for end in tenant_begins..tenant_begins + 2 {
            let found = explained(&value[..end]);
            let decoded = found.decoded.unwrap();
            assert_eq!(decoded["license_id"], "L");
            assert!(decoded.get("tenant_id").is_none());
            let stopped = found.stopped.unwrap();
            assert_eq!(stopped.field.as_deref(), Some("tenant_id"));
            assert_eq!(stopped.offset, Some(tenant_begins));
            assert!(stopped.error.contains("end before"), "{}", stopped.error);
        }
        let stopped = explained(&value[..value.len() - 1]).stopped.unwrap();
        assert_eq!(stopped.field.as_deref(), Some("data/quantity"));
        let mut longer = value.clone();
        longer.push(0);
        let stopped = explained(&longer).stopped.unwrap();
        assert_eq!((stopped.field, stopped.offset), (None, Some(value.len())));
        let mut garbled = value;
        garbled[5 + 37 + 1] = 0xff;
        let stopped = explained(&garbled).stopped.unwrap();
        assert_eq!(stopped.field.as_deref(), Some("license_id"));
        assert!(stopped.error.contains("UTF-8"), "{}", stopped.error);
    }

    #[test]
    fn what_is_no_event_at_all_says_why() {
        let error = |value: &[u8]| {
            let stopped = explained(value).stopped.unwrap();
            (stopped.offset, stopped.error)
        };
        assert_eq!(error(b"").0, Some(0));
        assert!(error(&[0, 0, 0, 0, 9, 1]).1.contains("schema id 9"));
        assert!(error(&[0, 0]).1.contains("within the schema id"));
        assert_eq!(error(b"{\n \"a\": x}").0, Some(8));
        assert!(explain(None, &Ours).unwrap().stopped.is_some());
        assert_eq!(
            explained(br#"{"a":1}"#).decoded,
            Some(serde_json::json!({"a": 1}))
        );
    }
}
