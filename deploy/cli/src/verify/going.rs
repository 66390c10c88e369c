//! How far a verification is: first the records of the log, then the rows of the store.

use crate::progress::Shown;
use licenseflow_avro::Position;
use licenseflow_projector::verify::Progress;

/// What is shown of it.
pub(crate) struct Going {
    offsets: Option<u64>,
    records: Option<Shown>,
    rows: Option<Shown>,
}

impl Going {
    /// About so many records lie between where the generation begins and where it stands.
    pub(crate) fn of(begin: &Option<Position>, position: &Position) -> Self {
        let offsets = position.iter().map(|(lane, partition, next)| {
            let from = begin.as_ref().map_or(Some(0), |it| it.get(lane, partition));
            from.map_or(0, |from| (next - from).max(0))
        });
        Self {
            offsets: u64::try_from(offsets.sum::<i64>()).ok(),
            records: None,
            rows: None,
        }
    }

    /// It is that far.
    pub(crate) fn on(&mut self, progress: Progress) {
        let (shown, total, unit, done) = match progress {
            Progress::Records(done) => (&mut self.records, self.offsets, "records", done),
            Progress::Rows(done) => {
                self.records = None;
                (&mut self.rows, None, "rows", done)
            }
        };
        shown
            .get_or_insert_with(|| Shown::new(total, unit))
            .advanced(done);
    }
}
