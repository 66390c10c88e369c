//! What the source hears beside records: the group, the ends of partitions, and errors.

use std::collections::BTreeMap;
use std::time::Instant;

use licenseflow_avro::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::KafkaSource;
use crate::assignment::Change;
use crate::owned::{Owned, asked};
use crate::probe::{Answer, Told};
use crate::proof::{self, Proven};
use crate::range::{out_of_range, reason};
use crate::source::{LanePartition, Polled};
use crate::trouble::Trouble;
use crate::{Error, Result};

impl KafkaSource {
    /// What is not a record: the group, and the ends.
    pub(super) fn turn(&mut self) -> Result<()> {
        self.records_since_turn = 0;
        self.readers.rejoin()?;
        self.hear_the_group()?;
        self.hear_the_probe()?;
        self.ask_for_proofs();
        self.ask_for_ends();
        Ok(())
    }

    /// Puts what the group gave and took into `ready`.
    fn hear_the_group(&mut self) -> Result<()> {
        for change in self.readers.group.context().take_changes() {
            let (Change::Given(names) | Change::Taken(names)) = &change;
            let each = names.iter();
            let partitions: Vec<LanePartition> = each
                .filter_map(|name| Some((self.lane_of(&name.topic)?, name.partition)))
                .collect();
            let news = match change {
                Change::Given(_) => {
                    for partition in &partitions {
                        // Whoever had it meanwhile, the store may stand elsewhere, and the log be another.
                        self.proofs.forget(partition);
                        self.owned.insert(*partition, Owned::default());
                    }
                    Polled::Assigned(partitions)
                }
                Change::Taken(_) => {
                    // The callback has left those of the interactive lane already.
                    self.unassign(&partitions)?;
                    for partition in &partitions {
                        self.owned.remove(partition);
                    }
                    Polled::Revoked(partitions)
                }
            };
            self.ready.push_back(news);
        }
        Ok(())
    }

    fn ask_for_ends(&mut self) {
        if !self.probe.is_free()
            || self.probed.elapsed() < self.ends_interval
            || self.owned.is_empty()
        {
            return;
        }
        self.probed = Instant::now();
        self.range.ask();
        let about = asked(&mut self.owned, self.readers.take_dry());
        self.probe.ask(about);
    }

    fn hear_the_probe(&mut self) -> Result<()> {
        while let Some(told) = self.probe.told() {
            match told {
                Told::Ends(answer) => self.hear_of_ends(answer)?,
                Told::Proofs(answers) => self.hear_of_proofs(answers)?,
            }
        }
        Ok(())
    }

    pub(super) fn ask_for_proofs(&mut self) {
        if let Some(starts) = self.proofs.due(Instant::now()) {
            self.probe.ask_for_proofs(starts);
        }
    }

    /// Reads what is the log that was read, and halts what is another.
    fn hear_of_proofs(&mut self, answers: Option<Vec<Proven>>) -> Result<()> {
        let mut same = Vec::new();
        for answer in self.proofs.hear(answers, Instant::now()) {
            let start = answer.start;
            match answer.stranger {
                None => same.push(start),
                Some(stranger) => {
                    let of = (start.lane, start.partition);
                    let reason = proof::reason(&self.name(of), &start, stranger);
                    self.halt(of, reason);
                }
            }
        }
        self.take_up(&same)
    }

    fn halt(&mut self, of: LanePartition, reason: String) {
        if let Some(owned) = self.owned.get_mut(&of) {
            owned.is_halted = true;
        }
        let (lane, partition) = of;
        self.ready.push_back(Polled::Halted {
            lane,
            partition,
            reason,
        });
    }

    fn hear_of_ends(&mut self, answer: Answer) -> Result<()> {
        // librdkafka does not always tell: what stands still before the log's start is gone all the same.
        let is_gone = answer.spans.iter().any(|(of, span)| {
            let owned = self.owned.get(of);
            owned.is_some_and(|owned| owned.is_gone(*span))
        });
        if self.range.is_answered(answer.is_whole) || is_gone {
            self.halt_out_of_range(&answer)?;
        }
        for passed in answer.passed {
            let Some(owned) = self.owned.get_mut(&passed.of) else {
                continue;
            };
            if owned.reading != passed.reading || owned.next != Some(passed.from) {
                continue;
            }
            owned.next = Some(passed.to);
            let (lane, partition) = passed.of;
            self.ready.push_back(Polled::Passed {
                lane,
                partition,
                next_offset: passed.to,
            });
        }
        if !answer.ends.is_empty() {
            self.ready.push_back(Polled::Ends(answer.ends));
        }
        Ok(())
    }

    /// Halts what is out of range. Where nothing is, the error came of a change of leaders; librdkafka
    /// fetches the partition that erred no more, whichever it is, so all others are taken up anew.
    fn halt_out_of_range(&mut self, answer: &Answer) -> Result<()> {
        // Where each stood when the brokers were asked: what is read goes on meanwhile.
        let each = self.owned.iter();
        let places = each.filter_map(|(of, owned)| Some((*of, owned.stood?)));
        let places: BTreeMap<LanePartition, Offset> = places.collect();
        let bad = out_of_range(&places, &answer.spans);
        let mut again = self.read();
        again.retain(|of| !bad.contains(of));
        // Nor is it known any more that they are the logs that were read: one may have been short, and made anew.
        again.iter().for_each(|of| self.proofs.forget(of));
        self.take_up_anew(again)?;
        for of in bad {
            if let (Some(next), Some(span)) = (places.get(&of), answer.spans.get(&of)) {
                let reason = reason(&self.name(of), *next, *span);
                self.halt(of, reason);
            }
        }
        Ok(())
    }

