//! Totals against a recount that looks at each license at the time of asking.

use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::canonical::CanonicalMap;
use crate::license::{IssueTerms, PlanTerms};
use crate::order::{Decided, OrderKey};

/// What a license is in these tests.
#[derive(Debug, Clone, PartialEq)]
struct Drawn {
    customer: Option<&'static str>,
    plan: Option<(&'static str, i32)>,
    issue: Option<(&'static str, i64)>,
    expires_at: Option<i64>,
    suspended: Option<bool>,
    revoked: bool,
    seats_used: i64,
}

fn by() -> OrderKey {
    OrderKey {
        occurred_at: 0,
        rank: 1,
        event_id: Uuid::nil(),
    }
}

fn decided<T>(value: T) -> Option<Decided<T>> {
    Some(Decided { by: by(), value })
}

impl Drawn {
    fn state(&self) -> LicenseState {
        let map = CanonicalMap::from(&BTreeMap::new());
        let plan = self.plan.map(|(plan, seats)| PlanTerms {
            plan: plan.to_owned(),
            seats,
            entitlements: map.clone(),
        });
        let issue = self.issue.map(|(product, valid_from)| IssueTerms {
            product_id: product.to_owned(),
            valid_from,
            metadata: map.clone(),
        });
        LicenseState {
            customer: self.customer.and_then(|it| decided(Arc::from(it))),
            plan: plan.and_then(|it| decided(Arc::new(it))),
            issue: issue.and_then(|it| decided(Arc::new(it))),
            expiry: decided(self.expires_at),
            suspended: self.suspended.and_then(decided),
            revoked: self.revoked.then(by),
            seats_used: self.seats_used,
            ..LicenseState::default()
        }
    }

    fn is_in(&self, group: &Group) -> bool {
        let name = match group.dimension {
            Dimension::Tenant => Some(""),
            Dimension::Customer => self.customer,
            Dimension::Product => self.issue.map(|(product, _)| product),
            Dimension::Plan => self.plan.map(|(plan, _)| plan),
        };
        name == Some(group.name.as_str())
    }

    /// The contract's words once more, apart from [`Status::at`].
    fn status(&self, at: i64) -> Status {
        if self.revoked {
            return Status::Revoked;
        }
        match self.suspended {
            None => return Status::Unknown,
            Some(true) => return Status::Suspended,
            Some(false) => {}
        }
        if self.expires_at.is_some_and(|end| end <= at) {
            return Status::Expired;
        }
        match self.issue {
            Some((_, valid_from)) if valid_from > at => Status::Pending,
            _ => Status::Active,
        }
    }
}

/// Times within a few days, many of them at a day's edges.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        0..5 * DAY,
        (0..5i64, -2..3i64).prop_map(|(day, off)| (day * DAY + off).max(0)),
    ]
}

fn license() -> impl Strategy<Value = Drawn> {
    let names =
        |of: &'static [&'static str]| proptest::option::weighted(0.8, prop::sample::select(of));
    (
        names(&["c1", "c2"]),
        proptest::option::weighted(0.8, (prop::sample::select(&["basic", "pro"][..]), 0..5i32)),
        proptest::option::weighted(0.8, (prop::sample::select(&["p1", "p2"][..]), time())),
        proptest::option::weighted(0.8, time()),
        proptest::option::weighted(0.9, proptest::bool::weighted(0.2)),
        proptest::bool::weighted(0.1),
        0..4i64,
    )
        .prop_map(
            |(customer, plan, issue, expires_at, suspended, revoked, seats_used)| Drawn {
                customer,
                plan,
                issue,
                expires_at,
                suspended,
                revoked,
                seats_used,
            },
        )
}

/// Adds differences up, as a store does.
fn keep(kept: &mut BTreeMap<Group, GroupTotals>, change: TotalsChange) {
    for (group, totals) in change.into_groups() {
        let mine = kept.entry(group).or_default();
        for (lifecycle, count) in totals.counts() {
            mine.by_lifecycle[lifecycle as usize].add(count, 1);
        }
        for (day, turns) in totals.days() {
            let kept = mine.days.entry(day).or_default();
            kept.starts += turns.starts;
            kept.ends += turns.ends;
        }
    }
}

fn totals_at(kept: &GroupTotals, licenses: &[&Drawn], at: i64) -> Totals {
    let sums = DaySums::of(kept.days(), at);
    let mut totals = Totals::at_day_end(kept.counts(), sums);
    let rest_of_day = at + 1..=day_end(at);
    let mut turned = 0;
    for it in licenses
        .iter()
        .filter(|it| it.state().lifecycle() == Lifecycle::Active)
    {
        let valid_from = it.issue.map(|(_, valid_from)| valid_from);
        let turns = [valid_from, it.expires_at].into_iter().flatten();
        if turns.filter(|at| rest_of_day.contains(at)).count() > 0 {
            let before = totals.clone();
            totals.turn_back(valid_from, it.expires_at, at);
            turned += i64::from(totals != before);
        }
    }
    assert!(turned <= sums.turning, "a license turns on no counted day");
    totals
}

