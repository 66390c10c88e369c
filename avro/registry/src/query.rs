//! What the registry answers without changing anything.

use serde::Serialize;

use crate::compatibility::Level;
use crate::decide::Given;
use crate::names::{Mode, Reference, Subject, VersionId};
use crate::state::{Deleted, State, Version};
use crate::{Error, Result};

/// A version as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    pub(crate) subject: Subject,
    pub(crate) version: i32,
    pub(crate) id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schema_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) references: Vec<Reference>,
    pub(crate) schema: String,
}

/// A schema as the API shows it by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ById {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schema_type: Option<String>,
    pub(crate) schema: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) references: Vec<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_id: Option<i32>,
}

/// Where a schema stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    pub(crate) subject: Subject,
    pub(crate) version: i32,
}

/// Which versions of a subject a schema is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// Those that the level looks at.
    Level,
    /// This one alone.
    Version(VersionId),
}

impl Version {
    pub(crate) fn shown(&self) -> Shown {
        Shown {
            subject: self.value.subject.clone(),
            version: self.value.version,
            id: self.value.id,
            schema_type: self.schema.kind.clone(),
            references: self.value.references.clone(),
            schema: self.value.schema.clone(),
        }
    }
}

impl State {
    /// The subjects that have a version to show.
    pub(crate) fn subjects(&self, prefix: &str, deleted: Deleted) -> Vec<Subject> {
        let has_one = |subject: &&Subject| match deleted {
            Deleted::Alone => {
                self.versions(subject, Deleted::Hidden).next().is_none()
                    && self.versions(subject, Deleted::Alone).next().is_some()
            }
            Deleted::Hidden | Deleted::Shown => self.versions(subject, deleted).next().is_some(),
        };
        let all = self
            .subjects
            .keys()
            .filter(|subject| subject.as_str().starts_with(prefix));
        all.filter(has_one).cloned().collect()
    }

    /// The versions of a subject.
    pub(crate) fn version_numbers(&self, subject: &Subject, deleted: Deleted) -> Result<Vec<i32>> {
        let found: Vec<i32> = self
            .versions(subject, deleted)
            .map(|(number, _)| number)
            .collect();
        if found.is_empty() {
            return Err(Error::SubjectNotFound(subject.clone()));
        }
        Ok(found)
    }

    /// One version of a subject.
    pub(crate) fn version(
        &self,
        subject: &Subject,
        version: VersionId,
        deleted: Deleted,
    ) -> Result<(i32, &Version)> {
        let mut versions = self.versions(subject, deleted);
        let found = match version {
            VersionId::Latest => versions.next_back(),
            VersionId::Number(wanted) => versions.find(|(number, _)| *number == wanted),
        };
        found.ok_or_else(|| match self.versions(subject, deleted).next() {
            None => Error::SubjectNotFound(subject.clone()),
            Some(_) => Error::VersionNotFound(match version {
                VersionId::Latest => "latest".into(),
                VersionId::Number(number) => number.to_string(),
            }),
        })
    }

    /// The version of a subject that has this schema.
    pub(crate) fn look_up(
        &self,
        subject: &Subject,
        given: &Given,
        deleted: Deleted,
    ) -> Result<&Version> {
        let schema = self.judge(given)?;
        // A subject that is not there is told apart from one that lacks the schema.
        self.version_numbers(subject, deleted)?;
        self.versions(subject, deleted)
            .map(|(_, version)| version)
            .find(|version| version.schema.identity == schema.identity)
            .ok_or_else(|| Error::SchemaNotFound("Schema not found".into()))
    }

    /// The version whose text an id stands for.
    pub(crate) fn by_id(&self, id: i32) -> Result<&Version> {
        let places = self.places.get(&id).into_iter().flatten();
        places
            .filter_map(|(subject, number)| self.subjects.get(subject)?.get(number))
            .next()
            .ok_or_else(|| Error::SchemaNotFound(format!("Schema {id} not found")))
    }

    /// Where an id stands.
    pub(crate) fn places_of(&self, id: i32, deleted: Deleted) -> Result<Vec<Place>> {
        self.by_id(id)?;
        let places = self.places.get(&id).into_iter().flatten();
        let mut places: Vec<Place> = places
            .filter(|(subject, number)| {
                let version = self.subjects.get(subject).and_then(|all| all.get(number));
                version.is_some_and(|version| deleted.shows(version))
            })
            .map(|(subject, version)| Place {
                subject: subject.clone(),
                version: *version,
            })
            .collect();
        places.sort_by(|one, other| {
            (&one.subject, one.version).cmp(&(&other.subject, other.version))
        });
        Ok(places)
    }

    /// The level that a subject's new schemas are judged by.
    pub(crate) fn level_of(&self, subject: &Subject) -> Level {
        let own = self.levels.get(&Some(subject.clone()));
        own.copied().unwrap_or_else(|| self.level_of_all())
    }

    /// The level of all subjects that have none of their own.
    pub(crate) fn level_of_all(&self) -> Level {
        self.levels.get(&None).copied().unwrap_or(Level::Backward)
    }

    /// The mode that a subject is in: an override at the top wins over its own.
    pub(crate) fn mode_of(&self, subject: &Subject) -> Mode {
        let top = self.mode_of_all();
        if top == Mode::ReadOnlyOverride {
            return top;
        }
        self.modes
            .get(&Some(subject.clone()))
            .copied()
            .unwrap_or(top)
    }

    /// The mode of all subjects that have none of their own.
    pub(crate) fn mode_of_all(&self) -> Mode {
        self.modes.get(&None).copied().unwrap_or(Mode::ReadWrite)
    }

    /// What keeps a schema from being registered; nothing if it could be.
    pub(crate) fn obstacles(
        &self,
        subject: &Subject,
        given: &Given,
        against: Against,
    ) -> Result<Vec<String>> {
        let schema = self.judge(given)?;
        let earlier = match against {
            Against::Level => self
                .versions(subject, Deleted::Hidden)
                .map(|(_, version)| version)
                .collect(),
            Against::Version(version) => match self.version(subject, version, Deleted::Hidden) {
                Ok((_, version)) => vec![version],
                // Nothing to be incompatible with, as when the first version is registered.
                Err(_) if version == VersionId::Latest => vec![],
                Err(error) => return Err(error),
            },
        };
        let earlier: Vec<_> = earlier
            .into_iter()
            .map(|version| &*version.schema)
            .collect();
        Ok(self.level_of(subject).obstacles(&schema, &earlier))
    }
}
