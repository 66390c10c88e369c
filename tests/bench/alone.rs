//! What the projector does without a broker: judging and folding alone, and writing alone.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use licenseflow_avro::judgement::{Verdict, judge};
use licenseflow_avro::{LicenseKey, RawRecord};
use licenseflow_core::batch::Envelope;
use licenseflow_core::fold::{Settled, fold as fold_one};
use licenseflow_core::{Batch, LicensePast};
use licenseflow_projector::Settings;
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{ReadModel, SqliteModel};
use licenseflow_tests::harness::Folder;

use crate::Options;
use crate::meter::{Measured, Meter};
use crate::sample::{OneSchema, record};

/// Five minutes, as the platform has it.
const SKEW_MICROS: i64 = 300_000_000;

/// Records that are made at a time, so that they need not all be in memory.
const RECORDS_A_TURN: usize = 4096;

/// Judging, grouping and folding, from records in memory to states in memory.
pub(crate) fn fold(options: &Options) -> anyhow::Result<Measured> {
    let mut batches = Batches::new(options)?;
    let mut folding = Meter::default();
    let mut pasts: HashMap<Arc<LicenseKey>, LicensePast> = HashMap::new();
    while let Some(batch) = batches.next()? {
        folding.count(|| {
            for (key, packed) in batch.licenses {
                let of_license = packed.unpack(&key).unwrap_or_default();
                let past = pasts.entry(key.clone()).or_default();
                let change = fold_one(Settled::of(key, of_license, past), past, None);
                past.state = Some(change.state);
                past.digest = Some(change.state_digest);
                for (device_id, device) in change.devices {
                    past.devices
                        .extend(device.map(|device| (device_id, device)));
                }
                for (metric, sum) in change.usage {
                    past.usage.extend(sum.map(|sum| (metric, sum)));
                }
            }
        });
    }
    let both = folding.and(batches.judging);
    both.measured(options.events, batches.bytes)
}

/// The store's transaction, over batches as large as the projector's.
pub(crate) fn store(options: &Options) -> anyhow::Result<Measured> {
    let folder = Folder::new("bench")?;
    let cache_mib = options.shares().store_cache_bytes >> 20;
    let path = folder.path().join("licenseflow.db");
    let mut model = SqliteModel::open(
        &path,
        SqliteOptions {
            cache_mib,
            ..SqliteOptions::default()
        },
    )?;
    let mut batches = Batches::new(options)?;
    let mut writing = Meter::default();
    while let Some(batch) = batches.next()? {
        writing.count(|| model.apply(batch, 1))?;
    }
    writing.measured(options.events, batches.bytes)
}

/// The records, judged and grouped into batches as large as the projector's.
struct Batches<'o> {
    options: &'o Options,
    schemas: OneSchema,
    numbers: Range<u64>,
    judging: Meter,
    bytes: u64,
}

impl<'o> Batches<'o> {
    fn new(options: &'o Options) -> anyhow::Result<Self> {
        Ok(Self {
            options,
            schemas: OneSchema::new()?,
            numbers: 0..options.events,
            judging: Meter::default(),
            bytes: 0,
        })
    }

    fn next(&mut self) -> anyhow::Result<Option<Batch>> {
        let mut batch = Batch::default();
        let full = Settings::default().batch_records_max;
        while batch.records < full && batch.bytes < self.options.shares().batch_bytes {
            let numbers = self.numbers.by_ref().take(RECORDS_A_TURN);
            let Options {
                licenses, headers, ..
            } = *self.options;
            let records: Vec<_> = numbers
                .map(|number| record(number, licenses, headers))
                .collect();
            if records.is_empty() {
                break;
            }
            self.bytes += records
                .iter()
                .map(|record| record.size() as u64)
                .sum::<u64>();
            let schemas = &self.schemas;
            self.judging.count(|| {
                let mut records = records.into_iter();
                records.try_for_each(|record| accept(&mut batch, record, schemas))
            })?;
        }
        Ok((batch.records > 0).then_some(batch))
    }
}

fn accept(batch: &mut Batch, record: RawRecord, schemas: &OneSchema) -> anyhow::Result<()> {
    let event = judge(&record, schemas, SKEW_MICROS).map_err(|verdict| match verdict {
        Verdict::Fault(fault) => anyhow::anyhow!("{fault}"),
        Verdict::Away(away) => anyhow::anyhow!("{away}"),
    })?;
    batch.accept(record.at, Envelope::of(&record.headers), &event);
    Ok(())
}
