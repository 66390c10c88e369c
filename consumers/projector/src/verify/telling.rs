//! The differences of one license, told member by member and event by event.

use std::collections::{BTreeMap, BTreeSet};

use licenseflow_avro::codec::decode_content;
use licenseflow_avro::{LicenseKey, json};
use licenseflow_core::OrderKey;
use licenseflow_store::audit::{self, Fate, FateRow, StoredEvent, StoredLicense, StoredRow};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::difference::{Difference, Part};
use super::expected::{Beside, Expected, Row, Said, hash_of_request};
use super::held;
use super::ledger::is_unordered;
use super::letters::named;

/// Tells all differences between what is stored of a license and what the log says of it.
pub(super) fn tell(
    key: &LicenseKey,
    expected: &Expected<'_>,
    stored: &StoredLicense,
) -> Vec<Difference> {
    let mut telling = Telling {
        key,
        differences: Vec::new(),
    };
    if telling.whole(expected, stored) {
        return telling.differences;
    }
    telling.rows(expected, stored);
    telling.timeline(expected, stored);
    telling.conflicts(expected, stored);
    telling.differences
}

/// What a license's own row is called.
const OWN_ROW: &str = "the license";

struct Telling<'k> {
    key: &'k LicenseKey,
    differences: Vec<Difference>,
}

