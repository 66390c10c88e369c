//! What the polling thread does about the store's answers: take partitions up, or start over.

use std::time::Instant;

use licenseflow_avro::judgement::Schemas;
use licenseflow_avro::reason::Fault;
use licenseflow_core::Fate;
use licenseflow_kafka::{Source, Start};
use licenseflow_store::{Kind, PartitionState};

use super::Pump;
use crate::fate::of_failure;
use crate::narrowing::Next;
use crate::store_thread::Told;
use crate::{Error, Result, metrics};

impl<S: Source, J: Schemas> Pump<S, J> {
    pub(super) fn hear_the_store(&mut self) -> Result<()> {
        while let Some(told) = self.store.heard()? {
            self.hear(told)?;
        }
        Ok(())
    }

    pub(super) fn hear(&mut self, told: Told) -> Result<()> {
        match told {
            Told::Applied(applied) => {
                self.waiting.failures = 0;
                let now = Instant::now();
                let records_max = self.settings.batch_records_max;
                self.narrowing.takes(&applied.position, records_max);
                self.room.counted(applied.waiting, self.growing.waiting());
                metrics::retries_waiting(applied.waiting);
                self.lag.applied(&applied.position, now);
                self.backlog.is_written();
                self.yielding.applied(now);
                self.source.applied(&applied.position);
                Ok(())
            }
            Told::Positions(states) => {
                self.waiting.trouble = None;
                self.restart(&states)
            }
            Told::Noted => Ok(()),
            Told::Failed(error) => match of_failure(&error) {
                Fate::Halt(_) => Err(Error::Store(error)),
                Fate::Hold(why) => self.start_over(error.kind(), why),
                Fate::Reject(fault) => self.narrow(error, fault),
                // A failure is none of these; starting over would be right for them all the same.
                Fate::Apply | Fate::Duplicate | Fate::Retry(_) => {
                    self.start_over(error.kind(), error.to_string())
                }
            },
            Told::Broken(error) => Err(Error::Store(error)),
        }
    }

    fn restart(&mut self, states: &[PartitionState]) -> Result<()> {
        // What the growing batch deals with was not written when the store was asked: taken up now, its
        // records would be taken twice.
        let wanted = self.partitions.take_wanted().into_iter();
        let (at_hand, wanted): (Vec<_>, Vec<_>) =
            wanted.partition(|of| self.growing.deals_with(of));
        self.partitions.want_again(at_hand);
        let starts: Vec<Start> = wanted
            .into_iter()
            .map(|(lane, partition)| {
                let mut each = states.iter();
                let known = each.find(|one| (one.lane, one.partition) == (lane, partition));
                let next_offset = known.map_or(0, |one| one.next_offset);
                Start {
                    lane,
                    partition,
                    next_offset,
                    last_timestamp: known.and_then(|one| one.last_timestamp),
                }
            })
            .collect();
        let now = Instant::now();
        for start in &starts {
            self.lag.begin(start, now);
            self.growing
                .begin((start.lane, start.partition), start.next_offset);
        }
        Ok(self.source.restart(&starts)?)
    }

    /// A row of the batch is at fault: it is looked for.
    fn narrow(&mut self, error: licenseflow_store::Error, fault: Fault) -> Result<()> {
        let tried = self.store.tried();
        let (kind, why) = (error.kind(), error.to_string());
        match self.narrowing.refuses(tried, fault) {
            Next::Again => self.start_over(kind, why),
            Next::Leave(of) => {
                self.halt(
                    of,
                    format!("the store takes none of its next record: {why}"),
                )?;
                self.start_over(kind, why)
            }
            Next::End => Err(Error::Store(error)),
        }
    }

