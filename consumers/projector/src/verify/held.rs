//! States put in the terms in which what is stored and what the log says are held against each other.

use licenseflow_avro::LicenseKey;
use licenseflow_core::status::Lifecycle;
use licenseflow_core::{DeviceState, LicenseState};
use licenseflow_store::audit::{StoredRow, StoredState};

use super::expected::{Beside, DeviceBeside, LicenseBeside, Row};

/// A row as it is stored; none where it cannot be read.
pub(super) fn row(key: &LicenseKey, row: &StoredRow) -> Option<Row> {
    let canonical = row.canonical(key)?;
    let beside = match row {
        StoredRow::License(stored) => Beside::License(Box::new(stored_beside(stored))),
        StoredRow::Device { state, .. } => Beside::Device(device_beside(state)),
        StoredRow::Usage { .. } | StoredRow::Unreadable { .. } => Beside::Usage,
    };
    Some(Row { canonical, beside })
}

fn stored_beside(stored: &StoredState) -> LicenseBeside {
    LicenseBeside {
        lifecycle: stored.lifecycle,
        last_event_at: stored.last_event_at,
        has_strays: stored.has_strays,
        ..beside_of(&stored.state)
    }
}

/// What lies beside a state that was folded just now.
pub(super) fn license_beside(state: &LicenseState) -> LicenseBeside {
    LicenseBeside {
        lifecycle: Some(match state.lifecycle() {
            Lifecycle::Unknown => 0,
            Lifecycle::Active => 1,
            Lifecycle::Suspended => 2,
            Lifecycle::Revoked => 3,
        }),
        last_event_at: state.last.map(|last| last.occurred_at),
        ..beside_of(state)
    }
}

fn beside_of(state: &LicenseState) -> LicenseBeside {
    LicenseBeside {
        customer: state.customer.as_ref().map(|it| it.by),
        plan: state.plan.as_ref().map(|it| it.by),
        expiry: state.expiry.as_ref().map(|it| it.by),
        issue: state.issue.as_ref().map(|it| it.by),
        suspended: state.suspended.as_ref().map(|it| (it.by, it.value)),
        revoked: state.revoked,
        first: state.first,
        last: state.last,
        seats_used: state.seats_used,
        voids: state.voids.clone(),
        ..LicenseBeside::default()
    }
}

/// What lies beside a device's state.
pub(super) fn device_beside(state: &DeviceState) -> DeviceBeside {
    DeviceBeside {
        active: state.active.as_ref().map(|it| it.by),
        activated: state.activation.as_ref().map(|it| it.by),
        seen_in_event: state.seen_in_event,
        seen_in_heartbeat: state.seen_in_heartbeat,
    }
}
