//! Keys and values of the topic, in Confluent's own JSON forms, so that the topic can be carried
//! over from and to another registry.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::compatibility::Level;
use crate::names::{Mode, Reference, Subject};

/// What a record is about. The members' order is part of the key: compaction goes by its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "keytype")]
pub(crate) enum Key {
    #[serde(rename = "SCHEMA")]
    Schema {
        subject: Subject,
        version: i32,
        magic: u8,
    },
    #[serde(rename = "CONFIG")]
    Config { subject: Option<Subject>, magic: u8 },
    #[serde(rename = "MODE")]
    Mode { subject: Option<Subject>, magic: u8 },
    #[serde(rename = "DELETE_SUBJECT")]
    DeleteSubject { subject: Subject, magic: u8 },
    #[serde(rename = "CLEAR_SUBJECT")]
    ClearSubject { subject: Subject, magic: u8 },
    #[serde(rename = "NOOP")]
    Noop { magic: u8 },
}

impl Key {
    pub(crate) fn schema(subject: &Subject, version: i32) -> Key {
        Key::Schema {
            subject: subject.clone(),
            version,
            magic: 1,
        }
    }

    pub(crate) fn config(subject: Option<&Subject>) -> Key {
        Key::Config {
            subject: subject.cloned(),
            magic: 0,
        }
    }

    pub(crate) fn mode(subject: Option<&Subject>) -> Key {
        Key::Mode {
            subject: subject.cloned(),
            magic: 0,
        }
    }

    pub(crate) fn delete_subject(subject: &Subject) -> Key {
        Key::DeleteSubject {
            subject: subject.clone(),
            magic: 0,
        }
    }
}

/// One version of a subject. Members that other registries add are carried along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SchemaValue {
    pub(crate) subject: Subject,
    pub(crate) version: i32,
    pub(crate) id: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema_type: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) references: Vec<Reference>,
    pub(crate) schema: String,
    #[serde(default)]
    pub(crate) deleted: bool,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigValue {
    pub(crate) compatibility_level: Level,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModeValue {
    pub(crate) mode: Mode,
}

/// All versions up to this one are deleted, softly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeleteSubjectValue {
    pub(crate) subject: Subject,
    pub(crate) version: i32,
}

/// Ours alone: ids up to this one were given. Written where schemas are deleted for good, so that
/// their ids are not given again once compaction has taken the records away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NoopValue {
    #[serde(default)]
    pub(crate) max_id: i32,
}

/// A value, by the kind of its key.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Val {
    Schema(SchemaValue),
    Config(ConfigValue),
    Mode(ModeValue),
    DeleteSubject(DeleteSubjectValue),
    Noop(NoopValue),
}

/// One record of the topic; without a value it takes back what its key said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Option<Val>,
}

impl Entry {
    pub(crate) fn put(key: Key, value: Val) -> Entry {
        Entry {
            key,
            value: Some(value),
        }
    }

    pub(crate) fn remove(key: Key) -> Entry {
        Entry { key, value: None }
    }

    /// Reads a record's bytes.
    pub(crate) fn read(key: &[u8], value: Option<&[u8]>) -> Result<Entry, serde_json::Error> {
        let key: Key = serde_json::from_slice(key)?;
        let value = match value {
            None => None,
            Some(bytes) => match &key {
                Key::Schema { .. } => Some(Val::Schema(serde_json::from_slice(bytes)?)),
                Key::Config { .. } => Some(Val::Config(serde_json::from_slice(bytes)?)),
                Key::Mode { .. } => Some(Val::Mode(serde_json::from_slice(bytes)?)),
                Key::DeleteSubject { .. } => {
                    Some(Val::DeleteSubject(serde_json::from_slice(bytes)?))
                }
                Key::Noop { .. } => Some(Val::Noop(serde_json::from_slice(bytes)?)),
                Key::ClearSubject { .. } => None,
            },
        };
        Ok(Entry { key, value })
    }

    /// The bytes of key and value.
    pub(crate) fn bytes(&self) -> Result<(Vec<u8>, Option<Vec<u8>>), serde_json::Error> {
        let value = self.value.as_ref().map(serde_json::to_vec).transpose()?;
        Ok((serde_json::to_vec(&self.key)?, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_bytes_that_confluents_registry_writes() {
        let value = SchemaValue {
            subject: Subject::from("t-value"),
            version: 1,
            id: 7,
            schema_type: None,
            references: vec![],
            schema: "\"int\"".into(),
            deleted: false,
            rest: Map::new(),
        };
        let entry = Entry::put(Key::schema(&value.subject, 1), Val::Schema(value));
        let (key, value) = entry.bytes().unwrap();
        assert_eq!(
            r#"{"keytype":"SCHEMA","subject":"t-value","version":1,"magic":1}"#,
            String::from_utf8(key).unwrap()
        );
        assert_eq!(
            r#"{"subject":"t-value","version":1,"id":7,"schema":"\"int\"","deleted":false}"#,
            String::from_utf8(value.unwrap()).unwrap()
        );
        let (key, value) = Entry::put(
            Key::config(None),
            Val::Config(ConfigValue {
                compatibility_level: Level::Full,
            }),
        )
        .bytes()
        .unwrap();
        assert_eq!(
            r#"{"keytype":"CONFIG","subject":null,"magic":0}"#,
            String::from_utf8(key).unwrap()
        );
        assert_eq!(
            r#"{"compatibilityLevel":"FULL"}"#,
            String::from_utf8(value.unwrap()).unwrap()
        );
    }

    #[test]
    fn what_another_registry_adds_to_a_record_is_carried_along() {
        let key = br#"{"keytype":"SCHEMA","subject":"s","version":2,"magic":1}"#;
        let value =
            br#"{"subject":"s","version":2,"id":3,"md5":"abc=","schema":"\"int\"","deleted":true}"#;
        let entry = Entry::read(key, Some(value)).unwrap();
        let Some(Val::Schema(value)) = &entry.value else {
            panic!("{entry:?}")
        };
        assert!(value.deleted);
        let written = String::from_utf8(entry.bytes().unwrap().1.unwrap()).unwrap();
        assert!(written.contains(r#""md5":"abc=""#), "{written}");
    }

    #[test]
    fn every_kind_of_key_is_read() {
        for (key, value) in [
            (
                r#"{"keytype":"CONFIG","subject":"s","magic":0}"#,
                Some(r#"{"compatibilityLevel":"NONE"}"#),
            ),
            (
                r#"{"keytype":"MODE","subject":null,"magic":0}"#,
                Some(r#"{"mode":"READONLY"}"#),
            ),
            (
                r#"{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}"#,
                Some(r#"{"subject":"s","version":4}"#),
            ),
            (
                r#"{"keytype":"CLEAR_SUBJECT","subject":"s","magic":0}"#,
                Some(r#"{"subject":"s"}"#),
            ),
            (r#"{"keytype":"NOOP","magic":0}"#, None),
            (r#"{"keytype":"NOOP","magic":0}"#, Some(r#"{"max_id":9}"#)),
        ] {
            Entry::read(key.as_bytes(), value.map(str::as_bytes)).expect(key);
        }
    }
}
