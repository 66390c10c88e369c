//! A few read-only connections to one file, each lent to one call at a time.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use crate::Error;
use crate::sqlite::connection::open_reader;

/// How long a call waits for a connection before the store counts as busy.
const TURN_MAX: Duration = Duration::from_secs(5);

pub(super) struct Pool {
    connections: Vec<Mutex<Connection>>,
    /// The places in `connections` that nobody has.
    idle: Mutex<Vec<usize>>,
    returned: Condvar,
}

impl Pool {
    pub(super) fn open(path: &Path, readers: usize) -> Result<Self, Error> {
        let connections: Result<Vec<_>, Error> = (0..readers)
            .map(|_| Ok(Mutex::new(open_reader(path)?)))
            .collect();
        Ok(Self {
            connections: connections?,
            idle: Mutex::new((0..readers).collect()),
            returned: Condvar::new(),
        })
    }

    /// Lends a connection, after a bounded wait for one.
    pub(super) fn take(&self) -> Result<Lent<'_>, Error> {
        let none_idle = |idle: &mut Vec<usize>| idle.is_empty();
        let waited = self
            .returned
            .wait_timeout_while(lock(&self.idle), TURN_MAX, none_idle);
        let (mut idle, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let Some(number) = idle.pop() else {
            return Err(Error::Away("every reader is busy".into()));
        };
        Ok(Lent {
            connection: lock(&self.connections[number]),
            _place: Place { pool: self, number },
        })
    }
}

/// A panic elsewhere leaves no list half-changed, and a transaction rolls back as it unwinds.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection on loan; dropped, it goes back.
pub(super) struct Lent<'p> {
    // Fields are dropped in this order: whoever finds the place idle finds the lock free.
    connection: MutexGuard<'p, Connection>,
    _place: Place<'p>,
}

impl Deref for Lent<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
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
