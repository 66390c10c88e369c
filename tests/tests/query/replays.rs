//! Replays over HTTP: what is written into the book of a real file, and what it says. Nobody keeps the
//! generations here, so that each stays as it is until the test does what a keeper would.

use licenseflow_avro::reason::Fault;
use licenseflow_avro::{Lane, Reason};
use licenseflow_core::Batch;
use licenseflow_query::Published;
use licenseflow_store::generations::{Begin, Book, Different, Gate, Number, Wish};
use licenseflow_store::{Generations, PartitionEnd};
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::model::{NOW, NOW_MS, activated, event};
use crate::served::Answer;

const REPLAYS: &str = "/v1/admin/replays";

const NOW_TEXT: &str = "2026-05-28T20:26:40.000000Z";

impl Admin {
    /// Does something that the book says.
    fn keeps(&self, mut keep: impl FnMut(&mut Book)) {
        let changed = self.generations.change(&mut |book| {
            keep(book);
            Ok(())
        });
        changed.unwrap().unwrap();
    }

    fn book(&self) -> Book {
        Book::clone(&self.generations.book().unwrap())
    }

    /// The pointer moves.
    fn switches_to(&self, number: Number) {
        self.keeps(|book| book.switch(number, NOW_MS).unwrap());
    }

    async fn begins(&self, body: Value) -> Value {
        let answer = self.post(REPLAYS, body).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.json()
    }

    /// A second generation, begun and made live.
    async fn with_a_former_one() -> Self {
        let admin = Self::start().await;
        admin.begins(json!({ "from": "beginning" })).await;
        admin.switches_to(2);
        admin
    }

    /// A deed without a body.
    async fn deed(&self, number: Number, deed: &str) -> Answer {
        let path = format!("{REPLAYS}/{number}/{deed}");
        self.asked(Method::POST, &path, None).await
    }
}

