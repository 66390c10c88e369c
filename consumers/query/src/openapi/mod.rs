//! The description of the query API: what stands at each handler, completed with what is laid around
//! all of them.
//!
//! Shapes and handlers describe themselves; here is what they have alike, and what no single one of
//! them could say.

mod around;
mod lists;
mod parameters;
mod words;

pub(crate) use around::{OriginNotAllowed, lay};
pub(crate) use lists::{
    Batch, BatchAsked, DeviceList, EventList, Journey, LicenseAnswer, LicenseList, MetricList,
    Stats, nullable, of, page,
};
pub(crate) use parameters::{
    CustomerId, FieldsAlone, LicenseId, OfCustomer, OfDevices, OfEvents, OfJourney, OfLicense,
    OfLicenses, OfStream, OfUsage, RequestId, id, limit,
};
pub(crate) use words::{
    CountsByType, EventType, LifecycleName, Link, LinksByRelation, ReasonName, StatusName,
    data_name,
};

/// Tags, by what a route answers about.
pub(crate) const LICENSES: &str = "licenses";
pub(crate) const CUSTOMERS: &str = "customers";
pub(crate) const FRESHNESS: &str = "freshness";
