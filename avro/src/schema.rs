//! The schema's own text, which is the source of truth for clients in every language.

/// Version 1 of `licenseflow.v1.LicenseEvent`.
pub const LICENSE_EVENT: &str = include_str!("../schemas/license_event.avsc");

/// The full name of the record that a registered schema must have.
pub const LICENSE_EVENT_NAME: &str = "licenseflow.v1.LicenseEvent";