fn accepted(answer: &Answer) -> Value {
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

fn itself(number: Number) -> String {
    format!("{REPLAYS}/{number}")
}

/// The links of a generation: to itself, and of its deeds.
fn links(number: Number, deeds: &[&str]) -> Value {
    let mut links = json!({ "self": { "href": itself(number) } });
    for deed in deeds {
        let href = format!("{}/{deed}", itself(number));
        links[*deed] = json!({ "href": href, "method": "POST" });
    }
    links
}

fn first() -> Value {
    json!({
        "generation": 1,
        "is_live": true,
        "state": "live",
        "fold": 1,
        "from": "beginning",
        "begun_at": null,
        "position": "e:2:1",
        "partitions": [{
            "topic": "t-license.events.v1",
            "partition": 2,
            "begin": 0,
            "next_offset": 1,
            "end_offset": null,
            "lag_events": null,
        }],
        "records_done": 1,
        "lag_events": null,
        "loading": null,
        "is_paused": false,
        "records_per_second": null,
        "live_lag_max_ms": null,
        "wish": "none",
        "trouble": null,
        "gate": null,
        "was_live_until": null,
        "_links": links(1, &[]),
    })
}

fn second() -> Value {
    json!({
        "generation": 2,
        "is_live": false,
        "state": "building",
        "fold": licenseflow_core::fold::version(),
        "from": "beginning",
        "begun_at": NOW_TEXT,
        "position": null,
        "partitions": [],
        "records_done": 0,
        "lag_events": null,
        "loading": null,
        "is_paused": false,
        "records_per_second": 500,
        "live_lag_max_ms": 2000,
        "wish": "compare",
        "trouble": null,
        "gate": null,
        "was_live_until": null,
        "_links": links(2, &["pause", "compare", "switch", "cancel"]),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_is_begun_beside_the_live_one_and_shown_with_what_can_be_done_next() {
    let admin = Admin::start().await;
    admin.reject(b"garbage", &[], Fault::new(Reason::UnknownFormat, "no"));
    let itself_alone = json!({ "self": { "href": REPLAYS } });
    let mut with_begin = itself_alone.clone();
    with_begin["begin"] = json!({ "href": REPLAYS, "method": "POST" });
    let list = admin.get(REPLAYS).await;
    assert_eq!(list.header("cache-control"), Some("no-store"));
    assert_eq!(
        list.ok(),
        json!({ "live": 1, "items": [first()], "_links": with_begin })
    );

    let body = json!({ "from": "beginning", "records_per_second": 500, "live_lag_max_ms": 2000 });
    let begun = admin.post(REPLAYS, body.clone()).await;
    assert_eq!(begun.header("location"), Some("/v1/admin/replays/2"));
    assert_eq!(accepted(&begun), second());
    assert_eq!(admin.get(&itself(2)).await.ok(), second());
    assert_eq!(
        admin.get(REPLAYS).await.ok(),
        json!({ "live": 1, "items": [first(), second()], "_links": itself_alone })
    );
    let refused = admin.post(REPLAYS, body).await.problem(409, "is_building");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("generation 2 is being built"), "{detail}");
    assert_eq!(admin.book().last, 2, "nothing was begun");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn less_than_both_whole_lanes_begins_where_it_is_said_and_is_never_switched_to() {
    let admin = Admin::start().await;
    let chosen = json!(["t-license.events.v1:2", "t-license.events.bulk.v1:0"]);
    let position = |text: &str| json!({ "position": text });
    for (body, begins) in [
        (
            json!({ "from": "beginning", "partitions": chosen }),
            "e:2:2,b:0:0",
        ),
        (json!({ "from": position("e:1:4,e:0:5") }), "e:0:5,e:1:4"),
        (
            json!({ "from": position("e:1:4,e:0:5"), "partitions": ["t-license.events.v1:1"] }),
            "e:1:4",
        ),
        // The first offset of that time or a later one, or the end.
        (
            json!({ "from": { "time": "1970-01-01T00:00:04.000001Z" } }),
            "e:0:5,e:1:4,e:2:5,b:0:5",
        ),
        (
            json!({ "from": { "time": "1970-01-01T00:00:00Z" }, "partitions": chosen }),
            "e:2:2,b:0:0",
        ),
    ] {
        let begun = admin.begins(body.clone()).await;
        assert_eq!(begun["from"], position(begins), "{body}");
        assert_eq!(begun["wish"], "none", "{body}");
        let number = begun["generation"].as_i64().unwrap();
        assert_eq!(begun["_links"], links(number, &["pause", "cancel"]));
        admin.deed(number, "switch").await.problem(409, "is_part");
        admin.deed(number, "cancel").await.ok();
    }
    let last = admin.book().last;
    let body = json!({
        "from": "beginning", "partitions": chosen, "switch_when_equal": true,
    });
    admin.post(REPLAYS, body).await.problem(409, "is_part");
    assert_eq!(admin.book().last, last, "nothing was begun");

    admin.lanes.answers(None);
    let body = json!({ "from": position("e:0:5") });
    admin.post(REPLAYS, body).await.problem(503, "brokers_away");
    // All of both lanes needs no answer of theirs.
    let whole = json!({ "from": "beginning", "switch_when_equal": true });
    assert_eq!(admin.begins(whole).await["wish"], "switch_when_equal");
    admin.lanes.answers(Some(Published::Acknowledged));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beginning_that_cannot_be_is_told_where() {
    let admin = Admin::start().await;
    let of = |partitions: Value| json!({ "from": "beginning", "partitions": partitions });
    for (body, pointer) in [
        (json!({}), ""),
        (json!({ "from": "beginning", "until": 1 }), ""),
        (json!({ "from": "beginning", "partitions": null }), ""),
        (json!({ "from": "beginning", "live_lag_max_ms": -1 }), ""),
        (json!({ "from": null }), "/from"),
        (json!({ "from": "begin" }), "/from"),
        (json!({ "from": { "offset": 1 } }), "/from"),
        (json!({ "from": { "position": 5 } }), "/from"),
        (
            json!({ "from": { "position": "e:0:1", "time": "1970-01-01T00:00:00Z" } }),
            "/from",
        ),
        (json!({ "from": { "position": "" } }), "/from/position"),
        (json!({ "from": { "position": "x:0:1" } }), "/from/position"),
        (json!({ "from": { "position": "e:3:0" } }), "/from/position"),
        (
            json!({ "from": { "position": "e:0:11" } }),
            "/from/position",
        ),
        (json!({ "from": { "position": "e:2:1" } }), "/from/position"),
        (json!({ "from": { "time": "yesterday" } }), "/from/time"),
        (
            json!({ "from": { "time": "2026-05-28T20:26:40.000001Z" } }),
            "/from/time",
        ),
        (of(json!([])), "/partitions"),
        (of(json!(["t-license.events.v1"])), "/partitions/0"),
        (of(json!(["license.events.v1:0"])), "/partitions/0"),
        (of(json!(["t-license.events.dlq.v1:0"])), "/partitions/0"),
        (of(json!(["t-license.events.v1:3"])), "/partitions/0"),
        (
            of(json!(["t-license.events.v1:1", "t-license.events.v1:1"])),
            "/partitions/1",
        ),
        (
            json!({ "from": { "position": "e:0:5" }, "partitions": ["t-license.events.v1:1"] }),
            "/partitions/0",
        ),
        (
            json!({ "from": "beginning", "records_per_second": 0 }),
            "/records_per_second",
        ),
        (
            json!({ "from": "beginning", "live_lag_max_ms": 4_294_967_296_u64 }),
            "/live_lag_max_ms",
        ),
    ] {
        let answer = admin.post(REPLAYS, body.clone()).await;
        let problem = answer.problem(422, "invalid_body");
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{body}: {problem}"
        );
    }
    assert_eq!(admin.book(), Book::default(), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wanted_of_a_generation_is_written_into_the_book() {
    let admin = Admin::start().await;
    admin.begins(json!({ "from": "beginning" })).await;
    admin.keeps(|book| book.beside(2).unwrap().trouble = Some("no broker answers".to_owned()));
    let troubled = admin.get(&itself(2)).await.ok();
    assert_eq!(
        (&troubled["state"], &troubled["trouble"]),
        (&json!("troubled"), &json!("no broker answers"))
    );
    let paused = admin.deed(2, "pause").await.ok();
    assert_eq!(
        (&paused["state"], &paused["is_paused"]),
        (&json!("paused"), &json!(true))
    );
    let deeds = ["resume", "compare", "switch", "cancel"];
    assert_eq!(paused["_links"], links(2, &deeds));
    assert_eq!(
        admin.deed(2, "pause").await.ok(),
        paused,
        "again is as once"
    );
    assert!(admin.book().get(2).unwrap().is_paused);

    let resumed = admin.deed(2, "resume").await.ok();
    assert_eq!(
        (&resumed["state"], &resumed["trouble"], &resumed["wish"]),
        (&json!("building"), &Value::Null, &json!("compare"))
    );
    for (deed, wish, state) in [
        ("switch", Wish::Switch, "switching"),
        ("compare", Wish::Compare, "building"),
    ] {
        admin.deed(2, "pause").await.ok();
        let shown = accepted(&admin.deed(2, deed).await);
        assert_eq!(shown["state"], state, "{deed}");
        let book = admin.book();
        let generation = book.get(2).unwrap();
        assert_eq!((generation.wish, generation.is_paused), (wish, false));
    }
    assert_eq!(admin.book().live, 1, "who keeps it moves the pointer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_live_is_gone_back_to_or_dropped_and_one_that_never_was_is_cancelled() {
    let admin = Admin::start().await;
    let back = format!("{REPLAYS}/rollback");
    let none = admin.asked(Method::POST, &back, None).await;
    none.problem(409, "never_live");
    admin.begins(json!({ "from": "beginning" })).await;
    for (deed, code) in [("rollback", "never_live"), ("drop", "never_live")] {
        admin.deed(2, deed).await.problem(409, code);
    }
    admin.switches_to(2);
    let list = admin.get(REPLAYS).await.ok();
    assert_eq!(list["live"], 2);
    let numbers = list["items"].as_array().unwrap().iter();
    let numbers: Vec<&Value> = numbers.map(|it| &it["generation"]).collect();
    assert_eq!(numbers, [&json!(2), &json!(1)], "the live one is first");
    assert_eq!(
        list["_links"]["rollback"],
        json!({ "href": back, "method": "POST" })
    );
    let former = admin.get(&itself(1)).await.ok();
    assert_eq!(
        (&former["state"], &former["was_live_until"]),
        (&json!("kept"), &json!(NOW_TEXT))
    );
    assert_eq!(
        former["_links"],
        links(1, &["pause", "compare", "rollback", "drop"])
    );
    admin.deed(1, "cancel").await.problem(409, "was_live");

    for path in [format!("{}/rollback", itself(1)), back] {
        let shown = admin.asked(Method::POST, &path, None).await;
        let shown = accepted(&shown);
        assert_eq!(
            (&shown["generation"], &shown["state"]),
            (&json!(1), &json!("switching"))
        );
        assert_eq!(admin.book().get(1).unwrap().wish, Wish::Switch);
        admin.keeps(|book| book.wish(1, Wish::None).unwrap());
    }

    let begun = admin.begins(json!({ "from": "beginning" })).await;
    let mut as_it_was = begun.clone();
    as_it_was["_links"] = json!({ "replays": { "href": REPLAYS } });
    assert_eq!(admin.deed(3, "cancel").await.ok(), as_it_was);
    assert_eq!(admin.deed(1, "drop").await.ok()["generation"], 1);
    for number in [1, 3] {
        let gone = admin.get(&itself(number)).await;
        gone.problem(404, "no_such_generation");
    }
    assert_eq!(admin.book().generations.len(), 1);
    assert_eq!(admin.book().last, 3, "numbers are never given again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_one_and_one_that_is_not_there_are_left_alone() {
    let admin = Admin::with_a_former_one().await;
    let before = admin.book();
    for deed in [
        "pause", "resume", "compare", "switch", "rollback", "cancel", "drop",
    ] {
        admin.deed(2, deed).await.problem(409, "is_live");
        admin.deed(7, deed).await.problem(404, "no_such_generation");
        for path in [format!("{REPLAYS}/x/{deed}"), format!("{REPLAYS}/-/{deed}")] {
            let missing = admin.asked(Method::POST, &path, None).await;
            missing.problem(404, "no_such_generation");
        }
        let path = format!("{}/{deed}", itself(1));
        let asked = format!("{path}?force=true");
        let asked = admin.asked(Method::POST, &asked, None).await;
        asked.problem(400, "unknown_parameter");
        let said = admin.post(&path, json!({ "force": true })).await;
        said.problem(422, "invalid_body");
        admin.get(&path).await.problem(405, "method_not_allowed");
    }
    for path in [
        format!("{REPLAYS}?limit=1"),
        format!("{}?limit=1", itself(1)),
    ] {
        admin.get(&path).await.problem(400, "unknown_parameter");
    }
    let missing = admin.get(&format!("{REPLAYS}/7")).await;
    let detail = &missing.problem(404, "no_such_generation")["detail"];
    assert!(detail.as_str().unwrap().contains("no generation 7"));
    let body = json!({ "force": true });
    let said = admin.post(&format!("{REPLAYS}/rollback"), body).await;
    said.problem(422, "invalid_body");
    assert_eq!(admin.book(), before, "nothing was changed");
    // A body that says nothing may be sent.
    let sent = admin.post(&format!("{}/pause", itself(1)), json!({})).await;
    assert_eq!(sent.ok()["state"], "paused");
}

/// As a keeper does it: to `next` in partition 2, of which the end is known.
fn advance(admin: &Admin, number: Number, next: i64, end_offset: i64) {
    let book = admin.book();
    let generation = book.get(number).unwrap();
    let mut model = admin.generations.open(generation, Begin::Folding).unwrap();
    let mut batch = Batch::default();
    batch.advance(Lane::Interactive, 2, 0, next);
    let activated = event(1, "L-1", NOW, activated("d"));
    let at = licenseflow_avro::Coordinates {
        timestamp: NOW_MS,
        lane: Lane::Interactive,
        partition: 2,
        offset: 0,
    };
    batch.accept(at, Default::default(), &activated);
    model.apply(batch, NOW_MS).unwrap();
    let end = PartitionEnd {
        lane: Lane::Interactive,
        partition: 2,
        end_offset,
        seen_at: NOW_MS,
    };
    model.note_ends(&[end], NOW_MS).unwrap();
}

/// What a comparison may give.
fn differing() -> Gate {
    let row =
        r#"{"license_id":"L-1","metric":"pages","quantity":9007199254740991,"tenant_id":"a"}"#;
    Gate {
        with: 1,
        at: NOW_MS,
        position: "e:2:5".parse().unwrap(),
        is_equal: false,
        licenses: 3,
        differences: vec![Different {
            tenant_id: "a".to_owned(),
            license_id: "L-1".to_owned(),
            live: vec![row.to_owned()],
            next: vec!["Letter".to_owned()],
            events: vec!["t-license.events.v1:2:0".to_owned()],
        }],
        fates: 1,
        fates_that_differ: vec!["only in the live one: offset 3: rejected".to_owned()],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_far_a_generation_is_and_what_its_comparison_gave_is_shown_by_value() {
    let admin = Admin::start().await;
    admin.begins(json!({ "from": "beginning" })).await;
    advance(&admin, 2, 5, 5000);
    let shown = admin.get(&itself(2)).await.ok();
    assert_eq!(shown["state"], "building");
    assert_eq!(shown["position"], "e:2:5");
    assert_eq!(
        shown["partitions"],
        json!([{
            "topic": "t-license.events.v1",
            "partition": 2,
            "begin": 0,
            "next_offset": 5,
            "end_offset": 5000,
            "lag_events": 4995,
        }])
    );
    assert_eq!(
        (&shown["records_done"], &shown["lag_events"]),
        (&json!(5), &json!(4995))
    );

    let gate = differing();
    admin.keeps(|book| {
        let generation = book.beside(2).unwrap();
        (generation.wish, generation.gate) = (Wish::None, Some(gate.clone()));
    });
    let shown = admin.get(&itself(2)).await.ok();
    assert_eq!(shown["state"], "compared");
    assert_eq!(
        shown["gate"],
        json!({
            "with": 1,
            "at": NOW_TEXT,
            "position": "e:2:5",
            "is_equal": false,
            "licenses": 3,
            "differences": [{
                "tenant_id": "a",
                "license_id": "L-1",
                "live": [{
                    "license_id": "L-1",
                    "metric": "pages",
                    "quantity": 9_007_199_254_740_991_i64,
                    "tenant_id": "a",
                }],
                "next": ["Letter"],
                "events": ["t-license.events.v1:2:0"],
            }],
            "fates": 1,
            "fates_that_differ": ["only in the live one: offset 3: rejected"],
        })
    );
    let again = accepted(&admin.deed(2, "compare").await);
    assert_eq!(again["gate"], Value::Null, "it is not the coming one's");
}
