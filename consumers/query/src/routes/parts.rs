//! What hangs on a license: its devices, its metrics, its timeline.

use std::collections::BTreeMap;
use std::ops::Bound;

use axum::extract::State;
use licenseflow_core::DeviceState;
use licenseflow_core::contract::{EventKind, LicenseKey, Topics};
use licenseflow_store::lookup::{Page, TimelineQuery, TimelineRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::license::INCLUDED_LIMIT;
use super::{AboutLicense, Answered, Everything, about_license, found};
use crate::answer::{Answer, Failure};
use crate::links;
use crate::list::Asked;
use crate::params::Params;
use crate::shapes;
use crate::state::QueryState;

/// The filters of a timeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct EventFilters {
    #[serde(rename = "type")]
    kind: Option<String>,
    from: Option<i64>,
    to: Option<i64>,
}

type DevicesAsked = Asked<Everything, String>;
type UsageAsked = Asked<Everything, String>;
type EventsAsked = Asked<EventFilters, (i64, u8, Uuid)>;

/// `GET /v1/licenses/{license_id}/devices`
pub(super) async fn devices(State(state): State<QueryState>, about: AboutLicense) -> Answered {
    let (key, params, uri) = about_license(about, &["limit", "cursor"])?;
    let asked = DevicesAsked::of(name("devices", &key), Everything {}, &params, state.now())?;
    let (of, after, limit) = (key.clone(), asked.after.clone(), asked.limit);
    let read = state.store.ask("devices", move |lookup| {
        lookup.devices(&of, after.as_deref(), limit)
    });
    let (page, freshness) = found(read.await?, &key)?;
    let json = asked.answer(&uri, device_items(&key, &page), page.next)?;
    Ok(Answer { json, freshness })
}

/// `GET /v1/licenses/{license_id}/usage`
pub(super) async fn usage(State(state): State<QueryState>, about: AboutLicense) -> Answered {
    let (key, params, uri) = about_license(about, &["limit", "cursor"])?;
    let asked = UsageAsked::of(name("usage", &key), Everything {}, &params, state.now())?;
    let of = key.clone();
    let read = state.store.ask("usage", move |lookup| lookup.usage(&of));
    let (metrics, freshness) = found(read.await?, &key)?;
    let (items, next) = usage_items(&key, &metrics, asked.after.as_deref(), asked.limit);
    let json = asked.answer(&uri, items, next)?;
    Ok(Answer { json, freshness })
}

/// `GET /v1/licenses/{license_id}/events`
pub(super) async fn events(State(state): State<QueryState>, about: AboutLicense) -> Answered {
    let (key, params, uri) = about_license(about, &["type", "from", "to", "limit", "cursor"])?;
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
    let read = state
        .store
        .ask("timeline", move |lookup| lookup.timeline(&of, &query));
    let (page, freshness) = found(read.await?, &key)?;
    let json = asked.answer(&uri, event_items(&page, &state.topics), page.next)?;
    Ok(Answer { json, freshness })
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
    included::<Everything, String>("devices", key, items, page.next.clone(), now)
}

/// The first page of the metrics, inside their license.
pub(super) fn included_usage(
    key: &LicenseKey,
    metrics: &BTreeMap<String, i64>,
    now: i64,
) -> Result<Value, Failure> {
    let (items, next) = usage_items(key, metrics, None, INCLUDED_LIMIT);
    included::<Everything, String>("usage", key, items, next, now)
}

/// The first page of the timeline, inside its license.
pub(super) fn included_events(
    key: &LicenseKey,
    page: &Page<TimelineRow, (i64, u8, Uuid)>,
    topics: &Topics,
    now: i64,
) -> Result<Value, Failure> {
    let items = event_items(page, topics);
    included::<EventFilters, (i64, u8, Uuid)>("events", key, items, page.next, now)
}

fn included<A, K>(
    list: &str,
    key: &LicenseKey,
    items: Vec<Value>,
    next: Option<K>,
    now: i64,
) -> Result<Value, Failure>
where
    A: Clone + Default + PartialEq + Serialize + serde::de::DeserializeOwned,
    K: Serialize + serde::de::DeserializeOwned,
{
    let asked = Asked::<A, K> {
        of: name(list, key),
        asked: A::default(),
        at: now,
        after: None,
        limit: INCLUDED_LIMIT,
    };
    let path = format!("{}/{list}", links::license(&key.license_id));
    asked.answer_at(&path, &path, items, next)
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

fn usage_items(
    key: &LicenseKey,
    metrics: &BTreeMap<String, i64>,
    after: Option<&str>,
    limit: usize,
) -> (Vec<Value>, Option<String>) {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = metrics.range::<str, _>((from, Bound::Unbounded));
    let page: Vec<(&String, &i64)> = rest.by_ref().take(limit).collect();
    let last = page.last().map(|(metric, _)| (*metric).clone());
    let next = last.filter(|_| rest.next().is_some());
    let items = page
        .iter()
        .map(|(metric, quantity)| shapes::usage(key, metric, **quantity));
    (items.collect(), next)
}

fn event_items(page: &Page<TimelineRow, (i64, u8, Uuid)>, topics: &Topics) -> Vec<Value> {
    page.items
        .iter()
        .map(|row| shapes::event(row, topics))
        .collect()
}
