//! Sums by which licenses that differ are found, in whatever order rows and records come: what the log says is
//! added, what is stored is taken away, and of a license that is the same nothing is left.

use std::collections::BTreeMap;

use licenseflow_avro::event::{DeviceHeartbeat, Payload};
use licenseflow_avro::{Coordinates, Lane, LicenseEvent, LicenseKey};
use licenseflow_core::RowDigest;
use licenseflow_core::digest::bucket_of;
use licenseflow_store::audit::{Fate, FateRow, Part, StoredEvent, StoredRow, StoredState};
use uuid::Uuid;

use super::expected::{
    Expected, Said, hash_of_request, sum_of_conflict, sum_of_event, sum_of_fault, sum_of_row,
    sum_of_void,
};
use super::numbers::Sign;
use super::reading::{LicenseRecords, Log, place};
use super::whole::Way;
use super::{fast, held, naively};
use crate::Result;

/// A license with more counting events than this has a long timeline.
const LONG_ABOVE: i64 = 500;

/// What is left of one license's sums.
#[derive(Debug, Default)]
pub(super) struct Entry {
    sum: u128,
    /// What voids its events, by which long timelines alone are held against it.
    voided: u128,
    /// How many of its stored events say where they stand, and how many do not.
    placed: u32,
    unplaced: u32,
    is_ordered: bool,
    is_folded: bool,
    has_row: bool,
}

impl Entry {
    /// Whether what is stored is not what the log says.
    pub(super) fn differs(&self) -> bool {
        let is_misplaced = if self.is_ordered {
            self.unplaced > 0 || self.voided != 0
        } else {
            self.placed > 0
        };
        self.sum != 0 || is_misplaced
    }

    /// Whether the store has a row of the license.
    pub(super) fn has_row(&self) -> bool {
        self.has_row
    }

    fn take_away(&mut self, sum: u128) {
        self.sum = self.sum.wrapping_sub(sum);
    }

    fn fault(&mut self, what: &str, name: &str) {
        self.take_away(sum_of_fault(what, name));
    }
}

/// Whether a license's row says falsely that its timeline is no long one.
pub(super) fn is_unordered(stored: &StoredState) -> bool {
    !stored.is_ordered && stored.state.event_count > LONG_ABOVE
}

impl LicenseRecords {
    /// What the log says of the license.
    pub(super) fn expected(&self, key: &LicenseKey, way: Way) -> Result<Expected<'_>> {
        if self.records.is_empty() && self.beats.is_empty() {
            return Ok(Expected::default());
        }
        let mut said = BTreeMap::new();
        let mut records: Vec<(Coordinates, LicenseEvent)> =
            Vec::with_capacity(self.records.len() + self.beats.len());
        for record in &self.records {
            records.push((record.at, record.event(key)?));
            let says = Said {
                at: record.at,
                request: record.request,
                content: &record.content,
            };
            said.insert(record.at, says);
        }
        Ok(match way {
            Way::Naive => {
                records.extend(self.beats.iter().map(|(device, at)| beat(key, device, *at)));
                naively::expected(key, records, &said)
            }
            Way::Fast => fast::expected(key, records, &self.beats, &said),
        })
    }
}

/// The heartbeats of a device as one record of its greatest; where it lies says nothing.
fn beat(key: &LicenseKey, device_id: &str, occurred_at: i64) -> (Coordinates, LicenseEvent) {
    let at = Coordinates {
        timestamp: i64::MAX,
        lane: Lane::Bulk,
        partition: 0,
        offset: 0,
    };
    let event = LicenseEvent {
        event_id: Uuid::nil(),
        license_id: key.license_id.clone(),
        tenant_id: key.tenant_id.clone(),
        occurred_at,
        source: String::new(),
        actor: None,
        payload: Payload::DeviceHeartbeat(DeviceHeartbeat {
            device_id: device_id.to_owned(),
        }),
    };
    (at, event)
}

/// The sums of what the log says of a license.
fn sums_of(expected: &Expected<'_>) -> (u128, u128) {
    let rows = expected.rows.iter();
    let rows = rows.map(|((part, name), row)| sum_of_row(*part, name, row));
    let events = expected.events.iter();
    let events = events.map(|(id, said)| sum_of_event(*id, *said));
    let conflicts = expected.conflicts.iter();
    let conflicts = conflicts.map(|(id, said)| sum_of_conflict(*id, *said));
    let all = rows.chain(events).chain(conflicts);
    let voids = expected.voids.iter();
    let voided = voids.filter(|(id, _)| expected.events.contains_key(id));
    let voided = voided.map(|(id, by)| sum_of_void(*id, *by));
    let sum = |sums: &mut dyn Iterator<Item = u128>| sums.fold(0, u128::wrapping_add);
    (sum(&mut { all }), sum(&mut { voided }))
}

