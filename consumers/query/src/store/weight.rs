//! How many bytes what was read holds, about: enough to bound how much of it is kept.

use std::collections::BTreeMap;

use licenseflow_core::contract::event::Payload;
use licenseflow_core::{DeviceState, FoldedLicense, LicenseState};
use licenseflow_store::lookup::{CustomerTotals, LicenseRow, LicenseView, Page, TimelineRow};

/// What any row takes beside its texts.
const ROW_BYTES: usize = 320;

pub(crate) trait Weigh {
    /// About how many bytes it holds.
    fn bytes(&self) -> usize;
}

impl<T: Weigh> Weigh for Option<T> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, Weigh::bytes)
    }
}

impl<T: Weigh, K> Weigh for Page<T, K> {
    fn bytes(&self) -> usize {
        self.items.iter().map(Weigh::bytes).sum::<usize>() + ROW_BYTES
    }
}

impl Weigh for LicenseRow {
    fn bytes(&self) -> usize {
        let names = self.key.tenant_id.len() + self.key.license_id.len();
        names + state(&self.state) + ROW_BYTES
    }
}

impl Weigh for LicenseView {
    fn bytes(&self) -> usize {
        Weigh::bytes(&self.license)
            + self.devices.bytes()
            + self.usage.bytes()
            + self.timeline.bytes()
            + self.customer.bytes()
    }
}

impl Weigh for (String, DeviceState) {
    fn bytes(&self) -> usize {
        device(&self.0, &self.1)
    }
}

fn state(state: &LicenseState) -> usize {
    size_of::<LicenseState>() + state.bytes()
}

fn device(device_id: &str, device: &DeviceState) -> usize {
    let said = device.activation.as_ref().map(|it| &it.value);
    let texts = said
        .into_iter()
        .flat_map(|it| [&it.fingerprint, &it.platform]);
    device_id.len() + texts.flatten().map(String::len).sum::<usize>() + ROW_BYTES
}

impl Weigh for BTreeMap<String, i64> {
    fn bytes(&self) -> usize {
        self.keys().map(|name| name.len() + 64).sum()
    }
}

impl Weigh for TimelineRow {
    fn bytes(&self) -> usize {
        let event = &self.recorded.event;
        let names = event.license_id.len() + event.tenant_id.len() + event.source.len();
        let request = self.recorded.request_id.as_ref();
        let request = request.map_or(0, |it| it.as_str().len());
        names
            + event.actor.as_ref().map_or(0, String::len)
            + request
            + said(&event.payload)
            + 2 * ROW_BYTES
    }
}

/// The texts of an event that may be long.
fn said(payload: &Payload) -> usize {
    match payload {
        Payload::LicenseIssued(it) => map(&it.entitlements) + map(&it.metadata),
        Payload::LicensePlanChanged(it) => map(&it.entitlements),
        Payload::LicenseSuspended(it) => it.reason.len(),
        Payload::LicenseReinstated(it) => it.reason.len(),
        Payload::LicenseRevoked(it) => it.reason.len(),
        Payload::DeviceActivated(it) => {
            let texts = [&it.fingerprint, &it.platform].into_iter().flatten();
            texts.map(String::len).sum()
        }
        Payload::DeviceDeactivated(it) => it.reason.len(),
        Payload::EventVoided(it) => it.reason.len(),
        Payload::LicenseRenewed(_)
        | Payload::LicenseTransferred(_)
        | Payload::DeviceHeartbeat(_)
        | Payload::UsageRecorded(_) => 0,
    }
}

fn map(map: &BTreeMap<String, String>) -> usize {
    map.iter()
        .map(|(key, value)| key.len() + value.len() + 64)
        .sum()
}

impl Weigh for FoldedLicense {
    fn bytes(&self) -> usize {
        let devices = self.devices.iter().map(|(id, state)| device(id, state));
        state(&self.state) + devices.sum::<usize>() + 2 * ROW_BYTES
    }
}

impl Weigh for CustomerTotals {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.customer_id.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use licenseflow_core::contract::LicenseKey;
    use licenseflow_core::license::{IssueTerms, PlanTerms};
    use licenseflow_core::order::Decided;
    use licenseflow_core::{LicenseState, OrderKey};
    use uuid::Uuid;

    use super::*;

    fn key(number: u128) -> OrderKey {
        OrderKey {
            occurred_at: 0,
            rank: 1,
            event_id: Uuid::from_u128(number),
        }
    }

    fn decided<T>(value: T) -> Option<Decided<T>> {
        Some(Decided { by: key(0), value })
    }

    /// What a license of this state weighs, as its row and folded anew.
    fn weights(state: &LicenseState) -> [usize; 2] {
        let row = LicenseRow {
            key: LicenseKey {
                tenant_id: "t".to_owned(),
                license_id: "L".to_owned(),
            },
            state: state.clone(),
            letters: Vec::new(),
        };
        let folded = FoldedLicense {
            state: state.clone(),
            devices: BTreeMap::new(),
        };
        [Weigh::bytes(&row), folded.bytes()]
    }

    #[test]
    fn all_that_a_license_holds_weighs_something() {
        let empty = weights(&LicenseState::default());
        let long = "x".repeat(1000);
        let map = || (&BTreeMap::from([("k".to_owned(), long.clone())])).into();
        let voids = (0..1000).map(|number| (Uuid::from_u128(number), key(number)));
        let voided = LicenseState {
            voids: voids.collect(),
            ..LicenseState::default()
        };
        let customer = LicenseState {
            customer: decided(Arc::from(long.as_str())),
            ..LicenseState::default()
        };
        let plan = PlanTerms {
            plan: long.clone(),
            seats: 1,
            entitlements: map(),
        };
        let plan = LicenseState {
            plan: decided(Arc::new(plan)),
            ..LicenseState::default()
        };
        let issue = IssueTerms {
            product_id: long.clone(),
            valid_from: 0,
            metadata: map(),
        };
        let issue = LicenseState {
            issue: decided(Arc::new(issue)),
            ..LicenseState::default()
        };
        let void = size_of::<Uuid>() + size_of::<OrderKey>();
        for (what, state, least) in [
            ("voids", voided, 1000 * void),
            ("customer", customer, 1000),
            ("plan", plan, 2000),
            ("issue", issue, 2000),
        ] {
            for (weight, empty) in weights(&state).into_iter().zip(empty) {
                assert!(weight >= empty + least, "{what}: {weight}");
            }
        }
    }
}
