//! Totals of licenses: of a whole tenant, and by customer, product and plan.
//!
//! A batch changes them by differences, added up before anything is written. What changes without an
//! event is not stored: of the licenses with lifecycle `active` it is counted on which UTC day they
//! start and on which they end, and the status at a time follows from that.
//!
//! | status at t | of the licenses with lifecycle `active` |
//! |---|---|
//! | expired | `expires_at` ≤ t |
//! | pending | their start is later than t: `valid_from`, or `expires_at` where that comes first |
//! | active | all others |
//!
//! A license that ends before it starts is never active; with its end for its start it is pending until
//! then and expired from then on, so that nothing is counted as both. The totals at the last instant of
//! t's day are sums over whole days; the licenses that turn between t and that instant are read by an
//! index and turned back.

use std::collections::BTreeMap;
use std::hash::RandomState;

use hashbrown::hash_map::EntryRef;
use hashbrown::{Equivalent, HashMap};

use crate::license::LicenseState;
use crate::status::{Lifecycle, Status};

/// A day, in microseconds.
const DAY: i64 = 86_400_000_000;

/// The UTC day of a time in microseconds, counted from 1970.
#[must_use]
pub fn day_of(micros: i64) -> i64 {
    micros.div_euclid(DAY)
}

/// The first microsecond of a day.
#[must_use]
pub fn day_start(day: i64) -> i64 {
    day.saturating_mul(DAY)
}

/// The last microsecond of the day that a time is in.
#[must_use]
pub fn day_end(micros: i64) -> i64 {
    day_start(day_of(micros)).saturating_add(DAY - 1)
}

/// What licenses are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// All of a tenant.
    Tenant,
    /// By `customer_id`.
    Customer,
    /// By `product_id`.
    Product,
    /// By `plan`.
    Plan,
}

impl Dimension {
    /// Every dimension: `ALL[d as usize] == d`, which is also how stores number them.
    pub const ALL: [Dimension; 4] = [
        Dimension::Tenant,
        Dimension::Customer,
        Dimension::Product,
        Dimension::Plan,
    ];
}

/// Licenses that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// The tenant.
    pub tenant_id: String,
    /// By what.
    pub dimension: Dimension,
    /// Which of them; empty where it is the whole tenant.
    pub name: String,
}

/// A group's key while it lies in a license.
#[derive(Hash)]
struct Named<'a> {
    // In the order of Group's, since both must hash alike.
    tenant_id: &'a str,
    dimension: Dimension,
    name: &'a str,
}

impl Equivalent<Group> for Named<'_> {
    fn equivalent(&self, group: &Group) -> bool {
        self.dimension == group.dimension
            && self.name == group.name
            && self.tenant_id == group.tenant_id
    }
}

/// How many licenses, and the sums over them; or a difference of such.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Licenses.
    pub licenses: i64,
    /// Their seats; none counts as zero.
    pub seats: i64,
    /// Their active devices.
    pub seats_used: i64,
}

impl Count {
    /// Adds a count, `times` 1 or -1.
    fn add(&mut self, other: Count, times: i64) {
        self.licenses += times * other.licenses;
        self.seats += times * other.seats;
        self.seats_used += times * other.seats_used;
    }
}

/// How many licenses with lifecycle `active` start and end on a day; or a difference of such.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DayTurns {
    /// Those that start on it.
    pub starts: i64,
    /// Those that end on it.
    pub ends: i64,
}

/// What is kept of a group; or what a batch changes about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupTotals {
    by_lifecycle: [Count; 4],
    days: BTreeMap<i64, DayTurns>,
}

