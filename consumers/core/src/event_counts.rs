//! How many events happened, by type: per minute, kept for 48 hours, and per day.
//!
//! Counted is what counts in the fold: by `occurred_at`, voided events not, heartbeats never. A minute
//! is kept while it is no more than 48 hours older than the newest record that was read; so which
//! minutes there are follows from the set of records too, in whatever order they came.

use std::collections::{BTreeMap, HashMap};

use licenseflow_avro::{EventKind, LicenseEvent};

/// How many minutes are kept.
pub const MINUTES_KEPT: i64 = 48 * 60;

const MINUTE: i64 = 60_000_000;
const MINUTES_A_DAY: i64 = 24 * 60;

/// The minute of a time in microseconds, counted from 1970.
#[must_use]
pub fn minute_of(micros: i64) -> i64 {
    micros.div_euclid(MINUTE)
}

/// The first microsecond of a minute.
#[must_use]
pub fn minute_start(minute: i64) -> i64 {
    minute.saturating_mul(MINUTE)
}

/// The first minute that is kept once a record of this time, in milliseconds UTC, was read.
#[must_use]
pub fn kept_from(newest_ms: i64) -> i64 {
    minute_of(newest_ms.saturating_mul(1000)) - MINUTES_KEPT
}

/// By how much the number of a license's counting events of one time and type changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// When they happened, in microseconds UTC.
    pub occurred_at: i64,
    /// Their type.
    pub kind: EventKind,
    /// How many more there are; negative where some count no more.
    pub by: i64,
}

impl Counted {
    /// One event more, or with -1 one less.
    #[must_use]
    pub fn of(event: &LicenseEvent, by: i64) -> Self {
        Self {
            occurred_at: event.occurred_at,
            kind: event.payload.kind(),
            by,
        }
    }

    /// The same without what comes to nothing: of a license that was folded again, most events count
    /// as they did.
    #[must_use]
    pub fn net(counted: Vec<Self>) -> Vec<Self> {
        let mut sums: BTreeMap<(i64, EventKind), i64> = BTreeMap::new();
        for it in counted {
            *sums.entry((it.occurred_at, it.kind)).or_default() += it.by;
        }
        let changed = sums.into_iter().filter(|(_, by)| *by != 0);
        changed
            .map(|((occurred_at, kind), by)| Self {
                occurred_at,
                kind,
                by,
            })
            .collect()
    }
}

/// Numbers of events by minute or by day, and type.
pub type EventCounts = BTreeMap<(i64, EventKind), i64>;

/// What a batch changes about the numbers of events, added up over its licenses.
#[derive(Debug, Default)]
pub struct EventsChange {
    /// Per tenant, by minute; days follow from minutes.
    tenants: HashMap<String, HashMap<(i64, EventKind), i64>>,
}

/// What a batch changes about the numbers of events of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantEvents {
    /// By minute, only those that are kept.
    pub minutes: EventCounts,
    /// By day.
    pub days: EventCounts,
}

impl EventsChange {
    /// Takes in what changed about a license's counting events.
    pub fn license(&mut self, tenant_id: &str, counted: &[Counted]) {
        if counted.is_empty() {
            return;
        }
        let minutes = match self.tenants.get_mut(tenant_id) {
            Some(known) => known,
            None => self.tenants.entry(tenant_id.to_owned()).or_default(),
        };
        for it in counted {
            *minutes
                .entry((minute_of(it.occurred_at), it.kind))
                .or_default() += it.by;
        }
    }

    /// What changed by tenant, without what comes to nothing and without minutes before `kept_from`.
    #[must_use]
    pub fn into_tenants(self, kept_from: i64) -> BTreeMap<String, TenantEvents> {
        let tenants = self.tenants.into_iter();
        tenants
            .map(|(tenant_id, minutes)| (tenant_id, TenantEvents::of(minutes, kept_from)))
            .collect()
    }
}

impl TenantEvents {
    fn of(by_minute: HashMap<(i64, EventKind), i64>, kept_from: i64) -> Self {
        let mut events = Self::default();
        for ((minute, kind), by) in by_minute {
            let day = minute.div_euclid(MINUTES_A_DAY);
            *events.days.entry((day, kind)).or_default() += by;
            if minute >= kept_from && by != 0 {
                events.minutes.insert((minute, kind), by);
            }
        }
        events.days.retain(|_, by| *by != 0);
        events
    }
}

/// The first minute that an answer at this time shows: 48 hours with that time's own minute.
#[must_use]
pub fn shown_from(at: i64) -> i64 {
    minute_of(at) - MINUTES_KEPT + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::day_of;

    const AT: i64 = 1_780_000_000_000_000;

    fn counted(occurred_at: i64, by: i64) -> Counted {
        Counted {
            occurred_at,
            kind: EventKind::UsageRecorded,
            by,
        }
    }

    #[test]
    fn minutes_and_days_are_added_up_and_what_comes_to_nothing_is_left_out() {
        let mut change = EventsChange::default();
        change.license("a", &[counted(AT, 1), counted(AT + 1, 1)]);
        change.license("a", &[counted(AT + MINUTE, 1)]);
        change.license("b", &[counted(AT, 1)]);
        change.license("b", &[counted(AT + 1, -1)]);
        let tenants = change.into_tenants(0);
        let kind = EventKind::UsageRecorded;
        let minute = minute_of(AT);
        let expected = [((minute, kind), 2), ((minute + 1, kind), 1)];
        assert_eq!(tenants["a"].minutes, expected.into());
        assert_eq!(tenants["a"].days, [((day_of(AT), kind), 3)].into());
        assert_eq!(tenants["b"], TenantEvents::default());
    }

    #[test]
    fn a_minute_older_than_48_hours_counts_in_its_day_alone() {
        let newest_ms = AT / 1000;
        let oldest = minute_start(kept_from(newest_ms));
        let mut change = EventsChange::default();
        change.license("a", &[counted(oldest, 1), counted(oldest - 1, 1)]);
        let tenants = change.into_tenants(kept_from(newest_ms));
        assert_eq!(tenants["a"].minutes.len(), 1);
        assert_eq!(tenants["a"].days.values().sum::<i64>(), 2);
        assert!(shown_from(AT) >= kept_from(newest_ms));
    }

    #[test]
    fn what_counts_as_before_is_no_change() {
        let net = Counted::net(vec![counted(1, -1), counted(2, -1), counted(1, 1)]);
        assert_eq!(net, [counted(2, -1)]);
    }
}
