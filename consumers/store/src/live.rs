//! The live generation, whichever that is: for who reads, and for who looks after letters.
//!
//! The pointer is asked before each call; where it has moved, the generation that it names is opened and the
//! former one is left. A call reads one generation from its beginning to its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use licenseflow_avro::LicenseKey;
use licenseflow_core::{Buckets, DeviceState};
use uuid::Uuid;

use crate::Error;
use crate::dead_letters::{DeadLetters, LetterQuery, LetterRow};
use crate::generations::{Generations, Number};
use crate::lookup::{
    CustomerTotals, Freshness, History, JourneyQuery, JourneyStep, LicenseParts, LicenseQuery,
    LicenseRow, LicenseView, Lookup, Page, Read, RecordPlace, SaidEvent, SaidQuery, SortKey, Stats,
    TimelineQuery, TimelineRow,
};
use crate::read_model::LetterContent;

type Open<T> = dyn Fn(&dyn Generations, Number) -> Result<Arc<T>, Error> + Send + Sync;

/// Something of the live generation, opened anew when another is live.
pub struct Live<T: ?Sized> {
    generations: Arc<dyn Generations>,
    open: Box<Open<T>>,
    opened: Mutex<(Number, Arc<T>)>,
    /// All generations of a store are alike in this. Asked on threads that must not wait: whoever opens a
    /// generation holds the lock, and may need those threads for it.
    is_at_hand: bool,
}

impl<T: ?Sized> Live<T> {
    /// Opens it of the generation that is live now.
    ///
    /// # Errors
    /// As `open`, and where the book cannot be read.
    pub fn new(
        generations: Arc<dyn Generations>,
        open: impl Fn(&dyn Generations, Number) -> Result<Arc<T>, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let live = generations.book()?.live;
        let opened = open(&*generations, live)?;
        Ok(Self {
            generations,
            open: Box::new(open),
            opened: Mutex::new((live, opened)),
            is_at_hand: false,
        })
    }

    /// It, of the live generation. Where the book cannot be read, what was live last is.
    ///
    /// # Errors
    /// As it is opened.
    pub fn get(&self) -> Result<Arc<T>, Error> {
        let live = self.generations.book().map(|book| book.live);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(live) = live
            && live != opened.0
        {
            *opened = (live, (self.open)(&*self.generations, live)?);
        }
        Ok(Arc::clone(&opened.1))
    }
}

/// Reads the live generation.
pub type LiveLookup = Live<dyn Lookup>;

/// The letters of the live generation.
pub type LiveLetters = Live<dyn DeadLetters>;

impl LiveLookup {
    /// Reads the generation that is live, opened each time like this.
    ///
    /// # Errors
    /// As [`Live::new`].
    pub fn of(
        generations: Arc<dyn Generations>,
        open: impl Fn(&dyn Generations, Number) -> Result<Arc<dyn Lookup>, Error>
        + Send
        + Sync
        + 'static,
    ) -> Result<Self, Error> {
        let live = Self::new(generations, open)?;
        Ok(Self {
            is_at_hand: live.get()?.is_at_hand(),
            ..live
        })
    }
}

impl Lookup for LiveLookup {
    fn is_at_hand(&self) -> bool {
        self.is_at_hand
    }

    fn position(&self) -> Result<Read<Buckets>, Error> {
        self.get()?.position()
    }

    fn freshness(&self) -> Result<Freshness, Error> {
        self.get()?.freshness()
    }

    fn license(&self, key: &LicenseKey) -> Result<Read<Option<LicenseRow>>, Error> {
        self.get()?.license(key)
    }

    fn licenses_by_id(
        &self,
        tenant_id: &str,
        ids: &[String],
    ) -> Result<Read<Vec<Option<LicenseRow>>>, Error> {
        self.get()?.licenses_by_id(tenant_id, ids)
    }

    fn history(&self, key: &LicenseKey, limit: usize) -> Result<Read<Option<History>>, Error> {
        self.get()?.history(key, limit)
    }

    fn license_with(
        &self,
        key: &LicenseKey,
        parts: &LicenseParts,
    ) -> Result<Read<Option<LicenseView>>, Error> {
        self.get()?.license_with(key, parts)
    }

    fn licenses(&self, query: &LicenseQuery) -> Result<Read<Page<LicenseRow, SortKey>>, Error> {
        self.get()?.licenses(query)
    }

    fn customer(
        &self,
        tenant_id: &str,
        customer_id: &str,
        at: i64,
    ) -> Result<Read<Option<CustomerTotals>>, Error> {
        self.get()?.customer(tenant_id, customer_id, at)
    }

    fn stats(&self, tenant_id: &str, at: i64) -> Result<Read<Stats>, Error> {
        self.get()?.stats(tenant_id, at)
    }

    fn devices(
        &self,
        key: &LicenseKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Read<Option<Page<(String, DeviceState), String>>>, Error> {
        self.get()?.devices(key, after, limit)
    }

    fn usage(&self, key: &LicenseKey) -> Result<Read<Option<BTreeMap<String, i64>>>, Error> {
        self.get()?.usage(key)
    }

    fn timeline(
        &self,
        key: &LicenseKey,
        query: &TimelineQuery,
    ) -> Result<Read<Option<Page<TimelineRow, (i64, u8, Uuid)>>>, Error> {
        self.get()?.timeline(key, query)
    }

    fn said(&self, query: &SaidQuery) -> Result<Read<Page<SaidEvent, RecordPlace>>, Error> {
        self.get()?.said(query)
    }

    fn journey(&self, query: &JourneyQuery) -> Result<Read<Page<JourneyStep, RecordPlace>>, Error> {
        self.get()?.journey(query)
    }
}

impl DeadLetters for LiveLetters {
    fn letters(&self, query: &LetterQuery) -> Result<Page<LetterRow, i64>, Error> {
        self.get()?.letters(query)
    }

    fn letter(&self, place: RecordPlace) -> Result<Option<(LetterRow, LetterContent)>, Error> {
        self.get()?.letter(place)
    }

    fn mark_resolved(&self, ids: &[i64], reason: &str, now: i64) -> Result<usize, Error> {
        self.get()?.mark_resolved(ids, reason, now)
    }

    fn mark_redriven(&self, ids: &[i64], now: i64) -> Result<(), Error> {
        self.get()?.mark_redriven(ids, now)
    }
}
