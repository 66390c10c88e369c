//! The one who reads what was said since, once for all who listen; and the one who looks after them.

use std::sync::Arc;
use std::time::Duration;

use licenseflow_store::lookup::SaidQuery;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::hub::Shared;
use super::walk::Walk;
use crate::answer::Failure;

/// How often the store is read where nothing says that it changed.
const POLL: Duration = Duration::from_millis(25);

/// The same where a projector says it: how long a change that it does not speak of may go unseen.
const POLL_BESIDE_SIGNAL: Duration = Duration::from_millis(500);

/// How long after an error of the store it is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// As many events as are read at once.
const PAGE_EVENTS: usize = 1000;

/// Follows the store for as long as somebody listens.
pub(super) async fn follow(shared: Arc<Shared>, mut applied: Option<watch::Receiver<u64>>) {
    loop {
        while shared.forget() {
            shared.arrived.notified().await;
        }
        if let Some(applied) = &mut applied {
            // What was committed before this read is in it.
            applied.mark_unchanged();
        }
        match go_on(&shared).await {
            Ok(()) => pause(&shared, &mut applied).await,
            // The store's own words about an error are in the log; streams stay open meanwhile.
            Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
        }
    }
}

/// Tells everything from where the follower stands to where the model stands.
async fn go_on(shared: &Shared) -> Result<(), Failure> {
    let freshness = shared
        .store
        .ask("freshness", |lookup| lookup.freshness())
        .await?;
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

async fn pause(shared: &Shared, applied: &mut Option<watch::Receiver<u64>>) {
    let Some(signal) = applied else {
        tokio::time::sleep(POLL).await;
        return;
    };
    tokio::select! {
        changed = signal.changed() => if changed.is_err() {
            // The projector has ended, and another process may go on in its place.
            *applied = None;
        },
        // Whoever comes has seen where the model stands, and joins there.
        () = shared.arrived.notified() => {}
        () = tokio::time::sleep(POLL_BESIDE_SIGNAL) => {}
    }
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
