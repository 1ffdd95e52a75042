//! Goals and their paths. A path that is taken off a goal stays, disabled, with its history.

use kalibr_core::ids::{Goal, PathId, Timestamp};
use kalibr_core::path::PathSpec;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Problem, codec, read};
use crate::facts::GoalId;
use crate::ledger::{GoalRecord, PathUpdate};

pub(super) fn put(
    transaction: &Transaction<'_>,
    tenant: &str,
    name: &Goal,
    settings: Option<&str>,
    paths: &[PathSpec],
    update: PathUpdate,
    now: Timestamp,
) -> Result<(GoalRecord, i64), Problem> {
    let mut changed = transaction
        .prepare_cached(
            "INSERT INTO goals (tenant, name, settings, active, created_at, updated_at)
             VALUES (?1, ?2, coalesce(?3, '{}'), 1, ?4, ?4)
             ON CONFLICT DO UPDATE SET settings = coalesce(?3, settings), active = 1, updated_at = ?4
             WHERE active = 0 OR settings <> coalesce(?3, settings)",
        )?
        .execute(params![tenant, name.as_str(), settings, now.0])?;
    let id: i64 = transaction
        .prepare_cached("SELECT id FROM goals WHERE tenant = ?1 AND name = ?2")?
        .query_row(params![tenant, name.as_str()], |row| row.get(0))?;
    if update == PathUpdate::Replace {
        changed += take_off(transaction, id, paths)?;
    }
    let first: i64 = match update {
        PathUpdate::Replace => 0,
        PathUpdate::Add => transaction
            .prepare_cached("SELECT coalesce(max(position) + 1, 0) FROM paths WHERE goal = ?1")?
            .query_row([id], |row| row.get(0))?,
    };
    for (offset, path) in paths.iter().enumerate() {
        let spec =
            serde_json::to_string(path).map_err(|_| codec::damaged("a path cannot be written as JSON"))?;
        let sql = match update {
            PathUpdate::Replace => {
                "INSERT INTO paths (goal, id, position, spec, enabled) VALUES (?1, ?2, ?3, ?4, 1)
                 ON CONFLICT DO UPDATE SET position = excluded.position, enabled = 1
                 WHERE enabled = 0 OR position <> excluded.position"
            }
            PathUpdate::Add => {
                "INSERT INTO paths (goal, id, position, spec, enabled) VALUES (?1, ?2, ?3, ?4, 1)
                 ON CONFLICT DO UPDATE SET enabled = 1 WHERE enabled = 0"
            }
        };
        let position = first + offset as i64;
        changed +=
            transaction.prepare_cached(sql)?.execute(params![id, path.id().as_bytes(), position, spec])?;
    }
    if changed > 0 {
        announce(transaction, id)?;
    }
    let goal = read::goal(transaction, GoalId(id))?
        .ok_or(codec::damaged("a goal that was just written is not there"))?;
    Ok((goal, read::last_change(transaction)?))
}

pub(super) fn remove(
    transaction: &Transaction<'_>,
    tenant: &str,
    name: &Goal,
    now: Timestamp,
) -> Result<Option<i64>, Problem> {
    let id: Option<i64> = transaction
        .prepare_cached(
            "UPDATE goals SET active = 0, updated_at = ?3 WHERE tenant = ?1 AND name = ?2 AND active = 1 RETURNING id",
        )?
        .query_row(params![tenant, name.as_str(), now.0], |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(None) };
    // Else a router that adds one path later would bring all of these back.
    take_off(transaction, id, &[])?;
    announce(transaction, id)?;
    read::last_change(transaction).map(Some)
}

/// Disables all paths of a goal but these. Returns how many it disabled.
fn take_off(transaction: &Transaction<'_>, goal: i64, kept: &[PathSpec]) -> Result<usize, Problem> {
    let kept: Vec<PathId> = kept.iter().map(PathSpec::id).collect();
    let enabled: Vec<[u8; 16]> = transaction
        .prepare_cached("SELECT id FROM paths WHERE goal = ?1 AND enabled = 1")?
        .query_map([goal], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut disabled = 0;
    for gone in enabled.into_iter().map(PathId::from_bytes).filter(|id| !kept.contains(id)) {
        disabled += transaction
            .prepare_cached("UPDATE paths SET enabled = 0 WHERE goal = ?1 AND id = ?2")?
            .execute(params![goal, gone.as_bytes()])?;
    }
    Ok(disabled)
}

fn announce(transaction: &Transaction<'_>, goal: i64) -> Result<(), Problem> {
    transaction.prepare_cached("INSERT INTO changes (goal) VALUES (?1)")?.execute([goal])?;
    Ok(())
}
