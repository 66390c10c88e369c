//! Rows of the model and events of timelines, as they are stored.

use licenseflow_avro::codec::decode_content;
use licenseflow_avro::reason::Fault;
use licenseflow_avro::{Coordinates, LicenseEvent, LicenseKey};
use licenseflow_core::device::{usage_canonical, usage_digest};
use licenseflow_core::{DeviceState, LicenseState, RowDigest};
use uuid::Uuid;

use super::or_unreadable;
use crate::Error;
use crate::columns::{
    Columns, LICENSE_COLUMN_COUNT, coordinates, device_state, license_state, needed,
};
use crate::timeline::standing_of_row;

/// Which of a license's rows a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The license's own.
    License,
    /// A device's.
    Device,
    /// A metric's.
    Usage,
}

impl Part {
    /// Its table's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Part::License => "license",
            Part::Device => "device",
            Part::Usage => "usage",
        }
    }
}

/// A row of the model as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredRow {
    /// A license's own.
    License(Box<StoredState>),
    /// A device's.
    Device {
        /// The device.
        device_id: String,
        /// Its state.
        state: DeviceState,
    },
    /// A metric's.
    Usage {
        /// The metric.
        metric: String,
        /// Its sum.
        quantity: i64,
    },
    /// One that cannot be read.
    Unreadable {
        /// Which row.
        part: Part,
        /// The device or the metric; empty for the license's own row.
        name: String,
        /// Why.
        why: String,
    },
}

/// A license's row: its state, and what else lists and timelines go by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredState {
    /// What the fold reads.
    pub state: LicenseState,
    /// The lifecycle that lists go by, as a number: 0 unknown, 1 active, 2 suspended, 3 revoked.
    pub lifecycle: Option<i64>,
    /// The time that lists go by.
    pub last_event_at: Option<i64>,
    /// Whether its timeline is a long one, and lies in its own order too.
    pub is_ordered: bool,
    /// Whether there is a value that no event is said to have decided.
    pub has_strays: bool,
}

impl StoredRow {
    /// Which row it is.
    #[must_use]
    pub fn part(&self) -> Part {
        match self {
            StoredRow::License(_) => Part::License,
            StoredRow::Device { .. } => Part::Device,
            StoredRow::Usage { .. } => Part::Usage,
            StoredRow::Unreadable { part, .. } => *part,
        }
    }

    /// The device or the metric; empty for the license's own row.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            StoredRow::License(_) => "",
            StoredRow::Device { device_id, .. } => device_id,
            StoredRow::Usage { metric, .. } => metric,
            StoredRow::Unreadable { name, .. } => name,
        }
    }

    /// The row's canonical JSON; none where it cannot be read.
    #[must_use]
    pub fn canonical(&self, key: &LicenseKey) -> Option<String> {
        match self {
            StoredRow::License(row) => Some(row.state.canonical(key)),
            StoredRow::Device { device_id, state } => Some(state.canonical(key, device_id)),
            StoredRow::Usage { metric, quantity } => Some(usage_canonical(key, metric, *quantity)),
            StoredRow::Unreadable { .. } => None,
        }
    }

    /// The row's digest; nothing where it cannot be read.
    #[must_use]
    pub fn digest(&self, key: &LicenseKey) -> RowDigest {
        match self {
            StoredRow::License(row) => row.state.digest(key),
            StoredRow::Device { device_id, state } => state.digest(key, device_id),
            StoredRow::Usage { metric, quantity } => usage_digest(key, metric, Some(*quantity)),
            StoredRow::Unreadable { .. } => RowDigest::default(),
        }
    }
}

/// What stands in a license's row behind [`LICENSE_COLUMNS`](crate::columns::LICENSE_COLUMNS), and is read by
/// [`license_row`].
pub(crate) const LICENSE_BESIDE: &str = "lifecycle, last_event_at, ordered, \
     (customer_by is null and customer_id is not null) \
     or (plan_by is null and (plan is not null or seats is not null or entitlements is not null)) \
     or (expiry_by is null and expires_at is not null) \
     or (issue_by is null and (product_id is not null or valid_from is not null or metadata is not null)) \
     or (suspended_by is null and suspended is not null)";

/// The column behind what [`license_row`] reads, where its tenant and its id stand.
pub(crate) const LICENSE_OF: usize = LICENSE_COLUMN_COUNT + 4;

/// The same behind what [`device_row`] reads.
pub(crate) const DEVICE_OF: usize = 8;

