//! Totals at a time: sums over what the appliers keep, and the few licenses that turn in the rest of the
//! day.

use std::collections::BTreeMap;
use std::pin::pin;

use futures::TryStreamExt;
use licenseflow_core::event_counts::{EventCounts, kept_from, shown_from};
use licenseflow_core::totals::{DaySums, Dimension, Totals, day_end, day_of};

use super::{READ_MAX, Snapshot, Values};
use crate::columns::{Columns, lifecycle_of_number, needed};
use crate::lookup::{CustomerTotals, DAYS_MAX, GROUPS_MAX, Groups, Stats, TenantTotals};
use crate::postgres::totals::NEWEST_RECORD_MS;
use crate::totals::{Turning, count, day_sums, event_count, groups};
use crate::{Error, Patience};

/// The licenses, seats and seats used of all parts.
const SUMS: &str = "sum(licenses)::bigint, sum(seats)::bigint, sum(seats_used)::bigint";

/// Ended by the end of today, starting after today, turning today; a day is `$4`.
const DAY_SUMS: &str = "coalesce(sum(ends) filter (where day <= $4), 0)::bigint, \
     coalesce(sum(starts) filter (where day > $4), 0)::bigint, \
     coalesce(sum(starts + ends) filter (where day = $4), 0)::bigint";

/// A tenant's licenses with lifecycle active that end after $2 and by $3.
const ENDING: &str = "from license where tenant_id = $1 and lifecycle = 1 \
     and coalesce(expires_at, 9223372036854775807) > $2 \
     and coalesce(expires_at, 9223372036854775807) <= $3";

/// A tenant's licenses with lifecycle active that start after $2 and by $3, but for those that end then.
const STARTING: &str = "from license where tenant_id = $1 and lifecycle = 1 \
     and valid_from > $2 and valid_from <= $3 \
     and (expires_at is null or expires_at <= $2 or expires_at > $3)";

/// As [`ENDING`], of the customer $4.
const CUSTOMER_ENDING: &str = "from license where tenant_id = $1 and customer_id = $4 and lifecycle = 1 \
     and expires_at > $2 and expires_at <= $3";

/// As [`STARTING`], of the customer $4: the customer's name is no part of the index, so that it is not
/// read from it.
const CUSTOMER_STARTING: &str = "from license where tenant_id = $1 and lifecycle = 1 \
     and valid_from > $2 and valid_from <= $3 and customer_id || '' = $4 \
     and (expires_at is null or expires_at <= $2 or expires_at > $3)";

const NEXT_EXPIRY: &str = "select expires_at from license \
     where tenant_id = $1 and customer_id = $2 and lifecycle = 1 and expires_at > $3 \
     order by expires_at limit 1";

/// How many lifecycles there are at most for a name.
const LIFECYCLES: usize = 4;

