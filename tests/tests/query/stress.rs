//! The API under stress, in one process and with a clock of the test's: questions that are shared or kept,
//! a store that does not answer, more requests than turns.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures::future::join_all;
use licenseflow_avro::event::{LicenseEvent, LicenseIssued, Payload};
use licenseflow_query::{QueryOptions, QueryState, health_router, router};
use licenseflow_runtime::http::{HttpLimits, harden};
use licenseflow_store::{Lookup, SqliteLookup};
use licenseflow_tests::harness::Folder;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, advance, sleep};
use tower::ServiceExt;

use crate::model::{Model, NOW, activated, event, issued};
use crate::served::{Answer, DEADLINE, Watched, options};

const SECOND: i64 = 1_000_000;

/// The bounds of an API in these tests.
pub(crate) struct Bounds {
    pub(crate) lookups_max: usize,
    pub(crate) queue_max: usize,
    pub(crate) cache_bytes_max: usize,
    /// Whether each commit is told of.
    pub(crate) told: bool,
    pub(crate) limits: HttpLimits,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            lookups_max: 4,
            queue_max: 16,
            cache_bytes_max: 1 << 20,
            told: true,
            limits: HttpLimits::default(),
        }
    }
}

/// An API in this process, asked without a port.
#[derive(Clone)]
pub(crate) struct Api {
    router: Router,
    pub(crate) lookup: Arc<Watched>,
    clock: Arc<AtomicI64>,
    applied: watch::Sender<u64>,
}

