//! What a session says that nobody gave a verdict on.
//!
//! A session is a row of runs and messages. It has ended where nothing happened for a while, or where the caller says so,
//! and may go on afterwards. That it ended says nothing: silence is neither acceptance nor rejection. What its messages
//! sounded like before may say a little, where each of them was too vague to assert anything by itself:
//!
//! - the latest message leaned towards acceptance: the answer before it [ended the session
//!   well](Value::EndedWell);
//! - it leaned towards rejection, and no answer came after it: the user [left with a
//!   complaint](Value::EndedBadly). Where another answer came, nobody knows whether that one helped;
//! - the messages up to one sounded better and better, or worse and worse: see [`crate::momentum`].
//!
//! Each speaks of the answer before its message, as a message itself does. All of it follows from the row alone, so whoever
//! reads the same row finds the same.

use kalibr_core::evidence::Value;
use kalibr_core::ids::Timestamp;

use crate::momentum::{Reading, WINDOW, tells};

/// The probability from which a last message leans to a side; it must be twice that of the other side, too. About half of
/// what a message needs to assert something by itself.
const LEANING: f64 = 0.4;

/// Something that happened in a session. The order of the variants is their order where they happened at one moment: a
/// message is about the run at or before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A run: an answer was given.
    Run,
    /// The user's next message.
    Message(Reading),
    /// The caller says that it is over.
    End,
}

/// One thing that a session says of the answer before the message at `at`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sign {
    /// When the message came.
    pub at: Timestamp,
    /// What it says: one of [`Value::EndedWell`], [`Value::EndedBadly`], [`Value::MomentumUp`] and
    /// [`Value::MomentumDown`].
    pub value: Value,
    /// How clearly, in 0..=1.
    pub confidence: f64,
}

/// What a session says, as far as it has ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Signs {
    /// Its signs, in order of time.
    pub signs: Vec<Sign>,
    /// The last message or end that they take in; `None` while no part of the session has ended.
    pub through: Option<Timestamp>,
}

/// Reads a session whose steps these are, in order of time, as it looks at `now`. It has ended where nothing happened for
/// `idle` microseconds, 0: only where the caller says so.
///
/// ```
/// use kalibr_core::evidence::Value;
/// use kalibr_core::ids::Timestamp;
/// use kalibr_signals::momentum::Reading;
/// use kalibr_signals::session::{Step, signs};
///
/// let steps = [
///     (Timestamp(0), Step::Run),
///     (Timestamp(10), Step::Message(Reading::new(0.55, 0.1))),
/// ];
/// let found = signs(&steps, 100, Timestamp(200));
/// assert_eq!(found.signs[0].value, Value::EndedWell);
/// assert!(signs(&steps, 100, Timestamp(50)).signs.is_empty()); // it may go on
/// assert!(signs(&steps[..1], 100, Timestamp(200)).signs.is_empty()); // silence
/// ```
pub fn signs(steps: &[(Timestamp, Step)], idle: i64, now: Timestamp) -> Signs {
    let mut found = Signs::default();
    let mut from = 0;
    for next in 1..=steps.len() {
        let (at, step) = steps[next - 1];
        let until = steps.get(next).map_or(now, |(at, _)| *at);
        let is_over = step == Step::End || (idle > 0 && until.since(at) >= idle);
        if is_over {
            stretch(&steps[from..next], &mut found);
            from = next;
        }
    }
    found
}

