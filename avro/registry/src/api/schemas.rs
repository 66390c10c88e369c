//! `/schemas`.

use axum::extract::{Path, Query, State};
use axum::response::Response;

use super::body::Parameters;
use super::reply::{raw, reply};
use crate::query::{ById, Place, Shown};
use crate::registry::Registry;
use crate::{Error, Result};

pub(super) async fn list(
    State(registry): State<Registry>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let (skip, limit) = parameters.page();
    let question = |state: &crate::state::State| {
        let mut shown: Vec<Shown> = Vec::new();
        for subject in state.subjects(parameters.prefix(), parameters.deleted()) {
            let versions = state.versions(&subject, parameters.deleted());
            let mut versions = versions.map(|(_, version)| version.shown());
            if parameters.latest_only() {
                shown.extend(versions.next_back());
            } else {
                shown.extend(versions);
            }
        }
        Ok(shown.into_iter().skip(skip).take(limit).collect::<Vec<_>>())
    };
    reply(registry.read(question).await)
}

pub(super) async fn by_id(
    State(registry): State<Registry>,
    Path(id): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let answer = async {
        let id = number(&id)?;
        registry
            .read(|state| {
                let shown = state.by_id(id)?.shown();
                Ok(ById {
                    schema_type: shown.schema_type,
                    schema: shown.schema,
                    references: shown.references,
                    max_id: parameters.wants_max_id().then_some(state.max_id),
                })
            })
            .await
    };
    reply(answer.await)
}

pub(super) async fn text(State(registry): State<Registry>, Path(id): Path<String>) -> Response {
    let answer = async {
        let id = number(&id)?;
        registry.schema(id).await
    };
    raw(answer.await)
}

pub(super) async fn subjects(
    State(registry): State<Registry>,
    Path(id): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let places = places(&registry, &id, &parameters).await;
    reply(places.map(|places| {
        let mut subjects: Vec<_> = places.into_iter().map(|place| place.subject).collect();
        subjects.dedup();
        subjects
    }))
}

pub(super) async fn versions(
    State(registry): State<Registry>,
    Path(id): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    reply(places(&registry, &id, &parameters).await)
}

/// Where an id stands, in order, narrowed to the subject that the parameters name.
async fn places(registry: &Registry, id: &str, parameters: &Parameters) -> Result<Vec<Place>> {
    let id = number(id)?;
    let is_wanted = |place: &Place| {
        let only = parameters.subject();
        only.is_none_or(|only| place.subject.as_str() == only)
    };
    registry
        .read(|state| {
            let mut places = state.places_of(id, parameters.deleted())?;
            places.retain(is_wanted);
            Ok(places)
        })
        .await
}

/// An id; what is none stands for no schema.
fn number(text: &str) -> Result<i32> {
    text.parse()
        .map_err(|_| Error::SchemaNotFound(format!("Schema {text} not found")))
}
