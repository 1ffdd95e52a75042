//! The circuit breaker of one place: closed, open, half-open.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use statrs::function::beta::beta_reg;

use crate::ids::Timestamp;

const SECOND: i64 = 1_000_000;

/// The first wait, and the longest that grows out of it: 1 s and 2 min, as in gRPC's connection back-off protocol.
const FIRST_WAIT: i64 = SECOND;
const LONGEST_WAIT: i64 = 120 * SECOND;

/// The longest wait that a provider may ask for. What it says of tomorrow is looked at again each hour: quotas are
/// raised and accounts topped up, and a probe costs one request.
const LONGEST_ASKED: i64 = 3_600 * SECOND;

/// Failures that are further apart than this are not of one outage.
const RUN_LIFE: i64 = 1_800 * SECOND;

/// How long a probe is waited for. One that has said nothing by then is taken to be lost: a caller that only decides
/// makes the call itself and never tells.
const PROBE_LIFE: i64 = 60 * SECOND;

/// How sure it must be that a place answers less than half of its calls.
const SURE: f64 = 0.95;

/// The normal distribution's quantile at [`SURE`].
const QUANTILE: f64 = 1.644_853_6;

/// Failures of an outage that are remembered when a probe was answered: one fewer than open it.
const REMEMBERED: u32 = 4;

/// Whether P(availability < 1/2) > 0.95, when one imagined answer stands beside what was seen: the Beta's distribution
/// function at one half, `I_½(1 + answers, failures)`.
pub(super) fn is_down(answers: u32, failures: u32) -> bool {
    let (alpha, beta) = (1.0 + f64::from(answers), f64::from(failures));
    if answers >= failures {
        return false;
    }
    if alpha + beta < 1_000.0 {
        return beta_reg(alpha, beta, 0.5) > SURE;
    }
    // P(Bin(alpha + beta - 1, ½) >= alpha), which the normal distribution gives to three digits by then.
    let coins = alpha + beta - 1.0;
    (coins / 2.0 - alpha + 0.5) / (coins.sqrt() / 2.0) > QUANTILE
}

/// One request at a time.
///
/// It is given back only by a probe of which nothing came; one that was answered or failed ends the window that the
/// permit belongs to. So whoever still looks at the old window finds it taken.
#[derive(Debug)]
pub struct Permit(AtomicI64);

impl Permit {
    const FREE: i64 = i64::MIN;

    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(Self::FREE)))
    }

    /// Takes it, if nobody has it or who had it is taken to be lost.
    fn take(self: &Arc<Self>, now: Timestamp) -> Option<Probe> {
        let taken = self.0.load(Ordering::Relaxed);
        let is_free = taken == Self::FREE || now.0 < taken || now.0.saturating_sub(taken) >= PROBE_LIFE;
        let mine = now.0.max(Self::FREE + 1);
        (is_free && self.0.compare_exchange(taken, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok())
            .then(|| Probe { permit: Arc::clone(self), mine })
    }
}

/// The right of one request to try a place that was down.
#[derive(Debug, Clone)]
pub struct Probe {
    permit: Arc<Permit>,
    mine: i64,
}

impl Probe {
    /// Nothing came of it: another may try.
    pub fn give_back(&self) {
        let _ = self.permit.0.compare_exchange(self.mine, Permit::FREE, Ordering::AcqRel, Ordering::Relaxed);
    }

    pub(super) fn is_of(&self, permit: &Arc<Permit>) -> bool {
        Arc::ptr_eq(&self.permit, permit)
    }
}

/// A stretch of time in which a place is left alone.
#[derive(Debug, Clone)]
pub(super) struct Window {
    from: Timestamp,
    wait: i64,
    pub(super) permit: Arc<Permit>,
}

impl Window {
    fn new(from: Timestamp, wait: i64) -> Self {
        Self { from, wait, permit: Permit::new() }
    }

    /// Microseconds until it is over. A clock that has jumped back behind its beginning ends it.
    pub(super) fn left(&self, now: Timestamp) -> i64 {
        let waited = now.0.saturating_sub(self.from.0);
        if waited < 0 { 0 } else { self.wait.saturating_sub(waited).max(0) }
    }

    pub(super) fn probe(&self, now: Timestamp) -> Option<Probe> {
        self.permit.take(now)
    }
}

/// What was seen since answers and failures were last even. Below that, a walk that counts failures up and answers down
/// has a new low, which is where a change for the worse begins at the earliest (Page 1954).
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    answers: u32,
    failures: u32,
    /// When the last failure was known, in microseconds.
    last: i64,
}

/// When a call was made, and when it ended.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When the call was made.
    pub started: Timestamp,
    /// When its outcome was known.
    pub ended: Timestamp,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Breaker {
    run: Run,
    /// How often it opened since it was last well.
    tries: u32,
    pub(super) open: Option<Window>,
    /// The provider asked for it.
    pub(super) held: Option<Window>,
}

