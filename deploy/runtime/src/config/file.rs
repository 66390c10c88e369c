//! `licenseflow.toml`: one key a setting, named as its flag, and the table
//! `[librdkafka]`. Where a value stands is kept, so that every complaint about
//! the file names its line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A line of the settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file.display(), self.line)
    }
}

/// The values of one setting in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileValue {
    pub(super) values: Vec<String>,
    pub(super) place: Place,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there, or may not be read.
    #[error("cannot read {file}")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("{place}: {message}")]
    NotToml {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// A key that is no setting.
    #[error("{place}: unknown key {key:?}{}", suggestion(.near))]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// The setting that was probably meant.
        near: Option<String>,
    },
    /// A value of a type that no setting has.
    #[error(
        "{place}: the value of {key:?} must be text, a number, true or false, or a list of these"
    )]
    WrongType {
        /// Where.
        place: Place,
        /// The key.
        key: String,
    },
}

fn suggestion(near: &Option<String>) -> String {
    near.as_ref()
        .map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

/// The settings that the file has; `known` are all that there are.
pub(super) fn read<'a>(
    file: &Path,
    known: impl Iterator<Item = &'a String> + Clone,
) -> Result<BTreeMap<String, FileValue>, FileError> {
    let unreadable = |source| FileError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let place = |offset: usize| Place {
        file: file.to_owned(),
        line: line_of(&text, offset),
    };
    let table = DeTable::parse(&text).map_err(|error| FileError::NotToml {
        place: place(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;

    let mut found = BTreeMap::new();
    for (key, value) in table.into_inner() {
        let place = place(key.span().start);
        let key = key.into_inner().into_owned();
        if !known.clone().any(|known| *known == key) {
            let near = nearest(&key, known);
            return Err(FileError::UnknownKey { place, key, near });
        }
        let Some(values) = values_of(value.into_inner()) else {
            return Err(FileError::WrongType { place, key });
        };
        found.insert(key, FileValue { values, place });
    }
    Ok(found)
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// A scalar is one value, a list several, a table one `key=value` for each member.
fn values_of(value: DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::Array(array) => {
            let values = array.into_iter().map(Spanned::into_inner);
            values.map(scalar).collect()
        }
        DeValue::Table(table) => table
            .into_iter()
            .map(|(key, value)| {
                Some(format!(
                    "{}={}",
                    key.into_inner(),
                    scalar(value.into_inner())?
                ))
            })
            .collect(),
        scalar_value => scalar(scalar_value).map(|value| vec![value]),
    }
}

fn scalar(value: DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.into_owned()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// The known key that shares the most of its parts with an unknown one.
fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> Option<String> {
    let wanted = key.replace('_', "-");
    known
        .map(|known| (likeness(&wanted, known), known))
        .max_by_key(|(likeness, _)| *likeness)
        .filter(|(likeness, known)| *likeness * 3 >= known.len() * 2)
        .map(|(_, known)| known.clone())
}

/// The bytes that both words have at their beginning and at their end.
fn likeness(one: &str, other: &str) -> usize {
    let equal = |pair: &(u8, u8)| pair.0 == pair.1;
    let start = one.bytes().zip(other.bytes()).take_while(equal).count();
    let end = one
        .bytes()
        .rev()
        .zip(other.bytes().rev())
        .take_while(equal)
        .count();
    (start + end).min(one.len()).min(other.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(text: &str) -> Result<BTreeMap<String, FileValue>, FileError> {
        let name = format!("licenseflow-file-test-{}.toml", uuid::Uuid::now_v7());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, text).unwrap();
        let known = ["librdkafka", "listen", "http-timeout"].map(str::to_owned);
        let found = read(&file, known.iter());
        std::fs::remove_file(&file).unwrap();
        found
    }

    #[test]
    fn values_keep_their_line() {
        let found =
            reading("# mine\nlisten = \"a\"\n[librdkafka]\n\"sasl.username\" = 'b'\n").unwrap();
        assert_eq!(found["listen"].values, ["a"]);
        assert_eq!(found["listen"].place.line, 2);
        assert_eq!(found["librdkafka"].values, ["sasl.username=b"]);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_key_that_was_meant() {
        let text = reading("listen = \"a\"\n\nhttp_timeout = 3\n")
            .unwrap_err()
            .to_string();
        assert!(
            text.ends_with(":3: unknown key \"http_timeout\"; did you mean \"http-timeout\"?"),
            "{text}"
        );
        let text = reading("colour = 3\n").unwrap_err().to_string();
        assert!(text.ends_with(":1: unknown key \"colour\""), "{text}");
    }

    #[test]
    fn what_is_not_toml_is_refused_with_its_line() {
        let text = reading("listen = \"a\"\nlisten\n").unwrap_err().to_string();
        assert!(text.contains(".toml:2: "), "{text}");
    }

    #[test]
    fn a_value_of_a_type_that_no_setting_has_is_refused() {
        let text = reading("listen = 1979-05-27\n").unwrap_err().to_string();
        assert!(
            text.contains(":1: the value of \"listen\" must be"),
            "{text}"
        );
    }
}
