//! A customer, and the licenses that it holds.

use axum::extract::{Path, State};
use axum::http::Uri;
use licenseflow_core::contract::limits::valid_id;
use licenseflow_core::status::Status;
use licenseflow_runtime::http::{Problem, TenantId};
use licenseflow_store::lookup::CustomerTotals;

use super::{Answered, licenses};
use crate::answer::{Answer, Failure};
use crate::openapi::{self, CustomerId, LicenseList, OfCustomer};
use crate::params::{NOT_AN_ID, Params};
use crate::shapes::{self, Customer};
use crate::state::QueryState;
use crate::store::{Keep, Question, Weigh};

/// A customer: the totals of the licenses that it holds now
#[utoipa::path(
    get, path = "/v1/customers/{customer_id}", tag = openapi::CUSTOMERS, operation_id = "customer",
    params(CustomerId),
    responses((status = 200, body = Customer, description = "The customer."))
)]
pub(super) async fn one(
    State(state): State<QueryState>,
    tenant: TenantId,
    Path(customer_id): Path<String>,
    uri: Uri,
) -> Answered {
    Params::of(&uri, &[])?;
    check(&customer_id)?;
    let (of, asked, at) = (tenant.to_string(), customer_id.clone(), state.now());
    let question = Question {
        name: "customer",
        of: format!("{of:?} {asked:?}"),
        by_time: true,
    };
    let kept = move |it: &Option<CustomerTotals>| keep(it.as_ref(), at, it.bytes());
    let read = state.store.share(question, kept, move |lookup| {
        lookup.customer(&of, &asked, at)
    });
    let read = read.await?;
    let Some(customer) = read.value.as_ref() else {
        let detail = format!(
            "customer {customer_id} of tenant {tenant} holds no license; the header X-Tenant-Id picks the \
             tenant, and the position of a receipt in X-Min-Position waits for what was just sent"
        );
        let problem = Problem::not_found("customer_not_found", detail);
        return Err(Failure::read(problem, read.freshness));
    };
    let shown = shapes::customer(tenant.as_str(), customer);
    Ok(Answer::of(&shown, read.freshness))
}

/// The licenses that a customer holds now
#[utoipa::path(
    get, path = "/v1/customers/{customer_id}/licenses", tag = openapi::CUSTOMERS, operation_id = "licensesOfCustomer",
    params(CustomerId, OfCustomer),
    responses((status = 200, body = LicenseList, description = "A page of them; none where there is no such customer."))
)]
pub(super) async fn licenses_held(
    State(state): State<QueryState>,
    tenant: TenantId,
    Path(customer_id): Path<String>,
    uri: Uri,
) -> Answered {
    check(&customer_id)?;
    licenses::listed(&state, tenant, &uri, Some(customer_id)).await
}

/// For how long what was read of a customer at this time holds. The next license to expire is known; the
/// next to begin is not, so with one that is pending it holds no longer.
pub(super) fn keep(customer: Option<&CustomerTotals>, at: i64, bytes: usize) -> Keep {
    match customer {
        None => Keep::ThisPosition(bytes),
        Some(customer) if customer.totals.of_status(Status::Pending) > 0 => Keep::No,
        Some(customer) => Keep::During(at..customer.next_expiry.unwrap_or(i64::MAX), bytes),
    }
}

fn check(customer_id: &str) -> Result<(), Failure> {
    if valid_id(customer_id) {
        return Ok(());
    }
    let detail = format!("customer_id: {NOT_AN_ID}");
    Err(Problem::bad_request("invalid_customer_id", detail).into())
}
