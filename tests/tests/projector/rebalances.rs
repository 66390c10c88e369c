//! What a group does to its members, by either protocol: what moves stops, and nothing else.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use licenseflow_kafka::{
    KafkaSource, LanePartition, Lanes, Polled, Source as _, SourceSettings, Start,
};
use licenseflow_runtime::log::GroupProtocol;
use licenseflow_tests::harness::wait_until;

use crate::ground::{DEADLINE, Ground, PARTITIONS};

const BOTH: [GroupProtocol; 2] = [GroupProtocol::Classic, GroupProtocol::Consumer];

/// The partitions of both lanes.
const ALL: usize = 2 * PARTITIONS as usize;

/// What the group said to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Given(Vec<LanePartition>),
    Taken(Vec<LanePartition>),
}

/// A member of the group that reads what it is given, until it is dropped.
struct Member {
    told: Arc<Mutex<Vec<Told>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    fn begin(ground: &Ground, protocol: GroupProtocol, name: Option<&str>) -> Member {
        let mut kafka = ground.settings.clone();
        kafka.group_protocol = protocol;
        let settings = SourceSettings {
            kafka,
            topics: ground.topics.clone(),
            group_instance: name.map(str::to_owned),
            queued_kbytes_max: 8 * 1024,
            fetch_bytes_max: 8 << 20,
            ends_interval: Duration::from_millis(100),
        };
        let (told, is_over) = (Arc::default(), Arc::default());
        let (telling, ending) = (Arc::clone(&told), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || reads(&settings, &telling, &ending));
        Member {
            told,
            is_over,
            thread: Some(thread),
        }
    }

    fn told(&self) -> Vec<Told> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clone()
    }

    /// What it was given and was not taken from it.
    fn owns(&self) -> BTreeSet<LanePartition> {
        let mut owned = BTreeSet::new();
        for told in self.told() {
            match told {
                Told::Given(partitions) => {
                    for of in partitions {
                        assert!(owned.insert(of), "{of:?} was given twice");
                    }
                }
                Told::Taken(partitions) => {
                    for of in partitions {
                        assert!(owned.remove(&of), "{of:?} was taken, and never given");
                    }
                }
            }
        }
        owned
    }

    /// Everything that was ever taken from it.
    fn lost(&self) -> BTreeSet<LanePartition> {
        let each = self.told().into_iter().filter_map(|told| match told {
            Told::Taken(partitions) => Some(partitions),
            Told::Given(_) => None,
        });
        each.flatten().collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

fn reads(settings: &SourceSettings, told: &Mutex<Vec<Told>>, is_over: &AtomicBool) {
    let mut source = KafkaSource::start(settings).unwrap();
    while !is_over.load(Ordering::Acquire) {
        let news = match source
            .poll(Lanes::InteractiveFirst, Duration::from_millis(20))
            .unwrap()
        {
            Polled::Assigned(partitions) => {
                let starts = partitions.iter().map(|(lane, partition)| Start {
                    lane: *lane,
                    partition: *partition,
                    next_offset: 0,
                    last_timestamp: None,
                });
                source.restart(&starts.collect::<Vec<_>>()).unwrap();
                Told::Given(partitions)
            }
            Polled::Revoked(partitions) => Told::Taken(partitions),
            Polled::Halted { reason, .. } => panic!("{reason}"),
            Polled::Record(_) | Polled::Passed { .. } | Polled::Ends(_) | Polled::Idle => continue,
        };
        told.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(news);
    }
}

fn wait_for(what: &str, members: &[&Member], condition: impl Fn() -> bool) {
    let told = || members.iter().map(|it| it.told()).collect::<Vec<_>>();
    let waited = wait_until(what, DEADLINE, condition);
    waited.unwrap_or_else(|error| panic!("{error}: {:?}", told()));
}

fn share_out(one: &Member, other: &Member) {
    wait_for("both have their share", &[one, other], || {
        let (of_one, of_other) = (one.owns(), other.owns());
        of_one.len() == ALL / 2 && of_other.len() == ALL / 2 && of_one.is_disjoint(&of_other)
    });
}

#[test]
fn a_member_that_comes_or_goes_stops_nothing_but_what_moves() {
    for protocol in BOTH {
        let ground = Ground::new();
        let one = Member::begin(&ground, protocol, None);
        wait_for("it has all", &[&one], || one.owns().len() == ALL);
        let other = Member::begin(&ground, protocol, None);
        share_out(&one, &other);
        assert_eq!(one.lost(), other.owns(), "{protocol:?}");
        assert_eq!(other.lost(), BTreeSet::new(), "{protocol:?}");
        let lost = one.lost();
        drop(other);
        wait_for("it has all again", &[&one], || one.owns().len() == ALL);
        assert_eq!(one.lost(), lost, "{protocol:?}");
    }
}

#[test]
fn a_member_with_a_name_comes_back_to_what_it_had_and_the_others_do_not_notice() {
    for protocol in BOTH {
        let ground = Ground::new();
        let one = Member::begin(&ground, protocol, Some("one"));
        let other = Member::begin(&ground, protocol, Some("other"));
        share_out(&one, &other);
        let (told, had) = (one.told(), other.owns());
        drop(other);
        let other = Member::begin(&ground, protocol, Some("other"));
        wait_for("it has what it had", &[&one, &other], || {
            other.owns() == had
        });
        assert_eq!(one.told(), told, "{protocol:?}");
    }
}

#[test]
fn a_name_that_another_still_has_is_waited_for_by_the_newer_protocol() {
    let ground = Ground::new();
    let one = Member::begin(&ground, GroupProtocol::Consumer, Some("one"));
    wait_for("it has all", &[&one], || one.owns().len() == ALL);
    let told = one.told();
    let again = Member::begin(&ground, GroupProtocol::Consumer, Some("one"));
    wait_for("it was turned away", &[&again], || {
        again.told().contains(&Told::Taken(Vec::new()))
    });
    assert_eq!(one.told(), told, "whoever was first goes on");
    drop(one);
    wait_for("it has the other's place", &[&again], || {
        again.owns().len() == ALL
    });
}

#[test]
fn a_member_whose_name_another_took_joins_again_and_has_its_place_once_that_is_gone() {
    let ground = Ground::new();
    let one = Member::begin(&ground, GroupProtocol::Classic, Some("one"));
    wait_for("it has all", &[&one], || one.owns().len() == ALL);
    let again = Member::begin(&ground, GroupProtocol::Classic, Some("one"));
    wait_for("its place was taken", &[&one, &again], || {
        one.lost().len() == ALL
    });
    drop(again);
    wait_for("it has its place again", &[&one], || {
        one.owns().len() == ALL
    });
}
