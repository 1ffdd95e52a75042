//! The one interface that every store answers.

use std::sync::Arc;

use kalibr_core::counters::{Cell, Count, Epoch};
use kalibr_core::evidence::Signal;
use kalibr_core::ids::{Bucket, Goal, KeyedHash, PathId, Pipeline, Timestamp, TraceId};
use kalibr_core::outcome::{FailureCategory, Reply};
use kalibr_core::path::PathSpec;
use kalibr_core::trace::Share;

use crate::error::StoreError;
use crate::facts::{
    About, AttemptFact, Considered, DecisionFact, DecisionKind, Fact, GoalId, Receipt, SessionTrail,
};
use crate::personal::{Erased, HeldPiece, Leftovers, TextRecord, Whose};

/// What learning is kept apart by, within a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// The goal.
    pub goal: GoalId,
    /// The pipeline, if the caller isolates learning by one.
    pub pipeline: Option<Pipeline>,
    /// The class of the request.
    pub bucket: Bucket,
}

/// A path of a goal.
#[derive(Debug, Clone, PartialEq)]
pub struct PathRecord {
    /// Its identity.
    pub id: PathId,
    /// Model, tools and params. Shared: thousands of goals may have the same path.
    pub spec: Arc<PathSpec>,
    /// Whether it may be chosen. A path that was taken off a goal is kept, with its history.
    pub enabled: bool,
}

/// A goal that routes by what was known at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// When it was frozen.
    pub at: Timestamp,
    /// What was known then, as JSON that the engine writes and reads.
    pub known: String,
}

/// A goal that learns from scratch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// When it was reset.
    pub at: Timestamp,
    /// The epoch that the reset opened. What was decided before is not learned from.
    pub epoch: Epoch,
}

/// A goal that was rolled back to its baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RolledBack {
    /// When.
    pub at: Timestamp,
    /// The lower bound of (baseline − router) that it was rolled back for, in 0..=1.
    pub lower: f64,
}

/// A goal with its paths.
#[derive(Debug, Clone, PartialEq)]
pub struct GoalRecord {
    /// Its number.
    pub id: GoalId,
    /// Its name.
    pub name: Goal,
    /// Its settings, as JSON that the engine reads. The ledger itself reads two of them: `user_cap`, for what counts is its
    /// business, and `baseline`, for a comparison with one does not go on with another.
    pub settings: String,
    /// Whether it routes. A deleted goal keeps its history.
    pub active: bool,
    /// All paths it ever had, in order.
    pub paths: Vec<PathRecord>,
    /// Whether it is frozen.
    pub frozen: Option<Freeze>,
    /// Whether it was reset; the last time.
    pub reset: Option<Reset>,
    /// Whether it was rolled back.
    pub rolled_back: Option<RolledBack>,
    /// The epoch since which the router is compared with the baseline.
    pub watched_from: Epoch,
}

impl GoalRecord {
    /// The epoch since which decisions are learned from.
    pub fn learns_from(&self) -> Epoch {
        self.reset.map_or(Epoch(0), |reset| reset.epoch)
    }

    /// The epoch that decisions made from now on are in, at least.
    pub fn opened(&self) -> Epoch {
        self.learns_from().max(self.watched_from)
    }
}

/// Something that is done to a goal as a whole.
#[derive(Debug, Clone, PartialEq)]
pub enum GoalChange {
    /// It routes by what is known now, and learns nothing: see [`Freeze::known`].
    Freeze(String),
    /// It learns again, and from what happened meanwhile to decisions made before it was frozen.
    Thaw,
    /// It learns from scratch. Opens an epoch behind all that decisions were counted in, and behind this one, which is
    /// the newest that the caller knows of. Not done to a frozen goal.
    Reset(Epoch),
    /// The last reset is undone.
    UndoReset,
    /// It is rolled back to its baseline, if it is still compared with it since this epoch.
    RollBack {
        /// [`RolledBack::lower`].
        lower: f64,
        /// [`GoalRecord::watched_from`], as the comparison was made.
        watched_from: Epoch,
    },
    /// It is no longer rolled back. The comparison with the baseline begins anew, in a new epoch, behind this one, which
    /// is the newest that the caller knows of: what it was rolled back for would do the same again at once.
    Resume(Epoch),
}

