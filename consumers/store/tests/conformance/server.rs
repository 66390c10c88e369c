//! What the PostgreSQL store does when the server, or what lies in it, is not as it should be.

use std::time::{Duration, Instant};

use licenseflow_store::postgres::PostgresOptions;
use licenseflow_store::{
    Kind, Lookup as _, Outbox as _, PostgresLookup, PostgresModel, ReadModel as _,
};

use crate::model::{Folder, Model as _, Place as _};
use crate::postgres::server::Postgres;
use crate::postgres::{Schema, connect, in_schema, runtime};
use crate::store::span;

fn execute(client: &tokio_postgres::Client, sql: &str) {
    runtime().block_on(client.batch_execute(sql)).unwrap();
}

#[test]
fn a_server_that_ends_and_comes_back_loses_nothing_and_is_found_again() {
    let mut server = Postgres::own().unwrap();
    let options = PostgresOptions::default();
    let mut model = PostgresModel::open(server.url(), &options, runtime()).unwrap();
    model.apply(span(0, 5), 1).unwrap();
    // Marks of letters are on disk at once, and all that was committed before them.
    model.mark_sent(&[], 1).unwrap();
    server.kill().unwrap();
    for _ in 0..2 {
        let error = model.apply(span(5, 6), 1).unwrap_err();
        assert_eq!(error.kind(), Kind::Away, "{error}");
        let error = model.positions().unwrap_err();
        assert_eq!(error.kind(), Kind::Away, "{error}");
    }
    server.start_again().unwrap();
    assert_eq!(model.positions().unwrap()[0].next_offset, 5);
    model.apply(span(5, 6), 1).unwrap();
    let mut other = PostgresModel::open(server.url(), &options, runtime()).unwrap();
    assert_eq!(other.positions().unwrap()[0].next_offset, 6);
}

#[test]
fn a_crash_of_the_server_takes_last_batches_whole_and_the_log_gives_them_back() {
    let mut server = Postgres::own().unwrap();
    let options = PostgresOptions::default();
    let mut model = PostgresModel::open(server.url(), &options, runtime()).unwrap();
    for from in 0..20 {
        model.apply(span(from, from + 1), 1).unwrap();
    }
    server.kill().unwrap();
    server.start_again().unwrap();
    let states = loop {
        match model.positions() {
            Ok(states) => break states,
            Err(error) => assert_eq!(error.kind(), Kind::Away, "{error}"),
        }
    };
    let stands = states.first().map_or(0, |state| state.next_offset);
    assert_eq!(model.recounted(), model.kept());
    // Who was further on is told so; who reads on from there loses nothing.
    if stands < 20 {
        let error = model.apply(span(20, 21), 1).unwrap_err();
        assert_eq!(error.kind(), Kind::Fenced, "{error}");
        model.apply(span(stands, 20), 1).unwrap();
    }
    model.apply(span(20, 21), 1).unwrap();
    assert_eq!(model.positions().unwrap()[0].next_offset, 21);
}

/// Has every insert into a table, or every change of its rows, take so long.
fn slow_down(client: &tokio_postgres::Client, table: &str, when: &str, seconds: f64) {
    let sql = format!(
        "create or replace function slow_{table}() returns trigger language plpgsql as
           $$ begin perform pg_sleep({seconds}); return new; end $$;
         create or replace trigger slow before {when} on {table}
           for each row execute function slow_{table}()"
    );
    execute(client, &sql);
}

#[test]
fn a_statement_has_its_time_and_a_batch_as_much_as_its_statements() {
    let schema = Schema::new();
    let statement_max = Duration::from_secs(2);
    let options = PostgresOptions {
        statement_max,
        ..schema.options()
    };
    let mut model = PostgresModel::open(schema.url(), &options, runtime()).unwrap();
    model.apply(span(0, 5), 1).unwrap();
    let client = in_schema(schema.name());
    slow_down(&client, "batch", "insert", 1.2);
    slow_down(&client, "position", "update", 1.2);
    let begun = Instant::now();
    model.apply(span(5, 6), 1).unwrap();
    assert!(begun.elapsed() > statement_max);
    slow_down(&client, "position", "update", 60.0);
    let begun = Instant::now();
    let error = model.apply(span(6, 7), 1).unwrap_err();
    assert_eq!(error.kind(), Kind::Away, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
    let sql = "select count(*) from pg_stat_activity
         where wait_event = 'PgSleep' and query like '%position%' and pid <> pg_backend_pid()";
    let sleeping = runtime().block_on(client.query_one(sql, &[])).unwrap();
    assert_eq!(sleeping.get::<_, i64>(0), 0, "the server works on");
    execute(&client, "drop trigger slow on position");
    model.apply(span(6, 7), 1).unwrap();

    // Who reads all of it waits as long as it takes.
    execute(&client, "begin; lock table license");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let counting = scope.spawn(|| assert_eq!(model.recounted(), model.kept()));
        while begun.elapsed() < statement_max + Duration::from_secs(1) && !counting.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        execute(&client, "rollback");
    });
    assert!(begun.elapsed() > statement_max);
}

#[test]
fn a_server_that_takes_a_connection_and_says_nothing_is_away() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("postgres://me@127.0.0.1:{port}/db");
    let options = PostgresOptions::default();
    let (told, opened) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let opened = PostgresModel::open(&url, &options, runtime());
        told.send(opened.map(|_| ())).unwrap();
    });
    let _held = listener.accept().unwrap();
    let error = opened.recv_timeout(Duration::from_secs(40));
    let error = error.expect("it waits for ever").unwrap_err();
    assert_eq!(error.kind(), Kind::Away, "{error}");
}

