//! What sessions say that nobody gave a verdict on: their steps, and the signs that follow from those.
//!
//! A session's signs are derived from its steps by whoever finds that it has ended, and put here as a whole. They take the
//! place of those that were derived before, so that what was learned is what the steps say now, in whatever order they
//! came, and several processes that find the same session write the same once. A finding that was made from steps which
//! are no longer all is left alone: the session is found again.

use kalibr_core::evidence::{Source, Value, Voice};
use kalibr_core::ids::{KeyedHash, SignalId, Timestamp, TraceId};
use rusqlite::{Connection, OptionalExtension, Params, Transaction, params};

use super::batch::Batch;
use super::write::{append_signal, run_at};
use super::{Problem, codec};
use crate::facts::{About, EndedFact, Receipt, SessionStep, SessionTrail, SignalFact, StepFact};

/// The latest steps of a session that are looked at. One that has more is no conversation.
const MOST_STEPS: usize = 1_000;
/// Of the steps of a session that has more, the first so many only say what those after them follow on.
const LEAD: usize = 16;
/// How long steps are kept, in microseconds: 30 days, as long as a session can go on.
const KEPT: i64 = 30 * 24 * 3_600_000_000;

pub(super) fn append_step(batch: &Batch<'_>, fact: &StepFact) -> Result<Receipt, Problem> {
    let trace = run_at(batch.transaction, fact.session, fact.at)?;
    let receipt = Receipt { joined: trace.is_some(), trace, ..Receipt::default() };
    let withdrawn: bool = batch
        .transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM withdrawals WHERE id = ?1)")?
        .query_row([fact.id.as_str()], |row| row.get(0))?;
    if withdrawn {
        return Ok(receipt);
    }
    // Neither half of a message is taken whose signal's id another signal has.
    let elsewhere = batch
        .transaction
        .prepare_cached("SELECT 1 FROM signals WHERE id = ?1 AND (source <> ?2 OR session IS NOT ?3)")?
        .exists(params![fact.id.as_str(), Source::Turn as u8, fact.session.as_bytes()])?;
    if elsewhere {
        return Ok(Receipt { conflict: true, ..Receipt::default() });
    }
    let inserted = batch
        .transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO turns (id, session, at, acceptance, rejection, closed) VALUES (?1, ?2, ?3, ?4, ?5, 0)",
        )?
        .execute(params![
            fact.id.as_str(),
            fact.session.as_bytes(),
            fact.at.0,
            fact.read.map(|(acceptance, _)| acceptance),
            fact.read.map(|(_, rejection)| rejection),
        ])?;
    if inserted == 0 && is_taken(batch.transaction, fact)? {
        return Ok(Receipt { conflict: true, ..Receipt::default() });
    }
    Ok(Receipt { duplicate: inserted == 0, ..receipt })
}

/// Whether another step has this one's id. As with signals, when it happened is not compared: a sender that gives no time
/// sends another one with every try.
fn is_taken(transaction: &Transaction<'_>, fact: &StepFact) -> Result<bool, Problem> {
    let stored = steps(transaction, "id = ?1", [fact.id.as_str()])?;
    Ok(stored.iter().any(|step| step.session != fact.session || step.read != fact.read))
}

/// Whether there is a step of this name.
pub(super) fn has_step(transaction: &Transaction<'_>, id: &SignalId) -> Result<bool, Problem> {
    Ok(transaction.prepare_cached("SELECT 1 FROM turns WHERE id = ?1")?.exists([id.as_str()])?)
}

/// A message was withdrawn: what the session said by it goes at once, the rest is found again.
pub(super) fn withdraw_step(batch: &mut Batch<'_>, id: &SignalId) -> Result<(), Problem> {
    let step: Option<([u8; 16], i64)> = batch
        .transaction
        .prepare_cached("SELECT session, at FROM turns WHERE id = ?1")?
        .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((session, at)) = step else { return Ok(()) };
    batch.transaction.prepare_cached("DELETE FROM turns WHERE id = ?1")?.execute([id.as_str()])?;
    batch
        .transaction
        .prepare_cached("INSERT OR IGNORE INTO withdrawn_steps (id, session, at) VALUES (?1, ?2, ?3)")?
        .execute(params![id.as_str(), session, at])?;
    let left = batch
        .transaction
        .prepare_cached("UPDATE turns SET closed = 0 WHERE session = ?1")?
        .execute([&session])?;
    let session = KeyedHash::from_bytes(session);
    let gone =
        signs(batch.transaction, session)?.into_iter().filter(|sign| left == 0 || sign.signal.at.0 == at);
    gone.into_iter().try_for_each(|sign| delete_sign(batch, &sign))
}

