//! Whether the brokers are within reach, asked in the background, so that whoever
//! asks for readiness gets an answer at once.

use crate::service::Service;
use licenseflow_runtime::http::Health;
use licenseflow_runtime::log::Admin;
use std::time::Duration;
use tokio::sync::watch;

/// How old an answer gets.
const EVERY: Duration = Duration::from_secs(2);

/// What the brokers said last.
#[derive(Clone)]
pub(crate) struct Brokers(watch::Receiver<Option<String>>);

impl Brokers {
    /// Begins to ask. Whoever gets here has talked to the brokers just now.
    pub(crate) fn watch(service: &mut Service, admin: Admin) -> Self {
        let (said, heard) = watch::channel(None);
        let stop = service.stop_token();
        service.run("brokers", async move {
            while stop
                .run_until_cancelled(tokio::time::sleep(EVERY))
                .await
                .is_some()
            {
                let count = admin.off_thread(|admin| admin.broker_count()).await;
                said.send_replace(count.err().map(|error| error.to_string()));
            }
            Ok(())
        });
        Self(heard)
    }

    /// Readiness that asks for them.
    pub(crate) fn health(self) -> Health {
        Health::default().part("brokers", move || {
            let problem = self.problem();
            Box::pin(async { problem.map_or(Ok(()), Err) })
        })
    }

    /// Why they cannot be used; none: they can.
    pub(crate) fn problem(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}
