//! The nouns of the API: subjects, versions, modes, references.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The name under which schemas evolve, such as `license.events.v1-value`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Subject(String);

impl Subject {
    /// Refuses what no client could name again.
    ///
    /// # Errors
    /// [`Error::InvalidSubject`] for an empty name and for control characters.
    pub fn parse(name: &str) -> Result<Subject> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Error::InvalidSubject(name.to_owned()));
        }
        Ok(Subject(name.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Subject {
    fn from(name: &str) -> Subject {
        Subject(name.to_owned())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which version is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionId {
    /// The greatest that is not deleted.
    Latest,
    /// This one.
    Number(i32),
}

impl VersionId {
    /// `latest`, `-1` (the same), or 1 and up.
    ///
    /// # Errors
    /// [`Error::InvalidVersion`].
    pub fn parse(text: &str) -> Result<VersionId> {
        match text.parse::<i32>() {
            Ok(-1) => Ok(VersionId::Latest),
            Ok(number) if number >= 1 => Ok(VersionId::Number(number)),
            _ if text == "latest" => Ok(VersionId::Latest),
            _ => Err(Error::InvalidVersion(text.to_owned())),
        }
    }
}

/// What may be done to a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// Everything.
    ReadWrite,
    /// Reading.
    ReadOnly,
    /// Reading, whatever a subject's own mode says.
    #[serde(rename = "READONLY_OVERRIDE")]
    ReadOnlyOverride,
    /// Written by another registry for its migrations; here nothing can be registered under it.
    Import,
}

impl Mode {
    /// Those that can be set here.
    ///
    /// # Errors
    /// [`Error::InvalidMode`].
    pub fn parse(text: &str) -> Result<Mode> {
        match text.to_ascii_uppercase().as_str() {
            "READWRITE" => Ok(Mode::ReadWrite),
            "READONLY" => Ok(Mode::ReadOnly),
            "READONLY_OVERRIDE" => Ok(Mode::ReadOnlyOverride),
            _ => Err(Error::InvalidMode),
        }
    }
}

/// A schema's use of types that another subject's version defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// The name by which the schema calls it.
    pub name: String,
    /// Where it is.
    pub subject: Subject,
    /// Which version of it.
    pub version: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_positive_number_or_latest() {
        assert_eq!(Ok(VersionId::Latest), VersionId::parse("latest"));
        assert_eq!(Ok(VersionId::Latest), VersionId::parse("-1"));
        assert_eq!(Ok(VersionId::Number(3)), VersionId::parse("3"));
        for wrong in ["0", "-2", "last", "", "99999999999"] {
            assert_eq!(
                Err(Error::InvalidVersion(wrong.into())),
                VersionId::parse(wrong)
            );
        }
    }

    #[test]
    fn a_subject_has_a_name_without_control_characters() {
        assert!(Subject::parse("a/b c").is_ok());
        assert!(Subject::parse("").is_err());
        assert!(Subject::parse("a\nb").is_err());
    }
}
