//! Building, as the keeper does it: a generation collects up to where the live one stands when its loop starts,
//! then it loads what it has collected, and from then on its loop writes as any other does.

use std::thread::JoinHandle;

use ::metrics::NoopRecorder;
use licenseflow_avro::Position;
use licenseflow_store::Error;
use licenseflow_store::generations::{Begin, Generation, Made};
use licenseflow_store::loading::{Loaded, Reins};
use tokio_util::sync::CancellationToken;

use super::keeper::{Keeper, Kept, Means, Running, Trouble};

/// A thread that puts in its place what was collected.
pub(super) struct Load {
    thread: JoinHandle<Result<Loaded, Error>>,
    reins: Reins,
}

impl Load {
    pub(super) fn wait(&self, waits: bool) {
        self.reins.wait(waits);
    }

    /// Waits for its end; what is in its place by then stays there.
    pub(super) fn end(self) -> Result<Loaded, Trouble> {
        self.reins.stop();
        let ended = self.thread.join();
        let gone = |_| Trouble::Words("the thread that loads it ended".to_owned());
        Ok(ended.map_err(gone)??)
    }
}

impl<B: Means> Keeper<B> {
    /// Does the next thing that building a generation takes; false: it is built, and its loop runs.
    pub(super) fn is_being_built(
        &self,
        generation: &Generation,
        of: &mut Kept,
        stop: &CancellationToken,
    ) -> Result<bool, Trouble> {
        if let Some(load) = of.loading.take_if(|it| it.thread.is_finished()) {
            load.end()?;
            tracing::info!(
                generation = generation.number,
                "all that it has collected is in its place"
            );
        }
        if of.loading.is_some() {
            return Ok(true);
        }
        let Some(running) = &of.running else {
            of.running = Some(self.start(generation, of, None, stop)?);
            return Ok(true);
        };
        let Some(until) = &running.collects else {
            return Ok(false);
        };
        if running.position().covers(until) {
            of.running.take().map(Running::end).transpose()?;
            of.loading = Some(self.load(generation)?);
        }
        Ok(true)
    }

    /// How far a generation collects: to where the live one stands, in what it is made of.
    pub(super) fn collects_until(&self, generation: &Generation) -> Result<Position, Trouble> {
        let live = self.live_position()?;
        Ok(match &generation.of {
            Made::Whole => live,
            Made::Part { begin } => {
                let named = live.iter();
                named
                    .filter(|(lane, partition, _)| begin.get(*lane, *partition).is_some())
                    .collect()
            }
        })
    }

    fn load(&self, generation: &Generation) -> Result<Load, Trouble> {
        let mut model = self.generations.open(generation, Begin::Collecting)?;
        let (reins, now) = (Reins::default(), (self.clock)());
        let held = reins.clone();
        tracing::info!(
            generation = generation.number,
            "it has collected as much as the live one has read, and loads that now"
        );
        let thread = std::thread::Builder::new()
            .name("replay-load".to_owned())
            .spawn(move || {
                // Its numbers are not the projector's.
                ::metrics::with_local_recorder(&NoopRecorder, || model.load(now, &held))
            });
        let failed = |error| Trouble::Words(format!("no thread to load it: {error}"));
        Ok(Load {
            thread: thread.map_err(failed)?,
            reins,
        })
    }
}
