//! Totals at a time: sums over what is kept, and the few licenses that turn in the rest of the day.

use std::collections::BTreeMap;

use licenseflow_core::event_counts::{EventCounts, kept_from, shown_from};
use licenseflow_core::totals::{DaySums, Dimension, Totals, day_end, day_of};
use rusqlite::{Params, Row, params};

use super::Snapshot;
use crate::columns::lifecycle_of_number;
use crate::lookup::{CustomerTotals, DAYS_MAX, GROUPS_MAX, Groups, Stats, TenantTotals};
use crate::sqlite::recount::each_row;
use crate::sqlite::totals::newest_record_ms;
use crate::totals::{Turning, count, day_sums, event_count, groups};
use crate::{Error, Patience};

/// Ended by the end of today, starting after today, turning today; a day is `?4`.
const DAY_SUMS: &str = "ifnull(sum(iif(day <= ?4, ends, 0)), 0), \
     ifnull(sum(iif(day > ?4, starts, 0)), 0), ifnull(sum(iif(day = ?4, starts + ends, 0)), 0)";

/// A tenant's licenses with lifecycle active that end after ?2 and by ?3.
const ENDING: &str = "select valid_from, expires_at, product_id, plan \
     from license indexed by license_by_expiry \
     where tenant = ?1 and ifnull(expires_at, 9223372036854775807) > ?2 \
       and ifnull(expires_at, 9223372036854775807) <= ?3 and lifecycle = 1";

/// A tenant's licenses with lifecycle active that start after ?2 and by ?3, but for those that end then.
const STARTING: &str = "select valid_from, expires_at, product_id, plan \
     from license indexed by license_by_start \
     where tenant = ?1 and valid_from > ?2 and valid_from <= ?3 and lifecycle = 1 \
       and (expires_at is null or expires_at <= ?2 or expires_at > ?3)";

/// As [`ENDING`], of the customer ?4.
const CUSTOMER_ENDING: &str = "select valid_from, expires_at, product_id, plan \
     from license indexed by license_by_customer \
     where tenant = ?1 and customer_id = ?4 and lifecycle = 1 and expires_at > ?2 and expires_at <= ?3";

/// As [`STARTING`], of the customer ?4.
const CUSTOMER_STARTING: &str = "select valid_from, expires_at, product_id, plan \
     from license indexed by license_by_start \
     where tenant = ?1 and valid_from > ?2 and valid_from <= ?3 and lifecycle = 1 and customer_id = ?4 \
       and (expires_at is null or expires_at <= ?2 or expires_at > ?3)";

const NEXT_EXPIRY: &str = "select min(expires_at) from license indexed by license_by_customer \
     where tenant = ?1 and customer_id = ?2 and lifecycle = 1 and expires_at > ?3";

