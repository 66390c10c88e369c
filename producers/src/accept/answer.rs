//! What a client is told: receipts, problems, and the status over them.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use licenseflow_avro::event::LicenseEvent;
use licenseflow_avro::time::format_rfc3339;
use licenseflow_runtime::http::{FieldProblem, Problem, RequestId};
use serde_json::{Value, json};

use super::read::Shape;
use crate::metrics;
use crate::publish::{Outcome, PublishError, Receipt};

/// When to come again, where the brokers are the cause.
const RETRY_AFTER_SECONDS: u32 = 2;

/// The most fields that an answer over many events names a second time, apart from its lines.
const ERRORS_MAX: usize = 100;

/// What became of one event.
#[derive(Debug)]
pub(super) enum Line {
    Taken(Receipt),
    /// Its content is at fault.
    Invalid(Box<Problem>),
    /// The brokers have not acknowledged it.
    NotTaken(Outcome, Box<Problem>),
}

impl Line {
    pub(super) fn not_taken(event: &LicenseEvent, error: &PublishError) -> Self {
        let outcome = error.outcome();
        let problem = match error {
            PublishError::TooLarge { .. } => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error.kind()).detail(error.to_string())
            }
            PublishError::QueueFull
            | PublishError::BrokersAway
            | PublishError::Stopped
            | PublishError::Refused(_)
            | PublishError::Unacknowledged(_)
            | PublishError::TooLate
            | PublishError::NoProducer => Problem::unavailable(error.kind(), error.to_string()),
        };
        let problem = problem.retry_after(RETRY_AFTER_SECONDS);
        Line::NotTaken(
            outcome,
            Box::new(match outcome {
                Outcome::Refused => problem,
                // With these the same event can be sent again, and counts once.
                Outcome::Unknown => problem
                    .member("event_id", event.event_id.hyphenated().to_string())
                    .member("occurred_at", format_rfc3339(event.occurred_at)),
            }),
        )
    }

    fn problem(&self) -> Option<Problem> {
        match self {
            Line::Taken(_) => None,
            Line::Invalid(problem) => {
                let problem = problem.as_ref().clone();
                Some(problem.member("outcome", Outcome::Refused.name()))
            }
            Line::NotTaken(outcome, problem) => {
                Some(problem.as_ref().clone().member("outcome", outcome.name()))
            }
        }
    }

    fn receipt(&self) -> Option<&Receipt> {
        match self {
            Line::Taken(receipt) => Some(receipt),
            Line::Invalid(_) | Line::NotTaken(..) => None,
        }
    }

    /// The receipt or the problem of the event in this place.
    fn to_json(&self, place: usize) -> Value {
        match self {
            Line::Taken(receipt) => json!(receipt),
            Line::Invalid(_) | Line::NotTaken(..) => {
                self.problem().map_or(Value::Null, |problem| {
                    problem.member("pointer", format!("/{place}")).to_json()
                })
            }
        }
    }
}

/// The answer to a request whose events were looked at one by one.
#[derive(Debug)]
pub(super) struct Answer {
    id: RequestId,
    shape: Shape,
    lines: Vec<Line>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    taken: usize,
    invalid: usize,
    refused: usize,
    unknown: usize,
}

impl Answer {
    pub(super) fn new(id: RequestId, shape: Shape, lines: Vec<Line>) -> Self {
        let mut counts = Counts::default();
        for line in &lines {
            match line {
                Line::Taken(_) => counts.taken += 1,
                Line::Invalid(_) => counts.invalid += 1,
                Line::NotTaken(Outcome::Refused, _) => counts.refused += 1,
                Line::NotTaken(Outcome::Unknown, _) => counts.unknown += 1,
            }
        }
        counts.tell();
        Self {
            id,
            shape,
            lines,
            counts,
        }
    }

