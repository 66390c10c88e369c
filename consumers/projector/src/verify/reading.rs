//! Records become what is kept of them: events by license, as small as they can be, and records in doubt.
//!
//! In doubt is what was not accepted, then or now, and what says that it is another try: whether such a record
//! counts is known once the store has said what became of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use licenseflow_avro::codec::{decode_content, write_content};
use licenseflow_avro::event::Payload;
use licenseflow_avro::headers::RequestId;
use licenseflow_avro::judgement::{Schemas, Verdict, judge};
use licenseflow_avro::reason::Fault;
use licenseflow_avro::{Coordinates, LicenseEvent, LicenseKey, RawRecord, Reason};
use licenseflow_core::batch::{Envelope, record_hash};
use licenseflow_core::{Buckets, Rejected, Try};
use licenseflow_store::Error as StoreError;
use licenseflow_store::audit::content_of;
use licenseflow_store::lookup::RecordPlace;
use uuid::Uuid;

use super::expected::hash_of_request;
use super::lanes::Records;
use super::ledger::Entry;
use super::numbers::Account;
use super::whole::{Progress, Way};
use crate::{Error, Result};

/// An event's record, as small as it can be: how many there is room for decides how large a log may be.
#[derive(Debug)]
pub(super) struct PackedRecord {
    pub(super) at: Coordinates,
    pub(super) event_id: Uuid,
    pub(super) request: u64,
    /// What [`write_content`] writes.
    pub(super) content: Box<[u8]>,
}

impl PackedRecord {
    /// The event that it says.
    ///
    /// # Errors
    /// None but by a mistake of ours: it was written from an event.
    pub(super) fn event(&self, key: &LicenseKey) -> Result<LicenseEvent> {
        decode_content(key, self.event_id, &self.content).map_err(|fault| {
            Error::Store(StoreError::broken(format!("an event in memory: {fault}")))
        })
    }
}

/// What the log has of one license.
#[derive(Debug, Default)]
pub(super) struct LicenseRecords {
    pub(super) records: Vec<PackedRecord>,
    /// The greatest heartbeat of each device.
    pub(super) beats: BTreeMap<String, i64>,
    pub(super) entry: Entry,
}

/// A record of which the store must say what became of it.
#[derive(Debug, Clone)]
pub(super) struct Doubtful {
    pub(super) at: Coordinates,
    /// [`content_of`] it, as a letter would keep it.
    pub(super) content: u64,
    /// [`record_hash`] of it.
    pub(super) hash: [u8; 32],
    /// What its headers say that it is a try of.
    pub(super) try_of: Option<Try>,
    /// [`hash_of_request`] of its request.
    pub(super) request: u64,
    pub(super) now: Now,
    /// The event that a timeline has at its place, and whose it is.
    pub(super) in_timeline: Option<(LicenseKey, LicenseEvent)>,
}

/// What would become of a record now.
#[derive(Debug, Clone)]
pub(super) enum Now {
    /// It is an event, or a heartbeat.
    Accepted(Box<LicenseEvent>),
    /// It is at fault.
    Faulty {
        reason: Reason,
        names: Option<Box<LicenseKey>>,
    },
}

/// What was read of the log, and what follows from it.
pub(super) struct Log<'s> {
    schemas: &'s dyn Schemas,
    pub(super) max_future_skew_micros: i64,
    pub(super) way: Way,
    /// The only license that is asked for.
    pub(super) only: Option<LicenseKey>,
    pub(super) licenses: HashMap<LicenseKey, LicenseRecords>,
    pub(super) doubtful: HashMap<RecordPlace, Doubtful>,
    /// Where records lie of which the store says that they did not count at once.
    pub(super) watched: HashSet<RecordPlace>,
    /// The requests of the only license's records, where one is asked for.
    pub(super) requests: HashMap<RecordPlace, RequestId>,
    /// The records of it that are at fault, as their letters keep them.
    pub(super) faulty: HashMap<RecordPlace, Rejected>,
    pub(super) read: u64,
    pub(super) accepted: u64,
    pub(super) newest_ms: Option<i64>,
    /// The digest that the log gives.
    pub(super) buckets: Buckets,
    /// The totals and numbers of events that it gives.
    pub(super) account: Account,
}

/// Where a record lies, without its time.
pub(super) fn place(at: &Coordinates) -> RecordPlace {
    (at.lane, at.partition, at.offset)
}

impl<'s> Log<'s> {
    pub(super) fn new(schemas: &'s dyn Schemas, way: Way, only: Option<LicenseKey>) -> Self {
        Self {
            schemas,
            max_future_skew_micros: 0,
            way,
            only,
            licenses: HashMap::new(),
            doubtful: HashMap::new(),
            watched: HashSet::new(),
            requests: HashMap::new(),
            faulty: HashMap::new(),
            read: 0,
            accepted: 0,
            newest_ms: None,
            buckets: Buckets::default(),
            account: Account::default(),
        }
    }

