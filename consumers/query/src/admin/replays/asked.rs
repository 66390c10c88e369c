//! Which records a new generation is made of: what a body asks for, held against the lanes as they are.

use licenseflow_core::contract::time::{millis_from, parse_rfc3339};
use licenseflow_core::contract::{Lane, PartitionId, Position, Topics};
use licenseflow_runtime::http::Problem;
use licenseflow_store::generations::Made;
use serde_json::Value;

use super::super::asked::invalid;
use super::super::lanes::{Lanes, LanesAway, PartitionSpan};
use crate::answer::Failure;

/// From where the log is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    Beginning,
    /// These partitions, from there on.
    Position(Position),
    /// From the first record of this time or a later one, in milliseconds UTC.
    Time(i64),
}

impl From {
    /// Reads the member `from`; `now` is in microseconds.
    pub(super) fn of(asked: &Value, now: i64) -> Result<Self, Failure> {
        let members = asked.as_object().filter(|it| it.len() == 1);
        let one = members.and_then(|it| it.iter().next());
        let one = one.and_then(|(name, value)| Some((name.as_str(), value.as_str()?)));
        match (asked.as_str(), one) {
            (Some("beginning"), _) => Ok(Self::Beginning),
            (_, Some(("position", text))) => position(text).map(Self::Position),
            (_, Some(("time", text))) => time(text, now).map(Self::Time),
            (Some(_) | None, _) => Err(invalid(
                "/from",
                "expected \"beginning\", {\"position\": \"e:0:1042\"} or {\"time\": \"2026-11-01T00:00:00Z\"}",
            )),
        }
    }
}

fn position(text: &str) -> Result<Position, Failure> {
    let wrong = |error: &str| invalid("/from/position", error);
    let position: Position = text.parse().map_err(|error| {
        let error: licenseflow_core::contract::position::ParseError = error;
        wrong(&error.to_string())
    })?;
    if position.is_empty() {
        return Err(wrong("it names no partition"));
    }
    Ok(position)
}

fn time(text: &str, now: i64) -> Result<i64, Failure> {
    let wrong = |error: &str| invalid("/from/time", error);
    let micros = parse_rfc3339(text).map_err(|error| wrong(&error.to_string()))?;
    if micros > now {
        return Err(wrong("it is still to come"));
    }
    Ok(millis_from(micros))
}

type Chosen = Vec<(Lane, PartitionId)>;

/// The member `partitions`: each as topic:partition.
pub(super) fn partitions(asked: &[String], topics: &Topics) -> Result<Chosen, Failure> {
    if asked.is_empty() {
        return Err(invalid("/partitions", "expected one at least"));
    }
    let mut chosen = Chosen::with_capacity(asked.len());
    for (number, text) in asked.iter().enumerate() {
        let wrong = |error: &str| invalid(&format!("/partitions/{number}"), error);
        let named = text.rsplit_once(':').and_then(|(topic, partition)| {
            let partition = partition.parse().ok()?;
            Some((topics.lane_of(topic)?, partition))
        });
        let expected = || {
            let lane = topics.lane(Lane::Interactive);
            wrong(&format!(
                "expected a lane's topic and the number of a partition, such as {lane}:0"
            ))
        };
        let named = named.ok_or_else(expected)?;
        if chosen.contains(&named) {
            return Err(wrong("it stands more than once"));
        }
        chosen.push(named);
    }
    Ok(chosen)
}

/// What the generation is made of. The brokers are asked unless that is all of both lanes. Blocks.
pub(super) fn made(
    from: &From,
    chosen: Option<&Chosen>,
    lanes: &dyn Lanes,
    topics: &Topics,
) -> Result<Made, Failure> {
    if *from == From::Beginning && chosen.is_none() {
        return Ok(Made::Whole);
    }
    let spans = lanes.spans().map_err(brokers_away)?;
    if let Some(chosen) = chosen {
        are_there(chosen, &spans, topics)?;
    }
    let is_chosen = |lane, partition| chosen.is_none_or(|it| it.contains(&(lane, partition)));
    let all: Position = match from {
        From::Beginning => {
            let begins = spans.iter();
            let begins = begins.map(|it| (it.lane, it.partition, it.begin));
            begins.collect()
        }
        From::Time(time) => lanes.at_time(*time).map_err(brokers_away)?,
        From::Position(position) => {
            lie_in(position, &spans, topics)?;
            are_named(chosen, position)?;
            position.clone()
        }
    };
    let each = all.iter().filter(|(lane, of, _)| is_chosen(*lane, *of));
    let begin = each.collect();
    Ok(Made::Part { begin })
}

fn span(spans: &[PartitionSpan], lane: Lane, partition: PartitionId) -> Option<&PartitionSpan> {
    let mut each = spans.iter();
    each.find(|it| (it.lane, it.partition) == (lane, partition))
}

/// Refuses partitions that a lane does not have.
fn are_there(chosen: &Chosen, spans: &[PartitionSpan], topics: &Topics) -> Result<(), Failure> {
    for (number, (lane, partition)) in chosen.iter().enumerate() {
        if span(spans, *lane, *partition).is_none() {
            let pointer = format!("/partitions/{number}");
            return Err(invalid(&pointer, &none_of(spans, *lane, topics)));
        }
    }
    Ok(())
}

fn none_of(spans: &[PartitionSpan], lane: Lane, topics: &Topics) -> String {
    let count = spans.iter().filter(|it| it.lane == lane).count();
    let topic = topics.lane(lane);
    format!("{topic} has {count} partitions, the first being 0")
}

/// Refuses a position that lies outside of the lanes.
fn lie_in(position: &Position, spans: &[PartitionSpan], topics: &Topics) -> Result<(), Failure> {
    let wrong = |error: &str| invalid("/from/position", error);
    for (lane, partition, next_offset) in position.iter() {
        let Some(span) = span(spans, lane, partition) else {
            return Err(wrong(&none_of(spans, lane, topics)));
        };
        if !(span.begin..=span.end).contains(&next_offset) {
            let (topic, begin, end) = (topics.lane(lane), span.begin, span.end);
            return Err(wrong(&format!(
                "partition {partition} of {topic} begins at {begin} and ends at {end}"
            )));
        }
    }
    Ok(())
}

/// Refuses partitions for which a position does not say where they begin.
fn are_named(chosen: Option<&Chosen>, position: &Position) -> Result<(), Failure> {
    for (number, (lane, partition)) in chosen.into_iter().flatten().enumerate() {
        if position.get(*lane, *partition).is_none() {
            let pointer = format!("/partitions/{number}");
            return Err(invalid(&pointer, "the position does not name it"));
        }
    }
    Ok(())
}

fn brokers_away(away: LanesAway) -> Failure {
    tracing::warn!("where a replay begins cannot be asked now: {}", away.why);
    Problem::unavailable("brokers_away", "the brokers are away; try again").into()
}
