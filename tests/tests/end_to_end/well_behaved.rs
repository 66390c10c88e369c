//! A client that does everything right while others do not: it produces, waits for its receipt,
//! reads what it wrote, and in the end asks whether every receipt counted once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LICENSES: u64 = 7;

/// Between two events; what is around it shall be disturbed by others, not by this one.
const PAUSE: Duration = Duration::from_millis(20);

/// What the client is ready to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expects {
    /// Nothing but receipts and answers.
    NoTrouble,
    /// That brokers are away for a while, with a word about when to come again.
    BrokersAway,
    /// As before, and that the platform ends: it stops then by itself.
    AnEnd,
}

/// The client at work.
pub(crate) struct WellBehaved {
    work: JoinHandle<Receipts>,
    stop: CancellationToken,
    count: Arc<AtomicUsize>,
}

/// What it was given: for each license the number of receipts and their positions.
pub(crate) struct Receipts {
    pub(crate) given: BTreeMap<String, Vec<String>>,
    /// How often it was told to come again.
    pub(crate) refusals: usize,
    /// The license of the event that the platform ended before it answered, if there is one.
    unanswered: Option<String>,
}

impl WellBehaved {
    /// Begins; `name` keeps its licenses apart from those of others.
    pub(crate) fn begin(api: String, name: &str, expects: Expects) -> Self {
        let stop = CancellationToken::new();
        let asked = stop.clone();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let name = name.to_owned();
        let work = tokio::spawn(async move {
            let mut told = Receipts {
                given: BTreeMap::new(),
                refusals: 0,
                unanswered: None,
            };
            let http = Client::new();
            let mut number = 0;
            while !asked.is_cancelled() {
                let license = format!("LIC-{name}-{}", number % LICENSES);
                let Some(position) = produce(&http, &api, &license, expects, &mut told).await
                else {
                    told.unanswered = Some(license);
                    break;
                };
                if expects == Expects::NoTrouble {
                    reads_it(&http, &api, &license, &position).await;
                }
                told.given.entry(license).or_default().push(position);
                counted.fetch_add(1, Ordering::AcqRel);
                number += 1;
                tokio::time::sleep(PAUSE).await;
            }
            told
        });
        Self { work, stop, count }
    }

    /// How many receipts it has so far.
    pub(crate) fn given(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Ends it after what it is at.
    pub(crate) async fn end(self) -> Receipts {
        self.stop.cancel();
        self.work.await.unwrap()
    }
}

/// One event, sent again until its receipt is there; none where the platform has ended.
async fn produce(
    http: &Client,
    api: &str,
    license: &str,
    expects: Expects,
    told: &mut Receipts,
) -> Option<String> {
    let event = json!({
        "event_id": uuid::Uuid::now_v7().to_string(), "license_id": license,
        "occurred_at": "2026-01-31T10:00:00Z",
        "type": "UsageRecorded", "data": {"metric": "calls", "quantity": 1},
    });
    loop {
        let sent = http.post(format!("{api}/v1/events")).json(&event).send();
        let answer = match sent.await {
            Ok(answer) => answer,
            Err(_) if expects == Expects::AnEnd => return None,
            Err(error) => panic!("{error:?}"),
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = match answer.json::<Value>().await {
            Ok(body) => body,
            Err(_) if expects == Expects::AnEnd => return None,
            Err(error) => panic!("{error:?}"),
        };
        if status == StatusCode::ACCEPTED {
            return Some(body["position"].as_str().unwrap().to_owned());
        }
        assert_ne!(expects, Expects::NoTrouble, "{status} {body}");
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        assert!(headers.contains_key("retry-after"), "{body}");
        told.refusals += 1;
        tokio::time::sleep(PAUSE * 5).await;
    }
}

async fn reads_it(http: &Client, api: &str, license: &str, position: &str) {
    let asked = http
        .get(format!("{api}/v1/licenses/{license}"))
        .header("x-min-position", position)
        .header("x-wait-ms", "15000");
    let answer = asked.send().await.unwrap();
    let status = answer.status();
    let body = answer.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{position}: {body}");
}

impl Receipts {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.given.values().map(Vec::len).sum()
    }

    /// Asks for each license behind its last receipt, and holds its usage against the receipts.
    pub(crate) async fn are_in_the_read_model(&self, api: &str) {
        let http = Client::new();
        for (license, positions) in &self.given {
            for position in positions {
                reads_it(&http, api, license, position).await;
            }
            let url = format!("{api}/v1/licenses/{license}/usage");
            let usage: Value = http.get(url).send().await.unwrap().json().await.unwrap();
            let counted = usage["items"][0]["quantity"].as_u64().unwrap();
            // What had no answer may have arrived.
            let unanswered = u64::from(self.unanswered.as_ref() == Some(license));
            let receipts = positions.len() as u64;
            assert!(
                (receipts..=receipts + unanswered).contains(&counted),
                "{license} counts {counted} for {receipts} receipts"
            );
        }
    }
}
