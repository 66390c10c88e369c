//! Replays over HTTP: the generations of the read models, what each is at, and what is wanted of it.
//!
//! All that is done here is to read and change the book. Whoever keeps the generations, in this process or in
//! another, does what it says, and removes what is struck out of it.

mod asked;
pub(super) mod begin;
pub(super) mod deeds;
mod shapes;
mod words;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use licenseflow_runtime::http::Problem;
use licenseflow_store::generations::{Change, Number, Refused};
use licenseflow_store::progress::{self, Progress};

use self::shapes::{ReplayList, ReplayShape, list as listed, replay};
use self::words::OfGeneration;
use super::AdminState;
use super::words::ADMIN;
use crate::answer::Failure;
use crate::params::Params;
use crate::store::problem_of;

pub(super) use words::{ERRORS, LIST, NO_SUCH, around, lay};

/// All generations, the live one first
///
/// Readers see the live one. Others are built from the log beside it, and those that were live before go on.
#[utoipa::path(
    get, path = "/v1/admin/replays", tag = ADMIN, operation_id = "replays",
    responses((status = 200, body = ReplayList, description = "All of them."))
)]
pub(super) async fn list(State(state): State<AdminState>, uri: Uri) -> Result<Response, Failure> {
    Params::alone(&uri, &[])?;
    let all = state.blocking(all).await?;
    Ok(Json(listed(&all, &state.options().topics)).into_response())
}

/// One generation
#[utoipa::path(
    get, path = "/v1/admin/replays/{generation}", tag = ADMIN, operation_id = "replay",
    params(OfGeneration),
    responses((status = 200, body = ReplayShape, description = "The generation."))
)]
pub(super) async fn one(
    State(state): State<AdminState>,
    Path(generation): Path<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    Params::alone(&uri, &[])?;
    let number = number(&generation)?;
    let one = state.blocking(move |state| found(state, number)).await?;
    Ok(Json(replay(&one, &state.options().topics)).into_response())
}

fn all(state: &AdminState) -> Result<Vec<Progress>, Failure> {
    let all = progress::replays(&*state.options().generations);
    all.map_err(|error| problem_of(&error).into())
}

fn found(state: &AdminState, number: Number) -> Result<Progress, Failure> {
    let mut all = all(state)?.into_iter();
    let found = all.find(|it| it.generation.number == number);
    found.ok_or_else(|| refusal(&Refused::Unknown(number)))
}

/// Changes the book.
fn change(state: &AdminState, change: Change<'_>) -> Result<(), Failure> {
    let changed = state.options().generations.change(change);
    let changed = changed.map_err(|error| problem_of(&error))?;
    changed.map(drop).map_err(|refused| refusal(&refused))
}

/// The generation of a path.
fn number(text: &str) -> Result<Number, Failure> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        let detail = format!("there is no generation {shown}: it is a number");
        Problem::not_found(NO_SUCH, detail).into()
    })
}

/// What cannot be done about a generation as it is.
fn refusal(refused: &Refused) -> Failure {
    let code = match refused {
        Refused::Unknown(_) => return Problem::not_found(NO_SUCH, refused.to_string()).into(),
        Refused::IsLive(_) => "is_live",
        Refused::IsPart(_) => "is_part",
        Refused::IsBuilding(_) => "is_building",
        Refused::IsOfAnotherFold(_) => "is_of_another_fold",
        Refused::WasLive(_) => "was_live",
        Refused::NeverLive(_) => "never_live",
    };
    conflict(code, &refused.to_string())
}

fn conflict(code: &str, detail: &str) -> Failure {
    Problem::new(StatusCode::CONFLICT, code)
        .detail(detail)
        .into()
}
