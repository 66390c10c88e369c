//! From the bytes of a body to events, or to what is wrong with each. Pure, so that it can run anywhere.

use axum::http::StatusCode;
use licenseflow_avro::event::LicenseEvent;
use licenseflow_avro::json::{self, Draft};
use licenseflow_avro::reason::{Fault, Reason};
use licenseflow_runtime::http::Problem;

use super::complete::{Completion, Wrong};
use super::request::Form;

/// How a body is read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) form: Form,
    pub(super) event_bytes_max: usize,
    pub(super) events_max: usize,
    pub(super) completion: Completion,
}

/// Whether a client sent one event or a list, which may hold but one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Single,
    Many,
}

/// The events of a request, in their order.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) shape: Shape,
    pub(super) events: Vec<Result<LicenseEvent, Box<Problem>>>,
}

/// How one event is written.
#[derive(Clone, Copy)]
enum Notation {
    Ours,
    CloudEvents,
}

impl Reading {
    /// An error is about the body as a whole.
    pub(super) fn read(self, body: &[u8]) -> Result<Batch, Problem> {
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        match &self.form {
            Form::Json if first == Some(&b'[') => self.many(&items(body)?, Notation::Ours),
            Form::CloudEvents => self.many(&items(body)?, Notation::CloudEvents),
            Form::Lines => self.many(&lines(body), Notation::Ours),
            Form::Json => self.single(json::decode_draft(body), Notation::Ours),
            Form::CloudEvent => self.single(json::cloudevents_decode(body), Notation::CloudEvents),
            Form::CloudEventData(attributes) => {
                let draft = attributes.as_ref().clone().with_data(body);
                self.single(draft, Notation::CloudEvents)
            }
        }
    }

    fn single(&self, draft: Result<Draft, Fault>, notation: Notation) -> Result<Batch, Problem> {
        if let Err(fault) = &draft
            && fault.reason == Reason::BadJson
        {
            return Err(Problem::bad_request(fault.reason.name(), &fault.error));
        }
        let event = self.event(draft, 0);
        Ok(Batch {
            shape: Shape::Single,
            events: vec![event.map_err(|wrong| problem(&wrong, "", notation))],
        })
    }

    fn many(&self, texts: &[&[u8]], notation: Notation) -> Result<Batch, Problem> {
        if texts.is_empty() {
            let detail = "there is no event in the list";
            return Err(Problem::bad_request("empty_body", detail));
        }
        if texts.len() > self.events_max {
            let events_max = self.events_max;
            return Err(
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_events")
                    .detail(format!("a request has at most {events_max} events")),
            );
        }
        let events = texts.iter().enumerate().map(|(place, text)| {
            let at = format!("/{place}");
            if text.len() > self.event_bytes_max {
                return Err(self.too_large(at));
            }
            let draft = match notation {
                Notation::Ours => json::decode_draft(text),
                Notation::CloudEvents => json::cloudevents_decode(text),
            };
            let event = self.event(draft, place);
            event.map_err(|wrong| problem(&wrong, &at, notation))
        });
        Ok(Batch {
            shape: Shape::Many,
            events: events.collect(),
        })
    }

    fn event(&self, draft: Result<Draft, Fault>, place: usize) -> Result<LicenseEvent, Wrong> {
        self.completion.complete(draft?, place)
    }

    fn too_large(&self, at: String) -> Box<Problem> {
        let detail = format!("an event has at most {} bytes", self.event_bytes_max);
        Box::new(
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "event_too_large")
                .detail(detail.as_str())
                .field(at, detail.as_str()),
        )
    }
}

fn items(body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    json::split_array(body).map_err(|fault| Problem::bad_request(fault.reason.name(), fault.error))
}

/// The lines that are not blank.
fn lines(body: &[u8]) -> Vec<&[u8]> {
    let lines = body.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
        .collect()
}

