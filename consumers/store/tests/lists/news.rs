//! What a lookup on PostgreSQL hears of commits, and how many rows a page of its lists visits.

use std::time::{Duration, Instant};

use licenseflow_avro::Lane;
use licenseflow_store::lookup::LicenseQuery;
use licenseflow_store::{Lookup, PartitionEnd, PostgresLookup, ReadModel};
use tokio::sync::watch;
use tokio_postgres::Client;

use crate::data::Store;
use crate::postgres::{Schema, connect, runtime};
use crate::stores::Place;
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

/// What is done, and how many entries of a table's indexes were visited for it: the table itself was scanned
/// not once. A connection has told the server all that it visited before it is gone, so nothing is counted
/// before everybody else is.
pub(crate) fn visited<T>(
    place: &Place,
    table: &str,
    question: impl FnOnce(&dyn Lookup) -> T,
) -> (T, usize) {
    let Place::Server(server) = place else {
        unreachable!("others' visits would be counted too");
    };
    let client = connect(server.url());
    let counted = || {
        let others = "select from pg_stat_activity \
             where backend_type = 'client backend' and pid <> pg_backend_pid()";
        until("everybody else is gone", || {
            let others = runtime().block_on(client.query(others, &[])).unwrap();
            others.is_empty().then_some(())
        });
        let sql = "select (select sum(idx_tup_read) from pg_stat_user_indexes where relname = $1)::bigint, \
             seq_scan from pg_stat_user_tables where relname = $1";
        let row = runtime().block_on(client.query_one(sql, &[&table]));
        let row = row.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    let before = counted();
    let lookup = place.lookup(1);
    let done = question(&*lookup);
    drop(lookup);
    let after = counted();
    assert_eq!(after.1, before.1, "{table} was scanned whole");
    let rows = usize::try_from(after.0 - before.0).unwrap();
    assert!(rows > 0, "nothing was counted");
    (done, rows)
}

#[test]
fn a_page_visits_rows_in_proportion_to_itself_whatever_the_sort() {
    const LICENSES: usize = 3000;
    let store = Store::random_in(Place::alone_on_a_server(), 7, LICENSES);
    let (rows, visits) = visited(&store.place, "license", |lookup| {
        let mut rows = 0;
        for (sort, descending) in SORTS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
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
        rows
    });
    assert_eq!(rows, SORTS.len() * 2 * 3 * 50);
    assert!(visits <= 10 * rows, "{visits} visits for {rows} rows");
}
