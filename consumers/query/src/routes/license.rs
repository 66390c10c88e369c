//! One license, with the first pages of what hangs on it where that is asked for.

use std::sync::Arc;

use axum::extract::State;
use licenseflow_core::Moment;
use licenseflow_core::contract::LicenseKey;
use licenseflow_runtime::http::openapi::words;
use licenseflow_runtime::http::problem::MEDIA_TYPE;
use licenseflow_store::lookup::{LicenseParts, LicenseView, Read};
use licenseflow_store::{Error, Lookup};
use serde_json::Value;

use super::moment::{folded, moment};
use super::{AboutLicense, Answered, about_license, customers, found, known, parts, question};
use crate::answer::{Answer, Failure};
use crate::fields::Fields;
use crate::openapi::{self, LicenseAnswer, LicenseId, OfLicense};
use crate::params::invalid;
use crate::shapes::{self, value};
use crate::state::QueryState;
use crate::store::{Question, Weigh, alone};

/// As many items as an included page has.
pub(super) const INCLUDED_LIMIT: usize = 50;

/// A license, as it is, as it was, or as it was known
///
/// Its links say what can be done next in its state. Before its first event it is not there.
#[utoipa::path(
    get, path = "/v1/licenses/{license_id}", tag = openapi::LICENSES, operation_id = "license",
    params(LicenseId, OfLicense),
    responses(
        (status = 200, body = LicenseAnswer, description = "The license."),
        (status = 422, body = words::Problem, content_type = MEDIA_TYPE, description = "`history_too_long`: what it was at \
            another time is not folded again, for it has too many events."),
    )
)]
pub(super) async fn one(State(state): State<QueryState>, about: AboutLicense) -> Answered {
    let (key, params, _) = about_license(about, &known::LICENSE)?;
    let included = included(params.text("include"), state.now())?;
    let fields = Fields::of(&params)?;
    let moment = moment(&params)?;
    if !moment.is_now() {
        return then(&state, &key, moment, included, &fields).await;
    }
    let asked = key.clone();
    let ask = move |lookup: &dyn Lookup| lookup.license_with(&asked, &included);
    // A row alone is read again sooner than it is kept.
    let is_row = included == LicenseParts::default();
    let row = is_row.then(|| state.store.at_hand("license", &ask));
    let read = match row.flatten() {
        Some(read) => alone(read?),
        None => shared(&state, &key, included, ask).await?,
    };
    let view = found(&read, &key)?;
    let license = shapes::license_and_next(&view.license, state.now(), state.events_to.as_deref());
    let license = license.degraded_by(&view.license.letters, &state.topics);
    let shown = fields.of_license(license);
    if included == LicenseParts::default() {
        return Ok(Answer::of(&shown, read.freshness.clone()));
    }
    let mut json = value(shown);
    with_parts(&mut json, &state, &key, view)?;
    if let (Some(_), Value::Object(members)) = (included.customer_at, &mut json) {
        let customer = view.customer.as_ref();
        let customer = customer.map(|it| shapes::customer(&key.tenant_id, it));
        members.insert("customer".to_owned(), customer.into());
    }
    Ok(Answer::of(&json, read.freshness))
}

/// What is read of a license, together with all who ask the same.
async fn shared(
    state: &QueryState,
    key: &LicenseKey,
    included: LicenseParts,
    ask: impl FnOnce(&dyn Lookup) -> Result<Viewed, Error> + Send + 'static,
) -> Result<Read<Arc<Option<LicenseView>>>, Failure> {
    // Of the time, only the customer's totals are read.
    let parts = LicenseParts {
        customer_at: included.customer_at.map(|_| 0),
        ..included
    };
    let question = Question {
        by_time: included.customer_at.is_some(),
        ..question("license", key, parts)
    };
    let now = state.now();
    let keep = move |view: &Option<LicenseView>| {
        let customer = view.as_ref().and_then(|view| view.customer.as_ref());
        customers::keep(customer, now, view.bytes())
    };
    state.store.share(question, keep, ask).await
}

type Viewed = Read<Option<LicenseView>>;

fn with_parts(
    license: &mut Value,
    state: &QueryState,
    key: &LicenseKey,
    view: &LicenseView,
) -> Result<(), Failure> {
    let now = state.now();
    let Value::Object(members) = license else {
        return Ok(());
    };
    if let Some(page) = &view.devices {
        members.insert(
            "devices".to_owned(),
            parts::included_devices(key, page, now)?,
        );
    }
    if let Some(metrics) = &view.usage {
        members.insert(
            "usage".to_owned(),
            parts::included_usage(key, metrics, now)?,
        );
    }
    if let Some(page) = &view.timeline {
        let timeline = parts::included_events(key, page, &state.topics, now)?;
        members.insert("timeline".to_owned(), timeline);
    }
    Ok(())
}

/// The license as it was at another time.
async fn then(
    state: &QueryState,
    key: &LicenseKey,
    moment: Moment,
    included: LicenseParts,
    fields: &Fields,
) -> Answered {
    if included.usage || included.timeline.is_some() || included.customer_at.is_some() {
        let error = "of another time there are only devices; leave the other parts out";
        return Err(invalid("include", error));
    }
    let (license, freshness) = folded(state, key, moment).await?;
    let now = state.now();
    let license_then = shapes::license_then(key, &license, moment, moment.status_at(now));
    let mut json = value(fields.of_license(license_then));
    if let (Some(_), Value::Object(members)) = (included.devices, &mut json) {
        let devices = parts::included_devices_then(key, &license, moment, now)?;
        members.insert("devices".to_owned(), devices);
    }
    Ok(Answer::of(&json, freshness))
}

/// The parts that `?include=` names, separated by commas.
fn included(text: Option<&str>, now: i64) -> Result<LicenseParts, Failure> {
    let mut parts = LicenseParts::default();
    for name in text.into_iter().flat_map(|text| text.split(',')) {
        match name {
            "devices" => parts.devices = Some(INCLUDED_LIMIT),
            "usage" => parts.usage = true,
            "customer" => parts.customer_at = Some(now),
            "timeline" => parts.timeline = Some(INCLUDED_LIMIT),
            other => {
                let error = format!(
                    "there is no part `{other}`: expected devices, usage, customer, timeline"
                );
                return Err(invalid("include", &error));
            }
        }
    }
    Ok(parts)
}
