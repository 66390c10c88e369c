//! Which letters are asked for: by a filter in the address or in a body, or by their places.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use licenseflow_core::contract::headers::RequestId;
use licenseflow_core::contract::limits::valid_id;
use licenseflow_core::contract::time::parse_rfc3339;
use licenseflow_core::contract::{Reason, Topics};
use licenseflow_runtime::http::Problem;
use licenseflow_store::lookup::RecordPlace;
use licenseflow_store::{LetterQuery, LetterState};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::answer::Failure;
use crate::body;
use crate::params::{NOT_AN_ID, Params};

/// The parameters of the list beside its page.
pub(crate) const FILTERS: [&str; 9] = [
    "state",
    "reason",
    "tenant_id",
    "license_id",
    "request_id",
    "from",
    "to",
    "limit",
    "cursor",
];

/// A filter, as texts that were looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filter {
    /// `all` beside the states; none: open.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    tenant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    license_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    to: Option<String>,
}

/// A member that cannot be taken: its name, and why.
type Wrong = (&'static str, String);

impl Filter {
    /// The filter of an address.
    pub(crate) fn of(params: &Params) -> Self {
        let text = |name: &str| params.text(name).map(str::to_owned);
        Self {
            state: text("state"),
            reason: text("reason"),
            tenant_id: text("tenant_id"),
            license_id: text("license_id"),
            request_id: text("request_id"),
            from: text("from"),
            to: text("to"),
        }
    }

    /// The first page of what is asked for.
    pub(crate) fn query(&self) -> Result<LetterQuery, Wrong> {
        let word =
            |name: &'static str, text: &Option<String>, words: &str, take: bool| match (text, take)
            {
                (Some(_), false) => Err((name, format!("expected {words}"))),
                (None, _) | (Some(_), true) => Ok(()),
            };
        let state = self.state.as_deref().unwrap_or(LetterState::Open.name());
        let known = LetterState::ALL.into_iter().find(|it| it.name() == state);
        let is_state = known.is_some() || state == ALL;
        word(
            "state",
            &self.state,
            "open, resolved, redriven or all",
            is_state,
        )?;
        let reason = self.reason.as_deref().map(Reason::from_name);
        let names = Reason::ALL.map(Reason::name).join(", ");
        word("reason", &self.reason, &names, reason != Some(None))?;
        for (name, text) in [
            ("tenant_id", &self.tenant_id),
            ("license_id", &self.license_id),
        ] {
            if text.as_deref().is_some_and(|text| !valid_id(text)) {
                return Err((name, NOT_AN_ID.to_owned()));
            }
        }
        let request_id = self.request_id.as_deref().map(RequestId::parse);
        let rule = "1 to 128 visible ASCII characters";
        word(
            "request_id",
            &self.request_id,
            rule,
            request_id != Some(None),
        )?;
        Ok(LetterQuery {
            state: known,
            reason: reason.flatten(),
            tenant_id: self.tenant_id.clone(),
            license_id: self.license_id.clone(),
            request_id: request_id.flatten(),
            from: millis("from", self.from.as_deref())?,
            to: millis("to", self.to.as_deref())?,
            after: None,
            limit: 0,
        })
    }
}

/// Letters in any state.
pub(crate) const ALL: &str = "all";

/// A time as the store keeps it: the first millisecond that is not before it.
fn millis(name: &'static str, text: Option<&str>) -> Result<Option<i64>, Wrong> {
    let parsed = text.map(parse_rfc3339).transpose();
    let micros = parsed.map_err(|error| (name, error.to_string()))?;
    Ok(micros.map(|micros| micros.saturating_add(999).div_euclid(1000)))
}

/// Where a letter's record lies, as it is said in a body.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskedPlace {
    topic: String,
    partition: i32,
    offset: i64,
}

impl AskedPlace {
    pub(crate) fn place(&self, topics: &Topics) -> Option<RecordPlace> {
        Some((topics.lane_of(&self.topic)?, self.partition, self.offset))
    }
}

/// What a body asks to be done with letters: those of a filter, or these.
#[derive(Debug)]
pub(crate) enum Which {
    /// With the question that it asks.
    Filter(Box<(Filter, LetterQuery)>),
    Places(Vec<RecordPlace>),
}

/// So many letters may be named by their places.
pub(crate) const PLACES_MAX: usize = 1000;

