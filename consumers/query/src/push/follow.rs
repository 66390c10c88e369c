//! The one who reads what was said since, once for all who listen; and the one who looks after them.

use std::sync::Arc;
use std::time::Duration;

use licenseflow_store::lookup::SaidQuery;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::hub::Shared;
use super::walk::Walk;
use crate::answer::Failure;
use crate::changes::Changes;

/// How often the store is read where nothing says that it changed.
const POLL: Duration = Duration::from_millis(25);

/// The same where a projector says it: how long a change that it does not speak of may go unseen.
const POLL_BESIDE_SIGNAL: Duration = Duration::from_millis(500);

/// How long after an error of the store it is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// As many events as are read at once.
const PAGE_EVENTS: usize = 1000;

/// Follows the store for as long as somebody listens.
pub(super) async fn follow(shared: Arc<Shared>, applied: Option<watch::Receiver<u64>>) {
    let mut changes = Changes {
        applied,
        poll: POLL,
        poll_beside_signal: POLL_BESIDE_SIGNAL,
    };
    loop {
        while shared.forget() {
            shared.arrived.notified().await;
        }
        changes.mark_seen();
        match go_on(&shared).await {
            // Whoever arrives has seen where the model stands, and joins there.
            Ok(()) => changes.next(&shared.arrived).await,
            // The store's own words about an error are in the log; streams stay open meanwhile.
            Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
        }
    }
}

/// Tells everything from where the follower stands to where the model stands.
async fn go_on(shared: &Shared) -> Result<(), Failure> {
    let freshness = shared.store.freshness().await?;
    let Some(followed) = shared.go_on_from(&freshness) else {
        return Ok(());
    };
    let mut walk = Walk::new(&followed.position, &freshness.position());
    while !walk.is_done() {
        let query = SaidQuery {
            tenants: shared.begin_to_tell(),
            spans: walk.spans(),
            limit: PAGE_EVENTS,
        };
        let read = shared
            .store
            .ask("said", move |lookup| lookup.said(&query))
            .await;
        let page = match read {
            Ok(read) => read.value,
            Err(failure) => {
                shared.end_telling(walk.at());
                return Err(failure);
            }
        };
        for event in &page.items {
            let at = event.row.recorded.at;
            walk.pass(at.lane, at.partition, at.offset);
            shared.tell(event, walk.at());
        }
        walk.come_to(page.next);
        shared.end_telling(walk.at());
        // Readers may take what they were told before there is more.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Once a second.
pub(super) async fn look_after(shared: Arc<Shared>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for second in 0.. {
        seconds.tick().await;
        shared.look_after(second);
    }
}
