//! Beginning a generation.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use licenseflow_store::generations::{Made, Number, Wish};
use serde::Deserialize;
use serde_json::Value;

use super::super::AdminState;
use super::super::asked::{body, bounded, given};
use super::super::words::ADMIN;
use super::asked::{From, made, partitions};
use super::shapes::{ReplayShape, address, replay};
use super::words::ReplayAsked;
use super::{change, found};
use crate::answer::Failure;
use crate::params::Params;

/// The greatest rate, and the greatest lag, that can be asked for.
pub(super) const BOUND_MAX: u32 = u32::MAX;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    from: Value,
    #[serde(default, deserialize_with = "given")]
    partitions: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    records_per_second: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    live_lag_max_ms: Option<u64>,
    #[serde(default)]
    switch_when_equal: bool,
}

/// Begin another generation beside the live one
///
/// It is built from the log, goes on with it when it has caught up, and is compared with the live one then. One
/// that is made of less than both whole lanes is not compared by itself, and can never be the live one. One is
/// built at a time.
#[utoipa::path(
    post, path = "/v1/admin/replays", tag = ADMIN, operation_id = "beginReplay",
    request_body = ReplayAsked,
    responses((status = 202, body = ReplayShape, description = "It is begun."))
)]
pub(in super::super) async fn begin(
    State(state): State<AdminState>,
    uri: Uri,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    Params::alone(&uri, &[])?;
    let asked: Asked = body(&headers, bytes)?;
    let options = state.options();
    let from = From::of(&asked.from, (options.clock)())?;
    let chosen = asked.partitions.as_deref();
    let chosen = chosen.map(|it| partitions(it, &options.topics));
    let chosen = chosen.transpose()?;
    let records_per_second = bound("records_per_second", asked.records_per_second)?;
    let live_lag_max_ms = bound("live_lag_max_ms", asked.live_lag_max_ms)?;
    let begun = state.blocking(move |state| {
        let options = state.options();
        let made = made(&from, chosen.as_ref(), &*options.lanes, &options.topics)?;
        let wish = match (&made, asked.switch_when_equal) {
            (_, true) => Wish::SwitchWhenEqual,
            (Made::Whole, false) => Wish::Compare,
            (Made::Part { .. }, false) => Wish::None,
        };
        let number = write(state, &made, wish, |generation| {
            generation.records_per_second = records_per_second;
            generation.live_lag_max_ms = live_lag_max_ms.map(i64::from);
        })?;
        tracing::info!(generation = number, "another generation is begun");
        found(state, number)
    });
    let begun = begun.await?;
    let place = [(LOCATION, address(begun.generation.number))];
    let shown = Json(replay(&begun, &state.options().topics));
    Ok((StatusCode::ACCEPTED, place, shown).into_response())
}

/// Writes the generation into the book, and gives its number.
fn write(
    state: &AdminState,
    made: &Made,
    wish: Wish,
    throttle: impl Fn(&mut licenseflow_store::generations::Generation),
) -> Result<Number, Failure> {
    let (fold, now) = (licenseflow_core::fold::version(), state.now_ms());
    let mut begun = 0;
    change(state, &mut |book| {
        let generation = book.begin(made.clone(), fold, now)?;
        throttle(generation);
        begun = generation.number;
        book.wish(begun, wish)
    })?;
    Ok(begun)
}

/// A number from 1 on, where it is given.
fn bound(name: &str, asked: Option<u64>) -> Result<Option<u32>, Failure> {
    let Some(asked) = asked else {
        return Ok(None);
    };
    let most = usize::try_from(BOUND_MAX).unwrap_or(usize::MAX);
    let taken = bounded(name, Some(asked), 1, most)?;
    Ok(u32::try_from(taken).ok())
}
