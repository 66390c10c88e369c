//! The list of licenses: pages by key, over an index or over one customer's few rows.
//!
//! | asked | rows looked at | sorted by |
//! |---|---|---|
//! | a customer with no more licenses than a page may look at | that customer's | SQLite |
//! | anything else | the sort's own index, from where the last page ended | the index |
//!
//! Either way a page ends at a (sort value, number), so that the next one may go the other way. Only
//! narrow columns are looked at; the rows that are answered are read by their number.

use licenseflow_core::totals::Dimension;
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::Snapshot;
use crate::Error;
use crate::lookup::{BATCH_BYTES_MAX, LicenseQuery, LicenseRow, Page, SortBy, SortKey};
use crate::narrow::{Found, NARROW, Walk, other_sort, range};
use crate::page::PAGE_BYTES_MAX;

const EXPIRES_OR_NEVER: &str = "ifnull(expires_at, 9223372036854775807)";
const LAST_EVENT_OR_NONE: &str = "ifnull(last_event_at, -1)";

impl Snapshot<'_> {
    pub(super) fn licenses(
        &self,
        query: &LicenseQuery,
    ) -> Result<Page<LicenseRow, SortKey>, Error> {
        let Some(tenant) = self.tenant(&query.tenant_id)? else {
            return Ok(Page {
                items: Vec::new(),
                next: None,
            });
        };
        let found = self.walk(tenant, query)?;
        let mut items = Vec::with_capacity(found.matches.len());
        let mut bytes = 0;
        for (key, number) in found.matches {
            let row = self.license(&query.tenant_id, number)?;
            bytes += row.bytes();
            items.push(row);
            if bytes > PAGE_BYTES_MAX {
                let next = Some(key);
                return Ok(Page { items, next });
            }
        }
        Ok(Page {
            items,
            next: found.next,
        })
    }

    /// A license for each id, until they hold as much as an answer may.
    pub(super) fn licenses_by_id(
        &self,
        tenant_id: &str,
        ids: &[String],
    ) -> Result<Vec<Option<LicenseRow>>, Error> {
        let (mut found, mut bytes) = (Vec::with_capacity(ids.len()), 0);
        for license_id in ids {
            let row = self.license_of(tenant_id, license_id)?.map(|it| it.1);
            bytes += row.as_ref().map_or(0, LicenseRow::bytes);
            if bytes > BATCH_BYTES_MAX {
                break;
            }
            found.push(row);
        }
        Ok(found)
    }

    /// Looks at rows in the order of the list until the page is full, the rows are at their end, or
    /// as many were looked at as may be.
    fn walk(&self, tenant: i64, query: &LicenseQuery) -> Result<Found, Error> {
        let customer = self.small_customer(tenant, query)?;
        let mut walk = Walk::new(query);
        for leg in legs(query)? {
            let (sql, values) = select(tenant, customer, query, leg);
            let mut statement = self.rows.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                if walk.look_at(row)? {
                    return Ok(walk.found);
                }
            }
        }
        Ok(walk.found)
    }

    /// The customer that is asked for, if all its licenses may be looked at in one page.
    fn small_customer<'q>(
        &self,
        tenant: i64,
        query: &'q LicenseQuery,
    ) -> Result<Option<&'q str>, Error> {
        let Some(customer_id) = query.customer_id.as_deref() else {
            return Ok(None);
        };
        let most = i64::try_from(query.visit_at_most).unwrap_or(i64::MAX);
        // What is kept says it without a look at the licenses.
        let mut statement = self.rows.prepare_cached(
            "select ifnull(sum(licenses), 0) from total \
             where tenant = ?1 and dimension = ?2 and name = ?3",
        )?;
        let dimension = Dimension::Customer as i64;
        let licenses: i64 =
            statement.query_row((tenant, dimension, customer_id), |row| row.get(0))?;
        Ok(Some(customer_id).filter(|_| licenses <= most))
    }
}

/// A range of one sort's index. What comes after (value, number) is two of them, since a range over
/// both at once cannot be sought in an index on an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Leg {
    /// Every text.
    Texts,
    /// Texts after this one.
    TextsAfter(String),
    /// Rows with this very value, after this number.
    Ties(i64, i64),
    /// Rows with a value in this range, both ends in it.
    Range(i64, i64),
}