/// What became of a [`GoalChange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoalChanged {
    /// It was done; with the number of the change.
    Done(i64),
    /// There was nothing to do.
    Already,
    /// It is not done to a frozen goal.
    Frozen,
    /// There is no such goal.
    Unknown,
}

/// How a list of paths changes a goal's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathUpdate {
    /// The goal has exactly these paths afterwards; others are disabled.
    Replace,
    /// These are added to, or enabled among, those that it has.
    Add,
}

/// One counter.
#[derive(Debug, Clone, PartialEq)]
pub struct CounterRow {
    /// Whose counter.
    pub scope: Scope,
    /// Which cell.
    pub cell: Cell,
    /// How many; for a change, how many more or fewer.
    pub count: Count,
}

/// Something that others learn of by tailing.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A counter moved.
    Count(CounterRow),
    /// A goal or its paths changed.
    Goal(GoalId),
    /// Somebody's data was erased: what was remembered of runs may be of one that is gone.
    Erased,
}

/// A piece of the learned state.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// A goal; deleted ones come too.
    Goal(GoalRecord),
    /// All counters of one scope, by their cells.
    Counters(Scope, Vec<(Cell, Count)>),
}

/// What counting everything again from the facts has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Recount {
    /// Decisions that were counted.
    pub decisions: u64,
    /// Counters that the ledger held.
    pub counters: u64,
    /// Counters that differ from the facts, missing ones included.
    pub wrong: u64,
    /// Some of those, with what must be added to each.
    pub examples: Vec<CounterRow>,
    /// Whether they were put right.
    pub repaired: bool,
}

/// What happened since a change.
#[derive(Debug, Clone)]
pub enum Changes {
    /// These, in order, with the number of the last.
    Rows(i64, Vec<Change>),
    /// Too much: older changes were dropped. Take a new snapshot.
    Dropped,
}

/// What became of a batch.
#[derive(Debug, Clone)]
pub struct Committed {
    /// One receipt for each fact, in order.
    pub receipts: Vec<Receipt>,
    /// The last change, once the batch was in.
    pub seq: i64,
}

/// What one call took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// What it was made for.
    pub scope: Scope,
    /// The path called.
    pub path: PathId,
    /// Tokens read and written by the model, where both are known.
    pub tokens: Option<(u32, u32)>,
    /// Milliseconds to the end of the answer; of a call that timed out, to that.
    pub latency_ms: Option<u32>,
}

/// A signal as the ledger holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalRecord {
    /// What came.
    pub signal: Signal,
    /// Whether it came for the session and not for the trace.
    pub by_session: bool,
    /// When it came in.
    pub received_at: Timestamp,
    /// Whether it was withdrawn, and counts nothing.
    pub withdrawn: bool,
}

/// An attempt that was answered or failed, as far as it speaks of whom it called.
#[derive(Debug, Clone, PartialEq)]
pub struct PastAttempt {
    /// The goal that it was made for.
    pub goal: Goal,
    /// The path called.
    pub path: PathId,
    /// The path's model.
    pub model: String,
    /// What came of it.
    pub reply: Reply,
    /// Why it failed.
    pub category: Option<FailureCategory>,
    /// The provider's HTTP status.
    pub status: Option<u16>,
    /// Milliseconds from the call to the end of the answer.
    pub latency_ms: Option<u32>,
    /// When it ended.
    pub at: Timestamp,
}

/// Everything the ledger holds of a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionRecord {
    /// The decision.
    pub decision: DecisionFact,
    /// Its goal's name.
    pub goal: Goal,
    /// Whether it is beyond its user's cap, and counts nothing.
    pub beyond_cap: bool,
    /// Its attempts, by index; `at` is when the decision was made while nothing more is known of one.
    pub attempts: Vec<AttemptFact>,
    /// Which checks their answers failed, by index, as [`crate::CheckedFact`] had it; only of those that were checked.
    pub failed_checks: Vec<(u16, u64)>,
    /// Its signals, by the time they came in.
    pub signals: Vec<SignalRecord>,
    /// All counters of its goal, pipeline and bucket, read in the same moment.
    pub counters: Vec<(Cell, Count)>,
    /// Its texts, by the time they came in, where the operator keeps them.
    pub texts: Vec<TextRecord>,
}