    /// Some events have receipts, perhaps all.
    fn taken(&self) -> Response {
        let lines = self.lines.iter().enumerate();
        let results: Vec<Value> = lines.map(|(place, line)| line.to_json(place)).collect();
        let position = Receipt::position(self.lines.iter().filter_map(Line::receipt));
        let status_url = format!("/v1/requests/{}", encoded(self.id.as_str()));
        let body = json!({
            "request_id": self.id.as_str(),
            "receipts": results,
            "position": position,
            "_links": { "status": { "href": status_url } },
        });
        let status = if self.counts.taken == self.lines.len() {
            StatusCode::ACCEPTED
        } else {
            StatusCode::MULTI_STATUS
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Ok(location) = HeaderValue::from_str(&status_url) {
            headers.insert(header::LOCATION, location);
        }
        if self.counts.refused + self.counts.unknown > 0 {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        response
    }

    /// No event has a receipt, of many.
    fn none_taken(&self) -> Problem {
        let counts = self.counts;
        let problem = if counts.refused + counts.unknown == 0 {
            let detail = "no event was taken: the content of each is at fault";
            Problem::unprocessable("no_event_taken", detail)
        } else {
            let detail =
                "no event was acknowledged by the brokers; the receipts say which may have arrived";
            Problem::unavailable("no_event_acknowledged", detail).retry_after(RETRY_AFTER_SECONDS)
        };
        let outcome = if counts.unknown > 0 {
            Outcome::Unknown
        } else {
            Outcome::Refused
        };
        let lines = self.lines.iter().enumerate();
        let results: Vec<Value> = lines.map(|(place, line)| line.to_json(place)).collect();
        Problem {
            errors: self.errors(),
            ..problem
        }
        .member("outcome", outcome.name())
        .member("receipts", results)
    }

    fn errors(&self) -> Vec<FieldProblem> {
        let invalid = self.lines.iter().filter_map(|line| match line {
            Line::Invalid(problem) => Some(&problem.errors),
            Line::Taken(_) | Line::NotTaken(..) => None,
        });
        invalid.flatten().take(ERRORS_MAX).cloned().collect()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        if self.counts.taken > 0 {
            return self.taken();
        }
        match (self.shape, self.lines.first().and_then(Line::problem)) {
            (Shape::Single, Some(problem)) => problem.into_response(),
            (Shape::Single | Shape::Many, _) => self.none_taken().into_response(),
        }
    }
}

impl Counts {
    fn tell(self) {
        let Counts {
            taken,
            invalid,
            refused,
            unknown,
        } = self;
        metrics::events_answered("taken", taken);
        metrics::events_answered("invalid", invalid);
        metrics::events_answered("refused", refused);
        metrics::events_answered("unknown", unknown);
        if refused + unknown > 0 {
            tracing::warn!(taken, refused, unknown, "events were not acknowledged");
        }
    }
}

/// A request id as a part of a path: what a path gives a meaning of its own is percent-encoded.
fn encoded(id: &str) -> String {
    let mut encoded = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use licenseflow_avro::Lane;
    use uuid::Uuid;

    fn taken() -> Line {
        Line::Taken(Receipt {
            event_id: Uuid::nil(),
            topic: "t".into(),
            partition: 3,
            offset: 4,
            lane: Lane::Interactive,
        })
    }

    fn invalid() -> Line {
        Line::Invalid(Box::new(Problem::unprocessable("invalid_event", "bad")))
    }

    fn away(outcome: Outcome) -> Line {
        let problem = Problem::unavailable("brokers_away", "away").retry_after(RETRY_AFTER_SECONDS);
        Line::NotTaken(outcome, Box::new(problem))
    }

    fn status(lines: Vec<Line>) -> u16 {
        let answer = Answer::new(RequestId::generate(), Shape::Many, lines);
        answer.into_response().status().as_u16()
    }

    #[test]
    fn the_status_is_over_all_lines() {
        assert_eq!(status(vec![taken(), taken()]), 202);
        assert_eq!(status(vec![taken(), invalid()]), 207);
        assert_eq!(status(vec![taken(), away(Outcome::Unknown)]), 207);
        assert_eq!(status(vec![invalid(), invalid()]), 422);
        assert_eq!(
            status(vec![away(Outcome::Refused), away(Outcome::Unknown)]),
            503
        );
        assert_eq!(status(vec![invalid(), away(Outcome::Refused)]), 503);
    }

    #[test]
    fn where_brokers_are_the_cause_the_answer_says_when_to_come_again() {
        for lines in [
            vec![away(Outcome::Refused)],
            vec![taken(), away(Outcome::Unknown)],
        ] {
            let answer = Answer::new(RequestId::generate(), Shape::Many, lines);
            assert_eq!(answer.into_response().headers()["retry-after"], "2");
        }
    }

    #[test]
    fn a_request_id_is_one_part_of_the_path_of_its_status() {
        assert_eq!(encoded("a/b?c#d%\"e"), "a%2Fb%3Fc%23d%25%22e");
        assert_eq!(encoded("order-42_x.y~z"), "order-42_x.y~z");
    }
}
