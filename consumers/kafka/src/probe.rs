//! Asks the brokers where partitions end, on a thread of its own, finds out where nothing but
//! transaction markers and aborted records is left, and whether a partition is the log that was read.
//!
//! A consumer's place does not pass a trailing marker, and its word for an empty fetch names neither
//! topic nor offset. So a span that stays quiet is read by a reader of its own: what comes out of
//! `[next, end)` there is all that can ever come out of it, because offsets are written once. Nothing
//! here depends on the order of librdkafka's queues, or on what it fetched before.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use licenseflow_avro::{Offset, Topics};
use licenseflow_runtime::log::{Admin, KafkaSettings, Reader, Step, TopicPartition, Watermarks};

use crate::empty_spans::{EmptySpans, Passed};
use crate::proof::{Proven, Stranger};
use crate::source::{LanePartition, PartitionEnd, Start};
use crate::{Error, Result};

/// The bound of each question to the brokers.
const PATIENCE: Duration = Duration::from_secs(5);

/// A partition that is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) of: LanePartition,
    /// Where it is read, and which reading that is; none while it is not read.
    pub(crate) reading: Option<(Offset, u64)>,
    /// Whether it stood still since the last question.
    pub(crate) is_quiet: bool,
}

/// What the brokers said.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) ends: Vec<PartitionEnd>,
    pub(crate) spans: BTreeMap<LanePartition, Watermarks>,
    pub(crate) passed: Vec<Passed>,
    /// False where the brokers did not answer.
    pub(crate) is_whole: bool,
}

enum Question {
    Ends(Vec<Asked>),
    Proofs(Vec<Start>),
}

/// An answer to a question.
#[derive(Debug)]
pub(crate) enum Told {
    Ends(Answer),
    /// None where the brokers did not answer.
    Proofs(Option<Vec<Proven>>),
}

/// The asking side. Dropping it ends the thread after the question at hand.
pub(crate) struct Probe {
    questions: Sender<Question>,
    answers: Receiver<Told>,
    is_asked: bool,
}

impl Probe {
    pub(crate) fn start(settings: &KafkaSettings, topics: &Topics) -> Result<Probe> {
        let (questions, asked) = channel();
        let (told, answers) = channel();
        let mut prober = Prober {
            admin: Admin::new(settings, PATIENCE)?,
            settings: settings.clone(),
            topics: topics.clone(),
            empty: EmptySpans::default(),
        };
        thread::Builder::new()
            .name("ends".to_owned())
            .spawn(move || prober.run(&asked, &told))
            .map_err(Error::Thread)?;
        Ok(Probe {
            questions,
            answers,
            is_asked: false,
        })
    }

    /// Whether no question about ends is open.
    pub(crate) fn is_free(&self) -> bool {
        !self.is_asked
    }

    pub(crate) fn ask(&mut self, about: Vec<Asked>) {
        // The thread ends only with us; were it gone, ends would no longer be told, and that shows.
        self.is_asked = self.questions.send(Question::Ends(about)).is_ok();
    }

    /// Asks whether these partitions are the logs that were read.
    pub(crate) fn ask_for_proofs(&mut self, starts: Vec<Start>) {
        // Were the thread gone, what waits for its word would never be read, and that shows too.
        let _ = self.questions.send(Question::Proofs(starts));
    }

