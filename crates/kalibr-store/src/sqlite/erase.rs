//! Forgetting: rows go, and what they counted goes with them.
//!
//! A decision that is erased is touched like one that is written ([`Batch`]): it folds to something before and to nothing
//! after, and the counters move by the difference. So they are what they would be had it never come, in the same epochs;
//! one of its user's that was beyond the cap may count now. Each step is a transaction of a bounded number of runs, and
//! looks for them anew: an erasure that was cut off is finished by asking for it again.
//!
//! Rows are gone then, and most of their bytes: SQLite is told to overwrite what is deleted (`secure_delete`). But where it
//! has moved rows from a full page to another, the old page keeps a copy in its unused part, and the write-ahead log holds
//! pages as they were. So each erasure notes that there may be leftovers, until the file was copied anew and the log cut.

use kalibr_core::ids::{KeyedHash, Timestamp, TraceId};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::batch::Batch;
use super::cap::Place;
use super::{Problem, personal, read, session};
use crate::personal::{Erased, Held, Leftovers, Whose};

/// Runs that are erased in one transaction: some tens of milliseconds, for which other writers wait.
pub(super) const AT_ONCE: usize = 256;
/// Rows of a kind that speak of no run, likewise. No counter depends on them, so they are quicker.
const ALONE_AT_ONCE: usize = 2_000;

/// Erases some of the runs.
pub(super) fn runs(transaction: &Transaction<'_>, whose: &Whose, due: Timestamp) -> Result<Erased, Problem> {
    let traces = personal::runs(transaction, whose, AT_ONCE)?;
    let mut held = Held::default();
    let mut batch = Batch::new(transaction);
    for trace in &traces {
        let sessions = run(&mut batch, *trace, &mut held)?;
        if matches!(whose, Whose::User(_)) {
            // What a session says of no run is of whoever had its runs, if nobody else has any.
            for session in sessions {
                held += session_alone(transaction, session)?;
            }
        }
    }
    batch.finish()?;
    done(transaction, held, traces.len() == AT_ONCE, due)
}

/// Erases what joined no run: these runs without a decision, and what speaks of none.
pub(super) fn rest(
    transaction: &Transaction<'_>,
    tenant: &str,
    whose: &Whose,
    orphans: &[TraceId],
    due: Timestamp,
) -> Result<Erased, Problem> {
    let mut held = Held::default();
    let mut batch = Batch::new(transaction);
    for trace in orphans {
        // Its decision may have come since it was looked for.
        if !personal::is_decided(transaction, *trace)? {
            run(&mut batch, *trace, &mut held)?;
        }
    }
    batch.finish()?;
    let mut more = orphans.len() == AT_ONCE;
    let before = match whose {
        Whose::Session(session) => {
            held += session_alone(transaction, *session)?;
            None
        }
        Whose::User(_) => None,
        Whose::Tenant(name) => (name == tenant).then_some(i64::MAX),
        Whose::Before(moment) => Some(moment.0),
    };
    if let Some(moment) = before {
        let (alone, all) = alone_before(transaction, moment)?;
        held += alone;
        more |= !all;
    }
    done(transaction, held, more, due)
}

fn done(transaction: &Transaction<'_>, held: Held, more: bool, due: Timestamp) -> Result<Erased, Problem> {
    if held != Held::default() {
        note_leftovers(transaction, due)?;
        tell(transaction)?;
    }
    Ok(Erased { held, more, seq: read::last_change(transaction)? })
}

/// Other processes hear of it: what they remember of runs may be of one that is gone.
fn tell(transaction: &Transaction<'_>) -> Result<(), Problem> {
    transaction.prepare_cached("INSERT INTO changes (goal) VALUES (?1)")?.execute([read::ERASED])?;
    Ok(())
}

