//! Whose data a ledger holds, and how much of it: for those who ask for theirs, or want it gone.
//!
//! What is whose goes by runs. A person's runs take with them all that was said of them, by whomever: an answer that is
//! gone cannot have been graded, and a signal that lost its run would grade the one before it.

use kalibr_core::ids::{Goal, KeyedHash, Timestamp, TraceId};

use crate::facts::{AttemptFact, DecisionFact, PrintOf, StepFact};
use crate::ledger::SignalRecord;

/// Whose data is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// A session's: all its runs, and what was said of it that found no run.
    Session(KeyedHash),
    /// A user's: the runs made for this user, and what was said and done in sessions that had no other run.
    User(KeyedHash),
    /// A tenant's: the runs of all its goals. Of the tenant whose ledger this is also what found no run. The goals stay,
    /// with their settings.
    Tenant(String),
    /// Everyone's from before a moment: runs that were decided before it, and what came in before it and found no run.
    Before(Timestamp),
}

/// How much there is, or was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Held {
    /// Decisions.
    pub decisions: u64,
    /// Attempts, also of decisions that are not there.
    pub attempts: u64,
    /// Signals, withdrawn ones too.
    pub signals: u64,
    /// Texts, where the operator keeps them.
    pub texts: u64,
    /// Fingerprints of prompts and answers.
    pub fingerprints: u64,
    /// Steps of sessions: how follow-up messages read, and that a session was ended.
    pub steps: u64,
}

impl Held {
    /// Whether there is nothing.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for Held {
    fn add_assign(&mut self, other: Self) {
        self.decisions += other.decisions;
        self.attempts += other.attempts;
        self.signals += other.signals;
        self.texts += other.texts;
        self.fingerprints += other.fingerprints;
        self.steps += other.steps;
    }
}

/// What one step of an erasure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// What is gone.
    pub held: Held,
    /// Whether there may be more.
    pub more: bool,
    /// The last change, once it was gone.
    pub seq: i64,
}

/// Files may hold copies of what was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leftovers {
    /// When they are to be gone.
    pub due: Timestamp,
    /// How much has to be copied for that.
    pub bytes: u64,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum TextKind {
    /// What the model was asked.
    Prompt = 0,
    /// What it answered.
    Answer = 1,
    /// The user's next message.
    UserMessage = 2,
    /// Why the user was or was not content.
    Reason = 3,
    /// What the user made of the answer.
    Edit = 4,
}

impl TextKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Prompt, Self::Answer, Self::UserMessage, Self::Reason, Self::Edit];
}

/// A text as the ledger holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct TextRecord {
    /// What it is.
    pub kind: TextKind,
    /// What it says.
    pub text: String,
    /// When it came in.
    pub at: Timestamp,
}

/// A text shows itself to no log.
impl std::fmt::Debug for TextRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextRecord").field("kind", &self.kind).field("at", &self.at).finish_non_exhaustive()
    }
}

/// A run with all that is held of it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldRun {
    /// Names it.
    pub trace: TraceId,
    /// The decision with its goal's name, if the ledger holds it.
    pub decision: Option<(DecisionFact, Goal)>,
    /// Its attempts, by index.
    pub attempts: Vec<AttemptFact>,
    /// Which checks their answers failed, by index, as [`crate::CheckedFact`] had it.
    pub failed_checks: Vec<(u16, u64)>,
    /// Its signals, by the time they came in.
    pub signals: Vec<SignalRecord>,
    /// Its texts, by the time they came in.
    pub texts: Vec<TextRecord>,
    /// Fingerprints of its texts: the prompt's, then the answers'.
    pub fingerprints: Vec<(PrintOf, Vec<u8>)>,
    /// Steps of its sessions that speak of it, by their time.
    pub steps: Vec<StepFact>,
}

/// A piece of what is held of somebody.
#[derive(Debug, Clone, PartialEq)]
pub enum HeldPiece {
    /// A run.
    Run(Box<HeldRun>),
    /// A signal that found no run.
    Signal(SignalRecord),
    /// A text that found no run.
    Text(TextRecord),
    /// A step of a session that speaks of no run.
    Step(StepFact),
}
