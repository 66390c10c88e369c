//! The way of a request: what became of each of its records.

use axum::extract::{Path, State};
use axum::http::Uri;
use licenseflow_core::contract::headers::RequestId;
use licenseflow_core::contract::{Offset, PartitionId, Topics};
use licenseflow_runtime::http::{Problem, TenantId};
use licenseflow_store::lookup::{JourneyQuery, JourneyStep, Page, RecordPlace};
use serde::Serialize;
use serde_json::Value;

use super::{Answered, Everything, known};
use crate::answer::{Answer, Failure};
use crate::list::{Asked, List};
use crate::openapi::{self, Journey, OfJourney};
use crate::params::Params;
use crate::shapes;
use crate::state::QueryState;
use crate::store::{Keep, Question};

/// The way of a request: what became of each of its records
#[utoipa::path(
    get, path = "/v1/requests/{request_id}", tag = openapi::FRESHNESS, operation_id = "journey",
    params(openapi::RequestId, OfJourney),
    responses((status = 200, body = Journey, description = "A page of its records."))
)]
pub(super) async fn journey(
    State(state): State<QueryState>,
    tenant: TenantId,
    Path(request_id): Path<String>,
    uri: Uri,
) -> Answered {
    let params = Params::of(&uri, &known::JOURNEY)?;
    let id = RequestId::parse(&request_id).ok_or_else(|| {
        Problem::bad_request(
            "invalid_request_id",
            "a request id is 1 to 128 visible ASCII characters",
        )
    })?;
    let of = format!("requests/{tenant}/{id}");
    let asked = Asked::<Everything, RecordPlace>::of(of, Everything {}, &params, state.now())?;
    let query = JourneyQuery {
        tenant_id: tenant.as_str().to_owned(),
        request_id: id.clone(),
        by_coordinates: coordinates(&request_id, &state.topics),
        after: asked.after,
        limit: asked.limit,
    };
    let question = Question {
        name: "journey",
        of: format!("{query:?}"),
        by_time: true,
    };
    // A letter is acknowledged without a new position.
    let keep = |_: &Page<JourneyStep, RecordPlace>| Keep::No;
    let read = state
        .store
        .share(question, keep, move |lookup| lookup.journey(&query));
    let read = read.await?;
    if read.value.items.is_empty() && asked.after.is_none() {
        return Err(Failure::read(not_read(&tenant, &id), read.freshness));
    }
    let items = read.value.items.iter();
    let items = items
        .map(|step| shapes::step(step, &state.topics))
        .collect();
    let page = JourneyPage {
        list: asked.answer(&uri, items, read.value.next)?,
        request_id,
    };
    Ok(Answer::of(&page, read.freshness))
}

/// A page of a journey.
#[derive(Serialize)]
struct JourneyPage {
    #[serde(flatten)]
    list: List<Value>,
    request_id: String,
}

fn not_read(tenant: &TenantId, id: &RequestId) -> Problem {
    let detail = format!(
        "no record of request {id} for tenant {tenant} was read so far; the header X-Tenant-Id picks the \
         tenant, and the position of the receipt in X-Min-Position waits for it"
    );
    Problem::not_found("request_not_found", detail)
}

/// The record of a request id that has the form `topic:partition:offset`.
fn coordinates(request_id: &str, topics: &Topics) -> Option<RecordPlace> {
    let (rest, offset) = request_id.rsplit_once(':')?;
    let (topic, partition) = rest.rsplit_once(':')?;
    let number = |text: &str| {
        text.parse::<Offset>()
            .ok()
            .filter(|it| it.to_string() == text)
    };
    let lane = topics.lane_of(topic)?;
    let partition = PartitionId::try_from(number(partition)?).ok()?;
    Some((lane, partition, number(offset)?))
}

#[cfg(test)]
mod tests {
    use licenseflow_core::contract::Lane;

    use super::*;

    #[test]
    fn a_record_without_a_header_is_known_by_its_coordinates() {
        let topics = Topics::new("p-");
        let place = coordinates("p-license.events.bulk.v1:3:42", &topics);
        assert_eq!(place, Some((Lane::Bulk, 3, 42)));
        for text in [
            "license.events.v1:0:1",
            "p-license.events.v1:0",
            "p-license.events.v1:01:2",
            "x",
        ] {
            assert_eq!(coordinates(text, &topics), None, "{text}");
        }
    }
}
