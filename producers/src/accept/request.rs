//! What a request's headers ask for: the form of its body, the lane, the trace it belongs to.

use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use licenseflow_avro::Lane;
use licenseflow_avro::headers;
use licenseflow_avro::json::CloudEvent;
use licenseflow_runtime::http::{Problem, RequestId};
use tokio::time::Instant;

use super::binary;
use crate::publish::RequestContext;

/// The form of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// One event, or an array of events.
    Json,
    /// One event a line.
    Lines,
    /// One CloudEvent.
    CloudEvent,
    /// An array of CloudEvents.
    CloudEvents,
    /// The data of one CloudEvent; its attributes came in the headers.
    CloudEventData(Box<CloudEvent>),
}

/// What the headers ask for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) form: Form,
    pub(super) lane: Lane,
    pub(super) content_length: Option<u64>,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

impl Asked {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let traceparent = text(headers, "traceparent").filter(|text| is_traceparent(text));
        Ok(Self {
            form: form(headers)?,
            lane: lane(headers)?,
            content_length: headers
                .get(CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok()?.parse().ok()),
            tracestate: tracestate(headers),
            traceparent: traceparent.map(str::to_owned),
        })
    }

    pub(super) fn context(
        &self,
        id: &RequestId,
        received_at_ms: i64,
        answer_by: Instant,
    ) -> Result<RequestContext, Problem> {
        // The rule for request ids is one and the same; this only changes the type.
        let request_id = headers::RequestId::parse(id.as_str()).ok_or_else(Problem::internal)?;
        Ok(RequestContext {
            request_id,
            received_at_ms,
            traceparent: self.traceparent.clone(),
            tracestate: self.tracestate.clone(),
            answer_by: Some(answer_by),
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn lane(headers: &HeaderMap) -> Result<Lane, Problem> {
    let Some(priority) = headers.get("x-priority") else {
        return Ok(Lane::Interactive);
    };
    match priority.as_bytes().to_ascii_lowercase().as_slice() {
        b"bulk" => Ok(Lane::Bulk),
        b"interactive" => Ok(Lane::Interactive),
        _ => Err(Problem::bad_request(
            "invalid_priority",
            "X-Priority is bulk, interactive, or left out",
        )),
    }
}

const TAKEN: &str = "application/json, application/x-ndjson, application/cloudevents+json, application/cloudevents-batch+json";

fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let detail = "bodies are taken as they are, without Content-Encoding";
        return Err(unsupported(
            "unsupported_content_encoding",
            detail.to_owned(),
        ));
    }
    let Some(media_type) = headers.get(CONTENT_TYPE) else {
        let detail = format!("Content-Type is missing: it is one of {TAKEN}");
        return Err(unsupported("missing_content_type", detail));
    };
    let media_type = media_type.to_str().unwrap_or_default().to_ascii_lowercase();
    let (essence, parameters) = media_type.split_once(';').unwrap_or((&media_type, ""));
    if !is_utf8(parameters) {
        let detail = "events are UTF-8".to_owned();
        return Err(unsupported("unsupported_charset", detail));
    }
    match essence.trim() {
        "application/json" => Ok(match binary::attributes(headers)? {
            Some(attributes) => Form::CloudEventData(Box::new(attributes)),
            None => Form::Json,
        }),
        "application/x-ndjson" => Ok(Form::Lines),
        "application/cloudevents+json" => Ok(Form::CloudEvent),
        "application/cloudevents-batch+json" => Ok(Form::CloudEvents),
        _ => {
            let detail = format!("the media type is not taken: it is one of {TAKEN}");
            Err(unsupported("unsupported_media_type", detail))
        }
    }
}

fn unsupported(code: &str, detail: String) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code).detail(detail)
}

/// Whether the parameters name no charset but UTF-8; others, such as a boundary, mean nothing here.
fn is_utf8(parameters: &str) -> bool {
    parameters.split(';').all(|parameter| {
        let Some(("charset", charset)) = parameter.trim().split_once('=') else {
            return true;
        };
        matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii")
    })
}

/// W3C: `00-` and 32, 16 and 2 hexadecimal digits; a later version may have more behind them.
fn is_traceparent(text: &str) -> bool {
    let mut parts = text.splitn(5, '-');
    let mut hex = |length| {
        let part = parts.next().unwrap_or_default();
        let fits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        part.len() == length && part.bytes().all(fits)
    };
    text.len() <= 256
        && hex(2)
        && hex(32)
        && hex(16)
        && hex(2)
        && (text.len() == 55 || !text.starts_with("00"))
}

/// The trace state, put together where it came in several headers. W3C has 512 characters passed on.
fn tracestate(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all("tracestate").iter();
    let values: Vec<&str> = values
        .map(|value| value.to_str().ok())
        .collect::<Option<_>>()?;
    let joined = values.join(",");
    (!joined.is_empty() && joined.len() <= 512).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(given: &[(&'static str, &'static str)]) -> Result<Asked, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        Asked::of(&headers)
    }

    #[test]
    fn the_media_type_says_the_form() {
        for (media_type, form) in [
            ("application/json", Form::Json),
            ("Application/JSON; charset=UTF-8", Form::Json),
            ("application/x-ndjson", Form::Lines),
            (
                "application/cloudevents+json;charset=utf-8",
                Form::CloudEvent,
            ),
            ("application/cloudevents-batch+json", Form::CloudEvents),
        ] {
            assert_eq!(asked(&[("content-type", media_type)]).unwrap().form, form);
        }
    }

    #[test]
    fn other_media_types_charsets_and_encodings_are_unsupported() {
        for given in [
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "application/json; charset=latin1")],
            &[
                ("content-type", "application/json"),
                ("content-encoding", "gzip"),
            ],
        ] {
            let problem = asked(given).unwrap_err();
            assert_eq!(
                problem.status,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "{given:?}"
            );
        }
    }

    #[test]
    fn a_priority_that_is_none_is_refused() {
        let json = ("content-type", "application/json");
        assert_eq!(asked(&[json]).unwrap().lane, Lane::Interactive);
        assert_eq!(
            asked(&[json, ("x-priority", "Bulk")]).unwrap().lane,
            Lane::Bulk
        );
        assert_eq!(
            asked(&[json, ("x-priority", "high")]).unwrap_err().status,
            400
        );
    }

    #[test]
    fn a_trace_parent_is_passed_on_only_if_it_is_one() {
        assert!(is_traceparent(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        ));
        assert!(is_traceparent(
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"
        ));
        for text in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033-01",
        ] {
            assert!(!is_traceparent(text), "{text}");
        }
    }
}