/// What is kept of the texts of a run.
#[derive(Clone, PartialEq, Eq)]
pub struct RunPrints {
    /// The decision.
    pub trace: TraceId,
    /// When the run was.
    pub at: Timestamp,
    /// Of the prompt, as [`crate::PrintFact`] had it.
    pub prompt: Option<Vec<u8>>,
    /// Of the answer: the last attempt's that has one.
    pub answer: Option<Vec<u8>>,
}

impl std::fmt::Debug for RunPrints {
    /// Fingerprints belong in no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunPrints").field("trace", &self.trace).field("at", &self.at).finish_non_exhaustive()
    }
}

/// A decision with what came of it, as replay reads it: without session, user, or any signal.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedDecision {
    /// The decision.
    pub trace: TraceId,
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
    /// All paths of the goal at that moment.
    pub considered: Vec<Considered>,
    /// When.
    pub at: Timestamp,
    /// Its attempts, by index.
    pub attempts: Vec<AttemptFact>,
    /// What each attempt counts for, in the same order.
    pub shares: Vec<Share>,
}

/// A durable ledger. Calls block; none is made on a request's path.
pub trait Ledger: std::fmt::Debug + Send + Sync + 'static {
    /// Appends a batch in one synced transaction: all of it is durable when this returns, or none of it happened.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again; nothing was written then.
    fn commit(&self, batch: &[Fact]) -> Result<Committed, StoreError>;

    /// Creates a goal or changes it; without `settings` it keeps those that it has. Writes nothing when nothing changes.
    /// Another `user_cap` applies to all that was ever decided for the goal, and the counters follow at once; with another
    /// `baseline` the comparison begins anew, and a rollback ends. Returns the goal, and the last change by then.
    ///
    /// # Errors
    /// As [`Ledger::commit`].
    fn put_goal(
        &self,
        name: &Goal,
        settings: Option<&str>,
        paths: &[PathSpec],
        update: PathUpdate,
        now: Timestamp,
    ) -> Result<(GoalRecord, i64), StoreError>;

    /// Stops a goal from routing and takes its paths off it; its history stays. It is no longer frozen or rolled back: who
    /// creates it again wants it to work. Returns the change, or `None` when there was no such goal.
    ///
    /// # Errors
    /// As [`Ledger::commit`].
    fn remove_goal(&self, name: &Goal, now: Timestamp) -> Result<Option<i64>, StoreError>;

    /// Does something to a goal as a whole. What is so already is left alone.
    ///
    /// # Errors
    /// As [`Ledger::commit`].
    fn change_goal(
        &self,
        name: &Goal,
        change: &GoalChange,
        now: Timestamp,
    ) -> Result<GoalChanged, StoreError>;

    /// Reads one goal.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again.
    fn goal(&self, id: GoalId) -> Result<Option<GoalRecord>, StoreError>;

    /// Reads all learned state as it is at one moment, and hands it over piece by piece: all goals, then all scopes.
    /// Returns the last change that it contains.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again. What was handed over by then is to be thrown away.
    fn snapshot(&self, take: &mut dyn FnMut(Piece)) -> Result<i64, StoreError>;

    /// Reads what happened after change number `since`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again.
    fn changes(&self, since: i64) -> Result<Changes, StoreError>;

    /// Reads what the calls of the latest `decisions` took, in the order of the decisions, and hands it over one by one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again. What was handed over by then is to be thrown away.
    fn calls(&self, decisions: u32, take: &mut dyn FnMut(CallRecord)) -> Result<(), StoreError>;

    /// Reads everything known of a decision.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again.
    fn decision(&self, trace: TraceId) -> Result<Option<DecisionRecord>, StoreError>;

    /// Hands over the answered attempts of a goal's latest `decisions`, each with the checks that it failed, as
    /// [`crate::CheckedFact`] had it; `None` where none was made.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again. What was handed over by then is to be thrown away.
    fn failed_checks(
        &self,
        goal: GoalId,
        decisions: u32,
        take: &mut dyn FnMut(PathId, Option<u64>),
    ) -> Result<(), StoreError>;

    /// Hands over the attempts of all goals that ended at or after `at` and were answered or failed, by when they ended.
    /// Looks at every attempt there is: for the start of a process.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again. What was handed over by then is to be thrown away.
    fn attempts_since(&self, at: Timestamp, take: &mut dyn FnMut(PastAttempt)) -> Result<(), StoreError>;

    /// The latest decision that was anchored under this alias, or else by this session.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again.
    fn anchored(&self, alias: KeyedHash, session: KeyedHash) -> Result<Option<TraceId>, StoreError>;

    /// What is kept of the texts of the run that a signal of this moment speaks of: the decision, or the session's latest
    /// run at or before `at`. `None` when there is no such run.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again.
    fn prints(&self, about: About, at: Timestamp) -> Result<Option<RunPrints>, StoreError>;

    /// Sessions with follow-up messages that nothing was inferred from yet, and that have ended: the caller said so, or
    /// nothing happened in them after `idle_since`. At most `most`; the others come once these are taken in.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again.
    fn ended_sessions(
        &self,
        idle_since: Option<Timestamp>,
        most: usize,
    ) -> Result<Vec<SessionTrail>, StoreError>;

    /// Reads the log of a goal, forced and observed decisions too, in the order of decision time (ties by trace), and
    /// hands it over one by one: the latest `most` decisions of those from `since` on.
    ///
    /// It is read in parts, each of one moment, and holds up nobody who writes. What happens to a decision meanwhile may
    /// or may not be in it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again. What was handed over by then is to be thrown away.
    fn log(
        &self,
        goal: GoalId,
        since: Option<Timestamp>,
        most: usize,
        take: &mut dyn FnMut(LoggedDecision),
    ) -> Result<(), StoreError>;

    /// Drops what has outlived its use: signals and withdrawals that joined nothing within 7 days, how messages of sessions
    /// read more than 30 days ago, and old changes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again.
    fn maintain(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Erases some of what is somebody's, in two transactions at most, each of a bounded number of runs; to be called again
    /// while there is [more](Erased::more). An erasure that was cut off anywhere is finished by erasing again.
    ///
    /// The counters afterwards are those of a ledger that never saw what is gone, with the others' decisions in the same
    /// epochs. What was decided by what was known stays decided. The rows are gone at once; copies of them may be in the
    /// files until [`Ledger::scrub`], which is `due` at that moment.
    ///
    /// # Errors
    /// As [`Ledger::commit`].
    fn erase(&self, whose: &Whose, due: Timestamp) -> Result<Erased, StoreError>;

    /// Erases some of the texts that are to be forgotten by now. Returns whether there may be more.
    ///
    /// # Errors
    /// As [`Ledger::commit`].
    fn erase_texts(&self, now: Timestamp, due: Timestamp) -> Result<bool, StoreError>;

    /// Whether files may hold copies of what was erased.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again.
    fn leftovers(&self) -> Result<Option<Leftovers>, StoreError>;

    /// Makes sure that no file holds a copy of what was erased: all that is there is copied into a new file, for which other
    /// writers wait. Returns whether none does. It cannot be helped while somebody reads what was there, and is to be tried
    /// again.
    ///
    /// # Errors
    /// As [`Ledger::commit`].
    fn scrub(&self) -> Result<bool, StoreError>;

    /// Hands over what is held of somebody: exactly what [`Ledger::erase`] would erase. It is read in parts, each of one
    /// moment, and holds up nobody who writes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it may be tried again. What was handed over by then is to be thrown away.
    fn held(&self, whose: &Whose, take: &mut dyn FnMut(HeldPiece)) -> Result<(), StoreError>;

    /// Counts everything again from decisions, attempts, signals and withdrawals, and compares with the counters. With
    /// `repair` it puts wrong ones right; that is a change like any other, which running processes follow.
    ///
    /// Comparing disturbs nobody. If there is something to repair, everything is counted once more with all other
    /// writers waiting, some seconds for each million decisions.
    ///
    /// # Errors
    /// As [`Ledger::commit`].
    fn recount(&self, repair: bool) -> Result<Recount, StoreError>;

    /// Closes all connections and keeps everyone out until [`Ledger::resume`]: for the moment of a `fork`.
    fn suspend(&self);

    /// Lets everyone in again.
    fn resume(&self);
}
