//! `/subjects` and `/compatibility`.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde_json::json;

use super::body::{Parameters, Raw, SchemaBody, parse};
use super::reply::{raw, reply};
use crate::decide::{Answer, Change};
use crate::query::{Against, Shown};
use crate::registry::{Registry, unexpected};
use crate::state::Deleted;
use crate::{Result, Subject, VersionId};

pub(super) async fn list(
    State(registry): State<Registry>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let (skip, limit) = parameters.page();
    let question = |state: &crate::state::State| {
        let all = state.subjects(parameters.prefix(), parameters.deleted());
        Ok(all.into_iter().skip(skip).take(limit).collect::<Vec<_>>())
    };
    reply(registry.read(question).await)
}

pub(super) async fn versions(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let deleted = parameters.deleted();
    let subject = Subject::from(&*subject);
    reply(
        registry
            .read(|state| state.version_numbers(&subject, deleted))
            .await,
    )
}

pub(super) async fn register(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    body: Raw,
) -> Response {
    let answer = async {
        let subject = Subject::parse(&subject)?;
        let given = parse::<SchemaBody>(body)?.given_to_keep()?;
        match registry.change(Change::Register { subject, given }).await? {
            Answer::Id(id) => Ok(json!({ "id": id })),
            other => Err(unexpected(&other)),
        }
    };
    reply(answer.await)
}

pub(super) async fn look_up(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    Query(parameters): Query<Parameters>,
    body: Raw,
) -> Response {
    let answer = async {
        let subject = Subject::parse(&subject)?;
        let given = parse::<SchemaBody>(body)?.given()?;
        let deleted = parameters.deleted();
        registry
            .read(|state| Ok(state.look_up(&subject, &given, deleted)?.shown()))
            .await
    };
    reply(answer.await)
}

pub(super) async fn version(
    State(registry): State<Registry>,
    Path(of): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
) -> Response {
    reply(shown(&registry, &of, parameters.deleted()).await)
}

pub(super) async fn text(
    State(registry): State<Registry>,
    Path(of): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let shown = shown(&registry, &of, parameters.deleted()).await;
    raw(shown.map(|shown| shown.schema))
}

async fn shown(registry: &Registry, of: &(String, String), deleted: Deleted) -> Result<Shown> {
    let (subject, version) = named(of)?;
    registry
        .read(|state| Ok(state.version(&subject, version, deleted)?.1.shown()))
        .await
}

/// The subject and version of a path.
fn named((subject, version): &(String, String)) -> Result<(Subject, VersionId)> {
    Ok((Subject::from(&**subject), VersionId::parse(version)?))
}

pub(super) async fn referenced_by(
    State(registry): State<Registry>,
    Path(of): Path<(String, String)>,
) -> Response {
    let answer = async {
        let (subject, version) = named(&of)?;
        registry
            .read(|state| {
                let (number, _) = state.version(&subject, version, Deleted::Shown)?;
                let referring = state.referring_to(&subject, number);
                let mut ids: Vec<i32> = referring.map(|version| version.value.id).collect();
                ids.sort_unstable();
                ids.dedup();
                Ok(ids)
            })
            .await
    };
    reply(answer.await)
}

pub(super) async fn delete(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let (subject, depth) = (Subject::from(&*subject), parameters.depth());
    let answer = async {
        match registry
            .change(Change::DeleteSubject { subject, depth })
            .await?
        {
            Answer::Versions(versions) => Ok(versions),
            other => Err(unexpected(&other)),
        }
    };
    reply(answer.await)
}

pub(super) async fn delete_version(
    State(registry): State<Registry>,
    Path(of): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let answer = async {
        let (subject, version) = named(&of)?;
        let depth = parameters.depth();
        match registry
            .change(Change::DeleteVersion {
                subject,
                version,
                depth,
            })
            .await?
        {
            Answer::Version(version) => Ok(version),
            other => Err(unexpected(&other)),
        }
    };
    reply(answer.await)
}

pub(super) async fn compatible(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    Query(parameters): Query<Parameters>,
    body: Raw,
) -> Response {
    reply(compare(&registry, &subject, Ok(Against::Level), &parameters, body).await)
}

pub(super) async fn compatible_with(
    State(registry): State<Registry>,
    Path((subject, version)): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
    body: Raw,
) -> Response {
    let against = VersionId::parse(&version).map(Against::Version);
    reply(compare(&registry, &subject, against, &parameters, body).await)
}

async fn compare(
    registry: &Registry,
    subject: &str,
    against: Result<Against>,
    parameters: &Parameters,
    body: Raw,
) -> Result<serde_json::Value> {
    let (subject, against) = (Subject::parse(subject)?, against?);
    let given = parse::<SchemaBody>(body)?.given()?;
    let found = registry
        .read(|state| state.obstacles(&subject, &given, against))
        .await?;
    Ok(if parameters.is_verbose() {
        json!({ "is_compatible": found.is_empty(), "messages": found })
    } else {
        json!({ "is_compatible": found.is_empty() })
    })
}
