//! Deleting versions and subjects: hidden first, gone only after that, and never while another
//! schema refers to them.

use super::{Answer, Decision, Depth};
use crate::log::record::{DeleteSubjectValue, Entry, Key, NoopValue, SchemaValue, Val};
use crate::names::{Reference, Subject, VersionId};
use crate::state::{Deleted, State, Version};
use crate::{Error, Result};

impl State {
    pub(super) fn delete_subject(&self, subject: &Subject, depth: Depth) -> Result<Decision> {
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

    pub(super) fn delete_version(
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
