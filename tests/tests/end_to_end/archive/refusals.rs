//! What a restore does not do, and what it says instead.

use std::fs;

use licenseflow_tests::harness::{Moto, Platform};
use serde_json::Value;

use super::{seen, stage};

fn refused(platform: &Platform, from: &str) -> String {
    let ended = stage::tried(platform, &["restore", "--from", from], &[]);
    assert_eq!(ended.code, 1, "{}", ended.stdout);
    let described = stage::described(platform);
    assert!(!described.contains('!'), "the settings stayed: {described}");
    ended.stderr
}

/// Topics that are not there, and places that are none.
pub(super) fn of_what_is_not_there(platform: &Platform) {
    let folder = stage::folder();
    let to = folder.path().display().to_string();
    let said = |code: i32, arguments: &[&str]| {
        let ended = stage::tried(platform, &[&["archive"], arguments].concat(), &[]);
        assert_eq!(ended.code, code, "{}", ended.stderr);
        ended.stderr
    };
    let lane = said(1, &["--to", &to]);
    assert!(
        lane.contains("license.events.bulk.v1 does not exist"),
        "{lane}"
    );
    let nowhere = said(2, &["--to", "gs://bucket"]);
    assert!(nowhere.contains("s3://BUCKET/PREFIX"), "{nowhere}");
    platform.run(&["topics", "create"]).unwrap();
    let schemas = said(1, &["--to", &to, "--schemas-topic", "t.nowhere"]);
    assert!(schemas.contains("t.nowhere does not exist"), "{schemas}");
    assert!(schemas.contains("--without-schemas"), "{schemas}");
    assert!(stage::files(&to).is_empty(), "nothing was begun");
    said(0, &["--to", &to, "--without-schemas"]);
    assert_eq!(stage::named(&to), ["manifest.json"]);
}

/// Topics that have more than the archive, in a cluster that is in use.
pub(super) async fn of_a_log_that_has_gone_on(platform: &Platform, from: &str) {
    let settled = seen::lanes(platform);
    stage::send(platform, b"{}").await;
    let said = refused(platform, from);
    for words in [
        "holds what is not of this archive",
        "--topic-prefix",
        "kafka-topics.sh",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(
        seen::count(&seen::lanes(platform)),
        seen::count(&settled) + 1
    );
    let nowhere = platform.file("nowhere").display().to_string();
    assert!(refused(platform, &nowhere).contains("there is no folder"));
    let empty = platform.folder().display().to_string();
    assert!(refused(platform, &empty).contains("there is no archive at"));
}

/// A part whose bytes are others, and a part that is gone; each is put back after it.
pub(super) fn of_what_is_damaged(platform: &Platform, moto: &Moto, from: &str) {
    let bucket = from.strip_prefix("s3://").unwrap();
    let kept = platform.file("kept").display().to_string();
    moto.get(&format!("{bucket}/manifest.json"), &kept).unwrap();
    let manifest: Value = serde_json::from_str(&fs::read_to_string(&kept).unwrap()).unwrap();
    let parts = manifest["manifest"]["parts"].as_array().unwrap();
    // The last of the interactive lane: much is restored before it is come to.
    let lane = |part: &&Value| {
        part["topic"]
            .as_str()
            .unwrap()
            .ends_with("license.events.v1")
    };
    let part = parts.iter().rfind(lane).unwrap();
    let file = part["file"].as_str().unwrap();
    let object = format!("{bucket}/{file}");
    moto.get(&object, &kept).unwrap();

    let mut content = fs::read(&kept).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    let damaged = platform.file("damaged").display().to_string();
    fs::write(&damaged, content).unwrap();
    moto.put(&object, &damaged).unwrap();
    let said = refused(platform, from);
    assert!(
        said.contains(&format!("{from}/{file} is damaged")),
        "{said}"
    );
    let topic = platform.events_topic();
    let lanes = seen::lanes(platform);
    let partition = part["partition"].as_i64().unwrap() as i32;
    assert!(
        !lanes[&topic].contains_key(&partition),
        "of the damaged file"
    );
    assert!(lanes[&topic].len() > 5, "of those before it");
    let checked = stage::tried(platform, &["restore", "--check", "--from", from], &[]);
    assert!(
        checked.stderr.contains(&format!("{file} is damaged")),
        "{}",
        checked.stderr
    );

    moto.delete(&object).unwrap();
    let said = refused(platform, from);
    assert!(
        said.contains(&format!("{from}/{file} is missing")),
        "{said}"
    );
    moto.put(&object, &kept).unwrap();
}