/// Erases a run, whether its decision is there or not. Returns the sessions that have no run any more.
fn run(batch: &mut Batch<'_>, trace: TraceId, held: &mut Held) -> Result<Vec<KeyedHash>, Problem> {
    let transaction = batch.transaction;
    let place = transaction
        .prepare_cached(
            "SELECT goal, pipeline, bucket, user, decided_at, frozen FROM decisions WHERE trace = ?1",
        )?
        .query_row([trace.as_bytes()], Place::read)
        .optional()?;
    if let Some(place) = place.flatten() {
        batch.touch_neighbours(&place)?;
    }
    batch.touch(trace)?;
    let id = trace.as_bytes();
    withdrawals(transaction, "trace", id)?;
    held.signals += delete(transaction, "DELETE FROM signals WHERE trace = ?1", id)?;
    held.attempts += delete(transaction, "DELETE FROM attempts WHERE trace = ?1", id)?;
    held.texts += delete(transaction, "DELETE FROM texts WHERE trace = ?1", id)?;
    held.fingerprints += delete(transaction, "DELETE FROM prints WHERE trace = ?1", id)?;
    delete(transaction, "DELETE FROM aliases WHERE trace = ?1", id)?;
    // Left behind, they would speak of the run before.
    held.steps += session::delete_steps_of_run(transaction, trace)?;
    let mut sessions: Vec<[u8; 16]> = transaction
        .prepare_cached("SELECT session FROM anchors WHERE trace = ?1")?
        .query_map([id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    delete(transaction, "DELETE FROM anchors WHERE trace = ?1", id)?;
    held.decisions += delete(transaction, "DELETE FROM decisions WHERE trace = ?1", id)?;
    let mut other = transaction.prepare_cached("SELECT 1 FROM anchors WHERE session = ?1")?;
    let mut alone = Vec::new();
    for session in sessions.drain(..) {
        let hash = KeyedHash::from_bytes(session);
        if other.exists([session])? {
            // What its messages say is another thing without this run.
            session::reopen(transaction, hash)?;
        } else {
            alone.push(hash);
        }
    }
    Ok(alone)
}

/// Erases what a session says of no run.
fn session_alone(transaction: &Transaction<'_>, session: KeyedHash) -> Result<Held, Problem> {
    let session = session.as_bytes();
    withdrawals(transaction, "trace IS NULL AND session", session)?;
    session::forget_withdrawn(transaction, "session = ?1", [session])?;
    let signals = "DELETE FROM signals WHERE trace IS NULL AND session = ?1";
    let texts = "DELETE FROM texts WHERE trace IS NULL AND session = ?1";
    Ok(Held {
        signals: delete(transaction, signals, session)?,
        texts: delete(transaction, texts, session)?,
        steps: delete(transaction, "DELETE FROM turns WHERE session = ?1", session)?,
        ..Held::default()
    })
}

/// Erases some of what came in before a moment and speaks of no run. Returns it, and whether that was all.
fn alone_before(transaction: &Transaction<'_>, moment: i64) -> Result<(Held, bool), Problem> {
    let some = [moment, ALONE_AT_ONCE as i64];
    let alone = "SELECT id FROM signals WHERE pending = 1 AND trace IS NULL AND received_at < ?1
                 ORDER BY received_at, id LIMIT ?2";
    transaction.execute(&format!("DELETE FROM withdrawals WHERE id IN ({alone})"), some)?;
    let signals = transaction.execute(&format!("DELETE FROM signals WHERE id IN ({alone})"), some)?;
    let withdrawals = transaction.execute(
        "DELETE FROM withdrawals WHERE id IN (SELECT id FROM withdrawals AS w WHERE at < ?1
         AND NOT EXISTS (SELECT 1 FROM signals AS s WHERE s.id = w.id) LIMIT ?2)",
        some,
    )?;
    let texts = transaction.execute(
        "DELETE FROM texts WHERE rowid IN (SELECT rowid FROM texts WHERE trace IS NULL AND at < ?1 LIMIT ?2)",
        some,
    )?;
    let old = "SELECT id FROM turns WHERE at < ?1 ORDER BY at, id LIMIT ?2";
    transaction.execute(
        &format!(
            "UPDATE turns SET closed = 0
             WHERE closed = 1 AND session IN (SELECT session FROM turns WHERE id IN ({old}))"
        ),
        some,
    )?;
    let withdrawn = session::forget_withdrawn(
        transaction,
        "id IN (SELECT id FROM withdrawn_steps WHERE at < ?1 ORDER BY at, id LIMIT ?2)",
        some,
    )?;
    let steps = transaction.execute(&format!("DELETE FROM turns WHERE id IN ({old})"), some)?;
    let all = [signals, withdrawals, texts, withdrawn, steps].into_iter().all(|rows| rows < ALONE_AT_ONCE);
    let held = Held { signals: signals as u64, texts: texts as u64, steps: steps as u64, ..Held::default() };
    Ok((held, all))
}

/// Erases the withdrawals of the signals whose `column` has this value.
fn withdrawals(transaction: &Transaction<'_>, column: &str, value: &[u8; 16]) -> Result<(), Problem> {
    let sql = format!("DELETE FROM withdrawals WHERE id IN (SELECT id FROM signals WHERE {column} = ?1)");
    delete(transaction, &sql, value).map(drop)
}

fn delete(transaction: &Transaction<'_>, sql: &str, value: &[u8; 16]) -> Result<u64, Problem> {
    Ok(transaction.prepare_cached(sql)?.execute([value])? as u64)
}

/// Erases some of the texts that are to be forgotten by now. Returns how many; fewer than [`AT_ONCE`] were the last.
pub(super) fn texts(transaction: &Transaction<'_>, now: Timestamp, due: Timestamp) -> Result<usize, Problem> {
    let sql = "DELETE FROM texts WHERE rowid IN (SELECT rowid FROM texts WHERE until <= ?1 LIMIT ?2)";
    let erased = transaction.prepare_cached(sql)?.execute(params![now.0, AT_ONCE as i64])?;
    if erased > 0 {
        note_leftovers(transaction, due)?;
    }
    Ok(erased)
}

/// Whether there are texts that are to be forgotten by now.
pub(super) fn has_texts(connection: &Connection, now: Timestamp) -> Result<bool, Problem> {
    Ok(connection.prepare_cached("SELECT 1 FROM texts WHERE until <= ?1")?.exists([now.0])?)
}

pub(super) fn note_leftovers(transaction: &Transaction<'_>, due: Timestamp) -> Result<(), Problem> {
    transaction
        .prepare_cached(
            "INSERT INTO leftovers VALUES (1, ?1) ON CONFLICT DO UPDATE SET due = min(due, excluded.due)",
        )?
        .execute([due.0])?;
    Ok(())
}

pub(super) fn leftovers(connection: &Connection) -> Result<Option<Leftovers>, Problem> {
    let due: Option<i64> =
        connection.query_row("SELECT due FROM leftovers", [], |row| row.get(0)).optional()?;
    let size = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let bytes = size("page_count")? * size("page_size")?;
    Ok(due.map(|due| Leftovers { due: Timestamp(due), bytes: bytes.unsigned_abs() }))
}

/// Copies the file anew where there may be leftovers, and cuts the log. Returns whether it was cut, which it is not while
/// somebody reads what is in it.
pub(super) fn scrub(connection: &Connection) -> Result<bool, Problem> {
    let Some(left) = leftovers(connection)? else { return Ok(true) };
    connection.execute_batch("VACUUM")?;
    // The log holds pages as they were before. This comes last: until it is done there is something to do.
    if !cut_log(connection)? {
        return Ok(false);
    }
    // What was erased meanwhile is noted with another moment, or just now, and may be done once more.
    connection.execute("DELETE FROM leftovers WHERE due = ?1", [left.due.0])?;
    Ok(true)
}

fn cut_log(connection: &Connection) -> Result<bool, Problem> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

#[cfg(test)]
mod tests {
    use crate::sqlite::codec;

    #[test]
    fn every_kind_of_text_is_read_as_it_was_written() {
        for kind in crate::personal::TextKind::ALL {
            assert_eq!(codec::text_kind(kind as u8).unwrap(), kind);
        }
        assert!(codec::text_kind(200).is_err());
    }
}
