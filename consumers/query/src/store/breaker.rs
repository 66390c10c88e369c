//! Stops asking a store that does not answer: whoever asks is told so in a moment instead of in 15
//! seconds, and the store comes back to its feet without a crowd before its door.
//!
//! | it is | and | becomes |
//! |---|---|---|
//! | closed | of at least 10 questions within 5 s half or more failed | open |
//! | open | 30 s have gone by, and somebody asks | half-open |
//! | half-open | one of the 3 questions that it lets through is answered | closed |
//! | half-open | one of them fails | open |
//!
//! A failure is that the store was away or out of time. A question's own fault, such as what cannot be
//! read, was answered. What nobody waited for says nothing, unless the store was at it for so long that this
//! says it. The intake has a breaker of its own and not this one: brokers that are away are known by silence
//! since a record was sent, not by a share of answers, and one partition without a leader must not close
//! the others.
//!
//! Pure: the time comes in.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::FAIR;
use crate::metrics;

/// How far back questions count.
const WINDOW: Duration = Duration::from_secs(5);

/// The window slides by these.
const SLICES: usize = 10;

/// Fewer questions say nothing.
const QUESTIONS_MIN: u32 = 10;

/// How long nobody asks once it is open.
pub(super) const OPEN: Duration = Duration::from_secs(30);

/// As many questions at once show whether the store is there again.
const PROBES: u32 = 3;

pub(super) struct Breaker {
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// How often the phase has changed: what was asked in an earlier one says nothing of this one.
    changes: u64,
    answered_at: Option<Instant>,
}

enum Phase {
    Closed(Window),
    Open { since: Instant },
    HalfOpen { probes: u32 },
}

/// One question that was let through. Dropped, it says that nobody waited for the answer.
pub(super) struct Pass<'b> {
    breaker: &'b Breaker,
    /// When the store began with it; none: it waits for its turn.
    asked_at: Option<Instant>,
    changes: u64,
    is_told: bool,
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answered,
    Failed,
    Nothing,
}

