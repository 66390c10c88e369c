//! Looking after a generation until what is wanted of it is so, and showing how far it is.

use super::{OffThread, OverKafka, table};
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::progress::Shown;
use anyhow::{Context, bail};
use licenseflow_projector::replay::Keeper;
use licenseflow_runtime::shutdown;
use licenseflow_store::generations::{Number, Wish};
use licenseflow_store::progress::{self, Progress, Standing};
use std::time::Duration;

/// How often is looked.
const GLANCE: Duration = Duration::from_millis(200);

/// Until when a generation is looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// It stands at the ends that are known.
    CaughtUp,
    /// It was compared.
    Compared,
    /// It is the live one, or cannot be.
    Live,
}

impl From<Wish> for Until {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::None => Self::CaughtUp,
            Wish::Compare => Self::Compared,
            Wish::SwitchWhenEqual | Wish::Switch => Self::Live,
        }
    }
}

/// What is to be seen of a generation.
enum Seen {
    GoesOn,
    Is(Exit),
}

/// Runs a keeper, which works where no other has the generation, and shows how far it is.
pub(super) async fn follow(
    generations: &OffThread,
    keeper: Keeper<OverKafka>,
    number: Number,
    until: Until,
    output: OutputArgs,
) -> anyhow::Result<Exit> {
    let stop = shutdown::on_signals().context("cannot listen for signals")?;
    let keeping = {
        let stop = stop.clone();
        tokio::task::spawn_blocking(move || keeper.run(&stop))
    };
    let followed = watch(generations, number, until, output, &stop).await;
    stop.cancel();
    keeping.await.context("the keeper's end was not heard")?;
    followed
}

async fn watch(
    generations: &OffThread,
    number: Number,
    until: Until,
    output: OutputArgs,
    stop: &tokio_util::sync::CancellationToken,
) -> anyhow::Result<Exit> {
    let mut shown: Option<Bar> = None;
    let mut said = None;
    loop {
        let all = generations
            .with(|generations| Ok(progress::replays(generations)?))
            .await?;
        let Some(of) = all.iter().find(|it| it.generation.number == number) else {
            bail!("generation {number} was struck out of the book");
        };
        if let Seen::Is(exit) = seen(of, until) {
            drop(shown);
            output.print(table::one(of), &table::one_json(of))?;
            return Ok(exit);
        }
        show(of, &mut shown);
        if of.generation.trouble != said {
            said.clone_from(&of.generation.trouble);
            if let (Some(trouble), Some(bar)) = (&said, &shown) {
                bar.shown.say(trouble);
            }
        }
        tokio::select! {
            () = stop.cancelled() => bail!(
                "stopped; generation {number} goes on with a projector of this store, or by `licenseflow replay resume {number}`"
            ),
            () = tokio::time::sleep(GLANCE) => {}
        }
    }
}

fn seen(of: &Progress, until: Until) -> Seen {
    let generation = &of.generation;
    let gate = generation.gate.as_ref();
    let is_built = |it: &&Standing| it.loading.is_none();
    let behind = of.standing.as_ref().filter(is_built).map(|it| {
        let are_known = it.partitions.iter().all(|it| it.end_offset.is_some());
        (are_known && !it.partitions.is_empty()).then(|| it.behind())
    });
    match until {
        Until::Live if of.is_live => Seen::Is(Exit::Done),
        Until::Live if generation.wish == Wish::None && gate.is_some_and(|it| !it.is_equal) => {
            Seen::Is(Exit::Failed)
        }
        Until::Compared if generation.wish == Wish::None => match gate {
            Some(gate) if gate.is_equal => Seen::Is(Exit::Done),
            Some(_) => Seen::Is(Exit::Failed),
            None => Seen::GoesOn,
        },
        Until::CaughtUp if behind.flatten() == Some(0) => Seen::Is(Exit::Done),
        Until::Live | Until::Compared | Until::CaughtUp => Seen::GoesOn,
    }
}

/// What is shown of a generation: first how far it reads, and then how far it loads what it has read.
struct Bar {
    shown: Shown,
    total: u64,
    loads: bool,
}

impl Bar {
    fn new(total: u64, loads: bool) -> Self {
        let unit = if loads { "parts loaded" } else { "records" };
        Self {
            shown: Shown::new(Some(total), unit),
            total,
            loads,
        }
    }
}

/// The bar grows with the log.
fn show(of: &Progress, bar: &mut Option<Bar>) {
    let Some(standing) = &of.standing else {
        return;
    };
    let loading = standing.loading.filter(|it| it.loaded > 0);
    let (done, total) = match loading {
        Some(it) => (it.loaded, it.collected),
        None => {
            let number = |it| u64::try_from(it).unwrap_or_default();
            let (done, behind) = (standing.done(), standing.behind());
            (number(done), number(done + behind))
        }
    };
    let loads = loading.is_some();
    let bar = match bar.take().filter(|it| it.loads == loads) {
        Some(same) => bar.insert(same),
        None => bar.insert(Bar::new(total, loads)),
    };
    if bar.total != total {
        bar.shown.is_of(total);
        bar.total = total;
    }
    bar.shown.advanced(done);
}
