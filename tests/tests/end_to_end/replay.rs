//! Another generation is built beside the live one, compared with it, switched to and left again, while
//! events come and are read; on both stores.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use licenseflow_tests::chance::{Chance, chosen_seed};
use licenseflow_tests::harness::platform::finish;
use licenseflow_tests::harness::{
    Kafka, Platform, Postgres, Process, Role, python, unique_prefix, wait_until,
};
use serde_json::Value;

const RECORDS: i64 = 3000;

/// How long a catch-up may take, the machine being busy with other tests.
const CATCH_UP: Duration = Duration::from_secs(120);

/// An installation on one of the stores.
struct On {
    platform: Platform,
    postgres: Option<Postgres>,
}

impl On {
    fn sqlite() -> Self {
        Self {
            platform: Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap(),
            postgres: None,
        }
    }

    fn postgres() -> Self {
        let postgres = Postgres::own().unwrap();
        let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
        let platform = platform
            .with("LICENSEFLOW_STORE", postgres.url())
            // What is kept of answers would hide what is changed by hand.
            .with("LICENSEFLOW_QUERY_CACHE_MIB", "0");
        Self {
            platform,
            postgres: Some(postgres),
        }
    }

    /// Starts it with a history.
    fn filled(&self) -> Process {
        let up = self.platform.start(Role::Up).unwrap();
        self.platform.generate(RECORDS, 200, 1).unwrap();
        wait_until("all is dealt with", CATCH_UP, || {
            self.platform.dealt_with() >= RECORDS
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", up.stderr()));
        up
    }

    /// Changes the first generation by hand.
    fn by_hand(&self, sql: &str) {
        let mut command = match &self.postgres {
            Some(postgres) => {
                let mut psql = Command::new("psql");
                let sql = format!("set search_path to licenseflow_g1; {sql}");
                psql.args([postgres.url(), "-v", "ON_ERROR_STOP=1", "-c", &sql]);
                psql
            }
            None => {
                let mut command = Command::new(python().unwrap());
                let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=30); \
                              c.execute(sys.argv[2]); c.commit()";
                let file = self.platform.store();
                command.args(["-c", script]).arg(file).arg(sql);
                command
            }
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Runs `replay` and gives its exit code and JSON.
    fn replay(&self, arguments: &[&str]) -> (i32, Value) {
        let arguments = [&["replay"], arguments, &["--json"]].concat();
        let output = self.platform.command(&arguments).unwrap().output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let json = serde_json::from_str(&said);
        let json = json.unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
        (output.status.code().unwrap(), json)
    }

    fn generation(&self) -> i64 {
        let position = self.platform.json("/v1/position").unwrap();
        position["generation"].as_i64().unwrap()
    }

    fn license(&self, id: &str) -> Value {
        self.platform.json(&format!("/v1/licenses/{id}")).unwrap()
    }
}

/// A license that is there.
fn some_license(platform: &Platform) -> String {
    let list = platform.json("/v1/licenses?limit=1").unwrap();
    list["items"][0]["license_id"].as_str().unwrap().to_owned()
}

fn a_model_that_was_changed_by_hand_is_repaired_and_left_and_gone_back_to(on: &On) {
    let up = on.filled();
    let id = some_license(&on.platform);
    let seats = on.license(&id)["seats"].clone();
    on.by_hand(&format!(
        "update license set seats = 4242 where license_id = '{id}'"
    ));
    assert_eq!(on.license(&id)["seats"], 4242);

    let (code, built) = on.replay(&[]);
    assert_eq!(code, 1, "{built}");
    let gate = &built["gate"];
    assert_eq!(gate["is_equal"], false, "{gate}");
    assert_eq!(gate["licenses"], 1, "{gate}");
    assert_eq!(gate["fates"], 0, "{gate}");
    let different = &gate["differences"][0];
    assert_eq!(different["license_id"], *id);
    assert_eq!(different["live"][0]["seats"], 4242);
    assert_eq!(different["next"][0]["seats"], seats);
    assert!(!different["events"].as_array().unwrap().is_empty());
    assert_eq!(on.generation(), 1, "nothing is switched by itself");

    let (code, switched) = on.replay(&["switch", "2"]);
    assert_eq!((code, &switched["state"]), (0, &"live".into()));
    wait_until("readers see it", CATCH_UP, || on.generation() == 2).unwrap();
    assert_eq!(on.license(&id)["seats"], seats);
    // Both go on with the log.
    on.platform.generate(500, 200, 1).unwrap();
    wait_until("it goes on", CATCH_UP, || {
        on.platform.dealt_with() >= RECORDS + 500
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", up.stderr()));
    assert_eq!(on.platform.verify().unwrap()["equal"], true);
    wait_until("the former one goes on", CATCH_UP, || {
        let (_, all) = on.replay(&["status"]);
        all["items"][1]["lag_events"] == 0 && all["items"][1]["generation"] == 1
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", up.stderr()));

    let (code, back) = on.replay(&["rollback"]);
    assert_eq!((code, &back["generation"]), (0, &1.into()));
    wait_until("readers are back", CATCH_UP, || on.generation() == 1).unwrap();
    assert_eq!(on.license(&id)["seats"], 4242);
    Platform::stop(up).unwrap();
}

#[test]
fn a_file_that_was_changed_by_hand_is_repaired_by_a_replay() {
    a_model_that_was_changed_by_hand_is_repaired_and_left_and_gone_back_to(&On::sqlite());
}

#[test]
fn a_database_that_was_changed_by_hand_is_repaired_by_a_replay() {
    a_model_that_was_changed_by_hand_is_repaired_and_left_and_gone_back_to(&On::postgres());
}

/// 200 times a second one license is asked for, until it is told to stop; what failed, and how many answered.
struct Asking {
    over: Arc<AtomicBool>,
    thread: JoinHandle<(Vec<String>, usize)>,
}

impl Asking {
    fn begin(on: &On, id: &str) -> Self {
        let url = format!("{}/v1/licenses/{id}", on.platform.api());
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async move {
                let http = reqwest::Client::new();
                let mut tick = tokio::time::interval(Duration::from_millis(5));
                let mut asked = tokio::task::JoinSet::new();
                while !told.load(Ordering::Relaxed) {
                    tick.tick().await;
                    let request = http.get(&url).send();
                    asked.spawn(async move {
                        let answer = request.await.map_err(|error| error.to_string())?;
                        match answer.status().as_u16() {
                            200 => Ok(()),
                            status => Err(format!("{status} {:?}", answer.text().await)),
                        }
                    });
                }
                let all = asked.join_all().await;
                let count = all.len();
                (all.into_iter().filter_map(Result::err).collect(), count)
            })
        });
        Self { over, thread }
    }

    fn end(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let (failed, count) = self.thread.join().unwrap();
        assert!(failed.is_empty(), "{} of {count}: {failed:?}", failed.len());
        count
    }
}

fn nobody_notices_a_build_and_a_switch(on: &On) {
    let up = on.filled();
    let id = some_license(&on.platform);
    let asking = Asking::begin(on, &id);
    // Events come all the while.
    let (code, done) = std::thread::scope(|scope| {
        let replaying = scope.spawn(|| on.replay(&["--switch-when-equal"]));
        for _ in 0..3 {
            on.platform.generate(400, 200, 1).unwrap();
        }
        replaying.join().unwrap()
    });
    assert_eq!(
        (code, &done["is_live"]),
        (0, &true.into()),
        "{done}\n{}",
        up.stderr()
    );
    assert_eq!(done["gate"]["is_equal"], true, "{done}");
    wait_until("readers see it", CATCH_UP, || on.generation() == 2).unwrap();
    let asked = asking.end();
    assert!(asked > 100, "{asked}");
    wait_until("all is dealt with", CATCH_UP, || {
        on.platform.dealt_with() >= RECORDS + 1200
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", up.stderr()));
    assert_eq!(on.platform.verify().unwrap()["equal"], true);
    Platform::stop(up).unwrap();
}

#[test]
fn nobody_who_reads_a_file_notices_a_build_and_a_switch() {
    nobody_notices_a_build_and_a_switch(&On::sqlite());
}

#[test]
fn nobody_who_reads_a_database_notices_a_build_and_a_switch() {
    nobody_notices_a_build_and_a_switch(&On::postgres());
}

#[test]
fn another_fold_is_refused_until_it_has_built_a_generation_of_its_own() {
    let on = On::sqlite();
    let up = on.filled();
    let renewed = on.platform.json("/v1/licenses?limit=200").unwrap();
    Platform::stop(up).unwrap();
    // A later release, whose fold counts renewals twice.
    let later = On {
        platform: on.platform.with("LICENSEFLOW_CHANGED_FOLD", "1"),
        postgres: None,
    };
    let refused = later.platform.start(Role::Up).unwrap_err().to_string();
    assert!(
        refused.contains("version 1 of the fold") && refused.contains("licenseflow replay"),
        "{refused}"
    );
    // The release before goes on while the later one builds beside it.
    let mut before = later.platform.command(&["up"]).unwrap();
    before.env_remove("LICENSEFLOW_CHANGED_FOLD");
    let before = Process::start("up", &before).unwrap();
    wait_until("the release before serves", CATCH_UP, || {
        later.platform.dealt_with() >= RECORDS
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", before.stderr()));
    let (code, built) = later.replay(&[]);
    assert_eq!(code, 1, "{built}");
    let gate = &built["gate"];
    assert!(gate["licenses"].as_u64().unwrap() > 10, "{gate}");
    let different = &gate["differences"][0];
    assert!(
        different["next"][0]["event_count"].as_i64() > different["live"][0]["event_count"].as_i64(),
        "{different}"
    );
    assert_eq!(built["fold"], 2);
    let (code, _) = later.replay(&["switch", "2"]);
    assert_eq!(code, 0);
    // Whoever cannot go on with it ends, and says so.
    let mut before = before;
    assert_eq!(
        before.wait(Platform::END).unwrap(),
        1,
        "{}",
        before.stderr()
    );
    assert!(
        before.stderr().contains("version 2 of the fold"),
        "{}",
        before.stderr()
    );
    let up = later.platform.start(Role::Up).unwrap();
    assert_eq!(later.generation(), 2);
    let counted = later.platform.json("/v1/licenses?limit=200").unwrap();
    assert_ne!(counted["items"], renewed["items"]);
    // Only the release that built it goes back to it.
    let refused = later
        .platform
        .command(&["replay", "rollback"])
        .unwrap()
        .output();
    let refused = String::from_utf8(refused.unwrap().stderr).unwrap();
    assert!(refused.contains("another version of the fold"), "{refused}");
    Platform::stop(up).unwrap();
    let mut rollback = later.platform.command(&["replay", "rollback"]).unwrap();
    rollback.env_remove("LICENSEFLOW_CHANGED_FOLD");
    finish(rollback).unwrap();
    let mut before = later.platform.command(&["up"]).unwrap();
    before.env_remove("LICENSEFLOW_CHANGED_FOLD");
    let before = Process::start("up", &before).unwrap();
    wait_until("the release before serves again", CATCH_UP, || {
        later.platform.json("/v1/position").is_ok()
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", before.stderr()));
    assert_eq!(later.generation(), 1);
    let back = later.platform.json("/v1/licenses?limit=200").unwrap();
    assert_eq!(back["items"], renewed["items"]);
    Platform::stop(before).unwrap();
}

/// How often the process that builds, compares and switches is killed; a process on a database takes longer
/// to be ready again. KILLS names another number.
const KILLS_ON_A_FILE: u64 = 20;
const KILLS_ON_A_DATABASE: u64 = 8;

/// The seed of the moments.
fn seed() -> u64 {
    chosen_seed().unwrap_or(20_261_122)
}

impl On {
    /// Asks for something over HTTP; the status.
    fn post(&self, path: &str, body: &str) -> String {
        let mut curl = Command::new("curl");
        curl.args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--max-time",
            "10",
        ]);
        curl.args([
            "-X",
            "POST",
            "-H",
            "content-type: application/json",
            "-d",
            body,
        ]);
        curl.arg(format!("{}/v1/admin/replays{path}", self.platform.api()));
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    }

    /// Has another generation built and switched to, or goes back, as there is one or not.
    fn ask_for_the_next(&self) {
        let (_, all) = self.replay(&["status"]);
        let items = all["items"].as_array().unwrap();
        let status = match items.iter().find(|it| it["is_live"] == false) {
            None => self.post("", r#"{"from": "beginning", "switch_when_equal": true}"#),
            Some(other) => self.post(&format!("/{}/switch", other["generation"]), "{}"),
        };
        assert!(["200", "202", "409"].contains(&&*status), "{status}: {all}");
    }
}

fn kills_at_any_moment_leave_one_whole_generation_live(on: &On, kills: u64) {
    let named = std::env::var("KILLS").ok().and_then(|it| it.parse().ok());
    let up = on.filled();
    let expected = on.platform.verify().unwrap()["digest"].clone();
    Platform::stop(up).unwrap();
    let mut chance = Chance::new(seed());
    for kill in 0..named.unwrap_or(kills) {
        let mut up = on.platform.start(Role::Up).unwrap();
        on.ask_for_the_next();
        std::thread::sleep(Duration::from_millis(chance.below(1500)));
        up.kill().unwrap();
        let (_, all) = on.replay(&["status"]);
        println!("seed {}, kill {kill}: live {}", seed(), all["live"]);
        if kill % 5 == 0 {
            let found = on.platform.verify().unwrap();
            assert_eq!(
                (&found["equal"], &found["digest"]),
                (&true.into(), &expected)
            );
        }
    }
    let up = on.platform.start(Role::Up).unwrap();
    on.ask_for_the_next();
    let before = on.generation();
    wait_until("a switch comes to its end", CATCH_UP, || {
        let (_, all) = on.replay(&["status"]);
        let items = all["items"].as_array().unwrap();
        let is_done = |it: &Value| it["is_live"] == true || it["state"] == "kept";
        items.iter().all(is_done)
    })
    .unwrap_or_else(|error| panic!("{error}, live was {before}\n{}", up.stderr()));
    let found = on.platform.verify().unwrap();
    assert_eq!(
        (&found["equal"], &found["digest"]),
        (&true.into(), &expected)
    );
    on.platform.generate(300, 200, 1).unwrap();
    wait_until("it goes on", CATCH_UP, || {
        on.platform.dealt_with() >= RECORDS + 300
    })
    .unwrap();
    Platform::stop(up).unwrap();
}

#[test]
fn kills_at_any_moment_leave_one_whole_file_live() {
    kills_at_any_moment_leave_one_whole_generation_live(&On::sqlite(), KILLS_ON_A_FILE);
}

#[test]
fn kills_at_any_moment_leave_one_whole_schema_live() {
    kills_at_any_moment_leave_one_whole_generation_live(&On::postgres(), KILLS_ON_A_DATABASE);
}

#[test]
fn a_death_at_any_named_point_of_a_replay_is_gone_on_from() {
    let on = On::sqlite();
    let up = on.filled();
    let expected = on.platform.verify().unwrap()["digest"].clone();
    Platform::stop(up).unwrap();
    for point in licenseflow_core::crash::OF_REPLAY {
        let mut command = on.platform.command(&["up"]).unwrap();
        // Nothing is kept, so that what was live is struck out once another is.
        command.env("LICENSEFLOW_GENERATIONS_KEPT", "0");
        command.env("LICENSEFLOW_CRASH_AT", point);
        let mut up = Process::start("up", &command).unwrap();
        wait_until("it answers", CATCH_UP, || {
            on.platform.json("/v1/position").is_ok()
        })
        .unwrap_or_else(|error| panic!("{point}: {error}\n{}", up.stderr()));
        // What was asked for is gone on with; only where it is done something new is asked for.
        let (_, all) = on.replay(&["status"]);
        let items = all["items"].as_array().unwrap();
        if items
            .iter()
            .all(|it| it["is_live"] == true || it["state"] == "kept")
        {
            on.ask_for_the_next();
        }
        let code = up
            .wait(CATCH_UP)
            .unwrap_or_else(|error| panic!("{point}: {error}\n{}", up.stderr()));
        assert_eq!(code, 128 + 6, "{point}: {}", up.stderr());
        let found = on.platform.verify().unwrap();
        assert_eq!(
            (&found["equal"], &found["digest"]),
            (&true.into(), &expected)
        );
    }
    let up = on.platform.start(Role::Up).unwrap();
    wait_until(
        "one is live and what was struck out is gone",
        CATCH_UP,
        || {
            let (_, all) = on.replay(&["status"]);
            let items = all["items"].as_array().unwrap();
            let files = std::fs::read_dir(on.platform.folder()).unwrap();
            let names = files.map(|it| it.unwrap().file_name().into_string().unwrap());
            let databases = names.filter(|name| {
                let ending = name.strip_prefix("licenseflow.db");
                ending.is_some_and(|it| {
                    it.is_empty() || it.trim_start_matches(".g").parse::<u32>().is_ok()
                })
            });
            databases.count() == items.len()
                && items
                    .iter()
                    .all(|it| it["is_live"] == true || it["state"] == "kept")
        },
    )
    .unwrap_or_else(|error| panic!("{error}\n{}", up.stderr()));
    let found = on.platform.verify().unwrap();
    assert_eq!(
        (&found["equal"], &found["digest"]),
        (&true.into(), &expected)
    );
    Platform::stop(up).unwrap();
}
