//! The log kept elsewhere and brought back: to a folder and to an S3-compatible store, with deaths on the way.

mod refusals;
mod seen;
mod stage;

use std::collections::{BTreeMap, BTreeSet};

use licenseflow_tests::harness::{
    Kafka, Moto, Platform, Process, Role, Signal, unique_prefix, wait_until,
};
use serde_json::Value;

use super::later_schema;
use super::zombie::stands_still;
use seen::{Lanes, count, lanes, moments, offsets, read_by_another_hand, start_and_settle};
use stage::{ENDED_BY_ABORT, PATIENCE, archived, described, files, fill, restored, tried};

/// Every claim in one story, on two clusters: the second is what is left when the first is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_archived_and_restored_gives_the_same_read_model() {
    let (before, folder) = (Kafka::own().unwrap(), stage::folder());
    let to = folder.path().display().to_string();
    let old = stage::quiet(before.bootstrap(), &unique_prefix());
    let up = old.start(Role::Up).unwrap();
    fill(&old, 1, 2500);
    later_schema::register(&old).await;
    stage::send(
        &old,
        &later_schema::value(later_schema::LATER_ID, "LATER-1", 1),
    )
    .await;

    killed_and_gone_on_with(&old, &to);
    what_is_new_alone_is_copied(&old, &to);

    let settled = start_and_settle(&old);
    let known = moments(&old);
    let schemas = seen::schemas(&old);
    let (log, places) = (lanes(&old), offsets(&old));
    Platform::stop(up).unwrap();
    read_by_another_hand(&old, folder.path(), &log);
    drop(before);

    let after = Kafka::own().unwrap();
    let new = stage::quiet(after.bootstrap(), old.prefix());
    let done = restored_after_a_death(&new, &to, &log);
    said_of_offsets(&new, &done, &places);
    let restored = lanes(&new);
    for (topic, partitions) in &log {
        for (partition, records) in partitions {
            let found = restored[topic].get(partition).cloned().unwrap_or_default();
            assert!(*records == found, "{topic}:{partition} has other records");
        }
    }
    let up = new.start(Role::Up).unwrap();
    assert_eq!(start_and_settle(&new), settled, "the digest");
    assert_eq!(new.verify().unwrap()["equal"], true);
    assert_eq!(moments(&new), known, "what was known when");
    assert_eq!(seen::schemas(&new), schemas, "schemas and their ids");
    refusals::of_a_log_that_has_gone_on(&new, &to).await;
    Platform::stop(up).unwrap();
}

/// Deaths after a part and before the manifest that names it, and one from outside at any moment.
fn killed_and_gone_on_with(platform: &Platform, to: &str) {
    for passes in ["1", "4", "9"] {
        let at = format!("after_part:{passes}");
        let output = tried(
            platform,
            &["archive", "--to", to],
            &[("LICENSEFLOW_CRASH_AT", &at)],
        );
        assert_eq!(output.code, ENDED_BY_ABORT, "{}", output.stderr);
    }
    let begun = files(to).len();
    stage::killed(platform, &["archive", "--to", to], || {
        files(to).len() > begun
    });
    archived(platform, to);
    // In one go it comes to the same, to the byte.
    let whole = stage::folder();
    let in_one_go = whole.path().display().to_string();
    archived(platform, &in_one_go);
    assert_eq!(files(to), files(&in_one_go));
    for file in files(to) {
        let read = |folder: &str| std::fs::read(format!("{folder}/{file}")).unwrap();
        // Parts stand in the manifest in the order in which they were copied.
        assert!(
            file == "manifest.json" || read(to) == read(&in_one_go),
            "{file}"
        );
    }
    let parts = |folder: &str| -> BTreeSet<String> {
        let manifest = stage::manifest(folder);
        let parts = manifest["manifest"]["parts"].as_array().unwrap();
        parts.iter().map(Value::to_string).collect()
    };
    assert_eq!(parts(to), parts(&in_one_go));
    let named: BTreeSet<String> = stage::named(to).into_iter().collect();
    assert_eq!(
        named,
        files(to).into_iter().collect(),
        "each file is named once"
    );
}

fn what_is_new_alone_is_copied(platform: &Platform, to: &str) {
    let known = files(to);
    let nothing = archived(platform, to);
    assert_eq!(
        (&nothing["parts"], &nothing["records"]),
        (&0.into(), &0.into())
    );
    let before = count(&lanes(platform));
    fill(platform, 2, 300);
    let new = count(&lanes(platform)) - before;
    let added = archived(platform, to);
    assert_eq!(added["records"], new, "{added}");
    assert!(files(to).is_superset(&known), "a part was taken away");
    assert_eq!(added["missing_offsets"], 0);
    let checked = restored(platform, &["--check", "--from", to]);
    assert_eq!(checked["missing_offsets"], 0);
}

