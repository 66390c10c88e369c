//! Who gets an event as it comes: streams by what they ask for, so that one that asks for another license
//! costs an event nothing.

use std::collections::HashMap;
use std::sync::Arc;

use licenseflow_store::lookup::SaidEvent;

use super::filter::Filter;
use super::seat::Seat;

type Group = HashMap<u64, Arc<Seat>>;

/// The streams of one tenant, each under the narrowest of its filters alone.
#[derive(Default)]
struct OfTenant {
    by_license: HashMap<String, Group>,
    by_customer: HashMap<String, Group>,
    by_product: HashMap<String, Group>,
    others: Group,
}

/// Streams that get events as they come, by their numbers.
#[derive(Default)]
pub(super) struct Audience(HashMap<String, OfTenant>);

impl Audience {
    pub(super) fn add(&mut self, number: u64, seat: &Arc<Seat>) {
        let tenant = self.0.entry(seat.filter.tenant_id.clone()).or_default();
        tenant.change(&seat.filter, |group| {
            group.insert(number, Arc::clone(seat));
        });
    }

    pub(super) fn remove(&mut self, number: u64, filter: &Filter) {
        let Some(tenant) = self.0.get_mut(&filter.tenant_id) else {
            return;
        };
        tenant.change(filter, |group| {
            group.remove(&number);
        });
        if tenant.is_empty() {
            self.0.remove(&filter.tenant_id);
        }
    }

    /// The streams that ask for this event.
    pub(super) fn of(&self, event: &SaidEvent) -> Vec<(u64, Arc<Seat>)> {
        let said = &event.row.recorded.event;
        let Some(tenant) = self.0.get(&said.tenant_id) else {
            return Vec::new();
        };
        let customer = event.customer_id.as_ref();
        let product = event.product_id.as_ref();
        let groups = [
            tenant.by_license.get(&said.license_id),
            customer.and_then(|id| tenant.by_customer.get(id)),
            product.and_then(|id| tenant.by_product.get(id)),
            Some(&tenant.others),
        ];
        let seats = groups.into_iter().flatten().flatten();
        seats
            .filter(|(_, seat)| seat.filter.takes(event))
            .map(|(number, seat)| (*number, Arc::clone(seat)))
            .collect()
    }
}

impl OfTenant {
    fn change(&mut self, filter: &Filter, mut change: impl FnMut(&mut Group)) {
        let (groups, ids) = match (&filter.licenses, &filter.customers, &filter.products) {
            (Some(ids), _, _) => (&mut self.by_license, ids),
            (None, Some(ids), _) => (&mut self.by_customer, ids),
            (None, None, Some(ids)) => (&mut self.by_product, ids),
            (None, None, None) => return change(&mut self.others),
        };
        for id in ids {
            let mut group = groups.remove(id).unwrap_or_default();
            change(&mut group);
            if !group.is_empty() {
                groups.insert(id.clone(), group);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.by_license.is_empty()
            && self.by_customer.is_empty()
            && self.by_product.is_empty()
            && self.others.is_empty()
    }
}
