//! The signals that come in by name, and what each of them means.
//!
//! One table for every client: our own names and those of the Kalibr clients. A name that is not in it is an error and
//! never a middling signal: a typing slip must not be learned from.

use kalibr_core::evidence::{OutOfRange, Source, Strength, Value};

/// A signal that may come in by name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignalType {
    /// The name that senders use.
    pub name: &'static str,
    /// Where such a signal stands on the ladder.
    pub source: Source,
    /// What it says.
    pub value: Value,
    /// What it means, for documentation.
    pub meaning: &'static str,
    strength: f64,
}

impl SignalType {
    /// How well the answer served when the sender gives no strength.
    pub fn default_strength(&self) -> Strength {
        Strength::new(self.strength).unwrap_or_else(|_| self.value.default_strength())
    }
}

const fn row(
    name: &'static str,
    source: Source,
    value: Value,
    strength: f64,
    meaning: &'static str,
) -> SignalType {
    SignalType { name, source, value, meaning, strength }
}

/// All signal types.
///
/// | name | source | value | strength | the user ... |
/// |---|---|---|---|---|
/// | `user_accepted` | explicit | `user_accepted` | 1 | said that it is good |
/// | `user_rejected` | explicit | `user_rejected` | 0 | said that it is not good |
/// | `output_used_verbatim` | action | `output_used_verbatim` | 1 | used it as it was |
/// | `output_copied`, `downstream_use`, `action_copy`, `copy` | action | `output_copied` | 0.9 | copied it, or used it further on |
/// | `output_edited` | action | `output_edited` | 0.4, or [`edit_strength`] | changed it before use |
/// | `edit_small` | action | `output_edited` | 0.8, or [`edit_strength`] | changed a little of it |
/// | `edit_large` | action | `output_edited` | 0.2, or [`edit_strength`] | changed most of it |
/// | `output_discarded`, `abandonment` | action | `output_discarded` | 0 | threw it away, or left it unused |
/// | `retry` | turn | `rejection` | 0 | asked for the same again |
///
/// Names of the Kalibr clients that could mean two things are left out: `action_share`, `action_save` and
/// `action_dismiss` do not say what became of the answer, and `pipeline_anchor` is no signal.
pub const SIGNAL_TYPES: [SignalType; 13] = [
    row(
        "user_accepted",
        Source::Explicit,
        Value::UserAccepted,
        1.0,
        "The user said that the answer is good.",
    ),
    row(
        "user_rejected",
        Source::Explicit,
        Value::UserRejected,
        0.0,
        "The user said that the answer is not good.",
    ),
    row(
        "output_used_verbatim",
        Source::Action,
        Value::OutputUsedVerbatim,
        1.0,
        "The user used the answer as it was.",
    ),
    row("output_copied", Source::Action, Value::OutputCopied, 0.9, "The user copied the answer."),
    row(
        "output_edited",
        Source::Action,
        Value::OutputEdited,
        0.4,
        "The user changed the answer before using it; how much is graded where it is known.",
    ),
    row("output_discarded", Source::Action, Value::OutputDiscarded, 0.0, "The user threw the answer away."),
    row("downstream_use", Source::Action, Value::OutputCopied, 0.9, "The answer was used further on."),
    row("action_copy", Source::Action, Value::OutputCopied, 0.9, "The user copied the answer."),
    row("copy", Source::Action, Value::OutputCopied, 0.9, "The user copied the answer."),
    row("edit_small", Source::Action, Value::OutputEdited, 0.8, "The user changed a little before using it."),
    row(
        "edit_large",
        Source::Action,
        Value::OutputEdited,
        0.2,
        "The user changed most of it before using it.",
    ),
    row("abandonment", Source::Action, Value::OutputDiscarded, 0.0, "The user left the answer unused."),
    row("retry", Source::Turn, Value::Rejection, 0.0, "The user asked for the same again."),
];

/// A signal type that nobody knows.
///
/// Its text lists the known types. It repeats the unknown one only where that reads as a slip of one: at most 40
/// characters of `a-z` and `_`. Anything else may be what a user wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}; use one of {}", self.what(), self.known.join(", "))]
pub struct UnknownSignal {
    named: Option<String>,
    actions_only: bool,
    known: Vec<&'static str>,
}

impl UnknownSignal {
    fn new(name: &str, actions_only: bool) -> Self {
        let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
        let identifier = (1..=40).contains(&name.len()) && name.bytes().all(plain);
        let known = SIGNAL_TYPES.iter().filter(|t| !actions_only || is_action(t));
        Self {
            named: identifier.then(|| name.to_owned()),
            actions_only,
            known: known.map(|t| t.name).collect(),
        }
    }

    fn what(&self) -> String {
        let kind = if self.actions_only { "action type" } else { "signal type" };
        match &self.named {
            Some(name) => format!("{name} is no {kind}"),
            None => format!("the {kind} is not a known one"),
        }
    }

    /// The names that would have been understood.
    pub fn known(&self) -> &[&'static str] {
        &self.known
    }
}

/// The signal type of this name, of any source.
///
/// # Errors
/// [`UnknownSignal`] when there is none; names are matched exactly.
///
/// ```
/// use kalibr_core::evidence::Source;
///
/// assert_eq!(kalibr_signals::vocabulary::lookup("user_accepted").unwrap().source, Source::Explicit);
/// assert!(kalibr_signals::vocabulary::lookup("thumbs_down").is_err());
/// ```
pub fn lookup(name: &str) -> Result<&'static SignalType, UnknownSignal> {
    SIGNAL_TYPES.iter().find(|t| t.name == name).ok_or_else(|| UnknownSignal::new(name, false))
}

