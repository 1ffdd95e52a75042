//! What the user's next message says of the answer before it.
//!
//! Most follow-ups say nothing of it: of real ones about one in six rejects and one in a hundred praises. So the
//! classifier must be able to keep silent, and its errors must be silences. Looking for keywords as substrings does
//! the opposite: it finds "no" in "I know" and takes a request to go on for a rejection.

mod phrases;
mod weigh;
mod words;

use std::marker::PhantomData;

use kalibr_core::evidence::Value;
use serde::{Deserialize, Serialize};

/// No more of a message than this is read: verdicts come early, pasted text comes late, and work stays bounded.
pub const MAX_CHARS: usize = 4_000;

/// Log-odds of an acceptance or rejection before a word is read: continuation is the rule.
const PRIOR: f64 = -2.5;
/// More evidence than this for one side adds nothing: repetition is no proof.
const MOST: f64 = 7.0;

/// What a follow-up message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnLabel {
    /// It accepts the answer.
    Acceptance,
    /// It rejects the answer.
    Rejection,
    /// It goes on, and says nothing of the answer.
    Continuation,
}

impl TurnLabel {
    /// Its name: `acceptance`, `rejection` or `continuation`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acceptance => "acceptance",
            Self::Rejection => "rejection",
            Self::Continuation => "continuation",
        }
    }
}

/// What a rejection finds fault with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Too long, too short.
    Length,
    /// Too formal, too casual, rude, sounds like a machine.
    Tone,
    /// The wrong shape: not a table, not JSON, the wrong language.
    Format,
    /// Not what was asked for.
    Content,
    /// Not true, or it does not work.
    Factuality,
    /// Something is missing.
    Completeness,
}

/// What spoke for a verdict. A closed list: a name from it may be logged and kept, a user's words may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clue {
    /// Phrases that read as praise of the answer.
    Praise,
    /// Phrases that read as a complaint about it.
    Complaint,
}

/// A clue, and how much it added to the log-odds of the label against the others; negative where it spoke against it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// What it was.
    pub clue: Clue,
    /// What it added, in nats.
    pub contribution: f64,
}

/// What came before a message, as far as it is known.
///
/// A prompt or an answer is never kept as text, so what is known of one is its keyed fingerprint.
#[derive(Debug, Clone, Copy, Default)]
pub struct Before<'a> {
    known: PhantomData<&'a ()>,
}

/// How a message was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The most probable label, also when nothing is asserted.
    pub label: TurnLabel,
    /// Probability of an acceptance, in 0..=1; the three sum to 1.
    pub acceptance: f64,
    /// Probability of a rejection, in 0..=1.
    pub rejection: f64,
    /// Probability that it says nothing of the answer, in 0..=1.
    pub continuation: f64,
    /// What would become a signal: [`Value::Acceptance`] or [`Value::Rejection`] at or above its threshold. A
    /// continuation, and anything below the threshold, asserts nothing.
    pub asserted: Option<Value>,
    /// What a rejection finds fault with, where that can be told; `None` for any other label.
    pub dimension: Option<Dimension>,
    /// What decided, the weightiest first.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// The probability of [`label`](Self::label), in 1/3..=1.
    pub fn confidence(&self) -> f64 {
        match self.label {
            TurnLabel::Acceptance => self.acceptance,
            TurnLabel::Rejection => self.rejection,
            TurnLabel::Continuation => self.continuation,
        }
    }
}

/// The probabilities from which a verdict is asserted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Of an acceptance. Above 1, or not a number: none is asserted.
    pub acceptance: f64,
    /// Of a rejection. Above 1, or not a number: none is asserted.
    pub rejection: f64,
}

impl Default for Thresholds {
    /// Just below what one firm phrase gives by itself, and far above a hint: whoever says "this is wrong" is heard,
    /// whoever says "please correct the date" is not taken to have rejected.
    fn default() -> Self {
        Self { acceptance: 0.8, rejection: 0.8 }
    }
}

/// Classifies a follow-up message at the default [`Thresholds`].
///
/// Any text is fine; of a long one the first [`MAX_CHARS`] characters are read.
///
/// ```
/// use kalibr_core::evidence::Value;
/// use kalibr_signals::turn::{Before, classify};
///
/// let asserted = |message: &str| classify(message, &Before::default()).asserted;
/// assert_eq!(asserted("This is wrong, try again."), Some(Value::Rejection));
/// assert_eq!(asserted("Perfect, thanks!"), Some(Value::Acceptance));
/// assert_eq!(asserted("Thanks, now do the second chapter"), None);
/// ```
pub fn classify(message: &str, before: &Before<'_>) -> Verdict {
    classify_with(message, before, &Thresholds::default())
}

/// Classifies a follow-up message, asserting only what reaches its threshold.
///
/// A low threshold still asserts only the most probable label.
pub fn classify_with(message: &str, _before: &Before<'_>, thresholds: &Thresholds) -> Verdict {
    let (praise, complaint) = weigh::weigh(&words::clauses(message, MAX_CHARS));
    let odds = |evidence: f64| (PRIOR + evidence.clamp(0.0, MOST)).exp();
    let (accept, reject) = (odds(praise), odds(complaint));
    let total = 1.0 + accept + reject;
    let (acceptance, rejection) = (accept / total, reject / total);
    let (label, sign, asserted) = if accept.max(reject) <= 1.0 {
        (TurnLabel::Continuation, -1.0, None)
    } else if accept > reject {
        let asserted = (acceptance >= thresholds.acceptance).then_some(Value::Acceptance);
        (TurnLabel::Acceptance, 1.0, asserted)
    } else {
        let asserted = (rejection >= thresholds.rejection).then_some(Value::Rejection);
        (TurnLabel::Rejection, 1.0, asserted)
    };
    let mut reasons = vec![
        Reason { clue: Clue::Praise, contribution: sign * praise },
        Reason { clue: Clue::Complaint, contribution: sign * complaint },
    ];
    reasons.retain(|reason| reason.contribution != 0.0);
    reasons.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    Verdict { label, acceptance, rejection, continuation: 1.0 / total, asserted, dimension: None, reasons }
}

#[cfg(test)]
mod tests;
