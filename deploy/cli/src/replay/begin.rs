//! Beginning a generation: from the beginning of both lanes, or from a part of them.

use super::follow::{self, Until};
use super::{OnArgs, OverKafka};
use crate::exit::{Exit, WrongUse};
use anyhow::Context;
use clap::Args;
use licenseflow_avro::time::{millis_from, parse_rfc3339};
use licenseflow_avro::{Lane, Position, Topics};
use licenseflow_projector::replay::Keeper;
use licenseflow_projector::wall_clock;
use licenseflow_runtime::log::{Admin, TopicPartition};
use licenseflow_store::generations::{Made, Wish};

/// Which records the generation is made of, how fast it is built, and what follows.
#[derive(Debug, Args)]
pub(crate) struct BeginArgs {
    /// From the records of this time on, such as 2026-11-01T00:00:00Z; such a generation cannot be switched to
    #[arg(long, value_name = "TIME", conflicts_with = "from_position")]
    from_time: Option<String>,
    /// From there on in each partition that is named, such as e:0:1042,b:2:9; such a generation cannot be
    /// switched to
    #[arg(long, value_name = "POSITION")]
    from_position: Option<String>,
    /// Only these partitions, each as in a position: e:3 or b:0; such a generation cannot be switched to
    #[arg(long = "partition", value_name = "LANE:PARTITION")]
    partitions: Vec<String>,
    /// Read no more than so many records a second
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    records_per_second: Option<u32>,
    /// Wait while the live generation is further behind than so many milliseconds
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(i64).range(1..))]
    live_lag_max_ms: Option<i64>,
    /// Make it the live one by itself, where it is equal
    #[arg(long)]
    switch_when_equal: bool,
    /// Only write down what is wanted: a projector of the store does it
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, thiserror::Error)]
enum BadBeginning {
    #[error("--from-time {0:?} is no time, such as 2026-11-01T00:00:00Z")]
    Time(String),
    #[error("--from-position: {0}")]
    Position(String),
    #[error("--partition {0:?} is none of a lane, such as e:3 or b:0")]
    Partition(String),
    #[error(
        "--switch-when-equal: a generation that is made of a part of the log is never switched to"
    )]
    Part,
}

impl BeginArgs {
    fn is_part(&self) -> bool {
        self.from_time.is_some() || self.from_position.is_some() || !self.partitions.is_empty()
    }

    fn chosen(&self) -> Result<Vec<(Lane, i32)>, BadBeginning> {
        let each = self.partitions.iter();
        each.map(|text| {
            let parsed = text.split_once(':').and_then(|(lane, partition)| {
                let mut letters = lane.chars();
                let lane = Lane::from_letter(letters.next()?)?;
                let partition = partition.parse().ok().filter(|it| *it >= 0)?;
                letters.next().is_none().then_some((lane, partition))
            });
            parsed.ok_or_else(|| BadBeginning::Partition(text.clone()))
        })
        .collect()
    }

    /// Which records it is made of; the brokers are asked where each partition begins.
    fn made(&self, admin: &Admin, topics: &Topics) -> anyhow::Result<Made> {
        if !self.is_part() {
            return Ok(Made::Whole);
        }
        let chosen = self.chosen().map_err(WrongUse::of)?;
        if let Some(text) = &self.from_position {
            let parsed: Result<Position, _> = text.parse();
            let all =
                parsed.map_err(|error| WrongUse::of(BadBeginning::Position(error.to_string())))?;
            let named = all.iter().filter(|(lane, partition, _)| {
                chosen.is_empty() || chosen.contains(&(*lane, *partition))
            });
            let begin = named.collect();
            return Ok(Made::Part { begin });
        }
        let mut begin = Position::default();
        for lane in Lane::ALL {
            let topic = topics.lane(lane);
            let partitions: Vec<TopicPartition> = admin
                .partitions(&topic)?
                .into_iter()
                .filter(|it| chosen.is_empty() || chosen.contains(&(lane, it.partition)))
                .collect();
            let offsets = match &self.from_time {
                Some(text) => {
                    let micros = parse_rfc3339(text)
                        .map_err(|_| WrongUse::of(BadBeginning::Time(text.clone())))?;
                    admin.offsets_at(&partitions, millis_from(micros))?
                }
                None => partitions.into_iter().map(|it| (it, 0)).collect(),
            };
            for (partition, offset) in offsets {
                begin.set(lane, partition.partition, offset);
            }
        }
        for (lane, partition) in &chosen {
            begin.get(*lane, *partition).with_context(|| {
                format!(
                    "there is no partition {partition} of {}",
                    topics.lane(*lane)
                )
            })?;
        }
        Ok(Made::Part { begin })
    }
}

/// Begins a generation and builds it.
pub(super) async fn run(begin: BeginArgs, on: OnArgs) -> anyhow::Result<Exit> {
    if begin.switch_when_equal && begin.is_part() {
        return Err(WrongUse::of(BadBeginning::Part).into());
    }
    begin.chosen().map_err(WrongUse::of)?;
    let generations = on.generations().await?;
    let output = on.output;
    let (work, _schemas) = on.work().await?;
    let keeper: Keeper<OverKafka> = work.keeper()?;
    let (kafka, topics) = (work.kafka.clone(), work.topics.clone());
    let detach = begin.detach;
    let (wish, until) = match (begin.is_part(), begin.switch_when_equal) {
        (true, _) => (Wish::None, Until::CaughtUp),
        (false, true) => (Wish::SwitchWhenEqual, Until::Live),
        (false, false) => (Wish::Compare, Until::Compared),
    };
    let number = generations
        .with(move |generations| {
            let admin = crate::topics::admin(&kafka)?;
            let made = begin.made(&admin, &topics)?;
            let now = wall_clock()();
            let fold = licenseflow_store::generations::fold_version();
            let mut begun = 0;
            generations.change(&mut |book| {
                let generation = book.begin(made.clone(), fold, now)?;
                generation.wish = wish;
                generation.records_per_second = begin.records_per_second;
                generation.live_lag_max_ms = begin.live_lag_max_ms;
                begun = generation.number;
                Ok(())
            })??;
            Ok(begun)
        })
        .await?;
    tracing::info!(generation = number, "it is begun");
    if detach {
        let json = serde_json::json!({ "generation": number });
        output.print(
            format!(
                "generation {number} is begun; `licenseflow replay status` shows how far it is"
            ),
            &json,
        )?;
        return Ok(Exit::Done);
    }
    follow::follow(&generations, keeper, number, until, output).await
}
