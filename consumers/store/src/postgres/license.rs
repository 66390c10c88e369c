//! A license's own row as it is written.

use licenseflow_core::license::{IssueTerms, PlanTerms};
use licenseflow_core::order::Decided;
use licenseflow_core::{LicenseState, OrderKey};

use super::change::Written;
use super::session::Work;
use crate::Error;
use crate::columns::{lifecycle_number, order_key_blob, voids_blob};

const UPDATE: &str = "update license set customer_id = it.customer_id, customer_by = it.customer_by,
       plan = it.plan, seats = it.seats, entitlements = it.entitlements, plan_by = it.plan_by,
       expires_at = it.expires_at, expiry_by = it.expiry_by, product_id = it.product_id,
       valid_from = it.valid_from, metadata = it.metadata, issue_by = it.issue_by,
       suspended = it.suspended, suspended_by = it.suspended_by, revoked_by = it.revoked_by,
       first_by = it.first_by, last_by = it.last_by, event_count = it.event_count, events = it.events,
       seats_used = it.seats_used, voids = it.voids, lifecycle = it.lifecycle,
       last_event_at = it.last_event_at
     from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::int[], $7::text[],
         $8::bytea[], $9::bigint[], $10::bytea[], $11::text[], $12::bigint[], $13::text[], $14::bytea[],
         $15::boolean[], $16::bytea[], $17::bytea[], $18::bytea[], $19::bytea[], $20::bigint[], $21::bytea[],
         $22::bigint[], $23::bytea[], $24::smallint[], $25::bigint[])
       as it (tenant_id, license_id, customer_id, customer_by, plan, seats, entitlements, plan_by, expires_at,
         expiry_by, product_id, valid_from, metadata, issue_by, suspended, suspended_by, revoked_by, first_by,
         last_by, event_count, events, seats_used, voids, lifecycle, last_event_at)
     where license.tenant_id = it.tenant_id and license.license_id = it.license_id";

/// One column of many states.
struct Column<'a>(Vec<&'a LicenseState>);

impl<'a> Column<'a> {
    fn of<T>(&self, value: impl Fn(&'a LicenseState) -> T) -> Vec<T> {
        self.0.iter().map(|state| value(state)).collect()
    }

    /// Order keys as they lie in a column.
    fn by(&self, key: impl Fn(&'a LicenseState) -> Option<OrderKey>) -> Vec<Option<Vec<u8>>> {
        self.of(|state| key(state).map(|it| order_key_blob(it).to_vec()))
    }
}

/// Writes the rows of licenses that changed: their rows are there, and locked.
pub(crate) async fn write(work: &Work<'_>, licenses: &[Written]) -> Result<(), Error> {
    let changed = || licenses.iter().filter(|license| license.is_changed);
    let states = Column(changed().map(|license| &license.change.state).collect());
    if states.0.is_empty() {
        return Ok(());
    }
    let ids = changed().map(|license| license.change.key.license_id.as_str());
    work.execute(
        UPDATE,
        &[
            &changed().map(Written::tenant).collect::<Vec<_>>(),
            &ids.collect::<Vec<_>>(),
            &states.of(|it| it.customer.as_ref().map(|it| &*it.value)),
            &states.by(|it| by(it.customer.as_ref())),
            &states.of(|it| plan(it).map(|it| it.plan.as_str())),
            &states.of(|it| plan(it).map(|it| it.seats)),
            &states.of(|it| plan(it).map(|it| it.entitlements.as_str())),
            &states.by(|it| by(it.plan.as_ref())),
            &states.of(LicenseState::expires_at),
            &states.by(|it| by(it.expiry.as_ref())),
            &states.of(|it| issue(it).map(|it| it.product_id.as_str())),
            &states.of(|it| issue(it).map(|it| it.valid_from)),
            &states.of(|it| issue(it).map(|it| it.metadata.as_str())),
            &states.by(|it| by(it.issue.as_ref())),
            &states.of(|it| it.suspended.as_ref().map(|it| it.value)),
            &states.by(|it| by(it.suspended.as_ref())),
            &states.by(|it| it.revoked),
            &states.by(|it| it.first),
            &states.by(|it| it.last),
            &states.of(|it| it.event_count),
            &states.of(|it| it.events.to_be_bytes().to_vec()),
            &states.of(|it| it.seats_used),
            &states.of(|it| voids_blob(&it.voids)),
            &states.of(|it| lifecycle_number(it.lifecycle()) as i16),
            &states.of(|it| it.last.map(|it| it.occurred_at)),
        ],
    )
    .await?;
    Ok(())
}

fn by<T>(decided: Option<&Decided<T>>) -> Option<OrderKey> {
    decided.map(|it| it.by)
}

fn plan(state: &LicenseState) -> Option<&PlanTerms> {
    state.plan.as_ref().map(|it| &*it.value)
}

fn issue(state: &LicenseState) -> Option<&IssueTerms> {
    state.issue.as_ref().map(|it| &*it.value)
}
