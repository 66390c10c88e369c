//! How far generations are, and what each is at, for whoever asks.

use std::collections::BTreeMap;

use licenseflow_avro::{Lane, Offset, PartitionId, Position};

use crate::Error;
use crate::generations::{Generation, Generations, Made, Number, Wish};
use crate::loading::Loading;

/// So many offsets behind the ends that are known a generation has caught up.
pub const CAUGHT_UP: i64 = 1_000;

/// Where a partition of a generation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// Where it began.
    pub begin: Offset,
    /// The next offset to read.
    pub next_offset: Offset,
    /// Its end, as far as any generation has seen it.
    pub end_offset: Option<Offset>,
}

/// A generation and where it stands.
#[derive(Debug, Clone)]
pub struct Progress {
    /// What the book says of it.
    pub generation: Generation,
    /// Whether readers see it.
    pub is_live: bool,
    /// Where it stands; none: nothing is stored of it yet.
    pub standing: Option<Standing>,
}

/// What a generation is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Readers see it.
    Live,
    /// It is not advanced until somebody says so.
    Paused,
    /// What was tried last failed, and is tried again.
    Troubled,
    /// It is to be the live one as soon as it can.
    Switching,
    /// It has caught up, and is to be compared with the live one.
    Comparing,
    /// It was live before, and goes on beside the one that is.
    Kept,
    /// It was compared with the live one, and goes on beside it.
    Compared,
    /// It has caught up, and goes on beside the live one.
    CaughtUp,
    /// It has not caught up yet.
    Building,
}

impl State {
    /// All of them.
    pub const ALL: [State; 9] = [
        State::Live,
        State::Paused,
        State::Troubled,
        State::Switching,
        State::Comparing,
        State::Kept,
        State::Compared,
        State::CaughtUp,
        State::Building,
    ];

    /// A short stable word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Live => "live",
            State::Paused => "paused",
            State::Troubled => "troubled",
            State::Switching => "switching",
            State::Comparing => "comparing",
            State::Kept => "kept",
            State::Compared => "compared",
            State::CaughtUp => "caught_up",
            State::Building => "building",
        }
    }
}

impl Progress {
    /// What the generation is at: the first that holds of
    ///
    /// | it | state |
    /// |---|---|
    /// | is seen by readers | live |
    /// | is paused | paused |
    /// | has a trouble | troubled |
    /// | is to be the live one, or was found equal and is to be then | switching |
    /// | is to be compared, and has caught up | comparing |
    /// | was live | kept |
    /// | was compared, and nothing else is wanted | compared |
    /// | has caught up | caught up |
    /// | none of these | building |
    #[must_use]
    pub fn state(&self) -> State {
        let Generation {
            wish,
            gate,
            is_paused,
            trouble,
            was_live_until,
            ..
        } = &self.generation;
        let has_caught_up = self.standing.as_ref().is_some_and(Standing::has_caught_up);
        let is_equal = gate.as_ref().is_some_and(|it| it.is_equal);
        if self.is_live {
            return State::Live;
        }
        if *is_paused {
            return State::Paused;
        }
        if trouble.is_some() {
            return State::Troubled;
        }
        match wish {
            Wish::Switch => State::Switching,
            Wish::SwitchWhenEqual if is_equal => State::Switching,
            Wish::Compare | Wish::SwitchWhenEqual if has_caught_up => State::Comparing,
            Wish::None | Wish::Compare | Wish::SwitchWhenEqual if was_live_until.is_some() => {
                State::Kept
            }
            Wish::None if gate.is_some() => State::Compared,
            Wish::None if has_caught_up => State::CaughtUp,
            Wish::None | Wish::Compare | Wish::SwitchWhenEqual => State::Building,
        }
    }
}

/// Where a generation stands.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Its position.
    pub position: Position,
    /// Each of its partitions.
    pub partitions: Vec<Partition>,
    /// How far it is where it collects and loads; none: it is built.
    pub loading: Option<Loading>,
}

impl Standing {
    /// How many offsets it is behind the ends that are known.
    #[must_use]
    pub fn behind(&self) -> i64 {
        let each = self.partitions.iter();
        each.map(|it| (it.end_offset.unwrap_or(0) - it.next_offset).max(0))
            .sum()
    }

