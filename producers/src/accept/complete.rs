//! From what a client sent to an event that the projector will take: the tenant, what was left out, and
//! the limits.

use licenseflow_avro::event::LicenseEvent;
use licenseflow_avro::json::Draft;
use licenseflow_avro::limits;
use licenseflow_avro::reason::{Fault, Reason};
use licenseflow_runtime::http::tenant;
use uuid::Uuid;

/// What a request gives to each of its events.
#[derive(Debug, Clone)]
pub(super) struct Completion {
    /// The tenant that the request names, if it names one.
    pub(super) tenant: Option<String>,
    /// When the request came, in microseconds UTC.
    pub(super) received_at: i64,
    /// How far ahead of that an event may be, in microseconds.
    pub(super) future_skew: i64,
}

/// What the intake finds wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The event names another tenant than the request.
    Tenant,
    /// The event itself; never empty.
    Event(Vec<Fault>),
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Self {
        Wrong::Event(vec![fault])
    }
}

impl Completion {
    /// The event of a draft that stands in this place of its request, counted from 0. Times that are
    /// set here rise strictly from place to place.
    pub(super) fn complete(&self, draft: Draft, place: usize) -> Result<LicenseEvent, Wrong> {
        if let (Some(given), Some(said)) = (&self.tenant, &draft.tenant_id)
            && given != said
        {
            return Err(Wrong::Tenant);
        }
        let tenant_id = self.tenant.as_deref().unwrap_or(tenant::DEFAULT);
        let occurred_at = self.received_at + place as i64;
        let event = draft.complete(Uuid::now_v7(), tenant_id, occurred_at);
        let faults = limits::check_all(&event);
        if !faults.is_empty() {
            return Err(Wrong::Event(faults));
        }
        self.check_time(&event, occurred_at)?;
        Ok(event)
    }

    fn check_time(&self, event: &LicenseEvent, now: i64) -> Result<(), Fault> {
        if event.occurred_at.saturating_sub(now) <= self.future_skew {
            return Ok(());
        }
        let seconds = self.future_skew / 1_000_000;
        Err(Fault {
            pointer: Some("/occurred_at".to_owned()),
            ..Fault::new(
                Reason::OccurredAtInFuture,
                format!("is more than {seconds} s ahead of now"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use licenseflow_avro::json;

    const NOW: i64 = 1_800_000_000_000_000;

    fn completion(tenant: Option<&str>) -> Completion {
        Completion {
            tenant: tenant.map(str::to_owned),
            received_at: NOW,
            future_skew: 300_000_000,
        }
    }

    fn draft(text: &str) -> Draft {
        json::decode_draft(text.as_bytes()).unwrap()
    }

    const BEAT: &str = r#"{"license_id":"L","type":"DeviceHeartbeat","data":{"device_id":"d"}}"#;

    #[test]
    fn what_was_left_out_is_set_and_times_rise_from_place_to_place() {
        let first = completion(None).complete(draft(BEAT), 0).unwrap();
        let second = completion(None).complete(draft(BEAT), 1).unwrap();
        assert_eq!((first.occurred_at, second.occurred_at), (NOW, NOW + 1));
        assert!(first.event_id < second.event_id);
        assert_eq!(first.event_id.get_version_num(), 7);
        assert_eq!(first.tenant_id, "default");
    }

    #[test]
    fn the_tenant_is_the_events_else_the_requests_and_they_must_not_differ() {
        let of_acme = r#"{"license_id":"L","tenant_id":"acme","type":"DeviceHeartbeat","data":{"device_id":"d"}}"#;
        let tenant = |given, text| {
            let event = completion(given).complete(draft(text), 0);
            event.map(|event| event.tenant_id)
        };
        assert_eq!(tenant(None, of_acme).unwrap(), "acme");
        assert_eq!(tenant(Some("acme"), of_acme).unwrap(), "acme");
        assert_eq!(tenant(Some("acme"), BEAT).unwrap(), "acme");
        assert_eq!(tenant(Some("other"), of_acme), Err(Wrong::Tenant));
    }

    #[test]
    fn an_event_further_ahead_than_the_projector_takes_is_refused() {
        let at = |micros: i64| {
            let mut draft = draft(BEAT);
            draft.event_id = Some(Uuid::now_v7());
            draft.occurred_at = Some(micros);
            completion(None).complete(draft, 0)
        };
        assert!(at(NOW + 300_000_000).is_ok());
        let Err(Wrong::Event(faults)) = at(NOW + 300_000_001) else {
            panic!("taken");
        };
        assert_eq!(faults[0].reason, Reason::OccurredAtInFuture);
    }
}
