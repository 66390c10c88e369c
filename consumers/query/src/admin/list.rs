//! The list of dead letters.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use licenseflow_store::LetterQuery;

use super::asked::{FILTERS, Filter};
use super::shapes::{LetterShape, letter};
use super::words::{DeadLetterList, OfLetters};
use super::{AdminState, words};
use crate::answer::Failure;
use crate::list::Asked;
use crate::params::{Params, invalid};
use crate::store::problem_of;

/// Dead letters, the oldest first
///
/// Those that are open unless another state is asked for.
#[utoipa::path(
    get, path = "/v1/admin/dlq", tag = words::ADMIN, operation_id = "deadLetters",
    params(OfLetters),
    responses((status = 200, body = DeadLetterList, description = "A page of them."))
)]
pub(super) async fn list(State(state): State<AdminState>, uri: Uri) -> Result<Response, Failure> {
    let params = Params::alone(&uri, &FILTERS)?;
    let asked: Asked<Filter, i64> =
        Asked::of("admin/dlq".to_owned(), Filter::of(&params), &params, 0)?;
    let query = asked.asked.query();
    let query = LetterQuery {
        after: asked.after,
        limit: asked.limit,
        ..query.map_err(|(name, error)| invalid(name, &error))?
    };
    let page = state.blocking(move |state| {
        let letters = state.options().letters.letters(&query);
        letters.map_err(|error| problem_of(&error).into())
    });
    let page = page.await?;
    let topics = &state.options().topics;
    let items: Vec<LetterShape> = page.items.iter().map(|row| letter(row, topics)).collect();
    let list = asked.answer(&uri, items, page.next)?;
    Ok(Json(list).into_response())
}