    /// Whether it is built, and no more than a moment behind; not where an end is not known.
    #[must_use]
    pub fn has_caught_up(&self) -> bool {
        if self.loading.is_some() {
            return false;
        }
        let are_known = self.partitions.iter().all(|it| it.end_offset.is_some());
        are_known && !self.partitions.is_empty() && self.behind() <= CAUGHT_UP
    }

    /// How many offsets it has gone through since it began.
    #[must_use]
    pub fn done(&self) -> i64 {
        let each = self.partitions.iter();
        each.map(|it| (it.next_offset - it.begin).max(0)).sum()
    }
}

/// All generations, and where they stand; the live one first.
///
/// # Errors
/// [`Error::Away`] and [`Error::Broken`] where the book cannot be read.
pub fn replays(generations: &dyn Generations) -> Result<Vec<Progress>, Error> {
    let book = generations.book()?;
    let mut all: Vec<Progress> = book
        .generations
        .iter()
        .map(|generation| Progress {
            generation: generation.clone(),
            is_live: generation.number == book.live,
            // One that is only begun has no place yet.
            standing: standing(generations, generation.number, generation).ok(),
        })
        .collect();
    share_ends(&mut all);
    all.sort_by_key(|it| (!it.is_live, it.generation.number));
    Ok(all)
}

/// An end is the log's: the greatest that any generation has seen holds for all. One that is yet to read a
/// partition stands at its beginning there.
fn share_ends(all: &mut [Progress]) {
    let mut ends: BTreeMap<(Lane, PartitionId), Offset> = BTreeMap::new();
    let standings = all.iter().filter_map(|it| it.standing.as_ref());
    for it in standings.flat_map(|it| &it.partitions) {
        if let Some(end) = it.end_offset {
            let known = ends.entry((it.lane, it.partition)).or_insert(end);
            *known = (*known).max(end);
        }
    }
    for Progress {
        generation,
        standing,
        ..
    } in all
    {
        let Some(Standing { partitions, .. }) = standing else {
            continue;
        };
        let wanted: Position = match &generation.of {
            Made::Whole => ends.keys().map(|(lane, of)| (*lane, *of, 0)).collect(),
            Made::Part { begin } => begin.clone(),
        };
        for (lane, partition, begin) in wanted.iter() {
            let is_it = |it: &Partition| (it.lane, it.partition) == (lane, partition);
            if !partitions.iter().any(is_it) {
                partitions.push(Partition {
                    lane,
                    partition,
                    begin,
                    next_offset: begin,
                    end_offset: None,
                });
            }
        }
        for it in &mut *partitions {
            let end = ends.get(&(it.lane, it.partition)).copied();
            it.end_offset = it.end_offset.max(end);
        }
        partitions.sort_by_key(|it| (it.lane, it.partition));
    }
}

