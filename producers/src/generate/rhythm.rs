//! The day and the week of those who use licenses: much by day, little by night and at weekends.

use rand::Rng;

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const HOUR: i64 = 3600 * SECOND;
pub(super) const DAY: i64 = 24 * HOUR;

/// How much goes on at a time, against the busiest hour.
pub(super) fn activity(at: i64) -> f64 {
    let hour = at.rem_euclid(DAY) / HOUR;
    // 1970 began on a Thursday: the days 2 and 3 after it were a weekend.
    let day = at.div_euclid(DAY).rem_euclid(7);
    let by_hour = match hour {
        8..=17 => 1.0,
        6..=7 | 18..=21 => 0.4,
        _ => 0.08,
    };
    let by_day = if matches!(day, 2 | 3) { 0.25 } else { 1.0 };
    by_hour * by_day
}

/// A time at or after this one at which someone is likely to be at work.
pub(super) fn likely(at: i64, rng: &mut impl Rng) -> i64 {
    let mut at = at;
    for _ in 0..12 {
        if rng.random_bool(activity(at)) {
            return at;
        }
        at += gap(3 * HOUR, rng);
    }
    at
}

/// A gap between two events that come at random, of this mean.
pub(super) fn gap(mean: i64, rng: &mut impl Rng) -> i64 {
    let uniform: f64 = rng.random();
    let gap = -(1.0 - uniform).ln() * mean as f64;
    (gap as i64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saturday_night_is_quieter_than_a_monday_morning() {
        // 2026-01-31 was a Saturday.
        let saturday_night = 1_769_817_600 * SECOND + 2 * HOUR;
        let monday_morning = saturday_night + 2 * DAY + 8 * HOUR;
        assert!(activity(saturday_night) < 0.05);
        assert!((activity(monday_morning) - 1.0).abs() < f64::EPSILON);
    }
}
