//! Reading what became of recent attempts.

use kalibr_core::ids::{Goal, PathId, Timestamp};
use kalibr_core::outcome::{FailureCategory, Reply};
use rusqlite::Connection;

use super::{Problem, codec};
use crate::ledger::PastAttempt;

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
