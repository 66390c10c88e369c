//! One license rebuilt in the live generation, on both stores: whatever row of it was changed by hand, while events
//! come and are read, and whenever the command is killed.

use std::time::Duration;

use licenseflow_tests::harness::{
    Kafka, Platform, Postgres, Process, Role, unique_prefix, wait_for, wait_until,
};
use serde_json::{Value, json};

use super::later_schema;
use super::tampering::{Changed, Database, File, Store, Tampered, all_changes};
use super::verify::{CATCH_UP, LONG, RECORDS, caught_up, folded, send, verify};

fn on_a_file() -> Platform {
    Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap()
}

fn on_postgres(postgres: &Postgres) -> Platform {
    on_a_file().with("LICENSEFLOW_STORE", postgres.url())
}

/// Opens the store for somebody who knows SQL.
fn by_hand<S>(open: impl FnOnce() -> S) -> S {
    tokio::task::block_in_place(open)
}

/// Runs `replay --license`: its exit code, and its JSON or what it said instead.
fn rebuild(platform: &Platform, [tenant, license]: [&str; 2]) -> (i32, Value) {
    let arguments = ["replay", "--json", "--tenant", tenant, "--license", license];
    let output = platform.command(&arguments).unwrap().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::String(said));
    (output.status.code().unwrap(), report)
}

/// A whole verification finds nothing.
fn is_right(platform: &Platform, when: &str) -> Value {
    let (code, report) = verify(platform, &["--fast"]);
    assert_eq!(code, 0, "{when}: {report:#}");
    report
}

/// The number that a license is known by in the store.
fn number(store: &impl Store, license: &str) -> String {
    store.text(&format!(
        "select coalesce(cast(min(number) as text), '-') from license where license_id = '{license}'"
    ))
}

