//! What a lookup on PostgreSQL hears of commits, and how many rows a page of its lists visits.

use std::time::{Duration, Instant};

use licenseflow_avro::Lane;
use licenseflow_store::lookup::LicenseQuery;
use licenseflow_store::{Lookup, PartitionEnd, PostgresLookup, ReadModel};
use tokio::sync::watch;
use tokio_postgres::Client;

use crate::data::Store;
use crate::postgres::{Schema, connect, runtime, server::Postgres};
use crate::stores::{Kind, Place};
use crate::{SORTS, everything};

const DEADLINE: Duration = Duration::from_secs(30);

/// So long without a change counts as quiet.
const QUIET: Duration = Duration::from_millis(400);

fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn changes_within(news: &mut watch::Receiver<u64>, time: Duration) -> bool {
    let changed = async { tokio::time::timeout(time, news.changed()).await.is_ok() };
    runtime().block_on(changed)
}

fn listener(client: &Client, schema: &Schema) -> Option<i32> {
    let sql = "select pid from pg_stat_activity where query = $1 and state = 'idle'";
    let query = format!("listen {}", schema.name());
    let row = runtime().block_on(client.query_opt(sql, &[&query]));
    row.unwrap().map(|row| row.get(0))
}

#[test]
fn a_commit_is_heard_and_while_nobody_can_be_heard_time_passing_is_news() {
    let schema = Schema::new();
    let mut model = schema.open();
    let lookup = PostgresLookup::open(schema.url(), schema.name(), 1, runtime()).unwrap();
    let mut news = lookup.news();
    let client = connect(schema.url());
    let first = until("somebody listens", || listener(&client, &schema));
    until("nothing is told without a commit", || {
        (!changes_within(&mut news, QUIET)).then_some(())
    });
    for end_offset in 1..=3 {
        let end = PartitionEnd {
            lane: Lane::Interactive,
            partition: 0,
            end_offset,
            seen_at: 1,
        };
        model.note_ends(&[end], 1).unwrap();
        assert!(changes_within(&mut news, DEADLINE), "commit {end_offset}");
    }
    let end = "select pg_terminate_backend($1)";
    runtime().block_on(client.query(end, &[&first])).unwrap();
    for _ in 0..10 {
        assert!(changes_within(&mut news, DEADLINE), "it is asked meanwhile");
    }
    until("somebody listens again", || {
        listener(&client, &schema).filter(|again| *again != first)
    });
}

/// How often the table of licenses was scanned whole, and how many of its rows indexes led to, once
/// every connection that was used has said so.
fn visits(client: &Client, schema: &str) -> (i64, i64) {
    let sql = "select coalesce(seq_scan, 0), coalesce(idx_tup_fetch, 0) from pg_stat_user_tables \
         where schemaname = $1 and relname = 'license'";
    let mut before = None;
    until("the numbers stand still", || {
        let row = runtime()
            .block_on(client.query_one(sql, &[&schema]))
            .unwrap();
        let now = (row.get(0), row.get(1));
        let stood_still = before.replace(now) == Some(now);
        std::thread::sleep(QUIET);
        stood_still.then_some(now)
    })
}

/// What is done, and how many entries of a table's indexes and rows of the table itself were visited for it.
pub(crate) fn visited<T>(
    place: &Place,
    table: &str,
    question: &dyn Fn(&dyn Lookup) -> T,
) -> (T, usize) {
    let Place::Schema(schema) = place else {
        unreachable!("only PostgreSQL says what it visited");
    };
    let client = connect(schema.url());
    let sql = "select (select sum(idx_tup_read) from pg_stat_user_indexes \
             where schemaname = $1 and relname = $2)::bigint, seq_tup_read, seq_scan \
         from pg_stat_user_tables where schemaname = $1 and relname = $2";
    let standing = || {
        let mut before = None;
        until("the numbers stand still", || {
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&schema.name(), &table];
            let row = runtime().block_on(client.query_one(sql, &values)).unwrap();
            let now: (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
            let stood_still = before.replace(now) == Some(now);
            std::thread::sleep(QUIET);
            stood_still.then_some(now)
        })
    };
    let before = standing();
    let lookup = place.lookup(1);
    let done = question(&*lookup);
    drop(lookup);
    let after = until("the visits are counted", || {
        Some(standing()).filter(|after| *after != before)
    });
    let rows = (after.0 - before.0) + (after.1 - before.1);
    (done, usize::try_from(rows).unwrap())
}

#[test]
fn a_page_visits_rows_in_proportion_to_itself_whatever_the_sort() {
    const LICENSES: usize = 3000;
    let store = Store::random(Kind::Postgres, 7, LICENSES);
    let schema = store.schema().unwrap();
    let client = connect(Postgres::shared().url());
    let (scans, visited) = visits(&client, schema);
    let lookup = store.lookup(1);
    let mut rows = 0;
    for sort in SORTS {
        for descending in [false, true] {
            let mut query = LicenseQuery {
                limit: 50,
                ..everything(sort, descending)
            };
            for _ in 0..3 {
                let page = lookup.licenses(&query).unwrap().value;
                rows += page.items.len();
                query.after = page.next;
            }
        }
    }
    drop(lookup);
    assert_eq!(rows, SORTS.len() * 2 * 3 * 50);
    let of_pages = until("the visits are counted", || {
        let now = visits(&client, schema);
        (now.1 > visited).then_some((now.0 - scans, now.1 - visited))
    });
    assert_eq!(of_pages.0, 0, "no scan of the whole table");
    let most = 10 * i64::try_from(rows).unwrap();
    assert!(of_pages.1 <= most, "{} rows visited for {rows}", of_pages.1);
}
