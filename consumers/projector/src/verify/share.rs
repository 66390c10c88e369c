//! What the kept sums have of one license: what is kept, less what the rows of all others give.
//!
//! Where a row was changed by hand the sums are right and the row is not, and where the projector went on from
//! such a row neither may be, nor what is counted under a name that stands in no row any more. So nothing is
//! taken from the license's own rows, and all of its tenant's numbers are looked at. What is found here stays so
//! while batches are about other licenses, whose rows and sums change alike: it need not be found under a lock.

use std::collections::HashMap;

use licenseflow_avro::{LicenseEvent, LicenseKey};
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
    /// The first minute that is kept.
    kept_from: i64,
}

const PROGRESS_EVERY: u64 = 10_000;

impl Share {
    /// Reads the rows of all others; minutes from `kept_from` on are kept.
    pub(super) fn of(
        key: &LicenseKey,
        kept_from: i64,
        audited: &mut dyn Audited,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self> {
        let bucket = bucket_of(key);
        let kept = audited.kept()?;
        let kept = kept.iter().find(|(of, _)| *of == bucket);
        let mut share = Self {
            digest: kept.map_or_else(RowDigest::default, |(_, sum)| sum),
            numbers: Numbers::new(),
            kept_from,
        };
        audited.numbers(&mut |what, values| {
            if what.tenant_id() == key.tenant_id && !is_past(&what, kept_from) {
                numbers::add(&mut share.numbers, what, values);
            }
            Ok(())
        })?;
        let mut others = Others {
            key,
            bucket,
            share: &mut share,
            voids: HashMap::new(),
            read: 0,
            progress,
        };
        audited.rows_in(&|_| true, &mut |of, row| {
            others.row(of, &row);
            Ok(())
        })?;
        audited.timeline(&mut |of, event| {
            others.count();
            if of.tenant_id == key.tenant_id
                && of != key
                && let Some(Ok(event)) = event.event(of)
            {
                others.event(of, &event);
            }
            Ok(())
        })?;
        share.numbers.retain(|_, values| *values != [0; 3]);
        Ok(share)
    }

    /// What is to be added to the kept sums, so that they have this of the license instead.
    pub(crate) fn correction(&self, digest: RowDigest, numbers: &Numbers) -> (RowDigest, Numbers) {
        let mut correction = numbers.clone();
        correction.retain(|what, _| !is_past(what, self.kept_from));
        for (what, values) in &self.numbers {
            numbers::add(&mut correction, what.clone(), values.map(|it| -it));
        }
        correction.retain(|_, values| *values != [0; 3]);
        (digest.minus(self.digest), correction)
    }

    fn take_away(&mut self, what: What, values: [i64; 3]) {
        if !is_past(&what, self.kept_from) {
            numbers::add(&mut self.numbers, what, values.map(|it| -it));
        }
    }
}

/// Whether it is of a minute that is not kept any more.
fn is_past(what: &What, kept_from: i64) -> bool {
    matches!(what, What::EventMinute { minute, .. } if *minute < kept_from)
}

/// The rows of all others, taken away from what is kept.
struct Others<'a> {
    key: &'a LicenseKey,
    bucket: u8,
    share: &'a mut Share,
    /// Of licenses of the tenant that have any.
    voids: HashMap<LicenseKey, LicenseState>,
    read: u64,
    progress: &'a mut dyn FnMut(Progress),
}

impl Others<'_> {
    fn count(&mut self) {
        self.read += 1;
        if self.read.is_multiple_of(PROGRESS_EVERY) {
            (self.progress)(Progress::Rows(self.read));
        }
    }

    fn row(&mut self, of: &LicenseKey, row: &StoredRow) {
        self.count();
        if of == self.key {
            return;
        }
        if bucket_of(of) == self.bucket {
            self.share.digest = self.share.digest.minus(row.digest(of));
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
            self.share.take_away(what, values);
        }
        if !state.voids.is_empty() {
            let voids = LicenseState {
                voids: state.voids.clone(),
                ..LicenseState::default()
            };
            self.voids.insert(of.clone(), voids);
        }
    }

    fn event(&mut self, of: &LicenseKey, event: &LicenseEvent) {
        if self.voids.get(of).is_some_and(|state| state.voids(event)) {
            return;
        }
        for what in numbers::of_event(&of.tenant_id, event.occurred_at, event.payload.kind()) {
            self.share.take_away(what, [1, 0, 0]);
        }
    }
}
