//! From a line to an event, or to words that say which line and which member is wrong.

use std::fmt;

use licenseflow_avro::event::LicenseEvent;
use licenseflow_avro::json;
use licenseflow_avro::limits;
use licenseflow_avro::reason::{Fault, Reason};
use uuid::Uuid;

use super::SendOptions;
use super::lines::Line;
use crate::clock;

/// A line that is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: u64,
    /// What is wrong, with the member's pointer where one is to blame.
    pub fault: Fault,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

/// What a line must keep to be sent.
pub(super) struct Validation {
    tenant: String,
    is_resumable: bool,
    bytes_max: usize,
    future_skew: i64,
}

impl Validation {
    pub(super) fn new(options: &SendOptions) -> Self {
        Self {
            tenant: options
                .tenant
                .clone()
                .unwrap_or_else(|| "default".to_owned()),
            is_resumable: options.state.is_some(),
            bytes_max: options.line_bytes_max,
            future_skew: i64::try_from(options.max_future_skew.as_micros()).unwrap_or(i64::MAX),
        }
    }

    /// The event of a line; none for a blank one.
    pub(super) fn event(&self, line: &Line, text: &[u8]) -> Result<Option<LicenseEvent>, BadLine> {
        if !line.is_cut && text.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let event = self.checked(line, text);
        event.map(Some).map_err(|fault| BadLine {
            line: line.number,
            fault,
        })
    }

    fn checked(&self, line: &Line, text: &[u8]) -> Result<LicenseEvent, Fault> {
        if line.is_cut {
            let error = format!("is longer than {} bytes", self.bytes_max);
            return Err(Fault::new(Reason::TooLarge, error));
        }
        let draft = json::decode_draft(text)?;
        if draft.event_id.is_none() && self.is_resumable {
            let error = "is missing: a run that can be resumed may send a line twice, and needs it";
            return Err(Fault::invalid("/event_id", error));
        }
        let now = clock::now_micros();
        let event = draft.complete(Uuid::now_v7(), &self.tenant, now);
        limits::check(&event)?;
        if event.occurred_at.saturating_sub(now) > self.future_skew {
            let seconds = self.future_skew / 1_000_000;
            return Err(Fault {
                pointer: Some("/occurred_at".to_owned()),
                ..Fault::new(
                    Reason::OccurredAtInFuture,
                    format!("is more than {seconds} s ahead of now"),
                )
            });
        }
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(options: &SendOptions, text: &str) -> Result<Option<LicenseEvent>, String> {
        let line = Line {
            number: 7,
            end: 0,
            is_cut: false,
        };
        let event = Validation::new(options).event(&line, text.as_bytes());
        event.map_err(|bad| bad.to_string())
    }

    #[test]
    fn a_bad_line_is_named_with_its_number_and_its_member() {
        let text =
            r#"{"license_id":"L","type":"UsageRecorded","data":{"metric":"m","quantity":-1}}"#;
        let said = judged(&SendOptions::default(), text).unwrap_err();
        assert!(said.starts_with("line 7: /data/quantity: "), "{said}");
    }

    #[test]
    fn events_without_ids_are_refused_when_the_run_is_to_be_resumable() {
        let text = r#"{"license_id":"L","type":"DeviceHeartbeat","data":{"device_id":"d"}}"#;
        let mut options = SendOptions::default();
        assert!(judged(&options, text).unwrap().is_some());
        assert_eq!(judged(&options, " \r"), Ok(None));
        options.state = Some("state".into());
        let said = judged(&options, text).unwrap_err();
        assert!(said.starts_with("line 7: /event_id: "), "{said}");
    }
}
