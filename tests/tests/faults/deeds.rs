//! How each thing goes wrong, and how it is put right again.

use anyhow::Context;
use licenseflow_tests::harness::{Platform, Signal, wait_for};

use crate::plan::{Deed, Party, What};
use crate::stage::{Stage, last_lines, ready};

/// From now on it is wrong.
pub(crate) fn begin(stage: &mut Stage, what: What) -> anyhow::Result<()> {
    match what {
        What::Kill(party) => end(stage, party, Manner::Killed),
        What::Restart(party) => end(stage, party, Manner::Asked),
        What::Freeze(party) => signal(stage, party, Signal::Stop),
        What::Between(one, other, fault) => {
            for (proxy, whose) in stage.between(one, other)? {
                proxy.begin(fault, whose);
            }
            Ok(())
        }
        What::FullDisk => stage.fill_disk(true),
        What::Clock(party, seconds) => stage.place(party)?.move_clock(seconds),
    }
    .with_context(|| format!("to begin: {what}"))
}

/// From now on it is as it should be, or on the way to it.
fn end_of(stage: &mut Stage, what: What) -> anyhow::Result<()> {
    match what {
        What::Kill(party) | What::Restart(party) => start_again(stage, party),
        What::Freeze(party) => signal(stage, party, Signal::Continue),
        What::Between(one, other, _) => {
            for (proxy, _) in stage.between(one, other)? {
                proxy.end();
            }
            Ok(())
        }
        What::FullDisk => stage.fill_disk(false),
        What::Clock(party, _) => stage.place(party)?.move_clock(0),
    }
    .with_context(|| format!("to end: {what}"))
}

/// What others stand on is put right before them: a process of ours that starts while its store or the brokers
/// are away says so and ends, and whoever watches over it starts it again.
pub(crate) fn end_all(stage: &mut Stage, deeds: &[Deed]) -> anyhow::Result<()> {
    let starts_ours = |what: What| match what {
        What::Kill(party) | What::Restart(party) => {
            !matches!(party, Party::Broker(_) | Party::Database)
        }
        What::Freeze(_) | What::Between(..) | What::FullDisk | What::Clock(..) => false,
    };
    let (ours, first): (Vec<&Deed>, Vec<&Deed>) = deeds.iter().partition(|it| starts_ours(it.what));
    let mut all = first.into_iter().chain(ours);
    all.try_for_each(|deed| end_of(stage, deed.what))
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Killed,
    Asked,
}

/// Ends all of ours in order.
pub(crate) fn strike(stage: &mut Stage) -> anyhow::Result<()> {
    let all: Vec<Party> = stage.places().map(|(party, _)| party).collect();
    all.into_iter()
        .try_for_each(|party| end(stage, party, Manner::Asked))
}

fn end(stage: &mut Stage, party: Party, manner: Manner) -> anyhow::Result<()> {
    match (party, manner) {
        (Party::Broker(number), Manner::Killed) => stage.cluster.kill(number),
        (Party::Broker(number), Manner::Asked) => stage.cluster.stop(number),
        (Party::Database, Manner::Killed) => Ok(stage.postgres()?.signal_all("KILL")?),
        (Party::Database, Manner::Asked) => Ok(stage.postgres()?.stop()?),
        (party, manner) => {
            let place = stage.place(party)?;
            place.process()?.signal(match manner {
                Manner::Killed => Signal::Kill,
                Manner::Asked => Signal::Term,
            })?;
            let mut ended = place.process.take().context("it was ended")?;
            let code = ended.wait(Platform::END)?;
            let said = last_lines(&ended.stderr());
            place.before.push(ended);
            let is_right = manner == Manner::Killed || code == 0;
            anyhow::ensure!(is_right, "{party} ended with {code}: {said}");
            Ok(())
        }
    }
}

fn start_again(stage: &mut Stage, party: Party) -> anyhow::Result<()> {
    match party {
        Party::Broker(number) => stage.cluster.start_again(number),
        Party::Database => {
            let postgres = stage.postgres()?;
            // Its first process counts as running until the system has taken note of its end.
            let started = || postgres.start_again().ok();
            wait_for("PostgreSQL starts", Platform::END, started)
        }
        Party::Intake(_) | Party::Projector(_) | Party::Query | Party::Clients => {
            let place = stage.place(party)?;
            place.launch()?;
            ready(place)
        }
    }
}

fn signal(stage: &mut Stage, party: Party, signal: Signal) -> anyhow::Result<()> {
    match party {
        Party::Broker(number) => stage.cluster.signal(number, signal),
        Party::Database => Ok(stage.postgres()?.signal_all(signal.name())?),
        Party::Intake(_) | Party::Projector(_) | Party::Query | Party::Clients => {
            stage.place(party)?.process()?.signal(signal)
        }
    }
}
