//! How long after its acknowledgement an event can be read, while events come at a steady rate.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use licenseflow_avro::{Lane, Topics};
use licenseflow_producers::generate::bench_event;
use licenseflow_producers::publish::{Publisher, PublisherSettings, Receipt};
use licenseflow_runtime::log::KafkaSettings;
use licenseflow_tests::harness::{Platform, Role, wait_until};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::fill::schema_ids;
use crate::stores::Place;
use crate::{Options, sample};

/// One event in so many is read.
const ONE_IN: u64 = 25;

/// Before this nothing is measured: connections, statements and caches are made.
const WARM: Duration = Duration::from_secs(5);

/// From the receipt to the answer that has the event, the way over HTTP and back included.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Freshness {
    pub(crate) per_second: f64,
    /// How many events of the bulk lane waited at the beginning, and at the end.
    pub(crate) bulk_waiting: [i64; 2],
    pub(crate) seconds: f64,
    /// How many records came that say nothing.
    pub(crate) poison: u64,
    pub(crate) all: Times,
    /// The same of each second by itself, by when they were acknowledged.
    pub(crate) by_second: Vec<Times>,
}

/// What many reads took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Times {
    pub(crate) reads: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) most_ms: f64,
}

impl Times {
    /// None of nothing.
    pub(crate) fn of(mut times: Vec<f64>) -> Option<Self> {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied();
        Some(Self {
            reads: times.len(),
            p50_ms: at(0.50)?,
            p99_ms: at(0.99)?,
            most_ms: *times.last()?,
        })
    }
}

/// When each was acknowledged, in seconds since the measurement began, and what it took, in milliseconds.
type Taken = Arc<Mutex<Vec<(f64, f64)>>>;

/// What there is beside the events that are measured.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside {
    /// So many events wait in the bulk lane from the start.
    pub(crate) bulk: u64,
    /// So many records that say nothing come with every hundred events.
    pub(crate) poison_percent: u64,
}

/// Measures on a platform of its own topics; events are numbered from behind those of the bulk lane on.
pub(crate) async fn run(
    options: &Options,
    place: &Place,
    prefix: &str,
    beside: Beside,
) -> anyhow::Result<Freshness> {
    let first = beside.bulk;
    let up = tokio::task::block_in_place(|| place.platform.start(Role::Up))?;
    let publisher = publisher(&place.platform, prefix).await?;
    let http = reqwest::Client::new();
    let taken = Taken::default();
    let waited = backlog(&place.platform, first)?;
    let mut reading = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let begun = Instant::now();
    let lasts = WARM + Duration::from_secs(u64::from(options.read_seconds));
    let (mut number, mut poison) = (0, 0);
    while begun.elapsed() < lasts {
        tick.tick().await;
        let due = (begun.elapsed().as_secs_f64() * options.rate as f64) as u64;
        while number < due {
            let event = bench_event(first + number, options.licenses);
            let context = sample::request(first + number)?;
            let delivery = publisher
                .enqueue(&event, Lane::Interactive, &context)
                .await?;
            if number % ONE_IN == 0 {
                let (http, taken) = (http.clone(), taken.clone());
                let url = format!("{}/v1/licenses/{}", place.platform.api(), event.license_id);
                let counts = begun.elapsed() > WARM;
                reading.spawn(async move {
                    let receipt = delivery.receipt().await?;
                    let position = Receipt::position([&receipt]).to_string();
                    let acknowledged = Instant::now();
                    let asked = http.get(url).header("x-min-position", position);
                    let answer = asked.header("x-wait-ms", "10000").send().await?;
                    ensure!(answer.status() == 200, "{}", answer.text().await?);
                    answer.bytes().await?;
                    if counts {
                        let took = acknowledged.elapsed().as_secs_f64() * 1000.0;
                        let when = (acknowledged - begun - WARM).as_secs_f64();
                        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                        taken.push((when, took));
                    }
                    Ok(())
                });
            }
            number += 1;
            let poison_due = number * beside.poison_percent / 100;
            poison = send_poison(&publisher, poison..poison_due).await?;
        }
        while let Some(done) = reading.try_join_next() {
            done??;
        }
    }
    let seconds_taken = begun.elapsed().as_secs_f64();
    let waits = bulk_waiting(&place.platform)?;
    while let Some(done) = reading.join_next().await {
        done??;
    }
    publisher.stop(Duration::from_secs(10)).await;
    tokio::task::block_in_place(|| Platform::stop(up))?;
    let taken = std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Freshness {
        per_second: number as f64 / seconds_taken,
        poison,
        bulk_waiting: [waited, waits],
        seconds: seconds_taken,
        by_second: by_second(&taken),
        all: Times::of(taken.into_iter().map(|(_, took)| took).collect())
            .context("nothing was read")?,
    })
}

/// Sends records that say nothing; gives the number of the next.
async fn send_poison(publisher: &Publisher, numbers: Range<u64>) -> anyhow::Result<u64> {
    let next = numbers.end.max(numbers.start);
    for number in numbers {
        let (context, record) = (sample::request(number)?, sample::poison(number));
        drop(
            publisher
                .enqueue_raw(&record, Lane::Interactive, &context)
                .await?,
        );
    }
    Ok(next)
}

fn by_second(taken: &[(f64, f64)]) -> Vec<Times> {
    let mut seconds: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (when, took) in taken {
        seconds.entry(*when as u64).or_default().push(*took);
    }
    seconds.into_values().filter_map(Times::of).collect()
}

/// How many events wait in the bulk lane, where any were put there. The ends are known a moment after the
/// start.
fn backlog(platform: &Platform, put: u64) -> anyhow::Result<i64> {
    let mut waiting = 0;
    if put > 0 {
        wait_until("the backlog is seen", Duration::from_secs(30), || {
            waiting = bulk_waiting(platform).unwrap_or(0);
            waiting > 0
        })?;
    }
    Ok(waiting)
}

/// How many events of the bulk lane are not applied.
fn bulk_waiting(platform: &Platform) -> anyhow::Result<i64> {
    let position = tokio::task::block_in_place(|| platform.json("/v1/position"))?;
    let partitions = position["partitions"].as_array();
    let topic = platform.bulk_topic();
    let of_bulk = partitions.into_iter().flatten();
    let of_bulk = of_bulk.filter(|one| one["topic"] == *topic);
    Ok(of_bulk.filter_map(|one| one["lag_events"].as_i64()).sum())
}

async fn publisher(platform: &Platform, prefix: &str) -> anyhow::Result<Publisher> {
    let topics = Topics::new(prefix);
    let ids = schema_ids(platform, &topics).await?;
    let kafka = KafkaSettings::new(platform.bootstrap(), "bench");
    Ok(Publisher::start(PublisherSettings::new(
        kafka, topics, ids,
    ))?)
}
