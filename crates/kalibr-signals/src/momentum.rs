//! Where a session's messages are heading.
//!
//! A user who is losing patience says so before saying it outright: each message alone asserts nothing, but the
//! probabilities that it is a complaint rise from one to the next. So the trajectory is looked at, of what the classifier
//! made of each message, and not of words that two messages share: a user who repeats a word may be content or not.
//!
//! With `m_i = acceptance_i − rejection_i` the mood of message `i`, in −1..=1, momentum over the last `k` messages is their
//! linear contrast,
//!
//! ```text
//! M = Σ w_i m_i,   w_i = (i − (k+1)/2) / Σ |j − (k+1)/2|,   i, j = 1..=k
//! ```
//!
//! which is the slope of the least-squares line through them, scaled so that −1 ≤ M ≤ 1 (for linear contrasts see
//! Montgomery, *Design and Analysis of Experiments*, ch. 3). It is 0 where the mood stays as it is, whatever it is, and
//! turns its sign when the messages come in the reverse order.

use kalibr_core::evidence::Value;

use crate::turn::Verdict;

/// Most messages that are looked at: what was before them is over.
pub const WINDOW: usize = 4;
/// Fewer messages have no trend: any two of them differ.
pub const SHORTEST: usize = 3;
/// From this momentum on, in either direction, it says something. Twice what the noise of the probabilities gives by
/// itself: messages without a verdict in them read as 0.1 ± 0.1 for either side, so their contrast is 0.07 off.
const TELLING: f64 = 0.15;

/// How one message read, as it is kept: two probabilities in steps of 1/255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reading {
    /// Probability that it accepts the answer before it.
    pub acceptance: u8,
    /// Probability that it rejects it.
    pub rejection: u8,
}

impl Reading {
    /// The reading of these probabilities; what lies outside 0..=1 is taken for the nearer end.
    ///
    /// ```
    /// use kalibr_signals::momentum::Reading;
    ///
    /// let reading = Reading::new(0.5, 0.0);
    /// assert!((reading.mood() - 0.5).abs() < 0.01);
    /// ```
    pub fn new(acceptance: f64, rejection: f64) -> Self {
        let step = |p: f64| (p.clamp(0.0, 1.0) * 255.0).round() as u8;
        Self { acceptance: step(acceptance), rejection: step(rejection) }
    }

    /// The probability of an acceptance, in 0..=1.
    pub fn accepts(self) -> f64 {
        f64::from(self.acceptance) / 255.0
    }

    /// The probability of a rejection, in 0..=1.
    pub fn rejects(self) -> f64 {
        f64::from(self.rejection) / 255.0
    }

    /// How content the message sounds, in −1..=1.
    pub fn mood(self) -> f64 {
        self.accepts() - self.rejects()
    }
}

impl From<&Verdict> for Reading {
    fn from(verdict: &Verdict) -> Self {
        Self::new(verdict.acceptance, verdict.rejection)
    }
}

/// The momentum of a session at its latest message, in −1..=1: below 0 it gets worse. 0 for fewer than [`SHORTEST`]
/// messages; of more than [`WINDOW`] the latest count.
///
/// ```
/// use kalibr_signals::momentum::{Reading, momentum};
///
/// let souring: Vec<Reading> = [0.05, 0.2, 0.4, 0.6].map(|rejects| Reading::new(0.0, rejects)).into();
/// assert!(momentum(&souring) < -0.2);
/// assert_eq!(momentum(&souring[..2]), 0.0);
/// ```
pub fn momentum(messages: &[Reading]) -> f64 {
    let latest = &messages[messages.len().saturating_sub(WINDOW)..];
    if latest.len() < SHORTEST {
        return 0.0;
    }
    let middle = (latest.len() as f64 - 1.0) / 2.0;
    let weights = (0..latest.len()).map(|i| i as f64 - middle);
    let whole: f64 = weights.clone().map(f64::abs).sum();
    let contrast: f64 = weights.zip(latest).map(|(weight, message)| weight * message.mood()).sum();
    (contrast / whole).clamp(-1.0, 1.0)
}

