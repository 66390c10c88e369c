//! Whether service is back, and in the end whether all is as it must be: the read model against the
//! producers' account, against an independent fold of the topics, and against the naive one.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use crate::book::{Book, Page, chance_of, position_of};
use crate::events::Event;
use crate::intake::{Priority, deliver};
use crate::stage::Stage;

/// How long service may be away once nothing is wrong any more.
pub(crate) const BACK: Duration = Duration::from_secs(120);

/// So many licenses that every partition of a lane has some of them.
const PROBES: usize = 40;

/// Waits until each intake takes events, and until they can be read: events of every partition, so that no
/// projector is left out.
pub(crate) async fn service_is_back(
    stage: &Stage,
    http: &Client,
    book: &Book,
) -> anyhow::Result<()> {
    let until = Instant::now() + BACK;
    let ways = stage.ways();
    let taken = ways.intakes.iter().map(async |api| {
        let mut chance = chance_of(0, 0);
        let events: Vec<Event> = (0..PROBES)
            .map(|number| Event::probe(&mut chance, number))
            .collect();
        events.iter().for_each(|event| book.sends(event));
        let choose = || (api.clone(), until);
        let priority = Priority::Interactive;
        deliver(http, book, &events, priority, choose).await
    });
    let mut receipts = Vec::new();
    for taken in futures::future::join_all(taken).await {
        receipts.extend(taken?);
    }
    let position = position_of(&receipts);
    has_come_to(stage, http, &position, until).await
}

/// Waits until the read model has come so far.
async fn has_come_to(
    stage: &Stage,
    http: &Client,
    position: &str,
    until: Instant,
) -> anyhow::Result<()> {
    let url = format!("{}/v1/position", stage.query.platform.api());
    loop {
        let asked = http
            .get(&url)
            .header("x-min-position", position)
            .header("x-wait-ms", "3000");
        let told = match asked.send().await {
            Ok(answer) if answer.status() == StatusCode::OK => return Ok(()),
            Ok(answer) => format!(
                "{}: {}",
                answer.status(),
                answer.text().await.unwrap_or_default()
            ),
            Err(error) => error.to_string(),
        };
        ensure!(
            Instant::now() < until,
            "what was acknowledged cannot be read at {position}: {told}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All that must hold once nothing is sent any more. Gives what was compared, for people.
pub(crate) async fn all_is_there(
    stage: &mut Stage,
    http: &Client,
    book: &Book,
) -> anyhow::Result<String> {
    has_come_to(stage, http, &book.position(), Instant::now() + BACK).await?;
    let surprises = book.surprises();
    ensure!(surprises.is_empty(), "an intake said {surprises:#?}");
    let events = timelines(stage, http, &book.pages()).await?;
    let registry = stage.intakes[0].platform.registry();
    let compared = stage.query.platform.compare_through(&registry);
    let compared = compared.context("the independent fold differs")?;
    let verified = stage.query.platform.verify().context("verify")?;
    ensure!(verified["equal"] == true, "verify: {verified}");
    ensure!(
        verified["digest"] == compared["digest"],
        "{verified} {compared}"
    );
    let (receipts, again) = book.counts();
    Ok(format!(
        "{receipts} receipts, {again} times sent again; {events} events in timelines, {} records, {} rejected, \
         0 missing, 0 twice, digest {}",
        compared["records"], compared["rejected"], compared["digest"]
    ))
}

/// Every acknowledged event once in its license's timeline, and nothing that was never sent.
async fn timelines(
    stage: &Stage,
    http: &Client,
    pages: &BTreeMap<(String, String), Page>,
) -> anyhow::Result<usize> {
    let mut total = 0;
    for ((tenant, license), page) in pages {
        let asked = Asked {
            stage,
            http,
            tenant,
        };
        let timeline = asked.timeline(license).await?;
        if let Some(wrong) = page.wrong_in(&timeline.ids) {
            bail!("{tenant}/{license}: {wrong}");
        }
        if !timeline.ids.is_empty() {
            let row = asked.json(license).await?;
            let row = row.context("a timeline without a license")?;
            let counting = timeline.counting;
            ensure!(
                row["event_count"].as_u64() == Some(counting),
                "{tenant}/{license}: {counting} events, {row}"
            );
        }
        total += timeline.ids.len();
    }
    Ok(total)
}

/// What the API tells of a license's events.
#[derive(Default)]
struct Timeline {
    ids: Vec<String>,
    /// How many of them were not voided.
    counting: u64,
}

struct Asked<'a> {
    stage: &'a Stage,
    http: &'a Client,
    tenant: &'a str,
}

impl Asked<'_> {
    /// All of it; nothing where there is no such license.
    async fn timeline(&self, license: &str) -> anyhow::Result<Timeline> {
        let (mut timeline, mut cursor) = (Timeline::default(), String::new());
        loop {
            let path = format!("{license}/events?limit=1000{cursor}");
            let Some(list) = self.json(&path).await? else {
                return Ok(timeline);
            };
            for item in list["items"].as_array().context("no items")? {
                let id = item["event_id"].as_str().context("no event_id")?;
                timeline.ids.push(id.to_owned());
                timeline.counting += u64::from(item["voided_by"].is_null());
            }
            match list["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(timeline),
            }
        }
    }

    /// None where there is no such license.
    async fn json(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let url = format!("{}/v1/licenses/{path}", self.stage.query.platform.api());
        let asked = self.http.get(&url).header("x-tenant-id", self.tenant);
        let answer = asked.send().await?;
        match answer.status() {
            StatusCode::OK => Ok(Some(answer.json().await?)),
            StatusCode::NOT_FOUND => Ok(None),
            status => bail!("{url}: {status} {}", answer.text().await?),
        }
    }
}
