//! What requests carry: bodies and query parameters, read as leniently as Confluent's server does,
//! because clients send members and parameters that are newer than this API.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::decide::{Depth, Given};
use crate::names::Reference;
use crate::state::Deleted;
use crate::{Error, Result};

/// The largest body; a record of the topic holds no more.
pub(super) const BYTES_MAX: usize = 1_000_000;

/// A body as it came.
pub(super) type Raw = std::result::Result<Bytes, BytesRejection>;

/// Reads a JSON object, whatever media type it claims.
pub(super) fn parse<T: DeserializeOwned>(raw: Raw) -> Result<T> {
    let bytes = raw.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge(BYTES_MAX),
        _ => Error::BadRequest(rejection.body_text()),
    })?;
    serde_json::from_slice(&bytes).map_err(|error| Error::BadRequest(error.to_string()))
}

/// A schema to register, to look up or to compare.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaBody {
    schema: Option<String>,
    schema_type: Option<String>,
    references: Option<Vec<Reference>>,
    metadata: Option<Value>,
    rule_set: Option<Value>,
    id: Option<i64>,
}

impl SchemaBody {
    /// The schema given.
    pub(super) fn given(self) -> Result<Given> {
        if let Some(other) = self
            .schema_type
            .filter(|kind| !kind.is_empty() && kind != "AVRO")
        {
            return Err(Error::InvalidSchema(format!(
                "the schema type {other}; only AVRO is kept"
            )));
        }
        let text = self
            .schema
            .ok_or_else(|| Error::InvalidSchema("empty schema".into()))?;
        Ok(Given {
            text,
            references: self.references.unwrap_or_default(),
        })
    }

    /// The schema given, where it is to be kept.
    pub(super) fn given_to_keep(self) -> Result<Given> {
        if self.rule_set.is_some() {
            return Err(Error::Unsupported("ruleSet"));
        }
        if self.metadata.is_some() {
            return Err(Error::Unsupported("metadata"));
        }
        if self.id.is_some_and(|id| id >= 0) {
            return Err(Error::NotPermitted(
                "ids are given by the registry: it has no import mode".into(),
            ));
        }
        self.given()
    }
}

/// A level to set; members that are newer than this API are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct LevelBody {
    pub(super) compatibility: Option<String>,
}

/// A mode to set.
#[derive(Debug, Deserialize)]
pub(super) struct ModeBody {
    pub(super) mode: String,
}

/// Every query parameter that means something here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameters {
    deleted: Option<String>,
    deleted_only: Option<String>,
    permanent: Option<String>,
    verbose: Option<String>,
    default_to_global: Option<String>,
    fetch_max_id: Option<String>,
    latest_only: Option<String>,
    subject_prefix: Option<String>,
    subject: Option<String>,
    offset: Option<String>,
    limit: Option<String>,
}

impl Parameters {
    pub(super) fn deleted(&self) -> Deleted {
        if is_true(self.deleted_only.as_deref()) {
            Deleted::Alone
        } else if is_true(self.deleted.as_deref()) {
            Deleted::Shown
        } else {
            Deleted::Hidden
        }
    }

    pub(super) fn depth(&self) -> Depth {
        if is_true(self.permanent.as_deref()) {
            Depth::Permanent
        } else {
            Depth::Soft
        }
    }

    pub(super) fn is_verbose(&self) -> bool {
        is_true(self.verbose.as_deref())
    }

    pub(super) fn falls_back_to_global(&self) -> bool {
        is_true(self.default_to_global.as_deref())
    }

    pub(super) fn wants_max_id(&self) -> bool {
        is_true(self.fetch_max_id.as_deref())
    }

    pub(super) fn latest_only(&self) -> bool {
        is_true(self.latest_only.as_deref())
    }

    /// The beginning of the subjects wanted. Confluent's list of all contexts is ours of the one.
    pub(super) fn prefix(&self) -> &str {
        let prefix = self.subject_prefix.as_deref().unwrap_or_default();
        if prefix == ":*:" { "" } else { prefix }
    }

    /// A subject that an answer is narrowed to.
    pub(super) fn subject(&self) -> Option<&str> {
        self.subject
            .as_deref()
            .filter(|subject| !subject.is_empty())
    }

    /// How many to pass over, and how many to give at most.
    pub(super) fn page(&self) -> (usize, usize) {
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        (
            number(&self.offset).unwrap_or(0),
            number(&self.limit).unwrap_or(usize::MAX),
        )
    }
}

/// Clients in other languages write their own `True`.
fn is_true(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.eq_ignore_ascii_case("true"))
}
