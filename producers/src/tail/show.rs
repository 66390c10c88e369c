//! How a decoded record looks on a line.

use licenseflow_avro::json;
use licenseflow_avro::time::format_rfc3339;
use serde_json::{Value, json};

use super::TailForm;
use super::decode::{Content, ShownHeader, Tailed};

pub(super) fn line(tailed: &Tailed, form: TailForm) -> String {
    match form {
        TailForm::Json => to_json(tailed).to_string(),
        TailForm::Readable => readable(tailed),
    }
}

fn to_json(tailed: &Tailed) -> Value {
    let mut line = json!({
        "topic": tailed.topic,
        "partition": tailed.partition,
        "offset": tailed.offset,
        "recorded_at": format_rfc3339(tailed.timestamp_ms.saturating_mul(1000)),
        "key": tailed.key,
        "request_id": tailed.request_id,
        "headers": tailed.headers.iter().map(header).collect::<Vec<_>>(),
    });
    match &tailed.content {
        Content::Event(event) => line["event"] = json::encode(event),
        Content::Fault(fault) => {
            line["fault"] = json!({
                "reason": fault.reason.name(),
                "error": fault.error,
                "pointer": fault.pointer,
            });
        }
        Content::Unknown(why) => line["undecoded"] = why.as_str().into(),
    }
    if let Some(letter) = &tailed.dead_letter {
        line["dead_letter"] = json!({
            "original": letter.original,
            "reason": letter.reason,
            "error": letter.error,
            "attempt": letter.attempt,
        });
    }
    line
}

fn header(header: &ShownHeader) -> Value {
    json!({ "name": header.name, "value": header.value })
}

fn readable(tailed: &Tailed) -> String {
    let at = format_rfc3339(tailed.timestamp_ms.saturating_mul(1000));
    let place = format!("{}:{}:{}", tailed.topic, tailed.partition, tailed.offset);
    let what = match &tailed.content {
        Content::Event(event) => {
            let whole = json::encode(event);
            let (tenant_id, license_id) = (&event.tenant_id, &event.license_id);
            let kind = event.payload.kind().name();
            let occurred_at = format_rfc3339(event.occurred_at);
            format!(
                "{tenant_id}/{license_id} {kind} {} at {occurred_at}",
                whole["data"]
            )
        }
        Content::Fault(fault) => {
            let key = tailed.key.as_deref().unwrap_or("no key");
            format!("{key} {}: {fault}", fault.reason)
        }
        Content::Unknown(why) => format!("not decoded: {why}"),
    };
    let mut line = format!("{at} {place} {what} request={}", tailed.request_id);
    if let Some(letter) = &tailed.dead_letter {
        let (original, reason, error) = (&letter.original, &letter.reason, &letter.error);
        line.push_str(&format!(" rejected={reason} from={original} ({error})"));
    }
    // What a client wrote must not move the cursor of a terminal.
    line.chars()
        .filter(|character| !character.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::DeadLetter;
    use licenseflow_avro::reason::{Fault, Reason};

    #[test]
    fn a_dead_letter_shows_why_and_where_from_and_no_control_characters() {
        let tailed = Tailed {
            topic: "dlq".into(),
            partition: 1,
            offset: 2,
            timestamp_ms: 0,
            key: Some("L".into()),
            request_id: "r".into(),
            content: Content::Fault(Fault::new(Reason::BadJson, "no\u{1b}[2J")),
            headers: vec![ShownHeader {
                name: "x-attempt".into(),
                value: None,
            }],
            dead_letter: Some(DeadLetter {
                original: "lane:3:4".into(),
                reason: "bad_json".into(),
                error: "no".into(),
                attempt: "1".into(),
            }),
        };
        assert_eq!(
            line(&tailed, TailForm::Readable),
            "1970-01-01T00:00:00.000000Z dlq:1:2 L bad_json: no[2J request=r rejected=bad_json from=lane:3:4 (no)"
        );
        let json: Value = serde_json::from_str(&line(&tailed, TailForm::Json)).unwrap();
        assert_eq!(json["dead_letter"]["original"], "lane:3:4");
        assert_eq!(json["fault"]["reason"], "bad_json");
        assert_eq!(
            json["headers"],
            json!([{"name": "x-attempt", "value": null}])
        );
    }
}
