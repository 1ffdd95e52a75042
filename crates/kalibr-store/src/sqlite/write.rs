//! Appending facts. Each says first which decisions it touches: see [`Batch`].

use kalibr_core::evidence::Voice;
use kalibr_core::ids::{KeyedHash, SignalId, Timestamp, TraceId};
use kalibr_core::outcome::{FailureCategory, Reply};
use rusqlite::{OptionalExtension, Transaction, params};

use super::batch::Batch;
use super::cap::Place;
use super::{CHANGES_KEPT, Problem, UNJOINED_MICROS, codec, erase, prints, read, session};
use crate::facts::{
    About, AnchorFact, AttemptFact, CheckedFact, DecisionFact, DecisionKind, Fact, Receipt, SignalFact,
    TextFact,
};
use crate::ledger::Committed;

/// Rows of a kind that are dropped in one transaction: some tens of milliseconds, for which other writers wait.
const MAINTAINED: i64 = 2_000;
/// Microseconds after which no file may hold a copy of a text that was withdrawn: a day.
const LEFT_FOR: i64 = 24 * 3_600_000_000;

pub(super) fn commit(transaction: &Transaction<'_>, facts: &[Fact]) -> Result<Committed, Problem> {
    let mut batch = Batch::new(transaction);
    let mut receipts = Vec::with_capacity(facts.len());
    for fact in facts {
        receipts.push(match fact {
            Fact::Decision(decision) => append_decision(&mut batch, decision)?,
            Fact::Attempt(attempt) => append_attempt(&mut batch, attempt)?,
            Fact::Checked(checked) => append_checked(transaction, *checked)?,
            Fact::Signal(signal) => append_signal(&mut batch, signal)?,
            Fact::Withdrawal(id, at) => append_withdrawal(&mut batch, id, *at)?,
            Fact::Anchor(anchor) => append_anchor(&mut batch, anchor)?,
            Fact::Print(print) => prints::append(transaction, print)?,
            Fact::Step(step) => session::append_step(&batch, step)?,
            Fact::Ended(ended) => session::append_ended(&mut batch, ended)?,
            Fact::Text(text) => append_text(transaction, text)?,
        });
    }
    batch.finish()?;
    Ok(Committed { receipts, seq: read::last_change(transaction)? })
}

