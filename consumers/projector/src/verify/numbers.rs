//! Totals, numbers of events and the kept digest: what the log gives, and what is kept.
//!
//! | what is kept is | it is |
//! |---|---|
//! | what the log gives | right |
//! | what the rows give, and not what the log gives | right as a sum: the rows are at fault, and are named |
//! | neither | a difference of its own |

use std::collections::{BTreeMap, BTreeSet};

use licenseflow_avro::LicenseKey;
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

/// The first minute whose numbers are kept once a record of this time, in milliseconds UTC, was read.
pub(super) fn kept_from(newest_ms: Option<i64>) -> i64 {
    let newest = newest_ms.map(|ms| ms.saturating_mul(1000).div_euclid(MINUTE));
    newest.map_or(0, |minute| minute - MINUTES_KEPT)
}

/// Adds what a license gives to the totals and numbers of its tenant, or takes it back. Minutes that are too
/// old already are left out: they stay so.
pub(super) fn account(
    numbers: &mut Numbers,
    key: &LicenseKey,
    expected: &Expected<'_>,
    newest_ms: Option<i64>,
    sign: Sign,
) {
    if expected.rows.is_empty() {
        return;
    }
    let tenant_id = &key.tenant_id;
    let mut put = |what: What, values: Values| add(numbers, what, values, sign);
    for (dimension, name) in groups(&expected.standing) {
        let total = What::Total {
            tenant_id: tenant_id.clone(),
            dimension: dimension.to_owned(),
            name: name.clone(),
            lifecycle: expected.standing.lifecycle.clone(),
        };
        let Standing {
            seats, seats_used, ..
        } = expected.standing;
        put(total, [1, seats, seats_used]);
        for (day, values) in turns(&expected.standing) {
            let what = What::TotalDay {
                tenant_id: tenant_id.clone(),
                dimension: dimension.to_owned(),
                name: name.clone(),
                day,
            };
            put(what, values);
        }
    }
    let from = kept_from(newest_ms);
    for (occurred_at, kind) in &expected.counting {
        let (tenant_id, kind) = (tenant_id.clone(), kind.name().to_owned());
        let minute = occurred_at.div_euclid(MINUTE);
        if minute >= from {
            let what = What::EventMinute {
                tenant_id: tenant_id.clone(),
                minute,
                kind: kind.clone(),
            };
            put(what, [1, 0, 0]);
        }
        let what = What::EventDay {
            tenant_id,
            day: occurred_at.div_euclid(DAY),
            kind,
        };
        put(what, [1, 0, 0]);
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

/// Adds to a number.
pub(super) fn add(numbers: &mut Numbers, what: What, values: Values, sign: Sign) {
    let sum = numbers.entry(what).or_default();
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += match sign {
            Sign::Plus => value,
            Sign::Minus => -value,
        };
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
