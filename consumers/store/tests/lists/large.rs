//! Rows and events as large as they may be: a page ends at a number of bytes, and loses none.

use licenseflow_store::lookup::{SortBy, TimelineQuery};

use crate::data::Store;
use crate::stores::{Kind, on_every_store};
use crate::{everything, pages};

fn a_page_of_large_licenses_is_short_and_goes_on(kind: Kind) {
    let store = Store::large(kind);
    let lookup = store.lookup(1);
    for sort in [SortBy::LicenseId, SortBy::ExpiresAt, SortBy::LastEventAt] {
        let mut query = everything(sort, false);
        query.limit = 1000;
        let first = lookup.licenses(&query).unwrap().value;
        assert!(
            first.items.len() < 20 && first.next.is_some(),
            "{}",
            first.items.len()
        );
        let (mut rows, _) = pages(&*lookup, &query);
        rows.sort_by(|one, other| one.key.cmp(&other.key));
        let mut keys = store.keys.clone();
        keys.sort();
        assert!(rows.iter().map(|row| &row.key).eq(&keys));
    }
}

fn a_page_of_large_events_is_short_and_goes_on(kind: Kind) {
    let store = Store::large(kind);
    let lookup = store.lookup(1);
    let (mut times, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let query = TimelineQuery {
            after,
            limit: 1000,
            ..TimelineQuery::default()
        };
        let page = lookup
            .timeline(&store.keys[0], &query)
            .unwrap()
            .value
            .unwrap();
        times.extend(page.items.iter().map(|row| row.recorded.event.occurred_at));
        pages += 1;
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    assert_eq!(times.len(), 20);
    assert!(times.is_sorted());
    assert_eq!(pages, 2);
}

on_every_store!(
    a_page_of_large_licenses_is_short_and_goes_on,
    a_page_of_large_events_is_short_and_goes_on,
);