fn check(licenses: &[Drawn], changed: &[(usize, Option<Drawn>)], times: &[i64]) {
    let mut now: Vec<Option<Drawn>> = vec![None; licenses.len()];
    let mut kept = BTreeMap::new();
    let first = licenses.iter().cloned().map(Some).enumerate();
    let steps: Vec<(usize, Option<Drawn>)> = first.chain(changed.iter().cloned()).collect();
    for batch in steps.chunks(3) {
        let mut change = TotalsChange::default();
        for (number, after) in batch {
            let before = std::mem::replace(&mut now[*number], after.clone());
            let (before, after) = (
                before.map(|it| it.state()),
                after.as_ref().map(Drawn::state),
            );
            change.license("t", before.as_ref(), after.as_ref());
        }
        keep(&mut kept, change);
    }
    let left: Vec<&Drawn> = now.iter().flatten().collect();
    for (group, kept) in &kept {
        let licenses: Vec<&Drawn> = left.iter().copied().filter(|it| it.is_in(group)).collect();
        for at in times {
            let totals = totals_at(kept, &licenses, *at);
            for status in Status::ALL {
                let expected = licenses
                    .iter()
                    .filter(|it| it.status(*at) == status)
                    .count();
                let found = totals.of_status(status);
                assert_eq!(found, expected as i64, "{status} of {group:?} at {at}");
            }
            let all = totals.all();
            let seats = |it: &&Drawn| it.plan.map_or(0, |(_, seats)| i64::from(seats));
            assert_eq!(all.licenses, licenses.len() as i64);
            assert_eq!(all.seats, licenses.iter().map(seats).sum::<i64>());
            let used = licenses.iter().map(|it| it.seats_used).sum::<i64>();
            assert_eq!(all.seats_used, used);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn totals_are_what_looking_at_each_license_gives(
        licenses in proptest::collection::vec(license(), 1..12),
        changed in proptest::collection::vec((0..12usize, proptest::option::weighted(0.9, license())), 0..20),
        times in proptest::collection::vec(time(), 1..12),
    ) {
        let changed: Vec<_> = changed
            .into_iter()
            .map(|(number, after)| (number % licenses.len(), after))
            .collect();
        check(&licenses, &changed, &times);
    }
}

fn drawn(valid_from: i64, expires_at: i64) -> Drawn {
    Drawn {
        customer: Some("c1"),
        plan: Some(("pro", 3)),
        issue: Some(("p1", valid_from)),
        expires_at: Some(expires_at),
        suspended: Some(false),
        revoked: false,
        seats_used: 1,
    }
}

#[test]
fn a_license_that_ends_before_it_starts_is_pending_until_it_is_expired() {
    let times: Vec<i64> = (-1..4 * 24).map(|hour| hour * (DAY / 24)).collect();
    for (valid_from, expires_at) in [(2 * DAY, DAY), (DAY + 2, DAY + 1), (DAY, DAY), (3 * DAY, 0)] {
        check(&[drawn(valid_from, expires_at)], &[], &times);
        let edges = [valid_from, expires_at].map(|at| [at - 1, at, at + 1]);
        check(&[drawn(valid_from, expires_at)], &[], edges.as_flattened());
    }
}

#[test]
fn what_is_taken_back_leaves_nothing() {
    let mut change = TotalsChange::default();
    let state = drawn(DAY, 2 * DAY).state();
    change.license("t", None, Some(&state));
    change.license("t", Some(&state), None);
    assert!(change.into_groups().is_empty());
}

#[test]
fn a_device_changes_seats_used_and_no_day() {
    let (before, mut after) = (drawn(DAY, 2 * DAY).state(), drawn(DAY, 2 * DAY).state());
    after.seats_used = 2;
    let mut change = TotalsChange::default();
    change.license("t", Some(&before), Some(&after));
    let groups = change.into_groups();
    assert_eq!(groups.len(), 4);
    for totals in groups.values() {
        assert_eq!(totals.days().count(), 0);
        let expected = Count {
            seats_used: 1,
            ..Count::default()
        };
        assert_eq!(
            totals.counts().collect::<Vec<_>>(),
            [(Lifecycle::Active, expected)]
        );
    }
}

#[test]
fn what_is_numbered_by_its_place_stands_at_its_place() {
    for (place, dimension) in Dimension::ALL.into_iter().enumerate() {
        assert_eq!(dimension as usize, place);
    }
    for (place, lifecycle) in Lifecycle::ALL.into_iter().enumerate() {
        assert_eq!(lifecycle as usize, place);
    }
    for (place, status) in Status::ALL.into_iter().enumerate() {
        assert_eq!(status as usize, place);
    }
}