/// A run has come to stand elsewhere in a session: what its messages say may depend on that. One open row is enough for the
/// session to be found.
pub(super) fn reopen(transaction: &Transaction<'_>, session: KeyedHash) -> Result<(), Problem> {
    transaction
        .prepare_cached(
            "UPDATE turns SET closed = 0
             WHERE id = (SELECT id FROM turns WHERE session = ?1 AND closed = 1 ORDER BY at DESC LIMIT 1)",
        )?
        .execute([session.as_bytes()])?;
    Ok(())
}

pub(super) fn append_ended(batch: &mut Batch<'_>, fact: &EndedFact) -> Result<Receipt, Problem> {
    let session = fact.trail.session;
    if trail(batch.transaction, session)? != fact.trail {
        return Ok(Receipt::default());
    }
    let from = fact.trail.from;
    // Where all that it takes in is older than what was looked at, the signs of what was looked at stay.
    let known = if fact.through < from { Vec::new() } else { signs(batch.transaction, session)? };
    let mut missing: Vec<SignalFact> = fact
        .signs
        .iter()
        .filter(|sign| sign.at >= from)
        .map(|signal| SignalFact {
            signal: signal.clone(),
            about: About::Session(session),
            received_at: fact.received_at,
        })
        .collect();
    for sign in known.iter().filter(|sign| sign.signal.at >= from) {
        match missing.iter().position(|new| new.signal == sign.signal) {
            Some(same) => _ = missing.remove(same),
            None => delete_sign(batch, sign)?,
        }
    }
    for sign in &missing {
        append_signal(batch, sign)?;
    }
    let closed = batch
        .transaction
        .prepare_cached(
            "UPDATE turns SET closed = 1 WHERE session = ?1 AND (at <= ?2 OR at < ?3) AND closed = 0",
        )?
        .execute(params![session.as_bytes(), fact.through.0, from.0])?;
    Ok(Receipt { duplicate: closed == 0, joined: true, ..Receipt::default() })
}

/// The signs that a session has, in order of time.
fn signs(transaction: &Transaction<'_>, session: KeyedHash) -> Result<Vec<SignalFact>, Problem> {
    let mut statement = transaction.prepare_cached(
        "SELECT id, source, value, strength, confidence, event_at, attempt, received_at FROM signals
         WHERE session = ?1 AND source = ?2 ORDER BY event_at, id",
    )?;
    let mut rows = statement.query(params![session.as_bytes(), Source::SessionEnd as u8])?;
    let mut signs = Vec::new();
    while let Some(row) = rows.next()? {
        let signal = codec::signal(row)?;
        if is_sign(signal.value) {
            signs.push(SignalFact {
                signal,
                about: About::Session(session),
                received_at: Timestamp(row.get(7)?),
            });
        }
    }
    Ok(signs)
}

fn is_sign(value: Value) -> bool {
    matches!(value.voice(Source::SessionEnd), Voice::SessionSign | Voice::Momentum)
}

