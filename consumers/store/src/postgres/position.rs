//! Where each partition stands, and the digest: what moves with a batch beside its rows.

use std::collections::{BTreeMap, BTreeSet};

use licenseflow_avro::Position;
use licenseflow_core::{RowDigest, Span};

use super::rejected::lane_column;
use super::session::{Values, Work};
use crate::read_model::{PartitionEnd, PartitionState};
use crate::standing::{bucket_sum, partition_state};
use crate::{Error, Ground};

/// Every partition that the generation knows.
pub(crate) async fn states(work: &Work<'_>, generation: i64) -> Result<Vec<PartitionState>, Error> {
    let sql = "select lane, partition, next_offset, last_timestamp_ms from position
         where generation = $1 order by lane, partition";
    let rows = work.rows(sql, &[&generation]).await?;
    rows.iter().map(partition_state).collect()
}

/// Keeps the log that is read where none is known, and holds it against the one that is.
pub(crate) async fn begin_on(work: &Work<'_>, ground: &Ground) -> Result<(), Error> {
    let sql =
        "insert into ground (number, cluster_id, topic) values (1, $1, $2) on conflict do nothing";
    work.execute(sql, &[&ground.cluster_id, &ground.topic])
        .await?;
    let rows = work
        .rows("select cluster_id, topic from ground", &[])
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| Error::broken("no log stands where one was written"))?;
    let kept = Ground {
        cluster_id: row.try_get(0)?,
        topic: row.try_get(1)?,
    };
    kept.check(ground)
}

/// Compare and set: a partition that does not stand at its span's `from` has another owner. Gives where all
/// partitions then stand.
pub(crate) async fn advance(
    work: &Work<'_>,
    generation: i64,
    spans: &[Span],
) -> Result<Position, Error> {
    let (moved, stand) = tokio::try_join!(
        biased;
        move_known(work, generation, spans),
        states(work, generation)
    )?;
    let unmoved = spans.iter().filter(|span| !moved.contains(&place(span)));
    let (new, fenced): (Vec<&Span>, Vec<&Span>) = unmoved.partition(|span| span.from == 0);
    let made = make_new(work, generation, &new).await?;
    let mut fenced = fenced
        .into_iter()
        .chain(new.into_iter().filter(|span| !made.contains(&place(span))));
    if let Some(span) = fenced.next() {
        return Err(Error::Fenced {
            lane: span.lane,
            partition: span.partition,
            expected: span.from,
        });
    }
    let each = stand.iter();
    let mut position: Position = each
        .map(|it| (it.lane, it.partition, it.next_offset))
        .collect();
    for span in spans {
        position.set(span.lane, span.partition, span.to);
    }
    Ok(position)
}

/// Lane and partition as their columns have them.
type Place = (i16, i32);

fn place(span: &Span) -> Place {
    (lane_column(span.lane), span.partition)
}

