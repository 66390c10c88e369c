//! Resolving: letters are closed for a reason, by somebody who has looked at them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use licenseflow_store::{LetterRow, LetterState};
use serde::Deserialize;

use super::asked::{AskedPlace, Filter, body, bounded, given, invalid, which};
use super::chosen::{Choice, Chosen};
use super::shapes::{LetterDealtWith, LettersDealtWith};
use super::words::ResolveAsked;
use super::{AdminState, words};
use crate::answer::Failure;
use crate::metrics;
use crate::params::Params;
use crate::store::problem_of;

/// As many letters as one request closes.
pub(super) const LIMIT_MAX: usize = 1000;

/// The longest reason, in characters.
pub(super) const REASON_MAX: usize = 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    reason: String,
    #[serde(default, deserialize_with = "given")]
    filter: Option<Filter>,
    #[serde(default, deserialize_with = "given")]
    letters: Option<Vec<AskedPlace>>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default, deserialize_with = "given")]
    limit: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    cursor: Option<String>,
}

/// Close dead letters for a reason
///
/// Only open ones count: one that is closed already stays closed for the reason that it was closed for.
#[utoipa::path(
    post, path = "/v1/admin/dlq:resolve", tag = words::ADMIN, operation_id = "resolveDeadLetters",
    request_body = ResolveAsked,
    responses((status = 200, body = LettersDealtWith, description = "What became of each."))
)]
pub(super) async fn resolve(
    State(state): State<AdminState>,
    uri: Uri,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    Params::alone(&uri, &[])?;
    let asked: Asked = body(&headers, bytes)?;
    check_reason(&asked.reason)?;
    let limit = bounded("limit", asked.limit, LIMIT_MAX, LIMIT_MAX)?;
    let which = which(asked.filter, asked.letters, &state.options().topics)?;
    let choice = Choice::of(which, asked.cursor.as_deref(), limit)?;
    let (dry_run, reason) = (asked.dry_run, asked.reason);
    let done = state.blocking(move |state| {
        let (chosen, next) = choice.chosen(state)?;
        let (open, items) = sorted(state, &chosen, dry_run);
        let done = if dry_run {
            open.len()
        } else {
            close(state, &open, &reason)?
        };
        choice.answer(&uri, dry_run, (items, done), next)
    });
    Ok(Json(done.await?).into_response())
}

fn check_reason(reason: &str) -> Result<(), Failure> {
    let length = reason.chars().count();
    let is_plain = !reason.contains(char::is_control);
    if (1..=REASON_MAX).contains(&length) && is_plain {
        return Ok(());
    }
    let error = format!("expected 1 to {REASON_MAX} characters, none of them a control character");
    Err(invalid("/reason", &error))
}

/// The rows that are open, and what becomes of each letter.
fn sorted(
    state: &AdminState,
    chosen: &[Chosen],
    dry_run: bool,
) -> (Vec<i64>, Vec<LetterDealtWith>) {
    let topics = &state.options().topics;
    let mut open = Vec::new();
    let item = |letter: &Chosen| match letter {
        Chosen::Missing(place) => LetterDealtWith::missing(*place, topics),
        Chosen::There(row) if is_open(row) => {
            open.push(row.id);
            let outcome = if dry_run { "would_resolve" } else { "resolved" };
            LetterDealtWith::of(row, outcome, topics)
        }
        Chosen::There(row) => {
            let why = format!("it is {} already", row.state().name());
            LetterDealtWith::of(row, "closed_already", topics).because(why)
        }
    };
    let items = chosen.iter().map(item).collect();
    (open, items)
}

fn is_open(row: &LetterRow) -> bool {
    row.state() == LetterState::Open
}

fn close(state: &AdminState, open: &[i64], reason: &str) -> Result<usize, Failure> {
    if open.is_empty() {
        return Ok(0);
    }
    let letters = &state.options().letters;
    let closed = letters.mark_resolved(open, reason, state.now_ms());
    let closed = closed.map_err(|error| problem_of(&error))?;
    metrics::letters_resolved(closed);
    tracing::info!(count = closed, reason, "dead letters were resolved");
    Ok(closed)
}
