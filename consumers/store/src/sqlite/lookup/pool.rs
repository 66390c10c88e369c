//! A few read-only connections to one file, each lent to one call at a time.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::lookup::Freshness;
use crate::sqlite::connection::open_reader;
use crate::{Error, Patience};

/// How long a call waits for a connection before the store counts as busy.
const TURN_MAX: Duration = Duration::from_secs(5);

/// How long a call may read where whoever asked has not said it.
const READ_MAX: Duration = Duration::from_secs(15);

/// After so many steps of SQLite's machine it is asked whether to go on: every few milliseconds.
const STEPS: i32 = 100_000;

/// A connection, and what it knows.
pub(super) struct Reader {
    pub(super) connection: Connection,
    /// Where the model stood in the snapshot of this version, the last that was read here.
    pub(super) seen: Option<(i64, Freshness)>,
}

pub(super) struct Pool {
    read_max: Duration,
    readers: Vec<Mutex<Reader>>,
    /// The places in `readers` that nobody has.
    idle: Mutex<Vec<usize>>,
    returned: Condvar,
}

impl Pool {
    pub(super) fn open(path: &Path, readers: usize) -> Result<Self, Error> {
        Self::with_bound(path, readers, READ_MAX)
    }

    fn with_bound(path: &Path, readers: usize, read_max: Duration) -> Result<Self, Error> {
        let open = || -> Result<_, Error> {
            let connection = open_reader(path)?;
            Ok(Mutex::new(Reader {
                connection,
                seen: None,
            }))
        };
        let opened: Result<Vec<_>, Error> = (0..readers).map(|_| open()).collect();
        Ok(Self {
            read_max,
            readers: opened?,
            idle: Mutex::new((0..readers).collect()),
            returned: Condvar::new(),
        })
    }

    /// Lends a connection, after a bounded wait for one.
    pub(super) fn take(&self) -> Result<Lent<'_>, Error> {
        let patience = Patience::current();
        let turn_max = patience
            .as_ref()
            .map_or(TURN_MAX, |it| it.left().min(TURN_MAX));
        let none_idle = |idle: &mut Vec<usize>| idle.is_empty();
        let waited = self
            .returned
            .wait_timeout_while(lock(&self.idle), turn_max, none_idle);
        let (mut idle, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let Some(number) = idle.pop() else {
            return Err(Error::Away("every reader is busy".into()));
        };
        let mut lent = Lent {
            reader: lock(&self.readers[number]),
            _place: Place { pool: self, number },
        };
        // SQLite asks on the thread of the question, where the patience lies.
        let (begun, read_max, is_said) = (Instant::now(), self.read_max, patience.is_some());
        let is_over = move || match is_said {
            true => Patience::is_over(),
            false => begun.elapsed() > read_max,
        };
        lent.reader
            .connection
            .progress_handler(STEPS, Some(is_over))?;
        Ok(lent)
    }
}

/// A panic elsewhere leaves no list half-changed, and a transaction rolls back as it unwinds.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection on loan; dropped, it goes back.
pub(super) struct Lent<'p> {
    // Fields are dropped in this order: whoever finds the place idle finds the lock free.
    reader: MutexGuard<'p, Reader>,
    _place: Place<'p>,
}

impl Deref for Lent<'_> {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Reader {
        &mut self.reader
    }
}

struct Place<'p> {
    pool: &'p Pool,
    number: usize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.pool.idle).push(self.number);
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::sqlite::lookup::steps::Folder;
    use crate::sqlite::{SqliteModel, SqliteOptions};

    fn folder() -> Folder {
        let folder = Folder::new("pool");
        drop(SqliteModel::open(&folder.file(), SqliteOptions::default()).unwrap());
        folder
    }

    const ENDLESS: &str =
        "with recursive n (i) as (select 1 union all select i + 1 from n) select max(i) from n";

    #[test]
    fn a_read_that_takes_too_long_is_ended_and_the_next_is_not() {
        let folder = folder();
        let pool = Pool::with_bound(&folder.file(), 1, Duration::from_millis(30)).unwrap();
        let endless = pool
            .take()
            .unwrap()
            .connection
            .query_row(ENDLESS, [], |_| Ok(()));
        assert_eq!(Error::from(endless.unwrap_err()).kind(), Kind::Away);
        let one: i64 = pool
            .take()
            .unwrap()
            .connection
            .query_row("select 1", [], |row| row.get(0))
            .unwrap();
        assert_eq!(one, 1);
    }

    #[test]
    fn a_question_that_nobody_waits_for_is_ended_in_the_middle() {
        let folder = folder();
        let pool = Pool::open(&folder.file(), 1).unwrap();
        let (asker, patience) = Patience::of(READ_MAX);
        let begun = Instant::now();
        let ended = std::thread::scope(|scope| {
            let (reads, reading) = std::sync::mpsc::channel();
            let reader = scope.spawn(|| {
                patience.during(move || {
                    let lent = pool.take().unwrap();
                    reads.send(()).unwrap();
                    lent.connection.query_row(ENDLESS, [], |_| Ok(()))
                })
            });
            reading.recv().unwrap();
            drop(asker);
            reader.join().unwrap()
        });
        assert_eq!(Error::from(ended.unwrap_err()).kind(), Kind::Away);
        assert!(begun.elapsed() < READ_MAX / 2, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_part_that_is_slow_leaves_the_others_their_share_of_one_snapshot() {
        let folder = folder();
        let pool = Pool::open(&folder.file(), 1).unwrap();
        let (_asker, patience) = Patience::of(Duration::from_secs(3));
        patience.during(|| {
            let mut lent = pool.take().unwrap();
            let snapshot = lent.connection.transaction().unwrap();
            let counted = |sql: &str| snapshot.query_row(sql, [], |row| row.get::<_, i64>(0));
            let slow = Patience::share(3, || counted(ENDLESS));
            assert_eq!(Error::from(slow.unwrap_err()).kind(), Kind::Away);
            let next = Patience::share(2, || counted("select count(*) from license"));
            assert_eq!(next.unwrap(), 0);
        });
    }

    #[test]
    fn a_connection_goes_back_after_a_panic_and_cannot_write() {
        let folder = folder();
        let pool = Pool::open(&folder.file(), 1).unwrap();
        let panicked = std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let mut lent = pool.take().unwrap();
                let _transaction = lent.connection.transaction().unwrap();
                panic!("a question that fails");
            });
            holder.join()
        });
        assert!(panicked.is_err());
        let written = pool
            .take()
            .unwrap()
            .connection
            .execute("delete from meta", []);
        assert!(written.is_err());
    }
}