/// What the momentum at the latest message says of the answer before it, with how strong it is, in 0..=1. Nothing while it
/// is slight, and nothing where the latest message sounds the other way: who was furious and is merely annoyed by now has
/// not accepted anything.
pub fn tells(messages: &[Reading]) -> Option<(Value, f64)> {
    let (momentum, mood) = (momentum(messages), messages.last()?.mood());
    match () {
        () if momentum >= TELLING && mood > 0.0 => Some((Value::MomentumUp, momentum)),
        () if momentum <= -TELLING && mood < 0.0 => Some((Value::MomentumDown, -momentum)),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn readings() -> impl Strategy<Value = Vec<Reading>> {
        prop::collection::vec((0u8..=255, 0u8..=255), 0..12).prop_map(|all| {
            all.into_iter()
                .map(|(acceptance, rejection)| Reading {
                    acceptance,
                    rejection: rejection.min(255 - acceptance),
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn momentum_is_bounded_and_turns_round_with_the_order_of_the_messages(messages in readings()) {
            let latest = &messages[messages.len().saturating_sub(WINDOW)..];
            let forwards = momentum(latest);
            let backwards = momentum(&latest.iter().rev().copied().collect::<Vec<_>>());
            prop_assert!((-1.0..=1.0).contains(&forwards));
            prop_assert!((forwards + backwards).abs() < 1e-12);
        }

        #[test]
        fn a_session_that_is_too_short_or_stays_as_it_is_has_none(messages in readings(), n in 0usize..10) {
            prop_assert_eq!(momentum(&messages[..messages.len().min(SHORTEST - 1)]), 0.0);
            if let Some(one) = messages.first() {
                prop_assert!(momentum(&vec![*one; n]).abs() < 1e-12);
                prop_assert_eq!(tells(&vec![*one; n]), None);
            }
        }

        #[test]
        fn a_latest_message_that_sounds_better_never_makes_it_worse(messages in readings(), more in 0u8..=255) {
            prop_assume!(!messages.is_empty());
            let mut better = messages.clone();
            let last = better.last_mut().unwrap();
            last.acceptance = last.acceptance.saturating_add(more);
            last.rejection = last.rejection.saturating_sub(more);
            prop_assert!(momentum(&better) >= momentum(&messages) - 1e-12);
        }

        #[test]
        fn what_is_older_than_the_window_is_over(messages in readings(), older in readings()) {
            prop_assume!(messages.len() >= WINDOW);
            let all: Vec<Reading> = older.into_iter().chain(messages.clone()).collect();
            prop_assert_eq!(momentum(&all), momentum(&messages));
        }

        #[test]
        fn what_it_tells_agrees_with_the_latest_message(messages in readings()) {
            if let Some((value, strength)) = tells(&messages) {
                prop_assert_eq!(value == Value::MomentumUp, messages.last().unwrap().mood() > 0.0);
                prop_assert!((TELLING..=1.0).contains(&strength));
            }
        }
    }

    #[test]
    fn rising_complaints_are_heard_before_one_of_them_would_be_by_itself() {
        let rising: Vec<Reading> = [0.1, 0.3, 0.55].map(|rejects| Reading::new(0.02, rejects)).into();
        assert!(matches!(tells(&rising), Some((Value::MomentumDown, _))));
        let calming: Vec<Reading> = rising.into_iter().rev().collect();
        assert_eq!(tells(&calming), None, "less annoyed is not content");
    }

    #[test]
    fn a_probability_is_kept_to_a_quarter_of_a_percent() {
        for p in 0..=1_000 {
            let p = f64::from(p) / 1_000.0;
            let kept = Reading::new(p, 1.0 - p);
            assert!((kept.accepts() - p).abs() <= 0.002 && (kept.rejects() - (1.0 - p)).abs() <= 0.002);
        }
        assert_eq!(Reading::new(f64::NAN, 2.0), Reading { acceptance: 0, rejection: 255 });
    }
}
