//! One dead letter with its record, and how far that can be read.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use licenseflow_core::contract::explained::explain;
use licenseflow_core::contract::record::Header;
use licenseflow_core::contract::{RawRecord, Reason, Verdict, judge};
use licenseflow_runtime::http::Problem;
use licenseflow_store::lookup::RecordPlace;
use licenseflow_store::{LetterContent, LetterRow};
use serde_json::{Value, json};

use super::shapes::{letter, tries};
use super::words::{OneDeadLetter, PlaceOfLetter};
use super::{AdminState, words};
use crate::answer::Failure;
use crate::params::Params;
use crate::shapes::value;
use crate::store::problem_of;

/// So many bytes of a value or a key are shown, two digits each.
const SHOWN_BYTES_MAX: usize = 4096;

/// A dead letter with its record
///
/// Its key, value and headers, what can be read of the value and why not more, and what would be made of the
/// record now.
#[utoipa::path(
    get, path = "/v1/admin/dlq/{topic}/{partition}/{offset}", tag = words::ADMIN, operation_id = "deadLetter",
    params(PlaceOfLetter),
    responses((status = 200, body = OneDeadLetter, description = "The letter."))
)]
pub(super) async fn one(
    State(state): State<AdminState>,
    Path((topic, partition, offset)): Path<(String, String, String)>,
    uri: Uri,
) -> Result<Response, Failure> {
    Params::alone(&uri, &[])?;
    let lane = state.options().topics.lane_of(&topic);
    let place = (lane, partition.parse().ok(), offset.parse().ok());
    let (Some(lane), Some(partition), Some(offset)) = place else {
        return Err(missing(&topic, &partition, &offset));
    };
    let place = (lane, partition, offset);
    let shown = state.blocking(move |state| shown(state, place)).await?;
    let shown =
        shown.ok_or_else(|| missing(&topic, &partition.to_string(), &offset.to_string()))?;
    Ok(Json(shown).into_response())
}

fn missing(topic: &str, partition: &str, offset: &str) -> Failure {
    let detail =
        format!("no record of {topic} was rejected at partition {partition}, offset {offset}");
    Problem::not_found("letter_not_found", detail).into()
}

fn shown(state: &AdminState, place: RecordPlace) -> Result<Option<Value>, Failure> {
    let options = state.options();
    let found = options.letters.letter(place);
    let Some((row, content)) = found.map_err(|error| problem_of(&error))? else {
        return Ok(None);
    };
    let mut shown = value(letter(&row, &options.topics));
    let (record, missing) = record(state, &row, content);
    shown["record"] = record.as_ref().map(|it| about(it, &row)).into();
    shown["missing"] = missing.into();
    shown["read"] = record.as_ref().map(|record| read(state, record)).into();
    shown["now"] = record.as_ref().map(|record| judged(state, record)).into();
    Ok(Some(shown))
}

/// The letter's record, or why it is not at hand.
fn record(
    state: &AdminState,
    row: &LetterRow,
    content: LetterContent,
) -> (Option<RawRecord>, Option<String>) {
    match content.record(row.at) {
        Some(record) => {
            let missing = (row.reason == Reason::TooLarge)
                .then(|| "the value was too large to be kept: it stays in its lane".to_owned());
            (Some(record), missing)
        }
        None => match state.options().lanes.originals(&[row.at]) {
            Ok((mut found, _)) => match found.remove(&row.at) {
                Some(record) => (Some(record), None),
                None => (None, Some("the record is no longer in its lane".to_owned())),
            },
            Err(away) => (
                None,
                Some(format!("its lane cannot be read now: {}", away.why)),
            ),
        },
    }
}

/// The record's bytes.
fn about(record: &RawRecord, row: &LetterRow) -> Value {
    let headers = record.headers.iter();
    let headers: Vec<Value> = headers.map(header).collect();
    json!({
        "key": bytes(record.key.as_deref()),
        "value": bytes(record.value.as_deref()),
        "headers": headers,
        "tries": tries(row, &record.headers).saturating_add(1),
    })
}

fn header(header: &Header) -> Value {
    let mut shown = json!({ "name": header.name });
    shown["value"] = bytes(header.value.as_deref());
    shown
}

/// Bytes with their length, as text where they are some, and in hexadecimal; bounded.
fn bytes(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else {
        return Value::Null;
    };
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let text = std::str::from_utf8(shown).ok();
    let text =
        text.filter(|text| !text.contains(|it: char| it.is_control() && it != '\n' && it != '\t'));
    let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "length": bytes.len(),
        "text": text,
        "hex": hex,
        "is_cut": shown.len() < bytes.len(),
    })
}

/// What can be read of the value, and why not more.
fn read(state: &AdminState, record: &RawRecord) -> Value {
    match explain(record.value.as_deref(), state.options().schemas.as_ref()) {
        Ok(explained) => json!({
            "format": explained.format,
            "schema_id": explained.schema_id,
            "decoded": explained.decoded,
            "stopped": explained.stopped.map(|it| json!({
                "field": it.field, "offset": it.offset, "error": it.error,
            })),
        }),
        Err(away) => json!({
            "format": null,
            "schema_id": null,
            "decoded": null,
            "stopped": { "field": null, "offset": null, "error": away.to_string() },
        }),
    }
}

/// What would be made of the record now, whatever its event meets.
fn judged(state: &AdminState, record: &RawRecord) -> Value {
    let options = state.options();
    let skew = options.max_future_skew_micros;
    let verdict = judge(record, options.schemas.as_ref(), skew);
    let (reason, error) = match verdict {
        Ok(_) => (None, None),
        Err(Verdict::Fault(fault)) => (Some(fault.reason.name()), Some(fault.to_string())),
        Err(Verdict::Away(away)) => (None, Some(away.to_string())),
    };
    json!({ "is_taken": error.is_none(), "reason": reason, "error": error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_text_where_they_are_some_and_bounded() {
        assert_eq!(bytes(None), Value::Null);
        let text = bytes(Some("é\n".as_bytes()));
        assert_eq!(
            (&text["text"], &text["hex"]),
            (&json!("é\n"), &json!("c3a90a"))
        );
        let binary = bytes(Some(&[0, 0xff]));
        assert_eq!(
            (&binary["text"], &binary["hex"]),
            (&Value::Null, &json!("00ff"))
        );
        let long = bytes(Some(&vec![b'a'; SHOWN_BYTES_MAX + 1]));
        assert_eq!(long["length"], SHOWN_BYTES_MAX + 1);
        assert_eq!(long["hex"].as_str().unwrap().len(), 2 * SHOWN_BYTES_MAX);
        assert_eq!(long["is_cut"], true);
    }
}
