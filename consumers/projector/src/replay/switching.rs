//! The switch, as the keeper makes it: writers are asked to wait, the next generation comes as far as the live
//! one stands, and the pointer moves.

use licenseflow_core::crash;
use licenseflow_store::generations::{Generation, Number, SwitchError};

use super::keeper::{Keeper, Kept, Means, Running, SOON, Trouble, note};

/// How long the live generation is held at a switch.
const HELD_MS: i64 = 10_000;

impl<B: Means> Keeper<B> {
    /// Makes a generation the live one.
    pub(super) fn switch(
        &self,
        generation: &Generation,
        live: Number,
        of: &mut Kept,
    ) -> std::result::Result<(), Trouble> {
        let until = (self.clock)() + HELD_MS;
        self.change(&mut |book| {
            book.held_until = Some(until);
            Ok(())
        })?;
        let switched = self.switch_held(generation, live, of, until);
        if switched.is_err() {
            // A loop that starts anew reads partitions too that came since this one did.
            note("its loop", of.end());
            note(
                "release",
                self.change(&mut |book| {
                    book.held_until = None;
                    Ok(())
                }),
            );
        }
        switched
    }

    fn switch_held(
        &self,
        generation: &Generation,
        live: Number,
        of: &mut Kept,
        until: i64,
    ) -> std::result::Result<(), Trouble> {
        let mut behind = None;
        while (self.clock)() < until {
            let position = self.live_position()?;
            let stands = of.running.as_ref().map(Running::position);
            if stands.is_some_and(|stands| stands.covers(&position)) {
                match self.generations.switch(generation.number, (self.clock)()) {
                    Ok(()) => return self.has_switched(generation, live, of),
                    // What was on its way when the live one was held has come in.
                    Err(SwitchError::Behind(position)) => behind = Some(position),
                    Err(SwitchError::Refused(refused)) => return Err(refused.into()),
                    Err(SwitchError::Store(error)) => return Err(error.into()),
                }
            }
            std::thread::sleep(SOON);
        }
        let behind = behind.map_or(String::new(), |it| format!(" (the live one: {it})"));
        Err(Trouble::Words(format!(
            "it did not come as far as the live generation while that was held{behind}; it is tried again"
        )))
    }

    fn has_switched(
        &self,
        generation: &Generation,
        former: Number,
        of: &mut Kept,
    ) -> std::result::Result<(), Trouble> {
        tracing::info!(
            live = generation.number,
            former,
            "the pointer has moved; `licenseflow replay rollback` goes back"
        );
        if let Some(running) = of.running.take() {
            running.end()?;
        }
        let book = self.generations.book()?;
        for number in book.past(self.kept) {
            tracing::info!(
                generation = number,
                "it is dropped: enough later ones are kept"
            );
            self.change(&mut |book| book.strike(number).map(drop))?;
            crash::point(crash::AFTER_STRIKE);
        }
        Ok(())
    }
}