async fn move_known(work: &Work<'_>, generation: i64, spans: &[Span]) -> Result<Vec<Place>, Error> {
    let sql = "update position set next_offset = it.past,
           last_timestamp_ms = greatest(position.last_timestamp_ms, it.last_timestamp_ms)
         from unnest($2::smallint[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[])
           as it (lane, partition, stands_at, past, last_timestamp_ms)
         where generation = $1 and position.lane = it.lane and position.partition = it.partition
           and position.next_offset = it.stands_at
         returning position.lane, position.partition";
    let lanes: Vec<i16> = spans.iter().map(|span| lane_column(span.lane)).collect();
    let partitions: Vec<i32> = spans.iter().map(|span| span.partition).collect();
    let froms: Vec<i64> = spans.iter().map(|span| span.from).collect();
    let tos: Vec<i64> = spans.iter().map(|span| span.to).collect();
    let times: Vec<Option<i64>> = spans.iter().map(|span| span.last_timestamp).collect();
    let values: Values<'_> = &[&generation, &lanes, &partitions, &froms, &tos, &times];
    places(&work.rows(sql, values).await?)
}

/// Partitions that were never read: whoever makes the row first owns them.
async fn make_new(work: &Work<'_>, generation: i64, spans: &[&Span]) -> Result<Vec<Place>, Error> {
    if spans.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "insert into position (generation, lane, partition, next_offset, last_timestamp_ms)
         select $1::bigint, * from unnest($2::smallint[], $3::int[], $4::bigint[], $5::bigint[])
         on conflict do nothing returning lane, partition";
    let lanes: Vec<i16> = spans.iter().map(|span| lane_column(span.lane)).collect();
    let partitions: Vec<i32> = spans.iter().map(|span| span.partition).collect();
    let tos: Vec<i64> = spans.iter().map(|span| span.to).collect();
    let times: Vec<Option<i64>> = spans.iter().map(|span| span.last_timestamp).collect();
    let values: Values<'_> = &[&generation, &lanes, &partitions, &tos, &times];
    places(&work.rows(sql, values).await?)
}

fn places(rows: &[tokio_postgres::Row]) -> Result<Vec<Place>, Error> {
    let places = rows.iter();
    places
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// Has partitions begin there which the generation does not know yet.
pub(crate) async fn begin_at(
    work: &Work<'_>,
    generation: i64,
    begin: &Position,
) -> Result<(), Error> {
    for (lane, partition, next_offset) in begin.iter() {
        let sql = "insert into position (generation, lane, partition, next_offset)
             values ($1, $2, $3, $4) on conflict do nothing";
        let lane = lane_column(lane);
        work.execute(sql, &[&generation, &lane, &partition, &next_offset])
            .await?;
    }
    Ok(())
}

/// Notes the log's ends as they were last seen.
pub(crate) async fn note_ends(
    work: &Work<'_>,
    generation: i64,
    ends: &[PartitionEnd],
) -> Result<(), Error> {
    let last: BTreeMap<Place, (i64, i64)> = ends
        .iter()
        .map(|end| {
            let place = (lane_column(end.lane), end.partition);
            (place, (end.end_offset, end.seen_at))
        })
        .collect();
    let lanes: Vec<i16> = last.keys().map(|place| place.0).collect();
    let partitions: Vec<i32> = last.keys().map(|place| place.1).collect();
    let offsets: Vec<i64> = last.values().map(|end| end.0).collect();
    let times: Vec<i64> = last.values().map(|end| end.1).collect();
    let sql = "with it as materialized (
           select * from unnest($2::smallint[], $3::int[], $4::bigint[], $5::bigint[])
             as it (lane, partition, end_offset, seen_at_ms)),
         known as (
           update position set end_offset = it.end_offset,
             caught_up_at_ms = case when position.next_offset >= it.end_offset
               then greatest(position.caught_up_at_ms, it.seen_at_ms) else position.caught_up_at_ms end
           from it
           where generation = $1 and position.lane = it.lane and position.partition = it.partition
           returning position.lane, position.partition)
         insert into position (generation, lane, partition, next_offset, end_offset, caught_up_at_ms)
         select $1::bigint, lane, partition, 0, end_offset, case when end_offset <= 0 then seen_at_ms end
         from it where (lane, partition) not in (select lane, partition from known)
         on conflict do nothing";
    let values: Values<'_> = &[&generation, &lanes, &partitions, &offsets, &times];
    work.execute(sql, values).await?;
    Ok(())
}

/// Locks an applier's parts of the digest and reads them. A part that is not there is made and locked at
/// once, so that two appliers of one number add up too.
pub(crate) async fn lock_digest(
    work: &Work<'_>,
    applier: i32,
    buckets: &BTreeSet<u8>,
) -> Result<BTreeMap<u8, RowDigest>, Error> {
    let mut parts = BTreeMap::new();
    if buckets.is_empty() {
        return Ok(parts);
    }
    let buckets: Vec<i32> = buckets.iter().copied().map(i32::from).collect();
    let sql = "insert into digest (applier, bucket, sum) select $1::int, bucket, $3::bytea
           from unnest($2::int[]) as it (bucket)
         on conflict (applier, bucket) do update set bucket = excluded.bucket returning bucket, sum";
    let zero = 0u128.to_be_bytes().to_vec();
    for row in work.rows(sql, &[&applier, &buckets, &zero]).await? {
        let (bucket, part) = bucket_sum(&row)?;
        parts.insert(bucket, part);
    }
    Ok(parts)
}

/// Adds changes to an applier's parts of the digest, which are locked and stand as they were read.
pub(crate) async fn add_to_digest(
    work: &Work<'_>,
    applier: i32,
    before: &BTreeMap<u8, RowDigest>,
    changes: &BTreeMap<u8, RowDigest>,
) -> Result<(), Error> {
    let (mut places, mut sums) = (Vec::new(), Vec::new());
    for (bucket, change) in changes {
        if *change != RowDigest::default() {
            let before = before.get(bucket).copied().unwrap_or_default();
            places.push(i32::from(*bucket));
            sums.push(before.plus(*change).0.to_be_bytes().to_vec());
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    let sql =
        "update digest set sum = it.sum from unnest($2::int[], $3::bytea[]) as it (bucket, sum)
         where applier = $1 and digest.bucket = it.bucket";
    work.execute(sql, &[&applier, &places, &sums]).await?;
    Ok(())
}
