//! An event of a timeline: its JSON form, where it lies, who said it, and what voided it.

use licenseflow_core::contract::{Coordinates, Topics, json as json_form};
use licenseflow_store::lookup::TimelineRow;
use serde_json::{Value, json};

use super::time_ms;
use crate::links::{self, Links};

pub(crate) fn event(row: &TimelineRow, topics: &Topics) -> Value {
    let recorded = &row.recorded;
    let at = &recorded.at;
    let request_id = match &recorded.request_id {
        Some(request_id) => request_id.to_string(),
        None => coordinates_text(at, topics),
    };
    let mut shown = json_form::encode(&recorded.event);
    if let Value::Object(members) = &mut shown {
        members.insert("topic".to_owned(), topics.lane(at.lane).into());
        members.insert("partition".to_owned(), at.partition.into());
        members.insert("offset".to_owned(), at.offset.into());
        members.insert("recorded_at".to_owned(), time_ms(at.timestamp).into());
        let links = Links::default().and("request", links::request(&request_id));
        members.insert("_links".to_owned(), links.json());
        members.insert("request_id".to_owned(), request_id.into());
        if let Some(voided_by) = row.voided_by {
            let voided_by = voided_by.hyphenated().to_string();
            members.insert("voided_by".to_owned(), json!(voided_by));
        }
    }
    shown
}

/// How a record without a request id is known.
pub(crate) fn coordinates_text(at: &Coordinates, topics: &Topics) -> String {
    format!("{}:{}:{}", topics.lane(at.lane), at.partition, at.offset)
}
