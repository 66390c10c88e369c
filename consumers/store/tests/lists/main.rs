//! The list of licenses, page by page, against a filter and a sort that know no index and no page: on
//! every store. And all that can be asked, on one store beside the other.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod data;
mod failing;
mod large;
mod long;
#[path = "../places/many.rs"]
mod many;
mod news;
#[path = "../places/postgres.rs"]
mod postgres;
mod said;
mod same;
mod statements;
mod stores;
mod work;

use licenseflow_core::status::{Lifecycle, Status};
use licenseflow_store::Lookup;
use licenseflow_store::lookup::{LicenseQuery, LicenseRow, SortBy, SortKey};

use data::{NOW, Store, TENANT};
use stores::{Kind, on_every_store};

const LICENSES: usize = 400;

const SORTS: [SortBy; 3] = [SortBy::LicenseId, SortBy::ExpiresAt, SortBy::LastEventAt];

fn everything(sort: SortBy, descending: bool) -> LicenseQuery {
    LicenseQuery {
        tenant_id: TENANT.to_owned(),
        sort,
        descending,
        at: NOW,
        limit: 7,
        visit_at_most: 10_000,
        ..LicenseQuery::default()
    }
}

type Filter = Box<dyn Fn(&mut LicenseQuery)>;

/// Every filter by itself with each of its values, and some together.
fn filters() -> Vec<(String, Filter)> {
    let mut filters: Vec<(String, Filter)> = Vec::new();
    let mut add = |name: String, filter: Filter| filters.push((name, filter));
    add("none".to_owned(), Box::new(|_| {}));
    for customer in ["c-0", "c-3", "nobody"] {
        let id = Some(customer.to_owned());
        add(
            format!("customer {customer}"),
            Box::new(move |query| query.customer_id.clone_from(&id)),
        );
    }
    add(
        "product".to_owned(),
        Box::new(|query| query.product_id = Some("p-1".to_owned())),
    );
    add(
        "plan".to_owned(),
        Box::new(|query| query.plan = Some("team".to_owned())),
    );
    for status in Status::ALL {
        add(
            format!("status {status}"),
            Box::new(move |query| query.status = Some(status)),
        );
    }
    for lifecycle in Lifecycle::ALL {
        let name = format!("lifecycle {}", lifecycle.name());
        add(
            name,
            Box::new(move |query| query.lifecycle = Some(lifecycle)),
        );
    }
    for over_seat in [true, false] {
        add(
            format!("over seat {over_seat}"),
            Box::new(move |query| query.over_seat = Some(over_seat)),
        );
    }
    add(
        "before".to_owned(),
        Box::new(|query| query.expires_before = Some(NOW)),
    );
    add(
        "after".to_owned(),
        Box::new(|query| query.expires_after = Some(NOW)),
    );
    add(
        "between, of a customer with a plan".to_owned(),
        Box::new(|query| {
            query.expires_after = Some(NOW - 5_000_000);
            query.expires_before = Some(NOW + 5_000_000);
            query.customer_id = Some("c-1".to_owned());
            query.plan = Some("trial".to_owned());
        }),
    );
    filters
}

/// Whether a row is asked for, by the contract's words alone.
fn is_asked(row: &LicenseRow, query: &LicenseQuery) -> bool {
    let state = &row.state;
    let customer = state.customer.as_ref().map(|it| it.value.to_string());
    let product = state.issue.as_ref().map(|it| it.value.product_id.clone());
    let plan = state.plan.as_ref().map(|it| it.value.plan.clone());
    let valid_from = state.issue.as_ref().map(|it| it.value.valid_from);
    let over = state
        .plan
        .as_ref()
        .is_some_and(|it| state.seats_used > i64::from(it.value.seats));
    let end = state.expires_at().unwrap_or(i64::MAX);
    let status = Status::at(state.lifecycle(), valid_from, state.expires_at(), query.at);
    (query.customer_id.is_none() || query.customer_id == customer)
        && (query.product_id.is_none() || query.product_id == product)
        && (query.plan.is_none() || query.plan == plan)
        && query.status.is_none_or(|asked| asked == status)
        && query
            .lifecycle
            .is_none_or(|asked| asked == state.lifecycle())
        && query.over_seat.is_none_or(|asked| asked == over)
        && query.expires_before.is_none_or(|before| end < before)
        && query.expires_after.is_none_or(|after| end >= after)
}

/// What the list is sorted by, without what orders ties.
fn sort_value(row: &LicenseRow, sort: SortBy) -> (i64, String) {
    match sort {
        SortBy::LicenseId => (0, row.key.license_id.clone()),
        SortBy::ExpiresAt => (row.state.expires_at().unwrap_or(i64::MAX), String::new()),
        SortBy::LastEventAt => (
            row.state.last.map_or(-1, |it| it.occurred_at),
            String::new(),
        ),
    }
}

fn ids(rows: &[LicenseRow]) -> Vec<&str> {
    rows.iter().map(|row| row.key.license_id.as_str()).collect()
}

/// All pages of a list, and how many there were.
fn pages(lookup: &dyn Lookup, query: &LicenseQuery) -> (Vec<LicenseRow>, usize) {
    let (mut rows, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let page = LicenseQuery {
            after,
            ..query.clone()
        };
        let page = lookup.licenses(&page).unwrap().value;
        pages += 1;
        assert!(page.items.len() <= query.limit);
        rows.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return (rows, pages),
        }
        assert!(pages < 10_000, "the list does not end");
    }
}