impl Snapshot<'_> {
    /// A customer; none: it holds no license.
    pub(super) async fn customer(
        &self,
        tenant_id: &str,
        customer_id: &str,
        at: i64,
    ) -> Result<Option<CustomerTotals>, Error> {
        let kept = self.group(tenant_id, Dimension::Customer, customer_id, at);
        let Some((mut totals, turning)) = kept.await? else {
            return Ok(None);
        };
        if turning > 0 {
            for those in [CUSTOMER_ENDING, CUSTOMER_STARTING] {
                let values: Values<'_> = &[&tenant_id, &at, &day_end(at), &customer_id];
                let turn_back = |it: Turning| it.turn_back(Some(&mut totals), at);
                self.each_turning(those, values, turn_back).await?;
            }
        }
        let values: Values<'_> = &[&tenant_id, &customer_id, &at];
        let next = self.row(NEXT_EXPIRY, values).await?;
        let next = next.map(|row| row.try_get(0)).transpose()?;
        Ok(Some(CustomerTotals {
            customer_id: customer_id.to_owned(),
            totals,
            next_expiry: next,
        }))
    }

    /// A tenant as a whole, each part by itself.
    pub(super) async fn stats(
        &self,
        tenant_id: &str,
        at: i64,
        patience: Option<&Patience>,
    ) -> Result<Stats, Error> {
        let totals = self.part(3, patience, self.tenant_totals(tenant_id, at));
        let totals = totals.await?;
        let per_minute = self.part(2, patience, self.per_minute(tenant_id, at));
        let per_minute = per_minute.await?;
        let per_day = self.part(1, patience, self.per_day(tenant_id, at));
        Ok(Stats {
            totals,
            per_minute,
            per_day: per_day.await?,
        })
    }

    /// Asks one of so many parts that are still to come, none of whose statements may take more than its
    /// share of the time that is left. A failure leaves the snapshot as it was for what is asked next.
    async fn part<T>(
        &self,
        parts: u32,
        patience: Option<&Patience>,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, Error> {
        let left = patience.map_or(READ_MAX, Patience::left);
        // 0 would be for ever.
        let share = (left / parts.max(1)).as_millis().max(1);
        let begin = format!("savepoint part; set local statement_timeout to {share}");
        self.client.batch_execute(&begin).await?;
        let answer = question.await;
        if answer.is_err() {
            let back = "rollback to savepoint part";
            self.client.batch_execute(back).await?;
        }
        Ok(answer)
    }

    async fn tenant_totals(&self, tenant_id: &str, at: i64) -> Result<TenantTotals, Error> {
        let all = self.group(tenant_id, Dimension::Tenant, "", at).await?;
        let Some((all, turning)) = all else {
            return Ok(TenantTotals::default());
        };
        let mut totals = TenantTotals {
            all,
            by_product: self.groups(tenant_id, Dimension::Product, at).await?,
            by_plan: self.groups(tenant_id, Dimension::Plan, at).await?,
        };
        if turning == 0 {
            return Ok(totals);
        }
        for those in [ENDING, STARTING] {
            let values: Values<'_> = &[&tenant_id, &at, &day_end(at)];
            let turn_back = |it: Turning| {
                let products = &mut totals.by_product.totals;
                let plans = &mut totals.by_plan.totals;
                it.turn_back(Some(&mut totals.all), at);
                it.turn_back(products.get_mut(&it.product_id), at);
                it.turn_back(plans.get_mut(&it.plan), at);
            };
            self.each_turning(those, values, turn_back).await?;
        }
        Ok(totals)
    }

    async fn each_turning(
        &self,
        those: &str,
        values: Values<'_>,
        mut visit: impl FnMut(Turning),
    ) -> Result<(), Error> {
        let sql = format!("select {} {those}", Turning::COLUMNS);
        let mut rows = pin!(self.stream(&sql, values).await?);
        while let Some(row) = rows.try_next().await? {
            visit(Turning::of(&row)?);
        }
        Ok(())
    }

    /// A group at the end of the day, and how many of its licenses turn on that day; none: no license is
    /// in it.
    async fn group(
        &self,
        tenant_id: &str,
        dimension: Dimension,
        name: &str,
        at: i64,
    ) -> Result<Option<(Totals, i64)>, Error> {
        let dimension = dimension as i16;
        let counts = format!(
            "select lifecycle, {SUMS} from total \
             where tenant_id = $1 and dimension = $2 and name = $3 \
             group by lifecycle having sum(licenses) <> 0 order by lifecycle"
        );
        let days = format!(
            "select {DAY_SUMS} from total_day where tenant_id = $1 and dimension = $2 and name = $3"
        );
        let today = day_of(at);
        let counts_of: Values<'_> = &[&tenant_id, &dimension, &name];
        let days_of: Values<'_> = &[&tenant_id, &dimension, &name, &today];
        let (counts, days) =
            tokio::try_join!(biased; self.rows(&counts, counts_of), self.row(&days, days_of))?;
        if counts.is_empty() {
            return Ok(None);
        }
        let counts = counts.iter().map(|row| {
            let lifecycle = lifecycle_of_number(needed(row.integer(0)?)?)?;
            Ok((lifecycle, count(row, 1)?))
        });
        let counts = counts.collect::<Result<Vec<_>, Error>>()?;
        let sums = days.map(|row| day_sums(&row, 0)).transpose()?;
        let sums = sums.unwrap_or_default();
        Ok(Some((Totals::at_day_end(counts, sums), sums.turning)))
    }

    /// The first groups of a dimension by name, at the end of the day.
    async fn groups(
        &self,
        tenant_id: &str,
        dimension: Dimension,
        at: i64,
    ) -> Result<Groups, Error> {
        let dimension = dimension as i16;
        // The rows of one name more than are shown: where these are all, so are the names.
        let sql = format!(
            "select name, lifecycle, {SUMS} from total where tenant_id = $1 and dimension = $2 \
             group by name, lifecycle having sum(licenses) <> 0 order by name, lifecycle limit {}",
            (GROUPS_MAX + 1) * LIFECYCLES
        );
        let mut counts: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for row in self.rows(&sql, &[&tenant_id, &dimension]).await? {
            let lifecycle = lifecycle_of_number(needed(row.integer(1)?)?)?;
            let of_name = counts.entry(row.try_get(0)?).or_default();
            of_name.push((lifecycle, count(&row, 2)?));
        }
        let goes_on = counts.len() > GROUPS_MAX;
        while counts.len() > GROUPS_MAX {
            counts.pop_last();
        }
        let Some((last, _)) = counts.last_key_value() else {
            return Ok(Groups::default());
        };
        let sql = format!(
            "select name, {DAY_SUMS} from total_day \
             where tenant_id = $1 and dimension = $2 and name <= $3 group by name order by name"
        );
        let mut sums: BTreeMap<String, DaySums> = BTreeMap::new();
        let values: Values<'_> = &[&tenant_id, &dimension, last, &day_of(at)];
        for row in self.rows(&sql, values).await? {
            sums.insert(row.try_get(0)?, day_sums(&row, 1)?);
        }
        Ok(groups(counts, &sums, goes_on))
    }

    async fn per_minute(&self, tenant_id: &str, at: i64) -> Result<EventCounts, Error> {
        let newest = self.row(NEWEST_RECORD_MS, &[]).await?;
        let newest: Option<i64> = newest.map_or(Ok(None), |row| row.try_get(0))?;
        let from = shown_from(at).max(newest.map_or(0, kept_from));
        let sql = "select minute, kind, sum(events)::bigint from event_minute \
             where tenant_id = $1 and minute >= $2 group by minute, kind having sum(events) <> 0";
        self.event_counts(sql, tenant_id, from).await
    }

    async fn per_day(&self, tenant_id: &str, at: i64) -> Result<EventCounts, Error> {
        let sql = "select day, kind, sum(events)::bigint from event_day \
             where tenant_id = $1 and day >= $2 group by day, kind having sum(events) <> 0";
        self.event_counts(sql, tenant_id, day_of(at) - DAYS_MAX + 1)
            .await
    }

    async fn event_counts(
        &self,
        sql: &str,
        tenant_id: &str,
        from: i64,
    ) -> Result<EventCounts, Error> {
        let rows = self.rows(sql, &[&tenant_id, &from]).await?;
        rows.iter().map(|row| event_count(row, 0)).collect()
    }
}