    pub(crate) fn told(&mut self) -> Option<Told> {
        match self.answers.try_recv() {
            Ok(told) => {
                if matches!(told, Told::Ends(_)) {
                    self.is_asked = false;
                }
                Some(told)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }
}

struct Prober {
    admin: Admin,
    settings: KafkaSettings,
    topics: Topics,
    empty: EmptySpans,
}

impl Prober {
    fn run(&mut self, questions: &Receiver<Question>, answers: &Sender<Told>) {
        while let Ok(question) = questions.recv() {
            let told = match question {
                Question::Ends(about) => Told::Ends(self.answer(&about).unwrap_or_else(|error| {
                    tracing::debug!(%error, "the ends of partitions were not told");
                    Answer::default()
                })),
                Question::Proofs(starts) => {
                    let proofs = self.proofs(&starts);
                    Told::Proofs(proofs.inspect_err(not_told).ok())
                }
            };
            if answers.send(told).is_err() {
                return;
            }
        }
    }

    /// Which of these partitions have a record before the place that is later than all that was applied.
    fn proofs(&self, starts: &[Start]) -> Result<Vec<Proven>> {
        let later = starts.iter().filter_map(|start| {
            let after = start.last_timestamp?.saturating_add(1);
            Some((self.name((start.lane, start.partition)), after))
        });
        let first_later = self.admin.first_from(&later.collect())?;
        let each = starts.iter().map(|start| {
            let name = self.name((start.lane, start.partition));
            let first = first_later.get(&name).copied();
            let stranger = match first.filter(|first| *first < start.next_offset) {
                Some(first) => self.stranger(&name, first, start)?,
                None => None,
            };
            Ok(Proven {
                start: *start,
                stranger,
            })
        });
        each.collect()
    }

    /// The first record from there on and before the place that is later than all that was applied. The brokers'
    /// word alone does not do: they count transaction markers and aborted records, which are never applied.
    fn stranger(
        &self,
        name: &TopicPartition,
        from: Offset,
        start: &Start,
    ) -> Result<Option<Stranger>> {
        let ends = self.admin.watermarks(std::slice::from_ref(name))?;
        let end = ends.get(name).map_or(from, |span| span.end);
        let span = (from, start.next_offset.min(end));
        let mut reader = Reader::between(&self.settings, &[(name.clone(), span)].into(), PATIENCE)?;
        loop {
            match reader.step(PATIENCE)? {
                Step::Record(record) => {
                    let later = record
                        .timestamp_ms
                        .filter(|it| Some(*it) > start.last_timestamp);
                    if let Some(timestamp) = later {
                        let offset = record.offset;
                        return Ok(Some(Stranger { offset, timestamp }));
                    }
                }
                Step::Waiting => {}
                Step::Done => return Ok(None),
            }
        }
    }

    fn answer(&mut self, about: &[Asked]) -> Result<Answer> {
        let asked = Instant::now();
        let partitions: Vec<TopicPartition> = about.iter().map(|one| self.name(one.of)).collect();
        let watermarks = self.admin.watermarks(&partitions)?;
        let mut answer = Answer {
            is_whole: true,
            ..Answer::default()
        };
        let mut quiet = BTreeMap::new();
        for (one, name) in about.iter().zip(partitions) {
            let Some(span) = watermarks.get(&name) else {
                continue;
            };
            answer.spans.insert(one.of, *span);
            answer.ends.push(PartitionEnd {
                lane: one.of.0,
                partition: one.of.1,
                end_offset: span.end,
                asked,
            });
            if let Some((next, reading)) = one
                .reading
                .filter(|(next, _)| one.is_quiet && *next < span.end)
            {
                let passed = Passed {
                    of: one.of,
                    reading,
                    from: next,
                    to: span.end,
                };
                quiet.insert(name, passed);
            }
        }
        answer.passed = self.passed(quiet, asked)?;
        Ok(answer)
    }

    /// Those spans that were found empty often enough.
    fn passed(
        &mut self,
        mut quiet: BTreeMap<TopicPartition, Passed>,
        asked: Instant,
    ) -> Result<Vec<Passed>> {
        self.empty.keep(quiet.values());
        quiet.retain(|_, span| self.empty.is_due(span, asked));
        let read: Vec<LanePartition> = quiet.values().map(|span| span.of).collect();
        let begun = Instant::now();
        let found = self.without_records(quiet)?;
        let over = Instant::now();
        for of in read {
            if !found.iter().any(|span| span.of == of) {
                self.empty.forget(&of);
            }
        }
        let each = found.into_iter();
        Ok(each
            .filter(|span| self.empty.is_empty_again(*span, begun, over))
            .collect())
    }

    /// Those spans in which there is no record. One in which there is only waits for the consumer.
    fn without_records(&self, mut spans: BTreeMap<TopicPartition, Passed>) -> Result<Vec<Passed>> {
        while !spans.is_empty() {
            let wanted = spans
                .iter()
                .map(|(name, span)| (name.clone(), (span.from, span.to)));
            let mut reader = Reader::between(&self.settings, &wanted.collect(), PATIENCE)?;
            match first_record(&mut reader)? {
                Some(found) => spans.remove(&found),
                None => return Ok(spans.into_values().collect()),
            };
        }
        Ok(Vec::new())
    }

    fn name(&self, (lane, partition): LanePartition) -> TopicPartition {
        TopicPartition::new(self.topics.lane(lane), partition)
    }
}

fn not_told(error: &Error) {
    tracing::warn!(%error, "whether partitions are the logs that were read was not told; they wait");
}

/// The partition of the first record that comes, or none where all is read and none came.
fn first_record(reader: &mut Reader) -> Result<Option<TopicPartition>> {
    loop {
        match reader.step(PATIENCE)? {
            Step::Record(record) => {
                return Ok(Some(TopicPartition::new(&*record.topic, record.partition)));
            }
            Step::Waiting => {}
            Step::Done => return Ok(None),
        }
    }
}
