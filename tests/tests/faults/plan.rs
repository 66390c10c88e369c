//! What goes wrong, and when: a schedule that follows from its seed and the store alone.

use std::fmt;
use std::time::Duration;

use licenseflow_tests::chance::Chance;
use licenseflow_tests::harness::{Fault, Gone, ProxiedCluster};

/// How many intakes there are, and how many projectors where the store takes so many.
pub(crate) const TWINS: usize = 2;

/// Where the read model rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// A file has one writer, and each projector of a group reads a part of the log: so there is one projector.
    Sqlite,
    /// Two projectors share it.
    Postgres,
}

impl Store {
    /// They take turns.
    pub(crate) fn of(seed: u64) -> Self {
        if seed.is_multiple_of(2) {
            Self::Sqlite
        } else {
            Self::Postgres
        }
    }

    pub(crate) fn projectors(self) -> usize {
        match self {
            Self::Sqlite => 1,
            Self::Postgres => TWINS,
        }
    }
}

/// Who can be hurt. Numbers are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    Broker(usize),
    Intake(usize),
    Projector(usize),
    Query,
    Database,
    /// Whoever sends events, over HTTP and with a Kafka client of its own.
    Clients,
}

impl Party {
    /// What it is, whichever of its kind.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Broker(_) => "broker",
            Self::Intake(_) => "intake",
            Self::Projector(_) => "projector",
            Self::Query => "query",
            Self::Database => "PostgreSQL",
            Self::Clients => "clients",
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(number) | Self::Intake(number) | Self::Projector(number) => {
                write!(to, "{} {number}", self.kind())
            }
            Self::Query | Self::Database | Self::Clients => to.write_str(self.kind()),
        }
    }
}

/// What is done to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// kill -9, and a start when it is over.
    Kill(Party),
    /// SIGSTOP, and SIGCONT when it is over.
    Freeze(Party),
    /// An orderly end, and a start when it is over.
    Restart(Party),
    /// Something is wrong with the network between these two.
    Between(Party, Party, Fault),
    /// No space is left for the store of the projector.
    FullDisk,
    /// Its wall clock is wrong by so many seconds.
    Clock(Party, i64),
}

impl What {
    /// Whom it hurts; no two things are done to one at a time.
    pub(crate) fn parties(self) -> Vec<Party> {
        match self {
            Self::Kill(one) | Self::Freeze(one) | Self::Restart(one) | Self::Clock(one, _) => {
                vec![one]
            }
            Self::Between(one, other, _) => vec![one, other],
            Self::FullDisk => vec![Party::Projector(1)],
        }
    }

    /// Its line in the table.
    pub(crate) fn kind(self) -> String {
        match self {
            Self::Kill(party) => format!("kill -9: {}", party.kind()),
            Self::Freeze(party) => format!("SIGSTOP: {}", party.kind()),
            Self::Restart(party) => format!("restart: {}", party.kind()),
            Self::Between(one, other, fault) => {
                format!("{}: {} and {}", name(fault), one.kind(), other.kind())
            }
            Self::FullDisk => "full disk: SQLite".to_owned(),
            Self::Clock(party, _) => format!("clock jumps: {}", party.kind()),
        }
    }
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Delay(_) => "delay",
        Fault::Cut => "cut",
        Fault::Stall => "stall",
        Fault::HalfOpen(_) => "half open",
    }
}

impl fmt::Display for What {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(party) => write!(to, "kill {party}"),
            Self::Freeze(party) => write!(to, "freeze {party}"),
            Self::Restart(party) => write!(to, "restart {party}"),
            Self::Between(one, other, fault) => write!(to, "{fault:?} between {one} and {other}"),
            Self::FullDisk => to.write_str("full disk"),
            Self::Clock(party, seconds) => write!(to, "clock of {party} {seconds:+} s"),
        }
    }
}

/// Something that goes wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deed {
    pub(crate) what: What,
    pub(crate) lasts: Duration,
}

/// What goes wrong at one time: one thing, sometimes two. Before the next, service is back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step(pub(crate) Vec<Deed>);

impl Step {
    /// How long it lasts.
    pub(crate) fn lasts(&self) -> Duration {
        let times = self.0.iter().map(|deed| deed.lasts);
        times.max().unwrap_or_default()
    }

