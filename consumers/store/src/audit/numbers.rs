//! Totals and numbers of events as they are kept, number by number, under names that say them.
//!
//! A store may keep a number in parts, one for each of its writers; what is kept is their sum.

use std::collections::BTreeMap;
use std::fmt;

use licenseflow_avro::EventKind;
use licenseflow_core::status::Lifecycle;
use licenseflow_core::totals::{Count, DayTurns, Dimension, Group, GroupTotals};

use crate::Error;
use crate::columns::{Columns, lifecycle_of_number, needed};

/// Up to three numbers that are kept together: licenses, seats and seats used; starts and ends; events.
pub type Values = [i64; 3];

/// Numbers, each under what it counts.
pub type Numbers = BTreeMap<What, Values>;

/// What a number counts, and so which row of which table it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// Licenses, seats and seats used of a group, by lifecycle.
    Total {
        /// The tenant.
        tenant_id: String,
        /// By what: see [`dimension_name`].
        dimension: String,
        /// Which of them; empty where it is the whole tenant.
        name: String,
        /// The lifecycle's name.
        lifecycle: String,
    },
    /// How many licenses of a group start and end on a day.
    TotalDay {
        /// The tenant.
        tenant_id: String,
        /// By what: see [`dimension_name`].
        dimension: String,
        /// Which of them; empty where it is the whole tenant.
        name: String,
        /// The day, counted from 1970.
        day: i64,
    },
    /// Events of a type in a minute.
    EventMinute {
        /// The tenant.
        tenant_id: String,
        /// The minute, counted from 1970.
        minute: i64,
        /// The type's name.
        kind: String,
    },
    /// Events of a type on a day.
    EventDay {
        /// The tenant.
        tenant_id: String,
        /// The day, counted from 1970.
        day: i64,
        /// The type's name.
        kind: String,
    },
}

impl What {
    fn minute(tenant_id: String, minute: i64, kind: String) -> Self {
        What::EventMinute {
            tenant_id,
            minute,
            kind,
        }
    }

    fn day(tenant_id: String, day: i64, kind: String) -> Self {
        What::EventDay {
            tenant_id,
            day,
            kind,
        }
    }

    /// Its table's name.
    #[must_use]
    pub fn table(&self) -> &'static str {
        match self {
            What::Total { .. } => "total",
            What::TotalDay { .. } => "total_day",
            What::EventMinute { .. } => "event_minute",
            What::EventDay { .. } => "event_day",
        }
    }

    /// The tenant.
    #[must_use]
    pub fn tenant_id(&self) -> &str {
        match self {
            What::Total { tenant_id, .. }
            | What::TotalDay { tenant_id, .. }
            | What::EventMinute { tenant_id, .. }
            | What::EventDay { tenant_id, .. } => tenant_id,
        }
    }
}

/// The row within its table and its tenant.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |f: &mut fmt::Formatter<'_>, dimension: &str, name: &str| {
            if name.is_empty() {
                write!(f, "{dimension}")
            } else {
                write!(f, "{dimension} {name}")
            }
        };
        match self {
            What::Total {
                dimension,
                name,
                lifecycle,
                ..
            } => {
                group(f, dimension, name)?;
                write!(f, ", {lifecycle}")
            }
            What::TotalDay {
                dimension,
                name,
                day,
                ..
            } => {
                group(f, dimension, name)?;
                write!(f, ", day {day}")
            }
            What::EventMinute { minute, kind, .. } => write!(f, "{kind}, minute {minute}"),
            What::EventDay { day, kind, .. } => write!(f, "{kind}, day {day}"),
        }
    }
}

/// What a dimension is called.
#[must_use]
pub fn dimension_name(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Tenant => "tenant",
        Dimension::Customer => "customer",
        Dimension::Product => "product",
        Dimension::Plan => "plan",
    }
}

