//! The one place where it is decided what becomes of a record, and what a failure does to the loop.

use licenseflow_avro::causes::chain;
use licenseflow_avro::judgement::Verdict;
use licenseflow_avro::reason::Fault;
use licenseflow_avro::{LicenseEvent, Reason};
use licenseflow_core::Fate;
use licenseflow_store::{Error, Kind};

/// What becomes of a record that was judged. Duplicates are known to the store alone.
#[must_use]
pub fn of_judgement(judged: &Result<LicenseEvent, Verdict>) -> Fate {
    match judged {
        Ok(_) => Fate::Apply,
        Err(Verdict::Fault(fault)) if fault.may_heal => Fate::Retry(fault.clone()),
        Err(Verdict::Fault(fault)) => Fate::Reject(fault.clone()),
        Err(Verdict::Away(away)) => Fate::Hold(away.to_string()),
    }
}

/// What becomes of a record whose fault may heal, at this try, the first being 1.
///
/// | the try | fate |
/// |---|---|
/// | one, and there is no more than one; or there is no room for one more that waits | rejected for its fault |
/// | the last of several | rejected as `retries_exhausted` |
/// | any other | retry |
#[must_use]
pub fn of_try(fault: Fault, attempt: u32, attempts_max: u32, has_room: bool) -> Fate {
    if attempts_max <= 1 {
        return Fate::Reject(fault);
    }
    if attempt >= attempts_max {
        let error = format!("tried {attempt} times, at last {}: {fault}", fault.reason);
        return Fate::Reject(Fault {
            reason: Reason::RetriesExhausted,
            error,
            may_heal: false,
            ..fault
        });
    }
    if !has_room {
        return Fate::Reject(fault);
    }
    Fate::Retry(fault)
}

/// What becomes of the records of a batch that the store did not take.
///
/// | store says | fate | the loop |
/// |---|---|---|
/// | fenced | hold | drops what was fetched, and reads again from the store's position |
/// | away | hold | the same |
/// | refused | reject | narrows it down to the one record, and rejects that |
/// | held, unusable, broken | halt | ends with the error |
#[must_use]
pub fn of_failure(error: &Error) -> Fate {
    match error.kind() {
        Kind::Fenced | Kind::Away => Fate::Hold(error.to_string()),
        Kind::Refused => {
            let words = chain(error);
            Fate::Reject(Fault::new(Reason::StoreRefused, words).pointing_at_us())
        }
        Kind::Held | Kind::Unusable | Kind::Broken => Fate::Halt(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::Lane;
    use licenseflow_avro::judgement::SchemasAway;

    use super::*;

    fn judged(verdict: Verdict) -> Fate {
        of_judgement(&Err(verdict))
    }

    #[test]
    fn a_records_own_fault_rejects_it_and_an_absent_registry_does_not() {
        let fault = Fault::new(Reason::Empty, "nothing");
        assert_eq!(judged(Verdict::Fault(fault.clone())), Fate::Reject(fault));
        let away = judged(Verdict::Away(SchemasAway {
            reason: "gone".into(),
        }));
        assert_eq!(away.label(), "hold");
    }

    #[test]
    fn a_fault_that_may_heal_is_tried_so_often_and_then_given_up_on() {
        let fault = || Fault::new(Reason::UnknownSchema, "id 9").that_may_heal();
        let reason = |attempt, attempts_max, has_room| match of_try(
            fault(),
            attempt,
            attempts_max,
            has_room,
        ) {
            Fate::Retry(_) => None,
            Fate::Reject(fault) => Some(fault.reason),
            other => panic!("{other:?}"),
        };
        assert_eq!(judged(Verdict::Fault(fault())), Fate::Retry(fault()));
        assert_eq!([1, 2, 5].map(|attempt| reason(attempt, 6, true)), [None; 3]);
        for attempt in [6, 7] {
            assert_eq!(reason(attempt, 6, true), Some(Reason::RetriesExhausted));
        }
        assert_eq!(
            reason(2, 1, true),
            Some(Reason::UnknownSchema),
            "it was redriven"
        );
        assert_eq!(
            reason(1, 1, true),
            Some(Reason::UnknownSchema),
            "it may not wait"
        );
        assert_eq!(reason(1, 6, false), Some(Reason::UnknownSchema), "no room");
    }

    #[test]
    fn what_passes_holds_the_loop_and_what_does_not_halts_it() {
        let fenced = Error::Fenced {
            lane: Lane::Bulk,
            partition: 1,
            expected: 2,
        };
        let held = Error::Held {
            path: "p".into(),
            holder: "h".into(),
        };
        let labels = [
            (fenced, "hold"),
            (Error::Away("busy".into()), "hold"),
            (held, "halt"),
            (Error::Refused("a rule".into()), "reject"),
            (Error::Unusable("other".into()), "halt"),
            (Error::broken("row"), "halt"),
        ];
        for (error, label) in labels {
            assert_eq!(of_failure(&error).label(), label, "{error}");
        }
    }
}