/// What is wrong with the event that stands at `at` in the body.
fn problem(wrong: &Wrong, at: &str, notation: Notation) -> Box<Problem> {
    let faults = match wrong {
        Wrong::Tenant => {
            let detail = "is not the tenant that X-Tenant-Id names";
            let problem =
                Problem::unprocessable("tenant_mismatch", "the event's tenant is another's");
            return Box::new(problem.field(pointer(at, "/tenant_id", notation), detail));
        }
        Wrong::Event(faults) => faults,
    };
    let reason = faults
        .first()
        .map_or(Reason::InvalidEvent, |fault| fault.reason);
    let detail = faults.first().map_or_else(String::new, ToString::to_string);
    let problem = Problem::unprocessable(reason.name(), detail);
    Box::new(faults.iter().fold(problem, |problem, fault| {
        let place = fault.pointer.as_deref().unwrap_or_default();
        problem.field(pointer(at, place, notation), &fault.error)
    }))
}

/// A place in the body, from a place in the JSON form of an event.
fn pointer(at: &str, place: &str, notation: Notation) -> String {
    let place = match notation {
        Notation::Ours => place,
        Notation::CloudEvents => match place {
            "/event_id" => "/id",
            "/license_id" => "/subject",
            "/tenant_id" => "/tenantid",
            "/occurred_at" => "/time",
            other => other,
        },
    };
    format!("{at}{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: Form, body: &str) -> Result<Batch, Problem> {
        let reading = Reading {
            form,
            event_bytes_max: 200,
            events_max: 3,
            completion: Completion {
                tenant: None,
                received_at: 1_800_000_000_000_000,
                future_skew: 300_000_000,
            },
        };
        reading.read(body.as_bytes())
    }

    fn pointers(event: &Result<LicenseEvent, Box<Problem>>) -> Vec<&str> {
        let errors = &event.as_ref().unwrap_err().errors;
        errors.iter().map(|error| error.pointer.as_str()).collect()
    }

    const USAGE: &str =
        r#"{"license_id":"L","type":"UsageRecorded","data":{"metric":"m","quantity":1}}"#;

    #[test]
    fn each_line_stands_alone_and_blank_lines_are_none() {
        let long = format!("{USAGE}{}", " ".repeat(200));
        let batch = read(Form::Lines, &format!("{USAGE}\r\n\n{{\n{long}\n")).unwrap();
        assert_eq!(batch.shape, Shape::Many);
        assert!(batch.events[0].is_ok());
        let problem = batch.events[1].as_ref().unwrap_err();
        assert_eq!(
            (problem.code.as_str(), problem.status.as_u16()),
            ("bad_json", 422)
        );
        assert_eq!(pointers(&batch.events[1]), ["/1"]);
        assert_eq!(batch.events[2].as_ref().unwrap_err().status, 413);
    }

    #[test]
    fn every_bad_field_is_named_with_its_place_in_the_list() {
        let bad = r#"{"license_id":"-","type":"UsageRecorded","data":{"metric":"","quantity":-1}}"#;
        let batch = read(Form::Json, &format!("[{USAGE}, {bad}]")).unwrap();
        assert_eq!(
            pointers(&batch.events[1]),
            ["/1/license_id", "/1/data/metric", "/1/data/quantity"]
        );
    }

    #[test]
    fn of_a_cloud_event_the_attributes_are_named() {
        let event = r#"{"specversion":"1.0","id":"70eb9a0a-9626-4ae6-85e8-18fac0433cbd","source":"s",
            "type":"licenseflow.v1.DeviceHeartbeat","subject":"/","time":"2027-01-01T00:00:00Z","data":{"device_id":"d"}}"#;
        let batch = read(Form::CloudEvent, event).unwrap();
        assert_eq!(pointers(&batch.events[0]), ["/subject"]);
    }

    #[test]
    fn a_single_event_or_an_array_that_is_not_json_is_a_bad_request() {
        for (form, body) in [
            (Form::Json, "{"),
            (Form::Json, "[{]"),
            (Form::CloudEvents, "{}"),
            (Form::Json, "[]"),
        ] {
            assert_eq!(read(form, body).unwrap_err().status, 400, "{body}");
        }
    }

    #[test]
    fn too_many_events_are_refused_together() {
        let four = [USAGE; 4].join("\n");
        assert_eq!(read(Form::Lines, &four).unwrap_err().status, 413);
    }
}
