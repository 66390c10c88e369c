//! A page of a request's journey: what its records became.
//!
//! | a record | became |
//! |---|---|
//! | has a row among the rejected, by its coordinates | rejected |
//! | says a heartbeat | a heartbeat |
//! | has the coordinates of its event in the timeline | the event |
//! | has the content of one of its event's conflicts | rejected, as the least record with that content |
//! | none of these | a duplicate |
//!
//! Each line is asked once for the whole page, since every question is a way to the server and back.

use std::collections::HashMap;
use std::pin::pin;

use futures::TryStreamExt;
use licenseflow_avro::EventKind;
use licenseflow_core::batch::content_hash;
use uuid::Uuid;

use super::{Snapshot, Values};
use crate::Error;
use crate::columns::{Columns, coordinates, event_hash, lane_number, needed};
use crate::journey::StoredEntry;
use crate::lookup::{JourneyOutcome, JourneyQuery, JourneyStep, Page, RecordPlace, Retried};
use crate::page::page_of;
use crate::request::{Gathered, place, rejection};
use crate::waiting::retried;

impl Snapshot<'_> {
    pub(super) async fn journey(
        &self,
        asked: &JourneyQuery,
    ) -> Result<Page<JourneyStep, RecordPlace>, Error> {
        let mut gathered = Gathered::new(asked);
        for hash in Gathered::hashes(asked, self.hash_seed) {
            let sql =
                "select batch, request_id, entries from journey where tenant_id = $1 and hash = $2";
            let rows = self.stream(sql, &[&asked.tenant_id, &hash]).await?;
            let mut rows = pin!(rows);
            while let Some(row) = rows.try_next().await? {
                gathered.take(&row)?;
            }
        }
        let found = gathered.into_entries();
        let mut retried = self.retried(&found).await?;
        let firsts = retried.values().map(|it| it.first);
        let places: Vec<RecordPlace> = found
            .iter()
            .map(|(_, entry)| place(&entry.at))
            .chain(firsts)
            .collect();
        let (applied, rejected, said) = tokio::try_join!(
            biased;
            self.applied(&found),
            self.rejected(&places),
            self.said(&asked.tenant_id, &found)
        )?;
        let steps = found.into_iter().map(|(batch, entry)| {
            let applied_at = applied.get(&batch).copied();
            let retried = retried.remove(&place(&entry.at));
            let of_the_first = || rejected.get(&retried.as_ref()?.first);
            let rejected = rejected.get(&place(&entry.at)).or_else(of_the_first);
            Ok(JourneyStep {
                at: entry.at,
                received_at: entry.received_at,
                batch,
                applied_at: applied_at.ok_or_else(|| Error::broken(format!("no batch {batch}")))?,
                outcome: match rejected {
                    Some(rejected) => rejected.clone(),
                    None => said.outcome(&entry)?,
                },
                said: entry.said,
                retried,
            })
        });
        let steps = steps.collect::<Result<Vec<JourneyStep>, Error>>()?;
        Ok(page_of(steps, asked.limit.max(1), |step: &JourneyStep| {
            place(&step.at)
        }))
    }

    /// When each batch was applied.
    async fn applied(&self, found: &[(i64, StoredEntry)]) -> Result<HashMap<i64, i64>, Error> {
        let batches: Vec<i64> = found.iter().map(|(batch, _)| *batch).collect();
        let sql = "select number, applied_at_ms from batch where number = any($1)";
        let rows = self.rows(sql, &[&batches]).await?;
        let times = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        times.collect()
    }

    /// The tries before records, where these are the last of several.
    async fn retried(
        &self,
        found: &[(i64, StoredEntry)],
    ) -> Result<HashMap<RecordPlace, Retried>, Error> {
        let places: Vec<RecordPlace> = found.iter().map(|(_, entry)| place(&entry.at)).collect();
        let (lanes, partitions, offsets) = columns(&places);
        let sql = "select lane, partition, log_offset, attempt, since_ms, reason, settled_offset \
             from unnest($1::smallint[], $2::integer[], $3::bigint[]) as asked (lane, partition, settled_offset) \
             join waiting using (lane, partition, settled_offset)";
        let mut found = HashMap::new();
        for row in self.rows(sql, &[&lanes, &partitions, &offsets]).await? {
            let retried = retried(&row)?;
            let (lane, partition, _) = retried.first;
            found.insert((lane, partition, needed(row.integer(6)?)?), retried);
        }
        Ok(found)
    }

    /// The records that were rejected, by their coordinates.
    async fn rejected(
        &self,
        places: &[RecordPlace],
    ) -> Result<HashMap<RecordPlace, JourneyOutcome>, Error> {
        let (lanes, partitions, offsets) = columns(places);
        let sql = "select reason, error, sent_at_ms, timestamp_ms, lane, partition, log_offset \
             from unnest($1::smallint[], $2::integer[], $3::bigint[]) as asked (lane, partition, log_offset) \
             join rejected using (lane, partition, log_offset) order by rejected.id desc";
        let mut rejected = HashMap::new();
        for row in self.rows(sql, &[&lanes, &partitions, &offsets]).await? {
            // The first row of a record speaks for it, so it is put in last.
            rejected.insert(place(&coordinates(&row, 3)?), rejection(&row)?);
        }
        Ok(rejected)
    }

    /// What the store knows of the events that these records say.
    async fn said(&self, tenant_id: &str, found: &[(i64, StoredEntry)]) -> Result<Said, Error> {
        let said = || found.iter().filter_map(|(_, entry)| entry.said.as_ref());
        let ids: Vec<&str> = said().map(|(license_id, ..)| license_id.as_str()).collect();
        let sql = "select found.* from unnest($2::text[]) as asked (id), lateral \
             (select license_id, number from license \
             where tenant_id = $1 and license_id = asked.id limit 1) as found";
        let mut numbers = HashMap::new();
        for row in self.rows(sql, &[&tenant_id, &ids]).await? {
            numbers.insert(row.try_get::<_, String>(0)?, row.try_get::<_, i64>(1)?);
        }
        let asked = said().filter_map(|(license_id, event_id, _)| {
            let number = numbers.get(license_id)?;
            Some((*number, event_hash(*event_id, self.hash_seed), *event_id))
        });
        let asked: Vec<(i64, i64, Uuid)> = asked.collect();
        let licenses: Vec<i64> = asked.iter().map(|(number, ..)| *number).collect();
        let hashes: Vec<i64> = asked.iter().map(|(_, hash, _)| *hash).collect();
        let events: Vec<Uuid> = asked.iter().map(|(.., event_id)| *event_id).collect();
        let timeline = "select license, event_id, timestamp_ms, lane, partition, log_offset \
             from unnest($2::bigint[], $3::bigint[], $4::uuid[]) as asked (license, hash, event_id) \
             join timeline using (license, hash, event_id) where tenant_id = $1";
        let conflicts = "select reason, error, sent_at_ms, license, event_id, body \
             from unnest($2::bigint[], $3::uuid[]) as asked (license, event_id) \
             join rejected using (license, event_id) where tenant_id = $1";
        let by_hash: Values<'_> = &[&tenant_id, &licenses, &hashes, &events];
        let by_id: Values<'_> = &[&tenant_id, &licenses, &events];
        let (of_timeline, of_rejected) =
            tokio::try_join!(biased; self.rows(timeline, by_hash), self.rows(conflicts, by_id))?;
        let mut said = Said {
            numbers,
            ..Said::default()
        };
        for row in &of_timeline {
            let event = (row.try_get(0)?, row.try_get(1)?);
            said.events.insert(event, place(&coordinates(row, 2)?));
        }
        for row in &of_rejected {
            let content = content_hash(needed(row.bytes(5)?)?);
            let conflict = (row.try_get(3)?, row.try_get(4)?, content);
            said.conflicts.insert(conflict, rejection(row)?);
        }
        Ok(said)
    }
}

