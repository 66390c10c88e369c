//! Runs that end anywhere, and logs that are no longer the one that was archived.

use std::cell::Cell;
use std::collections::BTreeSet;

use licenseflow_runtime::log::{Record, TimestampType};
use object_store::memory::InMemory;
use tokio::runtime::Runtime;

use super::*;
use crate::manifest::Manifest;
use crate::place::{Address, Place};
use crate::restore::check;

const LANE: &str = "license.events.v1";
const SCHEMAS: &str = "_schemas";

/// A log of a few records: offsets that are left out are markers or aborted records.
#[derive(Clone)]
struct Log {
    lane: Vec<Vec<i64>>,
    ends: Vec<i64>,
    schemas: Vec<i64>,
    start: i64,
    /// Added to every time.
    later_ms: i64,
    /// Reading fails after so many records more.
    readable: Cell<usize>,
}

impl Log {
    fn new() -> Log {
        Log {
            lane: vec![
                (0..100).filter(|offset| offset % 10 != 3).collect(),
                vec![],
                (0..7).collect(),
            ],
            ends: vec![102, 0, 7],
            schemas: vec![0, 4, 5],
            start: 0,
            later_ms: 0,
            readable: Cell::new(usize::MAX),
        }
    }

    fn record(&self, of: &TopicPartition, offset: i64) -> Record {
        Record {
            topic: of.topic.as_str().into(),
            partition: of.partition,
            offset,
            timestamp_ms: Some(1_790_000_000_000 + offset + self.later_ms),
            timestamp_type: TimestampType::LogAppendTime,
            key: Some(b"LIC-1".to_vec()),
            value: Some(vec![offset as u8; 100]),
            headers: Vec::new(),
        }
    }

    fn offsets(&self, of: &TopicPartition) -> &[i64] {
        match of.topic.as_str() {
            LANE => &self.lane[of.partition as usize],
            _ => &self.schemas,
        }
    }
}

impl Source for Log {
    fn ends(&self, topic: &str) -> Result<Option<Vec<Watermarks>>> {
        let start = self.start;
        Ok(match topic {
            LANE => Some(
                self.ends
                    .iter()
                    .map(|end| Watermarks {
                        start: start.min(*end),
                        end: *end,
                    })
                    .collect(),
            ),
            SCHEMAS => Some(vec![Watermarks { start: 0, end: 6 }]),
            _ => None,
        })
    }

    fn first_after(
        &self,
        times: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        // Brokers find markers too: here every offset has a time, with a record or without.
        let each = times.iter().filter_map(|(of, time)| {
            let mut offsets = 0..self.ends[of.partition as usize];
            let found = offsets.find(|offset| self.record(of, *offset).timestamp_ms > Some(*time));
            Some((of.clone(), found?))
        });
        Ok(each.collect())
    }

    fn read(
        &self,
        of: &TopicPartition,
        span: (i64, i64),
        take: &mut dyn FnMut(Record) -> Result<()>,
    ) -> Result<()> {
        for offset in self.offsets(of) {
            if (span.0..span.1).contains(offset) {
                if self.readable.get() == 0 {
                    return Err(Error::Stopped);
                }
                self.readable.set(self.readable.get() - 1);
                take(self.record(of, *offset))?;
            }
        }
        Ok(())
    }
}

struct Stage {
    runtime: Runtime,
    place: Place,
}

impl Stage {
    fn new() -> Stage {
        let runtime = Runtime::new().unwrap();
        let place = Place::over(
            std::sync::Arc::new(InMemory::new()),
            "memory",
            runtime.handle().clone(),
        );
        Stage { runtime, place }
    }

    fn job() -> Job {
        let topics = [(Holds::Interactive, LANE), (Holds::Schemas, SCHEMAS)];
        Job {
            topics: topics.map(|(holds, name)| (holds, name.to_owned())).into(),
            part_bytes: 1200,
        }
    }

    fn run(&self, log: &Log) -> Result<Archived> {
        let mut shelf = Shelf::begin(self.place.clone(), "cluster", "")?;
        let stop = CancellationToken::new();
        archive(&mut shelf, log, &Stage::job(), &stop, &mut |_| {})
    }

    fn manifest(&self) -> Manifest {
        Shelf::open(self.place.clone()).unwrap().manifest().clone()
    }

    fn files(&self) -> BTreeSet<String> {
        let all = self.place.list("").unwrap();
        all.into_iter().map(|(file, _)| file).collect()
    }