impl Snapshot<'_> {
    /// A customer; none: it holds no license.
    pub(super) fn customer(
        &self,
        tenant_id: &str,
        customer_id: &str,
        at: i64,
    ) -> Result<Option<CustomerTotals>, Error> {
        let Some(tenant) = self.tenant(tenant_id)? else {
            return Ok(None);
        };
        let kept = self.group(tenant, Dimension::Customer, customer_id, at)?;
        let Some((mut totals, turning)) = kept else {
            return Ok(None);
        };
        if turning > 0 {
            for sql in [CUSTOMER_ENDING, CUSTOMER_STARTING] {
                let values = params![tenant, at, day_end(at), customer_id];
                self.each(sql, values, |row| {
                    Turning::of(row)?.turn_back(Some(&mut totals), at);
                    Ok(())
                })?;
            }
        }
        let mut statement = self.rows.prepare_cached(NEXT_EXPIRY)?;
        let next = statement.query_row(params![tenant, customer_id, at], |row| row.get(0))?;
        Ok(Some(CustomerTotals {
            customer_id: customer_id.to_owned(),
            totals,
            next_expiry: next,
        }))
    }

    /// A tenant as a whole, each part by itself and within its share of the time.
    pub(super) fn stats(&self, tenant_id: &str, at: i64) -> Result<Stats, Error> {
        let Some(tenant) = self.tenant(tenant_id)? else {
            return Ok(Stats {
                totals: Ok(TenantTotals::default()),
                per_minute: Ok(EventCounts::new()),
                per_day: Ok(EventCounts::new()),
            });
        };
        Ok(Stats {
            totals: Patience::share(3, || self.tenant_totals(tenant, at)),
            per_minute: Patience::share(2, || self.per_minute(tenant, at)),
            per_day: Patience::share(1, || self.per_day(tenant, at)),
        })
    }

    fn tenant_totals(&self, tenant: i64, at: i64) -> Result<TenantTotals, Error> {
        let Some((all, turning)) = self.group(tenant, Dimension::Tenant, "", at)? else {
            return Ok(TenantTotals::default());
        };
        let mut totals = TenantTotals {
            all,
            by_product: self.groups(tenant, Dimension::Product, at)?,
            by_plan: self.groups(tenant, Dimension::Plan, at)?,
        };
        if turning == 0 {
            return Ok(totals);
        }
        for sql in [ENDING, STARTING] {
            self.each(sql, params![tenant, at, day_end(at)], |row| {
                let license = Turning::of(row)?;
                let products = &mut totals.by_product.totals;
                let plans = &mut totals.by_plan.totals;
                license.turn_back(Some(&mut totals.all), at);
                license.turn_back(products.get_mut(&license.product_id), at);
                license.turn_back(plans.get_mut(&license.plan), at);
                Ok(())
            })?;
        }
        Ok(totals)
    }

    /// A group at the end of the day, and how many of its licenses turn on that day; none: no license is
    /// in it.
    fn group(
        &self,
        tenant: i64,
        dimension: Dimension,
        name: &str,
        at: i64,
    ) -> Result<Option<(Totals, i64)>, Error> {
        let dimension = dimension as i64;
        let mut counts = Vec::new();
        let sql = "select lifecycle, licenses, seats, seats_used from total \
                   where tenant = ?1 and dimension = ?2 and name = ?3";
        self.each(sql, params![tenant, dimension, name], |row| {
            counts.push((lifecycle_of_number(row.get(0)?)?, count(row, 1)?));
            Ok(())
        })?;
        if counts.is_empty() {
            return Ok(None);
        }
        let sql = format!(
            "select {DAY_SUMS} from total_day where tenant = ?1 and dimension = ?2 and name = ?3"
        );
        let mut sums = DaySums::default();
        let values = params![tenant, dimension, name, day_of(at)];
        self.each(&sql, values, |row| {
            sums = day_sums(row, 0)?;
            Ok(())
        })?;
        Ok(Some((Totals::at_day_end(counts, sums), sums.turning)))
    }

    /// The first groups of a dimension by name, at the end of the day.
    fn groups(&self, tenant: i64, dimension: Dimension, at: i64) -> Result<Groups, Error> {
        let dimension = dimension as i64;
        let mut names = Vec::new();
        let sql = "select distinct name from total where tenant = ?1 and dimension = ?2 \
                   order by name limit ?3";
        let limit = GROUPS_MAX as i64 + 1;
        self.each(sql, params![tenant, dimension, limit], |row| {
            names.push(row.get::<_, String>(0)?);
            Ok(())
        })?;
        let goes_on = names.len() > GROUPS_MAX;
        names.truncate(GROUPS_MAX);
        let Some(last) = names.last() else {
            return Ok(Groups::default());
        };
        let mut counts: BTreeMap<String, Vec<_>> = BTreeMap::new();
        let sql = "select name, lifecycle, licenses, seats, seats_used from total \
                   where tenant = ?1 and dimension = ?2 and name <= ?3";
        self.each(sql, params![tenant, dimension, last], |row| {
            let counts = counts.entry(row.get(0)?).or_default();
            counts.push((lifecycle_of_number(row.get(1)?)?, count(row, 2)?));
            Ok(())
        })?;
        let mut sums: BTreeMap<String, DaySums> = BTreeMap::new();
        let sql = format!(
            "select name, {DAY_SUMS} from total_day \
             where tenant = ?1 and dimension = ?2 and name <= ?3 group by name"
        );
        let values = params![tenant, dimension, last, day_of(at)];
        self.each(&sql, values, |row| {
            sums.insert(row.get(0)?, day_sums(row, 1)?);
            Ok(())
        })?;
        Ok(groups(counts, &sums, goes_on))
    }

    fn per_minute(&self, tenant: i64, at: i64) -> Result<EventCounts, Error> {
        let kept_from = newest_record_ms(self.rows)?.map_or(0, kept_from);
        let from = shown_from(at).max(kept_from);
        let sql =
            "select minute, kind, events from event_minute where tenant = ?1 and minute >= ?2";
        self.events(sql, tenant, from)
    }

    fn per_day(&self, tenant: i64, at: i64) -> Result<EventCounts, Error> {
        let sql = "select day, kind, events from event_day where tenant = ?1 and day > ?2";
        self.events(sql, tenant, day_of(at) - DAYS_MAX)
    }

    fn events(&self, sql: &str, tenant: i64, from: i64) -> Result<EventCounts, Error> {
        let mut counts = EventCounts::new();
        self.each(sql, params![tenant, from], |row| {
            let (time, events) = event_count(row, 0)?;
            counts.insert(time, events);
            Ok(())
        })?;
        Ok(counts)
    }

    fn each(
        &self,
        sql: &str,
        values: impl Params,
        visit: impl FnMut(&Row<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        each_row(self.rows, sql, values, visit)
    }
}

