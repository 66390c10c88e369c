//! Questions without an end to a real file: tables that are views over a recursion that never stops.

use std::time::Duration;

use licenseflow_runtime::http::HttpLimits;
use licenseflow_tests::harness::{Folder, wait_for_async};
use serde_json::{Value, json};

use crate::model::{Model, NOW};
use crate::served::DEADLINE;
use crate::stress::{Api, Bounds, issue};

/// An API with one turn over a file whose table has no end, and whose requests have this long.
fn start(endless: &str, service_timeout: Duration) -> (Api, Folder) {
    let folder = Folder::new("slow").unwrap();
    let path = folder.path().join("licenseflow.db");
    let mut model = Model::open(&path);
    model.say(issue(1, "L-1", "c-1", NOW, None), None);
    model.apply();
    drop(model);
    let file = rusqlite::Connection::open(&path).unwrap();
    let view = format!(
        "alter table {endless} rename to hidden; create view {endless} as \
         select hidden.* from hidden where 0 > (\
           with recursive n (i) as (select 1 union all select i + 1 from n) select max(i) from n)"
    );
    file.execute_batch(&view).unwrap();
    let bounds = Bounds {
        lookups_max: 1,
        limits: HttpLimits {
            service_timeout,
            ..HttpLimits::default()
        },
        ..Bounds::default()
    };
    (Api::over(&path, bounds), folder)
}

#[tokio::test]
async fn a_question_whose_client_has_gone_gives_its_turn_back() {
    let (api, _folder) = start("license", HttpLimits::default().service_timeout);
    for asked in 1..=3 {
        let has_the_turn = wait_for_async("it is asked", DEADLINE, async || {
            (api.lookup.asked() == asked).then_some(())
        });
        tokio::select! {
            answer = api.get("/v1/licenses/L-1") => panic!("it has no end: {answer:?}"),
            has_it = has_the_turn => has_it.unwrap(),
        }
        // Who waits for a turn that does not come back is refused long before the endless is ended.
        api.get("/v1/position").await.ok();
    }
}

#[tokio::test]
async fn a_question_that_takes_too_long_is_ended_and_answered_in_time() {
    let (api, _folder) = start("license", Duration::from_secs(3));
    // Who had given no answer in time would have been given another one: 504.
    api.get("/v1/licenses/L-1").await.problem(503, "store_away");
    api.get("/v1/position").await.ok();
}

#[tokio::test]
async fn a_part_of_the_numbers_that_is_slow_does_not_take_the_others_with_it() {
    let (api, _folder) = start("event_minute", Duration::from_secs(5));
    let stats = api.get("/v1/stats").await.ok();
    assert_eq!(stats["degraded"], json!(["events_per_minute"]));
    assert_eq!(stats["events_per_minute"], Value::Null);
    assert_eq!(stats["totals"]["licenses"], 1);
    assert_eq!(stats["events_per_day"].as_array().unwrap().len(), 1);
}
