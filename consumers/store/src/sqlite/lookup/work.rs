//! The work stays with the page: at a hundred thousand rows, a page takes no more of SQLite's steps than ten
//! times as many rows as it has would take.

use licenseflow_core::Batch;

use super::Snapshot;
use super::steps::counted;
use crate::lookup::{LicenseQuery, SortBy, TimelineQuery};

#[path = "../../../tests/places/many.rs"]
mod many;

use many::{PAGE, TENANT, long};

/// What it takes to visit a row: its columns, and the way to the next.
const STEPS_A_ROW: u64 = 30;

/// Asks of a store that holds these events, and holds each question to its steps.
fn ask(batches: Vec<Batch>, questions: impl FnOnce(&Snapshot<'_>, &dyn Fn(&str))) {
    counted(batches, |snapshot, steps| {
        questions(snapshot, &|what| {
            let taken = steps();
            let most = 10 * PAGE as u64 * STEPS_A_ROW;
            assert!(taken <= most, "{what}: {taken} steps for {PAGE} rows");
        });
    });
}

#[test]
fn a_page_of_a_hundred_thousand_licenses_of_one_customer_visits_few_rows() {
    let licenses = many::batches(many::licenses_of_one_customer());
    ask(licenses, |snapshot, hold| {
        for sort in [SortBy::LicenseId, SortBy::ExpiresAt, SortBy::LastEventAt] {
            for descending in [false, true] {
                let mut query = LicenseQuery {
                    tenant_id: TENANT.to_owned(),
                    customer_id: Some("c".to_owned()),
                    sort,
                    descending,
                    limit: PAGE,
                    visit_at_most: 10_000,
                    ..LicenseQuery::default()
                };
                for _ in 0..3 {
                    let page = snapshot.licenses(&query).unwrap();
                    assert_eq!(page.items.len(), PAGE);
                    query.after = page.next;
                    hold(&format!("licenses by {sort:?}"));
                }
            }
        }
    });
}

#[test]
fn a_page_of_a_long_timeline_or_of_many_devices_visits_few_rows() {
    let timeline = many::batches(many::long_timeline());
    ask(timeline, |snapshot, hold| {
        let license = snapshot.license_number(&long()).unwrap().unwrap();
        for (kind, from, to) in many::parts_of_the_long_timeline() {
            let mut query = TimelineQuery {
                kind,
                from,
                to,
                limit: PAGE,
                ..TimelineQuery::default()
            };
            for _ in 0..2 {
                let page = snapshot.timeline(&long(), license, &query).unwrap();
                assert_eq!(page.items.len(), PAGE, "{query:?}");
                query.after = page.next;
                hold(&format!("events of {kind:?}"));
            }
        }
        let mut after: Option<String> = None;
        for _ in 0..3 {
            let page = snapshot.devices(license, after.as_deref(), PAGE).unwrap();
            assert_eq!(page.items.len(), PAGE);
            after = page.next;
            hold("devices");
        }
    });
}

#[test]
fn a_license_without_letters_costs_a_few_steps_more_than_without_the_question_for_them() {
    let timeline = many::batches(many::long_timeline());
    counted(timeline, |snapshot, steps| {
        let plain = super::LICENSE_OF.as_str();
        let begin = plain.find(", exists (").unwrap();
        let end = begin + plain[begin..].find(") from license").unwrap() + 1;
        let without = format!("{}{}", &plain[..begin], &plain[end..]);
        let asked = |sql: &str| {
            let mut statement = snapshot.rows.prepare_cached(sql).unwrap();
            let key = long();
            steps();
            let mut rows = statement.query([&key.tenant_id, &key.license_id]).unwrap();
            assert!(rows.next().unwrap().is_some());
            assert!(rows.next().unwrap().is_none());
            steps()
        };
        let (with, without) = (asked(plain), asked(&without));
        assert!(with <= without + 16, "{with} steps, {without} without");
    });
}