/// Changes one thing at a time by hand, and rebuilds the license that it is about.
async fn every_change_is_put_right<S: Store>(
    platform: Platform,
    open: impl FnOnce(&Platform) -> S,
) {
    let platform = folded(platform).await;
    let untouched = is_right(&platform, "untouched");
    let store = by_hand(|| open(&platform));
    let mut rebuilt = 0;
    for Tampered { what, by, changed } in all_changes() {
        let Changed::License(part) = changed else {
            continue;
        };
        // Before it may be gone.
        let before = store.text("select cast(max(number) as text) from license");
        let license = store.change(&by);
        let (code, report) = verify(&platform, &["--fast"]);
        assert_eq!(code, 1, "{what}: {report:#}");
        let tenant = report["differences"][0]["tenant_id"].as_str().unwrap();
        let known = number(&store, &license);
        let (code, report) = rebuild(&platform, [tenant, &license]);
        let is_letter = part == "rejected" && !what.contains("conflict");
        assert_eq!(
            report["letters"],
            i32::from(is_letter),
            "{what}: {report:#}"
        );
        // A letter of a record that is at fault makes no license.
        assert_eq!(report["exists"], !is_letter, "{what}: {report:#}");
        assert_eq!(code, 0, "{what}: {report:#}");
        // With a try of the one that waits.
        let records = report["records"].as_i64();
        assert!(records >= Some(RECORDS + LONG + 2), "{what}: {report:#}");
        let after = is_right(&platform, what);
        assert_eq!(after["digest"], untouched["digest"], "{what}");
        assert_eq!(after["rows"], untouched["digest"], "{what}");
        let one = ["--tenant", tenant, "--license", &license, "--scan"];
        let (_, report) = verify(&platform, &one);
        assert_eq!(report["differences_count"], 0, "{what}: {report:#}");
        if known != "-" {
            assert_eq!(number(&store, &license), known, "{what}");
        }
        let most = store.text("select cast(max(number) as text) from license");
        assert_eq!(most, before, "{what}: it has the number that it had");
        rebuilt += 1;
    }
    assert!(rebuilt > 20, "{rebuilt}");
    println!("{rebuilt} changes put right on {}", S::NAME);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_license_changed_by_hand_in_any_table_of_a_file_is_rebuilt() {
    every_change_is_put_right(on_a_file(), File::open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_license_changed_by_hand_in_any_table_of_postgres_is_rebuilt() {
    let postgres = Postgres::own().unwrap();
    let url = postgres.url().to_owned();
    every_change_is_put_right(on_postgres(&postgres), |_| Database::open(&url)).await;
}

/// A license of the first tenant with a device, and its seats used.
fn some_license(platform: &Platform) -> (String, i64) {
    let list = platform.json("/v1/licenses?limit=100").unwrap();
    let mut items = list["items"].as_array().unwrap().iter();
    let found = items
        .find(|it| it["seats_used"].as_i64() > Some(0))
        .unwrap();
    let id = found["license_id"].as_str().unwrap().to_owned();
    (id, found["seats_used"].as_i64().unwrap())
}

fn shows(platform: &Platform, license: &str, member: &str, expected: &Value) {
    let path = format!("/v1/licenses/{license}");
    let shown = wait_until("readers see it", CATCH_UP, || {
        &platform.json(&path).unwrap_or_default()[member] == expected
    });
    shown.unwrap_or_else(|error| panic!("{error}: {}", platform.json(&path).unwrap()));
}

/// One event more of a license; it is dealt with.
async fn one_more(platform: &Platform, license: &str, event: u8) {
    let before = platform.dealt_with();
    let value = later_schema::usage(license, event).to_string();
    send(platform, license, value.as_bytes()).await;
    caught_up(platform, before + 1);
}

/// What the projector has at hand of a license is what was changed by hand, and it goes on with it.
async fn a_projector_goes_on_from_what_was_rebuilt<S: Store>(
    platform: Platform,
    open: impl FnOnce(&Platform) -> S,
) {
    let up = platform.start(Role::Up).unwrap();
    platform.generate(RECORDS, 40, 1).unwrap();
    caught_up(&platform, RECORDS);
    let store = by_hand(|| open(&platform));
    let (license, used) = some_license(&platform);
    Platform::stop(up).unwrap();
    store.execute(&format!(
        "update license set seats_used = seats_used + 70, event_count = event_count + 5
           where license_id = '{license}'"
    ));
    let up = platform.start(Role::Up).unwrap();
    one_more(&platform, &license, 1).await;
    shows(&platform, &license, "seats_used", &json!(used + 70));
    let (code, report) = verify(&platform, &[]);
    assert_eq!(code, 1, "{report:#}");

    let (code, report) = rebuild(&platform, ["default", &license]);
    assert_eq!(code, 0, "{report:#}");
    let right = is_right(&platform, "rebuilt beside a projector");
    assert_eq!(report["position"], right["position"], "nothing came since");
    // Nothing is written meanwhile, and nobody has told readers.
    shows(&platform, &license, "seats_used", &json!(used));
    one_more(&platform, &license, 2).await;
    is_right(&platform, "gone on from what was rebuilt");

    // Its row is lost, it goes on from nothing, and its sums are wrong too.
    store.execute(&format!(
        "delete from license where license_id = '{license}'"
    ));
    Platform::stop(up).unwrap();
    let up = platform.start(Role::Up).unwrap();
    one_more(&platform, &license, 3).await;
    let (code, report) = verify(&platform, &[]);
    assert_eq!(code, 1, "{report:#}");
    assert_ne!(report["digest"], report["expected"], "{report:#}");
    let (code, report) = rebuild(&platform, ["default", &license]);
    assert_eq!(code, 0, "{report:#}");
    is_right(&platform, "rebuilt with its sums, and nothing lies about");
    shows(&platform, &license, "seats_used", &json!(used));
    Platform::stop(up).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projector_of_a_file_goes_on_from_what_was_rebuilt_and_readers_see_it() {
    a_projector_goes_on_from_what_was_rebuilt(on_a_file(), File::open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projector_of_postgres_goes_on_from_what_was_rebuilt_and_readers_see_it() {
    let postgres = Postgres::own().unwrap();
    let url = postgres.url().to_owned();
    let platform = on_postgres(&postgres);
    a_projector_goes_on_from_what_was_rebuilt(platform, |_| Database::open(&url)).await;
}

/// Licenses are rebuilt one after the other while records are sent and folded.
fn writes_go_on<S: Store>(platform: &Platform, open: impl FnOnce(&Platform) -> S) {
    let up = platform.start(Role::Up).unwrap();
    platform.generate(RECORDS, 40, 1).unwrap();
    caught_up(platform, RECORDS);
    let store = open(platform);
    let shares = [
        "--conflicting",
        "0.05",
        "--poison",
        "0.02",
        "--voided",
        "0.05",
    ];
    let more = [
        "--count",
        "200000",
        "--licenses",
        "40",
        "--tenants",
        "1",
        "--rate",
        "500",
        "--seed",
        "5",
    ];
    let sending = platform.command(&[&["events", "generate"], &more[..], &shares].concat());
    let sending = Process::start("generate", &sending.unwrap()).unwrap();
    let mut positions = Vec::new();
    let list = platform.json("/v1/licenses?limit=4").unwrap();
    for item in list["items"].as_array().unwrap() {
        let license = item["license_id"].as_str().unwrap();
        store.execute(&format!(
            "update license set product_id = 'tampered' where license_id = '{license}'"
        ));
        let before = platform.dealt_with();
        wait_until("more is written", CATCH_UP, || {
            platform.dealt_with() > before
        })
        .unwrap();
        let (code, report) = rebuild(platform, ["default", license]);
        assert_eq!(code, 0, "{report:#}\n{}", up.stderr());
        is_right(platform, license);
        positions.push(report["position"].as_str().unwrap().to_owned());
        let before = platform.dealt_with();
        wait_until("it goes on", CATCH_UP, || platform.dealt_with() > before).unwrap();
    }
    let all = positions.len();
    positions.dedup();
    assert_eq!((all, positions.len()), (4, 4), "it was written meanwhile");
    drop(sending);
    Platform::stop(up).unwrap();
}

#[test]
fn a_license_of_a_file_is_rebuilt_while_it_is_written() {
    writes_go_on(&on_a_file(), File::open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_license_of_postgres_is_rebuilt_while_it_is_written() {
    let postgres = Postgres::own().unwrap();
    let platform = on_postgres(&postgres);
    let url = postgres.url().to_owned();
    by_hand(|| writes_go_on(&platform, |_| Database::open(&url)));
}

/// Dies at each point, beside a projector; what is stored is the one or the other.
fn a_death_leaves_the_old_or_the_new<S: Store>(
    platform: &Platform,
    open: impl FnOnce(&Platform) -> S,
) {
    let up = platform.start(Role::Up).unwrap();
    platform.generate(RECORDS, 40, 1).unwrap();
    caught_up(platform, RECORDS);
    let store = open(platform);
    let digest = is_right(platform, "before")["digest"].clone();
    let (license, _) = some_license(platform);
    for point in licenseflow_core::crash::OF_LICENSE {
        store.execute(&format!(
            "update license set plan = 'tampered' where license_id = '{license}'"
        ));
        let mut command = platform
            .command(&["replay", "--license", &license])
            .unwrap();
        command.env("LICENSEFLOW_CRASH_AT", point);
        let mut dying = Process::start("replay", &command).unwrap();
        let code = dying.wait(CATCH_UP).unwrap();
        assert_eq!(code, 128 + 6, "{point}: {}", dying.stderr());
        let is_done = point == licenseflow_core::crash::AFTER_REWRITE;
        let (code, report) = verify(platform, &["--fast"]);
        assert_eq!(code, i32::from(!is_done), "{point}: {report:#}");
        let (code, report) = rebuild(platform, ["default", &license]);
        assert_eq!(code, 0, "{point}: {report:#}");
        assert_eq!(is_right(platform, point)["digest"], digest);
    }
    let before = platform.dealt_with();
    platform.generate(100, 40, 1).unwrap();
    caught_up(platform, before + 100);
    is_right(platform, "gone on");
    Platform::stop(up).unwrap();
}

#[test]
fn a_death_at_any_point_leaves_the_old_or_the_new_license_in_a_file() {
    a_death_leaves_the_old_or_the_new(&on_a_file(), File::open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_point_leaves_the_old_or_the_new_license_in_postgres() {
    let postgres = Postgres::own().unwrap();
    let platform = on_postgres(&postgres);
    let url = postgres.url().to_owned();
    by_hand(|| a_death_leaves_the_old_or_the_new(&platform, |_| Database::open(&url)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_license_that_nobody_knows_is_told_and_one_that_the_log_does_not_know_is_removed() {
    let platform = on_a_file().with("LICENSEFLOW_RETRY_ATTEMPTS", "1");
    let up = platform.start(Role::Up).unwrap();
    // Its schema is registered later: then it would be accepted, and is told apart.
    let later = later_schema::value(later_schema::LATER_ID, "LIC-1", 9);
    send(&platform, "LIC-1", &later).await;
    let first = later_schema::usage("LIC-1", 1).to_string();
    send(&platform, "LIC-1", first.as_bytes()).await;
    caught_up(&platform, 2);
    later_schema::register(&platform).await;
    let (code, said) = rebuild(&platform, ["default", "none-such"]);
    assert_eq!(code, 1, "{said}");
    let said = said.as_str().unwrap();
    assert!(
        said.contains("there is no license none-such of tenant default"),
        "{said}"
    );
    let (code, said) = rebuild(&platform, ["another", "LIC-1"]);
    assert_eq!(code, 1, "{said}");

    let store = by_hand(|| File::open(&platform));
    store.execute(
        "insert into license (tenant, license_id, lifecycle, event_count, events, seats_used)
        select tenant, 'made-up', 1, 3, events, 7 from license where license_id = 'LIC-1'",
    );
    assert_eq!(verify(&platform, &[]).0, 1);
    let (code, report) = rebuild(&platform, ["default", "made-up"]);
    assert_eq!((code, &report["exists"]), (0, &false.into()), "{report:#}");
    is_right(&platform, "made up");
    let (code, report) = rebuild(&platform, ["default", "LIC-1"]);
    assert_eq!((code, &report["events"]), (0, &1.into()), "{report:#}");
    let whole = is_right(&platform, "told apart");
    assert_eq!(whole["apart_count"], 1, "{whole:#}");
    let (code, report) = verify(&platform, &["--license", "LIC-1", "--scan"]);
    assert_eq!((code, &report["apart_count"]), (0, &1.into()), "{report:#}");
    for wrong in [&["--license", "L", "--detach"][..], &["--tenant", "T"]] {
        let output = platform
            .command(&[&["replay"], wrong].concat())
            .unwrap()
            .output();
        assert_eq!(output.unwrap().status.code(), Some(2), "{wrong:?}");
    }
    Platform::stop(up).unwrap();
}

#[test]
fn a_build_that_is_to_switch_when_equal_does_so_when_it_is_resumed() {
    let platform = on_a_file();
    let up = platform.start(Role::Up).unwrap();
    platform.generate(RECORDS, 40, 1).unwrap();
    caught_up(&platform, RECORDS);
    Platform::stop(up).unwrap();
    platform
        .run(&["replay", "--switch-when-equal", "--detach"])
        .unwrap();
    platform.run(&["replay", "pause", "2"]).unwrap();
    let resumed = platform.run(&["replay", "resume", "2", "--json"]).unwrap();
    let resumed: Value = serde_json::from_str(&resumed).unwrap();
    assert_eq!(resumed["state"], "live", "{resumed:#}");
    let status = wait_for("it is told", Duration::from_secs(20), || {
        let status: Value =
            serde_json::from_str(&platform.run(&["replay", "status", "--json"]).ok()?).ok()?;
        (status["live"] == 2).then_some(status)
    });
    status.unwrap();
}