/// What one stretch without a break says.
fn stretch(steps: &[(Timestamp, Step)], found: &mut Signs) {
    let mut messages: Vec<(Timestamp, Reading)> = Vec::new();
    // Whether an answer came after the latest message.
    let mut answered = false;
    for (at, step) in steps {
        match step {
            Step::Run => answered = true,
            Step::Message(reading) => {
                answered = false;
                messages.push((*at, *reading));
                let upto: Vec<Reading> =
                    messages.iter().rev().take(WINDOW).rev().map(|(_, reading)| *reading).collect();
                let sign = tells(&upto).map(|(value, confidence)| Sign { at: *at, value, confidence });
                found.signs.extend(sign);
                found.through = Some(*at);
            }
            Step::End => found.through = Some(*at),
        }
    }
    let Some((at, last)) = messages.last() else { return };
    let (accepts, rejects) = (last.accepts(), last.rejects());
    let leans = |p: f64, other: f64| p >= LEANING && p >= 2.0 * other;
    let sign = match () {
        () if leans(accepts, rejects) => Some((Value::EndedWell, accepts)),
        () if leans(rejects, accepts) && !answered => Some((Value::EndedBadly, rejects)),
        () => None,
    };
    found.signs.extend(sign.map(|(value, confidence)| Sign { at: *at, value, confidence }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDLE: i64 = 100;

    fn said(accepts: f64, rejects: f64) -> Step {
        Step::Message(Reading::new(accepts, rejects))
    }

    fn values(steps: &[(i64, Step)], now: i64) -> Vec<Value> {
        let steps: Vec<_> = steps.iter().map(|(at, step)| (Timestamp(*at), *step)).collect();
        signs(&steps, IDLE, Timestamp(now)).signs.into_iter().map(|sign| sign.value).collect()
    }

    #[test]
    fn silence_says_nothing_however_long_it_lasts_and_whoever_ends_it() {
        assert_eq!(values(&[(0, Step::Run)], 1 << 40), []);
        assert_eq!(values(&[(0, Step::Run), (1, Step::End)], 2), []);
        assert_eq!(values(&[(0, Step::Run), (5, said(0.1, 0.1)), (9, Step::Run)], 1 << 40), []);
        assert_eq!(values(&[], 5), []);
    }

    #[test]
    fn who_leaves_on_a_good_note_was_served_also_where_a_farewell_came_after_it() {
        let thanked = [(0, Step::Run), (10, said(0.6, 0.05))];
        assert_eq!(values(&thanked, 200), [Value::EndedWell]);
        assert_eq!(values(&[thanked[0], thanked[1], (11, Step::Run)], 200), [Value::EndedWell]);
    }

    #[test]
    fn who_leaves_with_a_complaint_was_not_served_unless_another_answer_came_after_it() {
        let complained = [(0, Step::Run), (10, said(0.05, 0.6))];
        assert_eq!(values(&complained, 200), [Value::EndedBadly]);
        assert_eq!(values(&[complained[0], complained[1], (11, Step::Run)], 200), []);
    }

    #[test]
    fn a_message_that_leans_to_neither_side_is_no_note_to_end_on() {
        assert_eq!(values(&[(0, Step::Run), (10, said(0.45, 0.4))], 200), []);
    }

    #[test]
    fn a_session_that_may_go_on_says_nothing_yet_and_an_end_by_call_needs_no_wait() {
        let open = [(0, Step::Run), (10, said(0.6, 0.05))];
        assert_eq!(values(&open, 109), []);
        assert_eq!(values(&[open[0], open[1], (12, Step::End)], 13), [Value::EndedWell]);
    }

    #[test]
    fn a_session_that_goes_on_after_a_break_has_ended_once_more() {
        let steps = [(0, Step::Run), (10, said(0.6, 0.0)), (300, Step::Run), (310, said(0.0, 0.6))];
        assert_eq!(values(&steps, 311), [Value::EndedWell]);
        assert_eq!(values(&steps, 410), [Value::EndedWell, Value::EndedBadly]);
    }

    #[test]
    fn momentum_speaks_of_the_answer_before_each_message_and_not_over_a_break() {
        let souring = |gap: i64| {
            let moods = [0.1, 0.2, 0.35, 0.55];
            let step = |(i, rejects): (usize, &f64)| {
                let at = i as i64 * gap;
                [(at, Step::Run), (at + 1, said(0.0, *rejects)), (at + 2, Step::Run)]
            };
            moods.iter().enumerate().flat_map(step).collect::<Vec<_>>()
        };
        assert_eq!(values(&souring(10), 1 << 20), [Value::MomentumDown]);
        assert_eq!(values(&souring(500), 1 << 20), []);
    }

    fn steps() -> impl Strategy<Value = Vec<(Timestamp, Step)>> {
        let step = prop_oneof![
            3 => Just(Step::Run),
            4 => (0u8..=255, 0u8..=255).prop_map(|(a, r)| Step::Message(Reading {
                acceptance: a,
                rejection: r.min(255 - a),
            })),
            1 => Just(Step::End),
        ];
        prop::collection::vec((0i64..200, step), 0..20).prop_map(|steps| {
            let mut at = 0;
            let later = |(after, step): (i64, Step)| {
                at += after;
                (Timestamp(at), step)
            };
            steps.into_iter().map(later).collect()
        })
    }

    proptest! {
        #[test]
        fn what_was_said_of_an_ended_part_stays_as_it_was_whatever_comes_after_it(all in steps(), cut in 0usize..20) {
            // All that was known some time after the cut, and nothing had happened meanwhile.
            let cut = cut.min(all.len());
            let quiet = all[..cut].last().map_or(0, |(at, _)| at.0 + IDLE);
            prop_assume!(all.get(cut).is_none_or(|(at, _)| at.0 >= quiet));
            let early = signs(&all[..cut], IDLE, Timestamp(quiet));
            let late = signs(&all, IDLE, Timestamp(1 << 40));
            prop_assert_eq!(&late.signs[..early.signs.len()], &early.signs[..]);
        }

        #[test]
        fn every_sign_is_at_a_message_and_of_one_of_two_kinds_each(all in steps(), now in 0i64..5_000) {
            let found = signs(&all, IDLE, Timestamp(now));
            for sign in &found.signs {
                prop_assert!(all.iter().any(|(at, s)| *at == sign.at && matches!(s, Step::Message(_))));
                prop_assert!(found.through.is_some_and(|through| through >= sign.at));
                prop_assert!((0.0..=1.0).contains(&sign.confidence));
            }
            let ends = found.signs.iter().filter(|s| matches!(s.value, Value::EndedWell | Value::EndedBadly)).count();
            let breaks = all.iter().filter(|(_, step)| *step == Step::End).count()
                + all.windows(2).filter(|two| two[1].0.since(two[0].0) >= IDLE).count()
                + 1;
            prop_assert!(ends <= breaks);
        }
    }
}
