//! `/config` and `/mode`: two settings with the same questions, of one subject or of all.

use axum::extract::{Path, Query, State as Shared};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::body::{LevelBody, ModeBody, Parameters, Raw, parse};
use super::reply::reply;
use crate::decide::{Answer, Change};
use crate::registry::{Registry, unexpected};
use crate::state::State;
use crate::{Error, Level, Mode, Result, Subject};

/// What can be set, for one subject or for all that have none of their own.
pub(super) trait Setting: Copy + Serialize {
    /// Its name where it is asked for and where it was removed.
    const SHOWN_AS: &'static str;
    /// Its name in the answer to setting it.
    const SET_AS: &'static str;

    /// What holds for all subjects that have none of their own.
    fn of_all(state: &State) -> Self;
    /// What holds for a subject.
    fn of(state: &State, subject: &Subject) -> Self;
    /// What was set for that subject itself.
    fn own(state: &State, subject: &Subject) -> Option<Self>;
    /// That a subject has none of its own.
    fn none_of(subject: Subject) -> Error;
    /// Reads it from a request.
    fn parse(body: Raw) -> Result<Self>;
    /// The change that sets it.
    fn change(self, subject: Option<Subject>) -> Change;
}

impl Setting for Level {
    const SHOWN_AS: &'static str = "compatibilityLevel";
    const SET_AS: &'static str = "compatibility";

    fn of_all(state: &State) -> Self {
        state.level_of_all()
    }

    fn of(state: &State, subject: &Subject) -> Self {
        state.level_of(subject)
    }

    fn own(state: &State, subject: &Subject) -> Option<Self> {
        state.levels.get(&Some(subject.clone())).copied()
    }

    fn none_of(subject: Subject) -> Error {
        Error::ConfigNotFound(subject)
    }

    fn parse(body: Raw) -> Result<Self> {
        let body: LevelBody = parse(body)?;
        Level::parse(&body.compatibility.unwrap_or_default())
    }

    fn change(self, subject: Option<Subject>) -> Change {
        Change::SetLevel {
            subject,
            level: self,
        }
    }
}

impl Setting for Mode {
    const SHOWN_AS: &'static str = "mode";
    const SET_AS: &'static str = "mode";

    fn of_all(state: &State) -> Self {
        state.mode_of_all()
    }

    fn of(state: &State, subject: &Subject) -> Self {
        state.mode_of(subject)
    }

    fn own(state: &State, subject: &Subject) -> Option<Self> {
        state.modes.get(&Some(subject.clone())).copied()
    }

    fn none_of(subject: Subject) -> Error {
        Error::ModeNotFound(subject)
    }

    fn parse(body: Raw) -> Result<Self> {
        Mode::parse(&parse::<ModeBody>(body)?.mode)
    }

    fn change(self, subject: Option<Subject>) -> Change {
        Change::SetMode {
            subject,
            mode: self,
        }
    }
}

pub(super) async fn show<S: Setting>(Shared(registry): Shared<Registry>) -> Response {
    let question = |state: &State| Ok(json!({ S::SHOWN_AS: S::of_all(state) }));
    reply(registry.read(question).await)
}

pub(super) async fn show_of<S: Setting>(
    Shared(registry): Shared<Registry>,
    Path(subject): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let subject = Subject::from(&*subject);
    let question = |state: &State| {
        let setting = match S::own(state, &subject) {
            Some(own) => own,
            None if parameters.falls_back_to_global() => S::of(state, &subject),
            None => return Err(S::none_of(subject.clone())),
        };
        Ok(json!({ S::SHOWN_AS: setting }))
    };
    reply(registry.read(question).await)
}

pub(super) async fn set<S: Setting>(Shared(registry): Shared<Registry>, body: Raw) -> Response {
    reply(put::<S>(&registry, None, body).await)
}

pub(super) async fn set_of<S: Setting>(
    Shared(registry): Shared<Registry>,
    Path(subject): Path<String>,
    body: Raw,
) -> Response {
    reply(put::<S>(&registry, Some(&subject), body).await)
}

async fn put<S: Setting>(registry: &Registry, subject: Option<&str>, body: Raw) -> Result<Value> {
    let subject = subject.map(Subject::parse).transpose()?;
    let setting = S::parse(body)?;
    registry.change(setting.change(subject)).await?;
    Ok(json!({ S::SET_AS: setting }))
}

pub(super) async fn clear_level(Shared(registry): Shared<Registry>) -> Response {
    let change = Change::ClearLevel { subject: None };
    reply(clear(&registry, change).await)
}

pub(super) async fn clear_level_of(
    Shared(registry): Shared<Registry>,
    Path(subject): Path<String>,
) -> Response {
    let subject = Some(Subject::from(&*subject));
    reply(clear(&registry, Change::ClearLevel { subject }).await)
}

pub(super) async fn clear_mode_of(
    Shared(registry): Shared<Registry>,
    Path(subject): Path<String>,
) -> Response {
    let subject = Subject::from(&*subject);
    reply(clear(&registry, Change::ClearMode { subject }).await)
}

async fn clear(registry: &Registry, change: Change) -> Result<Value> {
    match registry.change(change).await? {
        Answer::Level(level) => Ok(json!({ Level::SHOWN_AS: level })),
        Answer::Mode(mode) => Ok(json!({ Mode::SHOWN_AS: mode })),
        other @ (Answer::Id(_) | Answer::Versions(_) | Answer::Version(_)) => {
            Err(unexpected(&other))
        }
    }
}
