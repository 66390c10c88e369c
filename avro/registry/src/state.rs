//! What the topic says, folded: subjects and their versions, schemas by id, levels and modes.
//!
//! Pure: it takes entries in the log's order and answers questions. It never fails on an entry,
//! since what is in the log stands.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::compatibility::Level;
use crate::log::record::{Entry, Key, SchemaValue, Val};
use crate::names::{Mode, Reference, Subject};
use crate::schema::{Identity, Referred, Schema};

/// One version of a subject.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) value: SchemaValue,
    pub(crate) schema: Arc<Schema>,
}

/// Whether softly deleted versions are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    Hidden,
    Shown,
    /// Only they are.
    Alone,
}

impl Deleted {
    pub(crate) fn shows(self, version: &Version) -> bool {
        match self {
            Deleted::Hidden => !version.value.deleted,
            Deleted::Shown => true,
            Deleted::Alone => version.value.deleted,
        }
    }
}

/// Everything that the registry knows; cheap to clone, for deciding ahead of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) subjects: BTreeMap<Subject, BTreeMap<i32, Version>>,
    /// Where each id stands, the first place being the one whose text is given out.
    pub(crate) places: BTreeMap<i32, Vec<(Subject, i32)>>,
    pub(crate) ids: HashMap<Identity, i32>,
    pub(crate) levels: BTreeMap<Option<Subject>, Level>,
    pub(crate) modes: BTreeMap<Option<Subject>, Mode>,
    /// The greatest id ever given.
    pub(crate) max_id: i32,
}

impl State {
    /// Takes the next entry of the log.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        match (&entry.key, &entry.value) {
            (
                Key::Schema {
                    subject, version, ..
                },
                Some(Val::Schema(value)),
            ) => {
                self.put_version(subject, *version, value);
            }
            (
                Key::Schema {
                    subject, version, ..
                },
                _,
            ) => self.remove_version(subject, *version),
            (Key::Config { subject, .. }, Some(Val::Config(value))) => {
                self.levels
                    .insert(subject.clone(), value.compatibility_level);
            }
            (Key::Config { subject, .. }, _) => {
                self.levels.remove(subject);
            }
            (Key::Mode { subject, .. }, Some(Val::Mode(value))) => {
                self.modes.insert(subject.clone(), value.mode);
            }
            (Key::Mode { subject, .. }, _) => {
                self.modes.remove(subject);
            }
            (Key::DeleteSubject { subject, .. }, Some(Val::DeleteSubject(value))) => {
                let versions = self.subjects.entry(subject.clone()).or_default();
                for (_, version) in versions.range_mut(..=value.version) {
                    version.value.deleted = true;
                }
            }
            (Key::ClearSubject { subject, .. }, _) => {
                let versions = self.subjects.get(subject).into_iter().flatten();
                let versions: Vec<i32> = versions.map(|(number, _)| *number).collect();
                versions
                    .into_iter()
                    .for_each(|version| self.remove_version(subject, version));
            }
            (Key::Noop { .. }, Some(Val::Noop(value))) => {
                self.max_id = self.max_id.max(value.max_id);
            }
            (Key::DeleteSubject { .. } | Key::Noop { .. }, _) => {}
        }
    }

    /// The versions of a subject, in order.
    pub(crate) fn versions(
        &self,
        subject: &Subject,
        deleted: Deleted,
    ) -> impl DoubleEndedIterator<Item = (i32, &Version)> {
        self.subjects
            .get(subject)
            .into_iter()
            .flatten()
            .filter(move |(_, version)| deleted.shows(version))
            .map(|(number, version)| (*number, version))
    }

    /// The schemas that references name, in their order, and those that they refer to in turn.
    pub(crate) fn referred(&self, references: &[Reference]) -> Result<Referred<'_>, Reference> {
        let mut schemas = Vec::new();
        let mut open: Vec<Reference> = references.iter().rev().cloned().collect();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(reference) = open.pop() {
            let found = self
                .subjects
                .get(&reference.subject)
                .and_then(|versions| versions.get(&reference.version));
            let Some(found) = found else {
                return Err(reference);
            };
            if seen.insert((reference.subject.clone(), reference.version)) {
                schemas.push(&*found.schema);
                open.extend(found.schema.references.iter().rev().cloned());
            }
        }
        Ok(Referred { schemas })
    }

    /// The versions that refer to one.
    pub(crate) fn referring_to<'a>(
        &'a self,
        subject: &'a Subject,
        version: i32,
    ) -> impl Iterator<Item = &'a Version> {
        self.subjects
            .values()
            .flat_map(BTreeMap::values)
            .filter(move |other| {
                !other.value.deleted
                    && other
                        .value
                        .references
                        .iter()
                        .any(|one| one.subject == *subject && one.version == version)
            })
    }

    fn put_version(&mut self, subject: &Subject, number: i32, value: &SchemaValue) {
        let kind = value.schema_type.clone().filter(|kind| kind != "AVRO");
        let schema = {
            let referred = self
                .referred(&value.references)
                .unwrap_or(Referred { schemas: vec![] });
            let references = value.references.clone();
            Arc::new(Schema::recorded(
                value.schema.clone(),
                kind,
                references,
                &referred,
            ))
        };
        let before = self
            .subjects
            .get(subject)
            .and_then(|versions| versions.get(&number));
        if before.is_some_and(|before| before.value.id != value.id) {
            self.remove_version(subject, number);
        }
        self.max_id = self.max_id.max(value.id);
        self.ids.entry(schema.identity).or_insert(value.id);
        let places = self.places.entry(value.id).or_default();
        let place = (subject.clone(), number);
        if !places.contains(&place) {
            places.push(place);
        }
        let version = Version {
            value: value.clone(),
            schema,
        };
        self.subjects
            .entry(subject.clone())
            .or_default()
            .insert(number, version);
    }

    fn remove_version(&mut self, subject: &Subject, number: i32) {
        let Some(versions) = self.subjects.get_mut(subject) else {
            return;
        };
        let Some(version) = versions.remove(&number) else {
            return;
        };
        if versions.is_empty() {
            self.subjects.remove(subject);
        }
        let id = version.value.id;
        if let Some(places) = self.places.get_mut(&id) {
            places.retain(|place| *place != (subject.clone(), number));
            if places.is_empty() {
                self.places.remove(&id);
                self.ids.retain(|_, known| *known != id);
            }
        }
    }
}
