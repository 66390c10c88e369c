//! Dying at a named point: either the whole batch is there, or nothing of it.
//!
//! A crash stands in for the death of the process: it unwinds past everything that the store would
//! have done. Real processes are killed by the end-to-end tests.

use std::cell::{Cell, RefCell};

use licenseflow_avro::Lane;
use licenseflow_core::{Batch, crash};
use licenseflow_store::{Outbox as _, ReadModel as _};

use crate::model::{Place, on_every_store};
use crate::store::{poison, span};

on_every_store!(
    rows_rejects_and_position_come_together_or_not_at_all,
    a_death_inside_the_migration_leaves_nothing_and_it_opens_again,
);

thread_local! {
    static DIES_AT: Cell<Option<&'static str>> = const { Cell::new(None) };
    static MEANWHILE: RefCell<Option<Meanwhile>> = const { RefCell::new(None) };
    static ALWAYS: RefCell<Option<Always>> = const { RefCell::new(None) };
}

/// What happens at a point, before anyone dies there.
type Meanwhile = (&'static str, Box<dyn FnOnce()>);

/// What happens at every point.
type Always = Box<dyn FnMut(&'static str)>;

struct Crash;

fn hook(point: &'static str) {
    let here = MEANWHILE.with_borrow_mut(|it| it.take_if(|(at, _)| *at == point));
    if let Some((_, happens)) = here {
        happens();
    }
    ALWAYS.with_borrow_mut(|it| {
        if let Some(always) = it {
            always(point);
        }
    });
    if DIES_AT.get() == Some(point) {
        DIES_AT.set(None);
        std::panic::resume_unwind(Box::new(Crash));
    }
}

/// Has something happen when this thread comes to the point for the first time.
pub(crate) fn at_point(point: &'static str, happens: impl FnOnce() + 'static) {
    crash::set_hook(hook);
    MEANWHILE.set(Some((point, Box::new(happens))));
}

/// Has something happen whenever this thread comes to any point, until told otherwise.
pub(crate) fn at_every_point(always: Option<Always>) {
    crash::set_hook(hook);
    ALWAYS.set(always);
}

/// Applies a batch; gives the model back, opened anew if it died at the point on the way.
pub(crate) fn apply_or_die<P: Place>(
    place: &P,
    mut model: P::Model,
    batch: Batch,
    dies_at: Option<&'static str>,
) -> P::Model {
    crash::set_hook(hook);
    DIES_AT.set(dies_at);
    let survived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        model.apply(batch, 0).unwrap();
        model
    }));
    let passed_by = DIES_AT.replace(None);
    assert_eq!(passed_by, None, "the point was not passed");
    survived.unwrap_or_else(|_| place.open())
}

/// Does something that may pass the point, and not come back from there; whether it did.
pub(crate) fn died_at(point: Option<&'static str>, does: impl FnOnce()) -> bool {
    crash::set_hook(hook);
    DIES_AT.set(point);
    let survived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(does));
    DIES_AT.set(None);
    match survived {
        Ok(()) => false,
        Err(why) if why.is::<Crash>() => true,
        Err(why) => std::panic::resume_unwind(why),
    }
}

fn rows_rejects_and_position_come_together_or_not_at_all<P: Place>() {
    for (point, arrived) in [
        (crash::INSIDE_TRANSACTION, false),
        (crash::BEFORE_COMMIT, false),
        (crash::AFTER_COMMIT, true),
    ] {
        let place = P::new();
        let mut batch = span(0, 1);
        let fault =
            licenseflow_avro::reason::Fault::new(licenseflow_avro::Reason::Empty, "no bytes");
        batch.reject(poison(0), fault);
        let mut model = apply_or_die(&place, place.open(), batch, Some(point));
        let next_offset = model
            .positions()
            .unwrap()
            .first()
            .map(|it| (it.lane, it.next_offset));
        let letters = model.unsent(0, 10, &[]).unwrap().len();
        let whole = (Some((Lane::Interactive, 1)), 1);
        assert_eq!(
            (next_offset, letters),
            if arrived { whole } else { (None, 0) },
            "{point}"
        );
    }
}

fn a_death_inside_the_migration_leaves_nothing_and_it_opens_again<P: Place>() {
    let place = P::new();
    crash::set_hook(hook);
    DIES_AT.set(Some(crash::IN_MIGRATION));
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| place.open()));
    assert!(died.is_err());
    let mut model = place.open();
    assert!(model.positions().unwrap().is_empty());
}
