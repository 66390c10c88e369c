//! Copying the log of writes into the file beside the writer, so that no batch waits for it.
//!
//! SQLite copies at the end of whichever commit finds the log long enough, and syncs both files: a tenth
//! of a second and more, in which nothing is applied. A thread with a connection of its own does it
//! meanwhile; what was written while it copied is copied in its next pass, until so little is left, or as
//! much as is written during a pass, that the next commit does it. Only then can the log begin anew, which it
//! does not while its end is not in the file.
//!
//! | the log is | who goes on | when |
//! |---|---|---|
//! | short | nobody | |
//! | to be copied | the thread, pass after pass | a commit finds it long |
//! | copied but for a rest | the next commit | a pass left little, or more than half of what the one before left |

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, MAIN_DB};

use crate::Error;

/// When what is copied, by pages of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// From here on it is copied: pages that many batches touch are copied once for several of them.
    begin: i32,
    /// So little is left to the next commit.
    rest: i32,
    /// From here on each commit copies all of it: the thread does not keep up, or is gone.
    most: i32,
}

/// Few enough pages that the disk has them in some ten milliseconds: while the log is synced, whoever
/// appends to it waits.
const BOUNDS: Bounds = Bounds {
    begin: 2_000,
    rest: 200,
    most: 64_000,
};

/// Nobody copies.
const SHORT: u8 = 0;
/// The thread does.
const COPYING: u8 = 1;
/// The next commit does.
const REST: u8 = 2;

/// What the writer and the thread know of the log.
#[derive(Debug, Default)]
struct Log {
    /// How many pages it has.
    pages: AtomicI32,
    /// [`SHORT`], [`COPYING`] or [`REST`].
    state: AtomicU8,
    is_over: AtomicBool,
}

impl Log {
    /// What the commit that left so many pages does.
    fn after_commit(&self, wal: &mut Wal, pages: i32, wake: &SyncSender<()>, bounds: Bounds) {
        self.pages.store(pages, Ordering::Release);
        let state = self.state.load(Ordering::Acquire);
        if state == REST {
            self.state.store(SHORT, Ordering::Release);
        }
        if state == REST || pages >= bounds.most {
            // The commit itself is done, whatever becomes of this; where a reader still needs the file as it
            // is, a later one comes to it again.
            let _ = wal.checkpoint();
        } else if state == SHORT && pages >= bounds.begin {
            self.state.store(COPYING, Ordering::Release);
            // Where nobody hears it, the log grows until commits copy it.
            let _ = wake.try_send(());
        }
    }
}

/// The thread that copies; it ends with this.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    log: Arc<Log>,
    wake: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Takes the copying over from the writer's connection.
    pub(crate) fn beside(writer: &mut Connection, path: &Path) -> Result<Self, Error> {
        Self::within(writer, path, BOUNDS)
    }

    fn within(writer: &mut Connection, path: &Path, bounds: Bounds) -> Result<Self, Error> {
        let (wake, woken) = sync_channel(1);
        let log = Arc::new(Log::default());
        let copying = Copying {
            connection: Connection::open(path)?,
            log: Arc::clone(&log),
            woken,
            rest: bounds.rest,
        };
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || copying.run())
            .map_err(|error| Error::Away(Box::new(error)))?;
        let (known, waking) = (Arc::clone(&log), wake.clone());
        writer.wal_hook(Some(move |wal: &mut Wal, pages| {
            known.after_commit(wal, pages, &waking, bounds);
            Ok(())
        }))?;
        Ok(Self {
            log,
            wake,
            thread: Some(thread),
        })
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.log.is_over.store(true, Ordering::Release);
        // Where it is told already, it wakes all the same.
        let _ = self.wake.try_send(());
        if let Some(thread) = self.thread.take() {
            // What it did not copy, the writer's end does.
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Copying {
    connection: Connection,
    log: Arc<Log>,
    woken: Receiver<()>,
    rest: i32,
}

impl Copying {
    fn run(self) {
        while self.woken.recv().is_ok() && !self.log.is_over.load(Ordering::Acquire) {
            let mut left = self.pass();
            while left > self.rest && !self.log.is_over.load(Ordering::Acquire) {
                let before = left;
                left = self.pass();
                if left > before / 2 {
                    break;
                }
            }
            if self.log.is_over.load(Ordering::Acquire) {
                return;
            }
            self.log.state.store(REST, Ordering::Release);
        }
    }

    /// Copies what is in the log, and gives how much was written meanwhile or could not be copied. It waits
    /// for nobody: what a reader still needs of the file stays as it is. What fails here fails the writer
    /// too, who says it.
    fn pass(&self) -> i32 {
        let mode = CheckpointMode::default();
        let copied = self.connection.wal_checkpoint_v2(Some(MAIN_DB), mode);
        let pages = self.log.pages.load(Ordering::Acquire);
        copied.map_or(i32::MAX, |(_, copied)| pages - copied)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const SMALL: Bounds = Bounds {
        begin: 50,
        rest: 20,
        most: 100_000,
    };

    fn writer(name: &str) -> (Connection, std::path::PathBuf) {
        let folder = std::env::temp_dir();
        let path = folder.join(format!(
            "licenseflow-{name}-{}",
            uuid::Uuid::now_v7().simple()
        ));
        let writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "journal_mode", "wal").unwrap();
        let sql = "create table row (id integer primary key, text text)";
        writer.execute_batch(sql).unwrap();
        (writer, path)
    }

    /// Writes until the log begins anew, and gives how many pages it had at most.
    fn until_it_begins_anew(writer: &Connection, log: &Log) -> i32 {
        let (begun, mut most) = (Instant::now(), 0);
        loop {
            let sql = "insert into row (text) values (hex(randomblob(5000)))";
            writer.execute(sql, []).unwrap();
            let pages = log.pages.load(Ordering::Acquire);
            if pages < most {
                return most;
            }
            most = pages;
            assert!(begun.elapsed() < Duration::from_secs(60), "{pages} pages");
        }
    }

    #[test]
    fn the_log_begins_anew_again_and_again_while_somebody_reads_and_the_thread_copies_it() {
        let (mut writer, path) = writer("copied");
        let checkpoints = Checkpoints::within(&mut writer, &path, SMALL).unwrap();
        let reader = Connection::open(&path).unwrap();
        for _ in 0..20 {
            let most = until_it_begins_anew(&writer, &checkpoints.log);
            assert!((SMALL.begin..SMALL.most).contains(&most), "{most}");
            let sql = "select count(*) from row";
            let rows = |of: &Connection| of.query_row(sql, [], |row| row.get::<_, i64>(0));
            assert_eq!(rows(&reader).unwrap(), rows(&writer).unwrap());
        }
        drop((checkpoints, reader, writer));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn where_the_thread_is_gone_commits_copy() {
        let (mut writer, path) = writer("alone");
        let bounds = Bounds { most: 200, ..SMALL };
        let checkpoints = Checkpoints::within(&mut writer, &path, bounds).unwrap();
        let log = Arc::clone(&checkpoints.log);
        drop(checkpoints);
        let most = until_it_begins_anew(&writer, &log);
        assert!((bounds.most..2 * bounds.most).contains(&most), "{most}");
        drop(writer);
        std::fs::remove_file(path).unwrap();
    }
}
