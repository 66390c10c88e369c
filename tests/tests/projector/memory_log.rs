//! A log in memory, a group whose members share its partitions, and a source over both that does
//! what Kafka may do: redeliver, pass markers, give and take partitions, and not tell a zombie.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use licenseflow_avro::record::Header;
use licenseflow_avro::{Coordinates, Lane, Offset, Position, RawRecord, Topics, headers};
use licenseflow_kafka::{LanePartition, Lanes, PartitionEnd, Polled, Result, Retry, Source, Start};

use crate::events::{self, LOG_TIME_MS};
use licenseflow_tests::chance::Chance;

/// One offset: a record, or what never comes out of a consumer.
pub(crate) type Slot = Option<RawRecord>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    pub(crate) partitions: BTreeMap<LanePartition, Vec<Slot>>,
}

impl Log {
    /// Both lanes with that many partitions and slots in each, some of them markers, the last often.
    pub(crate) fn filled(chance: &mut Chance, partitions: i32, slots: usize) -> Log {
        let mut log = Log::default();
        for lane in Lane::ALL {
            for partition in 0..partitions {
                log.partitions.insert((lane, partition), Vec::new());
                let slots = chance.below(slots as u64 + 1) as usize;
                for slot in 0..slots {
                    let is_marker = chance.once_in(12) || (slot + 1 == slots && chance.once_in(2));
                    if is_marker {
                        log.marker((lane, partition));
                    } else {
                        let (key, value) = events::value(chance);
                        log.append((lane, partition), key, value);
                    }
                }
            }
        }
        log
    }

    pub(crate) fn marker(&mut self, of: LanePartition) {
        self.partitions.entry(of).or_default().push(None);
    }

    pub(crate) fn append(
        &mut self,
        of: LanePartition,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) {
        let slots = self.partitions.entry(of).or_default();
        let offset = slots.len() as Offset;
        let at = Coordinates {
            timestamp: LOG_TIME_MS + offset,
            lane: of.0,
            partition: of.1,
            offset,
        };
        slots.push(Some(RawRecord {
            at,
            key,
            value,
            headers: vec![],
        }));
    }

    /// As Kafka's lane takes a record that is tried again.
    pub(crate) fn publish_again(&mut self, retry: &Retry) {
        let Retry {
            record, attempt, ..
        } = retry;
        let at = record.at;
        self.append(
            (at.lane, at.partition),
            record.key.clone(),
            record.value.clone(),
        );
        let slots = self.partitions.get_mut(&(at.lane, at.partition));
        let published = slots.and_then(|slots| slots.last_mut()?.as_mut());
        let header = |name: &str, value: String| Header {
            name: name.to_owned(),
            value: Some(value.into_bytes()),
        };
        published.unwrap().headers = vec![
            header(headers::ORIGINAL_TOPIC, Topics::new("").lane(at.lane)),
            header(headers::ORIGINAL_PARTITION, at.partition.to_string()),
            header(headers::ORIGINAL_OFFSET, at.offset.to_string()),
            header(headers::ATTEMPT, attempt.to_string()),
        ];
    }

    pub(crate) fn records(&self) -> Vec<RawRecord> {
        self.partitions
            .values()
            .flatten()
            .flatten()
            .cloned()
            .collect()
    }

    pub(crate) fn end(&self) -> Position {
        let each = self.partitions.iter();
        each.map(|((lane, partition), slots)| (*lane, *partition, slots.len() as Offset))
            .collect()
    }
}

/// Who owns what; members learn it when they poll.
#[derive(Debug, Default)]
pub(crate) struct Group {
    owners: BTreeMap<LanePartition, usize>,
    members: BTreeSet<usize>,
    joined: usize,
}

impl Group {
    fn join(&mut self, partitions: impl Iterator<Item = LanePartition>) -> usize {
        self.joined += 1;
        let me = self.joined;
        self.members.insert(me);
        for (number, of) in partitions.enumerate() {
            let is_mine = self.members.len() == 1 || number % self.members.len() == 0;
            if is_mine || !self.owners.contains_key(&of) {
                self.owners.insert(of, me);
            }
        }
        me
    }

    fn leave(&mut self, me: usize) {
        self.members.remove(&me);
        let heir = self.members.first().copied();
        self.owners
            .retain(|_, owner| *owner != me || heir.is_some());
        for owner in self.owners.values_mut().filter(|owner| **owner == me) {
            *owner = heir.unwrap_or(me);
        }
    }

    fn move_one(&mut self, chance: &mut Chance) {
        let partitions: Vec<LanePartition> = self.owners.keys().copied().collect();
        let members: Vec<usize> = self.members.iter().copied().collect();
        if !partitions.is_empty() {
            self.owners
                .insert(*chance.pick(&partitions), *chance.pick(&members));
        }
    }
}

/// How wild a source is: each thing happens once in so many polls, 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wildness {
    pub(crate) redeliver: u64,
    pub(crate) move_partition: u64,
    /// How many polls a member goes on without hearing of the group.
    pub(crate) deaf_for: u64,
}

/// What all members share.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) log: Arc<Mutex<Log>>,
    pub(crate) group: Arc<Mutex<Group>>,
}

