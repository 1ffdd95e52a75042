//! What can be written to a ledger.

use std::sync::Arc;

use kalibr_core::counters::Epoch;
use kalibr_core::evidence::Signal;
use kalibr_core::ids::{Bucket, KeyedHash, PathId, Pipeline, SignalId, Timestamp, TraceId};
use kalibr_core::outcome::{FailureCategory, Reply};
use kalibr_core::safety::Side;
use serde::{Deserialize, Serialize};

use crate::personal::TextKind;

/// A goal's number within its ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GoalId(pub i64);

/// How a decision came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum DecisionKind {
    /// Drawn from the policy table.
    Routed = 0,
    /// The caller named the path: propensity 1, left out of replay.
    Forced = 1,
    /// A call that Kalibr did not route and was told of: no propensity, left out of replay.
    Observed = 2,
}

/// How its goal stood when a decision was made. Fixed with the decision: what is done to the goal later changes none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marks {
    /// The goal was frozen: the decision never counts, whatever becomes of it.
    pub frozen: bool,
    /// The goal was rolled back to its baseline.
    pub rolled_back: bool,
    /// The side of the comparison with the baseline; `None` where none was made.
    pub side: Option<Side>,
}

/// One path that was looked at in a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Considered {
    /// The path.
    pub path: PathId,
    /// The exact probability with which it could have been chosen; 0 if it was not eligible.
    pub propensity: f64,
    /// Expected success at that moment, in 0..=1.
    pub expected: f64,
    /// Graded attempts that the expectation rests on.
    pub graded: i64,
    /// Why the path was not eligible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_eligible: Option<String>,
}

/// A choice of a path.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionFact {
    /// Names the decision.
    pub trace: TraceId,
    /// The goal it was made for.
    pub goal: GoalId,
    /// Isolates learning within the goal.
    pub pipeline: Option<Pipeline>,
    /// The class of the request.
    pub bucket: Bucket,
    /// The stretch of the goal's decisions that it counts in.
    pub epoch: Epoch,
    /// How it came to be.
    pub kind: DecisionKind,
    /// The path chosen.
    pub path: PathId,
    /// The exact probability of this very draw.
    pub propensity: f64,
    /// The version of the policy table that it was drawn from.
    pub table_version: u64,
    /// All paths of the goal at that moment; shared by all decisions that were made alike.
    pub considered: Arc<[Considered]>,
    /// Of an observed run: the model that was called.
    pub model: Option<String>,
    /// The session it belongs to.
    pub session: Option<KeyedHash>,
    /// The user it was made for.
    pub user: Option<KeyedHash>,
    /// How the goal stood.
    pub marks: Marks,
    /// When.
    pub at: Timestamp,
}

/// What came of one call made under a decision. The first that is known of an attempt stays.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptFact {
    /// The decision.
    pub trace: TraceId,
    /// 0 for the path drawn, 1 for the first fallback, and so on.
    pub index: u16,
    /// The path called.
    pub path: PathId,
    /// What came of it.
    pub reply: Reply,
    /// Why it failed.
    pub category: Option<FailureCategory>,
    /// The provider's HTTP status.
    pub status: Option<u16>,
    /// Tokens read by the model.
    pub prompt_tokens: Option<u32>,
    /// Tokens written by the model.
    pub completion_tokens: Option<u32>,
    /// Milliseconds from the call to the end of the answer.
    pub latency_ms: Option<u32>,
    /// When it ended.
    pub at: Timestamp,
}

/// Which checks of its goal's contract the answer of an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedFact {
    /// The decision.
    pub trace: TraceId,
    /// The attempt. Of one that the ledger does not hold nothing is kept.
    pub index: u16,
    /// The reasons, as bits of a number; 0 where it failed none.
    pub failed: u64,
}

/// What a signal speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A decision.
    Trace(TraceId),
    /// The latest run of a session at or before the signal's event time.
    Session(KeyedHash),
}

/// A signal as it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalFact {
    /// What it says.
    pub signal: Signal,
    /// What it speaks of.
    pub about: About,
    /// When it came in.
    pub received_at: Timestamp,
}

/// A session's run: from this moment on, what the session's user does is about this trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchorFact {
    /// The session.
    pub session: KeyedHash,
    /// The decision.
    pub trace: TraceId,
    /// Another id by which the caller knows the run.
    pub alias: Option<KeyedHash>,
    /// When the run was, by whoever reports it. What the ledger knows of the decision itself counts more.
    pub at: Timestamp,
}

