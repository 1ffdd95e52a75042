//! Moving the counters with the facts.
//!
//! Before a batch first touches a decision, the decision is folded; when the batch is in, it is folded again, and what
//! differs moves. So a decision costs two folds a batch, however many of its facts are in it, and one that the ledger
//! does not hold folds to nothing: facts that arrive before their decision count when it arrives. So does one that never
//! counts: made while its goal was frozen, or beyond its user's cap. A decision that comes in may push another over the
//! cap; that one is touched as well, though nothing of it is written.

use std::collections::BTreeMap;

use kalibr_core::counters::{Cell, Count, Epoch};
use kalibr_core::evidence::Pattern;
use kalibr_core::ids::{PathId, TraceId};
use kalibr_core::safety::Side;
use kalibr_core::trace::{Share, Trace, moves};
use rusqlite::{Transaction, params};

use super::cap::{Caps, Place};
use super::{Problem, codec};
use crate::ledger::Scope;

/// What a decision counts for, and where.
struct Folded {
    scope: Scope,
    epoch: Epoch,
    shares: Vec<Share>,
}

/// A batch of facts on its way into the ledger.
pub(super) struct Batch<'t> {
    pub(super) transaction: &'t Transaction<'t>,
    before: BTreeMap<TraceId, Option<Folded>>,
    caps: Caps,
}

impl<'t> Batch<'t> {
    pub(super) fn new(transaction: &'t Transaction<'t>) -> Self {
        Self { transaction, before: BTreeMap::new(), caps: Caps::default() }
    }

    /// To be called before anything of this decision is written.
    pub(super) fn touch(&mut self, trace: TraceId) -> Result<(), Problem> {
        if !self.before.contains_key(&trace) {
            let folded = fold(self.transaction, &mut self.caps, trace)?;
            self.before.insert(trace, folded);
        }
        Ok(())
    }

    /// To be called before a decision comes to stand at this place, or leaves it.
    pub(super) fn touch_neighbours(&mut self, place: &Place) -> Result<(), Problem> {
        let cap = self.caps.of(self.transaction, place.goal)?;
        let edge = place.edge(self.transaction, cap)?;
        edge.into_iter().try_for_each(|(_, trace)| self.touch(trace))
    }

    /// To be called when another cap applies, before anything else is touched.
    pub(super) fn forget_caps(&mut self) {
        self.caps = Caps::default();
    }

    /// Moves the counters by what the batch changed.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        let mut total: BTreeMap<(Scope, Cell), Count> = BTreeMap::new();
        let mut note = |place: &Folded, moved: Vec<(PathId, Pattern, Count)>| {
            for (path, pattern, count) in moved {
                let cell = Cell { epoch: place.epoch, path, pattern };
                *total.entry((place.scope.clone(), cell)).or_default() += count;
            }
        };
        for (trace, before) in self.before {
            match (before, fold(self.transaction, &mut self.caps, trace)?) {
                (Some(before), Some(after))
                    if (&before.scope, before.epoch) == (&after.scope, after.epoch) =>
                {
                    note(&after, moves(&before.shares, &after.shares));
                }
                (before, after) => {
                    if let Some(before) = before {
                        note(&before, moves(&before.shares, &[]));
                    }
                    if let Some(after) = after {
                        note(&after, moves(&[], &after.shares));
                    }
                }
            }
        }
        total.retain(|_, count| !count.is_zero());
        total.iter().try_for_each(|((scope, cell), count)| add(self.transaction, scope, *cell, *count))
    }
}

fn fold(transaction: &Transaction<'_>, caps: &mut Caps, trace: TraceId) -> Result<Option<Folded>, Problem> {
    let mut statement = transaction.prepare_cached(
        "SELECT goal, pipeline, bucket, user, decided_at, frozen, epoch, side FROM decisions WHERE trace = ?1",
    )?;
    let mut rows = statement.query([trace.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    if row.get(5)? {
        return Ok(None);
    }
    if let Some(place) = Place::read(row)? {
        let cap = caps.of(transaction, place.goal)?;
        if !place.counts(transaction, trace, cap)? {
            return Ok(None);
        }
    }
    let (scope, epoch, side) = (codec::scope(row, 0)?, row.get(6)?, Side::from_code(row.get(7)?));
    let mut statement =
        transaction.prepare_cached("SELECT idx, path, reply FROM attempts WHERE trace = ?1")?;
    let mut rows = statement.query([trace.as_bytes()])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        attempts.push(codec::attempt(row, 0)?);
    }
    let mut statement = transaction.prepare_cached(
        "SELECT id, source, value, strength, confidence, event_at, attempt FROM signals AS s
         WHERE trace = ?1 AND NOT EXISTS (SELECT 1 FROM withdrawals AS w WHERE w.id = s.id)",
    )?;
    let mut rows = statement.query([trace.as_bytes()])?;
    let mut signals = Vec::new();
    while let Some(row) = rows.next()? {
        signals.push(codec::signal(row)?);
    }
    Ok(Some(Folded { scope, epoch: Epoch(epoch), shares: Trace { attempts, signals, side }.shares() }))
}

fn add(transaction: &Transaction<'_>, scope: &Scope, cell: Cell, count: Count) -> Result<(), Problem> {
    let pipeline = codec::pipeline_text(scope.pipeline.as_ref());
    let row = params![
        scope.goal.0,
        pipeline,
        scope.bucket.as_str(),
        cell.epoch.0,
        cell.path.as_bytes(),
        cell.pattern.bits(),
        count.n,
        count.score,
    ];
    transaction
        .prepare_cached(
            "INSERT INTO counters (goal, pipeline, bucket, epoch, path, pattern, n, score)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET n = n + excluded.n, score = score + excluded.score",
        )?
        .execute(row)?;
    transaction
        .prepare_cached(
            "INSERT INTO changes (goal, pipeline, bucket, epoch, path, pattern, n, score)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(row)?;
    transaction
        .prepare_cached(
            "DELETE FROM counters WHERE goal = ?1 AND pipeline = ?2 AND bucket = ?3 AND epoch = ?4 AND path = ?5
             AND pattern = ?6 AND n = 0 AND score = 0",
        )?
        .execute(params![
            scope.goal.0,
            pipeline,
            scope.bucket.as_str(),
            cell.epoch.0,
            cell.path.as_bytes(),
            cell.pattern.bits()
        ])?;
    Ok(())
}
