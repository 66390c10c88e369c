//! How a generation is built beside the live one: first it collects, then it loads.
//!
//! | it | does |
//! |---|---|
//! | collects | judges records, and puts each license's share of a batch aside, with the batch's positions, journeys and letters |
//! | loads | reads what it has put aside in the order of the licenses, so that each is folded and written once, beside its neighbours |
//! | makes its indexes | over rows that lie there |
//! | catches up | with those licenses that have too much to be folded at once; from then on it is as any other |
//!
//! The read model is a function of the set of events, so what was collected may be taken in any order, and
//! again: that is why a death at any moment costs no more than the part that was being written. What is in
//! memory is bounded by the size of a part; the sorting is the store's, which goes to disk when it must.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use licenseflow_avro::LicenseKey;
use licenseflow_core::PackedBatch;

use crate::Error;
use crate::generations::Number;

/// What is folded and written together where nobody says otherwise.
const PART_BYTES: usize = 8 << 20;

/// Each run that is merged has a page in memory.
const RUNS_MAX: usize = 1_000;

/// How often it is looked whether the loading is to end.
const GLANCE: Duration = Duration::from_millis(100);

/// How far a generation is that is being built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loading {
    /// So many shares of licenses were put aside.
    pub collected: u64,
    /// So many of these are in their place.
    pub loaded: u64,
}

/// What is still being built has rows of nothing, or of a part.
pub(crate) fn check_loaded(number: Number, loading: Option<Loading>) -> Result<(), Error> {
    let Some(Loading { collected, loaded }) = loading else {
        return Ok(());
    };
    Err(Error::Unusable(format!(
        "generation {number} is still being built ({loaded} of {collected} collected parts are loaded): there is \
         nothing to be compared yet; `licenseflow replay status` shows how far it is"
    )))
}

/// What a loading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// All is in its place: it goes on like any other.
    Whole,
    /// It was asked to stop, and goes on where it was.
    Stopped,
}

/// Tells whoever loads to stop, or to wait; and by which bounds it loads.
#[derive(Debug, Clone)]
pub struct Reins {
    asked: Arc<Asked>,
    part_bytes: usize,
    runs_max: usize,
}

#[derive(Debug, Default)]
struct Asked {
    stop: AtomicBool,
    wait: AtomicBool,
}

impl Default for Reins {
    fn default() -> Self {
        Self::in_parts_of(PART_BYTES)
    }
}

impl Reins {
    /// So many bytes of what was collected are folded and written together. Three times as many are in memory,
    /// and the events of one license unpacked.
    #[must_use]
    pub fn in_parts_of(part_bytes: usize) -> Self {
        Self {
            asked: Arc::default(),
            part_bytes,
            runs_max: RUNS_MAX,
        }
    }

    /// So many runs are merged at once; where there are more, all are sorted.
    #[must_use]
    pub fn merging_at_most(self, runs_max: usize) -> Self {
        Self { runs_max, ..self }
    }

    pub(crate) fn runs_max(&self) -> usize {
        self.runs_max
    }

    pub(crate) fn part_bytes(&self) -> usize {
        self.part_bytes
    }

    /// Asks for the end.
    pub fn stop(&self) {
        self.asked.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.asked.stop.load(Ordering::Relaxed)
    }

    /// Has it wait before the next part, or go on.
    pub fn wait(&self, waits: bool) {
        self.asked.wait.store(waits, Ordering::Relaxed);
    }

    fn waits(&self) -> bool {
        self.asked.wait.load(Ordering::Relaxed)
    }
}

/// Licenses with all that was collected of them, in the order of their keys.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) licenses: Vec<(Arc<LicenseKey>, PackedBatch)>,
    /// Those that have too much to be folded at once.
    pub(crate) late: Vec<Arc<LicenseKey>>,
    /// How many shares it is made of.
    pub(crate) shares: u64,
    /// The last license of it.
    pub(crate) last: Option<Arc<LicenseKey>>,
    bytes: usize,
}

/// Puts shares together that come in the order of their licenses, and hands them on.
pub(crate) struct Parts<F> {
    hand_on: F,
    part: Part,
    part_bytes: usize,
    /// The license whose shares come now.
    key: Option<Arc<LicenseKey>>,
    batch: PackedBatch,
    batch_bytes: usize,
}

impl<F: FnMut(Part) -> Result<(), Error>> Parts<F> {
    pub(crate) fn new(part_bytes: usize, hand_on: F) -> Self {
        Self {
            hand_on,
            part: Part::default(),
            part_bytes,
            key: None,
            batch: PackedBatch::default(),
            batch_bytes: 0,
        }
    }

