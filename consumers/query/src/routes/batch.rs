//! Many licenses at once by their ids, in the order asked: for who has a list of ids at hand and would
//! else ask a thousand times.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Uri};
use licenseflow_core::contract::limits::valid_id;
use licenseflow_runtime::http::openapi::words;
use licenseflow_runtime::http::problem::MEDIA_TYPE;
use licenseflow_runtime::http::{Problem, TenantId};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Answered, known};
use crate::answer::{Answer, Failure};
use crate::body;
use crate::fields::{Fields, Shown};
use crate::links::{self, Links};
use crate::openapi::{self, Batch, BatchAsked, FieldsAlone};
use crate::params::{NOT_AN_ID, Params};
use crate::shapes;
use crate::state::QueryState;

/// As many licenses as are given at once.
const IDS_MAX: usize = 1000;

/// The most bytes that a body has: a thousand of the longest ids, and room for blanks between them.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;

/// As many wrong places of a body as an answer names.
const ERRORS_MAX: usize = 100;

/// Up to a thousand licenses at once
///
/// In the order asked, those that stand twice twice; those that are not there are named.
#[utoipa::path(
    post, path = "/v1/licenses:batchGet", tag = openapi::LICENSES, operation_id = "batchGetLicenses",
    params(FieldsAlone),
    request_body = BatchAsked,
    responses(
        (status = 200, body = Batch, description = "Those that are there, and the names of the others."),
        (status = 413, body = words::Problem, content_type = MEDIA_TYPE, description = "`request_too_large`: the body is too long."),
        (status = 415, body = words::Problem, content_type = MEDIA_TYPE, description = "The body is not `application/json`, or encoded."),
        (status = 422, body = words::Problem, content_type = MEDIA_TYPE, description = "`invalid_batch`: `errors` says where. \
            `batch_too_large`: the licenses hold more bytes than an answer may."),
    )
)]
pub(super) async fn get(
    State(state): State<QueryState>,
    tenant: TenantId,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answered {
    let params = Params::of(&uri, &known::BATCH)?;
    let fields = Fields::of(&params)?;
    let ids = ids(&body::whole(&headers, body, BODY_BYTES_MAX)?)?;
    let (tenant_id, asked) = (tenant.into_string(), ids.clone());
    let read = state.store.ask("licenses_by_id", move |lookup| {
        lookup.licenses_by_id(&tenant_id, &asked)
    });
    let read = read.await?;
    if read.value.len() < ids.len() {
        let problem = too_much(read.value.len(), ids.len());
        return Err(Failure::read(problem, read.freshness));
    }
    let now = state.now();
    let found = read.value.iter().flatten();
    let items = found.map(|row| {
        let license = shapes::license(row, now);
        fields.of_license(license.degraded_by(&row.letters, &state.topics))
    });
    let missing = ids.iter().zip(&read.value);
    let missing: Vec<&String> = missing
        .filter_map(|(license_id, row)| row.is_none().then_some(license_id))
        .collect();
    let found = Found {
        _links: Links::itself(links::asked(&uri)),
        items: items.collect(),
        missing,
    };
    Ok(Answer::of(&found, read.freshness))
}

/// The licenses in the order asked, and those that there are not.
#[derive(Serialize)]
struct Found<'f> {
    _links: Links,
    items: Vec<Shown<'f>>,
    missing: Vec<&'f String>,
}

/// The ids of a body `{"ids": […]}`.
fn ids(body: &[u8]) -> Result<Vec<String>, Failure> {
    let unexpected = |_: &_| invalid(vec![(String::new(), EXPECTED.to_owned())]);
    let Members(members) = body::read(body, unexpected)?;
    let mut asked = None;
    for (name, value) in members {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        if name != "ids" {
            let error = format!("there is no such member: {EXPECTED}");
            return Err(invalid(vec![(pointer, error)]));
        }
        if asked.replace(value).is_some() {
            let error = "it stands more than once".to_owned();
            return Err(invalid(vec![(pointer, error)]));
        }
    }
    let Some(Value::Array(items)) = asked else {
        return Err(invalid(vec![("/ids".to_owned(), EXPECTED.to_owned())]));
    };
    if items.len() > IDS_MAX {
        let error = format!("at most {IDS_MAX} at once; there are {}", items.len());
        return Err(invalid(vec![("/ids".to_owned(), error)]));
    }
    let (mut ids, mut errors) = (Vec::with_capacity(items.len()), Vec::new());
    for (place, item) in items.into_iter().enumerate() {
        match item {
            Value::String(text) if valid_id(&text) => ids.push(text),
            _ => errors.push((format!("/ids/{place}"), NOT_AN_ID.to_owned())),
        }
    }
    if !errors.is_empty() {
        return Err(invalid(errors));
    }
    Ok(ids)
}

const EXPECTED: &str = "expected an object with the member `ids`, a list of license ids";

fn invalid(errors: Vec<(String, String)>) -> Failure {
    let problem = Problem::unprocessable("invalid_batch", "the body cannot be taken; see errors");
    let errors = errors.into_iter().take(ERRORS_MAX);
    let problem = errors.fold(problem, |problem, (pointer, error)| {
        problem.field(pointer, error)
    });
    problem.into()
}

fn too_much(read: usize, asked: usize) -> Problem {
    let detail = format!(
        "the {asked} licenses hold more bytes than an answer may, the first {read} do not; ask for fewer at once"
    );
    Problem::unprocessable("batch_too_large", detail)
}

/// The members of an object as they stand: one that stands twice is not taken for one.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_stand_with_those_that_stand_twice() {
        let read = ids(br#" {"ids": ["b", "a", "b"]} "#).unwrap();
        assert_eq!(read, ["b", "a", "b"]);
        assert!(ids(br#"{"ids":[]}"#).unwrap().is_empty());
    }

    #[test]
    fn each_wrong_body_is_pointed_at() {
        let long = format!("{{\"ids\":[{}\"a\"]}}", "\"a\",".repeat(IDS_MAX));
        let bodies: [(&str, u16, &[&str]); 12] = [
            ("", 400, &[]),
            ("{\"ids\":[\"a\"]", 400, &[]),
            ("{\"ids\":[\"a\"]} x", 400, &[]),
            ("[\"a\"]", 422, &[""]),
            ("null", 422, &[""]),
            ("{}", 422, &["/ids"]),
            ("{\"ids\":\"a\"}", 422, &["/ids"]),
            ("{\"ids\":null}", 422, &["/ids"]),
            (&long, 422, &["/ids"]),
            ("{\"ids\":[\"a\"],\"ids\":[]}", 422, &["/ids"]),
            ("{\"ids\":[],\"a/b\":1}", 422, &["/a~1b"]),
            (
                "{\"ids\":[\"a\",5,\"-\",\"b\",\"\"]}",
                422,
                &["/ids/1", "/ids/2", "/ids/4"],
            ),
        ];
        for (body, status, pointers) in bodies {
            let failure = ids(body.as_bytes()).unwrap_err();
            let problem = failure.problem();
            assert_eq!(problem.status.as_u16(), status, "{body}");
            let named: Vec<&str> = problem
                .errors
                .iter()
                .map(|it| it.pointer.as_str())
                .collect();
            assert_eq!(named, pointers, "{body}");
        }
    }
}
