//! The way from one position to another: what lies between, and how far one has come.

use licenseflow_core::contract::{Lane, Offset, PartitionId, Position};
use licenseflow_store::lookup::{RecordPlace, Span};

/// A walk over the partitions of a target, one after the other, each from where the start stands.
#[derive(Debug)]
pub(super) struct Walk {
    at: Position,
    rest: Vec<Span>,
}

impl Walk {
    /// What the start leaves out is walked from its beginning.
    pub(super) fn new(start: &Position, target: &Position) -> Self {
        let spans = target.iter().map(|(lane, partition, to)| Span {
            lane,
            partition,
            from: start.get(lane, partition).unwrap_or(0),
            to,
        });
        let mut rest: Vec<Span> = spans.filter(|span| span.from < span.to).collect();
        rest.reverse();
        Self {
            at: start.clone(),
            rest,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything below this was walked over.
    pub(super) fn at(&self) -> &Position {
        &self.at
    }

    /// What is still to be walked.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.rest.iter().rev().copied().collect()
    }

    /// Comes to where the rest begins; without any, to the end. The end of a span that was left already is
    /// where one stands.
    pub(super) fn come_to(&mut self, place: Option<RecordPlace>) {
        let is_of = |span: &Span| {
            place
                .is_none_or(|(lane, partition, _)| (lane, partition) == (span.lane, span.partition))
        };
        if !self.rest.iter().any(is_of) {
            return;
        }
        while let Some(span) = self.rest.last_mut() {
            match place {
                Some((lane, partition, offset))
                    if (lane, partition) == (span.lane, span.partition) =>
                {
                    let offset = offset.clamp(span.from, span.to);
                    span.from = offset;
                    let is_over = offset == span.to;
                    self.at.set(lane, partition, offset);
                    if is_over {
                        self.rest.pop();
                    }
                    return;
                }
                Some(_) | None => {
                    self.at.set(span.lane, span.partition, span.to);
                    self.rest.pop();
                }
            }
        }
    }

    /// Steps over the record that lies here.
    pub(super) fn pass(&mut self, lane: Lane, partition: PartitionId, offset: Offset) {
        self.come_to(Some((lane, partition, offset + 1)));
    }
}

/// A position as an event's id: never empty, since a reader takes an empty id for none.
pub(super) fn id_of(position: &Position) -> String {
    if position.is_empty() {
        return "e:0:0".to_owned();
    }
    position.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str) -> Position {
        text.parse().unwrap()
    }

    #[test]
    fn each_step_is_a_position_that_covers_what_was_passed() {
        let mut walk = Walk::new(
            &position("e:0:5,b:1:7"),
            &position("e:0:9,e:1:2,b:1:7,b:2:3"),
        );
        let places: Vec<(Lane, i32, i64, i64)> = walk
            .spans()
            .iter()
            .map(|it| (it.lane, it.partition, it.from, it.to))
            .collect();
        let bulk = (Lane::Bulk, 2, 0, 3);
        let interactive = [(Lane::Interactive, 0, 5, 9), (Lane::Interactive, 1, 0, 2)];
        assert_eq!(places.len(), 3);
        assert!(places.contains(&bulk) && interactive.iter().all(|it| places.contains(it)));
        let first = walk.spans()[0];
        walk.pass(first.lane, first.partition, first.from);
        assert_eq!(
            walk.at().get(first.lane, first.partition),
            Some(first.from + 1)
        );
        let last = walk.spans()[2];
        walk.pass(last.lane, last.partition, last.from);
        assert_eq!(walk.spans().len(), 1, "the walk is in the last span");
        assert_eq!(walk.at().get(first.lane, first.partition), Some(first.to));
        walk.come_to(None);
        assert!(walk.is_done());
        assert_eq!(*walk.at(), position("e:0:9,e:1:2,b:1:7,b:2:3"));
    }

    #[test]
    fn the_end_of_a_span_that_was_passed_whole_leaves_the_others_to_be_walked() {
        let mut walk = Walk::new(&Position::default(), &position("e:0:2,e:1:2,b:0:2"));
        let first = walk.spans()[0];
        walk.pass(first.lane, first.partition, 1);
        walk.come_to(Some((first.lane, first.partition, 2)));
        assert_eq!(walk.spans().len(), 2);
    }

    #[test]
    fn a_start_ahead_of_the_target_stays_where_it_is() {
        let walk = Walk::new(&position("e:0:9"), &position("e:0:5"));
        assert!(walk.is_done());
        assert_eq!(*walk.at(), position("e:0:9"));
    }
}