    /// Its line in the table.
    pub(crate) fn kind(&self) -> String {
        match self.0.as_slice() {
            [deed] => deed.what.kind(),
            _ => "two at once".to_owned(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deeds: Vec<String> = self.0.iter().map(|deed| deed.what.to_string()).collect();
        let milliseconds = self.lasts().as_millis();
        write!(to, "{} for {milliseconds} ms", deeds.join(" and "))
    }
}

/// A schedule of so many faults.
pub(crate) fn schedule(seed: u64, store: Store, faults: usize) -> Vec<Step> {
    let mut chance = Chance::new(seed);
    let (mut steps, mut left) = (Vec::new(), faults);
    while left > 0 {
        let mut deeds = vec![deed(&mut chance, store)];
        if left > 1 && chance.once_in(6) {
            let another = deed(&mut chance, store);
            let hurt = deeds[0].what.parties();
            if !another.what.parties().iter().any(|it| hurt.contains(it)) {
                deeds.push(another);
            }
        }
        left -= deeds.len();
        steps.push(Step(deeds));
    }
    steps
}

fn deed(chance: &mut Chance, store: Store) -> Deed {
    let mut lasts = Duration::from_millis(1000 + chance.below(3000));
    let what = match chance.below(20) {
        0..5 => What::Kill(process(chance, store)),
        5..8 => What::Freeze(process(chance, store)),
        8..10 => What::Restart(process(chance, store)),
        10..16 => between(chance, store),
        16..18 => clock(chance, store),
        _ => match store {
            Store::Sqlite => What::FullDisk,
            Store::Postgres => What::Kill(Party::Database),
        },
    };
    // Longer than the group waits for a member, so that its partitions are another's when it wakes.
    if matches!(what, What::Freeze(Party::Projector(_))) && chance.once_in(3) {
        lasts = Duration::from_secs(13);
    }
    Deed { what, lasts }
}

fn broker(chance: &mut Chance) -> Party {
    Party::Broker(1 + chance.below(ProxiedCluster::BROKERS as u64) as usize)
}

fn intake(chance: &mut Chance) -> Party {
    Party::Intake(1 + chance.below(TWINS as u64) as usize)
}

fn projector(chance: &mut Chance, store: Store) -> Party {
    Party::Projector(1 + chance.below(store.projectors() as u64) as usize)
}

fn process(chance: &mut Chance, store: Store) -> Party {
    match (chance.below(7), store) {
        (0..2, _) => broker(chance),
        (2..4, _) => intake(chance),
        (4, Store::Postgres) => Party::Database,
        _ => projector(chance, store),
    }
}

fn clock(chance: &mut Chance, store: Store) -> What {
    let party = match chance.below(3) {
        0 => intake(chance),
        _ => projector(chance, store),
    };
    What::Clock(party, *chance.pick(&[-86_400, -3600, -5, 5, 3600, 86_400]))
}

fn between(chance: &mut Chance, store: Store) -> What {
    let fault = match chance.below(5) {
        0 => Fault::Delay(Duration::from_millis(20 + chance.below(300))),
        1 => Fault::Cut,
        2 => Fault::Stall,
        3 => Fault::HalfOpen(Gone::Caller),
        _ => Fault::HalfOpen(Gone::Called),
    };
    let (one, other) = match (chance.below(9), store) {
        (0, _) => (
            Party::Broker(1),
            Party::Broker(2 + chance.below(2) as usize),
        ),
        (1, _) => (Party::Broker(2), Party::Broker(3)),
        (2 | 3, _) => (intake(chance), broker(chance)),
        (4, _) => (Party::Clients, intake(chance)),
        (5, Store::Postgres) => (projector(chance, store), Party::Database),
        (6, Store::Postgres) => (Party::Query, Party::Database),
        (7, _) => (Party::Clients, broker(chance)),
        _ => (projector(chance, store), broker(chance)),
    };
    What::Between(one, other, fault)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_schedule_and_another_seed_another() {
        for store in [Store::Sqlite, Store::Postgres] {
            assert_eq!(schedule(7, store, 25), schedule(7, store, 25));
            assert_ne!(schedule(7, store, 25), schedule(8, store, 25));
        }
    }

    #[test]
    fn a_schedule_has_as_many_faults_as_asked_and_hurts_nobody_twice_at_once() {
        for seed in 0..200 {
            let steps = schedule(seed, Store::of(seed), 25);
            assert_eq!(steps.iter().map(|step| step.0.len()).sum::<usize>(), 25);
            for step in steps {
                let hurt: Vec<Party> = step.0.iter().flat_map(|it| it.what.parties()).collect();
                let mut each = hurt.clone();
                each.dedup();
                let twice = (1..hurt.len()).any(|at| hurt[..at].contains(&hurt[at]));
                assert!(!twice, "{step}");
            }
        }
    }

    #[test]
    fn in_time_everything_goes_wrong() {
        let kinds = |store| {
            let steps = (0..300).flat_map(|seed| schedule(seed, store, 25));
            let deeds = steps.flat_map(|step| step.0);
            deeds.map(|deed| deed.what.kind()).collect::<BTreeSet<_>>()
        };
        let (sqlite, postgres) = (kinds(Store::Sqlite), kinds(Store::Postgres));
        assert_eq!(sqlite.len(), 9 + 1 + 2 + 4 * 5, "{sqlite:?}");
        assert_eq!(postgres.len(), 12 + 2 + 4 * 7, "{postgres:?}");
    }
}
