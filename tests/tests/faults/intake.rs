//! Events on their way in over HTTP: sent, and sent again until there is a receipt for each.

use std::time::Duration;

use anyhow::ensure;
use reqwest::Client;
use serde_json::Value;
use tokio::time::Instant;

use crate::book::{Book, Receipt};
use crate::events::Event;

/// How long a client waits for an answer before it sends the same again.
const PATIENCE: Duration = Duration::from_secs(8);

const PAUSE: Duration = Duration::from_millis(100);

/// Which lane a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    Interactive,
    Bulk,
}

/// A client that waits no longer than [`PATIENCE`].
pub(crate) fn client() -> Client {
    let made = Client::builder().timeout(PATIENCE).build();
    made.unwrap_or_default()
}

/// Sends these until all have receipts, each time to the address that is chosen for that time.
pub(crate) async fn deliver(
    http: &Client,
    book: &Book,
    events: &[Event],
    priority: Priority,
    mut choose: impl FnMut() -> (String, Instant),
) -> anyhow::Result<Vec<Receipt>> {
    let (mut left, mut receipts): (Vec<&Event>, Vec<Receipt>) = (events.iter().collect(), vec![]);
    loop {
        let (api, until) = choose();
        let answers = post(http, &api, &left, priority, book).await;
        let mut again = Vec::new();
        for (event, answer) in left.into_iter().zip(answers) {
            match answer {
                Some(receipt) => {
                    book.receives(event, &receipt);
                    receipts.push(receipt);
                }
                None => again.push(event),
            }
        }
        if again.is_empty() {
            return Ok(receipts);
        }
        let count = again.len();
        ensure!(Instant::now() < until, "{api} takes {count} events no more");
        book.must_send_again();
        left = again;
        tokio::time::sleep(PAUSE).await;
    }
}

/// A receipt for each event, or nothing where it is to be sent again.
async fn post(
    http: &Client,
    api: &str,
    events: &[&Event],
    priority: Priority,
    book: &Book,
) -> Vec<Option<Receipt>> {
    let lines: Vec<String> = events.iter().map(|it| it.body.to_string()).collect();
    let mut request = http
        .post(format!("{api}/v1/events"))
        .header("content-type", "application/x-ndjson")
        .body(lines.join("\n"));
    if priority == Priority::Bulk {
        request = request.header("x-priority", "bulk");
    }
    let nothing = || vec![None; events.len()];
    let Ok(answer) = request.send().await else {
        return nothing();
    };
    let status = answer.status().as_u16();
    let Ok(body) = answer.json::<Value>().await else {
        return nothing();
    };
    match status {
        202 | 207 | 503 => {}
        // The service's own time has run out, or that for a body which came too slowly.
        408 | 504 => return nothing(),
        _ => book.is_surprised(format!("{status} {body}")),
    }
    let receipts = body["receipts"].as_array();
    let of = |at: usize| receipt(receipts?.get(at)?);
    (0..events.len()).map(of).collect()
}

fn receipt(line: &Value) -> Option<Receipt> {
    Some(Receipt {
        topic: line["topic"].as_str()?.to_owned(),
        partition: line["partition"].as_i64()?,
        offset: line["offset"].as_i64()?,
    })
}
