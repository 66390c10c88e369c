//! Which crate of ours may depend on which. The table is the design; Cargo's own words are the fact.

use std::collections::BTreeSet;
use std::process::Command;

use licenseflow_tests::harness::project;
use serde_json::{Value, json};

/// Crate, and the crates that it may name. `cli` and `tests` may name all.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("avro", &[]),
    ("core", &["avro"]),
    ("kafka", &["core", "avro", "runtime"]),
    ("store", &["core", "avro"]),
    ("projector", &["kafka", "store", "core", "avro", "runtime"]),
    ("query", &["store", "core", "runtime"]),
    ("archive", &["core", "avro", "runtime"]),
    ("producers", &["avro", "runtime"]),
    ("registry", &["avro", "runtime"]),
    ("runtime", &[]),
    ("cli", ALL),
    ("tests", ALL),
];

const ALL: &[&str] = &[
    "avro",
    "core",
    "kafka",
    "store",
    "projector",
    "query",
    "archive",
    "producers",
    "registry",
    "runtime",
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(project())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The crate's name in the design: without the family's prefix.
fn room(package: &str) -> &str {
    package.strip_prefix("licenseflow-").unwrap_or(package)
}

/// What the design does not allow, one sentence each. Every kind of dependency counts: a test
/// of a room that needs another room belongs to `tests`.
fn faults(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    let mut faults = Vec::new();
    for package in packages {
        let from = room(package["name"].as_str().unwrap());
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == from) else {
            faults.push(format!("the design knows no crate {from}"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            let to = room(name);
            if ours.contains(name) && !allowed.contains(&to) {
                faults.push(format!("{from} must not depend on {to}"));
            }
        }
    }
    faults
}

#[test]
fn no_crate_depends_on_one_that_it_must_not_know() {
    let faults = faults(&metadata());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_crate_of_the_design_is_there() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let found: BTreeSet<&str> = packages
        .iter()
        .map(|p| room(p["name"].as_str().unwrap()))
        .collect();
    let designed: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, designed);
}

#[test]
fn a_forbidden_edge_and_an_unknown_crate_are_seen() {
    let mut metadata = metadata();
    let before = faults(&metadata);
    let packages = metadata["packages"].as_array_mut().unwrap();
    let core = packages
        .iter_mut()
        .find(|p| room(p["name"].as_str().unwrap()) == "core")
        .unwrap();
    core["dependencies"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "licenseflow-store", "kind": "dev"}));
    packages.push(json!({"name": "licenseflow-util", "dependencies": []}));
    let after = faults(&metadata);
    let added: Vec<&String> = after
        .iter()
        .filter(|fault| !before.contains(fault))
        .collect();
    assert_eq!(
        added,
        [
            "core must not depend on store",
            "the design knows no crate util"
        ]
    );
}
