//! Counting everything again from the facts, to compare with the counters or to put them right.
//!
//! Counters move with each fact and are never computed anew, so a ledger that was edited by hand or damaged on disk would
//! carry its error for ever. Here it is found by double entry: a scratch table starts as the counters negated, every
//! decision adds what it counts for, and what is not zero at the end is what the counters lack.
//!
//! Memory is bounded however large the ledger is. Decisions, attempts and signals are read side by side in the order of
//! their traces; the first and the last lie in other orders on disk, and are sorted by SQLite, outside memory where there
//! are many, since following an index there would be a seek for each. Sums are spilled into the scratch table in parts.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use kalibr_core::counters::{Cell, Count, Epoch};
use kalibr_core::ids::TraceId;
use kalibr_core::safety::Side;
use kalibr_core::trace::{Trace, moves};
use rusqlite::{Connection, Row, Rows, Transaction, TransactionBehavior, params};

use super::cap::{self, Caps};
use super::{Problem, codec};
use crate::facts::GoalId;
use crate::ledger::{Recount, Scope};

/// Sums held in memory before they are spilled: about 60 MB.
const SPILL: usize = 500_000;
/// Wrong counters that are told in full; more say no more.
const EXAMPLES: usize = 10;

const SCRATCH: &str = "
    PRAGMA cache_size = -65536;
    PRAGMA temp.cache_size = -65536;
    CREATE TEMP TABLE balance (
        goal INTEGER NOT NULL, pipeline TEXT NOT NULL, bucket TEXT NOT NULL, epoch INTEGER NOT NULL,
        path BLOB NOT NULL, pattern INTEGER NOT NULL, n INTEGER NOT NULL, score INTEGER NOT NULL,
        PRIMARY KEY (goal, pipeline, bucket, epoch, path, pattern)
    ) STRICT, WITHOUT ROWID;
    CREATE TEMP TABLE beyond_cap (trace BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;";

const REPAIR: &str = "
    INSERT INTO counters SELECT * FROM temp.balance WHERE n <> 0 OR score <> 0
    ON CONFLICT DO UPDATE SET n = n + excluded.n, score = score + excluded.score;
    INSERT INTO changes (goal, pipeline, bucket, epoch, path, pattern, n, score)
    SELECT goal, pipeline, bucket, epoch, path, pattern, n, score FROM temp.balance WHERE n <> 0 OR score <> 0;
    DELETE FROM counters WHERE n = 0 AND score = 0;";

/// Compares, and with `repair` puts right what is wrong. Looks without a lock first: most ledgers need no more.
pub(super) fn recount(connection: &mut Connection, repair: bool) -> Result<Recount, Problem> {
    let look = look(connection)?;
    if look.found.wrong == 0 || !repair {
        return Ok(look.found);
    }
    put_right(connection, look)
}

/// What was found, and in which version of the file. The scratch table keeps it for [`put_right`].
struct Look {
    found: Recount,
    version: i64,
}

fn look(connection: &mut Connection) -> Result<Look, Problem> {
    connection.execute_batch(SCRATCH)?;
    let transaction = connection.transaction()?;
    let look = Look { version: version(&transaction)?, found: balance(&transaction)? };
    transaction.commit()?;
    Ok(look)
}

/// Nobody may write between what is counted and what is put right: whatever was written since the look, all is counted
/// again under the lock.
fn put_right(
    connection: &mut Connection,
    Look { mut found, version: seen }: Look,
) -> Result<Recount, Problem> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if version(&transaction)? != seen {
        transaction.execute_batch("DELETE FROM temp.balance; DELETE FROM temp.beyond_cap;")?;
        found = balance(&transaction)?;
    }
    transaction.execute_batch(REPAIR)?;
    transaction.commit()?;
    Ok(Recount { repaired: true, ..found })
}

/// A number that is another after any commit of another connection, of whatever process.
fn version(transaction: &Transaction<'_>) -> Result<i64, Problem> {
    Ok(transaction.query_row("PRAGMA data_version", [], |row| row.get(0))?)
}

/// Puts right what is wrong, as part of a transaction that holds the lock.
pub(super) fn repair(transaction: &Transaction<'_>) -> Result<(), Problem> {
    transaction.execute_batch(SCRATCH)?;
    balance(transaction)?;
    transaction.execute_batch(REPAIR)?;
    transaction.execute_batch("DROP TABLE temp.balance; DROP TABLE temp.beyond_cap;")?;
    Ok(())
}

