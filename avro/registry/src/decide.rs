//! What a change does to the log, and what the one who asked is told.
//!
//! Pure: it decides on a state that was read to the log's end, and does not write.

use serde_json::Map;

use crate::compatibility::Level;
use crate::log::record::{
    ConfigValue, DeleteSubjectValue, Entry, Key, ModeValue, NoopValue, SchemaValue, Val,
};
use crate::names::{Mode, Reference, Subject, VersionId};
use crate::schema::Schema;
use crate::state::{Deleted, State, Version};
use crate::{Error, Result};

/// A record of the topic must stay under the brokers' usual limit of 1 MB.
const RECORD_BYTES_MAX: usize = 1_000_000;

/// How far a deletion goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Hidden: its id can still be read, and it can be registered again.
    Soft,
    /// Gone; only after it was hidden.
    Permanent,
}

/// A schema as a client gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) text: String,
    pub(crate) references: Vec<Reference>,
}

/// What somebody wants changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Register {
        subject: Subject,
        given: Given,
    },
    DeleteSubject {
        subject: Subject,
        depth: Depth,
    },
    DeleteVersion {
        subject: Subject,
        version: VersionId,
        depth: Depth,
    },
    SetLevel {
        subject: Option<Subject>,
        level: Level,
    },
    ClearLevel {
        subject: Option<Subject>,
    },
    SetMode {
        subject: Option<Subject>,
        mode: Mode,
    },
    ClearMode {
        subject: Subject,
    },
}

/// What the one who asked is told once the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Id(i32),
    Versions(Vec<i32>),
    Version(i32),
    Level(Level),
    Mode(Mode),
}

/// The entries to write, none where nothing changes, and the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decision {
    pub(crate) entries: Vec<Entry>,
    pub(crate) answer: Answer,
}

impl State {
    /// Decides a change.
    pub(crate) fn decide(&self, change: &Change) -> Result<Decision> {
        match change {
            Change::Register { subject, given } => self.register(subject, given),
            Change::DeleteSubject { subject, depth } => self.delete_subject(subject, *depth),
            Change::DeleteVersion {
                subject,
                version,
                depth,
            } => self.delete_version(subject, *version, *depth),
            Change::SetLevel { subject, level } => {
                let value = Val::Config(ConfigValue {
                    compatibility_level: *level,
                });
                let entries = match self.levels.get(subject) == Some(level) {
                    true => vec![],
                    false => vec![Entry::put(Key::config(subject.as_ref()), value)],
                };
                Ok(Decision {
                    entries,
                    answer: Answer::Level(*level),
                })
            }
            Change::ClearLevel { subject } => self.clear_level(subject.as_ref()),
            Change::SetMode { subject, mode } => {
                let value = Val::Mode(ModeValue { mode: *mode });
                let entries = vec![Entry::put(Key::mode(subject.as_ref()), value)];
                Ok(Decision {
                    entries,
                    answer: Answer::Mode(*mode),
                })
            }
            Change::ClearMode { subject } => {
                let mode = self.modes.get(&Some(subject.clone()));
                let mode = *mode.ok_or_else(|| Error::SubjectNotFound(subject.clone()))?;
                let entries = vec![Entry::remove(Key::mode(Some(subject)))];
                Ok(Decision {
                    entries,
                    answer: Answer::Mode(mode),
                })
            }
        }
    }

    /// The level that a subject's new schemas are judged by.
    pub(crate) fn level_of(&self, subject: &Subject) -> Level {
        let own = self.levels.get(&Some(subject.clone()));
        own.or_else(|| self.levels.get(&None))
            .copied()
            .unwrap_or(Level::Backward)
    }

    /// The mode that a subject is in: an override at the top wins over its own.
    pub(crate) fn mode_of(&self, subject: &Subject) -> Mode {
        let top = self.modes.get(&None).copied().unwrap_or(Mode::ReadWrite);
        if top == Mode::ReadOnlyOverride {
            return top;
        }
        self.modes
            .get(&Some(subject.clone()))
            .copied()
            .unwrap_or(top)
    }

    /// A given schema, judged with what it refers to.
    pub(crate) fn judge(&self, given: &Given) -> Result<Schema> {
        let referred = self.referred(&given.references).map_err(|missing| {
            Error::InvalidSchema(format!(
                "no schema for the reference {} to version {} of {}",
                missing.name, missing.version, missing.subject
            ))
        })?;
        Schema::judge(&given.text, &given.references, &referred)
    }

    fn writable(&self, subject: &Subject) -> Result<()> {
        match self.mode_of(subject) {
            Mode::ReadWrite => Ok(()),
            Mode::ReadOnly | Mode::ReadOnlyOverride => Err(Error::NotPermitted(format!(
                "Subject {subject} is in read-only mode"
            ))),
            Mode::Import => Err(Error::NotPermitted(format!(
                "Subject {subject} is in import mode"
            ))),
        }
    }

