//! Read your writes: in its three modes, while a writer goes on in a thread of its own.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use licenseflow_tests::harness::wait_for_async;
use tokio::sync::watch;

use crate::model::{Model, NOW, NOW_MS, activated, event};
use crate::served::{Answer, DEADLINE, Served, WAITERS_MAX};

fn fill(model: &mut Model) {
    model.say(event(1, "L-1", NOW, activated("d-1")), None);
    model.apply();
    model.caught_up(NOW_MS - 100);
}

/// A thread that applies one more device for each word it gets, and signals each.
struct Writer {
    go: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(mut model: Model, applied: watch::Sender<u64>) -> Self {
        let (go, told) = channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut number = 1;
            while told.recv().is_ok() {
                number += 1;
                let device = activated(&format!("d-{number}"));
                model.say(event(number, "L-1", NOW, device), None);
                model.apply();
                applied.send_modify(|commits| *commits += 1);
            }
        });
        Self {
            go: Some(go),
            thread: Some(thread),
        }
    }

    fn write(&self) {
        self.go.as_ref().unwrap().send(()).unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.go = None;
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// Returns when somebody waits: the store is then read again and again.
async fn until_watched(served: &Served) {
    let before = served.lookup.freshness_reads();
    // The request itself reads once; what is read beyond that is read for who waits.
    let watched = async || (served.lookup.freshness_reads() > before + 1).then_some(());
    wait_for_async("nobody waits for the model", DEADLINE, watched)
        .await
        .unwrap();
}

async fn each_write_is_waited_for(signal: bool) {
    let (sender, receiver) = watch::channel(0);
    let (served, model) = Served::with_signal(fill, signal.then_some(receiver)).await;
    let writer = Writer::start(model, sender);
    for next in 2..12 {
        let position = format!("e:0:{next}");
        let headers = [
            ("x-min-position", position.as_str()),
            ("x-wait-ms", "15000"),
        ];
        let asked = async {
            let begun = Instant::now();
            let answer = served.get_with("/v1/licenses/L-1", &headers).await;
            (answer, begun.elapsed())
        };
        let written = async {
            until_watched(&served).await;
            writer.write();
        };
        let ((answer, took), ()) = tokio::join!(asked, written);
        assert_eq!(answer.ok()["seats_used"], next);
        assert_eq!(answer.header("x-read-position"), Some(position.as_str()));
        assert_eq!(answer.header("x-stale"), None);
        assert!(took < Duration::from_secs(15), "{took:?}");
    }
}

#[tokio::test]
async fn whoever_waits_reads_his_write_when_another_process_writes_it() {
    each_write_is_waited_for(false).await;
}

#[tokio::test]
async fn whoever_waits_reads_his_write_when_this_process_writes_it() {
    each_write_is_waited_for(true).await;
}

#[tokio::test]
async fn a_position_in_a_partition_that_does_not_exist_is_refused_at_once() {
    let (served, _model) = Served::start(fill).await;
    let paths = ["/v1/licenses/L-1", "/v1/licenses", "/v1/position"];
    for mode in ["wait", "fail", "serve"] {
        for path in paths {
            let headers = [
                ("x-min-position", "e:0:1,e:12:5"),
                ("x-on-stale", mode),
                ("x-wait-ms", "15000"),
            ];
            let begun = Instant::now();
            let answer = served.get_with(path, &headers).await;
            let problem = answer.problem(400, "unknown_partition");
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.contains("e:12:5") && !detail.contains("e:0:1"),
                "{detail}"
            );
            assert!(
                detail.contains("12 of the topic t-license.events.v1"),
                "{detail}"
            );
            assert!(begun.elapsed() < Duration::from_secs(10), "nobody waited");
        }
    }
    let answer = served.get("/v1/position?min_position=e:12:0").await;
    answer.problem(400, "unknown_partition");
    // The last that there is may be waited for, and so may any where the number is not known.
    for position in ["e:11:1", "b:12:1"] {
        let headers = [("x-min-position", position), ("x-on-stale", "fail")];
        let answer = served.get_with("/v1/position", &headers).await;
        answer.problem(412, "stale");
    }
}

#[tokio::test]
async fn a_wait_that_runs_out_says_where_the_model_is() {
    let (served, _model) = Served::start(fill).await;
    for path in [
        "/v1/licenses/L-1",
        "/v1/licenses",
        "/v1/position",
        "/v1/requests/r",
    ] {
        let headers = [("x-min-position", "e:0:2"), ("x-wait-ms", "30")];
        let answer = served.get_with(path, &headers).await;
        let problem = answer.problem(504, "still_stale");
        assert_eq!(problem["position"], "e:0:1");
        assert_eq!(problem["lag_ms"], 100);
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("after 30 ms") && detail.contains("e:0:2"),
            "{detail}"
        );
        assert_eq!(answer.header("x-read-position"), Some("e:0:1"));
        assert_eq!(answer.header("x-lag-ms"), Some("100"));
    }
}