fn delete_sign(batch: &mut Batch<'_>, sign: &SignalFact) -> Result<(), Problem> {
    let id = sign.signal.id.as_str();
    let trace: Option<[u8; 16]> = batch
        .transaction
        .prepare_cached("SELECT trace FROM signals WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
    if let Some(trace) = trace {
        batch.touch(codec::trace(trace))?;
    }
    batch.transaction.prepare_cached("DELETE FROM signals WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Sessions with steps that no sign takes in yet, and that have ended: by a caller's word, or because nothing happened in
/// them since `idle_since`.
pub(super) fn ended(
    connection: &Connection,
    idle_since: Option<Timestamp>,
    most: usize,
) -> Result<Vec<SessionTrail>, Problem> {
    let mut statement = connection.prepare_cached(
        "SELECT session FROM (
             SELECT session, max(at) AS last, max(acceptance IS NULL) AS by_caller FROM turns WHERE closed = 0
             GROUP BY session) AS open
         WHERE by_caller OR (
             ?1 NOT NULL AND last <= ?1
             AND NOT EXISTS (SELECT 1 FROM turns AS t WHERE t.session = open.session AND t.at > ?1)
             AND NOT EXISTS (SELECT 1 FROM anchors AS a WHERE a.session = open.session AND a.at > ?1))
         LIMIT ?2",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let sessions: Vec<[u8; 16]> = statement
        .query_map(params![idle_since.map(|at| at.0), most], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    sessions.into_iter().map(|session| trail(connection, KeyedHash::from_bytes(session))).collect()
}

/// The steps of a session, in order of time; of one moment, a run comes before a message and that before an end.
fn trail(connection: &Connection, session: KeyedHash) -> Result<SessionTrail, Problem> {
    let mut statement = connection.prepare_cached(
        "SELECT at, acceptance, rejection, kind FROM (
             SELECT at, NULL AS acceptance, NULL AS rejection, 0 AS kind, trace AS id FROM anchors WHERE session = ?1
             UNION ALL
             SELECT at, acceptance, rejection, CASE WHEN acceptance IS NULL THEN 2 ELSE 1 END, id FROM turns
             WHERE session = ?1)
         ORDER BY at DESC, kind DESC, id DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![session.as_bytes(), MOST_STEPS as i64])?;
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        let step = match row.get(3)? {
            0 => SessionStep::Run,
            1 => SessionStep::Message { acceptance: row.get(1)?, rejection: row.get(2)? },
            _ => SessionStep::End,
        };
        steps.push((Timestamp(row.get(0)?), step));
    }
    steps.reverse();
    let lead = if steps.len() < MOST_STEPS { 0 } else { LEAD };
    let from = steps.get(lead).map_or(Timestamp(i64::MIN), |(at, _)| *at);
    Ok(SessionTrail { session, steps, from })
}

/// Which steps speak of a run: those of its sessions, from its time on to that of the next run there.
const OF_RUN: &str = "EXISTS (
         SELECT 1 FROM anchors AS a WHERE a.trace = ?1 AND a.session = turns.session AND a.at <= turns.at
         AND NOT EXISTS (SELECT 1 FROM anchors AS b WHERE b.session = a.session AND b.at <= turns.at
                         AND (b.at, b.trace) > (a.at, a.trace)))";
/// Steps that speak of no run.
pub(super) const OF_NO_RUN: &str =
    "NOT EXISTS (SELECT 1 FROM anchors AS a WHERE a.session = turns.session AND a.at <= turns.at)";

/// The steps that speak of a run.
pub(super) fn steps_of_run(connection: &Connection, trace: TraceId) -> Result<Vec<StepFact>, Problem> {
    steps(connection, &in_sessions_of_run(), [trace.as_bytes()])
}

/// Deletes the steps that speak of a run. Returns how many.
pub(super) fn delete_steps_of_run(transaction: &Transaction<'_>, trace: TraceId) -> Result<u64, Problem> {
    let which = in_sessions_of_run().replace("turns.", "withdrawn_steps.");
    forget_withdrawn(transaction, &which, [trace.as_bytes()])?;
    let sql = format!("DELETE FROM turns WHERE {}", in_sessions_of_run());
    Ok(transaction.prepare_cached(&sql)?.execute([trace.as_bytes()])? as u64)
}

/// Deletes the ids of withdrawn steps that meet a condition. They are no data that is counted. Returns how many.
pub(super) fn forget_withdrawn(
    transaction: &Transaction<'_>,
    which: &str,
    values: impl Params + Copy,
) -> Result<usize, Problem> {
    let ids = format!(
        "DELETE FROM withdrawals WHERE id IN (SELECT id FROM withdrawn_steps WHERE {which})
         AND NOT EXISTS (SELECT 1 FROM signals AS s WHERE s.id = withdrawals.id)"
    );
    transaction.prepare_cached(&ids)?.execute(values)?;
    let forgotten =
        transaction.prepare_cached(&format!("DELETE FROM withdrawn_steps WHERE {which}"))?.execute(values)?;
    Ok(forgotten)
}

fn in_sessions_of_run() -> String {
    format!("session IN (SELECT session FROM anchors WHERE trace = ?1) AND {OF_RUN}")
}

/// The steps of sessions that meet a condition, in order of time.
pub(super) fn steps(
    connection: &Connection,
    which: &str,
    values: impl Params,
) -> Result<Vec<StepFact>, Problem> {
    let sql =
        format!("SELECT id, session, at, acceptance, rejection FROM turns WHERE {which} ORDER BY at, id");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(values)?;
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        let (acceptance, rejection): (Option<u8>, Option<u8>) = (row.get(3)?, row.get(4)?);
        steps.push(StepFact {
            id: codec::signal_id(&row.get::<_, String>(0)?)?,
            session: KeyedHash::from_bytes(row.get(1)?),
            read: acceptance.zip(rejection),
            at: Timestamp(row.get(2)?),
        });
    }
    Ok(steps)
}

/// Drops some of the steps that are too old, and of the ids of withdrawn ones. Returns the larger of the two numbers.
pub(super) fn maintain(transaction: &Transaction<'_>, now: Timestamp, most: i64) -> Result<usize, Problem> {
    let before = [now.0.saturating_sub(KEPT), most];
    let steps = transaction.execute(
        "DELETE FROM turns WHERE id IN (SELECT id FROM turns WHERE at < ?1 ORDER BY at, id LIMIT ?2)",
        before,
    )?;
    let withdrawn = transaction.execute(
        "DELETE FROM withdrawn_steps WHERE id IN
         (SELECT id FROM withdrawn_steps WHERE at < ?1 ORDER BY at, id LIMIT ?2)",
        before,
    )?;
    Ok(steps.max(withdrawn))
}
