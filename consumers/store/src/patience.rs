//! How long a question may go on, and whether anybody still waits for its answer.
//!
//! A question blocks its thread and has no word with whoever asked; its patience lies beside it, on the
//! thread that runs it, where a store looks at it while it reads. So a question that nobody waits for, or
//! that took too long, is ended rather than left alone, and its connection and its thread are free again.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use tokio::sync::watch;

thread_local! {
    static CURRENT: RefCell<Option<Patience>> = const { RefCell::new(None) };
}

/// Somebody who waits for an answer. Dropped, nobody does, and the question is ended.
#[derive(Debug)]
pub struct Asker {
    _waits: watch::Sender<()>,
}

/// The patience of whoever asked a question.
#[derive(Debug, Clone)]
pub struct Patience {
    until: Instant,
    /// None: whoever asks is the one who reads.
    asker: Option<watch::Receiver<()>>,
}

impl Patience {
    /// The patience of one who waits no longer than this, from now on.
    #[must_use]
    pub fn of(longest: Duration) -> (Asker, Self) {
        let (waits, asker) = watch::channel(());
        let patience = Self {
            until: Instant::now() + longest,
            asker: Some(asker),
        };
        (Asker { _waits: waits }, patience)
    }

    /// The patience of one who has others wait: for nothing, and with the first look at it over. What a
    /// store does not have at hand ends as [`Error::Away`](crate::Error::Away), and is to be asked where
    /// waiting does no harm.
    #[must_use]
    pub fn brief() -> Self {
        Self {
            until: Instant::now(),
            asker: None,
        }
    }

    /// Runs a question under this patience.
    pub fn during<T>(self, question: impl FnOnce() -> T) -> T {
        let _before = Before(CURRENT.replace(Some(self)));
        question()
    }

    /// The patience of the question that runs on this thread, if whoever asked has said one.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Whether the question that runs on this thread is to end.
    pub(crate) fn is_over() -> bool {
        CURRENT.with_borrow(|it| it.as_ref().is_some_and(Self::has_ended))
    }

    /// Runs one of so many parts that are still to come, which may take its share of the time that is
    /// left: one that is slow leaves the others theirs.
    pub(crate) fn share<T>(parts: u32, part: impl FnOnce() -> T) -> T {
        match Self::current() {
            Some(whole) => {
                let share = whole.left() / parts.max(1);
                let until = Instant::now() + share;
                Self { until, ..whole }.during(part)
            }
            None => part(),
        }
    }

    /// The time that is left.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Returns when the time is over or nobody waits any more.
    pub(crate) async fn ended(mut self) {
        let until = tokio::time::Instant::from_std(self.until);
        let nobody_waits = async {
            match &mut self.asker {
                Some(asker) => while asker.changed().await.is_ok() {},
                None => std::future::pending().await,
            }
        };
        // Either is an end.
        let _ = tokio::time::timeout_at(until, nobody_waits).await;
    }

    fn has_ended(&self) -> bool {
        let has_left = |asker: &watch::Receiver<()>| asker.has_changed().is_err();
        self.asker.as_ref().is_some_and(has_left) || Instant::now() >= self.until
    }
}

/// What lay on the thread before; it comes back also where the question panics.
struct Before(Option<Patience>);

impl Drop for Before {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn it_ends_with_its_time_or_with_whoever_waits() {
        assert!(!Patience::is_over(), "nobody has said anything");
        let (asker, patience) = Patience::of(HOUR);
        patience.clone().during(|| assert!(!Patience::is_over()));
        drop(asker);
        patience.during(|| assert!(Patience::is_over()));
        assert!(!Patience::is_over(), "the next question is another's");
        let (_asker, patience) = Patience::of(Duration::ZERO);
        patience.during(|| assert!(Patience::is_over()));
    }

    #[test]
    fn a_brief_one_is_over_with_the_first_look_at_it() {
        Patience::brief().during(|| assert!(Patience::is_over()));
        assert!(!Patience::is_over());
    }

    #[test]
    fn a_part_has_its_share_and_the_next_what_is_left() {
        let (_asker, patience) = Patience::of(HOUR);
        let left = || Patience::current().unwrap().left();
        patience.during(|| {
            let third = Patience::share(3, left);
            assert!(third <= HOUR / 3 && third > HOUR / 4, "{third:?}");
            assert!(Patience::share(2, left) > HOUR / 3);
            assert!(Patience::share(1, left) > HOUR / 2);
        });
    }

    #[test]
    fn a_panic_leaves_nothing_on_the_thread() {
        let (asker, patience) = Patience::of(HOUR);
        drop(asker);
        let panicked = std::panic::catch_unwind(|| patience.during(|| panic!("a question")));
        assert!(panicked.is_err());
        assert!(!Patience::is_over());
    }
}
