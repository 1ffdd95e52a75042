//! Reading what became of recent attempts.

use kalibr_core::ids::{Goal, PathId, Timestamp};
use kalibr_core::outcome::{FailureCategory, Reply};
use rusqlite::Connection;

use super::{Problem, codec};
use crate::facts::GoalId;
use crate::ledger::PastAttempt;

/// How many decisions of any goal are looked through for each that is wanted of one.
const LOOKED_AT: u32 = 20;

pub(super) fn since(
    connection: &Connection,
    tenant: &str,
    since: Timestamp,
    take: &mut dyn FnMut(PastAttempt),
) -> Result<(), Problem> {
    // No index on the time: it would cost every attempt a write, and this is asked once, when a process starts.
    let mut statement = connection.prepare_cached(
        "SELECT g.name, a.path, json_extract(p.spec, '$.model'), a.reply, a.category, a.status, a.latency_ms, a.at
         FROM attempts AS a JOIN decisions AS d ON d.trace = a.trace JOIN goals AS g ON g.id = d.goal
         JOIN paths AS p ON p.goal = d.goal AND p.id = a.path
         WHERE a.at >= ?1 AND a.reply IN (?2, ?3) AND g.tenant = ?4 ORDER BY a.at, a.trace, a.idx",
    )?;
    let mut rows =
        statement.query(rusqlite::params![since.0, Reply::Answered as u8, Reply::Failed as u8, tenant])?;
    while let Some(row) = rows.next()? {
        let goal =
            Goal::new(&row.get::<_, String>(0)?).map_err(|_| codec::damaged("a goal's name is malformed"))?;
        take(PastAttempt {
            goal,
            path: PathId::from_bytes(row.get(1)?),
            model: row.get(2)?,
            reply: codec::reply(row.get(3)?)?,
            category: row.get::<_, Option<String>>(4)?.as_deref().and_then(FailureCategory::from_name),
            status: row.get(5)?,
            latency_ms: row.get(6)?,
            at: Timestamp(row.get(7)?),
        });
    }
    Ok(())
}

pub(super) fn failed_checks(
    connection: &Connection,
    goal: GoalId,
    decisions: u32,
    take: &mut dyn FnMut(PathId, Option<u64>),
) -> Result<(), Problem> {
    // The latest of all goals are looked through, as no index leads to those of one: as many times as many as are wanted.
    let mut statement = connection.prepare_cached(
        "SELECT a.path, a.failed_checks
         FROM (SELECT trace FROM (SELECT trace, goal, rowid AS place FROM decisions ORDER BY rowid DESC LIMIT ?3)
               WHERE goal = ?1 ORDER BY place DESC LIMIT ?2) AS d
         JOIN attempts AS a ON a.trace = d.trace WHERE a.reply = ?4",
    )?;
    let looked_at = decisions.saturating_mul(LOOKED_AT);
    let mut rows = statement.query(rusqlite::params![goal.0, decisions, looked_at, Reply::Answered as u8])?;
    while let Some(row) = rows.next()? {
        take(PathId::from_bytes(row.get(0)?), row.get::<_, Option<i64>>(1)?.map(|bits| bits as u64));
    }
    Ok(())
}
