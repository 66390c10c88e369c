//! Totals and numbers of events, whatever the store: what a batch changes about them, how they lie in
//! columns, and what the rows give when they are counted anew.
//!
//! Owns no statement; a store says where its rows are, and hands them over.

use std::collections::BTreeMap;

use licenseflow_avro::EventKind;
use licenseflow_core::event_counts::{Counted, EventsChange, TenantEvents};
use licenseflow_core::status::Lifecycle;
use licenseflow_core::totals::{
    Count, DaySums, DayTurns, Dimension, Group, GroupTotals, Totals, TotalsChange,
};
use licenseflow_core::{Batch, LicenseChange, LicenseState};

use crate::Error;
use crate::columns::{
    Columns, LICENSE_COLUMN_COUNT, license_key, license_state, lifecycle_of_number, needed,
    recorded_event, voids,
};
use crate::lookup::Groups;

/// What a batch changes about totals and numbers of events.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub(crate) totals: TotalsChange,
    pub(crate) events: EventsChange,
}

impl Difference {
    /// Takes in what became of one license.
    pub(crate) fn license(&mut self, before: Option<&LicenseState>, change: &LicenseChange) {
        let tenant_id = &change.key.tenant_id;
        self.totals.license(tenant_id, before, Some(&change.state));
        self.events.license(tenant_id, &change.counted);
    }
}

/// The time of the newest record of a batch, in milliseconds UTC.
pub(crate) fn newest_ms(batch: &Batch) -> Option<i64> {
    batch.journey.iter().map(|entry| entry.at.timestamp).max()
}

/// Totals and numbers of events, as they are kept or as the rows give them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptTotals {
    /// By group.
    pub groups: BTreeMap<Group, GroupTotals>,
    /// By tenant.
    pub events: BTreeMap<String, TenantEvents>,
}

impl KeptTotals {
    /// Takes in tenant, dimension, name, lifecycle and a count.
    pub(crate) fn put_count(&mut self, row: &impl Columns) -> Result<(), Error> {
        let lifecycle = lifecycle_of_number(needed(row.integer(3)?)?)?;
        let count = count(row, 4)?;
        self.group(row)?.set_count(lifecycle, count);
        Ok(())
    }

    /// Takes in tenant, dimension, name, day, starts and ends.
    pub(crate) fn put_day(&mut self, row: &impl Columns) -> Result<(), Error> {
        let (day, turns) = (needed(row.integer(3)?)?, turns(row, 4)?);
        self.group(row)?.set_day(day, turns);
        Ok(())
    }

    /// Takes in tenant, minute, type and number of events.
    pub(crate) fn put_minute(&mut self, row: &impl Columns) -> Result<(), Error> {
        let (time, events) = event_count(row, 1)?;
        self.of_tenant(row)?.minutes.insert(time, events);
        Ok(())
    }

    /// Takes in tenant, day, type and number of events.
    pub(crate) fn put_event_day(&mut self, row: &impl Columns) -> Result<(), Error> {
        let (time, events) = event_count(row, 1)?;
        self.of_tenant(row)?.days.insert(time, events);
        Ok(())
    }

    fn group(&mut self, row: &impl Columns) -> Result<&mut GroupTotals, Error> {
        let number = needed(row.integer(1)?)?;
        let group = Group {
            tenant_id: needed(row.text(0)?)?.to_owned(),
            dimension: dimension_of(number)?,
            name: needed(row.text(2)?)?.to_owned(),
        };
        Ok(self.groups.entry(group).or_default())
    }

    fn of_tenant(&mut self, row: &impl Columns) -> Result<&mut TenantEvents, Error> {
        let tenant_id = needed(row.text(0)?)?.to_owned();
        Ok(self.events.entry(tenant_id).or_default())
    }
}

/// Totals and numbers of events as licenses and timelines give them.
#[derive(Debug, Default)]
pub(crate) struct Recount(Difference);

impl Recount {
    /// Takes in a license: [`LICENSE_COLUMNS`](crate::columns::LICENSE_COLUMNS) and its tenant.
    pub(crate) fn license(&mut self, row: &impl Columns) -> Result<(), Error> {
        let tenant_id = needed(row.text(LICENSE_COLUMN_COUNT)?)?;
        let state = license_state(row, 0)?;
        self.0.totals.license(tenant_id, None, Some(&state));
        Ok(())
    }

