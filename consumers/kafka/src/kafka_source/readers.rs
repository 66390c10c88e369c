//! The two readers behind the source: the group's member fetches the interactive lane, and a client
//! beside it the bulk lane.
//!
//! One client would not do: librdkafka puts all that it fetches into one queue of bounded size, and
//! has one fetch on its way to a broker at a time. A backlog of the bulk lane would fill both, and an
//! interactive record would stand behind megabytes of it. The second reader is in no group: it reads
//! what the member was given, so that a rebalance is heard in one place.

use std::time::{Duration, Instant};

use licenseflow_avro::Lane;
use licenseflow_runtime::log::{ConsumerSettings, GroupProtocol, KafkaSettings, PartitionEof};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::{KafkaSource, Membership, SourceSettings};
use crate::assignment::Assignment;
use crate::owned::due;
use crate::source::{Lanes, Polled};
use crate::{Error, Result};

/// How long the interactive lane is waited for before the bulk lane is looked at again.
const GLANCE: Duration = Duration::from_millis(10);

/// So many records of the bulk lane are taken between two looks at the interactive one.
const BULK_IN_A_ROW: u32 = 32;

/// The largest batch that a lane takes must fit into a fetch.
const FETCH_BYTES_MIN: u32 = 2 << 20;

/// What a poll of librdkafka gave, free of its memory.
pub(super) enum Got {
    Nothing,
    Record(Polled),
    Trouble(KafkaError),
}

/// Partitions by who fetches them.
#[derive(Default)]
pub(super) struct Lists {
    interactive: TopicPartitionList,
    bulk: TopicPartitionList,
}

