//! What the PostgreSQL store does when the server, or what lies in it, is not as it should be.

use std::time::{Duration, Instant};

use licenseflow_store::postgres::PostgresOptions;
use licenseflow_store::{Kind, PostgresModel, ReadModel as _};

use crate::model::{Model as _, Place as _};
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
    let mut model = PostgresModel::open(server.url(), &options, runtime()).unwrap();
    assert_eq!(model.positions().unwrap()[0].next_offset, 6);
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