/// What is not said but done. `retry` is: that it counts as a follow-up message is about how sure it is.
const fn is_action(kind: &SignalType) -> bool {
    !matches!(kind.source, Source::Explicit)
}

/// The action of this name.
///
/// # Errors
/// [`UnknownSignal`], listing the actions alone, when there is none; that holds for what users say, too.
///
/// ```
/// let error = kalibr_signals::vocabulary::action("output_used_verbatm").unwrap_err().to_string();
/// assert!(error.contains("output_used_verbatim"));
/// ```
pub fn action(name: &str) -> Result<&'static SignalType, UnknownSignal> {
    lookup(name).ok().filter(|t| is_action(t)).ok_or_else(|| UnknownSignal::new(name, true))
}

/// How well an answer served whose user changed this part of it: 0 is nothing, 1 is everything.
///
/// The map falls steadily, `0.9 * (1 - edit_ratio)^2`. An answer that needed no change was still only copied (0.9), a
/// rewritten one served as little as a discarded one (0), and a third changed gives 0.4, what an edit counts for while
/// its size is unknown. The curve bends because users keep what was right: a light polish hardly speaks against an
/// answer, and half of it rewritten speaks for little. `edit_ratio` is 1 less the similarity of [`crate::edit`].
///
/// The map is the same for all goals. To learn it for each would take something that knows better than a user's deed how
/// well the answer served, and nothing stands above an action on the ladder: explicit verdicts are themselves graded by
/// actions ([`kalibr_core::reliability`]), so a map that was fitted to them would be fitted to itself. What can be seen
/// is written: edits enter with their own strength, and no value stands for several of them.
///
/// # Errors
/// [`OutOfRange`] for a number outside 0..=1, an infinity or not a number.
///
/// ```
/// use kalibr_signals::vocabulary::edit_strength;
///
/// assert!(edit_strength(0.05).unwrap() > edit_strength(0.6).unwrap());
/// assert!(edit_strength(1.5).is_err());
/// ```
pub fn edit_strength(edit_ratio: f64) -> Result<Strength, OutOfRange> {
    let kept = 1.0 - Strength::new(edit_ratio).map(|_| edit_ratio)?;
    Strength::new(0.9 * kept * kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_type_is_known_by_one_name_and_says_what_its_source_can_say() {
        for (i, t) in SIGNAL_TYPES.iter().enumerate() {
            assert_eq!(lookup(t.name), Ok(t));
            assert!(t.value.code(t.source).is_some(), "{}", t.name);
            assert!(Strength::new(t.strength).is_ok(), "{}", t.name);
            assert!(SIGNAL_TYPES[i + 1..].iter().all(|other| other.name != t.name), "{}", t.name);
            assert!(t.meaning.ends_with('.'));
        }
    }

    #[test]
    fn a_value_under_its_own_name_has_the_strength_that_the_ladder_gives_it() {
        for t in SIGNAL_TYPES.iter().filter(|t| t.name == t.value.name()) {
            assert_eq!(t.default_strength(), t.value.default_strength(), "{}", t.name);
        }
    }

    #[test]
    fn an_unknown_type_is_an_error_that_lists_the_known_ones() {
        let error = lookup("thumbs_down").unwrap_err();
        assert_eq!(error.known().len(), SIGNAL_TYPES.len());
        let text = error.to_string();
        assert!(text.starts_with("thumbs_down is no signal type; use one of user_accepted, "), "{text}");
        for near in ["User_Accepted", "user_accepted ", "", "use"] {
            assert!(lookup(near).is_err(), "{near}");
        }
    }

    #[test]
    fn an_action_is_an_action_only_and_its_error_lists_no_other_signal() {
        assert!(action("output_edited").is_ok());
        assert_eq!(action("retry").unwrap().source, Source::Turn);
        for other in ["user_accepted", "user_rejected", "output_used_verbatm"] {
            let text = action(other).unwrap_err().to_string();
            assert!(text.starts_with(&format!("{other} is no action type; use one of ")), "{text}");
            assert!(text.contains("output_discarded") && text.contains(", retry"), "{text}");
            assert!(!text.contains(", user_accepted"), "{text}");
        }
    }

    #[test]
    fn what_does_not_read_as_an_identifier_is_not_repeated() {
        for text in ["my name is Ann", "ANN", "ann@example.org", "straße", &"a".repeat(65)] {
            let error = lookup(text).unwrap_err();
            assert!(!error.to_string().contains(text), "{error}");
            assert!(!format!("{error:?}").contains(text), "{error:?}");
        }
    }

    #[test]
    fn an_edit_of_unknown_size_counts_like_one_of_a_third() {
        let third = edit_strength(1.0 / 3.0).unwrap().get();
        assert!((third - Value::OutputEdited.default_strength().get()).abs() < 1e-5);
        assert_eq!(edit_strength(0.0).unwrap(), Value::OutputCopied.default_strength());
        assert_eq!(edit_strength(1.0).unwrap(), Strength::ZERO);
    }

    #[test]
    fn a_part_outside_its_range_is_refused() {
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(edit_strength(bad), Err(OutOfRange));
        }
    }

    proptest! {
        #[test]
        fn more_change_never_counts_for_more(a in 0.0..=1.0f64, b in 0.0..=1.0f64) {
            let (less, more) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(edit_strength(less).unwrap() >= edit_strength(more).unwrap());
        }

        #[test]
        fn any_name_is_either_known_or_a_clear_error(name in any::<String>()) {
            if let Err(error) = lookup(&name) {
                prop_assert!(error.to_string().contains("use one of"));
            }
        }
    }
}
