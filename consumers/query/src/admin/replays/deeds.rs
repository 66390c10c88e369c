//! What is wanted of a generation that there is.
//!
//! | deed | of | it |
//! |---|---|---|
//! | pause, resume | any but the live one | is not advanced, or is again |
//! | compare | the same | is compared with the live one once it has caught up |
//! | switch | one of both whole lanes | is the live one as soon as it is nowhere behind, whatever a comparison says |
//! | rollback | one that was live before | as a switch |
//! | cancel | one that was never live | is struck out of the book |
//! | drop | one that was | the same |

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use licenseflow_store::generations::{Book, Number, Refused, Wish};
use serde::Deserialize;

use super::super::AdminState;
use super::super::asked::body;
use super::super::words::ADMIN;
use super::shapes::{ReplayShape, replay, struck};
use super::words::{NothingAsked, OfGeneration};
use super::{change, conflict, found, number};
use crate::answer::Failure;
use crate::params::Params;
use crate::store::problem_of;

type Body = Result<Bytes, BytesRejection>;

/// Nothing is said with a deed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {}

/// Refuses what a deed cannot be told.
fn nothing(uri: &Uri, headers: &HeaderMap, bytes: Body) -> Result<(), Failure> {
    Params::alone(uri, &[])?;
    match bytes {
        Ok(bytes) if bytes.is_empty() => Ok(()),
        bytes => body::<Asked>(headers, bytes).map(|Asked {}| ()),
    }
}

/// Which generation a deed is of; nothing else is said with it.
pub(in super::super) struct Of(Number);

impl FromRequest<AdminState> for Of {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let path = Path::<String>::from_request_parts(&mut parts, state).await;
        let Path(generation) = path.map_err(IntoResponse::into_response)?;
        let (uri, headers) = (parts.uri.clone(), parts.headers.clone());
        let bytes = Bytes::from_request(Request::from_parts(parts, body), state).await;
        let of = nothing(&uri, &headers, bytes).and_then(|()| number(&generation));
        of.map(Self).map_err(IntoResponse::into_response)
    }
}

/// Changes the book, and gives the generation as it is then.
async fn changed(
    state: AdminState,
    number: Number,
    (deed, status): (&'static str, StatusCode),
    mut how: impl FnMut(&mut Book) -> Result<(), Refused> + Send + 'static,
) -> Result<Response, Failure> {
    let changed = state.blocking(move |state| {
        change(state, &mut how)?;
        tracing::info!(generation = number, deed, "it is written into the book");
        found(state, number)
    });
    let changed = changed.await?;
    let shown = replay(&changed, &state.options().topics);
    Ok((status, Json(shown)).into_response())
}

/// Strikes a generation out of the book, and gives it as it was.
async fn ended(
    state: AdminState,
    number: Number,
    deed: &'static str,
    end: fn(&mut Book, Number) -> Result<(), Refused>,
) -> Result<Response, Failure> {
    let ended = state.blocking(move |state| {
        let before = found(state, number)?;
        change(state, &mut |book| end(book, number))?;
        tracing::info!(generation = number, deed, "it is struck out of the book");
        Ok(before)
    });
    let ended = ended.await?;
    let shown = struck(&ended, &state.options().topics);
    Ok(Json(shown).into_response())
}

/// Leave a generation where it stands
#[utoipa::path(
    post, path = "/v1/admin/replays/{generation}/pause", tag = ADMIN, operation_id = "pauseReplay",
    params(OfGeneration), request_body = NothingAsked,
    responses((status = 200, body = ReplayShape, description = "It is not advanced any more."))
)]
pub(in super::super) async fn pause(
    State(state): State<AdminState>,
    Of(number): Of,
) -> Result<Response, Failure> {
    let how = move |book: &mut Book| book.pause(number);
    changed(state, number, ("pause", StatusCode::OK), how).await
}

/// Go on with a generation from where it stands
#[utoipa::path(
    post, path = "/v1/admin/replays/{generation}/resume", tag = ADMIN, operation_id = "resumeReplay",
    params(OfGeneration), request_body = NothingAsked,
    responses((status = 200, body = ReplayShape, description = "It is advanced again."))
)]
pub(in super::super) async fn resume(
    State(state): State<AdminState>,
    Of(number): Of,
) -> Result<Response, Failure> {
    let how = move |book: &mut Book| book.resume(number);
    changed(state, number, ("resume", StatusCode::OK), how).await
}

