//! Goals, their paths, and what is done to a goal as a whole. A path that is taken off a goal stays, disabled, with its
//! history.

use kalibr_core::counters::Epoch;
use kalibr_core::ids::{Goal, PathId, Timestamp};
use kalibr_core::path::PathSpec;
use kalibr_core::safety::UserCap;
use rusqlite::{OptionalExtension, Transaction, params};
use serde::Deserialize;

use super::batch::Batch;
use super::{Problem, cap, codec, read};
use crate::facts::GoalId;
use crate::ledger::{GoalChange, GoalChanged, GoalRecord, PathUpdate};

pub(super) fn put(
    transaction: &Transaction<'_>,
    tenant: &str,
    name: &Goal,
    settings: Option<&str>,
    paths: &[PathSpec],
    update: PathUpdate,
    now: Timestamp,
) -> Result<(GoalRecord, i64), Problem> {
    let mut counts = Batch::new(transaction);
    if let Some(settings) = settings
        && let Some((id, old)) = settings_of(transaction, tenant, name)?
    {
        touch_capped(&mut counts, id, [cap::in_settings(&old), cap::in_settings(settings)])?;
        if baseline(&old) != baseline(settings) {
            watch_anew(transaction, id, Epoch(0), now)?;
        }
    }
    let mut changed = transaction
        .prepare_cached(
            "INSERT INTO goals (tenant, name, settings, active, created_at, updated_at)
             VALUES (?1, ?2, coalesce(?3, '{}'), 1, ?4, ?4)
             ON CONFLICT DO UPDATE SET settings = coalesce(?3, settings), active = 1, updated_at = ?4
             WHERE active = 0 OR settings <> coalesce(?3, settings)",
        )?
        .execute(params![tenant, name.as_str(), settings, now.0])?;
    counts.finish()?;
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

fn settings_of(
    transaction: &Transaction<'_>,
    tenant: &str,
    name: &Goal,
) -> Result<Option<(i64, String)>, Problem> {
    Ok(transaction
        .prepare_cached("SELECT id, settings FROM goals WHERE tenant = ?1 AND name = ?2")?
        .query_row(params![tenant, name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// Touches the decisions that count by one of these caps, the old and the new, and not by the other.
fn touch_capped(counts: &mut Batch<'_>, goal: i64, caps: [UserCap; 2]) -> Result<(), Problem> {
    if caps[0] != caps[1] {
        let changed = cap::changed(counts.transaction, goal, caps)?;
        changed.into_iter().try_for_each(|trace| counts.touch(trace))?;
        counts.forget_caps();
    }
    Ok(())
}

/// The path that these settings measure the router against.
fn baseline(settings: &str) -> Option<String> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Settings {
        baseline: Option<String>,
    }
    serde_json::from_str(settings).unwrap_or_else(|_| Settings::default()).baseline
}

/// Epochs that may lie between the newest that anything is counted in and the newest that was decided in: a queue before
/// the ledger holds fewer decisions than these take.
const IN_FLIGHT: u32 = 4_096;
/// Blocks of old epochs are aligned runs of powers of two, and a run of more than these merges only once it lies a
/// million epochs behind: until then none holds decisions from both sides of a multiple of these.
const ALIGNED: u32 = 65_536;

/// An epoch behind all others, `None` when there is none left.
fn new_epoch(transaction: &Transaction<'_>, goal: i64, newest: Epoch) -> Result<Option<u32>, Problem> {
    let known: u32 = transaction
        .prepare_cached(
            "SELECT max(coalesce((SELECT max(epoch) FROM counters WHERE goal = ?1), 0),
             coalesce((SELECT max(epoch) FROM resets WHERE goal = ?1), 0), watched_from) FROM goals WHERE id = ?1",
        )?
        .query_row([goal], |row| row.get(0))?;
    let last = known.max(newest.0).checked_add(IN_FLIGHT);
    Ok(last.and_then(|last| (last / ALIGNED + 1).checked_mul(ALIGNED)))
}

pub(super) fn change(
    transaction: &Transaction<'_>,
    tenant: &str,
    name: &Goal,
    change: &GoalChange,
    now: Timestamp,
) -> Result<GoalChanged, Problem> {
    let goal: Option<(i64, bool)> = transaction
        .prepare_cached(
            "SELECT id, frozen_at IS NOT NULL FROM goals WHERE tenant = ?1 AND name = ?2 AND active = 1",
        )?
        .query_row(params![tenant, name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((id, frozen)) = goal else { return Ok(GoalChanged::Unknown) };
    let changed = match change {
        GoalChange::Freeze(known) => transaction.execute(
            "UPDATE goals SET frozen_at = ?2, frozen_known = ?3, updated_at = ?2 WHERE id = ?1 AND frozen_at IS NULL",
            params![id, now.0, known],
        )?,
        GoalChange::Thaw => transaction.execute(
            "UPDATE goals SET frozen_at = NULL, frozen_known = NULL, updated_at = ?2
             WHERE id = ?1 AND frozen_at IS NOT NULL",
            params![id, now.0],
        )?,
        GoalChange::Reset(_) | GoalChange::UndoReset if frozen => return Ok(GoalChanged::Frozen),
        GoalChange::Reset(newest) => match new_epoch(transaction, id, *newest)? {
            Some(epoch) => transaction
                .execute("INSERT INTO resets (goal, epoch, at) VALUES (?1, ?2, ?3)", params![id, epoch, now.0])?,
            None => 0,
        },
        GoalChange::UndoReset => transaction.execute(
            "DELETE FROM resets WHERE goal = ?1 AND epoch = (SELECT max(epoch) FROM resets WHERE goal = ?1)",
            [id],
        )?,
        GoalChange::RollBack { lower, watched_from } => transaction.execute(
            "UPDATE goals SET rolled_back_at = ?2, rolled_back_for = ?3, updated_at = ?2
             WHERE id = ?1 AND rolled_back_at IS NULL AND watched_from = ?4",
            params![id, now.0, lower, watched_from.0],
        )?,
        GoalChange::Resume(_) if !is_rolled_back(transaction, id)? => 0,
        GoalChange::Resume(newest) => watch_anew(transaction, id, *newest, now)?,
    };
    if changed == 0 {
        return Ok(GoalChanged::Already);
    }
    announce(transaction, id)?;
    read::last_change(transaction).map(GoalChanged::Done)
}

fn is_rolled_back(transaction: &Transaction<'_>, goal: i64) -> Result<bool, Problem> {
    let sql = "SELECT rolled_back_at IS NOT NULL FROM goals WHERE id = ?1";
    Ok(transaction.prepare_cached(sql)?.query_row([goal], |row| row.get(0))?)
}

/// Begins the comparison with the baseline anew, and ends what it led to.
fn watch_anew(
    transaction: &Transaction<'_>,
    goal: i64,
    newest: Epoch,
    now: Timestamp,
) -> Result<usize, Problem> {
    let epoch = new_epoch(transaction, goal, newest)?;
    Ok(transaction.execute(
        "UPDATE goals SET rolled_back_at = NULL, rolled_back_for = NULL, watched_from = coalesce(?2, watched_from),
         updated_at = ?3 WHERE id = ?1",
        params![goal, epoch, now.0],
    )?)
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
    transaction.execute("UPDATE goals SET frozen_at = NULL, frozen_known = NULL WHERE id = ?1", [id])?;
    if is_rolled_back(transaction, id)? {
        watch_anew(transaction, id, Epoch(0), now)?;
    }
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