fn append_decision(batch: &mut Batch<'_>, decision: &DecisionFact) -> Result<Receipt, Problem> {
    let known = batch
        .transaction
        .prepare_cached(
            "SELECT goal, pipeline, bucket, user, decided_at, frozen, kind FROM decisions WHERE trace = ?1",
        )?
        .query_row([decision.trace.as_bytes()], |row| Ok((Place::read(row)?, row.get::<_, u8>(6)?)))
        .optional()?;
    // What a router decided says more than what someone observed of the same run, and may arrive after it.
    let duplicate = known.as_ref().is_some_and(|(_, kind)| {
        *kind != DecisionKind::Observed as u8 || decision.kind == DecisionKind::Observed
    });
    if !duplicate {
        let left = known.and_then(|(place, _)| place);
        for place in left.into_iter().chain(Place::of(decision)) {
            batch.touch_neighbours(&place)?;
        }
        batch.touch(decision.trace)?;
        insert_decision(batch.transaction, decision)?;
        batch
            .transaction
            .prepare_cached("UPDATE signals SET pending = 0 WHERE trace = ?1 AND pending = 1")?
            .execute([decision.trace.as_bytes()])?;
        batch
            .transaction
            .prepare_cached("UPDATE prints SET waiting = 0 WHERE trace = ?1 AND waiting = 1")?
            .execute([decision.trace.as_bytes()])?;
        // The decision knows best when its run was: sessions that were anchored to it before go by that now.
        let sessions: Vec<[u8; 16]> = batch
            .transaction
            .prepare_cached("SELECT session FROM anchors WHERE trace = ?1")?
            .query_map([decision.trace.as_bytes()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for session in sessions {
            anchor(batch, KeyedHash::from_bytes(session), decision.trace, decision.at)?;
        }
    }
    if let Some(session) = decision.session {
        let at = decided_at(batch.transaction, decision.trace)?.unwrap_or(decision.at);
        anchor(batch, session, decision.trace, at)?;
    }
    Ok(Receipt { duplicate, joined: true, trace: Some(decision.trace), ..Receipt::default() })
}

fn insert_decision(transaction: &Transaction<'_>, decision: &DecisionFact) -> Result<(), Problem> {
    let considered = serde_json::to_string(&decision.considered)
        .map_err(|_| codec::damaged("a decision's paths cannot be written"))?;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO decisions (trace, goal, pipeline, bucket, epoch, kind, path, propensity,
             table_version, considered, model, session, user, decided_at, frozen, rolled_back, side)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        )?
        .execute(params![
            decision.trace.as_bytes(),
            decision.goal.0,
            codec::pipeline_text(decision.pipeline.as_ref()),
            decision.bucket.as_str(),
            decision.epoch.0,
            decision.kind as u8,
            decision.path.as_bytes(),
            decision.propensity,
            decision.table_version as i64,
            considered,
            decision.model,
            decision.session.map(|hash| *hash.as_bytes()),
            decision.user.map(|hash| *hash.as_bytes()),
            decision.at.0,
            decision.marks.frozen,
            decision.marks.rolled_back,
            decision.marks.side.map_or(0, |side| side as u8),
        ])?;
    // The path that was chosen is attempt 0, of which nothing is known until its outcome arrives.
    transaction
        .prepare_cached(
            "INSERT INTO attempts (trace, idx, path, known, reply, at) VALUES (?1, 0, ?2, 0, ?3, ?4)
             ON CONFLICT DO UPDATE SET path = excluded.path WHERE known = 0",
        )?
        .execute(params![
            decision.trace.as_bytes(),
            decision.path.as_bytes(),
            Reply::Unknown as u8,
            decision.at.0
        ])?;
    Ok(())
}

fn append_attempt(batch: &mut Batch<'_>, attempt: &AttemptFact) -> Result<Receipt, Problem> {
    batch.touch(attempt.trace)?;
    let changed = batch
        .transaction
        .prepare_cached(
            "INSERT INTO attempts (trace, idx, path, known, reply, category, status, prompt_tokens,
             completion_tokens, latency_ms, at) VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT DO UPDATE SET path = excluded.path, known = 1, reply = excluded.reply,
             category = excluded.category, status = excluded.status, prompt_tokens = excluded.prompt_tokens,
             completion_tokens = excluded.completion_tokens, latency_ms = excluded.latency_ms, at = excluded.at
             WHERE known = 0",
        )?
        .execute(params![
            attempt.trace.as_bytes(),
            attempt.index,
            attempt.path.as_bytes(),
            attempt.reply as u8,
            attempt.category.map(FailureCategory::as_str),
            attempt.status,
            attempt.prompt_tokens,
            attempt.completion_tokens,
            attempt.latency_ms,
            attempt.at.0,
        ])?;
    Ok(Receipt {
        duplicate: changed == 0,
        joined: decided_at(batch.transaction, attempt.trace)?.is_some(),
        trace: Some(attempt.trace),
        ..Receipt::default()
    })
}

/// It counts nothing: what does is the signal that says so.
fn append_checked(transaction: &Transaction<'_>, checked: CheckedFact) -> Result<Receipt, Problem> {
    transaction
        .prepare_cached("UPDATE attempts SET failed_checks = ?3 WHERE trace = ?1 AND idx = ?2")?
        .execute(params![checked.trace.as_bytes(), checked.index, checked.failed as i64])?;
    Ok(Receipt {
        joined: decided_at(transaction, checked.trace)?.is_some(),
        trace: Some(checked.trace),
        ..Receipt::default()
    })
}

pub(super) fn append_signal(batch: &mut Batch<'_>, fact: &SignalFact) -> Result<Receipt, Problem> {
    let signal = &fact.signal;
    if let Some(receipt) = known_signal(batch.transaction, fact)? {
        return Ok(receipt);
    }
    // What a message asserts comes before its step: a step that is there is another message's, which asserted nothing.
    if signal.value.voice(signal.source) == Voice::Turn && session::has_step(batch.transaction, &signal.id)? {
        return Ok(Receipt { conflict: true, ..Receipt::default() });
    }
    let (trace, session) = match fact.about {
        About::Trace(trace) => (Some(trace), None),
        About::Session(session) => (run_at(batch.transaction, session, signal.at)?, Some(session)),
    };
    let value =
        signal.value.code(signal.source).ok_or(codec::damaged("a value that its source cannot say"))?;
    let mut joined = false;
    if let Some(trace) = trace {
        batch.touch(trace)?;
        joined = decided_at(batch.transaction, trace)?.is_some();
    }
    batch
        .transaction
        .prepare_cached(
            "INSERT INTO signals (id, trace, session, attempt, source, value, strength, confidence,
             event_at, received_at, pending) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            signal.id.as_str(),
            trace.map(|trace| *trace.as_bytes()),
            session.map(|session| *session.as_bytes()),
            signal.attempt,
            signal.source as u8,
            value,
            signal.strength.units(),
            signal.confidence.units(),
            signal.at.0,
            fact.received_at.0,
            !joined,
        ])?;
    Ok(Receipt { joined, trace, ..Receipt::default() })
}