fn check(all: &[LicenseRow], lookup: &dyn Lookup, query: &LicenseQuery, what: &str) {
    let (found, _) = pages(lookup, query);
    let mut expected: Vec<&LicenseRow> = all.iter().filter(|row| is_asked(row, query)).collect();
    expected.sort_by_key(|row| sort_value(row, query.sort));
    if query.descending {
        expected.reverse();
    }
    let values = |rows: &[&LicenseRow]| -> Vec<_> {
        rows.iter().map(|row| sort_value(row, query.sort)).collect()
    };
    let found_refs: Vec<&LicenseRow> = found.iter().collect();
    assert_eq!(values(&found_refs), values(&expected), "{what}");
    // Ties may stand in any order, but each row stands once, and is the row itself.
    let mut once = found.clone();
    once.sort_by(|one, other| one.key.cmp(&other.key));
    let mut wanted: Vec<LicenseRow> = expected.into_iter().cloned().collect();
    wanted.sort_by(|one, other| one.key.cmp(&other.key));
    assert_eq!(once, wanted, "{what}");
}

fn all(lookup: &dyn Lookup, store: &Store) -> Vec<LicenseRow> {
    let keys = store.keys.iter();
    keys.map(|key| lookup.license(key).unwrap().value.unwrap())
        .collect()
}

fn every_filter_in_every_sort_gives_each_row_once(kind: Kind) {
    for seed in 1..=3 {
        let store = Store::random(kind, seed, LICENSES);
        let lookup = store.lookup(2);
        let all = all(&*lookup, &store);
        assert_eq!(all.len(), LICENSES);
        for sort in SORTS {
            for descending in [false, true] {
                for (name, filter) in filters() {
                    let mut query = everything(sort, descending);
                    filter(&mut query);
                    check(
                        &all,
                        &*lookup,
                        &query,
                        &format!("seed {seed}, {sort:?} {descending}, {name}"),
                    );
                }
            }
        }
    }
}

fn a_bound_on_the_rows_looked_at_makes_pages_short_and_loses_none(kind: Kind) {
    let store = Store::random(kind, 9, LICENSES);
    let lookup = store.lookup(2);
    let all = all(&*lookup, &store);
    for sort in SORTS {
        for descending in [false, true] {
            for (name, filter) in filters() {
                let mut query = everything(sort, descending);
                filter(&mut query);
                query.visit_at_most = 10;
                check(
                    &all,
                    &*lookup,
                    &query,
                    &format!("{sort:?} {descending}, {name}"),
                );
            }
        }
    }
    let mut sparse = everything(SortBy::LicenseId, false);
    sparse.product_id = Some("none".to_owned());
    sparse.visit_at_most = 10;
    let (found, pages) = pages(&*lookup, &sparse);
    assert!(found.is_empty());
    assert!(
        pages >= LICENSES / 10,
        "only {pages} pages: more rows were looked at than may be"
    );
}

fn those_for_ever_come_last_and_those_without_events_first(kind: Kind) {
    let store = Store::random(kind, 4, LICENSES);
    let lookup = store.lookup(1);
    let (by_end, _) = pages(&*lookup, &everything(SortBy::ExpiresAt, false));
    let for_ever = by_end
        .iter()
        .filter(|row| row.state.expires_at().is_none())
        .count();
    assert!(for_ever > 10);
    let tail = &by_end[by_end.len() - for_ever..];
    assert!(tail.iter().all(|row| row.state.expires_at().is_none()));
    let (by_event, _) = pages(&*lookup, &everything(SortBy::LastEventAt, false));
    let without = by_event
        .iter()
        .filter(|row| row.state.last.is_none())
        .count();
    assert!(without > 10);
    assert!(
        by_event[..without]
            .iter()
            .all(|row| row.state.last.is_none())
    );
}

fn another_tenants_licenses_never_show(kind: Kind) {
    let store = Store::random(kind, 5, 50);
    let lookup = store.lookup(1);
    let mut query = everything(SortBy::LicenseId, false);
    query.tenant_id = "other".to_owned();
    let (found, _) = pages(&*lookup, &query);
    assert_eq!(ids(&found), ["L-0"]);
    assert!(found.iter().all(|row| row.key.tenant_id == "other"));
    query.tenant_id = "none".to_owned();
    assert!(pages(&*lookup, &query).0.is_empty());
}

fn the_end_of_another_sorts_page_is_refused(kind: Kind) {
    let store = Store::random(kind, 6, 5);
    let lookup = store.lookup(1);
    let mut query = everything(SortBy::LicenseId, false);
    query.after = Some(SortKey::Number(1, 1));
    assert!(lookup.licenses(&query).is_err());
    let mut query = everything(SortBy::ExpiresAt, false);
    query.after = Some(SortKey::Text("L-1".to_owned()));
    assert!(lookup.licenses(&query).is_err());
}

on_every_store!(
    every_filter_in_every_sort_gives_each_row_once,
    a_bound_on_the_rows_looked_at_makes_pages_short_and_loses_none,
    those_for_ever_come_last_and_those_without_events_first,
    another_tenants_licenses_never_show,
    the_end_of_another_sorts_page_is_refused,
);
