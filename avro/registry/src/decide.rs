//! What a change does to the log, and what the one who asked is told.
//!
//! Pure: it decides on a state that was read to the log's end, and does not write.

mod deletion;
mod registration;

use crate::compatibility::Level;
use crate::log::record::{ConfigValue, Entry, Key, ModeValue, Val};
use crate::names::{Mode, Reference, Subject, VersionId};
use crate::state::State;
use crate::{Error, Result};

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
                // Set anew at every start of a producer: the log should not grow by that.
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

    fn clear_level(&self, subject: Option<&Subject>) -> Result<Decision> {
        let level = match (self.levels.get(&subject.cloned()), subject) {
            (Some(level), _) => *level,
            (None, Some(subject)) => return Err(Error::SubjectNotFound(subject.clone())),
            (None, None) => self.level_of_all(),
        };
        let entries = vec![Entry::remove(Key::config(subject))];
        Ok(Decision {
            entries,
            answer: Answer::Level(level),
        })
    }
}

#[cfg(test)]
mod tests;