    fn register(&self, subject: &Subject, given: &Given) -> Result<Decision> {
        let schema = self.judge(given)?;
        let known = |(_, version): &(i32, &Version)| version.schema.identity == schema.identity;
        if let Some((_, version)) = self.versions(subject, Deleted::Hidden).find(known) {
            return Ok(Decision {
                entries: vec![],
                answer: Answer::Id(version.value.id),
            });
        }
        self.writable(subject)?;
        let level = self.level_of(subject);
        let earlier: Vec<&Schema> = self
            .versions(subject, Deleted::Hidden)
            .map(|(_, version)| &*version.schema)
            .collect();
        let messages = level.obstacles(&schema, &earlier);
        if !messages.is_empty() {
            let (subject, level) = (subject.clone(), level.as_str());
            return Err(Error::Incompatible {
                subject,
                level,
                messages,
            });
        }
        let id = self
            .ids
            .get(&schema.identity)
            .copied()
            .unwrap_or(self.max_id + 1);
        let last = self.versions(subject, Deleted::Shown).next_back();
        let version = last.map_or(1, |(number, _)| number + 1);
        let value = SchemaValue {
            subject: subject.clone(),
            version,
            id,
            schema_type: None,
            references: schema.references,
            schema: schema.text,
            deleted: false,
            rest: Map::new(),
        };
        let entry = Entry::put(Key::schema(subject, version), Val::Schema(value));
        let bytes = entry
            .bytes()
            .map_err(|error| Error::Store(error.to_string()))?;
        if bytes.1.is_some_and(|value| value.len() > RECORD_BYTES_MAX) {
            return Err(Error::InvalidSchema(format!(
                "the schema is larger than {RECORD_BYTES_MAX} bytes"
            )));
        }
        Ok(Decision {
            entries: vec![entry],
            answer: Answer::Id(id),
        })
    }

    fn delete_subject(&self, subject: &Subject, depth: Depth) -> Result<Decision> {
        let all: Vec<i32> = numbers(self.versions(subject, Deleted::Shown));
        let shown: Vec<i32> = numbers(self.versions(subject, Deleted::Hidden));
        let Some(last) = all.last() else {
            return Err(Error::SubjectNotFound(subject.clone()));
        };
        match depth {
            Depth::Soft if shown.is_empty() => Err(Error::SubjectSoftDeleted(subject.clone())),
            Depth::Permanent if !shown.is_empty() => {
                Err(Error::SubjectNotSoftDeleted(subject.clone()))
            }
            Depth::Soft => {
                self.writable(subject)?;
                self.unreferred(subject, &shown)?;
                let value = DeleteSubjectValue {
                    subject: subject.clone(),
                    version: *last,
                };
                let mut entries = vec![Entry::put(
                    Key::delete_subject(subject),
                    Val::DeleteSubject(value),
                )];
                if self.levels.contains_key(&Some(subject.clone())) {
                    entries.push(Entry::remove(Key::config(Some(subject))));
                }
                if self.modes.contains_key(&Some(subject.clone())) {
                    entries.push(Entry::remove(Key::mode(Some(subject))));
                }
                Ok(Decision {
                    entries,
                    answer: Answer::Versions(shown),
                })
            }
            Depth::Permanent => {
                self.writable(subject)?;
                self.unreferred(subject, &all)?;
                let mut entries = vec![self.ids_given()];
                let removed = all
                    .iter()
                    .map(|version| Entry::remove(Key::schema(subject, *version)));
                entries.extend(removed);
                Ok(Decision {
                    entries,
                    answer: Answer::Versions(all),
                })
            }
        }
    }

    fn delete_version(
        &self,
        subject: &Subject,
        version: VersionId,
        depth: Depth,
    ) -> Result<Decision> {
        let (number, found) = self.version(subject, version, Deleted::Shown)?;
        match (depth, found.value.deleted) {
            (Depth::Soft, true) => Err(Error::VersionSoftDeleted(subject.clone(), number)),
            (Depth::Permanent, false) => Err(Error::VersionNotSoftDeleted(subject.clone(), number)),
            (Depth::Soft, false) => {
                self.writable(subject)?;
                self.unreferred(subject, &[number])?;
                let value = SchemaValue {
                    deleted: true,
                    ..found.value.clone()
                };
                let entries = vec![Entry::put(Key::schema(subject, number), Val::Schema(value))];
                Ok(Decision {
                    entries,
                    answer: Answer::Version(number),
                })
            }
            (Depth::Permanent, true) => {
                self.writable(subject)?;
                self.unreferred(subject, &[number])?;
                let entries = vec![
                    self.ids_given(),
                    Entry::remove(Key::schema(subject, number)),
                ];
                Ok(Decision {
                    entries,
                    answer: Answer::Version(number),
                })
            }
        }
    }

    fn clear_level(&self, subject: Option<&Subject>) -> Result<Decision> {
        let level = match (self.levels.get(&subject.cloned()), subject) {
            (Some(level), _) => *level,
            (None, Some(subject)) => return Err(Error::SubjectNotFound(subject.clone())),
            (None, None) => Level::Backward,
        };
        let entries = vec![Entry::remove(Key::config(subject))];
        Ok(Decision {
            entries,
            answer: Answer::Level(level),
        })
    }

    fn unreferred(&self, subject: &Subject, versions: &[i32]) -> Result<()> {
        for version in versions {
            if self.referring_to(subject, *version).next().is_some() {
                return Err(Error::ReferenceExists(Reference {
                    name: String::new(),
                    subject: subject.clone(),
                    version: *version,
                }));
            }
        }
        Ok(())
    }

    fn ids_given(&self) -> Entry {
        Entry::put(
            Key::Noop { magic: 0 },
            Val::Noop(NoopValue {
                max_id: self.max_id,
            }),
        )
    }
}

fn numbers<'a>(versions: impl Iterator<Item = (i32, &'a Version)>) -> Vec<i32> {
    versions.map(|(number, _)| number).collect()
}

#[cfg(test)]
mod tests;