impl Telling<'_> {
    fn of(&self, part: Part, name: impl Into<String>) -> Difference {
        Difference::of(self.key, part, name)
    }

    /// Whether the license is on one side alone, which says all.
    fn whole(&mut self, expected: &Expected<'_>, stored: &StoredLicense) -> bool {
        let own = (audit::Part::License, String::new());
        let is_own = |row: &&StoredRow| row.part() == audit::Part::License;
        let stored = stored.rows.iter().find(is_own);
        let difference = match (stored, expected.rows.get(&own)) {
            (None, Some(row)) => self.of(Part::License, OWN_ROW).logged(&row.canonical),
            (Some(row), None) => {
                let shown = row.canonical(self.key).unwrap_or_default();
                self.of(Part::License, OWN_ROW).stored(shown)
            }
            (Some(_), Some(_)) | (None, None) => return false,
        };
        self.differences.push(difference);
        true
    }

    fn rows(&mut self, expected: &Expected<'_>, stored: &StoredLicense) {
        let mut left: BTreeMap<&(audit::Part, String), &Row> = expected.rows.iter().collect();
        for row in &stored.rows {
            let name = (row.part(), row.name().to_owned());
            let should_be = left.remove(&name);
            match (held::row(self.key, row), should_be) {
                (Some(is), Some(should_be)) => self.members(&name, &is, should_be),
                (Some(is), None) => {
                    let difference = self.of(part_of(name.0), name.1);
                    self.differences.push(difference.stored(is.canonical));
                }
                (None, should_be) => self.unreadable(row, should_be),
            }
            if let StoredRow::License(stored) = row
                && is_unordered(stored)
            {
                let difference = self.of(Part::License, "ordered");
                self.differences.push(difference.stored(false).logged(true));
            }
        }
        for ((part, name), row) in left {
            let difference = self.of(part_of(*part), name.clone());
            self.differences.push(difference.logged(&row.canonical));
        }
    }

    fn unreadable(&mut self, row: &StoredRow, should_be: Option<&Row>) {
        let StoredRow::Unreadable { part, name, why } = row else {
            return;
        };
        let name = if name.is_empty() { OWN_ROW } else { name };
        let difference = self.of(part_of(*part), name);
        let mut difference = difference.stored(format!("cannot be read: {why}"));
        if let Some(should_be) = should_be {
            difference = difference.logged(&should_be.canonical);
        }
        self.differences.push(difference);
    }

    fn members(&mut self, (part, name): &(audit::Part, String), is: &Row, should_be: &Row) {
        let (is, should_be) = (members_of(is), members_of(should_be));
        let names: BTreeSet<&String> = is.keys().chain(should_be.keys()).collect();
        for member in names {
            let (is, should_be) = (is.get(member), should_be.get(member));
            if is != should_be {
                let name = if name.is_empty() {
                    member.clone()
                } else {
                    format!("{name}: {member}")
                };
                let difference = self.of(part_of(*part), name);
                self.differences.push(difference.sides(is, should_be));
            }
        }
    }

    fn timeline(&mut self, expected: &Expected<'_>, stored: &StoredLicense) {
        // Where the license's own row cannot be read, nobody knows whether its timeline is a long one.
        let is_ordered = stored.rows.iter().find_map(|row| match row {
            StoredRow::License(stored) => Some(stored.is_ordered),
            StoredRow::Device { .. } | StoredRow::Usage { .. } | StoredRow::Unreadable { .. } => {
                None
            }
        });
        let mut left: BTreeMap<&Uuid, &Said<'_>> = expected.events.iter().collect();
        for event in &stored.timeline {
            let StoredEvent::Event { event_id, .. } = event else {
                let difference = self.of(Part::Timeline, "an event");
                self.differences.push(difference.stored("cannot be read"));
                continue;
            };
            let Some(should_be) = left.remove(event_id) else {
                let difference = self.of(Part::Timeline, event_id.to_string());
                self.differences
                    .push(difference.stored(shown(self.key, event)));
                continue;
            };
            self.event(event, should_be);
            if let Some(is_ordered) = is_ordered {
                self.placing(event, expected.voids.get(event_id), is_ordered);
            }
        }
        for (event_id, said) in left {
            let shown = shown_content(self.key, *event_id, said.content);
            let difference = self.of(Part::Timeline, event_id.to_string());
            let shown = format!("{} {shown}", named(&said.at));
            self.differences.push(difference.logged(shown));
        }
    }

    /// Where an event lies, whose request said it, and its content.
    fn event(&mut self, event: &StoredEvent, should_be: &Said<'_>) {
        let StoredEvent::Event {
            event_id,
            at,
            request_id,
            body,
            ..
        } = event
        else {
            return;
        };
        let mut differs = |what: &str, is: String, should_be: String| {
            let difference =
                Difference::of(self.key, Part::Timeline, format!("{event_id}: {what}"));
            self.differences
                .push(difference.stored(is).logged(should_be));
        };
        if *at != should_be.at {
            let text =
                |at: &licenseflow_avro::Coordinates| format!("{} at {}", named(at), at.timestamp);
            differs("place", text(at), text(&should_be.at));
        }
        if hash_of_request(request_id.as_deref()) != should_be.request {
            let is = request_id.clone().unwrap_or_else(|| "none".to_owned());
            differs("request_id", is, "another".to_owned());
        }
        if **body != *should_be.content {
            let text = |content: &[u8]| shown_content(self.key, *event_id, content);
            differs("content", text(body), text(should_be.content));
        }
    }

    /// What an event of a long timeline says of its order and of what voids it.
    fn placing(&mut self, event: &StoredEvent, voided_by: Option<&Uuid>, is_ordered: bool) {
        let StoredEvent::Event {
            event_id,
            stands_right,
            voided_by: said,
            ..
        } = event
        else {
            return;
        };
        let mut differs = |what: &str, is: Option<String>, should_be: Option<String>| {
            let mut difference =
                Difference::of(self.key, Part::Timeline, format!("{event_id}: {what}"));
            (difference.store, difference.log) = (is, should_be);
            self.differences.push(difference);
        };
        let text = |what: &str| Some(what.to_owned());
        match stands_right {
            Some(_) if !is_ordered => differs("standing", text("in a long timeline"), None),
            Some(false) => differs("standing", text("elsewhere"), text("in its order")),
            None if is_ordered => differs("standing", None, text("in its order")),
            Some(true) | None => {}
        }
        if is_ordered && said.as_ref() != voided_by {
            let id = |id: Option<&Uuid>| id.map(Uuid::to_string);
            differs("voided_by", id(said.as_ref()), id(voided_by));
        }
    }

    fn conflicts(&mut self, expected: &Expected<'_>, stored: &StoredLicense) {
        let mut left: BTreeMap<(Uuid, &[u8]), &Said<'_>> = expected
            .conflicts
            .iter()
            .map(|(event_id, said)| ((*event_id, said.content), said))
            .collect();
        for row in &stored.fates {
            let Fate::Conflict {
                event_id,
                body,
                request_id,
                ..
            } = &row.fate
            else {
                continue;
            };
            let name = format!("conflict of {event_id}");
            let should_be = left.remove(&(*event_id, body.as_slice()));
            let is_same = should_be.is_some_and(|said| {
                said.at == row.at
                    && said.request == hash_of_request(request_id.as_deref())
                    && row.license.as_ref() == Some(self.key)
                    && row.reason == "event_conflict"
            });
            if !is_same {
                let mut difference = self.of(Part::Rejected, name).stored(conflict(row));
                if let Some(said) = should_be {
                    difference = difference.logged(named(&said.at));
                }
                self.differences.push(difference);
            }
        }
        for ((event_id, _), said) in left {
            let difference = self.of(Part::Rejected, format!("conflict of {event_id}"));
            self.differences.push(difference.logged(named(&said.at)));
        }
    }
}

