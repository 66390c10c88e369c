//! What the JSON form may be, as JSON Schema: made of the very tables by which it is read, for whoever
//! describes an interface that takes or gives events.

use serde_json::{Map, Value, json};

use crate::event::EventKind;
use crate::limits::{MAX_ENTRIES, MAX_ID, MAX_LONG_TEXT, MAX_QUANTITY, MAX_SEATS, MAX_TEXT};
use crate::members::{self, Absent, Form, Member};

const ID: &str = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$";

/// No control characters but tab and line feed.
const TEXT: &str = "^[^\\u0000-\\u0008\\u000b-\\u001f]*$";

/// The hyphenated form, in either case.
const UUID: &str = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";

/// From 1970 to 2199, with any offset and at most six decimals.
pub const TIME: &str = "^(19[7-9][0-9]|2[01][0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
    [Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";

/// The members beside type and data, as a producer may say them: by name.
#[must_use]
pub fn envelope() -> Map<String, Value> {
    let members = members::ENVELOPE.iter();
    members
        .map(|member| (member.name.to_owned(), of(member)))
        .collect()
}

/// The data of an event of this type, as a producer may say it.
#[must_use]
pub fn data(kind: EventKind) -> Value {
    let members = members::of(kind);
    let properties: Map<String, Value> = members
        .iter()
        .map(|member| (member.name.to_owned(), of(member)))
        .collect();
    let required = members
        .iter()
        .filter(|member| member.absent == Absent::Refused);
    let required: Vec<&str> = required.map(|member| member.name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn of(member: &Member) -> Value {
    let mut schema = match member.form {
        Form::Uuid => json!({ "type": "string", "format": "uuid", "pattern": UUID }),
        Form::Text if is_id(member.name) => {
            json!({ "type": "string", "pattern": ID, "maxLength": MAX_ID })
        }
        Form::Text => text("string".into(), longest(member.name)),
        Form::NullableText => text(json!(["string", "null"]), longest(member.name)),
        Form::Int => json!({ "type": "integer", "minimum": 0, "maximum": MAX_SEATS }),
        Form::Long => json!({ "type": "integer", "minimum": 0, "maximum": MAX_QUANTITY }),
        Form::Time => json!({ "type": "string", "format": "date-time", "pattern": TIME }),
        Form::NullableTime => {
            json!({ "type": ["string", "null"], "format": "date-time", "pattern": TIME })
        }
        Form::Map => json!({
            "type": "object",
            "propertyNames": { "pattern": ID, "maxLength": MAX_ID },
            "additionalProperties": text("string".into(), MAX_LONG_TEXT),
            "maxProperties": MAX_ENTRIES,
        }),
    };
    schema["description"] = about(member.name).into();
    match member.absent {
        Absent::Refused => {}
        Absent::Null => schema["default"] = Value::Null,
        Absent::Text(text) => schema["default"] = text.into(),
        Absent::EmptyMap => schema["default"] = json!({}),
    }
    schema
}

fn text(of_type: Value, longest: usize) -> Value {
    json!({ "type": of_type, "pattern": TEXT, "maxLength": longest })
}

fn is_id(name: &str) -> bool {
    !matches!(
        name,
        "source" | "actor" | "reason" | "fingerprint" | "platform"
    )
}

fn longest(name: &str) -> usize {
    if name == "reason" {
        MAX_LONG_TEXT
    } else {
        MAX_TEXT
    }
}

fn about(name: &str) -> &'static str {
    match name {
        "event_id" => {
            "Chosen by the client; version 7 is suggested. The same id for the same license counts once."
        }
        "license_id" => "The license, within its tenant.",
        "tenant_id" => "Whose world this is.",
        "occurred_at" => "When it happened: RFC 3339 with any offset, at most six decimals.",
        "source" => "The service that says it.",
        "actor" => "On whose behalf; a pseudonym.",
        "customer_id" => "Who holds the license.",
        "product_id" => "What the license is for.",
        "plan" => "The plan, such as trial or team.",
        "seats" => "How many devices may be active at once.",
        "valid_from" => "The license counts from here on.",
        "expires_at" => "The license counts until here; null: for ever.",
        "entitlements" => "What the license allows, by name.",
        "metadata" => "Whatever the issuer wants to keep with it; pseudonyms.",
        "device_id" => "The device, within its license.",
        "fingerprint" => "What the device was recognised by; a pseudonym.",
        "platform" => "Such as linux.",
        "metric" => "What was used.",
        "quantity" => "How much of it.",
        "voided_event_id" => "The event that was said in error.",
        "reason" => "Why, in words.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::decode;
    use crate::limits::check;

    /// Values around each limit; the schema and the reader must agree on every one.
    fn probes(form: Form) -> Vec<Value> {
        let long = |length: usize| Value::from("é".repeat(length));
        match form {
            Form::Text | Form::NullableText => vec![
                json!("a"),
                json!("-a"),
                json!("a\u{1}"),
                json!("a\tb"),
                json!("a".repeat(128)),
                json!("a".repeat(129)),
                json!(""),
                long(256),
                long(257),
                long(1024),
                long(1025),
                Value::Null,
                json!(5),
            ],
            Form::Uuid => vec![
                json!("0198e2f4-7c1a-7c3e-9a64-2f7a30c1d001"),
                json!("0198E2F4-7C1A-7C3E-9A64-2F7A30C1D001"),
                json!("0198e2f47c1a7c3e9a642f7a30c1d001"),
                Value::Null,
            ],
            Form::Int | Form::Long => vec![
                json!(0),
                json!(-1),
                json!(1_000_000_000),
                json!(1_000_000_001_i64),
                json!(1_000_000_000_000_i64),
                json!(1_000_000_000_001_i64),
                json!("1"),
                Value::Null,
            ],
            Form::Time | Form::NullableTime => vec![
                json!("2026-01-31T10:00:00Z"),
                json!("2026-01-31t10:00:00.123456+01:00"),
                json!("2026-01-31T10:00:00.1234567Z"),
                json!("2026-01-31T23:59:60Z"),
                json!("2026-01-31 10:00:00Z"),
                json!("2026-01-31T10:00:00"),
                json!("1969-12-31T00:00:00Z"),
                json!("2200-01-01T00:00:00Z"),
                Value::Null,
                json!(0),
            ],
            Form::Map => vec![
                json!({}),
                json!({"a": "b"}),
                json!({"-a": "b"}),
                json!({"a": "x".repeat(1025)}),
                json!({"a": 1}),
                json!(
                    (0..65)
                        .map(|n| (n.to_string(), "x"))
                        .collect::<std::collections::BTreeMap<_, _>>()
                ),
                Value::Null,
            ],
        }
    }

    /// As much of JSON Schema as stands in these schemas.
    fn fits(schema: &Value, value: &Value) -> bool {
        let is = |of_type: &str| match of_type {
            "string" => value.is_string(),
            "integer" => value.is_i64(),
            "object" => value.is_object(),
            "null" => value.is_null(),
            other => panic!("a type {other}"),
        };
        let types = &schema["type"];
        let typed = types.as_str().is_some_and(is)
            || types
                .as_array()
                .is_some_and(|all| all.iter().any(|it| is(it.as_str().unwrap())));
        let text = value.as_str();
        let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
        let number = value.as_i64().unwrap_or(0);
        let members = value.as_object();
        typed
            && text.is_none_or(|text| text.chars().count() as u64 <= most)
            && text.is_none_or(|text| matches(schema["pattern"].as_str(), text))
            && schema["minimum"]
                .as_i64()
                .is_none_or(|least| number >= least)
            && schema["maximum"].as_i64().is_none_or(|most| number <= most)
            && members.is_none_or(|members| {
                members.len() as u64 <= schema["maxProperties"].as_u64().unwrap()
                    && members.iter().all(|(name, value)| {
                        matches(schema["propertyNames"]["pattern"].as_str(), name)
                            && fits(&schema["additionalProperties"], value)
                    })
            })
    }

    /// The patterns by hand: they are few, and a second reading of them.
    fn matches(pattern: Option<&str>, text: &str) -> bool {
        match pattern {
            None => true,
            Some(ID) => crate::limits::valid_id(text),
            Some(TEXT) => !text.chars().any(|it| it < ' ' && it != '\t' && it != '\n'),
            Some(UUID) => text.len() == 36 && uuid::Uuid::try_parse(text).is_ok(),
            Some(TIME) => {
                let micros = crate::time::parse_rfc3339(text);
                micros.is_ok_and(|micros| (0..crate::limits::TIME_END).contains(&micros))
            }
            Some(other) => panic!("a pattern {other}"),
        }
    }

    fn sample(form: Form) -> Value {
        probes(form).swap_remove(match form {
            Form::Map => 1,
            _ => 0,
        })
    }

    fn is_taken(event: &Value) -> bool {
        let read = decode(event.to_string().as_bytes());
        read.is_ok_and(|event| check(&event).is_ok())
    }

    #[test]
    fn the_schema_and_the_reader_agree_on_every_member() {
        for kind in EventKind::ALL {
            let schema = data(kind);
            let whole: Map<String, Value> = members::of(kind)
                .iter()
                .map(|it| (it.name.to_owned(), sample(it.form)))
                .collect();
            let event = json!({
                "event_id": "0198e2f4-7c1a-7c3e-9a64-2f7a30c1d001",
                "license_id": "L",
                "occurred_at": "2026-01-31T10:00:00Z",
                "type": kind.name(),
                "data": whole,
            });
            assert!(is_taken(&event), "{event}");
            for member in members::of(kind) {
                let mut without = event.clone();
                without["data"].as_object_mut().unwrap().remove(member.name);
                let required = schema["required"].as_array().unwrap();
                let needed = required.contains(&member.name.into());
                assert_eq!(is_taken(&without), !needed, "{without}");
                for probe in probes(member.form) {
                    let mut probed = event.clone();
                    probed["data"][member.name] = probe.clone();
                    let expected = fits(&schema["properties"][member.name], &probe);
                    assert_eq!(is_taken(&probed), expected, "{} {probe}", member.name);
                }
            }
            for member in members::ENVELOPE {
                for probe in probes(member.form) {
                    let mut probed = event.clone();
                    probed[member.name] = probe.clone();
                    let expected = fits(&envelope()[member.name], &probe);
                    assert_eq!(is_taken(&probed), expected, "{} {probe}", member.name);
                }
            }
        }
    }

    #[test]
    fn every_member_has_words() {
        let all = EventKind::ALL.into_iter().flat_map(members::of);
        for member in all.chain(&members::ENVELOPE) {
            assert_ne!(about(member.name), "", "{}", member.name);
        }
    }
}