    /// Takes the next share.
    pub(crate) fn take(&mut self, tenant: &str, license: &str, share: &[u8]) -> Result<(), Error> {
        let is_same = |key: &Arc<LicenseKey>| key.license_id == license && key.tenant_id == tenant;
        if !self.key.as_ref().is_some_and(is_same) {
            self.close()?;
            self.key = Some(Arc::new(LicenseKey {
                tenant_id: tenant.to_owned(),
                license_id: license.to_owned(),
            }));
        }
        self.part.shares += 1;
        self.batch_bytes += share.len();
        if self.batch_bytes > self.part_bytes {
            self.batch = PackedBatch::default();
            return Ok(());
        }
        read(&mut self.batch, license, share)
    }

    /// There are no more.
    pub(crate) fn end(mut self) -> Result<(), Error> {
        self.close()?;
        match self.part.last {
            Some(_) => (self.hand_on)(self.part),
            None => Ok(()),
        }
    }

    /// All of a license has come.
    fn close(&mut self) -> Result<(), Error> {
        let Some(key) = self.key.take() else {
            return Ok(());
        };
        self.part.last = Some(Arc::clone(&key));
        let batch = std::mem::take(&mut self.batch);
        let bytes = std::mem::take(&mut self.batch_bytes);
        if bytes > self.part_bytes {
            self.part.late.push(key);
        } else {
            self.part.licenses.push((key, batch));
            self.part.bytes += bytes;
        }
        if self.part.bytes >= self.part_bytes {
            return (self.hand_on)(std::mem::take(&mut self.part));
        }
        Ok(())
    }
}

/// Adds a share to a license's batch.
pub(crate) fn read(batch: &mut PackedBatch, license: &str, share: &[u8]) -> Result<(), Error> {
    let read = batch.read(share);
    read.ok_or_else(|| Error::broken(format!("what was collected of {license} cannot be read")))
}

/// Reads on one thread and writes on this one, until there is no more or it is to stop. What reads hears of the
/// end when it hands on the next.
pub(crate) fn side_by_side<T: Send>(
    reins: &Reins,
    read: impl FnOnce(&mut dyn FnMut(T) -> Result<(), Error>) -> Result<(), Error> + Send,
    mut write: impl FnMut(T) -> Result<(), Error>,
) -> Result<Loaded, Error> {
    thread::scope(|scope| {
        let (send, receive) = sync_channel(1);
        let reading = scope.spawn(move || {
            read(&mut |it| {
                let sent = send.send(it);
                sent.map_err(|_| Error::Away("it was asked to stop".into()))
            })
        });
        loop {
            if reins.is_stopped() {
                return Ok(Loaded::Stopped);
            }
            if reins.waits() {
                thread::sleep(GLANCE);
                continue;
            }
            match receive.recv_timeout(GLANCE) {
                Ok(it) => write(it)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let ended = reading.join();
        ended.unwrap_or_else(|_| Err(Error::broken("whoever reads what was collected is gone")))?;
        Ok(Loaded::Whole)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(of: usize) -> Vec<u8> {
        // No event, and heartbeats of so many devices.
        let mut bytes = 0u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(of as u32).to_le_bytes());
        for device in 0..of {
            bytes.extend_from_slice(&4u32.to_le_bytes());
            bytes.extend_from_slice(format!("{device:04}").as_bytes());
            bytes.extend_from_slice(&7i64.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn licenses_are_whole_and_parts_are_bounded_and_what_is_too_much_comes_late() {
        let mut seen: Vec<(Vec<String>, Vec<String>, u64)> = Vec::new();
        let bytes = share(10).len();
        let mut parts = Parts::new(3 * bytes, |part: Part| {
            let ids = |keys: Vec<Arc<LicenseKey>>| -> Vec<String> {
                keys.into_iter().map(|key| key.license_id.clone()).collect()
            };
            let licenses = part.licenses.into_iter().map(|(key, _)| key).collect();
            seen.push((ids(licenses), ids(part.late), part.shares));
            Ok(())
        });
        for (license, shares) in [("a", 2), ("b", 4), ("c", 3), ("d", 1)] {
            for _ in 0..shares {
                parts.take("t", license, &share(10)).unwrap();
            }
        }
        parts.end().unwrap();
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let expected = [
            (ids(&["a", "c"]), ids(&["b"]), 9),
            (ids(&["d"]), ids(&[]), 1),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn it_stops_between_two_and_tells_what_failed() {
        let reins = Reins::default();
        let mut written = 0;
        let stopped = side_by_side(
            &reins,
            |hand_on| (0..1_000).try_for_each(&mut *hand_on),
            |number| {
                written = number;
                if number == 3 {
                    reins.stop();
                }
                Ok(())
            },
        );
        assert_eq!((stopped.unwrap(), written), (Loaded::Stopped, 3));
        let failed = side_by_side(
            &Reins::default(),
            |_: &mut dyn FnMut(u8) -> Result<(), Error>| Err(Error::broken("no disk")),
            |_| Ok(()),
        );
        assert!(failed.unwrap_err().to_string().contains("no disk"));
    }
}