impl GroupTotals {
    /// By lifecycle, where that is not zero.
    pub fn counts(&self) -> impl Iterator<Item = (Lifecycle, Count)> + '_ {
        let counts = self.by_lifecycle.into_iter();
        let named = Lifecycle::ALL.into_iter().zip(counts);
        named.filter(|(_, count)| *count != Count::default())
    }

    /// By day, where that is not zero.
    pub fn days(&self) -> impl Iterator<Item = (i64, DayTurns)> + '_ {
        let days = self.days.iter().map(|(day, turns)| (*day, *turns));
        days.filter(|(_, turns)| *turns != DayTurns::default())
    }

    /// Puts down what a store keeps of a lifecycle.
    pub fn set_count(&mut self, lifecycle: Lifecycle, count: Count) {
        self.by_lifecycle[lifecycle as usize] = count;
    }

    /// Puts down what a store keeps of a day.
    pub fn set_day(&mut self, day: i64, turns: DayTurns) {
        self.days.insert(day, turns);
    }

    fn change(&mut self, before: Option<&Standing<'_>>, after: Option<&Standing<'_>>) {
        let sides = [(before, -1), (after, 1)];
        for (standing, times) in sides {
            if let Some(it) = standing {
                self.by_lifecycle[it.lifecycle as usize].add(it.count, times);
            }
        }
        // Most changes are a device's, and move no day.
        if before.map(|it| it.turns) == after.map(|it| it.turns) {
            return;
        }
        for (standing, times) in sides {
            let turns = standing.map(|it| it.turns).unwrap_or_default();
            if let Some(day) = turns.starts {
                self.days.entry(day).or_default().starts += times;
            }
            if let Some(day) = turns.ends {
                self.days.entry(day).or_default().ends += times;
            }
        }
    }

    /// The same without what is zero; none where nothing is left.
    fn without_zeros(mut self) -> Option<Self> {
        self.days.retain(|_, turns| *turns != DayTurns::default());
        (self != Self::default()).then_some(self)
    }
}

/// The days on which a license turns, if its lifecycle is `active`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Turns {
    starts: Option<i64>,
    ends: Option<i64>,
}

/// All that totals see of a license.
#[derive(Debug, PartialEq, Eq)]
struct Standing<'s> {
    customer: Option<&'s str>,
    product: Option<&'s str>,
    plan: Option<&'s str>,
    lifecycle: Lifecycle,
    count: Count,
    turns: Turns,
}

impl<'s> Standing<'s> {
    fn of(state: &'s LicenseState) -> Self {
        let plan = state.plan.as_ref().map(|it| &it.value);
        let issue = state.issue.as_ref().map(|it| &it.value);
        let lifecycle = state.lifecycle();
        let turns = match lifecycle {
            Lifecycle::Active => {
                let ends = state.expires_at();
                let starts =
                    issue.map(|it| ends.map_or(it.valid_from, |end| end.min(it.valid_from)));
                Turns {
                    starts: starts.map(day_of),
                    ends: ends.map(day_of),
                }
            }
            Lifecycle::Unknown | Lifecycle::Suspended | Lifecycle::Revoked => Turns::default(),
        };
        Self {
            customer: state.customer.as_ref().map(|it| &*it.value),
            product: issue.map(|it| it.product_id.as_str()),
            plan: plan.map(|it| it.plan.as_str()),
            lifecycle,
            count: Count {
                licenses: 1,
                seats: plan.map_or(0, |it| i64::from(it.seats)),
                seats_used: state.seats_used,
            },
            turns,
        }
    }

    fn name(&self, dimension: Dimension) -> Option<&'s str> {
        match dimension {
            Dimension::Tenant => Some(""),
            Dimension::Customer => self.customer,
            Dimension::Product => self.product,
            Dimension::Plan => self.plan,
        }
    }
}

/// What a batch changes about totals, added up over its licenses.
#[derive(Debug, Default)]
pub struct TotalsChange {
    groups: HashMap<Group, GroupTotals, RandomState>,
}

impl TotalsChange {
    /// Takes in one license, as it was and as it is; none: it was not there.
    pub fn license(
        &mut self,
        tenant_id: &str,
        before: Option<&LicenseState>,
        after: Option<&LicenseState>,
    ) {
        let (before, after) = (before.map(Standing::of), after.map(Standing::of));
        if before == after {
            return;
        }
        for dimension in Dimension::ALL {
            let was = before.as_ref().and_then(|it| it.name(dimension));
            let is = after.as_ref().and_then(|it| it.name(dimension));
            if let Some(name) = is {
                let same = before.as_ref().filter(|_| was == is);
                self.group(tenant_id, dimension, name)
                    .change(same, after.as_ref());
            }
            if let Some(name) = was.filter(|_| was != is) {
                self.group(tenant_id, dimension, name)
                    .change(before.as_ref(), None);
            }
        }
    }

