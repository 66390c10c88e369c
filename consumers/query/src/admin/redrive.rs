//! Redriving: records that were given up on are published again into the lanes that they came from.
//!
//! | a letter | becomes |
//! |---|---|
//! | its record was too large, or is gone, or was tried too often | not redrivable, and stays as it is |
//! | the brokers have its record in the lane again | redriven: it is marked then, and not before |
//! | the brokers do not take it, or do not answer | as it was: asking again sends it again |
//!
//! Whoever dies between the acknowledgement and the mark sends the record again: the event's id makes both
//! one event.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use licenseflow_core::contract::record::headers_size;
use licenseflow_core::contract::topics::MAX_HEADER_BYTES;
use licenseflow_core::contract::{Coordinates, RawRecord, Reason};
use licenseflow_core::crash;
use licenseflow_runtime::http::Problem;
use licenseflow_store::LetterRow;
use serde::Deserialize;

use super::asked::{AskedPlace, Filter, body, bounded, given, which};
use super::chosen::{Choice, Chosen};
use super::lanes::{Published, Redriven};
use super::shapes::{LetterDealtWith, LettersDealtWith, tries};
use super::words::RedriveAsked;
use super::{AdminState, words};
use crate::answer::Failure;
use crate::metrics;
use crate::params::Params;
use crate::store::problem_of;

/// As many letters as one request redrives.
pub(super) const LIMIT_MAX: usize = 500;
pub(super) const LIMIT: usize = 100;

/// As often as a record is tried again where nobody says otherwise, and at all.
pub(super) const ATTEMPTS_MAX: usize = 3;
pub(super) const ATTEMPTS_MOST: usize = 100;

/// No letter is taken up later than this after the request.
const TAKEN_WITHIN: Duration = Duration::from_secs(4);

/// How long the brokers have to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(4);

/// Records are sent when they come to so many bytes.
const PORTION_BYTES: usize = 4 << 20;

/// What we add to a record's own headers is less than this.
const OUR_HEADERS_BYTES: usize = 512;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default, deserialize_with = "given")]
    filter: Option<Filter>,
    #[serde(default, deserialize_with = "given")]
    letters: Option<Vec<AskedPlace>>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default, deserialize_with = "given")]
    limit: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    attempts_max: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    cursor: Option<String>,
}

/// Publish the records of dead letters again, into the lanes that they came from
///
/// A redriven record is read like any other, and counts once however often it is sent. A filter takes open
/// letters, `limit` at a time: the answer's cursor goes on behind them.
#[utoipa::path(
    post, path = "/v1/admin/dlq:redrive", tag = words::ADMIN, operation_id = "redriveDeadLetters",
    request_body = RedriveAsked,
    responses((status = 200, body = LettersDealtWith, description = "What became of each."))
)]
pub(super) async fn redrive(
    State(state): State<AdminState>,
    uri: Uri,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    Params::alone(&uri, &[])?;
    let asked: Asked = body(&headers, bytes)?;
    let limit = bounded("limit", asked.limit, LIMIT, LIMIT_MAX)?;
    let attempts_max = bounded(
        "attempts_max",
        asked.attempts_max,
        ATTEMPTS_MAX,
        ATTEMPTS_MOST,
    )?;
    let which = which(asked.filter, asked.letters, &state.options().topics)?;
    let choice = Choice::of(which, asked.cursor.as_deref(), limit)?;
    let dry_run = asked.dry_run;
    let begun = Instant::now();
    let done = state.redriving(move |state| {
        let (chosen, next) = choice.chosen(state)?;
        let redriving = Redriving {
            state,
            begun,
            attempts_max: u32::try_from(attempts_max).unwrap_or(u32::MAX),
            dry_run,
            goes_on: choice.is_filter(),
            dealt: Vec::new(),
            portion: Vec::new(),
            bytes: 0,
            done: 0,
        };
        let (items, done, last) = redriving.all(chosen)?;
        // Where the time ran out, the next request begins behind the last that was taken up.
        choice.answer(&uri, dry_run, (items, done), last.or(next))
    });
    Ok(Json(done.await?).into_response())
}

struct Redriving<'s> {
    state: &'s AdminState,
    begun: Instant,
    attempts_max: u32,
    dry_run: bool,
    /// Whether a cursor leads to those that are not taken up this time.
    goes_on: bool,
    dealt: Vec<LetterDealtWith>,
    /// Records to be sent together, each with its letter's row and its place in `dealt`.
    portion: Vec<(usize, i64, Redriven)>,
    bytes: usize,
    done: usize,
}

/// What the lanes gave of the letters whose records the store has not kept.
#[derive(Default)]
struct InLane {
    found: HashMap<Coordinates, RawRecord>,
    left: HashSet<Coordinates>,
}

/// Why a letter is not taken up.
enum Not {
    /// It cannot be, whenever it is asked for.
    Redrivable(String),
    /// It can be, another time.
    Now(String),
}

type Done = (Vec<LetterDealtWith>, usize, Option<i64>);

