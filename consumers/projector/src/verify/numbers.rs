//! Totals, numbers of events and the kept digest: what the log gives, and what is kept.
//!
//! | what is kept is | it is |
//! |---|---|
//! | what the log gives | right |
//! | what the rows give, and not what the log gives | right as a sum: the rows are at fault, and are named |
//! | neither | a difference of its own |

use std::collections::{BTreeMap, BTreeSet, HashMap};

use licenseflow_avro::{EventKind, LicenseKey};
use licenseflow_core::{Buckets, RowDigest};
use licenseflow_store::audit::{Numbers, Values, What};

use super::difference::{Difference, Part};
use super::expected::{Expected, Standing};

const MINUTE: i64 = 60_000_000;
const MINUTES_A_DAY: i64 = 24 * 60;
const DAY: i64 = MINUTE * MINUTES_A_DAY;
const MINUTES_KEPT: i64 = 48 * 60;

/// Whether something is added or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

impl Sign {
    fn of(self, value: i64) -> i64 {
        match self {
            Sign::Plus => value,
            Sign::Minus => -value,
        }
    }
}

/// The first minute whose numbers are kept once a record of this time, in milliseconds UTC, was read.
pub(super) fn kept_from(newest_ms: Option<i64>) -> i64 {
    let newest = newest_ms.map(|ms| ms.saturating_mul(1000).div_euclid(MINUTE));
    newest.map_or(0, |minute| minute - MINUTES_KEPT)
}

/// What the licenses of the log give, added up.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Each tenant's number here: names are long, and events are many.
    tenants: HashMap<String, usize>,
    totals: HashMap<What, Values>,
    minutes: HashMap<(usize, i64, EventKind), i64>,
    days: HashMap<(usize, i64, EventKind), i64>,
}

impl Account {
    /// Adds what a license gives, or takes it back. Minutes that are too old already are left out: they stay
    /// so.
    pub(super) fn take(
        &mut self,
        key: &LicenseKey,
        expected: &Expected<'_>,
        newest_ms: Option<i64>,
        sign: Sign,
    ) {
        if expected.rows.is_empty() {
            return;
        }
        self.totals(&key.tenant_id, &expected.standing, sign);
        let tenant = match self.tenants.get(&key.tenant_id) {
            Some(tenant) => *tenant,
            None => {
                let next = self.tenants.len();
                *self.tenants.entry(key.tenant_id.clone()).or_insert(next)
            }
        };
        let from = kept_from(newest_ms);
        let by = sign.of(1);
        for (occurred_at, kind) in &expected.counting {
            let minute = occurred_at.div_euclid(MINUTE);
            if minute >= from {
                *self.minutes.entry((tenant, minute, *kind)).or_default() += by;
            }
            let day = occurred_at.div_euclid(DAY);
            *self.days.entry((tenant, day, *kind)).or_default() += by;
        }
    }

    fn totals(&mut self, tenant_id: &str, standing: &Standing, sign: Sign) {
        let Standing {
            seats, seats_used, ..
        } = *standing;
        for (dimension, name) in groups(standing) {
            let total = What::Total {
                tenant_id: tenant_id.to_owned(),
                dimension: dimension.to_owned(),
                name: name.clone(),
                lifecycle: standing.lifecycle.clone(),
            };
            add_to(
                self.totals.entry(total).or_default(),
                [1, seats, seats_used],
                sign,
            );
            for (day, values) in turns(standing) {
                let what = What::TotalDay {
                    tenant_id: tenant_id.to_owned(),
                    dimension: dimension.to_owned(),
                    name: name.clone(),
                    day,
                };
                add_to(self.totals.entry(what).or_default(), values, sign);
            }
        }
    }

    /// All of it, each number under what it counts.
    pub(super) fn numbers(&self) -> Numbers {
        let mut names = vec![""; self.tenants.len()];
        for (name, number) in &self.tenants {
            names[*number] = name;
        }
        let minutes = self.minutes.iter().map(|((tenant, minute, kind), events)| {
            let what = What::EventMinute {
                tenant_id: names[*tenant].to_owned(),
                minute: *minute,
                kind: kind.name().to_owned(),
            };
            (what, [*events, 0, 0])
        });
        let days = self.days.iter().map(|((tenant, day, kind), events)| {
            let what = What::EventDay {
                tenant_id: names[*tenant].to_owned(),
                day: *day,
                kind: kind.name().to_owned(),
            };
            (what, [*events, 0, 0])
        });
        let totals = self.totals.iter();
        let totals = totals.map(|(what, values)| (what.clone(), *values));
        totals.chain(minutes).chain(days).collect()
    }
}

