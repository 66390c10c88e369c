//! Long timelines: the events of a license that has had many of them lie in their own order too.
//!
//! A timeline becomes a long one in the batch that crosses the bound, and stays one. New events are written
//! with where they stand; what was written before that, and what another EventVoided names, is put right
//! here.

use uuid::Uuid;

use super::change::Written;
use super::session::Work;
use crate::Error;
use crate::columns::event_hash;
use crate::head::Head;
use crate::timeline::{standing_of_row, voided_by};

/// What a timeline is after a batch.
#[derive(Debug)]
pub(crate) enum Timeline {
    /// A page looks at all of its events.
    Unordered,
    /// It was not in order before.
    BecomesOrdered,
    /// It was in order before; these ids are named by another EventVoided now.
    Ordered(Vec<(Uuid, Option<Uuid>)>),
}

impl Timeline {
    /// Whether new events are written with where they stand.
    pub(crate) fn is_ordered(&self) -> bool {
        match self {
            Self::Unordered => false,
            Self::BecomesOrdered | Self::Ordered(_) => true,
        }
    }
}

/// Keeps long timelines in order, after the batch's own events were written.
pub(crate) async fn keep(work: &Work<'_>, licenses: &[Written], seed: u64) -> Result<(), Error> {
    let mut named = Named::default();
    for license in licenses {
        match &license.timeline {
            Timeline::Unordered => {}
            Timeline::BecomesOrdered => begin(work, license).await?,
            Timeline::Ordered(changes) => {
                for (event_id, by) in changes {
                    named.tenants.push(license.tenant());
                    named.licenses.push(license.number);
                    named.hashes.push(event_hash(*event_id, seed));
                    named.ids.push(*event_id);
                    named.by.push(*by);
                }
            }
        }
    }
    void_again(work, &named).await
}

/// Says of every event that does not say it where it stands and what voids it.
async fn begin(work: &Work<'_>, license: &Written) -> Result<(), Error> {
    let (tenant, number) = (license.tenant(), license.number);
    let sql = format!(
        "select event_id, substring(body from 1 for {}), hash, seq from timeline
         where tenant_id = $1 and license = $2 and standing is null",
        Head::BYTES_MAX
    );
    let (mut hashes, mut seqs) = (Vec::<i64>::new(), Vec::<i64>::new());
    let (mut standings, mut by) = (Vec::new(), Vec::new());
    for row in work.rows(&sql, &[&tenant, &number]).await? {
        let (event_id, standing) = standing_of_row(&row, 0)?;
        hashes.push(row.try_get(2)?);
        seqs.push(row.try_get(3)?);
        standings.push(standing.to_vec());
        by.push(voided_by(&license.change.state, event_id));
    }
    if !seqs.is_empty() {
        let sql = "update timeline set standing = it.standing, voided_by = it.voided_by
             from unnest($3::bigint[], $4::bigint[], $5::bytea[], $6::uuid[])
               as it (hash, seq, standing, voided_by)
             where timeline.tenant_id = $1 and timeline.license = $2 and timeline.hash = it.hash
               and timeline.seq = it.seq";
        work.execute(sql, &[&tenant, &number, &hashes, &seqs, &standings, &by])
            .await?;
    }
    let sql = "update license set ordered = true where tenant_id = $1 and license_id = $2";
    let license_id = &license.change.key.license_id;
    work.execute(sql, &[&tenant, license_id]).await?;
    Ok(())
}

/// Ids that another EventVoided names than before, column by column.
#[derive(Default)]
struct Named<'a> {
    tenants: Vec<&'a str>,
    licenses: Vec<i64>,
    hashes: Vec<i64>,
    ids: Vec<Uuid>,
    by: Vec<Option<Uuid>>,
}

async fn void_again(work: &Work<'_>, named: &Named<'_>) -> Result<(), Error> {
    if named.ids.is_empty() {
        return Ok(());
    }
    let sql = "update timeline set voided_by = it.voided_by
         from unnest($1::text[], $2::bigint[], $3::bigint[], $4::uuid[], $5::uuid[])
           as it (tenant_id, license, hash, event_id, voided_by)
         where timeline.tenant_id = it.tenant_id and timeline.license = it.license
           and timeline.hash = it.hash and timeline.event_id = it.event_id";
    work.execute(
        sql,
        &[
            &named.tenants,
            &named.licenses,
            &named.hashes,
            &named.ids,
            &named.by,
        ],
    )
    .await?;
    Ok(())
}