    /// What changed, without what comes to nothing, in the order of the groups.
    #[must_use]
    pub fn into_groups(self) -> BTreeMap<Group, GroupTotals> {
        let groups = self.groups.into_iter();
        groups
            .filter_map(|(group, totals)| Some((group, totals.without_zeros()?)))
            .collect()
    }

    fn group(&mut self, tenant_id: &str, dimension: Dimension, name: &str) -> &mut GroupTotals {
        let named = Named {
            tenant_id,
            dimension,
            name,
        };
        match self.groups.entry_ref(&named) {
            EntryRef::Occupied(known) => known.into_mut(),
            EntryRef::Vacant(new) => {
                let group = Group {
                    tenant_id: tenant_id.to_owned(),
                    dimension,
                    name: name.to_owned(),
                };
                new.insert_entry_with_key(group, GroupTotals::default())
                    .into_mut()
            }
        }
    }
}

/// Sums over the days of a group, as seen from a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DaySums {
    /// How many licenses end on that time's day or before.
    pub ended: i64,
    /// How many licenses start on a later day.
    pub to_start: i64,
    /// How many licenses start or end on that very day; where none do, there is none to turn back.
    pub turning: i64,
}

impl DaySums {
    /// The sums over these days, for a store that does not add them up itself.
    #[must_use]
    pub fn of(days: impl IntoIterator<Item = (i64, DayTurns)>, at: i64) -> Self {
        let today = day_of(at);
        let mut sums = Self::default();
        for (day, turns) in days {
            if day <= today {
                sums.ended += turns.ends;
            } else {
                sums.to_start += turns.starts;
            }
            if day == today {
                sums.turning += turns.starts + turns.ends;
            }
        }
        sums
    }
}

/// A group's totals at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    by_lifecycle: [Count; 4],
    by_status: [i64; 6],
}

impl Totals {
    /// The totals at the last instant of a day, from what is kept.
    #[must_use]
    pub fn at_day_end(counts: impl IntoIterator<Item = (Lifecycle, Count)>, sums: DaySums) -> Self {
        let mut totals = Self::default();
        for (lifecycle, count) in counts {
            totals.by_lifecycle[lifecycle as usize].add(count, 1);
        }
        let licenses = |lifecycle: Lifecycle| totals.by_lifecycle[lifecycle as usize].licenses;
        for status in Status::ALL {
            totals.by_status[status as usize] = match status {
                Status::Unknown => licenses(Lifecycle::Unknown),
                Status::Suspended => licenses(Lifecycle::Suspended),
                Status::Revoked => licenses(Lifecycle::Revoked),
                Status::Expired => sums.ended,
                Status::Pending => sums.to_start,
                Status::Active => licenses(Lifecycle::Active) - sums.ended - sums.to_start,
            };
        }
        totals
    }

    /// Takes back what becomes of a license with lifecycle `active` between a time and the end of that
    /// day. Each license whose `valid_from` or `expires_at` lies between them is given once; what others
    /// are given changes nothing.
    pub fn turn_back(&mut self, valid_from: Option<i64>, expires_at: Option<i64>, at: i64) {
        let status = |at: i64| Status::at(Lifecycle::Active, valid_from, expires_at, at);
        self.by_status[status(day_end(at)) as usize] -= 1;
        self.by_status[status(at) as usize] += 1;
    }

    /// How many licenses have a status.
    #[must_use]
    pub fn of_status(&self, status: Status) -> i64 {
        self.by_status[status as usize]
    }

    /// How many licenses have a lifecycle, and the sums over them.
    #[must_use]
    pub fn of_lifecycle(&self, lifecycle: Lifecycle) -> Count {
        self.by_lifecycle[lifecycle as usize]
    }

    /// Over all lifecycles.
    #[must_use]
    pub fn all(&self) -> Count {
        let mut sum = Count::default();
        for count in self.by_lifecycle {
            sum.add(count, 1);
        }
        sum
    }
}

#[cfg(test)]
mod tests;
