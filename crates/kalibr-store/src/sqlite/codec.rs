//! How the core's types stand in SQLite's columns.

use kalibr_core::counters::{Cell, Count, Epoch};
use kalibr_core::evidence::{Pattern, Signal, Source, Strength, Value};
use kalibr_core::ids::{Bucket, KeyedHash, PathId, Pipeline, SignalId, Timestamp, TraceId};
use kalibr_core::outcome::Reply;
use kalibr_core::trace::Attempt;
use rusqlite::Row;

use super::Problem;
use crate::facts::{DecisionKind, GoalId};
use crate::ledger::{CounterRow, Scope};
use crate::personal::TextKind;

/// A column that does not hold what this program writes there.
pub(super) fn damaged(what: &'static str) -> Problem {
    Problem::Damaged(what)
}

pub(super) fn pipeline_text(pipeline: Option<&Pipeline>) -> &str {
    pipeline.map_or("", Pipeline::as_str)
}

pub(super) fn pipeline(text: &str) -> Result<Option<Pipeline>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    Pipeline::new(text).map(Some).map_err(|_| damaged("a pipeline's id is malformed"))
}

pub(super) fn bucket(text: &str) -> Result<Bucket, Problem> {
    Bucket::new(text).map_err(|_| damaged("a bucket's name is malformed"))
}

pub(super) fn kind(code: u8) -> Result<DecisionKind, Problem> {
    [DecisionKind::Routed, DecisionKind::Forced, DecisionKind::Observed]
        .into_iter()
        .find(|kind| *kind as u8 == code)
        .ok_or(damaged("a decision's kind is unknown"))
}

pub(super) fn text_kind(code: u8) -> Result<TextKind, Problem> {
    TextKind::ALL.into_iter().find(|kind| *kind as u8 == code).ok_or(damaged("a text's kind is unknown"))
}

pub(super) fn reply(code: u8) -> Result<Reply, Problem> {
    Reply::from_code(code).ok_or(damaged("an attempt's reply is unknown"))
}

pub(super) fn trace(bytes: [u8; 16]) -> TraceId {
    TraceId::from_bytes(bytes)
}

pub(super) fn hash(bytes: Option<[u8; 16]>) -> Option<KeyedHash> {
    bytes.map(KeyedHash::from_bytes)
}

/// Reads a counter whose columns start at `at`: goal, pipeline, bucket, epoch, path, pattern, n, score.
pub(super) fn counter(row: &Row<'_>, at: usize) -> Result<CounterRow, Problem> {
    let (cell, count) = cell(row, at + 3)?;
    Ok(CounterRow { scope: scope(row, at)?, cell, count })
}

/// Reads a scope whose columns start at `at`: goal, pipeline, bucket.
pub(super) fn scope(row: &Row<'_>, at: usize) -> Result<Scope, Problem> {
    Ok(Scope {
        goal: GoalId(row.get(at)?),
        pipeline: pipeline(text(row, at + 1)?)?,
        bucket: bucket(text(row, at + 2)?)?,
    })
}

/// Whether the scope whose columns start at `at` is this one; cheaper than reading it.
pub(super) fn is_scope(row: &Row<'_>, at: usize, scope: &Scope) -> Result<bool, Problem> {
    Ok(row.get::<_, i64>(at)? == scope.goal.0
        && text(row, at + 1)? == pipeline_text(scope.pipeline.as_ref())
        && text(row, at + 2)? == scope.bucket.as_str())
}

/// Reads a cell and its count whose columns start at `at`: epoch, path, pattern, n, score.
pub(super) fn cell(row: &Row<'_>, at: usize) -> Result<(Cell, Count), Problem> {
    let cell = Cell {
        epoch: Epoch(row.get(at)?),
        path: PathId::from_bytes(row.get(at + 1)?),
        pattern: Pattern::from_bits(row.get(at + 2)?),
    };
    Ok((cell, Count { n: row.get(at + 3)?, score: row.get(at + 4)? }))
}

fn text<'r>(row: &'r Row<'_>, at: usize) -> Result<&'r str, Problem> {
    row.get_ref(at)?.as_str().map_err(|_| damaged("a pipeline or bucket is no text"))
}

/// Reads an attempt whose columns start at `at`: idx, path, reply.
pub(super) fn attempt(row: &Row<'_>, at: usize) -> Result<Attempt, Problem> {
    let reply = reply(row.get(at + 2)?)?;
    Ok(Attempt { index: row.get(at)?, path: PathId::from_bytes(row.get(at + 1)?), reply })
}

pub(super) fn signal_id(id: &str) -> Result<SignalId, Problem> {
    SignalId::new(id).map_err(|_| damaged("a signal's id is malformed"))
}

/// Reads a signal whose columns start at 0: id, source, value, strength, confidence, event_at, attempt.
pub(super) fn signal(row: &Row<'_>) -> Result<Signal, Problem> {
    let id: String = row.get(0)?;
    let source = Source::from_code(row.get(1)?).ok_or(damaged("a signal's source is unknown"))?;
    Ok(Signal {
        id: signal_id(&id)?,
        source,
        value: Value::from_code(source, row.get(2)?).ok_or(damaged("a signal's value is unknown"))?,
        strength: Strength::from_units(row.get(3)?),
        confidence: Strength::from_units(row.get(4)?),
        at: Timestamp(row.get(5)?),
        attempt: row.get(6)?,
    })
}