/// The numbers of groups that were counted.
#[must_use]
pub fn numbers_of(groups: &BTreeMap<Group, GroupTotals>) -> Numbers {
    let mut numbers = Numbers::new();
    for (group, totals) in groups {
        let (tenant_id, name) = (&group.tenant_id, &group.name);
        let dimension = dimension_name(group.dimension);
        for (lifecycle, count) in totals.counts() {
            let what = What::Total {
                tenant_id: tenant_id.clone(),
                dimension: dimension.to_owned(),
                name: name.clone(),
                lifecycle: lifecycle.name().to_owned(),
            };
            let Count {
                licenses,
                seats,
                seats_used,
            } = count;
            numbers.insert(what, [licenses, seats, seats_used]);
        }
        for (day, turns) in totals.days() {
            let what = What::TotalDay {
                tenant_id: tenant_id.clone(),
                dimension: dimension.to_owned(),
                name: name.clone(),
                day,
            };
            let DayTurns { starts, ends } = turns;
            numbers.insert(what, [starts, ends, 0]);
        }
    }
    numbers
}

/// A table in which numbers are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NumberTable {
    Total,
    TotalDay,
    Minute,
    Day,
}

impl NumberTable {
    pub(crate) const ALL: [Self; 4] = [Self::Total, Self::TotalDay, Self::Minute, Self::Day];

    /// All its rows, in the columns that [`NumberTable::read`] reads.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Total => {
                "select tenant_id, dimension, name, lifecycle, licenses, seats, seats_used from total"
            }
            Self::TotalDay => "select tenant_id, dimension, name, day, starts, ends from total_day",
            Self::Minute => "select tenant_id, minute, kind, events from event_minute",
            Self::Day => "select tenant_id, day, kind, events from event_day",
        }
    }

    pub(crate) fn read(self, row: &impl Columns) -> Result<(What, Values), Error> {
        match self {
            Self::Total => total_number(row),
            Self::TotalDay => total_day_number(row),
            Self::Minute => event_number(row, What::minute),
            Self::Day => event_number(row, What::day),
        }
    }
}

/// Reads tenant, dimension, name, lifecycle, licenses, seats and seats used.
fn total_number(row: &impl Columns) -> Result<(What, Values), Error> {
    let number = needed(row.integer(3)?)?;
    let lifecycle = lifecycle_of_number(number).map(Lifecycle::name);
    let what = What::Total {
        tenant_id: text(row, 0)?,
        dimension: dimension(row)?,
        name: text(row, 2)?,
        lifecycle: lifecycle.map_or_else(|_| number.to_string(), ToOwned::to_owned),
    };
    Ok((what, [integer(row, 4)?, integer(row, 5)?, integer(row, 6)?]))
}

/// Reads tenant, dimension, name, day, starts and ends.
fn total_day_number(row: &impl Columns) -> Result<(What, Values), Error> {
    let what = What::TotalDay {
        tenant_id: text(row, 0)?,
        dimension: dimension(row)?,
        name: text(row, 2)?,
        day: integer(row, 3)?,
    };
    Ok((what, [integer(row, 4)?, integer(row, 5)?, 0]))
}

/// Reads tenant, minute or day, type and events; `what` makes the name of the first three.
fn event_number(
    row: &impl Columns,
    what: fn(String, i64, String) -> What,
) -> Result<(What, Values), Error> {
    let number = integer(row, 2)?;
    let kind = usize::try_from(number).ok();
    let kind = kind.and_then(|place| EventKind::ALL.get(place));
    let kind = kind.map_or_else(|| number.to_string(), |kind| kind.name().to_owned());
    let what = what(text(row, 0)?, integer(row, 1)?, kind);
    Ok((what, [integer(row, 3)?, 0, 0]))
}

/// The name of a number that is no dimension of ours is the number.
fn dimension(row: &impl Columns) -> Result<String, Error> {
    let number = integer(row, 1)?;
    let known = Dimension::ALL.into_iter().find(|it| *it as i64 == number);
    Ok(known.map_or_else(
        || number.to_string(),
        |dimension| dimension_name(dimension).to_owned(),
    ))
}

fn text(row: &impl Columns, column: usize) -> Result<String, Error> {
    Ok(needed(row.text(column)?)?.to_owned())
}

fn integer(row: &impl Columns, column: usize) -> Result<i64, Error> {
    needed(row.integer(column)?)
}
