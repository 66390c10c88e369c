//! One license, with the first pages of what hangs on it where that is asked for.

use axum::extract::State;
use licenseflow_core::contract::LicenseKey;
use licenseflow_store::lookup::{LicenseParts, LicenseView};
use serde_json::Value;

use super::{AboutLicense, Answered, about_license, found, parts};
use crate::answer::{Answer, Failure};
use crate::params::invalid;
use crate::shapes;
use crate::state::QueryState;

/// As many items as an included page has.
pub(super) const INCLUDED_LIMIT: usize = 50;

/// `GET /v1/licenses/{license_id}`
pub(super) async fn one(State(state): State<QueryState>, about: AboutLicense) -> Answered {
    let (key, params, _) = about_license(about, &["include"])?;
    let included = included(params.text("include"))?;
    let asked = key.clone();
    let read = state.store.ask("license", move |lookup| {
        lookup.license_with(&asked, &included)
    });
    let (view, freshness) = found(read.await?, &key)?;
    let json = shown(&state, &key, &view)?;
    Ok(Answer { json, freshness })
}

fn shown(state: &QueryState, key: &LicenseKey, view: &LicenseView) -> Result<Value, Failure> {
    let now = state.now();
    let mut shown = shapes::license(&view.license, now);
    let Value::Object(members) = &mut shown else {
        return Ok(shown);
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
    Ok(shown)
}

/// The parts that `?include=` names, separated by commas.
fn included(text: Option<&str>) -> Result<LicenseParts, Failure> {
    let mut parts = LicenseParts::default();
    for name in text.into_iter().flat_map(|text| text.split(',')) {
        match name {
            "devices" => parts.devices = Some(INCLUDED_LIMIT),
            "usage" => parts.usage = true,
            "timeline" => parts.timeline = Some(INCLUDED_LIMIT),
            other => {
                let error =
                    format!("there is no part `{other}`: expected devices, usage, timeline");
                return Err(invalid("include", &error));
            }
        }
    }
    Ok(parts)
}
