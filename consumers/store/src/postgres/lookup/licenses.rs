//! The list of licenses: pages by key, over an index or over one customer's few rows.
//!
//! | asked | rows looked at | sorted by |
//! |---|---|---|
//! | a customer with no more licenses than a page may look at | that customer's | PostgreSQL |
//! | anything else | the sort's own index, from where the last page ended | the index |
//!
//! Either way a page ends at a (sort value, number), so that the next one may go the other way. Only
//! narrow columns are looked at, a piece of the list at a time: the first piece is as long as the page,
//! and where filters leave too few, the next are longer. The rows that are answered are read by their
//! numbers.

use std::collections::HashMap;

use licenseflow_core::totals::Dimension;

use super::select::{Select, Start};
use super::{HAS_LETTERS, Snapshot, at_most, has_letters, license_row};
use crate::Error;
use crate::columns::LICENSE_COLUMNS;
use crate::lookup::{BATCH_BYTES_MAX, LicenseQuery, LicenseRow, Page, SortKey};
use crate::narrow::{Found, Walk, sort_key};
use crate::page::PAGE_BYTES_MAX;

/// How many licenses are read whole at once: each may hold half a megabyte.
const AT_ONCE: usize = 64;

/// How much longer each piece of the list is than the one before it.
const PIECE_GROWTH: usize = 4;

impl Snapshot<'_> {
    pub(super) async fn licenses(
        &self,
        query: &LicenseQuery,
    ) -> Result<Page<LicenseRow, SortKey>, Error> {
        let found = self.walk(query).await?;
        let (mut items, mut bytes) = (Vec::with_capacity(found.matches.len()), 0);
        for chunk in found.matches.chunks(AT_ONCE) {
            let numbers: Vec<i64> = chunk.iter().map(|(_, number)| *number).collect();
            let mut rows = self.by_number(&query.tenant_id, &numbers).await?;
            for (key, number) in chunk {
                let row = rows
                    .remove(number)
                    .ok_or_else(|| Error::broken(format!("no license of number {number}")))?;
                bytes += row.bytes();
                items.push(row);
                if bytes > PAGE_BYTES_MAX {
                    let next = Some(key.clone());
                    return Ok(Page { items, next });
                }
            }
        }
        Ok(Page {
            items,
            next: found.next,
        })
    }

    /// A license for each id, until they hold as much as an answer may.
    pub(super) async fn licenses_by_id(
        &self,
        tenant_id: &str,
        ids: &[String],
    ) -> Result<Vec<Option<LicenseRow>>, Error> {
        let sql = format!(
            "select found.* from unnest($2::text[]) as asked (id), lateral \
             (select number, license_id, {LICENSE_COLUMNS}, {} from license \
             where tenant_id = $1 and license_id = asked.id limit 1) as found",
            has_letters("asked.id")
        );
        let (mut found, mut bytes) = (Vec::with_capacity(ids.len()), 0);
        for chunk in ids.chunks(AT_ONCE) {
            let rows = self.rows(&sql, &[&tenant_id, &chunk]).await?;
            let mut by_id = HashMap::with_capacity(rows.len());
            let mut with_letters = Vec::new();
            for row in &rows {
                let license = license_row(row, tenant_id)?;
                if row.try_get(HAS_LETTERS)? {
                    with_letters.push(license.key.license_id.clone());
                }
                by_id.insert(license.key.license_id.clone(), license);
            }
            if !with_letters.is_empty() {
                let asked: Vec<&String> = with_letters.iter().collect();
                for (license_id, letters) in self.open_letters(tenant_id, &asked).await? {
                    if let Some(license) = by_id.get_mut(&license_id) {
                        license.letters = letters;
                    }
                }
            }
            for license_id in chunk {
                // Not taken out: an id may be asked for twice.
                let row = by_id.get(license_id).cloned();
                bytes += row.as_ref().map_or(0, LicenseRow::bytes);
                if bytes > BATCH_BYTES_MAX {
                    return Ok(found);
                }
                found.push(row);
            }
        }
        Ok(found)
    }

    /// Each row is found by itself: asked for `any` of many, a planner that has not looked at the table yet
    /// may think it cheaper to read all of a tenant's.
    async fn by_number(
        &self,
        tenant_id: &str,
        numbers: &[i64],
    ) -> Result<HashMap<i64, LicenseRow>, Error> {
        let sql = format!(
            "select found.* from unnest($2::bigint[]) as asked (id), lateral \
             (select number, license_id, {LICENSE_COLUMNS} from license \
             where tenant_id = $1 and number = asked.id limit 1) as found"
        );
        let rows = self.rows(&sql, &[&tenant_id, &numbers]).await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, license_row(row, tenant_id)?)))
            .collect()
    }

    /// Looks at rows in the order of the list until the page is full, the rows are at their end, or
    /// as many were looked at as may be.
    async fn walk(&self, query: &LicenseQuery) -> Result<Found, Error> {
        let mut walk = Walk::new(query);
        let customer = self.small_customer(query).await?;
        let mut start = Start::of(query)?;
        let mut piece = query.limit.max(1).saturating_add(1);
        loop {
            let wanted = piece.min(walk.left());
            let select = Select::new(query, customer, &start, at_most(wanted));
            let rows = self.rows(&select.sql, &select.values()).await?;
            for row in &rows {
                if walk.look_at(row)? {
                    return Ok(walk.found);
                }
            }
            match rows.last() {
                Some(last) if rows.len() == wanted => {
                    start = Start::after(sort_key(last, query.sort)?);
                }
                Some(_) | None => return Ok(walk.found),
            }
            piece = match customer {
                // They are gathered anew for each piece.
                Some(_) => usize::MAX,
                None => piece.saturating_mul(PIECE_GROWTH),
            };
        }
    }

    /// The customer that is asked for, if all its licenses may be looked at in one page.
    async fn small_customer<'q>(&self, query: &'q LicenseQuery) -> Result<Option<&'q str>, Error> {
        let Some(customer_id) = query.customer_id.as_deref() else {
            return Ok(None);
        };
        // What is kept says it without a look at the licenses.
        let sql = "select coalesce(sum(licenses), 0)::bigint from total \
             where tenant_id = $1 and dimension = $2 and name = $3";
        let dimension = Dimension::Customer as i16;
        let row = self
            .row(sql, &[&query.tenant_id, &dimension, &customer_id])
            .await?;
        let licenses: i64 = row.map_or(Ok(0), |row| row.try_get(0))?;
        Ok(Some(customer_id).filter(|_| licenses <= at_most(query.visit_at_most)))
    }
}