    fn take_up_anew(&mut self, partitions: Vec<LanePartition>) -> Result<()> {
        self.unassign(&partitions)?;
        self.ready.push_back(Polled::Assigned(partitions));
        Ok(())
    }

    /// The partitions that are read.
    fn read(&self) -> Vec<LanePartition> {
        let each = self.owned.iter();
        each.filter(|(_, owned)| owned.next.is_some())
            .map(|(of, _)| *of)
            .collect()
    }

    /// A name is one member's at a time, and librdkafka calls it fatal where that is another, though it passes:
    ///
    /// | protocol | who has the name | we are told |
    /// |---|---|---|
    /// | the newer | another, such as our own self that was killed a moment ago, until its session is over | unreleased |
    /// | classic | whoever joined last, such as we ourselves after the coordinator was mute for a while | fenced |
    fn fatal(&mut self, error: KafkaError) -> Result<()> {
        let told = self.readers.group.client().fatal_error();
        match told {
            Some((
                RDKafkaErrorCode::UnreleasedInstanceId | RDKafkaErrorCode::FencedInstanceId,
                why,
            )) => {
                tracing::warn!(
                    "another member of the group has this one's name, or had it a moment ago; joining again in a second: {why}"
                );
                let ours: Vec<LanePartition> = self.owned.keys().copied().collect();
                // A client that does nothing more need not be told that these are left.
                let _ = self.unassign(&ours);
                self.owned.clear();
                self.readers.rejoin_later();
                self.ready.push_back(Polled::Revoked(ours));
                Ok(())
            }
            Some(_) | None => Err(Error::Fatal(Box::new(error))),
        }
    }

    pub(super) fn trouble(&mut self, error: KafkaError) -> Result<()> {
        match Trouble::of(&error) {
            Trouble::OutOfRange => {
                self.range.open();
                Ok(())
            }
            // Nothing behind the gap was taken yet: what cannot be read is read again, never passed.
            Trouble::Unreadable => {
                tracing::error!(%error, "a batch of records cannot be read, and is read again; its partition stands still until it can");
                self.take_up_anew(self.read())
            }
            Trouble::TopicAway => {
                tracing::warn!(%error, "a topic is not there; the lanes are read on where they are the logs that were read");
                let read = self.read();
                read.iter().for_each(|of| self.proofs.forget(of));
                self.take_up_anew(read)
            }
            Trouble::Fatal => self.fatal(error),
            Trouble::Passing => {
                tracing::warn!(%error, "the lanes cannot be read now");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::SourceSettings;
    use crate::source::{Source, Start};
    use licenseflow_avro::{Lane, Topics};
    use licenseflow_runtime::log::KafkaSettings;

    const READ: LanePartition = (Lane::Interactive, 0);
    const LEFT: LanePartition = (Lane::Interactive, 1);

    /// A source whose broker is nowhere, with one partition that is read and one that is not.
    fn source() -> KafkaSource {
        let mut source = KafkaSource::start(&SourceSettings {
            kafka: KafkaSettings::new("127.0.0.1:1", "test"),
            topics: Topics::new(""),
            group_instance: None,
            queued_kbytes_max: 1024,
            fetch_bytes_max: 1 << 20,
            ends_interval: Duration::from_secs(60),
        })
        .unwrap();
        let read = Owned {
            next: Some(7),
            stood: Some(7),
            ..Owned::default()
        };
        source.owned = [(READ, read), (LEFT, Owned::default())].into();
        source
    }

    #[test]
    fn a_batch_that_cannot_be_read_is_read_again_from_where_it_stood_and_not_passed() {
        let mut source = source();
        let passed = Polled::Passed {
            lane: READ.0,
            partition: READ.1,
            next_offset: 9,
        };
        source.ready.push_back(passed);
        let error = KafkaError::MessageConsumption(RDKafkaErrorCode::BadMessage);
        source.trouble(error).unwrap();
        assert_eq!(source.ready, [Polled::Assigned(vec![READ])]);
        assert_eq!((source.owned[&READ].next, source.read()), (None, vec![]));
    }

    #[test]
    fn what_is_out_of_range_is_halted_and_all_others_are_taken_up_anew() {
        let mut source = source();
        let other = (Lane::Bulk, 4);
        let owned = source.owned[&READ].clone();
        source.owned.insert(other, owned);
        let span = |start, end| licenseflow_runtime::log::Watermarks { start, end };
        let answer = Answer {
            spans: [(READ, span(0, 9)), (other, span(8, 9))].into(),
            is_whole: true,
            ..Answer::default()
        };
        source.halt_out_of_range(&answer).unwrap();
        assert_eq!(source.ready.pop_front(), Some(Polled::Assigned(vec![READ])));
        assert!(
            matches!(&source.ready[0], Polled::Halted { lane: Lane::Bulk, partition: 4, reason } if reason.contains("licenseflow replay")),
            "{:?}",
            source.ready
        );
        // It is not asked about any more, so that nobody takes it for caught up.
        let about = asked(&mut source.owned, |_| true);
        assert!(about.iter().all(|one| one.of != other) && about.len() == 2);
        // Nor is it read, whoever asks for it.
        let start = Start {
            last_timestamp: None,
            lane: other.0,
            partition: other.1,
            next_offset: 7,
        };
        source.release(&[other]).unwrap();
        source.restart(&[start]).unwrap();
        assert_eq!(source.read(), []);
    }
}