/// Compare a generation with the live one, both at one position
///
/// Once it has caught up; `gate` tells what came out. One that is paused is resumed.
#[utoipa::path(
    post, path = "/v1/admin/replays/{generation}/compare", tag = ADMIN, operation_id = "compareReplay",
    params(OfGeneration), request_body = NothingAsked,
    responses((status = 202, body = ReplayShape, description = "It is to be compared."))
)]
pub(in super::super) async fn compare(
    State(state): State<AdminState>,
    Of(number): Of,
) -> Result<Response, Failure> {
    let how = move |book: &mut Book| book.ask(number, Wish::Compare);
    changed(state, number, ("compare", StatusCode::ACCEPTED), how).await
}

/// Make a generation the live one
///
/// As soon as it is nowhere behind, and whatever a comparison says. Readers see the one or the other. A generation
/// that is paused is resumed.
#[utoipa::path(
    post, path = "/v1/admin/replays/{generation}/switch", tag = ADMIN, operation_id = "switchReplay",
    params(OfGeneration), request_body = NothingAsked,
    responses((status = 202, body = ReplayShape, description = "It is to be the live one."))
)]
pub(in super::super) async fn switch(
    State(state): State<AdminState>,
    Of(number): Of,
) -> Result<Response, Failure> {
    let how = move |book: &mut Book| book.ask(number, Wish::Switch);
    changed(state, number, ("switch", StatusCode::ACCEPTED), how).await
}

/// Go back to a generation that was live before
#[utoipa::path(
    post, path = "/v1/admin/replays/{generation}/rollback", tag = ADMIN, operation_id = "rollbackTo",
    params(OfGeneration), request_body = NothingAsked,
    responses((status = 202, body = ReplayShape, description = "It is to be the live one again."))
)]
pub(in super::super) async fn roll_back_to(
    State(state): State<AdminState>,
    Of(number): Of,
) -> Result<Response, Failure> {
    let how = move |book: &mut Book| {
        if book.beside(number)?.was_live_until.is_none() {
            return Err(Refused::NeverLive(number));
        }
        book.ask(number, Wish::Switch)
    };
    changed(state, number, ("rollback", StatusCode::ACCEPTED), how).await
}

/// Go back to the generation that was live last
#[utoipa::path(
    post, path = "/v1/admin/replays/rollback", tag = ADMIN, operation_id = "rollback",
    request_body = NothingAsked,
    responses((status = 202, body = ReplayShape, description = "It is to be the live one again."))
)]
pub(in super::super) async fn roll_back(
    State(state): State<AdminState>,
    uri: Uri,
    headers: HeaderMap,
    bytes: Body,
) -> Result<Response, Failure> {
    nothing(&uri, &headers, bytes)?;
    let changed = state.blocking(move |state| {
        let book = state.options().generations.book();
        let former = book.map_err(|error| problem_of(&error))?.former();
        let none = "no other generation was ever the live one: there is none to go back to";
        let number = former.ok_or_else(|| conflict("never_live", none))?;
        change(state, &mut |book| book.ask(number, Wish::Switch))?;
        tracing::info!(
            generation = number,
            deed = "rollback",
            "it is written into the book"
        );
        found(state, number)
    });
    let changed = changed.await?;
    let shown = replay(&changed, &state.options().topics);
    Ok((StatusCode::ACCEPTED, Json(shown)).into_response())
}

/// Give up a generation that was never live
///
/// What is stored of it is removed by whoever keeps it.
#[utoipa::path(
    post, path = "/v1/admin/replays/{generation}/cancel", tag = ADMIN, operation_id = "cancelReplay",
    params(OfGeneration), request_body = NothingAsked,
    responses((status = 200, body = ReplayShape, description = "It is given up; this is how it was."))
)]
pub(in super::super) async fn cancel(
    State(state): State<AdminState>,
    Of(number): Of,
) -> Result<Response, Failure> {
    ended(state, number, "cancel", Book::cancel).await
}

/// Remove a generation that was live before
///
/// What is stored of it is removed by whoever keeps it.
#[utoipa::path(
    post, path = "/v1/admin/replays/{generation}/drop", tag = ADMIN, operation_id = "dropReplay",
    params(OfGeneration), request_body = NothingAsked,
    responses((status = 200, body = ReplayShape, description = "It is removed; this is how it was."))
)]
pub(in super::super) async fn drop_former(
    State(state): State<AdminState>,
    Of(number): Of,
) -> Result<Response, Failure> {
    ended(state, number, "drop", Book::drop_former).await
}
