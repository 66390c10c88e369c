//! Which events a stream is asked for. All filters must hold; one with several values by any of them.

use std::collections::BTreeSet;

use licenseflow_core::contract::EventKind;
use licenseflow_core::contract::limits::valid_id;
use licenseflow_store::lookup::SaidEvent;

use crate::answer::Failure;
use crate::params::{NOT_AN_ID, Params, invalid};

/// As many values as one filter may have.
const VALUES_MAX: usize = 100;

/// The filters of one stream; none of a name: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) tenant_id: String,
    pub(super) licenses: Option<BTreeSet<String>>,
    pub(super) customers: Option<BTreeSet<String>>,
    pub(super) products: Option<BTreeSet<String>>,
    kinds: Option<Vec<EventKind>>,
}

impl Filter {
    pub(super) fn of(tenant_id: String, params: &Params) -> Result<Self, Failure> {
        Ok(Self {
            tenant_id,
            licenses: ids(params, "license_id")?,
            customers: ids(params, "customer_id")?,
            products: ids(params, "product_id")?,
            kinds: kinds(params)?,
        })
    }

    pub(super) fn takes(&self, event: &SaidEvent) -> bool {
        let said = &event.row.recorded.event;
        let has = |asked: &Option<BTreeSet<String>>, value: Option<&str>| {
            let any = |asked: &BTreeSet<String>| value.is_some_and(|value| asked.contains(value));
            asked.as_ref().is_none_or(any)
        };
        let kind = said.payload.kind();
        said.tenant_id == self.tenant_id
            && has(&self.licenses, Some(&said.license_id))
            && has(&self.customers, event.customer_id.as_deref())
            && has(&self.products, event.product_id.as_deref())
            && self
                .kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&kind))
    }
}

fn ids(params: &Params, name: &str) -> Result<Option<BTreeSet<String>>, Failure> {
    let taken = values(params, name, |text| valid_id(text).then(|| text.to_owned()));
    taken.map_err(|()| {
        invalid(
            name,
            &format!("{NOT_AN_ID}, or up to {VALUES_MAX} such by comma"),
        )
    })
}

fn kinds(params: &Params) -> Result<Option<Vec<EventKind>>, Failure> {
    // Heartbeats are in no timeline: a stream of them would be silent for ever.
    let said = |kind: &EventKind| *kind != EventKind::DeviceHeartbeat;
    let taken = values(params, "type", |text| {
        EventKind::from_name(text).filter(said)
    });
    taken.map_err(|()| {
        let names = EventKind::ALL.into_iter().filter(said).map(EventKind::name);
        let names: Vec<&str> = names.collect();
        invalid(
            "type",
            &format!("expected one or more by comma of {}", names.join(", ")),
        )
    })
}

fn values<T, C: FromIterator<T>>(
    params: &Params,
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<C>, ()> {
    let Some(text) = params.text(name) else {
        return Ok(None);
    };
    if text.split(',').count() > VALUES_MAX {
        return Err(());
    }
    let values = text.split(',').map(|text| parse(text.trim()).ok_or(()));
    values.collect::<Result<C, ()>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::known::STREAM;

    fn filter(query: &str) -> Result<Filter, Failure> {
        let uri = format!("/v1/stream?{query}").parse().unwrap();
        Filter::of("t".to_owned(), &Params::of(&uri, &STREAM).unwrap())
    }

    #[test]
    fn several_values_stand_by_comma() {
        let filter = filter("license_id=L-1,L-2&type=LicenseIssued,%20LicenseRevoked").unwrap();
        assert_eq!(filter.licenses.unwrap().len(), 2);
        assert_eq!(filter.kinds.unwrap().len(), 2);
        assert_eq!(filter.customers, None);
    }

    #[test]
    fn what_cannot_be_taken_is_refused_with_its_name() {
        for (query, name) in [
            ("license_id=", "license_id"),
            ("customer_id=a,,b", "customer_id"),
            ("product_id=a%20b", "product_id"),
            ("type=Issued", "type"),
            ("type=DeviceHeartbeat", "type"),
        ] {
            let failure = filter(query).unwrap_err();
            assert!(failure.detail().starts_with(name), "{}", failure.detail());
        }
        let many = vec!["L"; VALUES_MAX + 1].join(",");
        assert!(filter(&format!("license_id={many}")).is_err());
    }
}
