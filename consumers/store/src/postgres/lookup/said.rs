//! What was said in parts of the log, whose events lie apart: they are found by tenant and by where their
//! records lie, and the licenses that they speak of are read together.

use std::collections::HashMap;
use std::pin::pin;

use futures::TryStreamExt;
use licenseflow_avro::LicenseKey;
use tokio_postgres::Row;

use super::{Snapshot, at_most};
use crate::Error;
use crate::columns::{Columns, lane_number, license_key, needed, recorded_event};
use crate::lookup::{Page, RecordPlace, SaidEvent, SaidQuery, Span};
use crate::page::PAGE_BYTES_MAX;
use crate::postgres::rows::TIMELINE_COLUMNS;
use crate::said::{Filling, Named, narrowed};

/// A license's tenant and its number in the store.
type Place = (String, i64);

impl Snapshot<'_> {
    pub(super) async fn said_page(
        &self,
        query: &SaidQuery,
    ) -> Result<Page<SaidEvent, RecordPlace>, Error> {
        let (spans, next) = narrowed(&query.spans);
        let rows = self.said_in(query, &spans).await?;
        let licenses = self.named(&rows).await?;
        let mut filling = Filling::new(query.limit);
        for row in &rows {
            let license = licenses
                .get(&place(row)?)
                .ok_or_else(|| Error::broken("an event without its license"))?;
            let bytes = needed(row.bytes(6)?)?.len();
            let event = license.event(recorded_event(row, 0, &license.key)?);
            if let Some(full_at) = filling.take(event, bytes) {
                return Ok(filling.page(Some(full_at)));
            }
        }
        Ok(filling.page(next))
    }

    /// As many rows as a page takes: it is full by the last of them, or they are all.
    async fn said_in(&self, query: &SaidQuery, spans: &[Span]) -> Result<Vec<Row>, Error> {
        if spans.is_empty() || query.tenants.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "select {TIMELINE_COLUMNS}, license, tenant_id \
             from unnest($2::bigint[], $3::integer[], $4::bigint[], $5::bigint[]) with ordinality \
             as span (of_lane, of_partition, first, past, place) \
             join timeline on lane = of_lane and partition = of_partition \
             and log_offset >= first and log_offset < past \
             where tenant_id = any($1) order by place, log_offset limit $6"
        );
        let tenants: Vec<&String> = query.tenants.iter().collect();
        let lanes: Vec<i64> = spans.iter().map(|it| lane_number(it.lane)).collect();
        let partitions: Vec<i32> = spans.iter().map(|it| it.partition).collect();
        let first: Vec<i64> = spans.iter().map(|it| it.from).collect();
        let past: Vec<i64> = spans.iter().map(|it| it.to).collect();
        let limit = at_most(query.limit.max(1));
        let rows = self
            .stream(
                &sql,
                &[&tenants, &lanes, &partitions, &first, &past, &limit],
            )
            .await?;
        let mut rows = pin!(rows);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await? {
            bytes += needed(row.bytes(6)?)?.len();
            taken.push(row);
            if bytes > PAGE_BYTES_MAX {
                break;
            }
        }
        Ok(taken)
    }

    async fn named(&self, events: &[Row]) -> Result<HashMap<Place, Named>, Error> {
        let mut places = events.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        places.sort_unstable();
        places.dedup();
        if places.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = "select asked.tenant_id, license_id, customer_id, product_id, voids, number \
             from unnest($1::text[], $2::bigint[]) as asked (tenant_id, of_number) \
             join license on license.tenant_id = asked.tenant_id and number = of_number";
        let (tenants, numbers): (Vec<String>, Vec<i64>) = places.into_iter().unzip();
        let rows = self.rows(sql, &[&tenants, &numbers]).await?;
        let named = rows.iter().map(|row| {
            let key: LicenseKey = license_key(row, 0)?;
            let place = (key.tenant_id.clone(), row.try_get(5)?);
            Ok((place, Named::of(row, 2, key)?))
        });
        named.collect()
    }
}

fn place(event: &Row) -> Result<Place, Error> {
    Ok((event.try_get(8)?, event.try_get(7)?))
}