/// The groups that a license is counted in.
fn groups(standing: &Standing) -> Vec<(&'static str, String)> {
    let named = [
        ("customer", &standing.customer),
        ("product", &standing.product),
        ("plan", &standing.plan),
    ];
    let named = named
        .into_iter()
        .filter_map(|(dimension, name)| Some((dimension, name.clone()?)));
    std::iter::once(("tenant", String::new()))
        .chain(named)
        .collect()
}

/// The days on which a license starts and ends, if its lifecycle is `active`.
fn turns(standing: &Standing) -> Vec<(i64, Values)> {
    if standing.lifecycle != "active" {
        return Vec::new();
    }
    let ends = standing.expires_at;
    let starts = standing
        .valid_from
        .map(|from| ends.map_or(from, |end| end.min(from)));
    let starts = starts.map(|at| (at.div_euclid(DAY), [1, 0, 0]));
    let ends = ends.map(|at| (at.div_euclid(DAY), [0, 1, 0]));
    starts.into_iter().chain(ends).collect()
}

/// The day of a time in microseconds, counted from 1970.
pub(super) fn day_of(occurred_at: i64) -> i64 {
    occurred_at.div_euclid(DAY)
}

/// The numbers in which an event is counted.
pub(super) fn of_event(tenant_id: &str, occurred_at: i64, kind: EventKind) -> [What; 2] {
    let minute = What::EventMinute {
        tenant_id: tenant_id.to_owned(),
        minute: occurred_at.div_euclid(MINUTE),
        kind: kind.name().to_owned(),
    };
    let day = What::EventDay {
        tenant_id: tenant_id.to_owned(),
        day: day_of(occurred_at),
        kind: kind.name().to_owned(),
    };
    [minute, day]
}

/// Adds a part of a number that is kept.
pub(super) fn add(numbers: &mut Numbers, what: What, values: Values) {
    add_to(numbers.entry(what).or_default(), values, Sign::Plus);
}

fn add_to(sum: &mut Values, values: Values, sign: Sign) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += sign.of(value);
    }
}

/// The numbers that are kept and are neither what the log gives nor, for totals, what the rows give.
pub(super) fn differences(
    log: &Numbers,
    rows: &Numbers,
    kept: &Numbers,
    kept_from: i64,
) -> Vec<Difference> {
    let all: BTreeSet<&What> = log.keys().chain(kept.keys()).collect();
    let of = |numbers: &Numbers, what| numbers.get(what).copied().unwrap_or_default();
    let mut differences = Vec::new();
    for what in all {
        let (is, should_be) = (of(kept, what), of(log, what));
        let (part, is_excused) = match what {
            What::Total { .. } | What::TotalDay { .. } => (Part::Total, is == of(rows, what)),
            What::EventMinute { minute, .. } => (Part::Counts, *minute < kept_from),
            What::EventDay { .. } => (Part::Counts, false),
        };
        if is != should_be && !is_excused {
            let name = format!("{}: {what}", what.table());
            let difference = Difference::of_tenant(what.tenant_id(), part, name);
            differences.push(
                difference
                    .stored(shown(what, is))
                    .logged(shown(what, should_be)),
            );
        }
    }
    differences
}

fn shown(what: &What, [first, second, third]: Values) -> String {
    match what {
        What::Total { .. } => format!("{first} licenses, {second} seats, {third} used"),
        What::TotalDay { .. } => format!("{first} start, {second} end"),
        What::EventMinute { .. } | What::EventDay { .. } => format!("{first} events"),
    }
}

/// The three digests that must be one.
pub(super) struct Digests<'b> {
    /// As it is kept.
    pub(super) kept: &'b Buckets,
    /// Of the rows as they are stored.
    pub(super) rows: &'b Buckets,
    /// Of the log.
    pub(super) log: &'b Buckets,
}