/// Fills the scratch table.
fn balance(transaction: &Transaction<'_>) -> Result<Recount, Problem> {
    let counters = transaction.execute(
        "INSERT INTO temp.balance SELECT goal, pipeline, bucket, epoch, path, pattern, -n, -score FROM counters",
        [],
    )?;
    find_beyond_cap(transaction)?;
    let decisions = count(transaction)?;
    let mut statement = transaction.prepare(
        "SELECT goal, pipeline, bucket, epoch, path, pattern, n, score FROM temp.balance WHERE n <> 0 OR score <> 0",
    )?;
    let mut rows = statement.query([])?;
    let mut found =
        Recount { decisions, counters: counters as u64, wrong: 0, examples: Vec::new(), repaired: false };
    while let Some(row) = rows.next()? {
        found.wrong += 1;
        if found.examples.len() < EXAMPLES {
            found.examples.push(codec::counter(row, 0)?);
        }
    }
    Ok(found)
}

fn find_beyond_cap(transaction: &Transaction<'_>) -> Result<(), Problem> {
    let mut caps = Caps::default();
    let mut note = transaction.prepare("INSERT INTO temp.beyond_cap VALUES (?1)")?;
    cap::beyond(
        transaction,
        None,
        |goal| caps.of(transaction, goal),
        |trace| {
            note.execute([trace.as_bytes()])?;
            Ok(())
        },
    )
}

/// Adds what every decision counts for to the scratch table. Returns how many there are.
fn count(transaction: &Transaction<'_>) -> Result<u64, Problem> {
    // The plus keeps SQLite from following an index.
    let mut decisions = transaction.prepare(
        "SELECT trace, goal, pipeline, bucket, epoch, side,
         frozen OR EXISTS (SELECT 1 FROM temp.beyond_cap AS b WHERE b.trace = decisions.trace)
         FROM decisions ORDER BY +trace",
    )?;
    let mut attempts = transaction.prepare("SELECT trace, idx, path, reply FROM attempts ORDER BY trace")?;
    let mut signals = transaction.prepare(
        "SELECT id, source, value, strength, confidence, event_at, attempt, trace FROM signals AS s
         WHERE trace IS NOT NULL AND NOT EXISTS (SELECT 1 FROM withdrawals AS w WHERE w.id = s.id)
         ORDER BY +trace",
    )?;
    let mut decisions = decisions.query([])?;
    let mut attempts = Stream::new(attempts.query([])?, 0, |row| codec::attempt(row, 1))?;
    let mut signals = Stream::new(signals.query([])?, 7, codec::signal)?;
    let mut sums = Sums { transaction, scopes: HashMap::default(), cells: HashMap::default() };
    let (mut trace, mut number) = (Trace::default(), 0);
    while let Some(row) = decisions.next()? {
        let id = codec::trace(row.get(0)?);
        attempts.take(id, &mut trace.attempts)?;
        signals.take(id, &mut trace.signals)?;
        number += 1;
        if row.get(6)? {
            continue;
        }
        trace.side = Side::from_code(row.get(5)?);
        let scope = codec::scope(row, 1)?;
        let epoch = Epoch(row.get(4)?);
        let moved = moves(&[], &trace.shares());
        let cells = moved.into_iter().map(|(path, pattern, count)| (Cell { epoch, path, pattern }, count));
        sums.add(scope, cells)?;
    }
    sums.spill()?;
    Ok(number)
}

/// Rows of one table in the order of their traces.
struct Stream<'s, T> {
    rows: Rows<'s>,
    trace_column: usize,
    parse: fn(&Row<'_>) -> Result<T, Problem>,
    head: Option<(TraceId, T)>,
}

impl<'s, T> Stream<'s, T> {
    fn new(
        rows: Rows<'s>,
        trace_column: usize,
        parse: fn(&Row<'_>) -> Result<T, Problem>,
    ) -> Result<Self, Problem> {
        let mut stream = Self { rows, trace_column, parse, head: None };
        stream.step()?;
        Ok(stream)
    }

    fn step(&mut self) -> Result<(), Problem> {
        self.head = match self.rows.next()? {
            Some(row) => Some((codec::trace(row.get(self.trace_column)?), (self.parse)(row)?)),
            None => None,
        };
        Ok(())
    }

    /// Replaces `into` by the rows of this trace. Rows of traces before it belong to no decision.
    fn take(&mut self, trace: TraceId, into: &mut Vec<T>) -> Result<(), Problem> {
        into.clear();
        while let Some((of, row)) = self.head.take_if(|(of, _)| *of <= trace) {
            if of == trace {
                into.push(row);
            }
            self.step()?;
        }
        Ok(())
    }
}

/// What was counted since it was last spilled.
struct Sums<'t> {
    transaction: &'t Transaction<'t>,
    /// Numbers for scopes, which are large and few beside the cells.
    scopes: HashMap<Scope, u32, RandomState>,
    cells: HashMap<(u32, Cell), Count, RandomState>,
}

