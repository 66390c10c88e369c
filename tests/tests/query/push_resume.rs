//! Cut anywhere and resumed, while batches go on: what a reader hears is the log, nothing missing and
//! nothing twice.

use std::collections::BTreeMap;
use std::time::Duration;

use licenseflow_avro::{Lane, Position};
use licenseflow_query::StreamLimits;

use crate::push_client::{Events, Heard, Socket};
use crate::push_stage::{Kind, Setting, Stage, Writer, activated, beat, issued};

const BATCHES: usize = 60;
const PARTITIONS: usize = 3;
const READERS: u64 = 4;

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % end as u64).unwrap()
    }
}

/// Topic, partition, offset and event id.
type Place = (String, i64, i64, String);

/// Writes batches of random sizes; every event but heartbeats, in order by partition, and where it ends.
fn write(mut writer: Writer, seed: u64) -> (Writer, Vec<Place>, Position) {
    let mut random = Random(seed);
    let (mut places, mut number, mut position) = (Vec::new(), 0, Position::default());
    for _ in 0..BATCHES {
        let most = [3, 40, 200][random.below(3)];
        for _ in 0..=random.below(most) {
            number += 1;
            let license = format!("L-{}", random.below(5));
            let (lane, topic) = match random.below(3) {
                0 => (Lane::Bulk, "t-license.events.bulk.v1"),
                _ => (Lane::Interactive, "t-license.events.v1"),
            };
            let partition = i32::try_from(random.below(PARTITIONS)).unwrap();
            let event = match random.below(8) {
                0 => beat(number, &license),
                1 => issued(number, &license, "c-1"),
                _ => activated(number, &license),
            };
            let offset = writer.say(lane, partition, &event);
            if event.payload.kind() != licenseflow_avro::EventKind::DeviceHeartbeat {
                let id = event.event_id.hyphenated().to_string();
                places.push((topic.to_owned(), i64::from(partition), offset, id));
            }
        }
        position = writer.apply_blocking();
        std::thread::sleep(Duration::from_millis(random.below(30) as u64));
    }
    (writer, places, position)
}

/// Where the log ends, once it does.
type End = tokio::sync::watch::Receiver<Option<Position>>;

/// Whether everything was heard by now.
fn is_all(heard: &Heard, end: &End) -> bool {
    let reached: Position = heard.id.as_ref().unwrap().parse().unwrap();
    end.borrow().as_ref().is_some_and(|end| reached.covers(end))
}

/// What one connection brings before it is cut, or all is heard.
async fn connection(stage: &Stage, last: &str, random: &mut Random, end: &End) -> Vec<Heard> {
    let path = format!("/v1/stream?last_event_id={last}");
    let mut heard: Vec<Heard> = Vec::new();
    let is_over = |heard: &[Heard]| heard.last().is_some_and(|last| is_all(last, end));
    if random.below(2) == 0 {
        let mut events = Events::open(stage, &path, &[]).await;
        events.bytes_left = [100, 3000, 100_000][random.below(3)] + random.below(3000);
        while let Some(one) = events.next().await {
            heard.push(one);
            if random.below(200) == 0 || is_over(&heard) {
                break;
            }
        }
    } else {
        let mut socket = Socket::open(stage.address, &path, &[]).await.unwrap();
        for _ in 0..=random.below(150) {
            heard.push(socket.next().await.unwrap());
            if is_over(&heard) {
                break;
            }
        }
    }
    heard
}

/// Reads with one cut after the other until all of the log is covered, and a little longer.
async fn read(stage: &Stage, seed: u64, end: &End) -> Vec<Place> {
    let mut random = Random(seed);
    let (mut last, mut places) = ("e:0:0".to_owned(), Vec::new());
    for connections in 0.. {
        let heard = connection(stage, &last, &mut random, end).await;
        let is_over = heard.last().is_some_and(|last| is_all(last, end));
        for one in heard {
            last.clone_from(one.id.as_ref().unwrap());
            if one.kind.is_some() {
                places.push(one.place());
            }
        }
        if is_over {
            assert!(connections > 5, "only {connections} connections");
            break;
        }
    }
    let mut after = Events::open(stage, &format!("/v1/stream?last_event_id={last}"), &[]).await;
    after.is_quiet().await;
    places
}

/// Offsets by partition, in the order in which they came.
fn by_partition(places: &[Place]) -> BTreeMap<(String, i64), Vec<(i64, String)>> {
    let mut partitions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (topic, partition, offset, id) in places {
        let partition = partitions.entry((topic.clone(), *partition)).or_default();
        partition.push((*offset, id.clone()));
    }
    partitions
}

async fn nothing_is_missing_and_nothing_comes_twice(kind: Kind, seed: u64) {
    println!("seed {seed} on {kind:?}");
    let (stage, writer) = Stage::open(Setting {
        kind,
        signals: seed.is_multiple_of(2),
        streams: StreamLimits {
            // Every other time queues run over again and again.
            queue_events: [4, 256][usize::try_from(seed / 2 % 2).unwrap()],
            ..Setting::default().streams
        },
        ..Setting::default()
    });
    let (ended, end) = tokio::sync::watch::channel(None);
    let writing = async {
        let written = tokio::task::spawn_blocking(move || write(writer, seed));
        let (writer, places, position) = written.await.unwrap();
        ended.send_replace(Some(position));
        (writer, places)
    };
    let readers = (0..READERS).map(|reader| read(&stage, seed * 100 + reader, &end));
    let ((_writer, places), heard) = tokio::join!(writing, futures::future::join_all(readers));
    let expected = by_partition(&places);
    assert!(places.len() > 500, "only {} events", places.len());
    for (reader, heard) in heard.iter().enumerate() {
        assert_eq!(heard.len(), places.len(), "seed {seed}, reader {reader}");
        assert!(
            by_partition(heard) == expected,
            "seed {seed}, reader {reader}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_nothing_is_missing_and_nothing_comes_twice() {
    for seed in 0..4 {
        nothing_is_missing_and_nothing_comes_twice(Kind::Sqlite, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_nothing_is_missing_and_nothing_comes_twice() {
    for seed in 0..3 {
        nothing_is_missing_and_nothing_comes_twice(Kind::Postgres, seed).await;
    }
}