impl Breaker {
    pub(super) fn new() -> Self {
        metrics::breaker(0);
        let state = State {
            phase: Phase::Closed(Window::default()),
            changes: 0,
            answered_at: None,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Lets a question through, or not.
    pub(super) fn lets_through(&self, now: Instant) -> Option<Pass<'_>> {
        let mut state = self.state();
        match &mut state.phase {
            Phase::Closed(_) => {}
            Phase::Open { since } if now.saturating_duration_since(*since) < OPEN => return None,
            Phase::Open { .. } => state.become_half_open(),
            Phase::HalfOpen { probes } if *probes >= PROBES => return None,
            Phase::HalfOpen { probes } => *probes += 1,
        }
        Some(Pass {
            breaker: self,
            asked_at: None,
            changes: state.changes,
            is_told: false,
        })
    }

    /// Whether the store has answered something since then, and was not away after it.
    pub(super) fn has_answered_since(&self, then: Instant) -> bool {
        let state = self.state();
        let is_closed = matches!(state.phase, Phase::Closed(_));
        is_closed && state.answered_at.is_some_and(|at| at >= then)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change can end in the middle.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The question is the store's from now on.
    pub(super) fn asks(&mut self, now: Instant) {
        self.asked_at = Some(now);
    }

    /// The store answered, if only that it cannot.
    pub(super) fn answered(mut self, now: Instant) {
        self.tell(Outcome::Answered, now);
    }

    /// The store was away, or out of time.
    pub(super) fn failed(mut self, now: Instant) {
        self.tell(Outcome::Failed, now);
    }

    /// The store was not asked, or not for long enough to tell.
    pub(super) fn says_nothing(mut self, now: Instant) {
        self.tell(Outcome::Nothing, now);
    }

    fn tell(&mut self, outcome: Outcome, now: Instant) {
        self.is_told = true;
        let mut state = self.breaker.state();
        if outcome == Outcome::Answered {
            state.answered_at = Some(now);
        }
        if state.changes == self.changes {
            state.take(outcome, now);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_told {
            return;
        }
        let now = Instant::now();
        let had_time = |at: Instant| now.saturating_duration_since(at) >= FAIR;
        let outcome = match self.asked_at.is_some_and(had_time) {
            true => Outcome::Failed,
            false => Outcome::Nothing,
        };
        self.tell(outcome, now);
    }
}

impl State {
    fn take(&mut self, outcome: Outcome, now: Instant) {
        match (&mut self.phase, outcome) {
            (Phase::Closed(window), Outcome::Answered) => window.count(now).answered += 1,
            (Phase::Closed(window), Outcome::Failed) => {
                window.count(now).failed += 1;
                let sum = window.sum(now);
                let all = sum.answered + sum.failed;
                if all >= QUESTIONS_MIN && sum.failed * 2 >= all {
                    tracing::error!(
                        questions = all,
                        failed = sum.failed,
                        "the store does not answer: nobody asks it for 30 seconds, and requests get 503"
                    );
                    self.become_open(now);
                }
            }
            (Phase::HalfOpen { .. }, Outcome::Answered) => self.become_closed(),
            (Phase::HalfOpen { .. }, Outcome::Failed) => {
                tracing::error!("the store still does not answer: nobody asks it for 30 seconds");
                self.become_open(now);
            }
            (Phase::HalfOpen { probes }, Outcome::Nothing) => *probes = probes.saturating_sub(1),
            (Phase::Open { .. }, _) | (Phase::Closed(_), Outcome::Nothing) => {}
        }
    }

    fn become_open(&mut self, now: Instant) {
        self.become_phase(Phase::Open { since: now }, "open", 2);
    }

    fn become_half_open(&mut self) {
        tracing::info!("a few questions try whether the store answers again");
        self.become_phase(Phase::HalfOpen { probes: 1 }, "half_open", 1);
    }

    fn become_closed(&mut self) {
        tracing::info!("the store answers again");
        self.become_phase(Phase::Closed(Window::default()), "closed", 0);
    }

    fn become_phase(&mut self, phase: Phase, name: &'static str, number: u8) {
        self.phase = phase;
        self.changes += 1;
        metrics::breaker_changed(name);
        metrics::breaker(number);
    }
}

/// How questions ended, by slices of the last seconds.
#[derive(Default)]
struct Window {
    begun: Option<Instant>,
    slices: [Slice; SLICES],
}

#[derive(Clone, Copy, Default)]
struct Slice {
    /// Which slice it is, counted from the beginning.
    number: u64,
    answered: u32,
    failed: u32,
}

impl Window {
    /// The slice of this moment.
    fn count(&mut self, now: Instant) -> &mut Slice {
        let number = self.number(now);
        // Less than the number of slices, which is small.
        let slice = &mut self.slices[(number % SLICES as u64) as usize];
        if slice.number != number {
            *slice = Slice {
                number,
                ..Slice::default()
            };
        }
        slice
    }

    fn sum(&mut self, now: Instant) -> Slice {
        let oldest = (self.number(now) + 1).saturating_sub(SLICES as u64);
        let counted = self.slices.iter().filter(|slice| slice.number >= oldest);
        counted.fold(Slice::default(), |sum, slice| Slice {
            number: 0,
            answered: sum.answered + slice.answered,
            failed: sum.failed + slice.failed,
        })
    }

    fn number(&mut self, now: Instant) -> u64 {
        let begun = *self.begun.get_or_insert(now);
        let slice = WINDOW / SLICES as u32;
        let slices = now.saturating_duration_since(begun).as_millis() / slice.as_millis();
        u64::try_from(slices).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(breaker: &Breaker, times: u32, now: Instant) {
        for _ in 0..times {
            breaker.lets_through(now).unwrap().failed(now);
        }
    }

    fn answer(breaker: &Breaker, times: u32, now: Instant) {
        for _ in 0..times {
            breaker.lets_through(now).unwrap().answered(now);
        }
    }

    fn is_open(breaker: &Breaker, now: Instant) -> bool {
        match breaker.lets_through(now) {
            Some(pass) => {
                pass.says_nothing(now);
                false
            }
            None => true,
        }
    }

    #[test]
    fn it_opens_at_half_of_enough_questions_and_not_before() {
        let now = Instant::now();
        let breaker = Breaker::new();
        fail(&breaker, QUESTIONS_MIN - 1, now);
        assert!(!is_open(&breaker, now), "too few to tell");
        fail(&breaker, 1, now);
        assert!(is_open(&breaker, now));

        let breaker = Breaker::new();
        answer(&breaker, 11, now);
        fail(&breaker, 10, now);
        assert!(!is_open(&breaker, now), "less than half");
        fail(&breaker, 1, now);
        assert!(is_open(&breaker, now));
    }

    #[test]
    fn what_is_longer_ago_than_the_window_does_not_count() {
        let start = Instant::now();
        let breaker = Breaker::new();
        fail(&breaker, 9, start);
        fail(&breaker, 9, start + 5 * SECOND);
        assert!(!is_open(&breaker, start + 5 * SECOND));
        // In steps it does.
        fail(&breaker, 1, start + 9 * SECOND);
        assert!(is_open(&breaker, start + 9 * SECOND));

        let breaker = Breaker::new();
        answer(&breaker, 1000, start);
        fail(&breaker, 10, start + 6 * SECOND);
        assert!(
            is_open(&breaker, start + 6 * SECOND),
            "a good past helps nobody"
        );
    }

    #[test]
    fn after_half_a_minute_a_few_questions_try_and_an_answer_closes_it() {
        let start = Instant::now();
        let breaker = Breaker::new();
        fail(&breaker, 10, start);
        assert!(is_open(&breaker, start + OPEN - SECOND / 1000));
        let now = start + OPEN;
        let probes: Vec<_> = (0..PROBES)
            .map(|_| breaker.lets_through(now).unwrap())
            .collect();
        assert!(breaker.lets_through(now).is_none(), "no more than a few");
        assert!(!breaker.has_answered_since(start));
        let mut probes = probes.into_iter();
        probes.next().unwrap().answered(now);
        assert!(breaker.has_answered_since(start));
        // The others were asked before it closed.
        probes.for_each(|probe| probe.failed(now));
        fail(&breaker, 9, now);
        assert!(!is_open(&breaker, now), "it begins anew");
    }

    #[test]
    fn a_try_that_fails_opens_it_again_and_one_that_was_given_up_leaves_its_place() {
        let start = Instant::now();
        let breaker = Breaker::new();
        fail(&breaker, 10, start);
        let now = start + OPEN;
        for _ in 0..2 * PROBES {
            breaker.lets_through(now).unwrap().says_nothing(now);
        }
        breaker.lets_through(now).unwrap().failed(now);
        assert!(is_open(&breaker, now + OPEN - SECOND));
        answer(&breaker, 1, now + OPEN);
        assert!(!is_open(&breaker, now + OPEN));
    }

    #[test]
    fn an_answer_from_before_it_opened_does_not_close_it() {
        let start = Instant::now();
        let breaker = Breaker::new();
        let slow = breaker.lets_through(start).unwrap();
        fail(&breaker, 10, start);
        slow.answered(start + SECOND);
        assert!(is_open(&breaker, start + SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn whose_client_left_before_the_store_was_asked_says_nothing() {
        let breaker = Breaker::new();
        let asked = || breaker.lets_through(Instant::now());
        let waiting: Vec<_> = (0..20).map(|_| asked()).collect();
        tokio::time::advance(5 * SECOND).await;
        drop(waiting);
        assert!(!is_open(&breaker, Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waited_for_counts_only_where_the_store_had_a_fair_time() {
        let breaker = Breaker::new();
        let ask = |_| {
            let mut pass = breaker.lets_through(Instant::now()).unwrap();
            pass.asks(Instant::now());
            pass
        };
        let asked: Vec<_> = (0..20).map(ask).collect();
        tokio::time::advance(FAIR - SECOND / 1000).await;
        drop(asked);
        assert!(!is_open(&breaker, Instant::now()));
        let asked: Vec<_> = (0..10).map(ask).collect();
        tokio::time::advance(FAIR).await;
        drop(asked);
        assert!(is_open(&breaker, Instant::now()));
    }
}