impl World {
    pub(crate) fn of(log: Log) -> World {
        World {
            log: Arc::new(Mutex::new(log)),
            group: Arc::default(),
        }
    }

    pub(crate) fn source(&self, chance: Chance, wildness: Wildness) -> MemorySource {
        let partitions: Vec<LanePartition> = self
            .log
            .lock()
            .unwrap()
            .partitions
            .keys()
            .copied()
            .collect();
        let me = self.group.lock().unwrap().join(partitions.into_iter());
        MemorySource {
            world: self.clone(),
            me,
            chance,
            wildness,
            view: BTreeSet::new(),
            reading: BTreeMap::new(),
            deaf: 0,
            polls: Arc::default(),
            released: Arc::default(),
        }
    }
}

pub(crate) struct MemorySource {
    world: World,
    me: usize,
    chance: Chance,
    wildness: Wildness,
    view: BTreeSet<LanePartition>,
    reading: BTreeMap<LanePartition, Offset>,
    deaf: u64,
    /// How often it was asked.
    pub(crate) polls: Arc<AtomicU64>,
    /// How often partitions were left.
    pub(crate) released: Arc<Mutex<usize>>,
}

impl MemorySource {
    fn hear_the_group(&mut self) -> Option<Polled> {
        if self.wildness.move_partition > 0 && self.chance.once_in(self.wildness.move_partition) {
            self.world.group.lock().unwrap().move_one(&mut self.chance);
            self.deaf = self.chance.below(self.wildness.deaf_for + 1);
        }
        if self.deaf > 0 {
            self.deaf -= 1;
            return None;
        }
        let group = self.world.group.lock().unwrap();
        let mine: BTreeSet<LanePartition> = group
            .owners
            .iter()
            .filter(|(_, owner)| **owner == self.me)
            .map(|(of, _)| *of)
            .collect();
        drop(group);
        let gone: Vec<LanePartition> = self.view.difference(&mine).copied().collect();
        let new: Vec<LanePartition> = mine.difference(&self.view).copied().collect();
        if !gone.is_empty() {
            for of in &gone {
                self.view.remove(of);
                self.reading.remove(of);
            }
            return Some(Polled::Revoked(gone));
        }
        if !new.is_empty() {
            self.view.extend(&new);
            return Some(Polled::Assigned(new));
        }
        None
    }

    fn next_of(&mut self, of: LanePartition) -> Option<Polled> {
        let next = *self.reading.get(&of)?;
        let log = self.world.log.lock().unwrap();
        let slots = &log.partitions[&of];
        if self.wildness.redeliver > 0 && next > 0 && self.chance.once_in(self.wildness.redeliver) {
            let earlier = self.chance.below(next as u64) as usize;
            return slots[earlier].clone().map(Polled::Record);
        }
        let found = slots
            .iter()
            .enumerate()
            .skip(next as usize)
            .find_map(|(offset, slot)| Some((offset, slot.clone()?)));
        if let Some((offset, record)) = found {
            self.reading.insert(of, offset as Offset + 1);
            return Some(Polled::Record(record));
        }
        let end = slots.len() as Offset;
        if next < end {
            self.reading.insert(of, end);
            return Some(Polled::Passed {
                lane: of.0,
                partition: of.1,
                next_offset: end,
            });
        }
        None
    }

    fn ends(&self) -> Polled {
        let log = self.world.log.lock().unwrap();
        let ends = self.view.iter().map(|of| PartitionEnd {
            lane: of.0,
            partition: of.1,
            end_offset: log.partitions[of].len() as Offset,
            asked: Instant::now(),
        });
        Polled::Ends(ends.collect())
    }
}

impl Source for MemorySource {
    fn poll(&mut self, lanes: Lanes, timeout: Duration) -> Result<Polled> {
        let polls = self.polls.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(change) = self.hear_the_group() {
            return Ok(change);
        }
        if polls.is_multiple_of(64) {
            return Ok(self.ends());
        }
        let lanes: &[Lane] = match lanes {
            Lanes::Interactive => &[Lane::Interactive],
            Lanes::InteractiveFirst => &[Lane::Interactive, Lane::Bulk],
            Lanes::BulkFirst => &[Lane::Bulk, Lane::Interactive],
        };
        for lane in lanes {
            let each = self.reading.keys().copied();
            let mut read: Vec<LanePartition> = each.filter(|of| of.0 == *lane).collect();
            while !read.is_empty() {
                let of = read.swap_remove(self.chance.below(read.len() as u64) as usize);
                if let Some(polled) = self.next_of(of) {
                    return Ok(polled);
                }
            }
        }
        std::thread::sleep(timeout.min(Duration::from_millis(1)));
        Ok(Polled::Idle)
    }

    fn restart(&mut self, starts: &[Start]) -> Result<()> {
        for start in starts
            .iter()
            .filter(|start| self.view.contains(&(start.lane, start.partition)))
        {
            self.reading
                .insert((start.lane, start.partition), start.next_offset);
        }
        Ok(())
    }

    fn release(&mut self, partitions: &[LanePartition]) -> Result<()> {
        *self.released.lock().unwrap() += 1;
        self.reading.retain(|of, _| !partitions.contains(of));
        Ok(())
    }

    fn applied(&mut self, _position: &Position) {}
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        self.world.group.lock().unwrap().leave(self.me);
    }
}
