//! What is kept of the texts of a run.

use kalibr_core::ids::{Timestamp, TraceId};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Problem, codec, write};
use crate::facts::{About, PrintFact, PrintOf, Receipt};
use crate::ledger::RunPrints;

/// The number that stands for the prompt, where attempts have theirs.
const PROMPT: i64 = -1;

/// The first print that is known of a text stays. No counter depends on it, so nothing is folded.
pub(super) fn append(transaction: &Transaction<'_>, fact: &PrintFact) -> Result<Receipt, Problem> {
    let of = match fact.of {
        PrintOf::Prompt => PROMPT,
        PrintOf::Answer(attempt) => i64::from(attempt),
    };
    let joined = write::decided_at(transaction, fact.trace)?.is_some();
    let inserted = transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO prints (trace, attempt, print, at, waiting) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![fact.trace.as_bytes(), of, fact.print, fact.at.0, !joined])?;
    Ok(Receipt { duplicate: inserted == 0, joined, trace: Some(fact.trace), ..Receipt::default() })
}

/// The run that a signal of this moment speaks of, with its prints.
pub(super) fn of_run(
    connection: &Connection,
    about: About,
    at: Timestamp,
) -> Result<Option<RunPrints>, Problem> {
    let run = match about {
        About::Trace(trace) => connection
            .prepare_cached("SELECT trace, decided_at FROM decisions WHERE trace = ?1")?
            .query_row([trace.as_bytes()], |row| Ok((codec::trace(row.get(0)?), row.get(1)?)))
            .optional()?,
        About::Session(session) => connection
            .prepare_cached(
                "SELECT trace, at FROM anchors WHERE session = ?1 AND at <= ?2
                 ORDER BY at DESC, trace DESC LIMIT 1",
            )?
            .query_row(params![session.as_bytes(), at.0], |row| Ok((codec::trace(row.get(0)?), row.get(1)?)))
            .optional()?,
    };
    let Some((trace, at)) = run else { return Ok(None) };
    let mut prints = RunPrints { trace, at: Timestamp(at), prompt: None, answer: None };
    // The answer that came out in the end is that of the last attempt.
    let mut statement =
        connection.prepare_cached("SELECT attempt, print FROM prints WHERE trace = ?1 ORDER BY attempt")?;
    let mut rows = statement.query([trace.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let print: Vec<u8> = row.get(1)?;
        let of = if row.get::<_, i64>(0)? == PROMPT { &mut prints.prompt } else { &mut prints.answer };
        *of = Some(print);
    }
    Ok(Some(prints))
}

/// All that is kept of a run's texts: the prompt's, then the answers'.
pub(super) fn all_of(connection: &Connection, trace: TraceId) -> Result<Vec<(PrintOf, Vec<u8>)>, Problem> {
    let mut statement =
        connection.prepare_cached("SELECT attempt, print FROM prints WHERE trace = ?1 ORDER BY attempt")?;
    let rows = statement.query_map([trace.as_bytes()], |row| {
        let attempt: i64 = row.get(0)?;
        Ok((u16::try_from(attempt).map_or(PrintOf::Prompt, PrintOf::Answer), row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Drops some of the prints whose decision never came. Returns how many.
pub(super) fn maintain(transaction: &Transaction<'_>, too_old: i64, most: i64) -> Result<usize, Problem> {
    Ok(transaction.execute(
        "DELETE FROM prints WHERE (trace, attempt) IN
         (SELECT trace, attempt FROM prints WHERE waiting = 1 AND at < ?1 LIMIT ?2)",
        [too_old, most],
    )?)
}
