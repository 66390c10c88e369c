//! What hangs on a license: its devices, its metrics, its timeline.

use std::collections::BTreeMap;
use std::ops::Bound;

use axum::extract::State;
use licenseflow_core::contract::{EventKind, LicenseKey, Topics};
use licenseflow_core::{DeviceState, FoldedLicense, Moment};
use licenseflow_runtime::http::openapi::words;
use licenseflow_runtime::http::problem::MEDIA_TYPE;
use licenseflow_store::lookup::{Page, TimelineQuery, TimelineRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::license::INCLUDED_LIMIT;
use super::moment::{folded, moment};
use super::{
    AboutLicense, Answered, Everything, about_license, by_position, found, known, question,
};
use crate::answer::{Answer, Failure};
use crate::links;
use crate::list::Asked;
use crate::openapi::{
    self, DeviceList, EventList, LicenseId, MetricList, OfDevices, OfEvents, OfUsage,
};
use crate::params::Params;
use crate::shapes::{self, value};
use crate::state::QueryState;

/// The filters of a timeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct EventFilters {
    #[serde(rename = "type")]
    kind: Option<String>,
    from: Option<i64>,
    to: Option<i64>,
}

/// The time that a list of devices is of, as it stands in a cursor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct DeviceFilters {
    as_of: Option<i64>,
    known_at: Option<i64>,
}

impl DeviceFilters {
    fn of(moment: Moment) -> Self {
        Self {
            as_of: moment.as_of,
            known_at: moment.known_at,
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            as_of: self.as_of,
            known_at: self.known_at,
        }
    }
}

type DevicesAsked = Asked<DeviceFilters, String>;
type UsageAsked = Asked<Everything, String>;
type EventsAsked = Asked<EventFilters, (i64, u8, Uuid)>;

/// The devices of a license
#[utoipa::path(
    get, path = "/v1/licenses/{license_id}/devices", tag = openapi::LICENSES, operation_id = "devices",
    params(LicenseId, OfDevices),
    responses(
        (status = 200, body = DeviceList, description = "A page of them."),
        (status = 422, body = words::Problem, content_type = MEDIA_TYPE, description = "`history_too_long`: what the license \
            was at another time is not folded again, for it has too many events."),
    )
)]
pub(super) async fn devices(State(state): State<QueryState>, about: AboutLicense) -> Answered {
    let (key, params, uri) = about_license(about, &known::DEVICES)?;
    let filters = DeviceFilters::of(moment(&params)?);
    let asked = DevicesAsked::of(name("devices", &key), filters, &params, state.now())?;
    let moment = asked.asked.moment();
    if !moment.is_now() {
        let (license, freshness) = folded(&state, &key, moment).await?;
        let (items, next) = device_items_then(&key, &license, &asked);
        let json = asked.answer(&uri, items, next)?;
        return Ok(Answer::of(&json, freshness));
    }
    let (of, after, limit) = (key.clone(), asked.after.clone(), asked.limit);
    let question = question("devices", &key, (&after, limit));
    let read = state.store.share(question, by_position, move |lookup| {
        lookup.devices(&of, after.as_deref(), limit)
    });
    let read = read.await?;
    let page = found(&read, &key)?;
    let json = asked.answer(&uri, device_items(&key, page), page.next.clone())?;
    Ok(Answer::of(&json, read.freshness))
}

/// What was used of a license, by metric
#[utoipa::path(
    get, path = "/v1/licenses/{license_id}/usage", tag = openapi::LICENSES, operation_id = "usage",
    params(LicenseId, OfUsage),
    responses((status = 200, body = MetricList, description = "A page of it."))
)]
pub(super) async fn usage(State(state): State<QueryState>, about: AboutLicense) -> Answered {
    let (key, params, uri) = about_license(about, &known::USAGE)?;
    let asked = UsageAsked::of(name("usage", &key), Everything {}, &params, state.now())?;
    let of = key.clone();
    let question = question("usage", &key, ());
    let read = state
        .store
        .share(question, by_position, move |lookup| lookup.usage(&of));
    let read = read.await?;
    let metrics = found(&read, &key)?;
    let (items, next) = usage_items(&key, metrics, asked.after.as_deref(), asked.limit);
    let json = asked.answer(&uri, items, next)?;
    Ok(Answer::of(&json, read.freshness))
}

/// The timeline of a license
///
/// Every event but heartbeats, in the order of when they occurred; voided ones say by which.
#[utoipa::path(
    get, path = "/v1/licenses/{license_id}/events", tag = openapi::LICENSES, operation_id = "timeline",
    params(LicenseId, OfEvents),
    responses((status = 200, body = EventList, description = "A page of it."))
)]
pub(super) async fn events(State(state): State<QueryState>, about: AboutLicense) -> Answered {
    let (key, params, uri) = about_license(about, &known::EVENTS)?;
    let filters = event_filters(&params)?;
    let asked = EventsAsked::of(name("events", &key), filters, &params, state.now())?;
    let query = TimelineQuery {
        kind: asked.asked.kind.as_deref().and_then(EventKind::from_name),
        from: asked.asked.from,
        to: asked.asked.to,
        after: asked.after,
        limit: asked.limit,
    };
    let of = key.clone();
    let question = question("timeline", &key, &query);
    let read = state.store.share(question, by_position, move |lookup| {
        lookup.timeline(&of, &query)
    });
    let read = read.await?;
    let page = found(&read, &key)?;
    let json = asked.answer(&uri, event_items(page, &state.topics), page.next)?;
    Ok(Answer::of(&json, read.freshness))
}

