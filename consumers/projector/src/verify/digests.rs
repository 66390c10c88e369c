//! Folding the log anew, on its own, and comparing: what `licenseflow verify` and the gate of a replay
//! stand on.
//!
//! It shares the judgement of records with the loop and nothing else: the fold is the naive one.

use std::collections::BTreeMap;

use licenseflow_avro::judgement::{Schemas, judge};
use licenseflow_avro::{Coordinates, LicenseEvent, Position, RawRecord};
use licenseflow_core::{Buckets, Fate, naive};

use crate::fate::of_judgement;
use crate::{Error, Result};

/// What a read model says of itself, read in one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands.
    pub position: Position,
    /// Its digest, in buckets.
    pub buckets: Buckets,
}

/// What the comparison gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether the digests are the same.
    pub equal: bool,
    /// The digest of the log, folded anew.
    pub expected: String,
    /// The digest that the store has.
    pub found: String,
    /// The position at which they were compared.
    pub position: Position,
    /// The buckets that differ, in order.
    pub buckets_that_differ: Vec<u8>,
    /// Records that were read.
    pub records: u64,
    /// Records that were accepted.
    pub accepted: u64,
}

/// Folds `records`, which are those of both lanes below the stored position, in any order, and
/// compares. `progress` is told the number of records now and then.
///
/// # Errors
/// From the log; [`Error::Schemas`] where a schema cannot be had now.
pub fn verify(
    records: impl IntoIterator<Item = licenseflow_kafka::Result<RawRecord>>,
    schemas: &dyn Schemas,
    max_future_skew_micros: i64,
    stored: &Stored,
    mut progress: impl FnMut(u64),
) -> Result<Report> {
    let mut read = 0;
    let mut accepted: Vec<(Coordinates, LicenseEvent)> = Vec::new();
    for record in records {
        let record = record?;
        read += 1;
        if read % PROGRESS_EVERY == 0 {
            progress(read);
        }
        let judged = judge(&record, schemas, max_future_skew_micros);
        match (of_judgement(&judged), judged) {
            (Fate::Apply | Fate::Duplicate, Ok(event)) => accepted.push((record.at, event)),
            (Fate::Hold(_), Err(licenseflow_avro::judgement::Verdict::Away(away))) => {
                return Err(Error::Schemas(away));
            }
            (
                Fate::Apply
                | Fate::Duplicate
                | Fate::Retry(_)
                | Fate::Hold(_)
                | Fate::Reject(_)
                | Fate::Halt(_),
                _,
            ) => {}
        }
    }
    progress(read);
    let accepted_count = accepted.len() as u64;
    Ok(compared(
        &naive::fold(accepted),
        stored,
        (read, accepted_count),
    ))
}

const PROGRESS_EVERY: u64 = 10_000;

fn compared(model: &naive::NaiveModel, stored: &Stored, (records, accepted): (u64, u64)) -> Report {
    let found: BTreeMap<u8, u128> = stored
        .buckets
        .iter()
        .map(|(bucket, sum)| (bucket, sum.0))
        .collect();
    let of = |buckets: &BTreeMap<u8, u128>, bucket| buckets.get(&bucket).copied().unwrap_or(0);
    let differ = (0..=u8::MAX).filter(|bucket| of(&model.buckets, *bucket) != of(&found, *bucket));
    let buckets_that_differ: Vec<u8> = differ.collect();
    Report {
        equal: buckets_that_differ.is_empty(),
        expected: model.digest(),
        found: stored.buckets.text(),
        position: stored.position.clone(),
        buckets_that_differ,
        records,
        accepted,
    }
}
