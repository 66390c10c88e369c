//! The letters of a license's records that are at fault by themselves, as they should be.
//!
//! Where a reason depends on when a record was read, or a record says that it is a try of another, the store alone
//! knows what became of it: those are left as they are.

use std::collections::{BTreeSet, HashMap};

use licenseflow_avro::LicenseKey;
use licenseflow_store::lookup::RecordPlace;

use super::fates::{Then, depends_on_when, fault_of_letter};
use super::letters::{Letter, Letters};
use super::reading::{Doubtful, Now, place};

/// What is to be done about letters.
#[derive(Debug, Default)]
pub(super) struct Mending {
    /// Where records lie whose letter is missing, or another.
    pub(super) put: BTreeSet<RecordPlace>,
    /// Where letters lie of which the log knows nothing.
    pub(super) gone: BTreeSet<RecordPlace>,
}

impl Mending {
    /// Of the records of one license.
    pub(super) fn of(
        key: &LicenseKey,
        doubtful: &HashMap<RecordPlace, Doubtful>,
        letters: &Letters,
    ) -> Self {
        let mut mending = Self::default();
        let own = doubtful
            .values()
            .filter(|it| it.license().as_ref() == Some(key) && it.try_of.is_none());
        for record in own {
            let place = place(&record.at);
            if mending.is_to_be_put(key, record, letters) {
                mending.put.insert(place);
            } else if let (Now::Accepted(_), Then::Rejected(letter)) =
                (&record.now, record.then(letters))
                && !depends_on_when(&letter.reason)
            {
                mending.gone.insert(place);
            }
        }
        for (place, letter) in &letters.rejected {
            if letter.names.as_ref() == Some(key) && !doubtful.contains_key(place) {
                mending.gone.insert(*place);
            }
        }
        mending
    }

    fn is_to_be_put(&self, key: &LicenseKey, record: &Doubtful, letters: &Letters) -> bool {
        let Now::Faulty { reason, .. } = record.now else {
            return false;
        };
        if depends_on_when(reason.name()) {
            return false;
        }
        match record.then(letters) {
            Then::Rejected(letter) => {
                !depends_on_when(&letter.reason)
                    && fault_of_letter(letter, record, reason, Some(key)).is_some()
            }
            Then::Nothing | Then::Event => true,
            Then::Waited(_) | Then::TryOf(_) => false,
        }
    }

    /// The letters as they are then.
    pub(super) fn done(
        &self,
        key: &LicenseKey,
        doubtful: &HashMap<RecordPlace, Doubtful>,
        letters: &Letters,
    ) -> Letters {
        let mut letters = letters.clone();
        for place in &self.gone {
            letters.rejected.remove(place);
        }
        let put = self.put.iter();
        for (place, record) in put.filter_map(|place| Some((place, doubtful.get(place)?))) {
            if let Now::Faulty { reason, .. } = &record.now {
                let letter = Letter {
                    at: record.at,
                    reason: reason.name().to_owned(),
                    names: Some(key.clone()),
                    content: record.content,
                };
                letters.rejected.insert(*place, letter);
            }
        }
        letters
    }

    /// Whether there is nothing to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.put.is_empty() && self.gone.is_empty()
    }
}