impl Breaker {
    /// Takes a failure in. Returns whether that changed what may be called.
    pub(super) fn failed(&mut self, times: Times, asked: Option<i64>, jitter: f64) -> bool {
        let (now, asked) = (times.ended, asked.map(|wait| wait.clamp(0, LONGEST_ASKED)));
        match &self.open {
            // Made before the place was known to be down, or by a caller who insisted: no news.
            Some(window) if is_early(window, times) => false,
            Some(_) => self.open(now, asked, jitter),
            None => {
                let apart = now.0.saturating_sub(self.run.last);
                if apart > RUN_LIFE {
                    (self.run, self.tries) = (Run::default(), 0);
                }
                self.run.failures = self.run.failures.saturating_add(1);
                self.run.last = now.0;
                if is_down(self.run.answers, self.run.failures) {
                    return self.open(now, asked, jitter);
                }
                self.held = asked.map(|wait| Window::new(now, wait)).or(self.held.take());
                asked.is_some()
            }
        }
    }

    /// Takes failures in that turned out to be of this place, and opens. Always changes what may be called.
    pub(super) fn accused(&mut self, failures: u32, now: Timestamp, asked: Option<i64>, jitter: f64) -> bool {
        self.run = Run { answers: 0, failures, last: now.0 };
        self.open(now, asked.map(|wait| wait.clamp(0, LONGEST_ASKED)), jitter)
    }

    /// What was held against the place was another's doing.
    pub(super) fn forgive(&mut self) {
        *self = Self { held: self.held.take(), ..Self::default() };
    }

    /// Takes an answer in. Returns whether that changed what may be called.
    pub(super) fn answered(&mut self, times: Times) -> bool {
        let now = times.ended;
        let freed = self.held.take_if(|held| held.left(now) == 0).is_some();
        let closed = match &self.open {
            // A call from before the outage that was still answered says nothing of what came since.
            Some(window) if times.started < window.from && now >= window.from => return freed,
            Some(_) => {
                self.open = None;
                self.run.failures = self.run.failures.min(REMEMBERED);
                true
            }
            None => freed,
        };
        self.run.answers = self.run.answers.saturating_add(1);
        if self.run.answers >= self.run.failures {
            (self.run, self.tries) = (Run::default(), 0);
        }
        closed
    }

    fn open(&mut self, now: Timestamp, asked: Option<i64>, jitter: f64) -> bool {
        let wait = back_off(self.tries, jitter).max(asked.unwrap_or(0));
        self.tries = self.tries.saturating_add(1);
        self.open = Some(Window::new(now, wait));
        self.held = None;
        true
    }

    /// Whether the place is as good as one that was never seen to fail.
    pub(super) fn is_clean(&self, now: Timestamp) -> bool {
        self.open.is_none() && self.run.failures == 0 && self.held.as_ref().is_none_or(|h| h.left(now) == 0)
    }
}

/// Whether a call that failed was made before its turn: such a call is no probe.
fn is_early(window: &Window, times: Times) -> bool {
    let began = times.started.0.saturating_sub(window.from.0);
    times.ended >= window.from && began < window.wait
}

/// The wait before try number `tries` (from 0), in microseconds: `min(1 s · 2^tries, 2 min)`, a fifth more or less by
/// `jitter` in 0..=1, so that many processes do not try in step.
pub(super) fn back_off(tries: u32, jitter: f64) -> i64 {
    let wait = FIRST_WAIT.checked_shl(tries.min(20)).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.5 };
    (wait as f64 * (0.8 + 0.4 * jitter)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_a_row_show_that_a_place_is_down_and_a_few_answers_call_for_more() {
        for (answers, failures) in [(0, 5), (1, 7), (2, 9), (3, 10)] {
            assert!(is_down(answers, failures), "{answers} {failures}");
            assert!(!is_down(answers, failures - 1), "{answers} {failures}");
        }
        assert!(!is_down(0, 0) && !is_down(u32::MAX, 0) && !is_down(u32::MAX, u32::MAX));
        assert!(is_down(0, u32::MAX) && is_down(u32::MAX / 2, u32::MAX));
    }

    #[test]
    fn long_runs_are_judged_alike_by_the_exact_and_by_the_normal_distribution() {
        let least = |total: u32| (0..total).find(|&answers| !is_down(answers, total - answers)).unwrap();
        // The last that is exact, and the first that is not.
        assert!(least(999).abs_diff(least(998)) <= 1, "{} {}", least(998), least(999));
        assert!(least(1_200).abs_diff(600 - 29) <= 1, "{}", least(1_200));
    }

    #[test]
    fn waits_double_up_to_two_minutes_and_jitter_is_a_fifth() {
        let waits: Vec<i64> = (0..9).map(|tries| back_off(tries, 0.5) / SECOND).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        assert_eq!(back_off(u32::MAX, 1.0), 144 * SECOND);
        assert_eq!((back_off(0, 0.0), back_off(0, 9.0)), (800_000, 1_200_000));
        assert_eq!(back_off(0, f64::NAN), SECOND);
    }

    #[test]
    fn one_permit_is_held_by_one_until_it_is_given_back_or_lost() {
        let permit = Permit::new();
        let first = permit.take(Timestamp(5)).unwrap();
        assert!(permit.take(Timestamp(6)).is_none());
        first.give_back();
        let second = permit.take(Timestamp(7)).unwrap();
        // Given back again, it is no longer the first one's to give.
        first.give_back();
        assert!(permit.take(Timestamp(8)).is_none());
        let third = permit.take(Timestamp(7 + PROBE_LIFE)).expect("the second is taken to be lost");
        second.give_back();
        assert!(permit.take(Timestamp(8 + PROBE_LIFE)).is_none());
        assert!(permit.take(Timestamp(0)).is_some(), "a clock that jumped back does not lock it for ever");
        drop(third);
    }
}
