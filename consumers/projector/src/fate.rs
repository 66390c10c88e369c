//! The one place where it is decided what becomes of a record, and what a failure does to the loop.

use licenseflow_avro::LicenseEvent;
use licenseflow_avro::judgement::Verdict;
use licenseflow_core::Fate;
use licenseflow_store::{Error, Kind};

/// What becomes of a record that was judged. Duplicates are known to the store alone.
#[must_use]
pub fn of_judgement(judged: &Result<LicenseEvent, Verdict>) -> Fate {
    match judged {
        Ok(_) => Fate::Apply,
        Err(Verdict::Fault(fault)) => Fate::Reject(fault.clone()),
        Err(Verdict::Away(away)) => Fate::Retry(away.to_string()),
    }
}

/// What becomes of the records of a batch that the store did not take.
///
/// | store says | fate | the loop |
/// |---|---|---|
/// | fenced | retry | drops what was fetched, and reads again from the store's position |
/// | away | retry | the same |
/// | held, unusable, broken | halt | ends with the error |
#[must_use]
pub fn of_failure(error: &Error) -> Fate {
    match error.kind() {
        Kind::Fenced | Kind::Away => Fate::Retry(error.to_string()),
        Kind::Held | Kind::Unusable | Kind::Broken => Fate::Halt(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::judgement::SchemasAway;
    use licenseflow_avro::reason::Fault;
    use licenseflow_avro::{Lane, Reason};

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
        assert_eq!(away.label(), "retry");
    }

    #[test]
    fn what_heals_by_itself_is_retried_and_what_does_not_halts() {
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
            (fenced, "retry"),
            (Error::Away("busy".into()), "retry"),
            (held, "halt"),
            (Error::Unusable("other".into()), "halt"),
            (Error::broken("row"), "halt"),
        ];
        for (error, label) in labels {
            assert_eq!(of_failure(&error).label(), label, "{error}");
        }
    }
}
