//! `/config` and `/mode`.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::body::{LevelBody, ModeBody, Parameters, Raw, parse};
use super::reply::reply;
use crate::decide::{Answer, Change};
use crate::registry::{Registry, unexpected};
use crate::{Error, Level, Mode, Result, Subject};

pub(super) async fn level(State(registry): State<Registry>) -> Response {
    let question = |state: &crate::state::State| {
        let level = state.levels.get(&None).copied().unwrap_or(Level::Backward);
        Ok(json!({ "compatibilityLevel": level }))
    };
    reply(registry.read(question).await)
}

pub(super) async fn level_of(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let subject = Subject::from(&*subject);
    let question = |state: &crate::state::State| {
        let level = match state.levels.get(&Some(subject.clone())) {
            Some(level) => *level,
            None if parameters.falls_back_to_global() => state.level_of(&subject),
            None => return Err(Error::ConfigNotFound(subject.clone())),
        };
        Ok(json!({ "compatibilityLevel": level }))
    };
    reply(registry.read(question).await)
}

pub(super) async fn set_level(State(registry): State<Registry>, body: Raw) -> Response {
    reply(put_level(&registry, None, body).await)
}

pub(super) async fn set_level_of(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    body: Raw,
) -> Response {
    reply(put_level(&registry, Some(&subject), body).await)
}

async fn put_level(registry: &Registry, subject: Option<&str>, body: Raw) -> Result<Value> {
    let subject = subject.map(Subject::parse).transpose()?;
    let body: LevelBody = parse(body)?;
    let level = Level::parse(&body.compatibility.unwrap_or_default())?;
    registry.change(Change::SetLevel { subject, level }).await?;
    Ok(json!({ "compatibility": level }))
}

pub(super) async fn clear_level(State(registry): State<Registry>) -> Response {
    reply(remove_level(&registry, None).await)
}

pub(super) async fn clear_level_of(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
) -> Response {
    reply(remove_level(&registry, Some(Subject::from(&*subject))).await)
}

async fn remove_level(registry: &Registry, subject: Option<Subject>) -> Result<Value> {
    match registry.change(Change::ClearLevel { subject }).await? {
        Answer::Level(level) => Ok(json!({ "compatibilityLevel": level })),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn mode(State(registry): State<Registry>) -> Response {
    let question = |state: &crate::state::State| {
        let mode = state.modes.get(&None).copied().unwrap_or(Mode::ReadWrite);
        Ok(json!({ "mode": mode }))
    };
    reply(registry.read(question).await)
}

pub(super) async fn mode_of(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let subject = Subject::from(&*subject);
    let question = |state: &crate::state::State| {
        let mode = match state.modes.get(&Some(subject.clone())) {
            Some(mode) => *mode,
            None if parameters.falls_back_to_global() => state.mode_of(&subject),
            None => return Err(Error::ModeNotFound(subject.clone())),
        };
        Ok(json!({ "mode": mode }))
    };
    reply(registry.read(question).await)
}

pub(super) async fn set_mode(State(registry): State<Registry>, body: Raw) -> Response {
    reply(put_mode(&registry, None, body).await)
}

pub(super) async fn set_mode_of(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
    body: Raw,
) -> Response {
    reply(put_mode(&registry, Some(&subject), body).await)
}

async fn put_mode(registry: &Registry, subject: Option<&str>, body: Raw) -> Result<Value> {
    let subject = subject.map(Subject::parse).transpose()?;
    let mode = Mode::parse(&parse::<ModeBody>(body)?.mode)?;
    registry.change(Change::SetMode { subject, mode }).await?;
    Ok(json!({ "mode": mode }))
}

pub(super) async fn clear_mode_of(
    State(registry): State<Registry>,
    Path(subject): Path<String>,
) -> Response {
    let answer = async {
        let subject = Subject::from(&*subject);
        match registry.change(Change::ClearMode { subject }).await? {
            Answer::Mode(mode) => Ok(json!({ "mode": mode })),
            other => Err(unexpected(&other)),
        }
    };
    reply(answer.await)
}
