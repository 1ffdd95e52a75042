//! The log of a goal, for replay.
//!
//! First the list of its traces in order of time, then what is known of each, some at a time: a read of one moment keeps
//! SQLite from taking the write-ahead log back, so none may last long. Each part has a connection of its own, since none
//! may be held where somebody could be waiting to close all of them ([`crate::Ledger::suspend`]).

use kalibr_core::counters::Epoch;
use kalibr_core::ids::{PathId, Timestamp, TraceId};
use kalibr_core::trace::{Attempt, Trace};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Problem, codec, read};
use crate::facts::GoalId;
use crate::ledger::LoggedDecision;

/// Decisions that are read in one go: some tens of milliseconds.
pub(super) const AT_ONCE: usize = 1_000;

/// The latest `most` traces of the goal from `since` on, oldest first.
pub(super) fn traces(
    connection: &Connection,
    goal: GoalId,
    since: Option<Timestamp>,
    most: usize,
) -> Result<Vec<TraceId>, Problem> {
    // The plus keeps SQLite from following the index on the time, which has all goals' decisions in it.
    let mut statement = connection.prepare(
        "SELECT trace FROM decisions WHERE goal = ?1 AND +decided_at >= ?2
         ORDER BY +decided_at DESC, trace DESC LIMIT ?3",
    )?;
    let since = since.map_or(i64::MIN, |since| since.0);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![goal.0, since, most])?;
    let mut traces = Vec::new();
    while let Some(row) = rows.next()? {
        traces.push(codec::trace(row.get(0)?));
    }
    traces.reverse();
    Ok(traces)
}

/// What is known of these decisions, in one moment. Those that are gone meanwhile are left out.
pub(super) fn decisions(
    connection: &mut Connection,
    traces: &[TraceId],
) -> Result<Vec<LoggedDecision>, Problem> {
    let transaction = connection.transaction()?;
    traces.iter().filter_map(|trace| decision(&transaction, *trace).transpose()).collect()
}

fn decision(connection: &Connection, trace: TraceId) -> Result<Option<LoggedDecision>, Problem> {
    let mut statement = connection.prepare_cached(
        "SELECT pipeline, bucket, epoch, kind, path, considered, decided_at FROM decisions WHERE trace = ?1",
    )?;
    let head = statement.query_row([trace.as_bytes()], |row| {
        let (pipeline, bucket, considered): (String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(5)?);
        Ok((pipeline, bucket, row.get(2)?, row.get(3)?, row.get(4)?, considered, row.get(6)?))
    });
    let Some((pipeline, bucket, epoch, kind, path, considered, at)) = head.optional()? else {
        return Ok(None);
    };
    let attempts = read::attempts(connection, trace)?;
    let signals = read::signals(connection, trace)?;
    let folded = Trace {
        attempts: attempts
            .iter()
            .map(|attempt| Attempt { index: attempt.index, path: attempt.path, reply: attempt.reply })
            .collect(),
        signals: signals.into_iter().filter(|s| !s.withdrawn).map(|s| s.signal).collect(),
        side: None,
    };
    Ok(Some(LoggedDecision {
        trace,
        pipeline: codec::pipeline(&pipeline)?,
        bucket: codec::bucket(&bucket)?,
        epoch: Epoch(epoch),
        kind: codec::kind(kind)?,
        path: PathId::from_bytes(path),
        considered: serde_json::from_str(&considered)
            .map_err(|_| codec::damaged("a decision's paths are malformed"))?,
        at: Timestamp(at),
        shares: folded.shares(),
        attempts,
    }))
}
