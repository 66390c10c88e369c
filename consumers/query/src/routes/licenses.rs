//! The list of licenses: every filter, every sort, page by page.

use axum::extract::State;
use axum::http::Uri;
use licenseflow_core::status::{Lifecycle, Status};
use licenseflow_runtime::http::TenantId;
use licenseflow_store::lookup::{LicenseQuery, LicenseRow, Page, Read, SortBy, SortKey};
use serde::{Deserialize, Serialize};

use super::{Answered, known};
use crate::answer::{Answer, Failure};
use crate::fields::Fields;
use crate::list::Asked;
use crate::openapi::{self, LicenseList, OfLicenses};
use crate::params::{Params, invalid};
use crate::shapes;
use crate::state::QueryState;
use crate::store::{Keep, Question, Weigh};

/// As many rows as a page looks at.
const VISIT_AT_MOST: usize = 10_000;

/// The filters and the sort, as they stand in a cursor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Filters {
    customer_id: Option<String>,
    product_id: Option<String>,
    plan: Option<String>,
    status: Option<String>,
    lifecycle: Option<String>,
    expires_before: Option<i64>,
    expires_after: Option<i64>,
    over_seat: Option<bool>,
    sort: Option<String>,
}

/// Licenses: every filter with every sort, page by page
///
/// A row whose sort key and membership stay the same while paging comes exactly once.
#[utoipa::path(
    get, path = "/v1/licenses", tag = openapi::LICENSES, operation_id = "licenses",
    params(OfLicenses),
    responses((status = 200, body = LicenseList, description = "A page of them."))
)]
pub(super) async fn list(State(state): State<QueryState>, tenant: TenantId, uri: Uri) -> Answered {
    listed(&state, tenant, &uri, None).await
}

/// The list, of all licenses or of one customer's, whose id then is no parameter.
pub(super) async fn listed(
    state: &QueryState,
    tenant: TenantId,
    uri: &Uri,
    customer_id: Option<String>,
) -> Answered {
    let (of, known) = match &customer_id {
        None => (format!("licenses/{tenant}"), &known::LICENSES[..]),
        Some(id) => (
            format!("customers/{tenant}/{id}"),
            known::CUSTOMERS_LICENSES,
        ),
    };
    let params = Params::of(uri, known)?;
    let filters = filters(&params)?;
    let fields = Fields::of(&params)?;
    let mut asked = Asked::of(of, filters, &params, state.now())?.keeping(fields.in_address());
    let mut query = query(tenant.into_string(), &asked)?;
    query.customer_id = customer_id.or(query.customer_id);
    let query_is_by_status = query.status.is_some();
    let (question, keep) = question(&query);
    let read = state.store.share(question, keep, move |lookup| {
        let read = lookup.licenses(&query)?;
        let (value, freshness) = ((query.at, read.value), read.freshness);
        Ok(Read { value, freshness })
    });
    let read = read.await?;
    let (at, page) = read.value.as_ref();
    if query_is_by_status {
        asked.at = *at;
    }
    let items = page.items.iter();
    let items = items.map(|row| fields.of_license(shapes::license(row, asked.at)));
    let list = asked.answer(uri, items.collect(), page.next.clone())?;
    Ok(Answer::of(&list, read.freshness))
}

/// What is read of a list, and the time of asking that its licenses were chosen at.
type Listed = (i64, Page<LicenseRow, SortKey>);

/// Which licenses there are depends on the time only where the status chooses them, and there only on
/// the first page: it is not known when the next one begins or ends to be of that status.
fn question(query: &LicenseQuery) -> (Question, impl FnOnce(&Listed) -> Keep + Send + 'static) {
    let by_time = query.status.is_some() && query.after.is_none();
    let is_fixed = query.status.is_some() && query.after.is_some();
    let at = if is_fixed { query.at } else { 0 };
    let of = format!(
        "{:?}",
        LicenseQuery {
            at,
            ..query.clone()
        }
    );
    let question = Question {
        name: "licenses",
        of,
        by_time,
    };
    let keep = move |(_, page): &Listed| match by_time {
        true => Keep::No,
        false => Keep::ThisPosition(page.bytes()),
    };
    (question, keep)
}

fn filters(params: &Params) -> Result<Filters, Failure> {
    let statuses = Status::ALL.map(Status::name).join(", ");
    let lifecycles = Lifecycle::ALL.map(Lifecycle::name).join(", ");
    let status = params.word("status", &statuses, Status::from_name)?;
    let lifecycle = params.word("lifecycle", &lifecycles, Lifecycle::from_name)?;
    let sort = params.word("sort", SORTS, |text| sort(text).map(|_| text.to_owned()))?;
    Ok(Filters {
        customer_id: params.id("customer_id")?,
        product_id: params.id("product_id")?,
        plan: params.id("plan")?,
        status: status.map(|it| it.name().to_owned()),
        lifecycle: lifecycle.map(|it| it.name().to_owned()),
        expires_before: params.time("expires_before")?,
        expires_after: params.time("expires_after")?,
        over_seat: params.word("over_seat", "true or false", |text| text.parse().ok())?,
        sort,
    })
}

const SORTS: &str = "license_id, expires_at, last_event_at, or one of them after a -";

/// What a list is sorted by, and whether it is turned round.
fn sort(text: &str) -> Option<(SortBy, bool)> {
    let (name, descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let by = match name {
        "license_id" => SortBy::LicenseId,
        "expires_at" => SortBy::ExpiresAt,
        "last_event_at" => SortBy::LastEventAt,
        _ => return None,
    };
    Some((by, descending))
}

fn query(tenant_id: String, asked: &Asked<Filters, SortKey>) -> Result<LicenseQuery, Failure> {
    let filters = &asked.asked;
    let (sort, descending) = filters
        .sort
        .as_deref()
        .and_then(sort)
        .unwrap_or((SortBy::LicenseId, false));
    let fits = match (&asked.after, sort) {
        (None, _)
        | (Some(SortKey::Text(_)), SortBy::LicenseId)
        | (Some(SortKey::Number(..)), SortBy::ExpiresAt | SortBy::LastEventAt) => true,
        (Some(SortKey::Number(..)), SortBy::LicenseId)
        | (Some(SortKey::Text(_)), SortBy::ExpiresAt | SortBy::LastEventAt) => false,
    };
    if !fits {
        return Err(invalid(
            "cursor",
            "it is of another sort; begin again without it",
        ));
    }
    Ok(LicenseQuery {
        tenant_id,
        customer_id: filters.customer_id.clone(),
        product_id: filters.product_id.clone(),
        plan: filters.plan.clone(),
        status: filters.status.as_deref().and_then(Status::from_name),
        lifecycle: filters.lifecycle.as_deref().and_then(Lifecycle::from_name),
        expires_before: filters.expires_before,
        expires_after: filters.expires_after,
        over_seat: filters.over_seat,
        sort,
        descending,
        at: asked.at,
        after: asked.after.clone(),
        limit: asked.limit,
        visit_at_most: VISIT_AT_MOST,
    })
}
