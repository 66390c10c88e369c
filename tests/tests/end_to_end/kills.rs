//! kill -9 of the projector: at random moments of a catch-up, and at each named point.

use std::collections::BTreeSet;
use std::time::Duration;

use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{Outbox, SqliteLookup, SqliteModel};
use licenseflow_tests::harness::{Kafka, Platform, Process, Role, kcat, unique_prefix, wait_until};
use licenseflow_tests::standing;

/// How many records the log has that is caught up with.
const RECORDS: u64 = 200_000;

/// How often the projector is killed on the way.
const KILLS: u64 = 10;

/// How long a step of a catch-up may take, the machine being busy with other tests.
const STEP: Duration = Duration::from_secs(120);

/// How many offsets the store has dealt with; none before there is a store.
fn dealt_with(platform: &Platform) -> u64 {
    let dealt_with =
        SqliteLookup::open(&platform.store(), 1).map_or(0, |it| standing::dealt_with(&it));
    u64::try_from(dealt_with).unwrap()
}

fn fill_the_log(platform: &Platform, records: u64) {
    platform.run(&["topics", "create"]).unwrap();
    let count = records.to_string();
    let events = platform.python(
        "generate.py",
        &[
            "--seed",
            "20261122",
            "--events",
            &count,
            "--licenses",
            "4000",
        ],
    );
    let file = platform.file("events.ndjson");
    std::fs::write(&file, events.unwrap()).unwrap();
    let topic = platform.events_topic();
    let to = [
        "--bootstrap",
        platform.bootstrap(),
        "--topic",
        &topic,
        "--file",
        file.to_str().unwrap(),
    ];
    let how = [
        "--format",
        "json",
        "--codec",
        "lz4",
        "--random-partitions",
        "--shuffle",
    ];
    platform
        .python("send.py", &[&to[..], &how[..]].concat())
        .unwrap();
}

/// A number that is spread over `0..bound`, the same for the same seed.
fn spread(seed: u64, bound: u64) -> u64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)) % bound
}

#[test]
fn ten_kills_in_a_catch_up_count_no_event_twice_and_lose_none() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_BATCH_RECORDS_MAX", "1000");
    fill_the_log(&platform, RECORDS);
    let sent = RECORDS;
    for kill in 0..KILLS {
        let target = sent * kill / (KILLS + 1) + spread(kill + 7, sent / (KILLS + 1));
        let mut projector = platform.launch(Role::Project).unwrap();
        wait_until("the projector goes on", STEP, || {
            dealt_with(&platform) > target
        })
        .unwrap_or_else(|error| panic!("kill {kill}: {error}\n{}", projector.stderr()));
        projector.kill().unwrap();
        let at = dealt_with(&platform);
        println!("kill {kill} at {at} of {sent}");
        assert!(at < sent, "the kill was not in the middle of the catch-up");
    }
    catch_up(&platform, sent, || true);
}

/// Goes on to the end, and holds the read model against the log and against itself.
fn catch_up(platform: &Platform, sent: u64, also: impl Fn() -> bool) {
    let mut up = platform.start(Role::Up).unwrap();
    wait_until("all is dealt with", STEP, || dealt_with(platform) >= sent)
        .unwrap_or_else(|error| panic!("{error}\n{}", up.stderr()));
    wait_until("letters are sent", STEP, also).unwrap();
    let report = platform.verify().unwrap();
    assert_eq!(report["equal"], true, "{report}");
    assert!(up.is_running().unwrap());
    Platform::stop(up).unwrap();
    let mut model = SqliteModel::open(&platform.store(), SqliteOptions::default()).unwrap();
    assert_eq!(model.recount().unwrap(), model.kept_digest().unwrap());
}

fn dies_at(point: &str, platform: &Platform) {
    let mut command = platform.command(&["project"]).unwrap();
    command.env("LICENSEFLOW_CRASH_AT", point);
    let mut projector = Process::start("project", &command).unwrap();
    let code = projector
        .wait(STEP)
        .unwrap_or_else(|error| panic!("{point}: {error}\n{}", projector.stderr()));
    assert_eq!(
        code,
        128 + 6,
        "{point} ends by abort: {}",
        projector.stderr()
    );
}

/// How many letters are not marked as sent. Those that a dead process sent and did not mark are sent
/// again by the next, so seeing them in the topic is not enough.
fn unsent(platform: &Platform) -> i64 {
    let store = rusqlite::Connection::open(platform.store()).unwrap();
    let sql = "select count(*) from rejected where sent_at_ms is null";
    store.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_death_at_any_named_point_leaves_nothing_out_and_nothing_twice() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_BATCH_RECORDS_MAX", "50");
    fill_the_log(&platform, 3000);
    let (topic, sent) = (platform.events_topic(), 3000 + 5);
    let poison = (0..5)
        .map(|number| format!("poison {number}\n"))
        .collect::<String>();
    kcat::produce(platform.bootstrap(), &topic, &[], &poison).unwrap();
    for point in [
        "in_migration",
        "after_poll:3",
        "inside_transaction:2",
        "before_commit:3",
        "after_commit:4",
        "after_letter",
    ] {
        dies_at(point, &platform);
    }
    let dead = format!("{}license.events.dlq.v1", platform.prefix());
    catch_up(&platform, sent, || {
        let each_once = ["-f", "%s\\n", "-e"];
        let letters = kcat::consume(platform.bootstrap(), &dead, &each_once).unwrap_or_default();
        let poison = letters.lines().filter(|it| it.starts_with("poison"));
        poison.collect::<BTreeSet<_>>().len() == 5 && unsent(&platform) == 0
    });
    let mut model = SqliteModel::open(&platform.store(), SqliteOptions::default()).unwrap();
    assert!(
        model.unsent(0, 10, &[]).unwrap().is_empty(),
        "each letter was sent in the end"
    );
}
