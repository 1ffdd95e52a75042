//! What can go wrong, by what the caller would do about it. Messages name goals and paths, which operators choose, and
//! never a session, a user, or a text.

use std::path::PathBuf;

use kalibr_core::evidence::OutOfRange;
use kalibr_core::ids::{Goal, InvalidId, TraceId};
use kalibr_core::path::{InvalidPath, MAX_PATHS};
use kalibr_core::replay::{BadLine, UnknownPath};
use kalibr_signals::edit::BadDiff;
use kalibr_signals::vocabulary::UnknownSignal;
use kalibr_store::StoreError;
use kalibr_upstream::{BadRequest, Failure, ResolveError};

/// The engine cannot start, or its ledger cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Neither `KALIBR_HOME` nor a home folder is known.
    #[error("there is no folder for Kalibr's data: set KALIBR_HOME to one")]
    NoHome,
    /// The secret under which ids are hashed cannot be used.
    #[error("cannot use the secret in {path}: {source}; restore it, or remove the data folder to start anew")]
    Secret {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration cannot be used.
    #[error("{path}: {problem}")]
    Config {
        /// Its file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The system cannot start a thread.
    #[error("cannot start a thread: {0}; raise the limit of processes for this user")]
    Thread(#[source] std::io::Error),
    /// The ledger failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A goal that cannot be as it was asked to be.
#[derive(Debug, thiserror::Error)]
pub enum GoalError {
    /// It has no path.
    #[error("a goal needs at least one path, for example \"gpt-4o-mini\"")]
    NoPaths,
    /// It has too many.
    #[error("a goal has at most {MAX_PATHS} paths: each needs traffic to be judged by")]
    TooManyPaths,
    /// One of its paths is none.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// One of its settings is out of range.
    #[error("{0}")]
    Settings(String),
    /// Its name cannot be one.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// There is no such goal.
    #[error(
        "there is no goal named {0}: create it with PUT /v1/goals/{0}, or with Router(goal, paths) in Python"
    )]
    Unknown(Goal),
    /// It is frozen, and what was asked for would change what it routes by.
    #[error("goal {0} is frozen: thaw it first")]
    Frozen(Goal),
    /// There is no reset to undo.
    #[error("goal {0} was not reset, or its resets were all undone: there is nothing to undo")]
    NotReset(Goal),
    /// It was reset as often as a goal can be.
    #[error("goal {0} was reset too often to be reset once more: create one of another name")]
    NoEpochs(Goal),
    /// The ledger failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was written, but the tables did not follow in time.
    #[error("the goal was written, but is not yet in the policy table; the store is slow, try again")]
    Slow,
}

/// No path could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// There is no such goal.
    #[error(
        "there is no goal named {0}: create it with PUT /v1/goals/{0}, or with Router(goal, paths) in Python"
    )]
    UnknownGoal(Goal),
    /// Every path was excluded, each for the reason that the second part names.
    #[error(
        "goal {0} has no path that may be chosen{1}; loosen the limit that is named, allow more candidates, or enable a \
         path that keeps it"
    )]
    NoEligiblePath(Goal, String),
    /// What is asked of this request alone is out of range.
    #[error("{0}")]
    Asked(&'static str),
    /// The model that the caller forces is on none of the goal's paths.
    #[error("goal {0} has no path with the forced model: add one, or leave force_model out")]
    UnknownModel(Goal),
}

/// A call that brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum CompleteError {
    /// No path could be chosen.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// The request cannot be passed on.
    #[error(transparent)]
    Request(#[from] BadRequest),
    /// A model that was asked for by name, without a goal, has no provider.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The provider refused, or every path failed.
    #[error("{failure}")]
    Failed {
        /// The decision, if it was one.
        trace: Option<TraceId>,
        /// What the last attempt failed with.
        failure: Box<Failure>,
        /// How many attempts were made.
        attempts: u16,
    },
}

/// A replay that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such goal.
    #[error("there is no goal named {0}: see `kalibr goals` for those that there are")]
    UnknownGoal(Goal),
    /// The policy names a path that is not there.
    #[error(transparent)]
    Path(#[from] UnknownPath),
    /// A line of a log cannot be read.
    #[error(transparent)]
    Line(#[from] BadLine),
    /// The head of a log has a setting that cannot be.
    #[error("the head of the log: {0}")]
    Head(String),
    /// A log cannot be read or written.
    #[error("the log cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// The ledger failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is held of somebody cannot be handed over.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It cannot be written.
    #[error("the export cannot be written: {0}")]
    Io(#[from] std::io::Error),
    /// The ledger failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A signal that was not taken. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// An id is malformed.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// Its type is unknown.
    #[error(transparent)]
    Type(#[from] UnknownSignal),
    /// A number is out of range.
    #[error(transparent)]
    Number(#[from] OutOfRange),
    /// A diff is none.
    #[error(transparent)]
    Diff(#[from] BadDiff),
    /// An edit was told in more than one way.
    #[error("an edit is told in one way: send one of edit_ratio, edit_diff and edited_output")]
    Edits,
    /// An edit was told with a signal that is none.
    #[error(
        "edit_ratio, edit_diff and edited_output are told of edits: send them with output_edited, edit_small or edit_large, \
         or leave them out"
    )]
    NoEdit,
    /// There is nothing to compare an edited answer with.
    #[error(
        "the answer that edited_output was made of is not known: no run is there at that time, or no text of its answer was \
         seen; send edit_diff or edit_ratio, or tell of the answer with the run (output= in report_pipeline)"
    )]
    NoAnswer,
    /// The fingerprints cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It names neither a trace nor a session.
    #[error("a signal speaks of a trace or a session: send trace_id or session_id")]
    Nothing,
    /// The goal of a run is unknown.
    #[error("there is no goal named {0}: create it first, or name the trace_id of a routed run")]
    UnknownGoal(Goal),
    /// A run says neither which decision it is nor what was called.
    #[error("a run needs the trace_id of a decision, or a goal and a model")]
    NothingRun,
    /// A model's name cannot be one.
    #[error(transparent)]
    Model(#[from] InvalidPath),
    /// The queue before the ledger is full.
    #[error(
        "the queue before the ledger is full: the store is slower than the traffic, or stands still; try again later"
    )]
    Full,
    /// The ledger did not confirm in time. The signal may still be committed: sending it again with its id is safe.
    #[error("the ledger has not confirmed the signal in time; send it again with the same id")]
    Unconfirmed,
}