#[test]
fn an_owner_that_sits_on_a_license_does_not_stop_the_others_for_long() {
    let schema = Schema::new();
    let mut model = schema.open();
    model.apply(span(0, 5), 1).unwrap();
    let sitting = in_schema(schema.name());
    execute(&sitting, "begin; lock table position in exclusive mode");
    let begun = Instant::now();
    let error = model.apply(span(5, 6), 1).unwrap_err();
    assert_eq!(error.kind(), Kind::Away, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(15));
    execute(&sitting, "rollback");
    model.apply(span(5, 6), 1).unwrap();
}

#[test]
fn a_schema_of_another_program_or_a_later_release_is_refused_and_left_as_it_is() {
    let schema = Schema::new();
    let client = connect(schema.url());
    let name = schema.name();
    execute(
        &client,
        &format!("create schema {name}; create table {name}.mine (a int)"),
    );
    let error = schema.open_with(300_000_000).unwrap_err();
    assert_eq!(error.kind(), Kind::Unusable, "{error}");
    execute(&client, &format!("drop table {name}.mine"));
    drop(schema.open());
    execute(
        &client,
        &format!("update {name}.meta set value = value + 1 where name = 'schema_version'"),
    );
    let error = schema.open_with(300_000_000).unwrap_err();
    assert!(error.to_string().contains("later release"), "{error}");
    execute(
        &client,
        &format!("update {name}.meta set value = 1 where name = 'schema_version'"),
    );
    let error = schema.open_with(300_000_000).unwrap_err();
    assert!(error.to_string().contains("first release"), "{error}");
}

#[test]
fn whoever_may_not_log_in_and_a_server_that_is_not_there_are_told_apart() {
    let options = PostgresOptions::default();
    let refused = Postgres::shared().url().replace("/licenseflow", "/nowhere");
    let error = PostgresModel::open(&refused, &options, runtime()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unusable, "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
    let nobody = "postgres://me:geheim@127.0.0.1:1/db";
    let error = PostgresModel::open(nobody, &options, runtime()).unwrap_err();
    assert_eq!(error.kind(), Kind::Away, "{error}");
    assert!(!error.to_string().contains("geheim"), "{error}");
}

/// The server makes itself a key and a certificate for `localhost`, beside its own data, and takes TLS up.
fn certify(server: &Postgres) {
    let client = connect(server.url());
    let make = "copy (select) to program 'openssl req -x509 -newkey rsa:2048 -nodes -days 2 \
         -keyout server.key -out server.crt -subj /CN=localhost \
         -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE 2>openssl.log && chmod 600 server.key'";
    execute(&client, make);
    execute(&client, "alter system set ssl = on");
    execute(&client, "select pg_reload_conf()");
}

fn file_of(server: &Postgres, name: &str) -> String {
    let sql = "select pg_read_file($1)";
    let client = connect(server.url());
    let read = runtime().block_on(client.query_one(sql, &[&name]));
    read.unwrap().get(0)
}

#[test]
fn tls_is_as_the_address_asks_for_it() {
    let server = Postgres::own().unwrap();
    let options = PostgresOptions::default();
    let by_name = server.url().replace("127.0.0.1", "localhost");
    let open = |url: &str, asked: &str| {
        let url = format!("{url}?{asked}");
        PostgresModel::open(&url, &options, runtime())
    };
    let error = open(&by_name, "sslmode=require").unwrap_err();
    assert_eq!(error.kind(), Kind::Unusable, "{error}");
    assert!(error.to_string().contains("TLS"), "{error}");
    open(&by_name, "sslmode=prefer").unwrap();

    certify(&server);
    let folder = Folder::new();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, file_of(&server, "server.crt")).unwrap();
    let trusted = format!("sslmode=verify-full&sslrootcert={}", root.display());
    let begun = Instant::now();
    // A reload is taken up a moment after it was asked for.
    while let Err(error) = open(&by_name, &trusted) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut model = open(&by_name, &trusted).unwrap();
    model.apply(span(0, 5), 1).unwrap();
    let sql =
        "select count(*) > 0 and bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid)
         where application_name = 'licenseflow'";
    let watching = connect(server.url());
    let row = runtime().block_on(watching.query_one(sql, &[])).unwrap();
    assert!(row.get::<_, bool>(0), "what is said can be listened to");
    let url = format!("{by_name}?{trusted}");
    let lookup = PostgresLookup::open(&url, &options.schema, 2, runtime()).unwrap();
    assert_eq!(lookup.freshness().unwrap().partitions.len(), 1);
    open(&by_name, "sslmode=require").unwrap();
    open(&by_name, "sslmode=disable").unwrap();

    // The system does not know who signed it; and it is for another name.
    let untrusted = (&*by_name, "sslmode=verify-full");
    for (url, asked) in [untrusted, (server.url(), &trusted)] {
        let error = open(url, asked).unwrap_err();
        assert_eq!(error.kind(), Kind::Unusable, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

#[test]
fn many_who_open_an_empty_database_at_once_make_one_generation() {
    let schema = Schema::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| schema.open());
        }
    });
    let mut model = schema.open();
    assert!(model.positions().unwrap().is_empty());
    assert_eq!(model.kept(), model.recounted());
}
