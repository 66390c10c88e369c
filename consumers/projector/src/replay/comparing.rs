//! The gate, as the keeper goes through it: the next generation is held at the position of a snapshot of the
//! live one, and both are compared as they are stored.

use std::time::{Duration, Instant};

use licenseflow_avro::Position;
use licenseflow_core::crash;
use licenseflow_store::generations::{Gate, Generation, Number, Wish};
use licenseflow_store::{Audit, Audited};
use tokio_util::sync::CancellationToken;

use super::gate::{self, Both};
use super::keeper::{GLANCE, Keeper, Kept, Means, Running, SOON, Trouble};

/// How long either generation is waited for at the gate, as long as it moves.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);

impl<B: Means> Keeper<B> {
    /// Holds both at one position and compares them.
    pub(super) fn compare(
        &self,
        generation: &Generation,
        live: Number,
        of: &mut Kept,
        stop: &CancellationToken,
    ) -> std::result::Result<Gate, Trouble> {
        let Some(running) = of.running.take() else {
            return Err(Trouble::Words("it is not advanced".to_owned()));
        };
        let stands = running.end()?;
        let audit = self.generations.audit(live)?;
        let mut of_live = self.snapshot_beyond(&*audit, &stands, stop)?;
        let position = of_live.at().position.clone();
        let running = self.start(generation, of, Some(position.clone()), stop)?;
        let reached = self.wait_for(&running, &position, stop);
        let ended = running.end();
        reached?;
        ended?;
        crash::point(crash::AT_GATE);
        let audit = self.generations.audit(generation.number)?;
        let mut of_next = audit.begin()?;
        let next = &of_next.at().position;
        // A partition that has nothing yet may be known to one of them alone.
        if !(next.covers(&position) && position.covers(next)) {
            return Err(Trouble::Words(format!(
                "it stands at {next}, and was to stand at {position}"
            )));
        }
        let both = Both {
            live: &mut *of_live,
            next: &mut *of_next,
        };
        let at = (live, position);
        Ok(gate::compare(both, at, &self.topics, (self.clock)())?)
    }

    /// A snapshot of the live one that is nowhere behind.
    fn snapshot_beyond<'a>(
        &self,
        audit: &'a dyn Audit,
        stands: &Position,
        stop: &CancellationToken,
    ) -> std::result::Result<Box<dyn Audited + 'a>, Trouble> {
        let mut moved = Instant::now();
        let mut last = Position::default();
        loop {
            let snapshot = audit.begin()?;
            let position = &snapshot.at().position;
            if position.covers(stands) {
                return Ok(snapshot);
            }
            if *position != last {
                (last, moved) = (position.clone(), Instant::now());
            }
            if stop.is_cancelled() || moved.elapsed() > STANDSTILL_MAX {
                return Err(Trouble::Words(format!(
                    "the live generation stands at {last}, and is to come as far as {stands}: is its projector running?"
                )));
            }
            drop(snapshot);
            std::thread::sleep(GLANCE);
        }
    }

    fn wait_for(
        &self,
        running: &Running,
        position: &Position,
        stop: &CancellationToken,
    ) -> std::result::Result<(), Trouble> {
        let (mut last, mut moved) = (Position::default(), Instant::now());
        loop {
            let stands = running.position();
            if stands.covers(position) {
                return Ok(());
            }
            if running.handle.is_ended() || stop.is_cancelled() {
                return Err(Trouble::Words("its loop ended".to_owned()));
            }
            if stands != last {
                (last, moved) = (stands, Instant::now());
            }
            if moved.elapsed() > STANDSTILL_MAX {
                return Err(Trouble::Words(format!(
                    "it stands still at {last}, and is to come as far as {position}"
                )));
            }
            std::thread::sleep(SOON);
        }
    }

    pub(super) fn note_gate(
        &self,
        generation: &Generation,
        gate: Gate,
    ) -> std::result::Result<(), Trouble> {
        let number = generation.number;
        tracing::info!(
            generation = number,
            is_equal = gate.is_equal,
            licenses = gate.licenses,
            fates = gate.fates,
            "it was compared with the live generation"
        );
        self.change(&mut |book| {
            let generation = book.beside(number)?;
            generation.wish = match generation.wish {
                Wish::SwitchWhenEqual if gate.is_equal => Wish::Switch,
                Wish::None | Wish::Compare | Wish::SwitchWhenEqual | Wish::Switch => Wish::None,
            };
            (generation.gate, generation.trouble) = (Some(gate.clone()), None);
            Ok(())
        })?;
        Ok(())
    }
}
