//! How many bytes what was read holds, about: enough to bound how much of it is kept.

use std::collections::BTreeMap;

use licenseflow_core::contract::event::Payload;
use licenseflow_core::{DeviceState, FoldedLicense};
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
        LicenseRow::bytes(self) + names + ROW_BYTES
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
        let plan = self.state.plan.as_ref().map(|it| &it.value.entitlements);
        let issue = self.state.issue.as_ref().map(|it| &it.value.metadata);
        let maps = plan.into_iter().chain(issue);
        let maps = maps.map(|map| map.as_str().len()).sum::<usize>();
        let devices = self.devices.iter().map(|(id, state)| device(id, state));
        maps + devices.sum::<usize>() + 2 * ROW_BYTES
    }
}

impl Weigh for CustomerTotals {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.customer_id.len()
    }
}
