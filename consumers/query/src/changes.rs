//! When to read the store again: after each commit that is told of, and every so often in case one was not.

use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// What one who reads the store again and again waits for.
pub(crate) struct Changes {
    /// Changes when something was committed; none: nobody says so.
    pub(crate) applied: Option<watch::Receiver<u64>>,
    /// How often the store is read where nothing says that it changed.
    pub(crate) poll: Duration,
    /// The same where something does: how long a change that it does not speak of may go unseen.
    pub(crate) poll_beside_signal: Duration,
}

impl Changes {
    /// What was committed before this is in what is read next.
    pub(crate) fn mark_seen(&mut self) {
        if let Some(applied) = &mut self.applied {
            applied.mark_unchanged();
        }
    }

    /// Waits for the next change, or, where changes are told of, for somebody who has arrived.
    pub(crate) async fn next(&mut self, arrived: &Notify) {
        let Some(applied) = &mut self.applied else {
            sleep(self.poll).await;
            return;
        };
        tokio::select! {
            changed = applied.changed() => if changed.is_err() {
                // The projector has ended, and another process may go on in its place.
                self.applied = None;
            },
            () = arrived.notified() => {}
            () = sleep(self.poll_beside_signal) => {}
        }
    }
}
