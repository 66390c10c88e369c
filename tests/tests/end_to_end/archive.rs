//! The log kept elsewhere and brought back: to a folder and to an S3-compatible store, with deaths on the way.

mod refusals;
mod stage;

use std::collections::BTreeSet;

use licenseflow_tests::harness::{Kafka, Moto, Platform, Role, unique_prefix};
use serde_json::Value;

use super::later_schema;
use stage::{
    ENDED_BY_ABORT, archived, described, files, fill, lanes, moments, read_by_another_hand,
    restored, start_and_settle, tried,
};

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
    let schemas = stage::schemas(&old);
    let log = lanes(&old);
    Platform::stop(up).unwrap();
    read_by_another_hand(&old, folder.path(), &log);
    drop(before);

    let after = Kafka::own().unwrap();
    let new = stage::quiet(after.bootstrap(), old.prefix());
    restored_after_a_death(&new, &to, &log);
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
    assert_eq!(stage::schemas(&new), schemas, "schemas and their ids");
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
    let offsets =
        |of: &stage::Lanes| -> usize { of.values().flat_map(|it| it.values()).map(Vec::len).sum() };
    let before = offsets(&lanes(platform));
    fill(platform, 2, 300);
    let new = offsets(&lanes(platform)) - before;
    let added = archived(platform, to);
    assert_eq!(added["records"], new, "{added}");
    assert!(files(to).is_superset(&known), "a part was taken away");
    assert_eq!(added["missing_offsets"], 0);
    let checked = restored(platform, &["--check", "--from", to]);
    assert_eq!(checked["missing_offsets"], 0);
}

/// Dies in the middle, leaves topics that no start takes, and goes on where it was.
fn restored_after_a_death(platform: &Platform, to: &str, log: &stage::Lanes) {
    let command = ["restore", "--from", to];
    let crash = [("LICENSEFLOW_CRASH_AT", "while_restoring:2100")];
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

    let done = restored(platform, &["--from", to]);
    assert!(done["known"].as_i64() > Some(0), "{done}");
    let lanes: usize = log.values().flat_map(|it| it.values()).map(Vec::len).sum();
    let all = done["known"].as_i64().unwrap() + done["records"].as_i64().unwrap();
    assert!(all > lanes as i64, "schemas are records too: {done}");
    let described = self::described(platform);
    assert!(!described.contains('!'), "{described}");
    // Aborted transactions have left gaps, and the mapping says from where on.
    let partitions = done["partitions"].as_array().unwrap();
    let moved = partitions.iter().filter(|it| {
        it["archived_next_offset"].as_i64() > it["restored_next_offset"].as_i64()
            && it["same_below"].as_i64() < it["restored_next_offset"].as_i64()
    });
    assert!(moved.count() > 0, "{done}");
    let again = restored(platform, &["--from", to]);
    assert_eq!(again["records"], 0);
}

/// As above in short: to a bucket, and back beside the log itself, under another prefix.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_a_place_too_and_another_prefix_a_place_to_try_it() {
    let moto = Moto::start().unwrap();
    let platform =
        |prefix: &str| moto.for_platform(stage::quiet(Kafka::shared().bootstrap(), prefix));
    let old = platform(&unique_prefix());
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