impl Lists {
    pub(super) fn of(&mut self, lane: Lane) -> &mut TopicPartitionList {
        match lane {
            Lane::Interactive => &mut self.interactive,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

/// How long the group is left alone by a member that could not join it.
const REJOIN: Duration = Duration::from_secs(1);

fn client(kafka: &KafkaSettings, settings: &ConsumerSettings) -> Result<BaseConsumer<Assignment>> {
    let config = kafka.consumer_config(settings)?;
    let client = config.create_with_context(Assignment::default());
    client.map_err(|error| Error::from(licenseflow_runtime::log::Error::client(error)))
}

fn member(
    kafka: &KafkaSettings,
    settings: &ConsumerSettings,
    lanes: &[String; 2],
) -> Result<BaseConsumer<Assignment>> {
    let group = client(kafka, settings)?;
    group
        .subscribe(&lanes.each_ref().map(String::as_str))
        .map_err(Error::refused("subscribe to the lanes"))?;
    Ok(group)
}

/// Both clients.
pub(super) struct Readers {
    pub(super) group: BaseConsumer<Assignment>,
    bulk: BaseConsumer<Assignment>,
    kafka: KafkaSettings,
    of_group: ConsumerSettings,
    lanes: [String; 2],
    /// When the group is joined anew; none while its client is good.
    rejoins: Option<Instant>,
    bulk_in_a_row: u32,
    /// Lanes that had nothing to give since that was last asked.
    dry: [bool; 2],
}

impl Readers {
    /// Each has half of the memory.
    pub(super) fn start(settings: &SourceSettings, membership: Membership) -> Result<Readers> {
        let kafka = &settings.kafka;
        let of_group = ConsumerSettings {
            group: settings.topics.projector_group(),
            group_instance: settings.group_instance.clone(),
            group_protocol: kafka.group_protocol,
            queued_kbytes_max: settings.queued_kbytes_max / 2,
            fetch_bytes_max: (settings.fetch_bytes_max / 2).max(FETCH_BYTES_MIN),
            partition_eof: PartitionEof::Silent,
            statistics_interval: None,
        };
        // Where groups are guarded, this one is allowed already; nothing joins it from here.
        let of_bulk = ConsumerSettings {
            group_instance: None,
            group_protocol: GroupProtocol::Classic,
            ..of_group.clone()
        };
        let lanes = Lane::ALL.map(|lane| settings.topics.lane(lane));
        let named = kafka.named(format!("{}-bulk", kafka.client_id));
        Ok(Readers {
            group: match membership {
                Membership::Member => member(kafka, &of_group, &lanes)?,
                Membership::Alone => client(kafka, &of_bulk)?,
            },
            bulk: client(&named, &of_bulk)?,
            kafka: kafka.clone(),
            of_group,
            lanes,
            rejoins: None,
            bulk_in_a_row: 0,
            dry: [true; 2],
        })
    }

    /// Leaves the group's client for good, and joins anew in a while.
    pub(super) fn rejoin_later(&mut self) {
        self.rejoins.get_or_insert(Instant::now() + REJOIN);
    }

    /// Joins anew where it is time.
    pub(super) fn rejoin(&mut self) -> Result<()> {
        if self.rejoins.is_some_and(|at| at <= Instant::now()) {
            self.rejoins = None;
            self.group = member(&self.kafka, &self.of_group, &self.lanes)?;
        }
        Ok(())
    }

    /// Who fetches the lane.
    pub(super) fn of(&self, lane: Lane) -> &BaseConsumer<Assignment> {
        match lane {
            Lane::Interactive => &self.group,
            Lane::Bulk => &self.bulk,
        }
    }

    pub(super) fn take_up(&self, lists: &Lists) -> Result<()> {
        self.each(lists, "take up partitions", |client, list| {
            client.incremental_assign(list)
        })
    }

    pub(super) fn leave(&self, lists: &Lists) -> Result<()> {
        self.each(lists, "leave partitions", |client, list| {
            client.incremental_unassign(list)
        })
    }

    fn each(
        &self,
        lists: &Lists,
        what: &'static str,
        asked: impl Fn(&BaseConsumer<Assignment>, &TopicPartitionList) -> KafkaResult<()>,
    ) -> Result<()> {
        for (client, list) in [(&self.group, &lists.interactive), (&self.bulk, &lists.bulk)] {
            if list.count() > 0 {
                asked(client, list).map_err(Error::refused(what))?;
            }
        }
        Ok(())
    }

    /// Which lanes had nothing to give since the last call. What stands still in another may stand in a
    /// queue.
    pub(super) fn take_dry(&mut self) -> impl Fn(Lane) -> bool + use<> {
        let [interactive, bulk] = std::mem::take(&mut self.dry);
        move |lane| match lane {
            Lane::Interactive => interactive,
            Lane::Bulk => bulk,
        }
    }
}

impl KafkaSource {
    /// The next record of these lanes, or nothing after `timeout`; earlier where the group has news.
    pub(super) fn next(&mut self, lanes: Lanes, timeout: Duration) -> Got {
        let until = Instant::now() + timeout;
        match lanes {
            Lanes::Interactive => self.next_of(Lane::Interactive, timeout),
            Lanes::InteractiveFirst if self.is_bulks_row() => self.next_of_either(until),
            Lanes::InteractiveFirst => match self.next_of(Lane::Interactive, Duration::ZERO) {
                Got::Nothing => self.next_of_either(until),
                got => got,
            },
            Lanes::BulkFirst => self.next_of_either(until),
        }
    }

    /// The bulk lane's next record where there is one; else whichever comes first.
    fn next_of_either(&mut self, until: Instant) -> Got {
        loop {
            // What the group has just taken away must not come out of the other reader.
            if self.readers.group.context().has_changed() {
                return Got::Nothing;
            }
            match self.next_of(Lane::Bulk, Duration::ZERO) {
                Got::Nothing => {}
                got => return got,
            }
            let wait = until.saturating_duration_since(Instant::now()).min(GLANCE);
            match self.next_of(Lane::Interactive, wait) {
                Got::Nothing if wait.is_zero() => return Got::Nothing,
                Got::Nothing => {}
                got => return got,
            }
        }
    }

    /// Whether the bulk lane's records come one after the other, so that the interactive lane need not be
    /// looked at before each of them.
    fn is_bulks_row(&self) -> bool {
        (1..BULK_IN_A_ROW).contains(&self.readers.bulk_in_a_row)
    }

    fn next_of(&mut self, lane: Lane, timeout: Duration) -> Got {
        if lane == Lane::Interactive && self.readers.rejoins.is_some() {
            // Its client does nothing more; the wait must not become a spin.
            std::thread::sleep(timeout.min(GLANCE));
            return Got::Nothing;
        }
        let got = match self.readers.of(lane).poll(timeout) {
            None => {
                self.readers.dry[usize::from(lane == Lane::Bulk)] = true;
                Got::Nothing
            }
            Some(Err(error)) => Got::Trouble(error),
            Some(Ok(message)) => {
                let topic = message.topic();
                let found = self.topics.iter().find(|(_, name)| name == topic);
                let lane = found.map(|(lane, _)| *lane);
                due(&mut self.owned, lane, &message).map_or(Got::Nothing, Got::Record)
            }
        };
        let is_bulk = lane == Lane::Bulk && matches!(got, Got::Record(_));
        self.readers.bulk_in_a_row = if is_bulk {
            (self.readers.bulk_in_a_row + 1) % BULK_IN_A_ROW
        } else {
            0
        };
        got
    }
}
