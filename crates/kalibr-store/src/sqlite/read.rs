//! Reading the ledger.

use std::collections::HashMap;
use std::sync::Arc;

use kalibr_core::counters::{Cell, Count, Epoch};
use kalibr_core::ids::{Goal, KeyedHash, PathId, Timestamp, TraceId};
use kalibr_core::outcome::{FailureCategory, Reply};
use kalibr_core::path::PathSpec;
use kalibr_core::safety::Side;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::cap::{Caps, Place};
use super::{Problem, codec, personal};
use crate::facts::{AttemptFact, DecisionFact, GoalId, Marks};
use crate::ledger::{
    CallRecord, Change, Changes, DecisionRecord, Freeze, GoalRecord, PathRecord, Piece, Reset, RolledBack,
    Scope, SignalRecord,
};

/// Most changes that one look at the tail takes; the rest comes with the next.
const CHANGES_PER_LOOK: i64 = 20_000;

/// What `head` reads of a goal `g`.
macro_rules! goal_columns {
    () => {
        "g.id, g.name, g.settings, g.active, g.frozen_at, g.frozen_known, g.rolled_back_at, g.rolled_back_for,
         g.watched_from, (SELECT max(epoch) FROM resets WHERE goal = g.id),
         (SELECT at FROM resets WHERE goal = g.id ORDER BY epoch DESC LIMIT 1)"
    };
}

/// The first column behind those.
const PATH_AT: usize = 11;

pub(super) fn last_change(connection: &Connection) -> Result<i64, Problem> {
    // Not max(seq): that would go back when old changes are dropped.
    Ok(connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'changes'")?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or(0))
}

pub(super) fn goal(connection: &Connection, id: GoalId) -> Result<Option<GoalRecord>, Problem> {
    let mut statement =
        connection.prepare_cached(concat!("SELECT ", goal_columns!(), " FROM goals AS g WHERE g.id = ?1"))?;
    let mut rows = statement.query([id.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut goal = head(row)?;
    let mut statement = connection.prepare_cached(
        "SELECT id, spec, enabled FROM paths WHERE goal = ?1 ORDER BY enabled DESC, position, id",
    )?;
    let mut rows = statement.query([id.0])?;
    while let Some(row) = rows.next()? {
        goal.paths.push(path(row, 0, None)?);
    }
    Ok(Some(goal))
}

pub(super) fn snapshot(
    connection: &Connection,
    tenant: &str,
    take: &mut dyn FnMut(Piece),
) -> Result<i64, Problem> {
    let seq = last_change(connection)?;
    goals(connection, tenant, take)?;
    // In the order of the table, where each scope's counters lie together.
    let mut statement = connection.prepare_cached(
        "SELECT goal, pipeline, bucket, epoch, path, pattern, n, score FROM counters
         ORDER BY goal, pipeline, bucket, epoch, path, pattern",
    )?;
    let mut rows = statement.query([])?;
    let mut current: Option<(Scope, Vec<(Cell, Count)>)> = None;
    while let Some(row) = rows.next()? {
        let cell = codec::cell(row, 3)?;
        match &mut current {
            Some((scope, cells)) if codec::is_scope(row, 0, scope)? => cells.push(cell),
            other => {
                if let Some((scope, cells)) = other.replace((codec::scope(row, 0)?, vec![cell])) {
                    take(Piece::Counters(scope, cells));
                }
            }
        }
    }
    if let Some((scope, cells)) = current {
        take(Piece::Counters(scope, cells));
    }
    Ok(seq)
}

fn goals(connection: &Connection, tenant: &str, take: &mut dyn FnMut(Piece)) -> Result<(), Problem> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        goal_columns!(),
        ", p.id, p.spec, p.enabled
             FROM goals AS g LEFT JOIN paths AS p ON p.goal = g.id WHERE g.tenant = ?1
             ORDER BY g.id, p.enabled DESC, p.position, p.id"
    ))?;
    let mut rows = statement.query([tenant])?;
    let mut specs: HashMap<String, Arc<PathSpec>> = HashMap::new();
    let mut current: Option<GoalRecord> = None;
    while let Some(row) = rows.next()? {
        let id = GoalId(row.get(0)?);
        if current.as_ref().is_none_or(|goal| goal.id != id)
            && let Some(goal) = current.replace(head(row)?)
        {
            take(Piece::Goal(goal));
        }
        let spec = row.get_ref(PATH_AT + 1)?.as_str_or_null().ok().flatten();
        if let (Some(goal), Some(text)) = (&mut current, spec) {
            let known = specs.get(text).cloned();
            let path = path(row, PATH_AT, known)?;
            specs.entry(text.to_owned()).or_insert_with(|| Arc::clone(&path.spec));
            goal.paths.push(path);
        }
    }
    if let Some(goal) = current {
        take(Piece::Goal(goal));
    }
    Ok(())
}