fn part_of(part: audit::Part) -> Part {
    match part {
        audit::Part::License => Part::License,
        audit::Part::Device => Part::Device,
        audit::Part::Usage => Part::Usage,
    }
}

fn conflict(row: &FateRow) -> String {
    let license = row.license.as_ref();
    let license = license.map_or("no license", |key| &key.license_id);
    format!("{} {} of {license}", named(&row.at), row.reason)
}

fn shown(key: &LicenseKey, event: &StoredEvent) -> String {
    match event {
        StoredEvent::Event {
            event_id, at, body, ..
        } => format!("{} {}", named(at), shown_content(key, *event_id, body)),
        StoredEvent::Unreadable { why } => why.clone(),
    }
}

fn shown_content(key: &LicenseKey, event_id: Uuid, content: &[u8]) -> String {
    match decode_content(key, event_id, content) {
        Ok(event) => {
            let shown = json::encode(&event);
            format!(
                "{} {} {}",
                shown["type"], shown["occurred_at"], shown["data"]
            )
        }
        Err(fault) => format!("no event: {fault}"),
    }
}

/// All members of a row: those of its canonical JSON, and what else lies in it.
fn members_of(row: &Row) -> Map<String, Value> {
    let mut members = match serde_json::from_str(&row.canonical) {
        Ok(Value::Object(members)) => members,
        // It was written as an object.
        Ok(_) | Err(_) => Map::new(),
    };
    match &row.beside {
        Beside::License(beside) => {
            let by = [
                ("customer_by", beside.customer),
                ("plan_by", beside.plan),
                ("expiry_by", beside.expiry),
                ("issue_by", beside.issue),
                ("suspended_by", beside.suspended.map(|(by, _)| by)),
                ("revoked_by", beside.revoked),
                ("first_by", beside.first),
                ("last_by", beside.last),
            ];
            members.extend(by.map(|(name, by)| (name.to_owned(), order(by))));
            let voids = beside.voids.iter();
            let voids = voids.map(|(id, by)| (id.to_string(), order(Some(*by))));
            let others = [
                ("suspended", json!(beside.suspended.map(|(_, is)| is))),
                ("seats_used", json!(beside.seats_used)),
                ("lifecycle column", json!(beside.lifecycle)),
                ("last_event_at column", json!(beside.last_event_at)),
                ("values that no event decided", json!(beside.has_strays)),
                ("voids", Value::Object(voids.collect())),
            ];
            members.extend(others.map(|(name, value)| (name.to_owned(), value)));
        }
        Beside::Device(beside) => {
            let all = [
                ("active_by", order(beside.active)),
                ("activated_by column", order(beside.activated)),
                ("seen_in_event", json!(beside.seen_in_event)),
                ("seen_in_heartbeat", json!(beside.seen_in_heartbeat)),
            ];
            members.extend(all.map(|(name, value)| (name.to_owned(), value)));
        }
        Beside::Usage => {}
    }
    members
}

fn order(by: Option<OrderKey>) -> Value {
    by.map_or(Value::Null, |by| {
        json!([by.occurred_at, by.rank, by.event_id.to_string()])
    })
}
