//! What the user's next message says of the answer before it.
//!
//! Most follow-ups say nothing of it: of real ones about one in six rejects and one in a hundred praises. So the
//! classifier must be able to keep silent, and its errors must be silences. Looking for keywords as substrings does
//! the opposite: it finds "no" in "I know" and takes a request to go on for a rejection.

mod before;
mod cues;
mod dimension;
mod features;
mod fold;
mod litotes;
mod model;
mod page;
mod phrases;
mod task;
mod told;
pub mod training;
mod weigh;
mod words;

use std::borrow::Cow;
use std::sync::LazyLock;

use kalibr_core::evidence::Value;
use serde::{Deserialize, Serialize};

pub use before::{Before, Prior};
use features::Features;
use model::MODEL;
pub use told::{Probabilities, Told};

/// Characters at the beginning of a message that are read: verdicts come early, and work stays bounded.
pub const HEAD: usize = 3_000;
/// Characters at the end that are read as well: some verdicts come after what was pasted.
pub const TAIL: usize = 1_000;

/// How many of the verdicts that are asserted are to be right, if the operator does not say.
pub const DEFAULT_PRECISION: f64 = 0.9;

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
    /// Praise that is as often meant as the opposite.
    Irony,
    /// Thanks, and whether they close or open a new request.
    Thanks,
    /// A request for something new.
    Request,
    /// A turn such as "but".
    Contrast,
    /// A bare "yes" or "no".
    BareAnswer,
    /// Questions.
    Question,
    /// Exclamation marks, dots, capitals, quotation marks.
    Emphasis,
    /// Emoji and emoticons.
    Faces,
    /// How long the message is.
    Length,
    /// Pasted code and figures.
    PastedCode,
    /// Pasted error messages and stack traces.
    PastedError,
    /// It repeats the request before, or parts of it.
    RepeatsPrompt,
    /// It repeats parts of the answer.
    QuotesAnswer,
    /// Words, and words in a row.
    Words,
    /// Words under a negation.
    NegatedWords,
    /// How the message or one of its clauses opens.
    Opening,
    /// A short message as a whole.
    WholeMessage,
    /// Letters in a row: endings, typing slips.
    Letters,
    /// Characters of scripts without spaces.
    Characters,
}

impl Clue {
    /// Its name, as it is written in answers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Praise => "praise",
            Self::Complaint => "complaint",
            Self::Irony => "irony",
            Self::Thanks => "thanks",
            Self::Request => "request",
            Self::Contrast => "contrast",
            Self::BareAnswer => "bare_answer",
            Self::Question => "question",
            Self::Emphasis => "emphasis",
            Self::Faces => "faces",
            Self::Length => "length",
            Self::PastedCode => "pasted_code",
            Self::PastedError => "pasted_error",
            Self::RepeatsPrompt => "repeats_prompt",
            Self::QuotesAnswer => "quotes_answer",
            Self::Words => "words",
            Self::NegatedWords => "negated_words",
            Self::Opening => "opening",
            Self::WholeMessage => "whole_message",
            Self::Letters => "letters",
            Self::Characters => "characters",
        }
    }
}

impl Dimension {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Tone => "tone",
            Self::Format => "format",
            Self::Content => "content",
            Self::Factuality => "factuality",
            Self::Completeness => "completeness",
        }
    }
}

/// A clue, and how much it added to the log-odds of the label against the others; negative where it spoke against it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// What it was.
    pub clue: Clue,
    /// What it added, in nats.
    pub contribution: f64,
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
    /// Of a message that holds nothing: silence is no verdict.
    fn silent() -> Self {
        Self {
            label: TurnLabel::Continuation,
            acceptance: 0.0,
            rejection: 0.0,
            continuation: 1.0,
            asserted: None,
            dimension: None,
            reasons: Vec::new(),
        }
    }

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
    /// Of an acceptance in words that the collected messages lack, as most are beyond English.
    pub unfamiliar_acceptance: f64,
    /// Of a rejection in such words.
    pub unfamiliar_rejection: f64,
}

impl Thresholds {
    /// The same threshold for everything.
    pub fn all(probability: f64) -> Self {
        Self {
            acceptance: probability,
            rejection: probability,
            unfamiliar_acceptance: probability,
            unfamiliar_rejection: probability,
        }
    }

    /// The lowest at which so large a share of asserted verdicts is right, by the calibration on held-out messages: from
    /// the model's table, the next higher row. Beyond the table, and for what is not a number, nothing is asserted.
    pub fn for_precision(precision: f64) -> Self {
        let line = MODEL.lines.iter().find(|line| f64::from(line.precision) >= precision - 1e-6);
        line.map_or(Self::all(2.0), |line| Self {
            acceptance: line.acceptance.into(),
            rejection: line.rejection.into(),
            unfamiliar_acceptance: line.unfamiliar_acceptance.into(),
            unfamiliar_rejection: line.unfamiliar_rejection.into(),
        })
    }
}

impl Default for Thresholds {
    /// For [`DEFAULT_PRECISION`].
    fn default() -> Self {
        static DEFAULT: LazyLock<Thresholds> = LazyLock::new(|| Thresholds::for_precision(DEFAULT_PRECISION));
        *DEFAULT
    }
}

/// Classifies a follow-up message at the default [`Thresholds`].
///
/// Any text is fine; of a long one the first [`HEAD`] and the last [`TAIL`] characters are read.
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
/// A low threshold still asserts only the most probable label. A message without a word or a sign asserts nothing, nor
/// does one of bare words like "no" and "ok", which answer a question as often as they judge.
pub fn classify_with(message: &str, before: &Before<'_>, thresholds: &Thresholds) -> Verdict {
    let features = Features::of(&excerpt(message), before);
    if features.empty {
        return Verdict::silent();
    }
    let read = MODEL.read(&features);
    let [acceptance, rejection, continuation] = read.probabilities;
    let (accepts, rejects) = if read.unfamiliar() {
        (thresholds.unfamiliar_acceptance, thresholds.unfamiliar_rejection)
    } else {
        (thresholds.acceptance, thresholds.rejection)
    };
    let (label, value, probability, threshold) = if continuation >= acceptance.max(rejection) {
        (TurnLabel::Continuation, None, continuation, f64::INFINITY)
    } else if acceptance > rejection {
        (TurnLabel::Acceptance, Some(Value::Acceptance), acceptance, accepts)
    } else {
        (TurnLabel::Rejection, Some(Value::Rejection), rejection, rejects)
    };
    let index = [TurnLabel::Acceptance, TurnLabel::Rejection, TurnLabel::Continuation]
        .iter()
        .position(|known| *known == label)
        .unwrap_or_default();
    Verdict {
        label,
        acceptance,
        rejection,
        continuation,
        asserted: value
            .filter(|_| probability >= threshold && !features.bare && !features.phrases_contradict(label)),
        dimension: if label == TurnLabel::Rejection { features.dimension() } else { None },
        reasons: MODEL.reasons(&read, index),
    }
}

/// What is read of a message.
fn excerpt(message: &str) -> Cow<'_, str> {
    let Some((head, _)) = message.char_indices().nth(HEAD) else { return message.into() };
    let Some((tail, _)) = message[head..].char_indices().rev().nth(TAIL - 1) else { return message.into() };
    if tail == 0 {
        return message.into();
    }
    format!("{}\n{}", &message[..head], &message[head + tail..]).into()
}

#[cfg(test)]
mod tests;
