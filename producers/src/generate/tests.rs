use std::collections::{HashMap, HashSet};

use licenseflow_avro::event::EventKind;
use licenseflow_avro::{codec, json, limits};

use super::*;

const END: i64 = 1_790_000_000_000_000;

fn options() -> GenerateOptions {
    GenerateOptions {
        events: 20_000,
        licenses: 500,
        start: END - 3 * 365 * rhythm::DAY,
        ..GenerateOptions::until(END)
    }
}

fn generated(options: GenerateOptions) -> Vec<Generated> {
    History::new(options).unwrap().collect()
}

fn events(options: GenerateOptions) -> Vec<LicenseEvent> {
    let events = generated(options)
        .into_iter()
        .filter_map(|record| match record {
            Generated::Event(event) => Some(event),
            Generated::Raw(_) => None,
        });
    events.collect()
}

#[test]
fn the_same_seed_gives_the_same_history_and_another_seed_another() {
    let troubled = GenerateOptions {
        shares: Shares {
            late: 0.1,
            duplicate: 0.1,
            voided: 0.05,
            conflicting: 0.05,
            poison: 0.05,
        },
        ..options()
    };
    let first = generated(troubled.clone());
    assert_eq!(first.len(), 20_000);
    assert!(first == generated(troubled.clone()));
    assert!(
        first
            != generated(GenerateOptions {
                seed: 2,
                ..troubled
            })
    );
}

#[test]
fn every_event_keeps_the_limits_and_its_time_and_reads_back_from_json() {
    for event in events(options()) {
        limits::check(&event).unwrap();
        assert!((END - 3 * 365 * rhythm::DAY..END).contains(&event.occurred_at));
        let line = Generated::Event(event.clone()).to_line().unwrap();
        assert_eq!(json::decode(line.as_bytes()).unwrap(), event);
    }
}

#[test]
fn without_trouble_every_id_is_new_and_times_rise() {
    let events = events(options());
    let ids: HashSet<_> = events.iter().map(|event| event.event_id).collect();
    assert_eq!(ids.len(), events.len());
    let rising = events
        .windows(2)
        .filter(|pair| pair[0].occurred_at <= pair[1].occurred_at);
    assert!(rising.count() > events.len() * 9 / 10);
}

#[test]
fn a_long_history_has_every_type_but_voids_and_few_big_customers() {
    let events = events(options());
    let kinds: HashSet<EventKind> = events.iter().map(|event| event.payload.kind()).collect();
    for kind in EventKind::ALL {
        assert_eq!(
            kinds.contains(&kind),
            kind != EventKind::EventVoided,
            "{kind:?}"
        );
    }
    let mut customers: HashMap<&str, usize> = HashMap::new();
    for event in &events {
        if let Payload::LicenseIssued(issued) = &event.payload {
            *customers.entry(&issued.customer_id).or_default() += 1;
        }
    }
    let mut sizes: Vec<usize> = customers.values().copied().collect();
    sizes.sort_unstable();
    assert!(sizes[sizes.len() - 1] > 20, "{sizes:?}");
    assert!(sizes[sizes.len() / 2] <= 2, "{sizes:?}");
    let tenants: HashSet<&str> = events
        .iter()
        .map(|event| event.tenant_id.as_str())
        .collect();
    assert_eq!(tenants.len(), 2);
}

#[test]
fn devices_beat_only_if_they_should() {
    let beats = |heartbeats| {
        let events = events(GenerateOptions {
            heartbeats,
            ..options()
        });
        let beats = events
            .iter()
            .filter(|event| event.payload.kind() == EventKind::DeviceHeartbeat);
        beats.count()
    };
    assert!(beats(true) > 1000);
    assert_eq!(beats(false), 0);
}

#[test]
fn troubles_come_about_as_often_as_asked_for() {
    let records = generated(GenerateOptions {
        shares: Shares {
            late: 0.2,
            duplicate: 0.2,
            voided: 0.05,
            conflicting: 0.05,
            poison: 0.1,
        },
        ..options()
    });
    let (mut seen, mut poison, mut duplicates, mut conflicts, mut voids) =
        (HashMap::new(), 0, 0, 0, 0);
    for record in records {
        let Generated::Event(event) = record else {
            poison += 1;
            continue;
        };
        voids += usize::from(event.payload.kind() == EventKind::EventVoided);
        match seen.get(&event.event_id) {
            Some(content) if *content == event => duplicates += 1,
            Some(_) => conflicts += 1,
            None => {
                seen.insert(event.event_id, event);
            }
        }
    }
    // A late original may come after its copy, and then the copy is the first.
    assert!((1600..2400).contains(&poison), "{poison}");
    assert!((3000..4600).contains(&duplicates), "{duplicates}");
    assert!((700..1500).contains(&conflicts), "{conflicts}");
    assert!((800..1300).contains(&voids), "{voids}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let with = |shares| {
        History::new(GenerateOptions {
            shares,
            ..options()
        })
        .err()
    };
    let share = Shares {
        poison: 0.6,
        duplicate: 0.6,
        ..Shares::default()
    };
    assert_eq!(with(share), Some(InvalidOptions::Shares));
    assert_eq!(
        with(Shares {
            late: f64::NAN,
            ..Shares::default()
        }),
        Some(InvalidOptions::Shares)
    );
    let backwards = GenerateOptions {
        start: END,
        ..options()
    };
    assert_eq!(History::new(backwards).err(), Some(InvalidOptions::Times));
    let nobody = GenerateOptions {
        licenses: 0,
        ..options()
    };
    assert_eq!(History::new(nobody).err(), Some(InvalidOptions::Nobody));
}

#[test]
fn bench_events_are_about_250_bytes_and_each_is_its_own() {
    let count = 20_000;
    let mut ids = HashSet::new();
    let mut bytes = 0;
    for number in 0..count {
        let event = bench_event(number, 5000);
        assert_eq!(event, bench_event(number, 5000));
        limits::check(&event).unwrap();
        bytes += codec::encode(1, &event).len();
        ids.insert(event.event_id);
    }
    assert_eq!(ids.len() as u64, count);
    let mean = bytes as u64 / count;
    assert!((230..=270).contains(&mean), "{mean}");
}
