//! Everything that was said of a license, for whoever asks what it was at another time.

use licenseflow_avro::LicenseKey;

use super::Snapshot;
use crate::Error;
use crate::lookup::{HISTORY_BYTES_MAX, History};
use crate::sqlite::rows::{TIMELINE_COLUMNS, recorded_event};

impl Snapshot<'_> {
    pub(super) fn history(
        &self,
        key: &LicenseKey,
        license: i64,
        limit: usize,
    ) -> Result<History, Error> {
        if self.has_more_events(license, limit)? {
            return Ok(History::default());
        }
        let sql = format!("select {TIMELINE_COLUMNS} from timeline where license = ?");
        let mut statement = self.rows.prepare_cached(&sql)?;
        let mut rows = statement.query([license])?;
        let (mut events, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            bytes += row.get_ref(6)?.as_blob().map_or(0, <[u8]>::len);
            if bytes > HISTORY_BYTES_MAX {
                return Ok(History::default());
            }
            events.push(recorded_event(row, 0, key)?);
        }
        Ok(History {
            events,
            is_whole: true,
        })
    }

    /// Counts in the index alone, and no further than needed: a history that is too long costs little.
    fn has_more_events(&self, license: i64, limit: usize) -> Result<bool, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.rows.prepare_cached(
            "select count(*) from (select 1 from timeline where license = ? limit ?)",
        )?;
        let counted: i64 =
            statement.query_row((license, limit.saturating_add(1)), |row| row.get(0))?;
        Ok(counted > limit)
    }
}