/// The same behind what [`usage_row`] reads.
pub(crate) const USAGE_OF: usize = 2;

/// Reads [`LICENSE_COLUMNS`](crate::columns::LICENSE_COLUMNS) and [`LICENSE_BESIDE`].
pub(crate) fn license_row(row: &impl Columns) -> Result<StoredRow, Error> {
    let beside = LICENSE_COLUMN_COUNT;
    let read = || -> Result<_, Error> {
        Ok(StoredRow::License(Box::new(StoredState {
            state: license_state(row, 0)?,
            lifecycle: row.integer(beside)?,
            last_event_at: row.integer(beside + 1)?,
            is_ordered: needed(row.boolean(beside + 2)?)?,
            has_strays: needed(row.boolean(beside + 3)?)?,
        })))
    };
    unreadable(read(), Part::License, "")
}

/// Reads [`DEVICE_COLUMNS`](crate::columns::DEVICE_COLUMNS) and the device's id.
pub(crate) fn device_row(row: &impl Columns) -> Result<StoredRow, Error> {
    let device_id = needed(row.text(7)?)?;
    let read = device_state(row, 0).map(|state| StoredRow::Device {
        device_id: device_id.to_owned(),
        state,
    });
    unreadable(read, Part::Device, device_id)
}

/// Reads quantity and metric.
pub(crate) fn usage_row(row: &impl Columns) -> Result<StoredRow, Error> {
    let metric = needed(row.text(1)?)?;
    let read = row
        .integer(0)
        .and_then(needed)
        .map(|quantity| StoredRow::Usage {
            metric: metric.to_owned(),
            quantity,
        });
    unreadable(read, Part::Usage, metric)
}

fn unreadable(read: Result<StoredRow, Error>, part: Part, name: &str) -> Result<StoredRow, Error> {
    or_unreadable(read, |why| StoredRow::Unreadable {
        part,
        name: name.to_owned(),
        why,
    })
}

/// An event of a timeline as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredEvent {
    /// One that can be read, but for its body.
    Event {
        /// Its id.
        event_id: Uuid,
        /// Where its record lies.
        at: Coordinates,
        /// The request that said it.
        request_id: Option<String>,
        /// What [`write_content`](licenseflow_avro::codec::write_content) writes of it.
        body: Vec<u8>,
        /// Whether it says where it stands in a long timeline, and rightly; none: it does not say it.
        stands_right: Option<bool>,
        /// What is said to void it; said in long timelines alone.
        voided_by: Option<Uuid>,
    },
    /// One that cannot be read.
    Unreadable {
        /// Why.
        why: String,
    },
}

impl StoredEvent {
    /// The event itself; none where it cannot be read.
    ///
    /// # Errors
    /// Its body is none.
    pub fn event(&self, key: &LicenseKey) -> Option<Result<LicenseEvent, Fault>> {
        match self {
            StoredEvent::Event { event_id, body, .. } => Some(decode_content(key, *event_id, body)),
            StoredEvent::Unreadable { .. } => None,
        }
    }
}

/// The columns that [`stored_event`] reads; `{offset}` is the offset's own in each store.
pub(crate) fn event_columns(offset: &str) -> String {
    format!(
        "timeline.timestamp_ms, timeline.lane, timeline.partition, timeline.{offset}, timeline.request_id, \
         timeline.event_id, timeline.body, timeline.standing, timeline.voided_by"
    )
}

/// The column behind what [`stored_event`] reads, where its tenant and its license stand.
pub(crate) const EVENT_OF: usize = 9;

/// Reads [`event_columns`].
pub(crate) fn stored_event(row: &impl Columns) -> Result<StoredEvent, Error> {
    let uuid = |bytes: &[u8]| Uuid::from_slice(bytes).map_err(|error| Error::Broken(error.into()));
    let read = || -> Result<_, Error> {
        let stands_right = match row.bytes(7)? {
            Some(standing) => Some(standing_of_row(row, 5)?.1 == standing),
            None => None,
        };
        Ok(StoredEvent::Event {
            event_id: uuid(needed(row.bytes(5)?)?)?,
            at: coordinates(row, 0)?,
            request_id: row.text(4)?.map(ToOwned::to_owned),
            body: needed(row.bytes(6)?)?.to_vec(),
            stands_right,
            voided_by: row.bytes(8)?.map(uuid).transpose()?,
        })
    };
    or_unreadable(read(), |why| StoredEvent::Unreadable { why })
}
