//! How long reads of single licenses take at a steady rate while a generation is built beside the live one and
//! compared with it, and without.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use licenseflow_tests::harness::{Platform, Process, Role};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::Options;
use crate::freshness::Times;
use crate::stores::Place;

/// So many are asked a second.
const PER_SECOND: u32 = 200;

/// Before this nothing is measured: connections, statements and caches are made.
const WARM: Duration = Duration::from_secs(3);

/// A build that takes longer than this is not worth measuring.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Reads without a build, and beside one.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BesideBuild {
    pub(crate) without: Times,
    pub(crate) beside: Times,
    /// How long the build and its comparison took.
    pub(crate) seconds: f64,
}

/// Measures both over a store that was filled.
pub(crate) async fn run(options: &Options, place: &Place) -> anyhow::Result<BesideBuild> {
    let query = tokio::task::block_in_place(|| place.platform.start(Role::Query))?;
    let reader = Reader {
        http: reqwest::Client::new(),
        api: place.platform.api(),
        licenses: options.licenses,
    };
    reader.read(until(WARM)).await?;
    let lasts = Duration::from_secs(u64::from(options.read_seconds));
    let without = reader.read(until(lasts)).await?;
    let command = place.platform.command(&["replay", "--json"])?;
    let (mut replay, begun) = (Process::start("replay", &command)?, Instant::now());
    let beside = reader.read(|| Ok(!replay.is_running()?)).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let code = tokio::task::block_in_place(|| replay.wait(PATIENCE))?;
    ensure!(
        code == 0,
        "the replay ended with {code}:\n{}",
        replay.stderr()
    );
    tokio::task::block_in_place(|| Platform::stop(query))?;
    Ok(BesideBuild {
        without: Times::of(without).context("nothing was read")?,
        beside: Times::of(beside).context("nothing was read beside the build")?,
        seconds,
    })
}

/// Says when so long has passed.
fn until(lasts: Duration) -> impl FnMut() -> anyhow::Result<bool> {
    let begun = Instant::now();
    move || Ok(begun.elapsed() >= lasts)
}

struct Reader {
    http: reqwest::Client,
    api: String,
    licenses: u64,
}

impl Reader {
    /// Asks at the rate, whether or not answers come, and gives how many milliseconds each took from when it was
    /// due.
    async fn read(
        &self,
        mut is_over: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<Vec<f64>> {
        let mut asking: JoinSet<anyhow::Result<f64>> = JoinSet::new();
        let begun = Instant::now();
        let mut taken = Vec::new();
        for number in 0u32.. {
            let due = begun + Duration::from_secs(1) * number / PER_SECOND;
            tokio::time::sleep_until(due.into()).await;
            if is_over()? {
                break;
            }
            // Neighbours of one another are not asked one after the other.
            let license = u64::from(number).wrapping_mul(0x9E37_79B9) % self.licenses;
            let url = format!("{}/v1/licenses/LIC-{license:08}", self.api);
            let asked = self.http.get(url).send();
            asking.spawn(async move {
                let answer = asked.await?;
                ensure!(answer.status() == 200, "{}", answer.text().await?);
                answer.bytes().await?;
                Ok(due.elapsed().as_secs_f64() * 1000.0)
            });
            while let Some(done) = asking.try_join_next() {
                taken.push(done??);
            }
        }
        while let Some(done) = asking.join_next().await {
            taken.push(done??);
        }
        Ok(taken)
    }
}