    /// Every record in it, by partition.
    fn offsets(&self) -> BTreeMap<(String, i32), Vec<i64>> {
        let shelf = Shelf::open(self.place.clone()).unwrap();
        check(&shelf, &CancellationToken::new(), &mut |_| {}).unwrap();
        let mut all: BTreeMap<(String, i32), Vec<i64>> = BTreeMap::new();
        for part in &shelf.manifest().parts {
            let mut records = shelf.records(part).unwrap();
            while let Some(record) = records.next().unwrap() {
                let of = (part.topic.clone(), part.partition);
                all.entry(of).or_default().push(record.offset);
            }
        }
        all
    }
}

fn whole(log: &Log) -> BTreeMap<(String, i32), Vec<i64>> {
    let lane = (0..).zip(&log.lane);
    let lane = lane.map(|(partition, offsets)| ((LANE.to_owned(), partition), offsets.clone()));
    let schemas = ((SCHEMAS.to_owned(), 0), log.schemas.clone());
    let all = lane.chain([schemas]);
    all.filter(|(_, offsets)| !offsets.is_empty()).collect()
}

#[test]
fn a_run_copies_all_and_the_next_only_what_is_new() {
    let (stage, mut log) = (Stage::new(), Log::new());
    let first = stage.run(&log).unwrap();
    assert_eq!(stage.offsets(), whole(&log));
    assert_eq!(first.records, 90 + 7 + 3);
    assert!(first.parts > 9, "{first:?}");
    assert_eq!(stage.manifest().missing(), 0);
    assert_eq!(stage.run(&log).unwrap(), Archived::default());
    log.lane[1] = vec![0, 1];
    log.lane[2].push(9);
    log.ends = vec![102, 3, 10];
    let second = stage.run(&log).unwrap();
    assert_eq!((second.parts, second.records), (2, 3));
    assert_eq!(stage.offsets(), whole(&log));
    let named = stage.manifest().parts.len() + 1;
    assert_eq!(stage.files().len(), named, "a file that nobody names");
}

#[test]
fn a_run_that_dies_after_any_record_is_gone_on_with() {
    let log = Log::new();
    for readable in 0..100 {
        let stage = Stage::new();
        log.readable.set(readable);
        assert!(matches!(stage.run(&log), Err(Error::Stopped)));
        log.readable.set(usize::MAX);
        stage.run(&log).unwrap();
        assert_eq!(stage.offsets(), whole(&log), "{readable} records");
        let named = stage.manifest().parts.len() + 1;
        assert_eq!(stage.files().len(), named, "{readable} records");
    }
}

/// A death between a part and the manifest that was to name it leaves the part without a name; and it may have
/// been the last of a log that has grown since.
#[test]
fn a_part_that_was_written_and_never_named_is_taken_up() {
    let (stage, mut log) = (Stage::new(), Log::new());
    stage.run(&log).unwrap();
    let (manifest, files) = (stage.manifest(), stage.files());
    let lanes: Vec<usize> = (0..manifest.parts.len())
        .filter(|at| manifest.parts[*at].topic == LANE)
        .collect();
    log.lane[0].extend(102..140);
    log.lane[2].extend(7..9);
    log.ends = vec![140, 0, 9];
    for kept in lanes {
        let mut earlier = manifest.clone();
        earlier.parts.truncate(kept);
        let place = stage.place.clone();
        place
            .put("manifest.json", earlier.encode().unwrap().into())
            .unwrap();
        stage.run(&log).unwrap();
        assert_eq!(stage.offsets(), whole(&log), "{kept} parts named");
        let named = stage.manifest().parts.len() + 1;
        assert_eq!(stage.files().len(), named, "{kept} parts named");
        assert!(stage.files().is_superset(&files), "{kept} parts named");
        // As it was, for the next.
        for file in stage.files().difference(&files) {
            stage.place.delete(file).unwrap();
        }
    }
}

#[test]
fn schemas_are_copied_anew_as_a_whole() {
    let (stage, log) = (Stage::new(), Log::new());
    stage.run(&log).unwrap();
    let manifest = stage.manifest();
    let schemas: Vec<_> = manifest.parts_of(SCHEMAS, 0).collect();
    assert_eq!((schemas.len(), schemas[0].records), (1, 3));
    // An archive whose schemas end earlier.
    let mut earlier = manifest.clone();
    for part in earlier
        .parts
        .iter_mut()
        .filter(|part| part.topic == SCHEMAS)
    {
        part.to = 5;
        part.records = 2;
        let name = part.name();
        let content = stage.place.get(&part.file).unwrap().unwrap();
        stage.place.delete(&part.file).unwrap();
        stage.place.put(&name, content).unwrap();
        part.file = name;
    }
    let bytes = earlier.encode().unwrap();
    stage.place.put("manifest.json", bytes.into()).unwrap();
    assert_eq!(stage.run(&log).unwrap().records, 3);
    assert_eq!(stage.manifest().parts.len(), manifest.parts.len());
    let named = stage.manifest().parts.len() + 1;
    assert_eq!(stage.files().len(), named, "the earlier one is gone");
}