/// Dies in the middle, leaves topics that no start takes, ends in order when it is asked to, and goes on where it was.
fn restored_after_a_death(platform: &Platform, to: &str, log: &Lanes) -> Value {
    let command = ["restore", "--from", to];
    let crash = [("LICENSEFLOW_CRASH_AT", "while_restoring:1100")];
    let output = tried(platform, &command, &crash);
    assert_eq!(output.code, ENDED_BY_ABORT, "{}", output.stderr);
    let described = described(platform);
    assert!(
        described.contains("message.timestamp.type is CreateTime"),
        "{described}"
    );
    let started = tried(platform, &["up"], &[]);
    assert_eq!(started.code, 1);
    assert!(
        started.stderr.contains("kafka-configs.sh"),
        "{}",
        started.stderr
    );
    let held = count(&lanes(platform));
    assert!(held > 0);
    asked_to_end(platform, &command);
    let more = count(&lanes(platform));
    assert!(more > held && more < count(log), "{held}, {more}");

    let done = restored(platform, &["--from", to]);
    // The schemas are records too.
    let known = done["known"].as_u64().unwrap() as usize;
    assert!(known > more && known < more + 50, "{more}: {done}");
    let all = known + done["records"].as_u64().unwrap() as usize;
    assert_eq!(all - count(log), known - more, "{done}");
    let described = self::described(platform);
    assert!(!described.contains('!'), "{described}");
    assert_eq!(restored(platform, &["--from", to])["records"], 0);
    done
}

/// A signal in the middle: the topics are set back, though not all is there.
fn asked_to_end(platform: &Platform, command: &[&str]) {
    let mut command = platform.command(command).unwrap();
    command.env("LICENSEFLOW_STOP_AT", "while_restoring:700");
    let mut process = Process::start("restore", &command).unwrap();
    wait_until("it stands still", PATIENCE, || {
        stands_still(&process) || !process.is_running().unwrap()
    })
    .unwrap();
    process.signal(Signal::Term).unwrap();
    process.signal(Signal::Continue).unwrap();
    let code = process.wait(PATIENCE).unwrap();
    assert_eq!(code, 1, "{}", process.stderr());
    let said = process.stderr();
    assert!(said.contains("stopped before the end"), "{said}");
    let described = described(platform);
    assert!(!described.contains('!'), "{described}");
}

/// Offsets are as before below where the restore says so, and there is no gap any more.
fn said_of_offsets(platform: &Platform, done: &Value, before: &BTreeMap<(String, i32), Vec<i64>>) {
    let after = offsets(platform);
    let mut moved = 0;
    for of in done["partitions"].as_array().unwrap() {
        let topic = match of["topic"].as_str().unwrap() {
            "interactive" => platform.events_topic(),
            "bulk" => platform.bulk_topic(),
            _ => continue,
        };
        let number = |name: &str| of[name].as_i64().unwrap();
        let partition = (topic, number("partition") as i32);
        let (before, after) = (&before[&partition], &after[&partition]);
        let whole: Vec<i64> = (0..before.len() as i64).collect();
        assert_eq!(*after, whole, "{partition:?}");
        let differs = before.iter().zip(after).position(|(old, new)| old != new);
        let same_below = differs.unwrap_or(before.len()) as i64;
        assert_eq!(number("same_below"), same_below, "{partition:?}");
        assert_eq!(number("restored_next_offset"), whole.len() as i64);
        assert!(number("archived_next_offset") > before[before.len() - 1]);
        moved += i64::from(differs.is_some());
    }
    assert!(moved > 0, "there were transactions: {done}");
}

/// As above in short: to a bucket, and back beside the log itself, under another prefix.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_a_place_too_and_another_prefix_a_place_to_try_it() {
    let moto = Moto::start().unwrap();
    let platform =
        |prefix: &str| moto.for_platform(stage::quiet(Kafka::shared().bootstrap(), prefix));
    let old = platform(&unique_prefix());
    refusals::of_what_is_not_there(&old);
    let up = old.start(Role::Up).unwrap();
    fill(&old, 3, 600);
    let settled = start_and_settle(&old);
    let log = lanes(&old);
    Platform::stop(up).unwrap();

    let to = "s3://backups/licenses/2026";
    let missing = tried(&old, &["archive", "--to", to], &[]);
    assert_eq!(missing.code, 1);
    assert!(
        missing
            .stderr
            .contains("there is no bucket at s3://backups"),
        "{}",
        missing.stderr
    );
    moto.make_bucket("backups").unwrap();
    let crash = [("LICENSEFLOW_CRASH_AT", "after_part:3")];
    let killed = tried(&old, &["archive", "--to", to], &crash);
    assert_eq!(killed.code, ENDED_BY_ABORT, "{}", killed.stderr);
    archived(&old, to);
    assert_eq!(archived(&old, to)["parts"], 0);

    let new = platform(&unique_prefix());
    refusals::of_what_is_damaged(&new, &moto, to);
    restored(&new, &["--from", to]);
    let found = lanes(&new);
    for (topic, partitions) in &log {
        let topic = topic.replace(old.prefix(), new.prefix());
        assert!(found[&topic] == *partitions, "{topic}");
    }
    let up = new.start(Role::Up).unwrap();
    assert_eq!(start_and_settle(&new), settled, "the digest");
    Platform::stop(up).unwrap();
}