impl Log<'_> {
    /// Folds every license that was not folded since its last record came.
    pub(super) fn settle(&mut self) -> Result<()> {
        for (key, license) in &mut self.licenses {
            if license.entry.is_folded {
                continue;
            }
            let expected = license.expected(key, self.way)?;
            let (sum, voided) = sums_of(&expected);
            let digest = digest_of(&expected);
            self.account
                .take(key, &expected, self.newest_ms, Sign::Plus);
            self.buckets.add(bucket_of(key), digest);
            let entry = &mut license.entry;
            entry.sum = entry.sum.wrapping_add(sum);
            entry.voided = entry.voided.wrapping_add(voided);
            entry.is_folded = true;
        }
        Ok(())
    }

    /// Takes back what a license gave, before another record of it counts.
    pub(super) fn take_back(&mut self, key: &LicenseKey) -> Result<()> {
        let folded = self.licenses.get_mut(key);
        let Some(license) = folded.filter(|license| license.entry.is_folded) else {
            return Ok(());
        };
        let expected = license.expected(key, self.way)?;
        let (sum, voided) = sums_of(&expected);
        let nothing = RowDigest::default().minus(digest_of(&expected));
        self.account
            .take(key, &expected, self.newest_ms, Sign::Minus);
        self.buckets.add(bucket_of(key), nothing);
        let entry = &mut license.entry;
        entry.sum = entry.sum.wrapping_sub(sum);
        entry.voided = entry.voided.wrapping_sub(voided);
        entry.is_folded = false;
        Ok(())
    }

    fn entry(&mut self, key: &LicenseKey) -> &mut Entry {
        if !self.licenses.contains_key(key) {
            // The log has nothing of it, so that there is nothing to fold.
            let license = self.licenses.entry(key.clone()).or_default();
            license.entry.is_folded = true;
        }
        &mut self.licenses.entry(key.clone()).or_default().entry
    }

    /// The store has this row.
    pub(super) fn stored_row(&mut self, key: &LicenseKey, row: &StoredRow) {
        let held = held::row(key, row);
        let entry = self.entry(key);
        if let StoredRow::License(stored) = row {
            entry.has_row = true;
            entry.is_ordered = stored.is_ordered;
            if is_unordered(stored) {
                entry.fault("unordered", "");
            }
        }
        match held {
            Some(held) => entry.take_away(sum_of_row(row.part(), row.name(), &held)),
            None => {
                entry.has_row |= row.part() == Part::License;
                entry.fault("unreadable", row.name());
            }
        }
    }

    /// The store has this event. Where a record in doubt lies there, it is noted.
    pub(super) fn stored_event(&mut self, key: &LicenseKey, event: &StoredEvent) {
        let entry = self.entry(key);
        let StoredEvent::Event {
            event_id,
            at,
            request_id,
            body,
            stands_right,
            voided_by,
        } = event
        else {
            entry.fault("unreadable", "event");
            return;
        };
        let said = Said {
            at: *at,
            request: hash_of_request(request_id.as_deref()),
            content: body,
        };
        entry.take_away(sum_of_event(*event_id, said));
        match stands_right {
            Some(is_right) => {
                entry.placed += 1;
                if !is_right {
                    entry.fault("misplaced", &event_id.to_string());
                }
            }
            None => entry.unplaced += 1,
        }
        if let Some(by) = voided_by {
            entry.voided = entry.voided.wrapping_sub(sum_of_void(*event_id, *by));
        }
        if let Some(doubtful) = self.doubtful.get_mut(&place(at))
            && let Some(Ok(event)) = event.event(key)
        {
            doubtful.in_timeline = Some((key.clone(), event));
        }
    }

    /// The store has this conflict; false: it is of no license.
    pub(super) fn stored_conflict(&mut self, row: &FateRow) -> bool {
        let Fate::Conflict {
            of: Some(of),
            event_id,
            body,
            request_id,
        } = &row.fate
        else {
            return false;
        };
        let said = Said {
            at: row.at,
            request: hash_of_request(request_id.as_deref()),
            content: body,
        };
        let is_named = row.license.as_ref() == Some(of);
        let entry = self.entry(of);
        entry.take_away(sum_of_conflict(*event_id, said));
        if !is_named || row.reason != "event_conflict" {
            entry.fault("conflict", &event_id.to_string());
        }
        true
    }
}

fn digest_of(expected: &Expected<'_>) -> RowDigest {
    let rows = expected.rows.values();
    rows.fold(RowDigest::default(), |sum, row| {
        sum.plus(RowDigest::of(&row.canonical))
    })
}