    /// The one way back: everything that was fetched is dropped, and read again from the store's
    /// position after a wait. A first lost compare-and-set needs none.
    fn start_over(&mut self, kind: Kind, why: String) -> Result<()> {
        let wait = self.waiting.fail(kind, self.settings.backoff, &why);
        tracing::warn!(
            ?wait,
            "reading starts over from the store's position: {why}"
        );
        self.growing.start_over();
        self.partitions.start_over();
        self.lag.start_over();
        self.backlog.is_written();
        self.yielding.start_over();
        self.pause(false);
        Ok(self.source.release(&self.partitions.owned())?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use licenseflow_avro::codec::Plan;
    use licenseflow_avro::judgement::SchemasAway;
    use licenseflow_avro::{Lane, Position};
    use licenseflow_kafka::{LanePartition, Lanes, Polled};

    use super::*;
    use crate::backlog::Backlog;
    use crate::ends::Ends;
    use crate::growing::Growing;
    use crate::lag::Lag;
    use crate::narrowing::Narrowing;
    use crate::partitions::Partitions;
    use crate::retrying::Room;
    use crate::status::Board;
    use crate::store_line::StoreLine;
    use crate::suspicion::Suspicion;
    use crate::waiting::Waiting;
    use crate::yielding::{InUse, Yielding};
    use crate::{Settings, wall_clock};

    const DEALT_WITH: LanePartition = (Lane::Bulk, 0);
    const OTHER: LanePartition = (Lane::Bulk, 1);

    /// Notes what it is to read.
    #[derive(Default)]
    struct Noted(Arc<Mutex<Vec<Start>>>);

    impl Source for Noted {
        fn poll(&mut self, _lanes: Lanes, _timeout: Duration) -> licenseflow_kafka::Result<Polled> {
            Ok(Polled::Idle)
        }

        fn restart(&mut self, starts: &[Start]) -> licenseflow_kafka::Result<()> {
            self.0.lock().unwrap().extend(starts);
            Ok(())
        }

        fn release(&mut self, _partitions: &[LanePartition]) -> licenseflow_kafka::Result<()> {
            Ok(())
        }

        fn applied(&mut self, _position: &Position) {}
    }

    struct NoSchemas;

    impl Schemas for NoSchemas {
        fn plan(&self, _id: u32) -> std::result::Result<Option<Arc<Plan>>, SchemasAway> {
            Ok(None)
        }
    }

    fn stands(of: LanePartition, next_offset: i64) -> PartitionState {
        PartitionState {
            lane: of.0,
            partition: of.1,
            next_offset,
            last_timestamp: None,
        }
    }

    fn start(of: LanePartition, next_offset: i64) -> Start {
        Start {
            lane: of.0,
            partition: of.1,
            next_offset,
            last_timestamp: None,
        }
    }

    #[test]
    fn what_the_growing_batch_deals_with_is_taken_up_only_once_that_is_written() {
        let source = Noted::default();
        let started = Arc::clone(&source.0);
        let settings = Settings::default();
        let ((tasks, _to_do), (_told, answers)) = (channel(), channel());
        let mut pump = Pump {
            source,
            schemas: NoSchemas,
            store: StoreLine::new(tasks, answers),
            clock: wall_clock(),
            board: Board::new(),
            gauges: crate::metrics::Gauges::of(0),
            growing: Growing::default(),
            partitions: Partitions::default(),
            lag: Lag::new(Instant::now()),
            suspicion: Suspicion::new(settings.suspects_max),
            room: Room::new(settings.retries, settings.backoff),
            narrowing: Narrowing::default(),
            ends: Ends::new(settings.ends_interval),
            waiting: Waiting::new(&settings),
            backlog: Backlog::new(settings.waiting, settings.alerts),
            yielding: Yielding::new(settings.yields, InUse::new(Instant::now())),
            settings,
        };
        // Three offsets are at hand when the partition is taken away and given back.
        pump.growing.begin(DEALT_WITH, 5);
        pump.growing.pass(DEALT_WITH, 8);
        pump.growing.leave(&DEALT_WITH);
        pump.partitions.gain(DEALT_WITH);
        pump.partitions.gain(OTHER);
        let states = [stands(DEALT_WITH, 5), stands(OTHER, 2)];
        pump.restart(&states).unwrap();
        assert_eq!(*started.lock().unwrap(), [start(OTHER, 2)]);
        assert_eq!(pump.partitions.wanted(Instant::now()), &[DEALT_WITH].into());
        pump.growing.hand_over();
        pump.restart(&[stands(DEALT_WITH, 8)]).unwrap();
        assert_eq!(started.lock().unwrap()[1..], [start(DEALT_WITH, 8)]);
    }
}