/// What to say of a signal whose id is taken: it was sent again, or is another that took the same id. When it happened
/// is not compared: a sender that gives no time sends another one with every try.
fn known_signal(transaction: &Transaction<'_>, fact: &SignalFact) -> Result<Option<Receipt>, Problem> {
    let mut statement = transaction.prepare_cached(
        "SELECT id, source, value, strength, confidence, event_at, attempt, trace, session, pending
         FROM signals WHERE id = ?1",
    )?;
    let mut rows = statement.query([fact.signal.id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut stored = codec::signal(row)?;
    stored.at = fact.signal.at;
    let trace: Option<[u8; 16]> = row.get(7)?;
    let session: Option<[u8; 16]> = row.get(8)?;
    let same_run = match fact.about {
        About::Trace(about) => session.is_none() && trace == Some(*about.as_bytes()),
        About::Session(about) => session == Some(*about.as_bytes()),
    };
    let same = same_run && stored == fact.signal;
    let pending: bool = row.get(9)?;
    Ok(Some(Receipt {
        duplicate: same,
        conflict: !same,
        joined: same && !pending,
        trace: trace.filter(|_| same).map(codec::trace),
    }))
}

fn append_withdrawal(batch: &mut Batch<'_>, id: &SignalId, at: Timestamp) -> Result<Receipt, Problem> {
    let trace = batch
        .transaction
        .prepare_cached("SELECT trace FROM signals WHERE id = ?1")?
        .query_row([id.as_str()], |row| row.get::<_, Option<[u8; 16]>>(0))
        .optional()?
        .flatten()
        .map(codec::trace);
    if let Some(trace) = trace {
        batch.touch(trace)?;
    }
    session::withdraw_step(batch, id)?;
    let texts =
        batch.transaction.prepare_cached("DELETE FROM texts WHERE signal = ?1")?.execute([id.as_str()])?;
    if texts > 0 {
        erase::note_leftovers(batch.transaction, Timestamp(at.0.saturating_add(LEFT_FOR)))?;
    }
    let inserted = batch
        .transaction
        .prepare_cached("INSERT OR IGNORE INTO withdrawals (id, at) VALUES (?1, ?2)")?
        .execute(params![id.as_str(), at.0])?;
    Ok(Receipt { duplicate: inserted == 0, joined: trace.is_some(), trace, ..Receipt::default() })
}

fn append_anchor(batch: &mut Batch<'_>, fact: &AnchorFact) -> Result<Receipt, Problem> {
    if let Some(alias) = fact.alias {
        batch
            .transaction
            .prepare_cached("INSERT OR IGNORE INTO aliases (alias, trace) VALUES (?1, ?2)")?
            .execute(params![alias.as_bytes(), fact.trace.as_bytes()])?;
    }
    let decided = decided_at(batch.transaction, fact.trace)?;
    let known: Option<i64> = batch
        .transaction
        .prepare_cached("SELECT at FROM anchors WHERE session = ?1 AND trace = ?2")?
        .query_row(params![fact.session.as_bytes(), fact.trace.as_bytes()], |row| row.get(0))
        .optional()?;
    // A run is where its decision is; one that is linked to its session afterwards is no newer for that.
    let at = decided.unwrap_or(Timestamp(known.unwrap_or(i64::MAX).min(fact.at.0)));
    anchor(batch, fact.session, fact.trace, at)?;
    Ok(Receipt {
        duplicate: known.is_some(),
        joined: decided.is_some(),
        trace: Some(fact.trace),
        ..Receipt::default()
    })
}

fn append_text(transaction: &Transaction<'_>, fact: &TextFact) -> Result<Receipt, Problem> {
    let (trace, session) = match fact.about {
        About::Trace(trace) => (Some(trace), None),
        About::Session(session) => (run_at(transaction, session, fact.event_at)?, Some(session)),
    };
    let signal = fact.signal.as_ref().map(SignalId::as_str);
    // It is taken back with its signal, also where that was taken back before it came.
    let withdrawn = transaction
        .prepare_cached("SELECT 1 FROM withdrawals WHERE id = ?1")?
        .exists([signal.unwrap_or_default()])?;
    if withdrawn {
        return Ok(Receipt { joined: trace.is_some(), trace, ..Receipt::default() });
    }
    let ids = (trace.map(|trace| *trace.as_bytes()), session.map(|session| *session.as_bytes()));
    // Who sends a signal again sends its text again, with another time if the sender gives none.
    let same =
        if signal.is_some() { "signal = ?7" } else { "signal IS NULL AND trace IS ?1 AND session IS ?2" };
    let inserted = transaction
        .prepare_cached(&format!(
            "INSERT INTO texts (trace, session, kind, text, at, until, signal, event_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
             WHERE NOT EXISTS (SELECT 1 FROM texts WHERE {same} AND kind = ?3 AND text = ?4)"
        ))?
        .execute(params![
            ids.0,
            ids.1,
            fact.kind as u8,
            fact.text,
            fact.at.0,
            fact.until.0,
            signal,
            fact.event_at.0
        ])?;
    Ok(Receipt { duplicate: inserted == 0, joined: trace.is_some(), trace, ..Receipt::default() })
}

/// Puts a run at its place in a session, and hands the session's signals and texts to the runs that they speak of by that.
fn anchor(batch: &mut Batch<'_>, session: KeyedHash, trace: TraceId, at: Timestamp) -> Result<(), Problem> {
    let changed = batch
        .transaction
        .prepare_cached(
            "INSERT INTO anchors (session, trace, at) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET at = excluded.at WHERE at <> excluded.at",
        )?
        .execute(params![session.as_bytes(), trace.as_bytes(), at.0])?;
    if changed == 0 {
        return Ok(());
    }
    session::reopen(batch.transaction, session)?;
    batch
        .transaction
        .prepare_cached(
            "UPDATE texts SET trace = (SELECT a.trace FROM anchors AS a WHERE a.session = ?1 AND a.at <= texts.event_at
             ORDER BY a.at DESC, a.trace DESC LIMIT 1) WHERE session = ?1",
        )?
        .execute([session.as_bytes()])?;
    let signals: Vec<(String, Option<[u8; 16]>, i64)> = batch
        .transaction
        .prepare_cached("SELECT id, trace, event_at FROM signals WHERE session = ?1")?
        .query_map([session.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (id, from, event_at) in signals {
        let from = from.map(codec::trace);
        let to = run_at(batch.transaction, session, Timestamp(event_at))?;
        if from == to {
            continue;
        }
        for trace in from.into_iter().chain(to) {
            batch.touch(trace)?;
        }
        let joined = match to {
            Some(trace) => decided_at(batch.transaction, trace)?.is_some(),
            None => false,
        };
        batch
            .transaction
            .prepare_cached("UPDATE signals SET trace = ?2, pending = ?3 WHERE id = ?1")?
            .execute(params![id, to.map(|trace| *trace.as_bytes()), !joined])?;
    }
    Ok(())
}

/// The latest run of a session at or before a moment; of two at the same moment the one with the greater id.
pub(super) fn run_at(
    transaction: &Transaction<'_>,
    session: KeyedHash,
    at: Timestamp,
) -> Result<Option<TraceId>, Problem> {
    Ok(transaction
        .prepare_cached(
            "SELECT trace FROM anchors WHERE session = ?1 AND at <= ?2 ORDER BY at DESC, trace DESC LIMIT 1",
        )?
        .query_row(params![session.as_bytes(), at.0], |row| row.get(0).map(codec::trace))
        .optional()?)
}

/// When a decision was made, if the ledger holds it.
pub(super) fn decided_at(
    transaction: &Transaction<'_>,
    trace: TraceId,
) -> Result<Option<Timestamp>, Problem> {
    Ok(transaction
        .prepare_cached("SELECT decided_at FROM decisions WHERE trace = ?1")?
        .query_row([trace.as_bytes()], |row| row.get(0).map(Timestamp))
        .optional()?)
}

/// Drops some of what has outlived its use. Returns whether there may be more.
pub(super) fn maintain(transaction: &Transaction<'_>, now: Timestamp) -> Result<bool, Problem> {
    let too_old = now.0 - UNJOINED_MICROS;
    let dropped = [
        session::maintain(transaction, now, MAINTAINED)?,
        transaction.execute(
            "DELETE FROM signals WHERE id IN
             (SELECT id FROM signals WHERE pending = 1 AND received_at < ?1 LIMIT ?2)",
            [too_old, MAINTAINED],
        )?,
        prints::maintain(transaction, too_old, MAINTAINED)?,
        transaction.execute(
            "DELETE FROM withdrawals WHERE id IN (SELECT id FROM withdrawals AS w WHERE at < ?1
             AND NOT EXISTS (SELECT 1 FROM signals AS s WHERE s.id = w.id) LIMIT ?2)",
            [too_old, MAINTAINED],
        )?,
        transaction.execute(
            "DELETE FROM changes WHERE seq IN (SELECT seq FROM changes
             WHERE seq <= (SELECT max(seq) FROM changes) - ?1 ORDER BY seq LIMIT ?2)",
            [CHANGES_KEPT, MAINTAINED],
        )?,
    ];
    Ok(dropped.into_iter().any(|rows| rows == MAINTAINED as usize))
}