#[cfg(test)]
mod large;

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn plan_of(connection: &Connection, sql: &str) -> String {
        let mut statement = connection
            .prepare(&format!("explain query plan {sql}"))
            .unwrap();
        let mut rows = statement.raw_query();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            lines.push(row.get::<_, String>(3).unwrap());
        }
        lines.join("; ")
    }

    #[test]
    fn the_rest_of_a_day_and_the_next_end_are_sought_in_an_index() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(concat!(
                include_str!("../schema.sql"),
                include_str!("../indexes.sql")
            ))
            .unwrap();
        for (sql, sought) in [
            (
                ENDING,
                "license_by_expiry (tenant=? AND <expr>>? AND <expr><?)",
            ),
            (
                STARTING,
                "license_by_start (tenant=? AND valid_from>? AND valid_from<?)",
            ),
            (
                CUSTOMER_ENDING,
                "license_by_customer (tenant=? AND customer_id=? AND lifecycle=? AND expires_at>? AND expires_at<?)",
            ),
            (
                CUSTOMER_STARTING,
                "license_by_start (tenant=? AND valid_from>? AND valid_from<?)",
            ),
            (
                NEXT_EXPIRY,
                "license_by_customer (tenant=? AND customer_id=? AND lifecycle=? AND expires_at>?)",
            ),
        ] {
            let plan = plan_of(&connection, sql);
            assert!(plan.contains(sought), "{sql}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }

    #[test]
    fn the_kept_rows_of_a_group_are_sought_in_their_order() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(include_str!("../schema.sql"))
            .unwrap();
        for sql in [
            "select lifecycle from total where tenant = ?1 and dimension = ?2 and name = ?3",
            "select distinct name from total where tenant = ?1 and dimension = ?2 order by name limit ?3",
            "select name, sum(ends) from total_day where tenant = ?1 and dimension = ?2 and name <= ?3 group by name",
            "select minute from event_minute where tenant = ?1 and minute >= ?2",
        ] {
            let plan = plan_of(&connection, sql);
            assert!(
                plan.contains("USING PRIMARY KEY (tenant=?"),
                "{sql}: {plan}"
            );
            assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }
}
