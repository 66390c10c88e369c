//! The partitions that are ours: where each is read, and in which reading.
//!
//! It holds no client, and decides nothing about the group.

use std::collections::BTreeMap;

use licenseflow_avro::{Lane, Offset};
use licenseflow_runtime::log::Watermarks;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

use crate::message::raw_record;
use crate::probe::Asked;
use crate::source::{LanePartition, Polled};

/// One partition that is ours.
#[derive(Debug, Clone, Default)]
pub(crate) struct Owned {
    /// Where it is read; none while it is not.
    pub(crate) next: Option<Offset>,
    /// Which reading this is.
    pub(crate) reading: u64,
    /// Where it stood when the ends were last asked for.
    pub(crate) stood: Option<Offset>,
    pub(crate) is_halted: bool,
}

impl Owned {
    /// Whether it stands still before the log's start: what it would read next is gone.
    pub(crate) fn is_gone(&self, span: Watermarks) -> bool {
        let stands_still = self.next.is_some() && self.stood == self.next;
        !self.is_halted && stands_still && self.next < Some(span.start)
    }
}

/// What the brokers are to be asked about. A halted partition is not read, whatever its end: it is left
/// out, so that it never counts as caught up. Quiet is what stands still in a lane that is `dry`, that is,
/// had nothing to give since the last time: elsewhere records may wait for their turn.
pub(crate) fn asked(
    owned: &mut BTreeMap<LanePartition, Owned>,
    dry: impl Fn(Lane) -> bool,
) -> Vec<Asked> {
    let each = owned.iter_mut().filter(|(_, owned)| !owned.is_halted);
    let about = each.map(|(of, owned)| {
        let is_still = owned.next.is_some() && owned.stood == owned.next;
        owned.stood = owned.next;
        Asked {
            of: *of,
            reading: owned.next.map(|next| (next, owned.reading)),
            is_quiet: is_still && dry(of.0),
        }
    });
    about.collect()
}

/// Takes a record that is due; others are of an earlier reading.
pub(crate) fn due(
    owned: &mut BTreeMap<LanePartition, Owned>,
    lane: Option<Lane>,
    message: &BorrowedMessage<'_>,
) -> Option<Polled> {
    let lane = lane?;
    let owned = owned.get_mut(&(lane, message.partition()))?;
    let next = owned.next.as_mut()?;
    if message.offset() < *next {
        return None;
    }
    *next = message.offset() + 1;
    Some(Polled::Record(raw_record(lane, message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_still_is_quiet_only_where_its_lane_ran_dry() {
        let still = Owned {
            next: Some(4),
            stood: Some(4),
            ..Owned::default()
        };
        let mut owned = [
            ((Lane::Interactive, 0), still.clone()),
            ((Lane::Bulk, 0), still),
        ]
        .into();
        let quiet = asked(&mut owned, |lane| lane == Lane::Interactive);
        let quiet: Vec<_> = quiet.into_iter().filter(|one| one.is_quiet).collect();
        assert_eq!(quiet.len(), 1);
        assert_eq!(quiet[0].of, (Lane::Interactive, 0));
    }

    #[test]
    fn only_what_stands_still_before_the_logs_start_is_gone() {
        let span = Watermarks { start: 5, end: 9 };
        let still = |next| Owned {
            next: Some(next),
            stood: Some(next),
            ..Owned::default()
        };
        assert!(still(4).is_gone(span));
        assert!(!still(5).is_gone(span));
        // A new leader may not know the end yet.
        assert!(!still(10).is_gone(span));
        let moved = Owned {
            stood: Some(3),
            ..still(4)
        };
        let halted = Owned {
            is_halted: true,
            ..still(4)
        };
        assert!(!moved.is_gone(span) && !halted.is_gone(span) && !Owned::default().is_gone(span));
    }
}