#[test]
fn a_log_that_is_not_the_one_that_was_archived_is_refused() {
    let stage = Stage::new();
    stage.run(&Log::new()).unwrap();
    let refused = |change: &dyn Fn(&mut Log)| {
        let mut other = Log::new();
        change(&mut other);
        stage.run(&other).unwrap_err().to_string()
    };
    let gone = refused(&|log| {
        log.start = 104;
        log.ends[0] = 110;
    });
    assert!(gone.contains("cannot be archived from 102"), "{gone}");
    let shorter = refused(&|log| log.ends[0] = 90);
    assert!(shorter.contains("ends at 90"), "{shorter}");
    let anew = refused(&|log| log.later_ms = 1_000_000);
    assert!(anew.contains("made anew"), "{anew}");
    let fewer = refused(&|log| {
        log.ends.pop();
    });
    assert!(fewer.contains("2 partitions"), "{fewer}");
    let elsewhere = Shelf::begin(stage.place.clone(), "another", "").unwrap_err();
    assert!(matches!(elsewhere, Error::OtherLog { .. }), "{elsewhere}");
    let renamed = Shelf::begin(stage.place.clone(), "cluster", "p.").unwrap_err();
    assert!(matches!(renamed, Error::OtherLog { .. }), "{renamed}");
    let whole = whole(&Log::new());
    assert_eq!(
        stage.offsets(),
        whole,
        "what was refused has changed nothing"
    );
}

#[test]
fn damage_is_named_and_so_is_what_is_missing() {
    let (stage, log) = (Stage::new(), Log::new());
    stage.run(&log).unwrap();
    let checked = || {
        let shelf = Shelf::open(stage.place.clone())?;
        check(&shelf, &CancellationToken::new(), &mut |_| {})
    };
    assert_eq!(checked().unwrap().records, 100);
    for part in &stage.manifest().parts {
        let content = stage.place.get(&part.file).unwrap().unwrap();
        let mut damaged = content.to_vec();
        damaged[content.len() / 2] ^= 0x10;
        let said = |content: Option<Vec<u8>>| {
            match content {
                Some(content) => stage.place.put(&part.file, content.into()).unwrap(),
                None => stage.place.delete(&part.file).unwrap(),
            }
            checked().unwrap_err()
        };
        for content in [damaged, content[1..].to_vec()] {
            let error = said(Some(content));
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
            assert!(error.to_string().contains(&part.file), "{error}");
        }
        let error = said(None);
        assert!(matches!(error, Error::Missing { .. }), "{error}");
        stage.place.put(&part.file, content).unwrap();
    }
    stage.place.delete("manifest.json").unwrap();
    assert!(matches!(checked(), Err(Error::NoArchive { .. })));
}

/// What the manifest names must be there whatever fails: so here a part cannot be written, in a folder.
#[test]
fn a_part_that_cannot_be_written_is_not_named() {
    let (memory, log) = (Stage::new(), Log::new());
    memory.run(&log).unwrap();
    let parts = memory.manifest().parts;
    let unique = format!("licenseflow-archive-{}", std::process::id());
    let folder = std::env::temp_dir().join(unique);
    for part in &parts {
        let address = Address::Folder(folder.clone());
        let runtime = Runtime::new().unwrap();
        let place = Place::make(&address, runtime.handle().clone()).unwrap();
        let stage = Stage { runtime, place };
        // A folder of that name is in the way.
        let in_the_way = folder.join(&part.file);
        std::fs::create_dir_all(in_the_way.join("x")).unwrap();
        let error = stage.run(&log).unwrap_err();
        assert!(error.to_string().contains(&part.file), "{error}");
        match Shelf::open(stage.place.clone()) {
            Ok(shelf) => {
                shelf.check_lengths().unwrap();
                assert!(!shelf.manifest().parts.contains(part));
            }
            // It was the first of them.
            Err(error) => assert!(matches!(error, Error::NoArchive { .. }), "{error}"),
        }
        std::fs::remove_dir_all(in_the_way).unwrap();
        stage.run(&log).unwrap();
        assert_eq!(stage.offsets(), whole(&log));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn two_who_write_at_once_are_seen() {
    let (stage, log) = (Stage::new(), Log::new());
    let mut slow = Shelf::begin(stage.place.clone(), "cluster", "").unwrap();
    stage.run(&log).unwrap();
    let stop = CancellationToken::new();
    let outcome = archive(&mut slow, &log, &Stage::job(), &stop, &mut |_| {});
    assert!(matches!(outcome, Err(Error::Written(_))), "{outcome:?}");
    assert_eq!(stage.offsets(), whole(&log));
    drop(stage.runtime);
}