#[tokio::test]
async fn failing_is_at_once_and_serving_is_marked() {
    let (served, _model) = Served::start(fill).await;
    for stale in [("x-min-position", "e:0:2"), ("x-max-staleness-ms", "99")] {
        let failed = served
            .get_with("/v1/licenses/L-1", &[stale, ("x-on-stale", "fail")])
            .await;
        failed.problem(412, "stale");
        assert_eq!(failed.header("x-read-position"), Some("e:0:1"));
        let answer = served
            .get_with("/v1/licenses/L-1", &[stale, ("x-on-stale", "serve")])
            .await;
        assert_eq!(answer.ok()["seats_used"], 1);
        assert_eq!(answer.header("x-stale"), Some("true"));
        // What was not found may only not have been read yet.
        let answer = served
            .get_with("/v1/licenses/L-2", &[stale, ("x-on-stale", "serve")])
            .await;
        answer.problem(404, "license_not_found");
        assert_eq!(answer.header("x-stale"), Some("true"));
    }
    for fresh in [
        ("x-min-position", "e:0:1,b:7:0"),
        ("x-max-staleness-ms", "100"),
    ] {
        for mode in ["fail", "serve", "wait"] {
            let answer = served
                .get_with("/v1/licenses/L-1", &[fresh, ("x-on-stale", mode)])
                .await;
            answer.ok();
            assert_eq!(answer.header("x-stale"), None);
        }
    }
}

#[tokio::test]
async fn the_position_may_stand_in_the_query_string() {
    let (served, _model) = Served::start(fill).await;
    let fail = [("x-on-stale", "fail")];
    let asked = async |path: &str| -> Answer { served.get_with(path, &fail).await };
    asked("/v1/licenses/L-1?min_position=e:0:1").await.ok();
    asked("/v1/licenses/L-1?min_position=e%3A0%3A2")
        .await
        .problem(412, "stale");
    asked("/v1/licenses?limit=5&min_position=b:0:1")
        .await
        .problem(412, "stale");
    asked("/v1/position?min_position=e:0:2")
        .await
        .problem(412, "stale");
}

#[tokio::test]
async fn staleness_is_waited_for_until_the_lane_is_seen_at_its_end_again() {
    let (served, mut model) = Served::start(fill).await;
    let headers = [("x-max-staleness-ms", "50"), ("x-wait-ms", "15000")];
    let asked = served.get_with("/v1/licenses/L-1", &headers);
    let seen = async {
        until_watched(&served).await;
        model.caught_up(NOW_MS - 10);
    };
    let (answer, ()) = tokio::join!(asked, seen);
    answer.ok();
    assert_eq!(answer.header("x-lag-ms"), Some("10"));
}

#[tokio::test]
async fn one_who_waits_too_many_is_turned_away() {
    let (served, model) = Served::start(fill).await;
    let writer = Writer::start(model, watch::channel(0).0);
    let headers = [("x-min-position", "e:0:2"), ("x-wait-ms", "15000")];
    let waiter = async || {
        loop {
            let answer = served.get_with("/v1/licenses/L-1", &headers).await;
            if answer.status != 503 {
                break answer;
            }
        }
    };
    let crowded = async {
        let impatient = [("x-min-position", "e:0:2"), ("x-wait-ms", "20")];
        // As long as a place is free this one takes it, and its own short wait runs out.
        let turned_away = async || {
            let answer = served.get_with("/v1/licenses/L-1", &impatient).await;
            if answer.status == 504 {
                return None;
            }
            answer.problem(503, "too_many_waiters");
            assert_eq!(answer.header("retry-after"), Some("1"));
            Some(())
        };
        wait_for_async("everybody finds a place", DEADLINE, turned_away)
            .await
            .unwrap();
        writer.write();
    };
    const { assert!(WAITERS_MAX == 2, "as many as wait here") }
    let (first, second, ()) = tokio::join!(waiter(), waiter(), crowded);
    first.ok();
    second.ok();
    // Places are given back.
    served.get_with("/v1/licenses/L-1", &headers).await.ok();
}

#[tokio::test]
async fn the_store_is_left_alone_when_nobody_waits() {
    let (served, _model) = Served::start(fill).await;
    let headers = [("x-min-position", "e:0:2"), ("x-wait-ms", "50")];
    served
        .get_with("/v1/licenses/L-1", &headers)
        .await
        .problem(504, "still_stale");
    // A read may be on its way when the wait ends; afterwards each question is one read of its own.
    served.get("/healthz").await.ok();
    let settled = async || {
        let before = served.lookup.freshness_reads();
        for _ in 0..20 {
            served.get("/readyz").await.ok();
        }
        (served.lookup.freshness_reads() == before + 20).then_some(())
    };
    wait_for_async("the store is read though nobody waits", DEADLINE, settled)
        .await
        .unwrap();
}