fn standing(
    generations: &dyn Generations,
    number: Number,
    generation: &Generation,
) -> Result<Standing, Error> {
    let freshness = generations.lookup(number, 1)?.freshness()?;
    let begin = |lane, partition| match &generation.of {
        Made::Whole => 0,
        Made::Part { begin } => begin.get(lane, partition).unwrap_or(0),
    };
    let partitions = freshness.partitions.iter().map(|it| Partition {
        lane: it.lane,
        partition: it.partition,
        begin: begin(it.lane, it.partition),
        next_offset: it.next_offset,
        end_offset: it.end_offset,
    });
    Ok(Standing {
        position: freshness.position(),
        partitions: partitions.collect(),
        loading: generations.loading(number)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generations::Gate;

    fn stands(partitions: &[(PartitionId, Offset, Option<Offset>)]) -> Standing {
        let each = partitions.iter();
        let partitions: Vec<Partition> = each
            .map(|(partition, next_offset, end_offset)| Partition {
                lane: Lane::Interactive,
                partition: *partition,
                begin: 0,
                next_offset: *next_offset,
                end_offset: *end_offset,
            })
            .collect();
        let position = partitions.iter();
        let position = position.map(|it| (it.lane, it.partition, it.next_offset));
        Standing {
            position: position.collect(),
            partitions,
            loading: None,
        }
    }

    fn of(generation: Generation, standing: Option<Standing>) -> Progress {
        Progress {
            generation,
            is_live: false,
            standing,
        }
    }

    fn next() -> Generation {
        Generation::new(2, 1, 5, Made::Whole)
    }

    fn gate(is_equal: bool) -> Option<Gate> {
        Some(Gate {
            with: 1,
            at: 7,
            position: Position::default(),
            is_equal,
            licenses: u64::from(!is_equal),
            differences: Vec::new(),
            fates: 0,
            fates_that_differ: Vec::new(),
        })
    }

    #[test]
    fn what_a_generation_is_at_follows_from_the_book_and_from_where_it_stands() {
        let far = || Some(stands(&[(0, 5, Some(2_000))]));
        let near = || Some(stands(&[(0, 1_000, Some(2_000))]));
        let with = |change: fn(&mut Generation)| {
            let mut generation = next();
            change(&mut generation);
            generation
        };
        let state = |change, standing| of(with(change), standing).state();
        assert_eq!(state(|_| (), None), State::Building);
        assert_eq!(state(|_| (), far()), State::Building);
        assert_eq!(
            state(|_| (), Some(stands(&[(0, 5, None)]))),
            State::Building
        );
        assert_eq!(state(|_| (), near()), State::CaughtUp);
        let loads = near().map(|it| Standing {
            loading: Some(Loading::default()),
            ..it
        });
        assert_eq!(state(|_| (), loads), State::Building);
        let compare: fn(&mut Generation) = |it| it.wish = Wish::Compare;
        assert_eq!(state(compare, far()), State::Building);
        assert_eq!(state(compare, near()), State::Comparing);
        let when_equal: fn(&mut Generation) = |it| it.wish = Wish::SwitchWhenEqual;
        assert_eq!(state(when_equal, near()), State::Comparing);
        let found_equal: fn(&mut Generation) =
            |it| (it.wish, it.gate) = (Wish::SwitchWhenEqual, gate(true));
        assert_eq!(state(found_equal, near()), State::Switching);
        assert_eq!(state(|it| it.wish = Wish::Switch, far()), State::Switching);
        assert_eq!(state(|it| it.gate = gate(false), near()), State::Compared);
        let former: fn(&mut Generation) = |it| (it.was_live_until, it.gate) = (Some(9), gate(true));
        assert_eq!(state(former, near()), State::Kept);
        assert_eq!(state(former, far()), State::Kept);
        let troubled: fn(&mut Generation) =
            |it| (it.wish, it.trouble) = (Wish::Switch, Some("no".to_owned()));
        assert_eq!(state(troubled, near()), State::Troubled);
        let paused: fn(&mut Generation) =
            |it| (it.is_paused, it.trouble) = (true, Some("no".to_owned()));
        assert_eq!(state(paused, near()), State::Paused);
        let live = Progress {
            is_live: true,
            ..of(with(paused), None)
        };
        assert_eq!(live.state(), State::Live);
    }

    #[test]
    fn an_end_that_one_has_seen_holds_for_all_and_what_is_not_begun_stands_at_its_beginning() {
        let begin: Position = "e:1:6,b:0:2".parse().unwrap();
        let part = Generation::new(3, 1, 5, Made::Part { begin });
        let live = Generation::new(1, 1, 0, Made::Whole);
        let mut all = [
            of(live, Some(stands(&[(0, 10, Some(10)), (1, 9, Some(9))]))),
            of(next(), Some(stands(&[(0, 4, Some(7))]))),
            of(part, Some(stands(&[]))),
            of(next(), None),
        ];
        share_ends(&mut all);
        let standing = |number: usize| all[number].standing.as_ref().unwrap();
        assert_eq!(standing(0).behind(), 0);
        assert_eq!(standing(1).behind(), 6 + 9);
        assert_eq!(standing(1).done(), 4);
        let part = standing(2).partitions.iter();
        let part: Vec<_> = part
            .map(|it| (it.lane, it.partition, it.next_offset, it.end_offset))
            .collect();
        let expected = [(Lane::Interactive, 1, 6, Some(9)), (Lane::Bulk, 0, 2, None)];
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(part, expected);
        assert!(all[3].standing.is_none());
    }
}
