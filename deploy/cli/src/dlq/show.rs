//! `dlq show`: one letter with its record, for people to read and scripts to take apart.

use super::client::{AdminArgs, AdminClient};
use super::{Place, text};
use crate::exit::Exit;
use crate::output::OutputArgs;
use clap::Args;
use serde_json::Value;
use std::fmt::Write;

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Where the record lies, as topic:partition:offset
    #[arg(value_name = "RECORD")]
    place: Place,
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(arguments: ShowArgs) -> anyhow::Result<Exit> {
    let client = AdminClient::new(&arguments.admin)?;
    let Place {
        topic,
        partition,
        offset,
    } = &arguments.place;
    let path = format!("/v1/admin/dlq/{topic}/{partition}/{offset}");
    let letter = client.get(&path, &[]).await?;
    arguments.output.print(shown(&letter), &letter)?;
    Ok(Exit::Done)
}

/// The members of a letter that have something to say, in the order in which one asks.
const MEMBERS: [&str; 16] = [
    "topic",
    "partition",
    "offset",
    "recorded_at",
    "reason",
    "error",
    "tenant_id",
    "license_id",
    "event_id",
    "request_id",
    "state",
    "rejected_at",
    "sent_at",
    "resolved_at",
    "resolution",
    "redriven_at",
];

fn shown(letter: &Value) -> String {
    let mut out = String::new();
    for name in MEMBERS {
        line(&mut out, name, &letter[name]);
    }
    line(&mut out, "redrives", &letter["redrives"]);
    line(&mut out, "missing", &letter["missing"]);
    let record = &letter["record"];
    line(&mut out, "tries", &record["tries"]);
    bytes(&mut out, "key", &record["key"]);
    for header in record["headers"].as_array().into_iter().flatten() {
        bytes(
            &mut out,
            &format!("header {}", text(header, "name")),
            &header["value"],
        );
    }
    bytes(&mut out, "value", &record["value"]);
    let read = &letter["read"];
    line(&mut out, "format", &read["format"]);
    line(&mut out, "schema_id", &read["schema_id"]);
    if !read["decoded"].is_null() {
        put(&mut out, "decoded", &format!("\n{:#}", read["decoded"]));
    }
    let stopped = &read["stopped"];
    if stopped.is_object() {
        let field = stopped["field"].as_str().map(|it| format!("{it}, "));
        let offset = stopped["offset"].as_u64().map(|it| format!("byte {it}: "));
        let (field, offset) = (field.unwrap_or_default(), offset.unwrap_or_default());
        put(
            &mut out,
            "not further",
            &format!("{field}{offset}{}", text(stopped, "error")),
        );
    }
    let now = &letter["now"];
    if now.is_object() {
        let words = match now["is_taken"].as_bool() {
            Some(true) => "it would be taken".to_owned(),
            Some(false) | None => format!("{} {}", text(now, "reason"), text(now, "error")),
        };
        put(&mut out, "now", words.trim());
    }
    out.trim_end().to_owned()
}

/// A member, unless it is null.
fn line(out: &mut String, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::String(text) => put(out, name, text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            put(out, name, &value.to_string());
        }
    }
}

/// Bytes as text where they are some, else in hexadecimal, sixteen a line.
fn bytes(out: &mut String, name: &str, value: &Value) {
    let Some(hex) = value["hex"].as_str() else {
        return put(out, name, "(null)");
    };
    let cut = match value["is_cut"].as_bool() {
        Some(true) => " (the first bytes of it)",
        Some(false) | None => "",
    };
    let length = format!("{} bytes{cut}", value["length"]);
    match value["text"].as_str() {
        Some(text) if text.len() < 100 && cut.is_empty() => put(out, name, text),
        Some(text) => put(out, name, &format!("{length}\n{text}")),
        None => put(out, name, &format!("{length}\n{}", dump(hex))),
    }
}

fn dump(hex: &str) -> String {
    let digits: Vec<char> = hex.chars().collect();
    let lines = digits.chunks(32).enumerate().map(|(number, chunk)| {
        let pairs = chunk.chunks(2).map(|pair| pair.iter().collect::<String>());
        format!(
            "  {:04x}  {}",
            number * 16,
            pairs.collect::<Vec<_>>().join(" ")
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn put(out: &mut String, name: &str, text: &str) {
    // What a client wrote moves no cursor.
    let plain = text.chars().filter(|it| !it.is_control() || *it == '\n');
    let plain: String = plain.collect();
    // Writing into memory cannot fail.
    let _ = writeln!(out, "{name:<12} {plain}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_letter_is_shown_with_its_bytes_and_where_reading_stopped() {
        let text = shown(&json!({
            "topic": "t", "partition": 0, "offset": 9, "reason": "truncated", "error": "\u{1b}[31mred",
            "redrives": 0, "missing": null,
            "record": {
                "key": null, "tries": 1,
                "headers": [{ "name": "h", "value": { "length": 1, "text": "v", "hex": "76", "is_cut": false } }],
                "value": { "length": 17, "text": null, "hex": "00".repeat(17), "is_cut": false },
            },
            "read": {
                "format": "avro", "schema_id": 1, "decoded": { "license_id": "L" },
                "stopped": { "field": "tenant_id", "offset": 44, "error": "it ends" },
            },
            "now": { "is_taken": false, "reason": "truncated", "error": "it ends" },
        }));
        assert!(text.contains("error        [31mred\n"), "{text}");
        assert!(text.contains("header h     v\n"), "{text}");
        assert!(text.contains("  0010  00\n"), "{text}");
        assert!(
            text.contains("not further  tenant_id, byte 44: it ends"),
            "{text}"
        );
        assert!(text.ends_with("now          truncated it ends"), "{text}");
    }
}
