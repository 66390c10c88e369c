//! Registering a schema: whether it may be, and which id and version it gets.

use serde_json::Map;

use super::{Answer, Decision, Given};
use crate::log::record::{Entry, Key, SchemaValue, Val};
use crate::names::Subject;
use crate::schema::Schema;
use crate::state::{Deleted, State, Version};
use crate::{Error, Result};

/// A record of the topic must stay under the brokers' usual limit of 1 MB.
const RECORD_BYTES_MAX: usize = 1_000_000;

impl State {
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

    pub(super) fn register(&self, subject: &Subject, given: &Given) -> Result<Decision> {
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
}
