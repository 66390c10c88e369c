//! The work stays with the page: at a hundred thousand rows, a page visits no more than ten times as many
//! rows as it has. What PostgreSQL visited it says itself, over all statements of a page as they were run;
//! SQLite's steps are counted beside its lookup.

use licenseflow_avro::EventKind;
use licenseflow_core::Batch;
use licenseflow_store::lookup::{LicenseQuery, TimelineQuery};
use licenseflow_store::{Lookup, ReadModel};

use crate::many::{EVENTS, PAGE, batches, licenses_of_one_customer, long, long_timeline};
use crate::news::visited;
use crate::stores::{Kind, Place};
use crate::{SORTS, everything, many};

/// The most rows that a page of a timeline looks at.
const VISITS_MAX: usize = 10_000;

fn apply(model: &mut dyn ReadModel, batches: Vec<Batch>) {
    for batch in batches {
        model.apply(batch, 1).unwrap();
    }
}

#[test]
fn on_postgres_a_page_of_a_hundred_thousand_licenses_visits_few_rows() {
    let place = Place::alone_on_a_server();
    apply(&mut *place.model(), batches(licenses_of_one_customer()));
    let (pages, rows) = visited(&place, "license", |lookup| {
        let mut pages = 0;
        for (sort, descending) in SORTS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
            let mut query = LicenseQuery {
                customer_id: Some("c".to_owned()),
                limit: PAGE,
                ..everything(sort, descending)
            };
            for _ in 0..3 {
                let page = lookup.licenses(&query).unwrap().value;
                assert_eq!(page.items.len(), PAGE);
                query.after = page.next;
                pages += 1;
            }
        }
        pages
    });
    assert!(rows <= 10 * PAGE * pages, "{rows} rows for {pages} pages");
}

/// One long timeline for all that is asked of one: it takes PostgreSQL long to take it in.
#[test]
fn on_postgres_a_page_of_a_long_timeline_or_of_many_devices_visits_few_rows() {
    let place = Place::alone_on_a_server();
    apply(&mut *place.model(), batches(long_timeline()));
    a_sparse_filter_gives_short_pages_that_go_on(&*place.lookup(1));
    let (pages, rows) = visited(&place, "timeline", |lookup| {
        let mut pages = 0;
        for (kind, from, to) in many::parts_of_the_long_timeline() {
            let mut query = TimelineQuery {
                kind,
                from,
                to,
                limit: PAGE,
                ..TimelineQuery::default()
            };
            for _ in 0..2 {
                let page = lookup.timeline(&long(), &query).unwrap().value.unwrap();
                assert_eq!(page.items.len(), PAGE);
                query.after = page.next;
                pages += 1;
            }
        }
        pages
    });
    assert!(rows <= 10 * PAGE * pages, "{rows} rows for {pages} pages");
    let (pages, rows) = visited(&place, "device", |lookup| {
        let mut after: Option<String> = Some("d-02".to_owned());
        for _ in 0..3 {
            let page = lookup.devices(&long(), after.as_deref(), PAGE).unwrap();
            let page = page.value.unwrap();
            assert_eq!(page.items.len(), PAGE);
            after = page.next;
        }
        3
    });
    assert!(rows <= 10 * PAGE * pages, "{rows} rows for {pages} pages");
}

#[test]
fn on_sqlite_a_sparse_filter_gives_short_pages_that_go_on() {
    let place = Place::new(Kind::Sqlite);
    apply(&mut *place.model(), batches(long_timeline()));
    a_sparse_filter_gives_short_pages_that_go_on(&*place.lookup(1));
}

fn a_sparse_filter_gives_short_pages_that_go_on(lookup: &dyn Lookup) {
    let mut query = TimelineQuery {
        kind: Some(EventKind::LicenseRevoked),
        limit: PAGE,
        ..TimelineQuery::default()
    };
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = lookup.timeline(&long(), &query).unwrap().value.unwrap();
        found.extend(page.items.into_iter().map(|row| row.recorded.at.offset));
        pages += 1;
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(found, [i64::try_from(EVENTS / 2).unwrap()]);
    // All but the last look at as many as they may; the last finds that there are no more.
    assert_eq!(pages, EVENTS / VISITS_MAX + 1);
}