    /// Takes in an event: what [`recorded_event`] reads, then tenant and license, and the license's voids.
    pub(crate) fn event(&mut self, row: &impl Columns) -> Result<(), Error> {
        let key = license_key(row, 7)?;
        let event = recorded_event(row, 0, &key)?.event;
        let state = LicenseState {
            voids: voids(row.bytes(9)?.unwrap_or_default())?,
            ..LicenseState::default()
        };
        if !state.voids(&event) {
            let counted = [Counted::of(&event, 1)];
            self.0.events.license(&key.tenant_id, &counted);
        }
        Ok(())
    }

    /// All that was taken in, without minutes before `kept_from`.
    pub(crate) fn into_totals(self, kept_from: i64) -> KeptTotals {
        KeptTotals {
            groups: self.0.totals.into_groups(),
            events: self.0.events.into_tenants(kept_from),
        }
    }
}

fn dimension_of(number: i64) -> Result<Dimension, Error> {
    let mut all = Dimension::ALL.into_iter();
    all.find(|it| *it as i64 == number)
        .ok_or_else(|| Error::broken(format!("dimension {number}")))
}

/// The type of event of a number in the store: its place in the schema's union.
fn kind_of(number: i64) -> Result<EventKind, Error> {
    let place = usize::try_from(number).ok();
    let kind = place.and_then(|place| EventKind::ALL.get(place)).copied();
    kind.ok_or_else(|| Error::broken(format!("event type {number}")))
}

/// Reads a minute or day, a type and a number of events, beginning at column `first`.
pub(crate) fn event_count(
    row: &impl Columns,
    first: usize,
) -> Result<((i64, EventKind), i64), Error> {
    let integer = |column: usize| needed(row.integer(first + column)?);
    Ok(((integer(0)?, kind_of(integer(1)?)?), integer(2)?))
}

/// Reads licenses, seats and seats used, beginning at column `first`.
pub(crate) fn count(row: &impl Columns, first: usize) -> Result<Count, Error> {
    let integer = |column: usize| needed(row.integer(first + column)?);
    Ok(Count {
        licenses: integer(0)?,
        seats: integer(1)?,
        seats_used: integer(2)?,
    })
}

fn turns(row: &impl Columns, first: usize) -> Result<DayTurns, Error> {
    Ok(DayTurns {
        starts: needed(row.integer(first)?)?,
        ends: needed(row.integer(first + 1)?)?,
    })
}

/// Reads how many have ended by the end of a day, start after it, and turn on it, beginning at column
/// `first`.
pub(crate) fn day_sums(row: &impl Columns, first: usize) -> Result<DaySums, Error> {
    let integer = |column: usize| needed(row.integer(first + column)?);
    Ok(DaySums {
        ended: integer(0)?,
        to_start: integer(1)?,
        turning: integer(2)?,
    })
}

/// Groups by name, at the end of the day; one of which no license turns has no sums.
pub(crate) fn groups(
    counts: BTreeMap<String, Vec<(Lifecycle, Count)>>,
    sums: &BTreeMap<String, DaySums>,
    goes_on: bool,
) -> Groups {
    let totals = counts.into_iter().map(|(name, counts)| {
        let sums = sums.get(&name).copied().unwrap_or_default();
        (name, Totals::at_day_end(counts, sums))
    });
    Groups {
        totals: totals.collect(),
        goes_on,
    }
}

/// A license that turns in the rest of the day.
pub(crate) struct Turning {
    valid_from: Option<i64>,
    expires_at: Option<i64>,
    /// Empty where no event has said it.
    pub(crate) product_id: String,
    /// Empty where no event has said it.
    pub(crate) plan: String,
}

impl Turning {
    /// The columns that [`Turning::of`] reads.
    pub(crate) const COLUMNS: &str = "valid_from, expires_at, product_id, plan";

    /// Reads [`Turning::COLUMNS`], beginning at column 0.
    pub(crate) fn of(row: &impl Columns) -> Result<Self, Error> {
        Ok(Self {
            valid_from: row.integer(0)?,
            expires_at: row.integer(1)?,
            product_id: row.text(2)?.unwrap_or_default().to_owned(),
            plan: row.text(3)?.unwrap_or_default().to_owned(),
        })
    }

    /// Takes back what becomes of it until the end of the day.
    pub(crate) fn turn_back(&self, totals: Option<&mut Totals>, at: i64) {
        if let Some(totals) = totals {
            totals.turn_back(self.valid_from, self.expires_at, at);
        }
    }
}