/// Places as the columns of a question.
fn columns(places: &[RecordPlace]) -> (Vec<i16>, Vec<i32>, Vec<i64>) {
    let lanes = places.iter().map(|(lane, ..)| lane_number(*lane) as i16);
    let partitions = places.iter().map(|(_, partition, _)| *partition);
    let offsets = places.iter().map(|(.., offset)| *offset);
    (lanes.collect(), partitions.collect(), offsets.collect())
}

/// What the store knows of the events that a page's records say.
#[derive(Default)]
struct Said {
    /// The licenses' numbers by their ids.
    numbers: HashMap<String, i64>,
    /// Where the event of a license's number and an event id lies.
    events: HashMap<(i64, Uuid), RecordPlace>,
    /// The open conflicts of a license's number, an event id and a content: the letter of each speaks
    /// for every record of that content.
    conflicts: HashMap<(i64, Uuid, u64), JourneyOutcome>,
}

impl Said {
    /// What became of a record that has no row of its own among the rejected.
    fn outcome(&self, entry: &StoredEntry) -> Result<JourneyOutcome, Error> {
        let (license_id, event_id, kind) = entry
            .said
            .as_ref()
            .ok_or_else(|| Error::broken("a record that says nothing and was not rejected"))?;
        if *kind == EventKind::DeviceHeartbeat {
            return Ok(JourneyOutcome::Heartbeat);
        }
        let Some(number) = self.numbers.get(license_id) else {
            return Ok(JourneyOutcome::Duplicate);
        };
        if self.events.get(&(*number, *event_id)) == Some(&place(&entry.at)) {
            return Ok(JourneyOutcome::Applied);
        }
        let conflict = self.conflicts.get(&(*number, *event_id, entry.content));
        Ok(conflict.cloned().unwrap_or(JourneyOutcome::Duplicate))
    }
}
