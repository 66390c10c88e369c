//! What a lookup on PostgreSQL says where one of the questions behind an answer fails, or takes too long.

use std::time::{Duration, Instant};

use licenseflow_store::lookup::{LicenseParts, LicenseRow, Read};
use licenseflow_store::{Error, Kind as Failure, Lookup, Patience, PostgresLookup};

use crate::data::{NOW, Store};
use crate::postgres::{connect, in_schema, runtime, server::Postgres};
use crate::stores::Kind;

fn license(lookup: &dyn Lookup, store: &Store) -> Result<Read<Option<LicenseRow>>, Error> {
    lookup.license(&store.keys[0])
}

#[test]
fn of_questions_that_are_asked_together_the_one_that_failed_is_named() {
    let store = Store::random(Kind::Postgres, 1, 40);
    let lookup = store.lookup(1);
    let client = in_schema(store.schema().unwrap());
    runtime()
        .block_on(client.batch_execute("drop table total_day"))
        .unwrap();
    let all = LicenseParts {
        devices: Some(10),
        usage: true,
        timeline: Some(10),
        customer_at: Some(NOW),
    };
    let mut failures = 0;
    for key in store.keys.iter().cycle().take(200) {
        if let Err(error) = lookup.license_with(key, &all) {
            assert!(error.to_string().contains("total_day"), "{error}");
            failures += 1;
        }
    }
    assert!(failures > 100, "{failures}");
}

#[test]
fn who_waits_for_a_connection_waits_no_longer_than_for_an_answer() {
    let store = Store::random(Kind::Postgres, 2, 5);
    let schema = store.schema().unwrap();
    let url = Postgres::shared().url();
    let lookup = PostgresLookup::open(url, schema, 1, runtime()).unwrap();
    license(&lookup, &store).unwrap();
    let client = in_schema(schema);
    let execute = |sql: &str| runtime().block_on(client.batch_execute(sql)).unwrap();
    execute("begin; lock table license");
    let (_asker, long) = Patience::of(Duration::from_secs(20));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| long.during(|| license(&lookup, &store)).map(|_| ()));
        let waits = connect(url);
        let sql = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like $1";
        let begun = Instant::now();
        loop {
            let row = runtime().block_on(waits.query_one(sql, &[&"%from license%"]));
            if row.unwrap().get::<_, i64>(0) > 0 {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "nobody waits");
        }
        let begun = Instant::now();
        let (_asker, short) = Patience::of(Duration::from_millis(200));
        let error = short.during(|| license(&lookup, &store)).unwrap_err();
        assert_eq!(error.kind(), Failure::Away, "{error}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{error}");
        execute("rollback");
        first.join().unwrap().unwrap();
    });
    license(&lookup, &store).unwrap();
}
