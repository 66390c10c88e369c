//! Long timelines: the events of a license that has had many of them lie in their own order too.
//!
//! A timeline becomes a long one in the batch that crosses the bound, and stays one. New events are written
//! with where they stand; what was written before that, and what another EventVoided names, is put right
//! here.

use uuid::Uuid;

use super::change::Written;
use super::session::{Values, Work};
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

/// So many timelines become long ones in a part of a batch; the others do so in their next batch, and until
/// then a page looks at all of their events.
pub(crate) const BEGIN_AT_ONCE: usize = 64;

/// Keeps long timelines in order, after the batch's own events were written.
pub(crate) async fn keep(work: &Work<'_>, licenses: &[Written], seed: u64) -> Result<(), Error> {
    let (mut begun, mut named) = (Vec::new(), Named::default());
    for license in licenses {
        match &license.timeline {
            Timeline::Unordered => {}
            Timeline::BecomesOrdered => begun.push(license),
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
    begin(work, &begun).await?;
    void_again(work, &named).await
}

/// Where events stand and what voids them, column by column.
#[derive(Default)]
struct Standings<'a> {
    tenants: Vec<&'a str>,
    licenses: Vec<i64>,
    hashes: Vec<i64>,
    seqs: Vec<i64>,
    standings: Vec<Vec<u8>>,
    by: Vec<Option<Uuid>>,
}

/// Says of every event of these licenses that does not say it where it stands and what voids it.
async fn begin(work: &Work<'_>, licenses: &[&Written]) -> Result<(), Error> {
    if licenses.is_empty() {
        return Ok(());
    }
    let tenants: Vec<&str> = licenses.iter().map(|it| it.tenant()).collect();
    let said = unsaid(work, licenses, &tenants).await?;
    if !said.seqs.is_empty() {
        let sql =
            "update timeline set standing = it.standing, voided_by = it.voided_by
             from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::uuid[])
               as it (tenant_id, license, hash, seq, standing, voided_by)
             where timeline.tenant_id = it.tenant_id and timeline.license = it.license
               and timeline.hash = it.hash and timeline.seq = it.seq";
        let values: Values<'_> = &[
            &said.tenants,
            &said.licenses,
            &said.hashes,
            &said.seqs,
            &said.standings,
            &said.by,
        ];
        work.execute(sql, values).await?;
    }
    let keys = licenses.iter().map(|it| &it.change.key);
    let ids: Vec<&str> = keys.map(|key| key.license_id.as_str()).collect();
    let sql = "update license set ordered = true
         from unnest($1::text[], $2::text[]) as it (tenant_id, license_id)
         where license.tenant_id = it.tenant_id and license.license_id = it.license_id";
    work.execute(sql, &[&tenants, &ids]).await?;
    Ok(())
}

/// The events that do not say where they stand, as they are to say it.
async fn unsaid<'a>(
    work: &Work<'_>,
    licenses: &[&'a Written],
    tenants: &[&str],
) -> Result<Standings<'a>, Error> {
    let sql = format!(
        "select event_id, substring(body from 1 for {}), place, hash, seq
         from unnest($1::text[], $2::bigint[]) with ordinality as asked (tenant_id, license, place)
         join timeline on timeline.tenant_id = asked.tenant_id and timeline.license = asked.license
         where standing is null",
        Head::BYTES_MAX
    );
    let numbers: Vec<i64> = licenses.iter().map(|it| it.number).collect();
    let mut said = Standings::default();
    for row in work.rows(&sql, &[&tenants, &numbers]).await? {
        let (event_id, standing) = standing_of_row(&row, 0)?;
        let place: i64 = row.try_get(2)?;
        let license = usize::try_from(place - 1)
            .ok()
            .and_then(|it| licenses.get(it));
        let license = license.ok_or_else(|| Error::broken("a row that nobody asked for"))?;
        said.tenants.push(license.tenant());
        said.licenses.push(license.number);
        said.hashes.push(row.try_get(3)?);
        said.seqs.push(row.try_get(4)?);
        said.standings.push(standing.to_vec());
        said.by.push(voided_by(&license.change.state, event_id));
    }
    Ok(said)
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
