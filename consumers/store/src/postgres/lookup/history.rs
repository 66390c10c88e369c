//! Everything that was said of a license, for whoever asks what it was at another time.

use licenseflow_avro::LicenseKey;

use super::{Snapshot, at_most};
use crate::Error;
use crate::columns::{Columns, needed, recorded_event};
use crate::lookup::{HISTORY_BYTES_MAX, History};
use crate::postgres::rows::TIMELINE_COLUMNS;

impl Snapshot<'_> {
    pub(super) async fn history(
        &self,
        key: &LicenseKey,
        license: i64,
        limit: usize,
    ) -> Result<History, Error> {
        if self.is_too_long(key, license, limit).await? {
            return Ok(History::default());
        }
        let sql = format!(
            "select {TIMELINE_COLUMNS} from timeline where tenant_id = $1 and license = $2"
        );
        let rows = self.rows(&sql, &[&key.tenant_id, &license]).await?;
        let events = rows.iter().map(|row| recorded_event(row, 0, key));
        Ok(History {
            events: events.collect::<Result<_, Error>>()?,
            is_whole: true,
        })
    }

    /// Counts no further than needed, and reads no body: a history that is too long costs little.
    async fn is_too_long(
        &self,
        key: &LicenseKey,
        license: i64,
        limit: usize,
    ) -> Result<bool, Error> {
        let sql = "select count(*), coalesce(sum(length), 0)::bigint from \
             (select octet_length(body) as length from timeline \
             where tenant_id = $1 and license = $2 limit $3) as counted";
        let one_more = at_most(limit).saturating_add(1);
        let counted = self
            .row(sql, &[&key.tenant_id, &license, &one_more])
            .await?
            .ok_or_else(|| Error::broken("a count without a row"))?;
        let (events, bytes) = (needed(counted.integer(0)?)?, needed(counted.integer(1)?)?);
        Ok(events > at_most(limit) || bytes > at_most(HISTORY_BYTES_MAX))
    }
}
