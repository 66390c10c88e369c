//! A projector over a log in memory, with every door at hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use licenseflow_avro::{Lane, Position, Reason};
use licenseflow_projector::verify::verify;
use licenseflow_projector::{Handle, Parts, Projector, Settings, wall_clock};
use licenseflow_tests::harness::{Folder, wait_until};
use tokio_util::sync::CancellationToken;

use crate::events::{OneSchema, SKEW_MICROS};
use crate::memory_log::{Log, Wildness, World};
use crate::schedules::{DEADLINE, quick};
use crate::stand_ins::{Door, MemoryLetters};
use licenseflow_tests::chance::Chance;

/// A projector over one world, and all its doors.
pub(crate) struct Bench {
    pub(crate) folder: Folder,
    pub(crate) world: World,
    pub(crate) door: Door,
    pub(crate) letters: MemoryLetters,
    pub(crate) handle: Handle,
    pub(crate) released: Arc<std::sync::Mutex<usize>>,
    pub(crate) polls: Arc<AtomicU64>,
}

impl Bench {
    pub(crate) fn start(
        log: Log,
        settings: Settings,
        schemas: OneSchema,
        prepare: impl FnOnce(&mut Doors),
    ) -> Bench {
        let folder = Folder::new("loop").unwrap();
        let world = World::of(log);
        let mut made = Doors {
            door: Door::open(folder.path()),
            letters: MemoryLetters::of(&world),
            store: folder.path().join("store.db"),
        };
        prepare(&mut made);
        let source = world.source(Chance::new(5), Wildness::default());
        let released = Arc::clone(&source.released);
        let polls = Arc::clone(&source.polls);
        let parts = Parts {
            source,
            schemas,
            model: made.door.clone(),
            letters: made.letters.clone(),
            clock: wall_clock(),
        };
        let handle = Projector::start(settings, [parts], &CancellationToken::new()).unwrap();
        Bench {
            folder,
            world,
            door: made.door,
            letters: made.letters,
            handle,
            released,
            polls,
        }
    }

    pub(crate) fn wait_for_the_end(&self) {
        let end = self.world.log.lock().unwrap().end();
        wait_until("all is applied", DEADLINE, || self.position().covers(&end)).unwrap();
    }

    pub(crate) fn position(&self) -> Position {
        self.handle.position().borrow().clone()
    }

    pub(crate) fn sent(&self) -> Vec<Reason> {
        self.letters
            .sent
            .lock()
            .unwrap()
            .iter()
            .map(|letter| letter.reason)
            .collect()
    }

    /// What is stored is what its log says.
    pub(crate) fn agrees_with_its_log(&self, schemas: &OneSchema) {
        let records = self.world.log.lock().unwrap().records();
        let stored = self.door.stored();
        let records = records.into_iter().map(Ok);
        let report = verify(records, schemas, SKEW_MICROS, &stored, |_| {}).unwrap();
        assert!(report.equal, "{report:?}");
    }

    pub(crate) fn end(self) {
        self.end_and_keep();
    }

    /// Ends it, and keeps its store as long as what it gives.
    pub(crate) fn end_and_keep(self) -> Folder {
        self.handle.stop();
        self.handle.join().unwrap();
        self.folder
    }
}

/// The next process over what an earlier one left: its store through `door`, and its letters.
pub(crate) fn started_again(world: &World, door: &Door, letters: &MemoryLetters) -> Handle {
    let parts = Parts {
        source: world.source(Chance::new(6), Wildness::default()),
        schemas: OneSchema::new(),
        model: door.clone(),
        letters: letters.clone(),
        clock: wall_clock(),
    };
    Projector::start(large_settings(), [parts], &CancellationToken::new()).unwrap()
}

/// What can be set before the loop starts.
pub(crate) struct Doors {
    pub(crate) door: Door,
    pub(crate) letters: MemoryLetters,
    pub(crate) store: PathBuf,
}

impl Doors {
    /// The store refuses every new license whose id ends so.
    pub(crate) fn refuse(&self, ending: &str) {
        let sql = format!(
            "create trigger rule before insert on license when new.license_id like '%{ending}'
             begin select raise(abort, 'the test says so'); end"
        );
        let connection = rusqlite::Connection::open(&self.store).unwrap();
        connection.execute_batch(&sql).unwrap();
    }
}

pub(crate) fn large_settings() -> Settings {
    Settings {
        batch_records_max: 1000,
        ..quick(&mut Chance::new(3))
    }
}

/// One partition with that many records that are rejected, of that many bytes each.
pub(crate) fn poison(records: usize, bytes: usize) -> Log {
    let mut log = Log::default();
    for _ in 0..records {
        let mut value = vec![b' '; bytes];
        value[0] = b'{';
        log.append((Lane::Interactive, 0), None, Some(value));
    }
    log
}
