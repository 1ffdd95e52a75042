//! Whether a ledger's counters agree with its facts.

use kalibr_core::ids::{Bucket, Goal, Pipeline};
use kalibr_store::{CounterRow, Ledger, SqliteLedger, StoreError};
use serde::Serialize;

use crate::error::EngineError;
use crate::home::Home;

/// What was found when everything was counted again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checkup {
    /// Decisions that were counted.
    pub decisions: u64,
    /// Counters that the ledger held.
    pub counters: u64,
    /// Counters that differed from the facts, missing ones included.
    pub wrong: u64,
    /// Whether they were put right.
    pub repaired: bool,
    /// Some of the wrong ones.
    pub examples: Vec<WrongCounter>,
}

/// A counter that did not agree with the facts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WrongCounter {
    /// Whose; `null` where the goal itself is gone.
    pub goal: Option<Goal>,
    /// In which pipeline.
    pub pipeline: Option<Pipeline>,
    /// In which class of requests.
    pub bucket: Bucket,
    /// In which stretch of the goal's decisions.
    pub epoch: u32,
    /// The path in short, or its id where the goal does not have it.
    pub path: String,
    /// What is known of the decisions that it counts, as the ledger writes it.
    pub pattern: u32,
    /// Attempts that it lacked; negative: that it had too many.
    pub attempts: i64,
    /// Strength that it lacked, in full successes.
    pub strength: f64,
}

/// Counts everything in the ledger of this data folder again and compares. With `repair` it puts wrong counters right,
/// which running processes follow within a second; they need not be stopped, but their writes wait for some seconds for
/// each million decisions if there is something to repair.
///
/// # Errors
/// [`EngineError::Store`] when the ledger cannot be used.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("kalibr-doctor-{}", std::process::id()));
/// let home = kalibr_engine::Home::at(&folder);
/// let checkup = kalibr_engine::checkup(&home, false)?;
/// assert_eq!(checkup.wrong, 0);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
pub fn checkup(home: &Home, repair: bool) -> Result<Checkup, EngineError> {
    let ledger = SqliteLedger::open(&home.ledger())?;
    let found = ledger.recount(repair)?;
    let examples = found.examples.iter().map(|row| wrong(&ledger, row)).collect::<Result<_, _>>()?;
    Ok(Checkup {
        decisions: found.decisions,
        counters: found.counters,
        wrong: found.wrong,
        repaired: found.repaired,
        examples,
    })
}

fn wrong(ledger: &dyn Ledger, row: &CounterRow) -> Result<WrongCounter, StoreError> {
    let goal = ledger.goal(row.scope.goal)?;
    let path = goal.as_ref().and_then(|goal| goal.paths.iter().find(|path| path.id == row.cell.path));
    let unit = f64::from(kalibr_core::evidence::Strength::UNITS);
    Ok(WrongCounter {
        path: path.map_or_else(|| row.cell.path.to_string(), |path| path.spec.label()),
        goal: goal.map(|goal| goal.name),
        pipeline: row.scope.pipeline.clone(),
        bucket: row.scope.bucket.clone(),
        epoch: row.cell.epoch.0,
        pattern: row.cell.pattern.bits(),
        attempts: row.count.n,
        strength: row.count.score as f64 / unit,
    })
}
