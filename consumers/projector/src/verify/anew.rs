//! One license folded anew from all its records in the log, to be written where it lies.
//!
//! Which of its records count is decided as a verification decides it, from what the store says became of those
//! in doubt: so what is written is what a verification expects. It is the projector's own fold that gives the
//! rows. Owns no position that is asked for and writes nothing.

use std::sync::Arc;

use licenseflow_avro::event::Payload;
use licenseflow_avro::judgement::Schemas;
use licenseflow_avro::{Coordinates, LicenseEvent, LicenseKey, Position};
use licenseflow_core::fold::fold_from_nothing;
use licenseflow_core::totals::TotalsChange;
use licenseflow_core::{LicenseBatch, LicenseChange, RecordedEvent};
use licenseflow_store::audit::{Numbers, StoredEvent, StoredLicense, numbers_of};
use licenseflow_store::rewrite::LettersAsTheyAre;
use licenseflow_store::{Audited, Error as StoreError};

use super::difference::Difference;
use super::fates::{Decided, decide};
use super::lanes::Lanes;
use super::letters::Letters;
use super::mending::Mending;
use super::numbers;
use super::reading::{Log, place};
use super::share::Share;
use super::whole::{Progress, Way};
use crate::Result;

/// What was read of the log for one license.
pub(crate) struct Anew<'s> {
    key: LicenseKey,
    log: Log<'s>,
    /// What the store said last became of records in doubt.
    letters: Letters,
    read_to: Position,
}

/// What the log gives of the license, and what was found beside it.
pub(crate) struct Folded {
    /// From nothing; none: the log has nothing of it.
    pub(crate) change: Option<LicenseChange>,
    /// What the log gives for the numbers that are kept.
    pub(crate) numbers: Numbers,
    /// Whether anything of it is stored.
    pub(crate) is_stored: bool,
    /// Letters of its records that are another, or missing, or too many.
    pub(crate) letters: LettersAsTheyAre,
    /// What no rewriting of the license puts right: letters that only the store knows the reason of, and records
    /// that wait.
    pub(crate) differences: Vec<Difference>,
}

impl<'s> Anew<'s> {
    /// Nothing is read yet.
    pub(crate) fn of(schemas: &'s dyn Schemas, key: &LicenseKey) -> Self {
        Self {
            key: key.clone(),
            log: Log::new(schemas, Way::Fast, Some(key.clone())),
            letters: Letters::default(),
            read_to: Position::default(),
        }
    }

    /// So many records were read.
    pub(crate) fn records(&self) -> u64 {
        self.log.read
    }

    /// What the kept sums have of the license, in this snapshot.
    pub(crate) fn share(
        &self,
        audited: &mut dyn Audited,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Share> {
        let kept_from = numbers::kept_from(self.log.newest_ms);
        Share::of(&self.key, kept_from, audited, progress)
    }

    /// Notes what of the log must be asked about, as the store has it now: before that is read.
    pub(crate) fn note(&mut self, audited: &mut dyn Audited) -> Result<()> {
        self.log.max_future_skew_micros = audited.at().max_future_skew_micros;
        self.letters = Letters::of_all(audited)?;
        self.log.watched.extend(self.letters.places());
        Ok(())
    }

    /// Reads on to a position; whether any of it may be about the license.
    pub(crate) fn read_to(
        &mut self,
        lanes: &dyn Lanes,
        to: &Position,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<bool> {
        if !to.covers(&self.read_to) {
            let why = "the read model went back while a license of it was rebuilt; try again";
            return Err(StoreError::Unusable(why.to_owned()).into());
        }
        if self.read_to.covers(to) {
            return Ok(false);
        }
        let before = (self.log.accepted, self.log.doubtful.len());
        let records = lanes.between(&self.read_to, to)?;
        self.log.read(records, progress)?;
        self.read_to.raise_to(to);
        Ok(before != (self.log.accepted, self.log.doubtful.len()))
    }

    /// Folds what was read, in the snapshot that was noted last, and up to whose position it was.
    pub(crate) fn fold(&self, audited: &mut dyn Audited) -> Result<Folded> {
        let stored = audited.license(&self.key)?;
        let (decided, letters) = self.decided(&stored);
        let mut batch = self.accepted()?;
        for counting in decided.counting {
            if counting.event.license_key() == self.key {
                self.take(&mut batch, counting.at, counting.event);
            }
        }
        let is_there = !batch.arrived.is_empty() || !batch.heartbeats.is_empty();
        let change = is_there.then(|| fold_from_nothing(Arc::new(self.key.clone()), batch));
        let numbers = change.as_ref().map(|it| self.numbers_of(it));
        let numbers = numbers.unwrap_or_default();
        let is_stored = !stored.rows.is_empty() || !stored.timeline.is_empty();
        let differences = decided.differences.into_iter();
        let own = differences.filter(|it| {
            it.tenant_id.as_ref() == Some(&self.key.tenant_id)
                && it.license_id.as_ref() == Some(&self.key.license_id)
        });
        Ok(Folded {
            change,
            numbers,
            is_stored,
            letters,
            differences: own.collect(),
        })
    }

    /// What came of the records in doubt, once their letters are as they should be. It may be decided again.
    fn decided(&self, stored: &StoredLicense) -> (Decided, LettersAsTheyAre) {
        let mut doubtful = self.log.doubtful.clone();
        for event in &stored.timeline {
            if let StoredEvent::Event { at, .. } = event
                && let Some(record) = doubtful.get_mut(&place(at))
                && let Some(Ok(said)) = event.event(&self.key)
            {
                record.in_timeline = Some((self.key.clone(), said));
            }
        }
        let mending = Mending::of(&self.key, &doubtful, &self.letters);
        if mending.is_empty() {
            return (decide(doubtful, &self.letters), LettersAsTheyAre::default());
        }
        let letters = mending.done(&self.key, &doubtful, &self.letters);
        let put = mending.put.iter();
        let put = put.filter_map(|place| self.log.faulty.get(place).cloned());
        let as_they_are = LettersAsTheyAre {
            put: put.collect(),
            gone: mending.gone.into_iter().collect(),
        };
        (decide(doubtful, &letters), as_they_are)
    }

    /// The records that count without a doubt.
    fn accepted(&self) -> Result<LicenseBatch> {
        let mut batch = LicenseBatch::default();
        let Some(license) = self.log.licenses.get(&self.key) else {
            return Ok(batch);
        };
        for record in &license.records {
            self.take(&mut batch, record.at, record.event(&self.key)?);
        }
        for (device_id, seen) in &license.beats {
            batch.heartbeats.insert(device_id.clone(), *seen);
        }
        Ok(batch)
    }

    fn take(&self, batch: &mut LicenseBatch, at: Coordinates, event: LicenseEvent) {
        if let Payload::DeviceHeartbeat(beat) = event.payload {
            let seen = batch.heartbeats.entry(beat.device_id);
            let seen = seen.or_insert(event.occurred_at);
            *seen = event.occurred_at.max(*seen);
            return;
        }
        batch.arrived.push(RecordedEvent {
            at,
            request_id: self.log.requests.get(&place(&at)).cloned(),
            event,
        });
    }

    fn numbers_of(&self, change: &LicenseChange) -> Numbers {
        let tenant_id = &self.key.tenant_id;
        let mut totals = TotalsChange::default();
        totals.license(tenant_id, None, Some(&change.state));
        let mut all = numbers_of(&totals.into_groups());
        for it in &change.counted {
            for what in numbers::of_event(tenant_id, it.occurred_at, it.kind) {
                numbers::add(&mut all, what, [it.by, 0, 0]);
            }
        }
        all
    }
}