impl Api {
    pub(crate) fn over(file: &std::path::Path, bounds: Bounds) -> Self {
        let lookup = SqliteLookup::open(file, bounds.lookups_max).unwrap();
        let lookup = Arc::new(Watched::over(lookup));
        let clock = Arc::new(AtomicI64::new(NOW));
        let told = Arc::clone(&clock);
        let (applied, counted) = watch::channel(0);
        let options = QueryOptions {
            lookups_max: bounds.lookups_max,
            queue_max: bounds.queue_max,
            cache_bytes_max: bounds.cache_bytes_max,
            waiters_max: 512,
            applied: bounds.told.then_some(counted),
            clock: Arc::new(move || told.load(Ordering::SeqCst)),
            ..options()
        };
        let state = QueryState::new(Arc::clone(&lookup) as Arc<dyn Lookup>, options);
        let routes = router(state.clone()).merge(health_router(state));
        Self {
            router: harden(routes, &bounds.limits),
            lookup,
            clock,
            applied,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        Answer::of(parts.status.as_u16(), parts.headers, bytes.to_vec())
    }

    pub(crate) fn tell(&self) {
        self.applied.send_modify(|commits| *commits += 1);
    }

    pub(crate) fn set_clock(&self, now: i64) {
        self.clock.store(now, Ordering::SeqCst);
    }

    /// Holds every question from now on.
    pub(crate) fn hold(&self) -> Hold {
        let held = Arc::new(Held::default());
        let holds = Arc::clone(&held);
        *self.lookup.before.lock().unwrap() = Some(Arc::new(move || holds.wait()));
        Hold(held)
    }

    pub(crate) fn do_before(&self, before: impl Fn() + Send + Sync + 'static) {
        *self.lookup.before.lock().unwrap() = Some(Arc::new(before));
    }
}

#[derive(Default)]
struct Held {
    entered: AtomicUsize,
    released: Mutex<bool>,
    changed: Condvar,
}

impl Held {
    fn wait(&self) {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let released = self.released.lock().unwrap();
        let is_held = |released: &mut bool| !*released;
        drop(self.changed.wait_while(released, is_held).unwrap());
    }
}

/// Questions that are held until this is dropped.
pub(crate) struct Hold(Arc<Held>);

impl Hold {
    /// Returns when so many questions are held.
    pub(crate) async fn entered(&self, questions: usize) {
        let begun = std::time::Instant::now();
        while self.0.entered.load(Ordering::SeqCst) < questions {
            assert!(begun.elapsed() < DEADLINE, "nobody asks");
            // The clock of the runtime stands still, and its other tasks go on.
            std::thread::sleep(Duration::from_millis(1));
            yield_now().await;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        *self.0.released.lock().unwrap() = true;
        self.0.changed.notify_all();
    }
}

/// Lets every other task of the runtime come as far as it can.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

pub(crate) fn issue(
    number: u128,
    license: &str,
    customer: &str,
    from: i64,
    until: Option<i64>,
) -> LicenseEvent {
    let issued = LicenseIssued {
        valid_from: from,
        ..issued(customer, 3, until)
    };
    event(number, license, NOW, Payload::LicenseIssued(issued))
}

/// A license that ends in ten seconds, one without end, and one that begins in ten.
pub(crate) fn start(bounds: Bounds) -> (Api, Model, Folder) {
    let folder = Folder::new("stress").unwrap();
    let file = folder.path().join("licenseflow.db");
    let mut model = Model::open(&file);
    model.say(
        issue(1, "L-1", "c-1", NOW - SECOND, Some(NOW + 10 * SECOND)),
        None,
    );
    model.say(issue(2, "L-2", "c-1", NOW - SECOND, None), None);
    model.say(issue(3, "L-3", "c-2", NOW + 10 * SECOND, None), None);
    model.apply();
    (Api::over(&file, bounds), model, folder)
}

#[tokio::test(start_paused = true)]
async fn who_asks_the_same_at_the_same_time_is_told_by_one_question() {
    let (api, _model, _folder) = start(Bounds::default());
    for path in [
        "/v1/licenses/L-1",
        "/v1/stats",
        "/v1/licenses?status=active",
    ] {
        let before = api.lookup.asked();
        let hold = api.hold();
        let many = join_all((0..20).map(|_| api.get(path)));
        let released = async {
            hold.entered(1).await;
            settle().await;
            drop(hold);
        };
        let (answers, ()) = tokio::join!(many, released);
        for answer in &answers {
            assert_eq!(answer.ok(), answers[0].ok());
            assert_eq!(answer.header("x-read-position"), Some("e:0:3"));
        }
        assert_eq!(api.lookup.asked(), before + 1, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_goes_away_takes_no_answer_from_the_others() {
    let (api, _model, _folder) = start(Bounds::default());
    let hold = api.hold();
    let mut asking = JoinSet::new();
    let of = api.clone();
    let first = asking.spawn(async move { of.get("/v1/licenses/L-1").await });
    hold.entered(1).await;
    let second = api.get("/v1/licenses/L-1");
    let gone = async {
        settle().await;
        first.abort();
        settle().await;
        drop(hold);
    };
    let (answer, ()) = tokio::join!(second, gone);
    assert_eq!(answer.ok()["license_id"], "L-1");
    assert_eq!(api.lookup.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_those_who_waited_for_it_and_to_nobody_after_them() {
    let (api, _model, _folder) = start(Bounds::default());
    let panics = Arc::new(AtomicBool::new(true));
    let once = Arc::clone(&panics);
    api.do_before(move || {
        assert!(!once.swap(false, Ordering::SeqCst), "a question that fails");
    });
    let (one, other) = tokio::join!(api.get("/v1/licenses/L-1"), api.get("/v1/licenses/L-1"));
    one.problem(500, "internal");
    other.problem(500, "internal");
    api.get("/v1/licenses/L-1").await.ok();
    api.lookup.away.store(true, Ordering::SeqCst);
    api.get("/v1/licenses/L-2").await.problem(503, "store_away");
    api.lookup.away.store(false, Ordering::SeqCst);
    api.get("/v1/licenses/L-2").await.ok();
}

#[tokio::test(start_paused = true)]
async fn what_was_read_is_told_again_until_a_newer_position_and_never_past_its_time() {
    let (api, mut model, _folder) = start(Bounds::default());
    let asked = async |path: &str, questions: usize| {
        let before = api.lookup.asked();
        let answer = api.get(path).await;
        assert_eq!(api.lookup.asked(), before + questions, "{path}");
        answer
    };
    let first = asked("/v1/licenses/L-1", 1).await;
    let again = asked("/v1/licenses/L-1", 0).await;
    assert_eq!(first.ok(), again.ok());
    assert_eq!(first.header("etag"), again.header("etag"));
    assert_eq!(again.header("x-read-position"), Some("e:0:3"));
    asked("/v1/licenses/L-9", 1)
        .await
        .problem(404, "license_not_found");
    asked("/v1/licenses/L-9", 0)
        .await
        .problem(404, "license_not_found");
    // The status is that of the time of asking, and a customer's numbers hold until the next expiry.
    asked("/v1/customers/c-1", 1).await.ok();
    assert_eq!(
        asked("/v1/customers/c-1", 0).await.ok()["by_status"]["active"],
        2
    );
    asked("/v1/customers/c-2", 1).await.ok();
    asked("/v1/customers/c-2", 1).await.ok();
    api.set_clock(NOW + 10 * SECOND);
    assert_eq!(asked("/v1/licenses/L-1", 0).await.ok()["status"], "expired");
    assert_eq!(
        asked("/v1/customers/c-1", 1).await.ok()["by_status"]["active"],
        1
    );
    assert_eq!(
        asked("/v1/customers/c-2", 1).await.ok()["by_status"]["active"],
        1
    );
    // A commit is told of; a position that is asked for is never below the answer's.
    model.say(event(4, "L-1", NOW, activated("d-1")), None);
    model.apply();
    let written = [("x-min-position", "e:0:4")];
    let answer = api.get_with("/v1/licenses/L-1", &written).await;
    assert_eq!(answer.ok()["seats_used"], 1);
    assert_eq!(asked("/v1/licenses/L-1", 0).await.ok()["seats_used"], 1);
    model.say(event(5, "L-1", NOW, activated("d-2")), None);
    model.apply();
    api.tell();
    assert_eq!(asked("/v1/licenses/L-1", 1).await.ok()["seats_used"], 2);
    // Nothing is kept for long, told of or not.
    advance(Duration::from_secs(1)).await;
    asked("/v1/licenses/L-1", 1).await.ok();
}

#[tokio::test(start_paused = true)]
async fn where_nobody_tells_of_commits_it_is_kept_for_a_tenth_of_a_second_and_without_memory_not_at_all()
 {
    let bounds = Bounds {
        told: false,
        ..Bounds::default()
    };
    let (api, mut model, _folder) = start(bounds);
    api.get("/v1/licenses/L-1").await.ok();
    model.say(event(4, "L-1", NOW, activated("d-1")), None);
    model.apply();
    assert_eq!(api.get("/v1/licenses/L-1").await.ok()["seats_used"], 0);
    advance(Duration::from_millis(100)).await;
    assert_eq!(api.get("/v1/licenses/L-1").await.ok()["seats_used"], 1);

    let bounds = Bounds {
        cache_bytes_max: 0,
        ..Bounds::default()
    };
    let (api, _model, _folder) = start(bounds);
    for asked in 1..4 {
        api.get("/v1/licenses/L-1").await.ok();
        assert_eq!(api.lookup.asked(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_left_alone_for_half_a_minute_and_comes_back_by_itself() {
    let (api, _model, _folder) = start(Bounds::default());
    api.lookup.broken.store(true, Ordering::SeqCst);
    for number in 0..30 {
        let answer = api.get(&format!("/v1/licenses/B-{number}")).await;
        answer.problem(500, "internal");
    }
    api.lookup.broken.store(false, Ordering::SeqCst);
    // Those faults were answers, and are out of the window by now.
    advance(Duration::from_secs(6)).await;
    api.get("/readyz").await.ok();
    api.lookup.away.store(true, Ordering::SeqCst);
    for number in 0..9 {
        let answer = api.get(&format!("/v1/licenses/A-{number}")).await;
        answer.problem(503, "store_away");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let asked = api.lookup.asked();
    for path in [
        "/v1/licenses/L-1",
        "/v1/licenses",
        "/v1/stats",
        "/v1/position",
    ] {
        let answer = api.get(path).await;
        answer.problem(503, "store_away");
        assert_eq!(answer.header("retry-after"), Some("30"), "{path}");
        assert_eq!(answer.header("x-read-position"), Some("e:0:3"));
    }
    assert_eq!(api.lookup.asked(), asked, "nobody asks it");
    api.get("/healthz").await.ok();
    let answer = api.get("/readyz").await;
    assert_eq!(
        answer.problem(503, "not_ready")["checks"][0]["name"],
        "store"
    );

    api.lookup.away.store(false, Ordering::SeqCst);
    advance(Duration::from_secs(29)).await;
    api.get("/readyz").await.problem(503, "not_ready");
    advance(Duration::from_secs(1)).await;
    // Who asks whether it is ready is the one who tries.
    api.get("/readyz").await.ok();
    api.get("/v1/licenses/L-1").await.ok();
}

#[tokio::test(start_paused = true)]
async fn clients_that_leave_while_they_wait_for_their_turn_say_nothing_of_the_store() {
    let bounds = Bounds {
        lookups_max: 1,
        ..Bounds::default()
    };
    let (api, _model, _folder) = start(bounds);
    let hold = api.hold();
    let mut asking = JoinSet::new();
    let of = api.clone();
    let first = asking.spawn(async move { of.get("/v1/licenses/L-1").await });
    hold.entered(1).await;
    for number in 0..12 {
        let of = api.clone();
        asking.spawn(async move { of.get(&format!("/v1/licenses/W-{number}")).await });
    }
    settle().await;
    advance(Duration::from_secs(4)).await;
    first.abort();
    asking.shutdown().await;
    drop(hold);
    // One question alone was before the store for so long: too few to tell.
    api.get("/v1/licenses/L-2").await.ok();
}

#[tokio::test(start_paused = true)]
async fn those_who_begin_to_wait_at_once_are_looked_for_together() {
    const WAITERS: usize = 40;
    let (api, _model, _folder) = start(Bounds::default());
    api.get("/readyz").await.ok();
    let before = api.lookup.freshness_reads();
    let headers = [("x-min-position", "e:0:4"), ("x-wait-ms", "100")];
    let waiting = join_all((0..WAITERS).map(|_| api.get_with("/v1/licenses/L-2", &headers)));
    for answer in waiting.await {
        let problem = answer.problem(504, "still_stale");
        assert_eq!(problem["position"], "e:0:3");
    }
    let looks = api.lookup.freshness_reads() - before;
    assert!(looks < WAITERS / 4, "{looks} looks");
}

#[tokio::test(start_paused = true)]
async fn who_begins_to_wait_for_a_store_that_is_away_is_told_so_at_once() {
    let (api, _model, _folder) = start(Bounds::default());
    api.get("/readyz").await.ok();
    api.lookup.away.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    let headers = [("x-min-position", "e:0:4"), ("x-wait-ms", "15000")];
    let answer = api.get_with("/v1/licenses/L-2", &headers).await;
    answer.problem(503, "store_away");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_question_has_what_is_left_of_the_requests_time_after_a_wait() {
    let (api, mut model, _folder) = start(Bounds::default());
    let begun = Instant::now();
    let headers = [("x-min-position", "e:0:4"), ("x-wait-ms", "15000")];
    let asked = api.get_with("/v1/licenses/L-1", &headers);
    let hold = api.hold();
    let slow = async {
        sleep(Duration::from_secs(14)).await;
        model.say(event(4, "L-1", NOW, activated("d-1")), None);
        model.apply();
        api.tell();
        hold.entered(1).await;
        advance(Duration::from_millis(5_750)).await;
    };
    let (answer, ()) = tokio::join!(asked, slow);
    answer.problem(503, "store_away");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let took = begun.elapsed();
    assert!(
        took > Duration::from_secs(19) && took < Duration::from_secs(20),
        "{took:?}"
    );
    drop(hold);
    assert_eq!(api.get("/v1/licenses/L-1").await.ok()["seats_used"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_is_waited_for_fifteen_seconds() {
    let (api, _model, _folder) = start(Bounds::default());
    let begun = Instant::now();
    let hold = api.hold();
    let asked = api.get("/v1/licenses/L-1");
    let slow = async {
        hold.entered(1).await;
        advance(Duration::from_millis(15_300)).await;
    };
    let (answer, ()) = tokio::join!(asked, slow);
    answer.problem(503, "store_away");
    assert!(begun.elapsed() < Duration::from_secs(16));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_turns_and_the_queue_requests_are_refused_at_once_but_not_health() {
    let bounds = Bounds {
        lookups_max: 1,
        queue_max: 1,
        ..Bounds::default()
    };
    let (api, _model, _folder) = start(bounds);
    api.get("/readyz").await.ok();
    let hold = api.hold();
    let mut asking = JoinSet::new();
    for license in ["L-1", "L-2"] {
        let of = api.clone();
        asking.spawn(async move { of.get(&format!("/v1/licenses/{license}")).await });
        hold.entered(1).await;
    }
    settle().await;
    let begun = Instant::now();
    for path in ["/v1/licenses/L-3", "/v1/licenses", "/v1/position"] {
        let answer = api.get(path).await;
        answer.problem(503, "store_busy");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    api.get("/healthz").await.ok();
    api.get("/readyz").await.ok();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(hold);
    while let Some(answer) = asking.join_next().await {
        answer.unwrap().ok();
    }
    api.get("/v1/licenses/L-3").await.ok();
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_model_holds_no_turn() {
    let bounds = Bounds {
        lookups_max: 1,
        queue_max: 64,
        ..Bounds::default()
    };
    let (api, mut model, _folder) = start(bounds);
    let headers = [("x-min-position", "e:0:4"), ("x-wait-ms", "15000")];
    let waiting = join_all((0..50).map(|_| api.get_with("/v1/licenses/L-2", &headers)));
    let meanwhile = async {
        settle().await;
        for _ in 0..5 {
            api.get("/v1/licenses/L-1").await.ok();
            sleep(Duration::from_secs(1)).await;
        }
        model.say(event(4, "L-2", NOW, activated("d-1")), None);
        model.apply();
        api.tell();
    };
    let (waited, ()) = tokio::join!(waiting, meanwhile);
    for answer in waited {
        assert_eq!(answer.ok()["seats_used"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn all_of_it_is_among_the_numbers() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let bounds = Bounds {
        lookups_max: 1,
        queue_max: 0,
        ..Bounds::default()
    };
    let (api, _model, _folder) = start(bounds);
    api.get("/v1/licenses/L-1").await.ok();
    api.get("/v1/licenses/L-1").await.ok();
    let hold = api.hold();
    let (one, other, ()) = tokio::join!(
        api.get("/v1/licenses/L-2"),
        api.get("/v1/licenses/L-2"),
        async {
            hold.entered(1).await;
            api.get("/v1/licenses/L-3").await.problem(503, "store_busy");
            drop(hold);
        }
    );
    one.ok();
    other.ok();
    api.lookup.away.store(true, Ordering::SeqCst);
    for number in 0..20 {
        api.get(&format!("/v1/licenses/A-{number}"))
            .await
            .problem(503, "store_away");
    }
    let page = recorder.handle().render();
    for name in [
        "query_cache_total{outcome=\"hit\"} 1\n",
        "query_cache_total{outcome=\"miss\"} 23\n",
        "query_cache_total{outcome=\"shared\"} 1\n",
        "query_cache_bytes ",
        "query_shed_total{why=\"crowded\"} 1\n",
        "query_breaker_state ",
        "query_breaker_changes_total{to=\"open\"} 1\n",
        "query_lookups_failed_total{kind=\"open\"} ",
        "query_turn_wait_seconds_count ",
    ] {
        assert!(page.contains(name), "{name} is not in {page}");
    }
}