impl Digests<'_> {
    /// The buckets in which not all are the same, in order.
    pub(super) fn buckets_that_differ(&self) -> Vec<u8> {
        let [kept, rows, log] = [self.kept, self.rows, self.log].map(by_bucket);
        let differs = |bucket: &u8| {
            let of = |buckets: &BTreeMap<u8, RowDigest>| buckets.get(bucket).copied();
            of(&kept) != of(&log) || of(&rows) != of(&log)
        };
        (0..=u8::MAX).filter(differs).collect()
    }

    /// The buckets of which neither the log nor the rows give what is kept.
    pub(super) fn differences(&self) -> Vec<Difference> {
        let [kept, rows, log] = [self.kept, self.rows, self.log].map(by_bucket);
        let mut differences = Vec::new();
        for bucket in 0..=u8::MAX {
            let of = |buckets: &BTreeMap<u8, RowDigest>| {
                buckets.get(&bucket).copied().unwrap_or_default()
            };
            if of(&kept) != of(&log) && of(&kept) != of(&rows) {
                let difference = Difference::of_none(Part::Digest, format!("bucket {bucket}"));
                differences.push(difference.stored(of(&kept)).logged(of(&log)));
            }
        }
        differences
    }
}

fn by_bucket(buckets: &Buckets) -> BTreeMap<u8, RowDigest> {
    buckets.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(name: &str) -> What {
        What::Total {
            tenant_id: "t".to_owned(),
            dimension: "plan".to_owned(),
            name: name.to_owned(),
            lifecycle: "active".to_owned(),
        }
    }

    fn numbers(values: &[(&str, i64)]) -> Numbers {
        let each = values.iter();
        each.map(|(name, licenses)| (what(name), [*licenses, 0, 0]))
            .collect()
    }

    #[test]
    fn a_total_is_named_where_neither_the_log_nor_the_rows_give_it() {
        let log = numbers(&[
            ("right", 1),
            ("row-changed", 1),
            ("changed", 1),
            ("gone", 1),
        ]);
        let rows = numbers(&[
            ("right", 1),
            ("row-changed", 2),
            ("changed", 1),
            ("gone", 1),
        ]);
        let kept = numbers(&[
            ("right", 1),
            ("row-changed", 1),
            ("changed", 3),
            ("more", 1),
            ("none", 0),
        ]);
        let names: Vec<String> = differences(&log, &rows, &kept, 0)
            .into_iter()
            .map(|it| it.name)
            .collect();
        let expected = ["changed", "gone", "more"];
        assert_eq!(
            names,
            expected.map(|it| format!("total: plan {it}, active"))
        );
        // The projector itself may have written a row wrongly, and its total with it.
        assert!(differences(&log, &rows, &rows, 0).is_empty());
    }

    #[test]
    fn minutes_that_are_too_old_are_held_against_nothing() {
        let minute = |minute| What::EventMinute {
            tenant_id: "t".to_owned(),
            minute,
            kind: "LicenseIssued".to_owned(),
        };
        let log: Numbers = [(minute(10), [1, 0, 0]), (minute(20), [1, 0, 0])].into();
        let found = differences(&log, &Numbers::new(), &Numbers::new(), 15);
        assert_eq!(found.len(), 1);
        assert!(found[0].name.contains("minute 20"), "{found:?}");
    }

    #[test]
    fn a_kept_bucket_is_named_where_neither_the_log_nor_the_rows_give_it() {
        let buckets = |of: &[(u8, u128)]| {
            let mut buckets = Buckets::default();
            for (bucket, sum) in of {
                buckets.add(*bucket, RowDigest(*sum));
            }
            buckets
        };
        let log = buckets(&[(1, 1), (2, 2), (3, 3)]);
        let rows = buckets(&[(1, 1), (2, 9), (3, 3)]);
        let kept = buckets(&[(1, 1), (2, 2), (3, 7)]);
        let digests = Digests {
            kept: &kept,
            rows: &rows,
            log: &log,
        };
        assert_eq!(digests.buckets_that_differ(), [2, 3]);
        let names: Vec<String> = digests
            .differences()
            .into_iter()
            .map(|it| it.name)
            .collect();
        assert_eq!(names, ["bucket 3"]);
    }
}