/// The filter of a body, which picks among open letters alone, or the places, of which there is one kind.
pub(crate) fn which(
    filter: Option<Filter>,
    letters: Option<Vec<AskedPlace>>,
    topics: &Topics,
) -> Result<Which, Failure> {
    match (filter, letters) {
        (Some(filter), None) => {
            if filter.state.is_some() {
                let error = "left out here: only open letters are taken by a filter";
                return Err(invalid("/filter/state", error));
            }
            let query = filter.query();
            let wrong = |(name, error): Wrong| invalid(&format!("/filter/{name}"), &error);
            Ok(Which::Filter(Box::new((filter, query.map_err(wrong)?))))
        }
        (None, Some(letters)) => {
            if letters.is_empty() || letters.len() > PLACES_MAX {
                let error = format!("expected 1 to {PLACES_MAX} places");
                return Err(invalid("/letters", &error));
            }
            let places = letters.iter().enumerate().map(|(number, asked)| {
                let wrong = || {
                    let pointer = format!("/letters/{number}/topic");
                    let error = format!("{} is no lane of this platform", quoted(&asked.topic));
                    invalid(&pointer, &error)
                };
                asked.place(topics).ok_or_else(wrong)
            });
            Ok(Which::Places(places.collect::<Result<_, _>>()?))
        }
        (Some(_), Some(_)) | (None, None) => Err(invalid(
            "",
            "expected either `filter`, which may be empty, or `letters`",
        )),
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// A member that is there is not null.
pub(crate) fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A number of a body within its bounds.
pub(crate) fn bounded(
    name: &str,
    asked: Option<u64>,
    default: usize,
    most: usize,
) -> Result<usize, Failure> {
    let asked = asked.map_or(Some(default), |it| usize::try_from(it).ok());
    let fits = asked.filter(|number| (1..=most).contains(number));
    fits.ok_or_else(|| {
        let error = format!("expected a number from 1 to {most}");
        invalid(&format!("/{name}"), &error)
    })
}

/// A body that is well formed and cannot be taken.
pub(crate) fn invalid(pointer: &str, error: &str) -> Failure {
    let problem = Problem::unprocessable("invalid_body", "the body cannot be taken; see errors");
    problem.field(pointer, error).into()
}

/// Reads a body of JSON.
pub(crate) fn body<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Failure> {
    let body = body::whole(headers, body, super::BODY_BYTES_MAX)?;
    body::read(&body, |error| invalid("", &error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(json: &str) -> Result<LetterQuery, Wrong> {
        serde_json::from_str::<Filter>(json).unwrap().query()
    }

    #[test]
    fn a_filter_takes_open_letters_unless_another_state_is_asked_for() {
        assert_eq!(filter("{}").unwrap().state, Some(LetterState::Open));
        let state = |text: &str| filter(&format!("{{\"state\":\"{text}\"}}")).unwrap().state;
        assert_eq!(state("resolved"), Some(LetterState::Resolved));
        assert_eq!(state("all"), None);
    }

    #[test]
    fn what_a_filter_cannot_be_is_named() {
        for (json, name) in [
            (r#"{"state":"closed"}"#, "state"),
            (r#"{"reason":"bad"}"#, "reason"),
            (r#"{"tenant_id":"-"}"#, "tenant_id"),
            (r#"{"license_id":""}"#, "license_id"),
            (r#"{"request_id":"a b"}"#, "request_id"),
            (r#"{"from":"yesterday"}"#, "from"),
        ] {
            assert_eq!(filter(json).unwrap_err().0, name, "{json}");
        }
        assert!(serde_json::from_str::<Filter>(r#"{"reasons":"x"}"#).is_err());
    }

    #[test]
    fn a_time_between_two_milliseconds_is_the_later_one() {
        let query = filter(r#"{"from":"1970-01-01T00:00:00.001001Z"}"#).unwrap();
        assert_eq!(query.from, Some(2));
    }

    #[test]
    fn letters_are_named_by_a_filter_or_by_their_places_and_by_one_of_these() {
        let topics = Topics::new("");
        let place = |topic: &str| AskedPlace {
            topic: topic.to_owned(),
            partition: 1,
            offset: 2,
        };
        let lane = "license.events.v1";
        let taken = which(None, Some(vec![place(lane)]), &topics).unwrap();
        assert!(matches!(taken, Which::Places(places) if places.len() == 1));
        let filter = || Some(Filter::default());
        assert!(matches!(
            which(filter(), None, &topics),
            Ok(Which::Filter(_))
        ));
        for (filter, letters) in [
            (None, None),
            (filter(), Some(vec![place(lane)])),
            (None, Some(vec![])),
            (None, Some(vec![place("license.events.dlq.v1")])),
        ] {
            assert!(which(filter, letters, &topics).is_err());
        }
    }
}