    /// Reads on.
    pub(super) fn read(
        &mut self,
        records: Records<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        for record in records {
            self.take(record?)?;
            if self.read.is_multiple_of(PROGRESS_EVERY) {
                progress(Progress::Records(self.read));
            }
        }
        progress(Progress::Records(self.read));
        Ok(())
    }

    /// Takes a record, and keeps of it what is needed.
    pub(super) fn take(&mut self, record: RawRecord) -> Result<()> {
        self.read += 1;
        self.newest_ms = self.newest_ms.max(Some(record.at.timestamp));
        match judge(&record, self.schemas, self.max_future_skew_micros) {
            Ok(event) => self.accept(&record, event),
            Err(Verdict::Fault(fault)) => {
                self.doubt_faulty(&record, fault);
                Ok(())
            }
            Err(Verdict::Away(away)) => Err(Error::Schemas(away)),
        }
    }

    fn accept(&mut self, record: &RawRecord, event: LicenseEvent) -> Result<()> {
        let is_watched = self.watched.contains(&place(&record.at));
        let is_of_another = self.only.as_ref().is_some_and(|only| !is_of(&event, only));
        if is_of_another && !is_watched {
            return Ok(());
        }
        self.accepted += 1;
        self.note_request(record);
        let try_of = Try::of(record);
        if try_of.is_none() && !is_watched {
            return self.count(record.at, request_of(record), event);
        }
        self.doubt(record, try_of, Now::Accepted(Box::new(event)));
        Ok(())
    }

    fn doubt_faulty(&mut self, record: &RawRecord, fault: Fault) {
        let is_asked_for = match &self.only {
            Some(only) => {
                fault.names.as_deref() == Some(only) || self.watched.contains(&place(&record.at))
            }
            None => true,
        };
        if is_asked_for {
            self.note_request(record);
            if self.only.is_some() && fault.names.as_deref() == self.only.as_ref() {
                let rejected = Rejected {
                    record: record.clone(),
                    fault: fault.clone(),
                };
                self.faulty.insert(place(&record.at), rejected);
            }
            let (reason, names) = (fault.reason, fault.names);
            self.doubt(record, Try::of(record), Now::Faulty { reason, names });
        }
    }

    fn note_request(&mut self, record: &RawRecord) {
        let request_id = self
            .only
            .as_ref()
            .and_then(|_| Envelope::of(&record.headers).request_id);
        if let Some(request_id) = request_id {
            self.requests.insert(place(&record.at), request_id);
        }
    }

    fn doubt(&mut self, record: &RawRecord, try_of: Option<Try>, now: Now) {
        let is_kept = !matches!(
            &now,
            Now::Faulty {
                reason: Reason::TooLarge,
                ..
            }
        );
        let value = record.value.as_deref().filter(|_| is_kept);
        let doubtful = Doubtful {
            at: record.at,
            content: content_of(record.key.as_deref(), value),
            hash: record_hash(record),
            try_of,
            request: request_of(record),
            now,
            in_timeline: None,
        };
        self.doubtful.insert(place(&record.at), doubtful);
    }

    /// A record counts. A license that was folded already is folded again.
    pub(super) fn count(
        &mut self,
        at: Coordinates,
        request: u64,
        event: LicenseEvent,
    ) -> Result<()> {
        let key = event.license_key();
        self.take_back(&key)?;
        let license = self.licenses.entry(key).or_default();
        if let Payload::DeviceHeartbeat(beat) = event.payload {
            let seen = license.beats.entry(beat.device_id);
            let seen = seen.or_insert(event.occurred_at);
            *seen = event.occurred_at.max(*seen);
            return Ok(());
        }
        let mut content = Vec::with_capacity(128);
        write_content(&mut content, &event);
        if license.records.len() == license.records.capacity() {
            // A new vector would take room for four, and many licenses have few events.
            let more = license.records.len() / 2;
            license.records.reserve_exact(more.max(1));
        }
        license.records.push(PackedRecord {
            at,
            event_id: event.event_id,
            request,
            content: content.into(),
        });
        Ok(())
    }
}

fn request_of(record: &RawRecord) -> u64 {
    let request_id = Envelope::of(&record.headers).request_id;
    hash_of_request(request_id.as_ref().map(|it| it.as_str()))
}

fn is_of(event: &LicenseEvent, key: &LicenseKey) -> bool {
    event.license_id == key.license_id && event.tenant_id == key.tenant_id
}

const PROGRESS_EVERY: u64 = 10_000;
