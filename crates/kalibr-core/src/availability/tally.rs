//! Answers and failures by the minute: the integers that the estimate is computed from.

use std::collections::VecDeque;

use crate::ids::Timestamp;
use crate::posterior::Beta;

const MINUTE: i64 = 60_000_000;

/// Minutes after which an answer or a failure counts half.
const HALF_LIFE: f64 = 30.0;

/// Minutes that are kept: 8 half-lives, by when what is left counts less than 1 in 250.
const KEPT: i64 = 240;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Minute {
    /// Minutes since 1970.
    at: i64,
    answered: u32,
    failed: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Oldest first, none twice.
    minutes: VecDeque<Minute>,
}

impl Tally {
    /// How far back anything counts, in microseconds.
    pub(super) const MEMORY: i64 = KEPT * MINUTE;

    pub(crate) fn add(&mut self, now: Timestamp, answered: u32, failed: u32) {
        let at = now.0.div_euclid(MINUTE);
        let mut here = Minute { at, answered, failed };
        // What a clock that has jumped back since calls the future has happened by now.
        while let Some(last) = self.minutes.pop_back_if(|last| last.at >= at) {
            here.answered = here.answered.saturating_add(last.answered);
            here.failed = here.failed.saturating_add(last.failed);
        }
        while self.minutes.front().is_some_and(|first| first.at < at.saturating_sub(KEPT)) {
            self.minutes.pop_front();
        }
        self.minutes.push_back(here);
    }

    /// Takes the latest failures off again, for they were not of this place. Returns how many there were, at most
    /// `most`.
    pub(super) fn take_back(&mut self, most: u32) -> u32 {
        let mut left = most;
        for minute in self.minutes.iter_mut().rev() {
            let taken = left.min(minute.failed);
            minute.failed -= taken;
            left -= taken;
        }
        most - left
    }

    /// P(it answers); `None` while nothing has failed lately.
    ///
    /// `Beta(1 + Σ w a, Σ w f)` with `w = 2^(-age / 30 min)`: one imagined answer stands beside what was seen, so that a
    /// place is taken to work until it is seen to fail.
    pub(crate) fn available(&self, now: Timestamp) -> Option<Beta> {
        let at = now.0.div_euclid(MINUTE);
        let (mut answered, mut failed) = (0.0, 0.0);
        for minute in &self.minutes {
            let age = at.saturating_sub(minute.at).max(0);
            if age > KEPT {
                continue;
            }
            let weight = (-(age as f64) / HALF_LIFE).exp2();
            answered += weight * f64::from(minute.answered);
            failed += weight * f64::from(minute.failed);
        }
        (failed > 0.0).then_some(Beta { alpha: 1.0 + answered, beta: failed })
    }

    /// Whether anything still counts.
    pub(super) fn is_empty(&self, now: Timestamp) -> bool {
        let at = now.0.div_euclid(MINUTE);
        self.minutes.back().is_none_or(|last| last.at < at.saturating_sub(KEPT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp(minute * MINUTE)
    }

    #[test]
    fn what_was_seen_counts_half_after_half_an_hour() {
        let mut tally = Tally::default();
        tally.add(at(100), 8, 4);
        assert_eq!(tally.available(at(100)), Some(Beta { alpha: 9.0, beta: 4.0 }));
        assert_eq!(tally.available(at(130)), Some(Beta { alpha: 5.0, beta: 2.0 }));
        assert_eq!(tally.available(at(100 + KEPT + 1)), None);
        assert!(tally.is_empty(at(100 + KEPT + 1)) && !tally.is_empty(at(130)));
    }

    #[test]
    fn a_place_that_has_not_failed_is_taken_to_answer_for_certain() {
        let mut tally = Tally::default();
        tally.add(at(0), 1_000, 0);
        assert_eq!(tally.available(at(0)), None);
    }

    #[test]
    fn a_clock_that_jumps_back_loses_nothing_and_counts_nothing_twice() {
        let mut tally = Tally::default();
        tally.add(at(1_000_000), 3, 2);
        tally.add(at(1_000), 1, 0);
        assert_eq!(tally.available(at(1_000)), Some(Beta { alpha: 5.0, beta: 2.0 }));
        assert_eq!(tally.available(at(1_030)), Some(Beta { alpha: 3.0, beta: 1.0 }));
        // Back before everything that it knows: ages are never negative.
        assert_eq!(tally.available(at(-5)), Some(Beta { alpha: 5.0, beta: 2.0 }));
    }

    #[test]
    fn a_clock_at_its_ends_is_no_reason_to_panic() {
        let mut tally = Tally::default();
        for now in [i64::MAX, i64::MIN, 0, i64::MIN, i64::MAX] {
            tally.add(Timestamp(now), 1, 1);
            assert!(tally.available(Timestamp(i64::MIN)).is_some_and(|beta| beta.beta > 0.0));
            tally.available(Timestamp(i64::MAX));
        }
    }
}
