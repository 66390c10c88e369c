//! A tenant as a whole. A part that fails is null and named, and the rest still answers.

use axum::extract::State;
use axum::http::Uri;
use licenseflow_runtime::http::{Problem, TenantId};
use licenseflow_store::Error;
use licenseflow_store::lookup;
use serde_json::{Value, json};

use super::Answered;
use crate::answer::{Answer, Failure};
use crate::links::{self, Links};
use crate::openapi::{self, Stats};
use crate::params::Params;
use crate::shapes;
use crate::state::QueryState;
use crate::store::{Keep, Question, problem_of};

/// A tenant as a whole
///
/// Totals of licenses; events per minute of the last 48 hours and per day, by when they occurred. A part
/// that fails is null and named, and the rest still answers.
#[utoipa::path(
    get, path = "/v1/stats", tag = openapi::CUSTOMERS, operation_id = "stats",
    responses((status = 200, body = Stats, description = "The tenant."))
)]
pub(super) async fn stats(State(state): State<QueryState>, tenant: TenantId, uri: Uri) -> Answered {
    Params::of(&uri, &[])?;
    let (of, at) = (tenant.to_string(), state.now());
    let question = Question {
        name: "stats",
        of: of.clone(),
        by_time: true,
    };
    // When the next license begins or ends is not known: it is told to who asks at the same time alone.
    let keep = |_: &lookup::Stats| Keep::No;
    let read = state
        .store
        .share(question, keep, move |lookup| lookup.stats(&of, at))
        .await?;
    let parts = [
        (
            "totals",
            read.value.totals.as_ref().map(shapes::tenant_totals),
        ),
        (
            "events_per_minute",
            read.value.per_minute.as_ref().map(shapes::per_minute),
        ),
        (
            "events_per_day",
            read.value.per_day.as_ref().map(shapes::per_day),
        ),
    ];
    let links = Links::itself(links::asked(&uri)).and("licenses", "/v1/licenses");
    let mut json = json!({ "tenant_id": tenant.as_str(), "_links": links });
    match together(parts, &mut json) {
        Ok(()) => Ok(Answer::of(&json, read.freshness)),
        Err(problem) => Err(Failure::read(*problem, read.freshness)),
    }
}

/// Puts the parts into the answer, null where one failed. Where all failed, that is the answer.
fn together<const PARTS: usize>(
    parts: [(&str, Result<Value, &Error>); PARTS],
    json: &mut Value,
) -> Result<(), Box<Problem>> {
    let (mut degraded, mut problem) = (Vec::new(), None);
    for (name, part) in parts {
        json[name] = part.unwrap_or_else(|error| {
            problem = Some(problem_of(error));
            degraded.push(name);
            Value::Null
        });
    }
    match problem {
        Some(problem) if degraded.len() == PARTS => Err(Box::new(problem)),
        Some(_) | None => {
            json["degraded"] = degraded.into();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_fails_is_null_and_named_and_all_of_them_are_a_failure() {
        let broken = Error::broken("no such table");
        let fails = || Err(&broken);
        let mut json = json!({});
        together([("a", Ok(json!(1))), ("b", fails())], &mut json).unwrap();
        assert_eq!(json, json!({"a": 1, "b": null, "degraded": ["b"]}));
        let problem = together([("a", fails()), ("b", fails())], &mut json).unwrap_err();
        assert_eq!(problem.status.as_u16(), 500);
        let disk = Error::Away("the disk".into());
        let away = || Err(&disk);
        let problem = together([("a", away()), ("b", away())], &mut json).unwrap_err();
        assert_eq!(problem.status.as_u16(), 503);
    }
}
