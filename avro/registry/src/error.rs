//! Every error that the API knows, with Confluent's code, status and words, by which foreign
//! clients tell them apart.

use axum::http::StatusCode;

use crate::names::{Reference, Subject};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can be wrong with a request, or with the log behind the registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such subject.
    #[error("Subject '{0}' not found.")]
    SubjectNotFound(Subject),
    /// No such version of the subject.
    #[error("Version {0} not found.")]
    VersionNotFound(String),
    /// No such schema, by id or by text.
    #[error("{0}")]
    SchemaNotFound(String),
    /// The subject is deleted already, softly.
    #[error("Subject '{0}' was soft deleted. Set permanent=true to delete permanently")]
    SubjectSoftDeleted(Subject),
    /// A subject is deleted softly first, then for good.
    #[error("Subject '{0}' was not deleted first before being permanently deleted")]
    SubjectNotSoftDeleted(Subject),
    /// The version is deleted already, softly.
    #[error("Subject '{0}' Version {1} was soft deleted. Set permanent=true to delete permanently")]
    VersionSoftDeleted(Subject, i32),
    /// A version is deleted softly first, then for good.
    #[error("Subject '{0}' Version {1} was not deleted first before being permanently deleted")]
    VersionNotSoftDeleted(Subject, i32),
    /// The subject has no compatibility level of its own.
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    ConfigNotFound(Subject),
    /// The subject has no mode of its own.
    #[error("Subject '{0}' does not have subject-level mode configured")]
    ModeNotFound(Subject),
    /// The schema does not fit the earlier ones.
    #[error(
        "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", \
         details: [{}]; compatibility: '{level}'", messages.join("; ")
    )]
    Incompatible {
        /// The subject.
        subject: Subject,
        /// The level that it was judged by.
        level: &'static str,
        /// What does not fit, and where.
        messages: Vec<String>,
    },
    /// The schema is no Avro schema, or not one that can be kept.
    #[error("Invalid schema: {0}")]
    InvalidSchema(String),
    /// Not a version.
    #[error(
        "The specified version '{0}' is not a valid version id. Allowed values are between \
         [1, 2^31-1] and the string \"latest\""
    )]
    InvalidVersion(String),
    /// Not a level.
    #[error(
        "Invalid compatibility level. Valid values are none, backward, forward, full, \
         backward_transitive, forward_transitive, and full_transitive"
    )]
    InvalidLevel,
    /// Not a mode.
    #[error("Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE")]
    InvalidMode,
    /// The mode does not allow it.
    #[error("{0}")]
    NotPermitted(String),
    /// Other schemas refer to it.
    #[error("One or more references exist to the schema {{subject={},version={}}}.", .0.subject, .0.version)]
    ReferenceExists(Reference),
    /// Not a subject.
    #[error("The specified subject '{0}' is not a valid.")]
    InvalidSubject(String),
    /// Rule sets and metadata change what a schema means; dropping them silently would be a lie.
    #[error("Invalid ruleset: {0} is not supported by this registry")]
    Unsupported(&'static str),
    /// The request is no JSON object of the right form.
    #[error("{0}")]
    BadRequest(String),
    /// The request is larger than a record can be.
    #[error("the request is larger than {0} bytes")]
    TooLarge(usize),
    /// The log is away, or did not answer in time.
    #[error("Operation timed out: {0}")]
    Unavailable(String),
    /// Other instances kept writing.
    #[error("Error while writing: {0}")]
    Contended(String),
    /// The log answered, and the answer is no.
    #[error("Error in the backend data store: {0}")]
    Store(String),
}

impl Error {
    /// Confluent's error code.
    pub fn code(&self) -> u32 {
        match self {
            Error::SubjectNotFound(_) => 40401,
            Error::VersionNotFound(_) => 40402,
            Error::SchemaNotFound(_) => 40403,
            Error::SubjectSoftDeleted(_) => 40404,
            Error::SubjectNotSoftDeleted(_) => 40405,
            Error::VersionSoftDeleted(..) => 40406,
            Error::VersionNotSoftDeleted(..) => 40407,
            Error::ConfigNotFound(_) => 40408,
            Error::ModeNotFound(_) => 40409,
            Error::Incompatible { .. } => 409,
            Error::InvalidSchema(_) => 42201,
            Error::InvalidVersion(_) => 42202,
            Error::InvalidLevel => 42203,
            Error::InvalidMode => 42204,
            Error::NotPermitted(_) => 42205,
            Error::ReferenceExists(_) => 42206,
            Error::InvalidSubject(_) => 42208,
            Error::Unsupported(_) => 42210,
            Error::BadRequest(_) => 400,
            Error::TooLarge(_) => 413,
            Error::Store(_) => 50001,
            Error::Unavailable(_) => 50002,
            Error::Contended(_) => 50003,
        }
    }

    /// The HTTP status: the code's first three digits, but 503 where trying again is the answer.
    pub fn status(&self) -> StatusCode {
        let leading = match self.code() {
            50002 | 50003 => 503,
            code if code >= 1000 => code / 100,
            code => code,
        };
        u16::try_from(leading)
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Whether the answer may be another once more of the log was read.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self.code(), 40401..=40409)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_codes_beginning_except_where_trying_again_helps() {
        let status = |error: Error| error.status().as_u16();
        assert_eq!(404, status(Error::VersionNotFound("7".into())));
        assert_eq!(
            409,
            status(Error::Incompatible {
                subject: Subject::from("s"),
                level: "FULL",
                messages: vec![],
            })
        );
        assert_eq!(422, status(Error::InvalidLevel));
        assert_eq!(500, status(Error::Store("no".into())));
        assert_eq!(503, status(Error::Unavailable("away".into())));
        assert_eq!(503, status(Error::Contended("busy".into())));
    }
}
