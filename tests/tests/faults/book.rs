//! What was sent, and what was acknowledged: the producers' own account of it, kept apart from all that is
//! tested.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use licenseflow_tests::chance::Chance;

use crate::events::Event;

/// Where a record lies that was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    pub(crate) topic: String,
    pub(crate) partition: i64,
    pub(crate) offset: i64,
}

/// One license's events in the account.
#[derive(Debug, Default, Clone)]
pub(crate) struct Page {
    /// All that may be there.
    pub(crate) sent: BTreeSet<String>,
    /// All that must be there.
    pub(crate) acknowledged: BTreeSet<String>,
}

impl Page {
    /// What is wrong with a timeline of these events; none: nothing.
    pub(crate) fn wrong_in(&self, timeline: &[String]) -> Option<String> {
        let mut seen = BTreeSet::new();
        let twice: Vec<_> = timeline.iter().filter(|it| !seen.insert(*it)).collect();
        let missing = self.acknowledged.iter().filter(|it| !seen.contains(it));
        let missing: Vec<_> = missing.collect();
        let strange = seen.iter().filter(|it| !self.sent.contains(**it));
        let strange: Vec<_> = strange.collect();
        let is_clean = missing.is_empty() && twice.is_empty() && strange.is_empty();
        (!is_clean).then(|| format!("missing {missing:?}, twice {twice:?}, never sent {strange:?}"))
    }
}

#[derive(Debug, Default)]
struct Account {
    pages: BTreeMap<(String, String), Page>,
    /// Behind the last receipt of each partition, by the name that a position gives it.
    ends: HashMap<String, i64>,
    receipts: usize,
    again: usize,
    /// Answers that the contract does not know.
    surprises: Vec<String>,
}

/// The account of all producers.
#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<Account>);

impl Book {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before an event is sent for the first time.
    pub(crate) fn sends(&self, event: &Event) {
        if !event.is_heartbeat {
            let license = (event.tenant.clone(), event.license.clone());
            let mut account = self.account();
            let page = account.pages.entry(license).or_default();
            page.sent.insert(event.id.clone());
        }
    }

    /// Once it has a receipt.
    pub(crate) fn receives(&self, event: &Event, receipt: &Receipt) {
        let mut account = self.account();
        account.receipts += 1;
        if !event.is_heartbeat {
            let license = (event.tenant.clone(), event.license.clone());
            let page = account.pages.entry(license).or_default();
            page.acknowledged.insert(event.id.clone());
        }
        let end = account.ends.entry(named(receipt)).or_default();
        *end = (*end).max(receipt.offset + 1);
    }

    /// It was told to come again, or nothing at all.
    pub(crate) fn must_send_again(&self) {
        self.account().again += 1;
    }

    /// It was told what nobody should be told.
    pub(crate) fn is_surprised(&self, by: String) {
        self.account().surprises.push(by);
    }

    pub(crate) fn surprises(&self) -> Vec<String> {
        self.account().surprises.clone()
    }

    pub(crate) fn pages(&self) -> BTreeMap<(String, String), Page> {
        self.account().pages.clone()
    }

    /// Behind every receipt that was given so far.
    pub(crate) fn position(&self) -> String {
        position(&self.account().ends)
    }

    /// Receipts, and how often something was sent again.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let account = self.account();
        (account.receipts, account.again)
    }
}

/// Behind these receipts.
pub(crate) fn position_of(receipts: &[Receipt]) -> String {
    let mut ends = HashMap::new();
    for receipt in receipts {
        let end = ends.entry(named(receipt)).or_insert(0);
        *end = (*end).max(receipt.offset + 1);
    }
    position(&ends)
}

fn position(ends: &HashMap<String, i64>) -> String {
    let parts: Vec<String> = ends.iter().map(|(it, end)| format!("{it}:{end}")).collect();
    parts.join(",")
}

fn named(receipt: &Receipt) -> String {
    let is_bulk = receipt.topic.ends_with("license.events.bulk.v1");
    format!("{}:{}", if is_bulk { 'b' } else { 'e' }, receipt.partition)
}

/// A chance of its own for whoever works beside others.
pub(crate) fn chance_of(seed: u64, number: usize) -> Chance {
    Chance::new(seed.wrapping_mul(1000).wrapping_add(number as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &str) -> impl Iterator<Item = String> {
        ids.chars().map(|id| id.to_string())
    }

    #[test]
    fn what_is_missing_what_is_there_twice_and_what_nobody_sent_are_told() {
        let page = Page {
            sent: ids("abcd").collect(),
            acknowledged: ids("abc").collect(),
        };
        let wrong = |timeline| page.wrong_in(&ids(timeline).collect::<Vec<_>>());
        assert_eq!(wrong("cab"), None);
        assert_eq!(wrong("abcd"), None, "what had no answer may have arrived");
        let told = |what: &str| Some(what.to_owned());
        assert_eq!(
            wrong("ac"),
            told(r#"missing ["b"], twice [], never sent []"#)
        );
        assert_eq!(
            wrong("abca"),
            told(r#"missing [], twice ["a"], never sent []"#)
        );
        assert_eq!(
            wrong("abcx"),
            told(r#"missing [], twice [], never sent ["x"]"#)
        );
    }
}
