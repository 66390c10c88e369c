//! A single row that the store has at hand is read where the request is answered; what it would have to be
//! waited for is asked as any other question.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{ThreadId, current};

use crate::stress::{Api, Bounds, start};

const ROW: &str = "/v1/licenses/L-2";
const ROWS: &str = "/v1/licenses/L-2?include=devices";

/// The threads that questions are asked on from now on. The first finds the store away where that is said.
fn threads(api: &Api, is_first_away: bool) -> Arc<Mutex<Vec<ThreadId>>> {
    let threads = Arc::new(Mutex::new(Vec::new()));
    let (noted, lookup) = (Arc::clone(&threads), Arc::clone(&api.lookup));
    api.do_before(move || {
        let mut noted = noted.lock().unwrap();
        lookup
            .away
            .store(is_first_away && noted.is_empty(), Ordering::SeqCst);
        noted.push(current().id());
    });
    threads
}

#[tokio::test]
async fn one_row_is_read_on_the_thread_of_its_request_and_more_on_another() {
    let (api, _model, _folder) = start(Bounds::default());
    let here = current().id();
    let asked = threads(&api, false);
    api.get(ROW).await.ok();
    assert!(!asked.lock().unwrap().contains(&here), "it is not at hand");
    api.lookup.at_hand.store(true, Ordering::SeqCst);
    api.get(ROWS).await.ok();
    assert!(!asked.lock().unwrap().contains(&here), "it is no row");
    for _ in 0..2 {
        asked.lock().unwrap().clear();
        api.get(ROW).await.ok();
        assert_eq!(*asked.lock().unwrap(), [here], "it is not kept either");
    }
}

#[tokio::test]
async fn a_row_that_is_not_at_hand_after_all_is_asked_for_where_waiting_does_no_harm() {
    let (api, _model, _folder) = start(Bounds::default());
    api.lookup.at_hand.store(true, Ordering::SeqCst);
    let asked = threads(&api, true);
    assert_eq!(api.get(ROW).await.ok()["license_id"], "L-2");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], current().id());
    assert_ne!(asked[1], current().id());
}

#[tokio::test]
async fn without_a_turn_a_row_waits_for_one_as_every_question_does() {
    let bounds = Bounds {
        lookups_max: 1,
        ..Bounds::default()
    };
    let (api, _model, _folder) = start(bounds);
    api.lookup.at_hand.store(true, Ordering::SeqCst);
    let hold = api.hold();
    let both = async { tokio::join!(api.get(ROWS), api.get("/v1/licenses/L-1?include=usage")) };
    let row = async {
        hold.entered(1).await;
        let threads = threads(&api, false);
        let row = api.get(ROW);
        let released = async {
            tokio::task::yield_now().await;
            assert!(threads.lock().unwrap().is_empty(), "it took another's turn");
            drop(hold);
        };
        let (row, ()) = tokio::join!(row, released);
        row.ok();
    };
    let ((one, other), ()) = tokio::join!(both, row);
    one.ok();
    other.ok();
}