impl Sums<'_> {
    fn add(&mut self, scope: Scope, cells: impl Iterator<Item = (Cell, Count)>) -> Result<(), Problem> {
        let next = self.scopes.len() as u32;
        let scope = *self.scopes.entry(scope).or_insert(next);
        for (cell, count) in cells {
            *self.cells.entry((scope, cell)).or_default() += count;
        }
        if self.cells.len() >= SPILL { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), Problem> {
        let mut scopes: Vec<(Scope, u32)> = self.scopes.drain().collect();
        scopes.sort_unstable();
        let mut rank = vec![0; scopes.len()];
        for (place, (_, number)) in scopes.iter().enumerate() {
            rank[*number as usize] = place;
        }
        // In the order of the table, so that pages are written once.
        let mut cells: Vec<(usize, Cell, Count)> =
            self.cells.drain().map(|((scope, cell), count)| (rank[scope as usize], cell, count)).collect();
        cells.sort_unstable_by_key(|(scope, cell, _)| (*scope, *cell));
        let mut add = self.transaction.prepare_cached(
            "INSERT INTO temp.balance VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET n = n + excluded.n, score = score + excluded.score",
        )?;
        for (place, cell, count) in cells {
            let Scope { goal: GoalId(goal), pipeline, bucket } = &scopes[place].0;
            add.execute(params![
                goal,
                codec::pipeline_text(pipeline.as_ref()),
                bucket.as_str(),
                cell.epoch.0,
                cell.path.as_bytes(),
                cell.pattern.bits(),
                count.n,
                count.score
            ])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use kalibr_core::ids::{Bucket, Goal, PathId, Timestamp};
    use kalibr_core::path::PathSpec;

    use super::*;
    use crate::facts::{DecisionFact, DecisionKind, Fact, Marks};
    use crate::ledger::{Ledger, PathUpdate};
    use crate::sqlite::SqliteLedger;

    fn decide(ledger: &SqliteLedger, goal: GoalId, path: PathId, n: u8) {
        let decision = DecisionFact {
            trace: TraceId::from_bytes([n; 16]),
            goal,
            pipeline: None,
            bucket: Bucket::default(),
            epoch: Epoch(0),
            kind: DecisionKind::Routed,
            path,
            propensity: 1.0,
            table_version: 1,
            considered: [].into(),
            model: None,
            session: None,
            user: None,
            marks: Marks::default(),
            at: Timestamp(0),
        };
        let attempt = crate::facts::AttemptFact {
            trace: decision.trace,
            index: 0,
            path,
            reply: kalibr_core::outcome::Reply::Answered,
            category: None,
            status: None,
            prompt_tokens: None,
            completion_tokens: None,
            latency_ms: None,
            at: Timestamp(0),
        };
        ledger.commit(&[Fact::Decision(Box::new(decision)), Fact::Attempt(attempt)]).unwrap();
    }

    #[test]
    fn what_is_written_between_the_look_and_the_repair_is_counted_too() {
        for meanwhile in ["DELETE FROM counters", "SELECT 1", "UPDATE goals SET settings = settings"] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("ledger.db");
            let ledger = SqliteLedger::open(&file).unwrap();
            let path = PathSpec::model("a").unwrap();
            let name = Goal::new("g").unwrap();
            let put =
                ledger.put_goal(&name, None, std::slice::from_ref(&path), PathUpdate::Replace, Timestamp(0));
            let (goal, path) = (put.unwrap().0.id, path.id());
            (1..=5).for_each(|n| decide(&ledger, goal, path, n));
            let other = Connection::open(&file).unwrap();
            other.execute_batch("UPDATE counters SET n = n + 3").unwrap();
            let repaired = ledger.with(&Mutex::default(), |connection| {
                let look = look(connection)?;
                assert_eq!(look.found.wrong, 1);
                if meanwhile != "SELECT 1" {
                    decide(&ledger, goal, path, 9);
                }
                other.execute_batch(meanwhile)?;
                put_right(connection, look)
            });
            assert_eq!(repaired.unwrap().decisions, if meanwhile == "SELECT 1" { 5 } else { 6 });
            assert_eq!(ledger.recount(false).unwrap().wrong, 0, "{meanwhile}");
        }
    }
}