impl Redriving<'_> {
    /// Deals with each letter; the third is the row of the last that was, where there was no time for all.
    fn all(mut self, chosen: Vec<Chosen>) -> Result<Done, Failure> {
        let mut in_lane = self.in_lane(&chosen)?;
        let (mut last, mut cut) = (None, None);
        for letter in chosen {
            if self.begun.elapsed() > TAKEN_WITHIN && last.is_some() {
                if self.goes_on {
                    cut = last;
                    break;
                }
                self.leave(&letter);
                continue;
            }
            match letter {
                Chosen::Missing(place) => {
                    let topics = &self.state.options().topics;
                    self.dealt.push(LetterDealtWith::missing(place, topics));
                }
                Chosen::There(row) => {
                    last = Some(row.id);
                    self.take(&row, &mut in_lane)?;
                }
            }
            if self.bytes >= PORTION_BYTES {
                self.send()?;
            }
        }
        self.send()?;
        Ok((self.dealt, self.done, cut))
    }

    /// There was no time for a letter.
    fn leave(&mut self, letter: &Chosen) {
        let topics = &self.state.options().topics;
        self.dealt.push(match letter {
            Chosen::Missing(place) => LetterDealtWith::missing(*place, topics),
            Chosen::There(row) => LetterDealtWith::of(row, "left", topics)
                .because("there was no time left for it; ask again"),
        });
    }

    /// Reads the records together that the store has not kept: each question of its own costs a round to the
    /// brokers.
    fn in_lane(&self, chosen: &[Chosen]) -> Result<InLane, Failure> {
        let at: Vec<Coordinates> = chosen
            .iter()
            .filter_map(|letter| match letter {
                Chosen::There(row) if row.event_id.is_some() => Some(row.at),
                Chosen::There(_) | Chosen::Missing(_) => None,
            })
            .collect();
        if at.is_empty() || self.dry_run {
            return Ok(InLane::default());
        }
        let read = self.state.options().lanes.originals(&at);
        let (found, left) = read.map_err(|away| brokers_away(&away.why))?;
        Ok(InLane { found, left })
    }

    fn take(&mut self, row: &LetterRow, in_lane: &mut InLane) -> Result<(), Failure> {
        let topics = &self.state.options().topics;
        let item = |outcome| LetterDealtWith::of(row, outcome, topics);
        let item = match self.record(row, in_lane)? {
            Err(Not::Redrivable(why)) => item("not_redrivable").because(why),
            Err(Not::Now(why)) => item("left").because(why),
            Ok(_) if self.dry_run => {
                self.done += 1;
                item("would_redrive")
            }
            Ok(redriven) => {
                self.bytes += redriven.record.size();
                self.portion.push((self.dealt.len(), row.id, redriven));
                item("unanswered")
            }
        };
        self.dealt.push(item);
        Ok(())
    }

    /// The record of a letter as it is sent, or why it is not.
    fn record(
        &self,
        row: &LetterRow,
        in_lane: &mut InLane,
    ) -> Result<Result<Redriven, Not>, Failure> {
        let not = |why: &str| Ok(Err(Not::Redrivable(why.to_owned())));
        if row.reason == Reason::TooLarge {
            return not(
                "its value was too large to be kept: it stays in its lane, and cannot be redriven",
            );
        }
        let place = (row.at.lane, row.at.partition, row.at.offset);
        let found = self.state.options().letters.letter(place);
        let record = match found.map_err(|error| problem_of(&error))? {
            None => return not("it was closed meanwhile, since its content is the event's now"),
            Some((_, content)) => content.record(row.at),
        };
        let record = match record {
            Some(record) => record,
            // Nothing is read for a look.
            None if self.dry_run => RawRecord {
                at: row.at,
                key: None,
                value: None,
                headers: Vec::new(),
            },
            None => match in_lane.found.remove(&row.at) {
                Some(record) => record,
                None if in_lane.left.contains(&row.at) => {
                    let why = "there was no room to read its record from the lane; ask again";
                    return Ok(Err(Not::Now(why.to_owned())));
                }
                None => return not("its record is no longer in its lane"),
            },
        };
        if headers_size(&record.headers) + OUR_HEADERS_BYTES > MAX_HEADER_BYTES {
            return not("its headers leave no room for ours");
        }
        let tries = tries(row, &record.headers);
        if tries >= self.attempts_max {
            let why = format!("it was redriven {tries} times already; attempts_max allows more");
            return not(&why);
        }
        Ok(Ok(Redriven {
            record,
            reason: row.reason,
            attempt: tries.saturating_add(1),
        }))
    }

    /// Sends what was gathered, and marks what the brokers have.
    fn send(&mut self) -> Result<(), Failure> {
        let portion = std::mem::take(&mut self.portion);
        self.bytes = 0;
        if portion.is_empty() {
            return Ok(());
        }
        let mut places = Vec::with_capacity(portion.len());
        let mut records = Vec::with_capacity(portion.len());
        for (place, id, record) in portion {
            places.push((place, id));
            records.push(record);
        }
        let options = self.state.options();
        let published = match options.lanes.publish(records, ANSWERED_WITHIN) {
            Ok(published) => published,
            Err(away) if self.done == 0 => return Err(brokers_away(&away.why)),
            Err(away) => vec![Published::Unanswered(away.why); places.len()],
        };
        let mut acknowledged = Vec::with_capacity(places.len());
        for ((place, id), published) in places.into_iter().zip(published) {
            let item = &mut self.dealt[place];
            match published {
                Published::Acknowledged => {
                    acknowledged.push(id);
                    item.outcome = "redriven";
                }
                Published::Refused(why) => {
                    item.outcome = "refused";
                    item.detail = Some(why);
                }
                Published::Unanswered(why) => item.detail = Some(why),
            }
        }
        if acknowledged.is_empty() {
            return Ok(());
        }
        crash::point(crash::AFTER_REDRIVE);
        let marked = options
            .letters
            .mark_redriven(&acknowledged, self.state.now_ms());
        marked.map_err(|error| problem_of(&error))?;
        self.done += acknowledged.len();
        metrics::letters_redriven(acknowledged.len());
        tracing::info!(
            count = acknowledged.len(),
            "records of dead letters were redriven"
        );
        Ok(())
    }
}

fn brokers_away(why: &str) -> Failure {
    tracing::warn!("records of dead letters are not redriven now: {why}");
    Problem::unavailable("brokers_away", "the brokers are away; try again").into()
}