/// Reads a path whose columns start at `at`: id, spec, enabled. `known` is its spec if it was read before.
fn path(row: &Row<'_>, at: usize, known: Option<Arc<PathSpec>>) -> Result<PathRecord, Problem> {
    let spec = match known {
        Some(spec) => spec,
        None => serde_json::from_str(&row.get::<_, String>(at + 1)?)
            .map_err(|_| codec::damaged("a path is malformed"))?,
    };
    Ok(PathRecord { id: PathId::from_bytes(row.get(at)?), spec, enabled: row.get(at + 2)? })
}

/// Reads a goal without its paths, whose columns are those of `goal_columns!`.
fn head(row: &Row<'_>) -> Result<GoalRecord, Problem> {
    let frozen_at: Option<i64> = row.get(4)?;
    let rolled_back_at: Option<i64> = row.get(6)?;
    let reset: Option<u32> = row.get(9)?;
    Ok(GoalRecord {
        id: GoalId(row.get(0)?),
        name: goal_name(&row.get::<_, String>(1)?)?,
        settings: row.get(2)?,
        active: row.get(3)?,
        paths: Vec::new(),
        frozen: match frozen_at {
            Some(at) => Some(Freeze {
                at: Timestamp(at),
                known: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
            }),
            None => None,
        },
        rolled_back: match rolled_back_at {
            Some(at) => Some(RolledBack {
                at: Timestamp(at),
                lower: row.get::<_, Option<f64>>(7)?.unwrap_or_default(),
            }),
            None => None,
        },
        watched_from: Epoch(row.get(8)?),
        reset: match reset {
            Some(epoch) => Some(Reset { epoch: Epoch(epoch), at: Timestamp(row.get(10)?) }),
            None => None,
        },
    })
}

fn goal_name(text: &str) -> Result<Goal, Problem> {
    Goal::new(text).map_err(|_| codec::damaged("a goal's name is malformed"))
}

/// In place of a goal's number in a change that says that somebody's data was erased. No goal has it.
pub(super) const ERASED: i64 = 0;

