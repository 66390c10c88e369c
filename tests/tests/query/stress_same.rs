//! What is kept or shared changes no answer: over schedules of batches, of a clock that moves over
//! beginnings and ends, and of requests, an API that keeps says the same as one that reads each time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use licenseflow_tests::chance::Chance;
use licenseflow_tests::harness::Folder;
use tokio::time::advance;

use crate::model::{Model, NOW, activated, beat, deactivated, event};
use crate::served::Answer;
use crate::stress::{Api, Bounds, issue};

const SECOND: i64 = 1_000_000;

const PATHS: [&str; 20] = [
    "/v1/licenses/L-0",
    "/v1/licenses/L-1?include=customer",
    "/v1/licenses/L-2?include=devices,usage,timeline",
    "/v1/licenses/L-1?fields=status",
    "/v1/licenses/L-9",
    "/v1/licenses/L-0/devices?limit=1",
    "/v1/licenses/L-1/events?limit=2",
    "/v1/licenses/L-2/usage",
    "/v1/licenses/L-0?as_of=2026-05-28T20:26:45Z",
    "/v1/licenses/L-1/devices?as_of=2026-05-28T20:26:45Z",
    "/v1/licenses",
    "/v1/licenses?limit=1",
    "/v1/licenses?status=active",
    "/v1/licenses?status=pending&limit=1",
    "/v1/licenses?status=expired&sort=-expires_at",
    "/v1/customers/c-0",
    "/v1/customers/c-1",
    "/v1/customers/c-1/licenses?limit=2",
    "/v1/stats",
    "/v1/position",
];

struct World {
    chance: Chance,
    model: Model,
    keeps: Api,
    reads: Api,
    told: bool,
    now: i64,
    events: u128,
    /// Whether ends were seen since the last batch, of which nobody is told.
    ends_seen: bool,
    _folder: Folder,
}

impl World {
    fn new(seed: u64) -> Self {
        let folder = Folder::new("same").unwrap();
        let file = folder.path().join("licenseflow.db");
        let model = Model::open(&file);
        let told = seed.is_multiple_of(2);
        let keeps = Bounds {
            told,
            ..Bounds::default()
        };
        let reads = Bounds {
            cache_bytes_max: 0,
            told,
            ..Bounds::default()
        };
        let keeps = Api::over(&file, keeps);
        // What is at hand is not kept.
        keeps
            .lookup
            .at_hand
            .store(seed.is_multiple_of(2), Ordering::SeqCst);
        Self {
            chance: Chance::new(seed),
            model,
            keeps,
            reads: Api::over(&file, reads),
            told,
            now: NOW,
            events: 0,
            ends_seen: false,
            _folder: folder,
        }
    }

    async fn apply(&mut self) {
        for _ in 0..=self.chance.below(3) {
            self.events += 1;
            let license = format!("L-{}", self.chance.below(4));
            let device = format!("d-{}", self.chance.below(3));
            let at = NOW + i64::try_from(self.events).unwrap();
            let said = match self.chance.below(6) {
                0..3 => {
                    let from = self.now + self.near();
                    let until = (self.chance.below(4) > 0).then(|| from + 1 + self.near().abs());
                    let customer = format!("c-{}", self.chance.below(2));
                    let mut said = issue(self.events, &license, &customer, from, until);
                    said.occurred_at = at;
                    said
                }
                3 => event(self.events, &license, at, activated(&device)),
                4 => event(self.events, &license, at, deactivated(&device)),
                _ => event(self.events, &license, at, beat(&device)),
            };
            self.model.say(said, None);
        }
        self.model.apply();
        self.ends_seen = false;
        if self.told {
            self.keeps.tell();
            self.reads.tell();
        } else {
            // What nobody tells of is known within this time.
            advance(Duration::from_millis(100)).await;
        }
    }

    /// Some seconds before or after.
    fn near(&mut self) -> i64 {
        i64::try_from(self.chance.below(20)).unwrap() * SECOND - 10 * SECOND
    }

    async fn step(&mut self) {
        match self.chance.below(24) {
            0 => self.apply().await,
            1..3 => {
                // To the very microsecond of a beginning or an end, most often.
                self.now += i64::try_from(self.chance.below(4)).unwrap() * SECOND;
                self.keeps.set_clock(self.now);
                self.reads.set_clock(self.now);
            }
            3 if self.events > 0 => {
                self.model.caught_up(self.now / 1000);
                self.ends_seen = true;
            }
            _ => self.ask().await,
        }
    }

    async fn ask(&mut self) {
        let path = PATHS[self.chance.below(PATHS.len() as u64) as usize];
        let position = format!("e:0:{}", self.events);
        let headers = [("x-request-id", "r"), ("x-min-position", position.as_str())];
        let headers = &headers[..1 + usize::from(self.chance.below(2) == 0)];
        let kept = self.keeps.get_with(path, headers).await;
        let read = self.reads.get_with(path, headers).await;
        assert_eq!(
            (kept.status, &kept.text),
            (read.status, &read.text),
            "{path}"
        );
        for name in ["etag", "x-read-position", "x-stale"] {
            assert_eq!(kept.header(name), read.header(name), "{name} of {path}");
        }
        let lag = |answer: &Answer| {
            answer
                .header("x-lag-ms")
                .map(|it| it.parse::<i64>().unwrap())
        };
        let (kept, read) = (lag(&kept), lag(&read));
        if self.ends_seen {
            // An end that was seen again since is not known yet: what is said is never too little.
            assert!(kept.is_none() || kept >= read, "{path}: {kept:?} {read:?}");
        } else {
            assert_eq!(kept, read, "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_that_keeps_says_the_same_as_one_that_reads() {
    let (mut kept, mut read) = (0, 0);
    for seed in 1..=8 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..250 {
            world.step().await;
        }
        kept += world.keeps.lookup.asked();
        read += world.reads.lookup.asked();
    }
    println!("{kept} questions instead of {read}");
    assert!(kept * 10 < read * 9, "nothing was kept: {kept} of {read}");
}
