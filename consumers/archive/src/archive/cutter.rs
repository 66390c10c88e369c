//! Where one part ends and the next begins.

use std::collections::BTreeMap;
use std::sync::Arc;

use licenseflow_runtime::log::Record;

use super::{Run, compressing};
use crate::Result;
use crate::manifest::Holds;
use crate::part::PartBuilder;

/// Cuts the records of a partition into parts.
pub(super) struct Cutter {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) holds: Holds,
    /// Where the partition ends.
    pub(super) end: i64,
    pub(super) part_bytes: usize,
    /// Where parts were cut before that no manifest names: from, to.
    pub(super) unnamed: BTreeMap<i64, i64>,
    pub(super) open: Option<PartBuilder>,
}

impl Cutter {
    pub(super) fn begin(&mut self, from: i64) -> Result<()> {
        let builder = PartBuilder::begin(&self.topic, self.partition, from);
        self.open = Some(builder.map_err(compressing)?);
        Ok(())
    }

    /// Where the open part must end, whatever is in it.
    fn cut(&self) -> Option<i64> {
        let from = self.open.as_ref()?.from();
        let cut = self.unnamed.get(&from).copied();
        cut.filter(|to| (from + 1..=self.end).contains(to))
    }

    pub(super) fn take(&mut self, run: &mut Run<'_>, record: &Record) -> Result<()> {
        while let Some(cut) = self.cut().filter(|cut| record.offset >= *cut) {
            self.end_part(run, cut)?;
            self.begin(cut)?;
        }
        if record
            .headers
            .iter()
            .any(|header| header.name == "\u{FFFD}")
        {
            run.archived.unreadable_headers += 1;
        }
        let is_cut_later = self.cut().is_some();
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.push(record).map_err(compressing)?;
        if open.raw_bytes() >= self.part_bytes && !is_cut_later {
            let to = record.offset + 1;
            self.end_part(run, to)?;
            if to < self.end {
                self.begin(to)?;
            }
        }
        Ok(())
    }

    /// The partition was read to its end.
    pub(super) fn finish(mut self, run: &mut Run<'_>) -> Result<()> {
        while let Some(cut) = self.cut().filter(|cut| *cut < self.end) {
            self.end_part(run, cut)?;
            self.begin(cut)?;
        }
        self.end_part(run, self.end)
    }

    fn end_part(&mut self, run: &mut Run<'_>, to: i64) -> Result<()> {
        match self.open.take() {
            Some(open) => run.store(self.holds, open, to),
            None => Ok(()),
        }
    }
}