fn legs(query: &LicenseQuery) -> Result<Vec<Leg>, Error> {
    let number = match (query.sort, &query.after) {
        (SortBy::LicenseId, None) => return Ok(vec![Leg::Texts]),
        (SortBy::LicenseId, Some(SortKey::Text(after))) => {
            return Ok(vec![Leg::TextsAfter(after.clone())]);
        }
        (SortBy::LicenseId, Some(SortKey::Number(..)))
        | (SortBy::ExpiresAt | SortBy::LastEventAt, Some(SortKey::Text(_))) => {
            return Err(other_sort());
        }
        (SortBy::ExpiresAt | SortBy::LastEventAt, None) => None,
        (SortBy::ExpiresAt | SortBy::LastEventAt, Some(SortKey::Number(value, number))) => {
            Some((*value, *number))
        }
    };
    let (low, high) = range(query);
    let Some((value, number)) = number else {
        return Ok(vec![Leg::Range(low, high)]);
    };
    let beyond = if query.descending {
        value
            .checked_sub(1)
            .map(|end| Leg::Range(low, high.min(end)))
    } else {
        value
            .checked_add(1)
            .map(|begin| Leg::Range(low.max(begin), high))
    };
    let ties = (low..=high)
        .contains(&value)
        .then_some(Leg::Ties(value, number));
    Ok(ties.into_iter().chain(beyond).collect())
}

fn select(
    tenant: i64,
    customer: Option<&str>,
    query: &LicenseQuery,
    leg: Leg,
) -> (String, Vec<Value>) {
    let (index, by) = match query.sort {
        SortBy::LicenseId => ("license_by_id", "license_id"),
        SortBy::ExpiresAt => ("license_by_expiry", EXPIRES_OR_NEVER),
        SortBy::LastEventAt => ("license_by_last_event", LAST_EVENT_OR_NONE),
    };
    let (direction, after) = if query.descending {
        ("desc", "<")
    } else {
        ("asc", ">")
    };
    let mut values = vec![Value::Integer(tenant)];
    let (index, of_customer) = match customer {
        Some(customer_id) => {
            values.push(Value::Text(customer_id.to_owned()));
            ("license_by_customer", " and customer_id = ?")
        }
        None => (index, ""),
    };
    let in_both = format!("{by} {direction}, number {direction}");
    let (range, order) = match leg {
        Leg::Texts => (String::new(), in_both),
        Leg::TextsAfter(text) => {
            values.push(Value::Text(text));
            (format!(" and {by} {after} ?"), in_both)
        }
        Leg::Ties(value, number) => {
            values.extend([Value::Integer(value), Value::Integer(number)]);
            let range = format!(" and {by} = ? and number {after} ?");
            // SQLite does not see that all of these have one value, and would sort them.
            (range, format!("number {direction}"))
        }
        Leg::Range(low, high) => {
            values.extend([Value::Integer(low), Value::Integer(high)]);
            (format!(" and {by} >= ? and {by} <= ?"), in_both)
        }
    };
    let sql = format!(
        "select {NARROW} from license indexed by {index} where tenant = ?{of_customer}{range} \
         order by {order}"
    );
    (sql, values)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn plan_of(connection: &Connection, sql: &str, values: Vec<Value>) -> String {
        let mut statement = connection
            .prepare(&format!("explain query plan {sql}"))
            .unwrap();
        let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(3));
        let lines: Vec<String> = rows.unwrap().map(Result::unwrap).collect();
        lines.join("; ")
    }

    #[test]
    fn every_range_is_sought_in_its_index_and_read_in_its_order() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(concat!(
                include_str!("../schema.sql"),
                include_str!("../indexes.sql")
            ))
            .unwrap();
        let by_number = [Leg::Ties(5, 7), Leg::Range(3, 9)];
        let by_text = [Leg::Texts, Leg::TextsAfter("L".to_owned())];
        for (sort, legs) in [
            (SortBy::LicenseId, &by_text),
            (SortBy::ExpiresAt, &by_number),
            (SortBy::LastEventAt, &by_number),
        ] {
            for (leg, descending) in legs.iter().flat_map(|leg| [(leg, false), (leg, true)]) {
                let query = query(sort, descending);
                let (sql, values) = select(1, None, &query, leg.clone());
                let plan = plan_of(&connection, &sql, values);
                assert!(plan.contains("USING INDEX license_by_"), "{sql}: {plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
                let sought = match leg {
                    Leg::Texts => "(tenant=?)",
                    Leg::TextsAfter(_) if descending => "(tenant=? AND license_id<?)",
                    Leg::TextsAfter(_) => "(tenant=? AND license_id>?)",
                    Leg::Ties(..) if descending => "(tenant=? AND <expr>=? AND rowid<?)",
                    Leg::Ties(..) => "(tenant=? AND <expr>=? AND rowid>?)",
                    Leg::Range(..) => "(tenant=? AND <expr>>? AND <expr><?)",
                };
                assert!(plan.contains(sought), "{sql}: {plan}");
            }
        }
    }

    fn query(sort: SortBy, descending: bool) -> LicenseQuery {
        LicenseQuery {
            tenant_id: "default".to_owned(),
            sort,
            descending,
            limit: 1,
            visit_at_most: 1,
            ..LicenseQuery::default()
        }
    }
}