fn event_filters(params: &Params) -> Result<EventFilters, Failure> {
    let kinds = EventKind::ALL.map(EventKind::name).join(", ");
    let kind = params.word("type", &kinds, EventKind::from_name)?;
    Ok(EventFilters {
        kind: kind.map(|kind| kind.name().to_owned()),
        from: params.time("from")?,
        to: params.time("to")?,
    })
}

/// The first page of the devices, inside their license.
pub(super) fn included_devices(
    key: &LicenseKey,
    page: &Page<(String, DeviceState), String>,
    now: i64,
) -> Result<Value, Failure> {
    let items = device_items(key, page);
    let path = path("devices", key);
    let asked = included::<DeviceFilters, String>("devices", key, now);
    Ok(value(asked.answer_at(
        &path,
        &path,
        items,
        page.next.clone(),
    )?))
}

/// The first page of the devices at another time, inside their license of that time.
pub(super) fn included_devices_then(
    key: &LicenseKey,
    license: &FoldedLicense,
    moment: Moment,
    now: i64,
) -> Result<Value, Failure> {
    let asked = DevicesAsked {
        asked: DeviceFilters::of(moment),
        ..included("devices", key, now)
    };
    let (items, next) = device_items_then(key, license, &asked);
    let path = path("devices", key);
    let itself = format!("{path}?{}", shapes::in_address(moment));
    Ok(value(asked.answer_at(&itself, &path, items, next)?))
}

/// The first page of the metrics, inside their license.
pub(super) fn included_usage(
    key: &LicenseKey,
    metrics: &BTreeMap<String, i64>,
    now: i64,
) -> Result<Value, Failure> {
    let (items, next) = usage_items(key, metrics, None, INCLUDED_LIMIT);
    let path = path("usage", key);
    let asked = included::<Everything, String>("usage", key, now);
    Ok(value(asked.answer_at(&path, &path, items, next)?))
}

/// The first page of the timeline, inside its license.
pub(super) fn included_events(
    key: &LicenseKey,
    page: &Page<TimelineRow, (i64, u8, Uuid)>,
    topics: &Topics,
    now: i64,
) -> Result<Value, Failure> {
    let items = event_items(page, topics);
    let path = path("events", key);
    let asked = included::<EventFilters, (i64, u8, Uuid)>("events", key, now);
    Ok(value(asked.answer_at(&path, &path, items, page.next)?))
}

fn included<A, K>(list: &str, key: &LicenseKey, now: i64) -> Asked<A, K>
where
    A: Clone + Default + PartialEq + Serialize + serde::de::DeserializeOwned,
    K: Serialize + serde::de::DeserializeOwned,
{
    Asked::first(name(list, key), A::default(), now, INCLUDED_LIMIT)
}

/// The address of a license's list.
fn path(list: &str, key: &LicenseKey) -> String {
    format!("{}/{list}", links::license(&key.license_id))
}

/// The name of a license's list in its cursors.
fn name(list: &str, key: &LicenseKey) -> String {
    format!("{list}/{}/{}", key.tenant_id, key.license_id)
}

fn device_items(key: &LicenseKey, page: &Page<(String, DeviceState), String>) -> Vec<Value> {
    let items = page.items.iter();
    items
        .map(|(device_id, device)| shapes::device(key, device_id, device))
        .collect()
}

fn device_items_then(
    key: &LicenseKey,
    license: &FoldedLicense,
    asked: &DevicesAsked,
) -> (Vec<Value>, Option<String>) {
    let (page, next) = page_of(&license.devices, asked.after.as_deref(), asked.limit);
    let items = page
        .into_iter()
        .map(|(device_id, device)| shapes::device_then(key, device_id, device));
    (items.collect(), next)
}

fn usage_items(
    key: &LicenseKey,
    metrics: &BTreeMap<String, i64>,
    after: Option<&str>,
    limit: usize,
) -> (Vec<Value>, Option<String>) {
    let (page, next) = page_of(metrics, after, limit);
    let items = page
        .into_iter()
        .map(|(metric, quantity)| shapes::usage(key, metric, *quantity));
    (items.collect(), next)
}

/// The page of what is at hand whole that comes after this name, and the last name where it goes on.
fn page_of<'m, T>(
    all: &'m BTreeMap<String, T>,
    after: Option<&str>,
    limit: usize,
) -> (Vec<(&'m String, &'m T)>, Option<String>) {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = all.range::<str, _>((from, Bound::Unbounded));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let last = page.last().map(|(name, _)| (*name).clone());
    let next = last.filter(|_| rest.next().is_some());
    (page, next)
}

fn event_items(page: &Page<TimelineRow, (i64, u8, Uuid)>, topics: &Topics) -> Vec<Value> {
    page.items
        .iter()
        .map(|row| shapes::event(row, topics))
        .collect()
}