pub(super) fn changes(connection: &Connection, since: i64) -> Result<Changes, Problem> {
    let last = last_change(connection)?;
    if last < since {
        // The file was replaced by an older one while we ran.
        return Ok(Changes::Dropped);
    }
    let mut statement = connection.prepare_cached(
        "SELECT seq, goal, pipeline, bucket, epoch, path, pattern, n, score FROM changes WHERE seq > ?1
         ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = statement.query([since, CHANGES_PER_LOOK])?;
    let (mut seq, mut changes) = (since, Vec::new());
    while let Some(row) = rows.next()? {
        let at: i64 = row.get(0)?;
        if seq == since && at > since + 1 {
            return Ok(Changes::Dropped);
        }
        seq = at;
        changes.push(match row.get_ref(5)? {
            rusqlite::types::ValueRef::Null if row.get::<_, i64>(1)? == ERASED => Change::Erased,
            rusqlite::types::ValueRef::Null => Change::Goal(GoalId(row.get(1)?)),
            _ => Change::Count(codec::counter(row, 1)?),
        });
    }
    if changes.is_empty() && last > since {
        return Ok(Changes::Dropped);
    }
    Ok(Changes::Rows(seq, changes))
}

pub(super) fn calls(
    connection: &Connection,
    tenant: &str,
    decisions: u32,
    take: &mut dyn FnMut(CallRecord),
) -> Result<(), Problem> {
    // The latest first, which needs no sorting; they are handed over the other way round.
    let mut statement = connection.prepare_cached(
        "SELECT d.goal, d.pipeline, d.bucket, a.path, a.prompt_tokens, a.completion_tokens,
         CASE WHEN a.reply = ?3 OR a.category = ?4 THEN a.latency_ms END AS latency
         FROM (SELECT trace, goal, pipeline, bucket, rowid AS place FROM decisions ORDER BY rowid DESC LIMIT ?2) AS d
         JOIN goals AS g ON g.id = d.goal AND g.tenant = ?1
         JOIN attempts AS a ON a.trace = d.trace AND a.known = 1
         WHERE a.prompt_tokens NOT NULL OR latency NOT NULL ORDER BY d.place DESC, a.idx DESC",
    )?;
    let (answered, timeout) = (Reply::Answered as u8, FailureCategory::Timeout.as_str());
    let mut rows = statement.query(rusqlite::params![tenant, decisions, answered, timeout])?;
    let mut calls = Vec::new();
    while let Some(row) = rows.next()? {
        let tokens: (Option<u32>, Option<u32>) = (row.get(4)?, row.get(5)?);
        calls.push(CallRecord {
            scope: codec::scope(row, 0)?,
            path: PathId::from_bytes(row.get(3)?),
            tokens: tokens.0.zip(tokens.1),
            latency_ms: row.get(6)?,
        });
    }
    calls.into_iter().rev().for_each(take);
    Ok(())
}

pub(super) fn decision(connection: &Connection, trace: TraceId) -> Result<Option<DecisionRecord>, Problem> {
    let Some((decision, goal)) = decided(connection, trace)? else { return Ok(None) };
    let beyond_cap = match Place::of(&decision) {
        Some(place) => {
            let cap = Caps::default().of(connection, place.goal)?;
            !place.counts(connection, trace, cap)?
        }
        None => false,
    };
    Ok(Some(DecisionRecord {
        goal,
        beyond_cap,
        attempts: attempts(connection, trace)?,
        failed_checks: failed_checks(connection, trace)?,
        signals: signals(connection, trace)?,
        counters: counters(connection, &decision)?,
        texts: personal::texts(connection, "trace = ?1", [trace.as_bytes()])?,
        decision,
    }))
}

/// A decision alone, with its goal's name.
pub(super) fn decided(
    connection: &Connection,
    trace: TraceId,
) -> Result<Option<(DecisionFact, Goal)>, Problem> {
    let mut statement = connection.prepare_cached(
        "SELECT d.goal, d.pipeline, d.bucket, d.user, d.decided_at, d.frozen, d.epoch, d.kind, d.path, d.propensity,
         d.table_version, d.considered, d.session, d.model, d.rolled_back, d.side, g.name
         FROM decisions AS d JOIN goals AS g ON g.id = d.goal WHERE d.trace = ?1",
    )?;
    let mut rows = statement.query([trace.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (pipeline, bucket, considered): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(11)?);
    let decision = DecisionFact {
        trace,
        goal: GoalId(row.get(0)?),
        pipeline: codec::pipeline(&pipeline)?,
        bucket: codec::bucket(&bucket)?,
        user: codec::hash(row.get(3)?),
        at: Timestamp(row.get(4)?),
        epoch: Epoch(row.get(6)?),
        kind: codec::kind(row.get(7)?)?,
        path: PathId::from_bytes(row.get(8)?),
        propensity: row.get(9)?,
        table_version: row.get::<_, i64>(10)? as u64,
        considered: serde_json::from_str(&considered)
            .map_err(|_| codec::damaged("a decision's paths are malformed"))?,
        session: codec::hash(row.get(12)?),
        model: row.get(13)?,
        marks: Marks { frozen: row.get(5)?, rolled_back: row.get(14)?, side: Side::from_code(row.get(15)?) },
    };
    Ok(Some((decision, goal_name(&row.get::<_, String>(16)?)?)))
}

pub(super) fn failed_checks(connection: &Connection, trace: TraceId) -> Result<Vec<(u16, u64)>, Problem> {
    let sql =
        "SELECT idx, failed_checks FROM attempts WHERE trace = ?1 AND failed_checks NOT NULL ORDER BY idx";
    let mut statement = connection.prepare_cached(sql)?;
    let rows =
        statement.query_map([trace.as_bytes()], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn attempts(connection: &Connection, trace: TraceId) -> Result<Vec<AttemptFact>, Problem> {
    let mut statement = connection.prepare_cached(
        "SELECT idx, path, reply, category, status, prompt_tokens, completion_tokens, latency_ms, at
         FROM attempts WHERE trace = ?1 ORDER BY idx",
    )?;
    let mut rows = statement.query([trace.as_bytes()])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        attempts.push(AttemptFact {
            trace,
            index: row.get(0)?,
            path: PathId::from_bytes(row.get(1)?),
            reply: codec::reply(row.get(2)?)?,
            category: row.get::<_, Option<String>>(3)?.as_deref().and_then(FailureCategory::from_name),
            status: row.get(4)?,
            prompt_tokens: row.get(5)?,
            completion_tokens: row.get(6)?,
            latency_ms: row.get(7)?,
            at: Timestamp(row.get(8)?),
        });
    }
    Ok(attempts)
}

fn counters(connection: &Connection, decision: &DecisionFact) -> Result<Vec<(Cell, Count)>, Problem> {
    let mut statement = connection.prepare_cached(
        "SELECT epoch, path, pattern, n, score FROM counters WHERE goal = ?1 AND pipeline = ?2 AND bucket = ?3",
    )?;
    let pipeline = codec::pipeline_text(decision.pipeline.as_ref());
    let mut rows = statement.query(rusqlite::params![decision.goal.0, pipeline, decision.bucket.as_str()])?;
    let mut counters = Vec::new();
    while let Some(row) = rows.next()? {
        counters.push(codec::cell(row, 0)?);
    }
    Ok(counters)
}

pub(super) fn signals(connection: &Connection, trace: TraceId) -> Result<Vec<SignalRecord>, Problem> {
    signals_where(connection, "trace = ?1", [trace.as_bytes()])
}

pub(super) fn signals_where(
    connection: &Connection,
    which: &str,
    values: impl Params,
) -> Result<Vec<SignalRecord>, Problem> {
    let sql = format!(
        "SELECT id, source, value, strength, confidence, event_at, attempt, session IS NOT NULL, received_at,
         EXISTS (SELECT 1 FROM withdrawals AS w WHERE w.id = s.id)
         FROM signals AS s WHERE {which} ORDER BY received_at, id"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(values)?;
    let mut signals = Vec::new();
    while let Some(row) = rows.next()? {
        signals.push(SignalRecord {
            signal: codec::signal(row)?,
            by_session: row.get(7)?,
            received_at: Timestamp(row.get(8)?),
            withdrawn: row.get(9)?,
        });
    }
    Ok(signals)
}

pub(super) fn anchored(
    connection: &Connection,
    alias: KeyedHash,
    session: KeyedHash,
) -> Result<Option<TraceId>, Problem> {
    let by_alias = connection
        .prepare_cached("SELECT trace FROM aliases WHERE alias = ?1")?
        .query_row([alias.as_bytes()], |row| row.get(0).map(codec::trace))
        .optional()?;
    if by_alias.is_some() {
        return Ok(by_alias);
    }
    Ok(connection
        .prepare_cached("SELECT trace FROM anchors WHERE session = ?1 ORDER BY at DESC, trace DESC LIMIT 1")?
        .query_row([session.as_bytes()], |row| row.get(0).map(codec::trace))
        .optional()?)
}
