//! Whether the brokers are within reach, asked in the background, so that whoever
//! asks for readiness gets an answer at once.

use crate::service::Service;
use licenseflow_avro::Topics;
use licenseflow_query::PartitionCount;
use licenseflow_runtime::http::Health;
use licenseflow_runtime::log::Admin;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How old an answer gets.
const EVERY: Duration = Duration::from_secs(2);

/// What the brokers said last.
#[derive(Clone)]
pub(crate) struct Brokers(watch::Receiver<Said>);

#[derive(Default)]
struct Said {
    problem: Option<String>,
    /// How many partitions each topic has; kept while the brokers are away.
    partitions: BTreeMap<String, usize>,
}

impl Brokers {
    /// Begins to ask. Whoever gets here has talked to the brokers just now.
    pub(crate) fn watch(service: &mut Service, admin: Admin) -> Self {
        let (said, heard) = watch::channel(Said::default());
        let stop = service.stop_token();
        service.run("brokers", async move {
            while stop
                .run_until_cancelled(tokio::time::sleep(EVERY))
                .await
                .is_some()
            {
                // Brokers that say nothing are not waited for at the end.
                let asked = admin.off_thread(Admin::partition_counts);
                let Some(answer) = stop.run_until_cancelled(asked).await else {
                    break;
                };
                said.send_modify(|said| match answer {
                    Ok(partitions) => {
                        *said = Said {
                            problem: None,
                            partitions,
                        }
                    }
                    Err(error) => said.problem = Some(error.to_string()),
                });
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
        self.0.borrow().problem.clone()
    }

    /// How many partitions each lane has, as the brokers said last. Partitions that were added since
    /// are known long before our own producers write to them: these ask more seldom.
    pub(crate) fn partition_count(&self, topics: &Topics) -> PartitionCount {
        let (said, topics) = (self.0.clone(), topics.clone());
        Arc::new(move |lane| said.borrow().partitions.get(&topics.lane(lane)).copied())
    }
}
