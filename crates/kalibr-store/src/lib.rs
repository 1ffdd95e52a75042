//! The durable ledger: what was decided, what came of it, what users did, and the counters that follow from it.
//!
//! Facts are appended and never overwritten; the counters are moved in the same transaction as the fact that moves
//! them, by folding the decision's facts before and after. So a ledger that survives a crash is consistent, and arrival
//! order does not matter: every kind of fact may arrive before or after every other, or twice.
//!
//! [`Ledger`] is the one interface, [`SqliteLedger`] the embedded store behind it, and [`Writer`] the thread that
//! groups facts from everywhere in a process into one synced transaction after another.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod error;
mod facts;
mod gate;
mod ledger;
mod personal;
mod sqlite;
mod writer;

pub use error::StoreError;
pub use facts::{
    About, AnchorFact, AttemptFact, CheckedFact, Considered, DecisionFact, DecisionKind, EndedFact, Fact,
    GoalId, Marks, PrintFact, PrintOf, Receipt, SessionStep, SessionTrail, SignalFact, StepFact, TextFact,
};
pub use ledger::{
    CallRecord, Change, Changes, Committed, CounterRow, DecisionRecord, Freeze, GoalChange, GoalChanged,
    GoalRecord, Ledger, LoggedDecision, PastAttempt, PathRecord, PathUpdate, Piece, Recount, Reset,
    RolledBack, RunPrints, Scope, SignalRecord,
};
pub use personal::{Erased, Held, HeldPiece, HeldRun, Leftovers, TextKind, TextRecord, Whose};
pub use sqlite::SqliteLedger;
pub use writer::{Ack, QueueFull, Writer, WriterConfig};