/// Which text of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrintOf {
    /// What the user asked: the last message of theirs.
    Prompt,
    /// The answer of this attempt.
    Answer(u16),
}

/// What is kept of a text of a run: its keyed fingerprint. The first that is known of a text stays. It lives as long as
/// the run's decision, or 7 days where that never comes.
#[derive(Clone, PartialEq, Eq)]
pub struct PrintFact {
    /// The decision.
    pub trace: TraceId,
    /// Which text.
    pub of: PrintOf,
    /// The fingerprint, in the form of its own that is stored.
    pub print: Vec<u8>,
    /// When it was made.
    pub at: Timestamp,
}

impl std::fmt::Debug for PrintFact {
    /// Fingerprints belong in no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrintFact").field("trace", &self.trace).field("of", &self.of).finish_non_exhaustive()
    }
}

/// A step of a session that is no signal by itself: how a follow-up message read, or that the caller ended the session.
#[derive(Debug, Clone, PartialEq)]
pub struct StepFact {
    /// Names it, as it names the signal that the message asserts, if it asserts one: withdrawing takes both back.
    pub id: SignalId,
    /// The session.
    pub session: KeyedHash,
    /// The probabilities of an acceptance and of a rejection, in steps of 1/255; `None` where the caller ended the session.
    pub read: Option<(u8, u8)>,
    /// When.
    pub at: Timestamp,
}

/// One step of a session, as the ledger holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStep {
    /// A run.
    Run,
    /// A follow-up message.
    Message {
        /// The probability of an acceptance, in steps of 1/255.
        acceptance: u8,
        /// The probability of a rejection, in steps of 1/255.
        rejection: u8,
    },
    /// The caller ended it.
    End,
}

/// The steps of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTrail {
    /// The session.
    pub session: KeyedHash,
    /// Its latest steps, in order of time.
    pub steps: Vec<(Timestamp, SessionStep)>,
    /// What the session says of earlier moments does not follow from these steps, and stays as it is.
    pub from: Timestamp,
}

/// What a session that has ended says, by its steps. It takes the place of what it said before.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedFact {
    /// What it follows from. Has the session other steps by now, nothing is changed, and it will be found again.
    pub trail: SessionTrail,
    /// The last step that is taken in.
    pub through: Timestamp,
    /// What it says, each of the latest run at its moment; of [`Source::SessionEnd`](kalibr_core::evidence::Source), and
    /// inferred.
    pub signs: Vec<Signal>,
    /// When it was found.
    pub received_at: Timestamp,
}

/// What somebody wrote, where the operator keeps it. It shows itself to no log.
#[derive(Clone, PartialEq, Eq)]
pub struct TextFact {
    /// What it is.
    pub kind: TextKind,
    /// What it says, as it is to be kept.
    pub text: String,
    /// What it speaks of; of a session, of its latest run at `event_at`.
    pub about: About,
    /// The signal or message that it came with: withdrawing that takes the text back as well.
    pub signal: Option<SignalId>,
    /// When it was said.
    pub event_at: Timestamp,
    /// When it came in.
    pub at: Timestamp,
    /// When it is to be forgotten.
    pub until: Timestamp,
}

impl std::fmt::Debug for TextFact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextFact").field("kind", &self.kind).field("at", &self.at).finish_non_exhaustive()
    }
}

/// Anything that can be appended.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// A choice of a path.
    Decision(Box<DecisionFact>),
    /// What came of a call.
    Attempt(AttemptFact),
    /// Which checks its answer failed.
    Checked(CheckedFact),
    /// What a user did, or a check found.
    Signal(SignalFact),
    /// A signal was withdrawn; it may arrive later, and then counts nothing.
    Withdrawal(SignalId, Timestamp),
    /// A session's run.
    Anchor(AnchorFact),
    /// What is kept of a text.
    Print(PrintFact),
    /// A step of a session that is no signal by itself.
    Step(StepFact),
    /// What a session says that has ended.
    Ended(Box<EndedFact>),
    /// What somebody wrote.
    Text(Box<TextFact>),
}

/// What became of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// It was there already, and changed nothing.
    pub duplicate: bool,
    /// Another signal has this id, and says something else: this one was not taken.
    pub conflict: bool,
    /// It speaks of a decision that the ledger holds.
    pub joined: bool,
    /// The decision that it speaks of, as far as known.
    pub trace: Option<TraceId>,
}
