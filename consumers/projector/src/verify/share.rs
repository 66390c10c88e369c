//! What the kept sums have of one license: what is kept, less what the rows of all others give.
//!
//! Where a row was changed by hand the sums are right and the row is not, and where the projector went on from
//! such a row neither may be. So nothing is taken from the license's own rows. What is found here stays so
//! while batches are about other licenses, whose rows and sums change alike: it need not be found under a lock.

use std::collections::{BTreeSet, HashMap};

use licenseflow_avro::{EventKind, LicenseKey};
use licenseflow_core::digest::bucket_of;
use licenseflow_core::totals::TotalsChange;
use licenseflow_core::{LicenseState, RowDigest};
use licenseflow_store::Audited;
use licenseflow_store::audit::{Numbers, StoredRow, What, numbers_of};

use super::numbers;
use super::whole::Progress;
use crate::Result;

/// What the kept sums have of a license.
pub(crate) struct Share {
    digest: RowDigest,
    numbers: Numbers,
}

const PROGRESS_EVERY: u64 = 10_000;

impl Share {
    /// Reads the rows of all others. Only these numbers are looked at.
    pub(crate) fn of(
        key: &LicenseKey,
        counted_in: &BTreeSet<What>,
        audited: &mut dyn Audited,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self> {
        let bucket = bucket_of(key);
        let kept = audited.kept()?;
        let kept = kept.iter().find(|(of, _)| *of == bucket);
        let mut share = Self {
            digest: kept.map_or_else(RowDigest::default, |(_, sum)| sum),
            numbers: Numbers::new(),
        };
        audited.numbers(&mut |what, values| {
            if counted_in.contains(&what) {
                numbers::add(&mut share.numbers, what, values);
            }
            Ok(())
        })?;
        let mut others = Others::new(key, counted_in, progress);
        audited.rows_in(&|_| true, &mut |of, row| {
            others.row(of, &row);
            Ok(())
        })?;
        audited.timeline(&mut |of, event| {
            others.read();
            if of.tenant_id == key.tenant_id
                && of != key
                && let Some(Ok(event)) = event.event(of)
                && !others.voids(of, &event)
            {
                others.event(event.occurred_at, event.payload.kind());
            }
            Ok(())
        })?;
        share.digest = share.digest.minus(others.digest);
        for (what, [first, second, third]) in others.numbers() {
            numbers::add(&mut share.numbers, what, [-first, -second, -third]);
        }
        Ok(share)
    }

    /// What is to be added to the kept sums, so that they have this of the license instead.
    pub(crate) fn correction(&self, digest: RowDigest, numbers: &Numbers) -> (RowDigest, Numbers) {
        let mut correction = numbers.clone();
        for (what, [first, second, third]) in &self.numbers {
            let values = [-first, -second, -third];
            numbers::add(&mut correction, what.clone(), values);
        }
        correction.retain(|_, values| *values != [0; 3]);
        (digest.minus(self.digest), correction)
    }
}

/// What the rows of all others give.
struct Others<'a> {
    key: &'a LicenseKey,
    bucket: u8,
    counted_in: &'a BTreeSet<What>,
    digest: RowDigest,
    totals: Numbers,
    /// Of licenses of the tenant that have any.
    voids: HashMap<LicenseKey, LicenseState>,
    /// When events happened that the license is counted with, by day and by minute.
    times: BTreeSet<(i64, EventKind)>,
    events: HashMap<What, i64>,
    read: u64,
    progress: &'a mut dyn FnMut(Progress),
}

impl<'a> Others<'a> {
    fn new(
        key: &'a LicenseKey,
        counted_in: &'a BTreeSet<What>,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let days = counted_in.iter().filter_map(|what| match what {
            What::EventDay { day, kind, .. } => {
                let mut all = EventKind::ALL.iter();
                Some((*day, *all.find(|it| it.name() == kind)?))
            }
            What::EventMinute { .. } | What::Total { .. } | What::TotalDay { .. } => None,
        });
        Self {
            key,
            bucket: bucket_of(key),
            times: days.collect(),
            counted_in,
            digest: RowDigest::default(),
            totals: Numbers::new(),
            voids: HashMap::new(),
            events: HashMap::new(),
            read: 0,
            progress,
        }
    }

    fn read(&mut self) {
        self.read += 1;
        if self.read.is_multiple_of(PROGRESS_EVERY) {
            (self.progress)(Progress::Rows(self.read));
        }
    }

    fn row(&mut self, of: &LicenseKey, row: &StoredRow) {
        self.read();
        if of == self.key {
            return;
        }
        if bucket_of(of) == self.bucket {
            self.digest = self.digest.plus(row.digest(of));
        }
        if let StoredRow::License(row) = row
            && of.tenant_id == self.key.tenant_id
        {
            self.license(of, &row.state);
        }
    }

    fn license(&mut self, of: &LicenseKey, state: &LicenseState) {
        let mut totals = TotalsChange::default();
        totals.license(&of.tenant_id, None, Some(state));
        for (what, values) in numbers_of(&totals.into_groups()) {
            if self.counted_in.contains(&what) {
                numbers::add(&mut self.totals, what, values);
            }
        }
        if !state.voids.is_empty() {
            let voids = LicenseState {
                voids: state.voids.clone(),
                ..LicenseState::default()
            };
            self.voids.insert(of.clone(), voids);
        }
    }

    fn voids(&self, of: &LicenseKey, event: &licenseflow_avro::LicenseEvent) -> bool {
        self.voids.get(of).is_some_and(|state| state.voids(event))
    }

    fn event(&mut self, occurred_at: i64, kind: EventKind) {
        let day = numbers::day_of(occurred_at);
        // Most events are of other days, and names are long.
        if !self.times.contains(&(day, kind)) {
            return;
        }
        for what in numbers::of_event(&self.key.tenant_id, occurred_at, kind) {
            if self.counted_in.contains(&what) {
                *self.events.entry(what).or_default() += 1;
            }
        }
    }

    fn numbers(self) -> Numbers {
        let events = self.events.into_iter();
        let events = events.map(|(what, count)| (what, [count, 0, 0]));
        self.totals.into_iter().chain(events).collect()
    }
}
