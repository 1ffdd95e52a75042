//! Refreshing: from changes in the ledger to policy tables, off the hot path.
//!
//! One thread tails the ledger's changes, its own process's and others' alike, moves the counters in memory, builds the
//! tables anew that they concern and swaps them in. It is woken by every commit of its own process and looks every 100
//! ms for those of others. A goal at rest is refreshed at once; under load a pass waits until 20 ms after the last, so
//! that one rebuild takes in all that came meanwhile; but somebody waits for a changed goal, so it is not made to.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use kalibr_core::counters::{Counters, Epoch};
use kalibr_core::ids::PathId;
use kalibr_core::path::PathSpec;
use kalibr_store::{Change, Changes, GoalId, GoalRecord, Ledger, PathRecord, Piece, Scope, StoreError};

use crate::clock::Clock;
use crate::goal::{EpochClock, GoalState, TableKey};
use crate::goal_map::GoalMap;
use crate::outages::Outages;

/// How often changes of other processes are looked for.
const LOOK: Duration = Duration::from_millis(100);
/// Least time between two passes that had work to do.
const PACE: Duration = Duration::from_millis(20);

/// What deciding reads, and what the refresher keeps.
#[derive(Debug)]
pub(crate) struct Learned {
    goals: ArcSwap<GoalMap>,
    kept: Mutex<Kept>,
    progress: Mutex<Progress>,
    moved: Condvar,
    outages: Arc<Outages>,
    stopping: AtomicBool,
}

/// What only the refresher needs.
#[derive(Debug, Default)]
struct Kept {
    counters: HashMap<Scope, Counters>,
    specs: Specs,
}

/// Paths that several goals have are held once.
#[derive(Debug, Default)]
struct Specs {
    known: HashMap<PathId, Arc<PathSpec>>,
    /// With how many to look next for those that no goal has any more.
    full: usize,
}

impl Specs {
    fn share(&mut self, record: &mut GoalRecord) {
        for path in &mut record.paths {
            let known = self.known.entry(path.id).or_insert_with(|| Arc::clone(&path.spec));
            // Paths of one identity may still be spelled differently, and are sent to their provider as spelled.
            if *known == path.spec {
                path.spec = Arc::clone(known);
            }
        }
        if self.known.len() > self.full {
            self.known.retain(|_, spec| Arc::strong_count(spec) > 1);
            self.full = 1_000 + 2 * self.known.len();
        }
    }
}

#[derive(Debug, Default)]
struct Progress {
    /// A commit of this process waits to be looked at.
    woken: bool,
    /// Somebody waits for it.
    urgent: bool,
    /// The last change that is in the tables.
    applied: i64,
    /// When the ledger was last asked for changes, and answered.
    refreshed: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Learned {
    /// Reads all learned state and builds every table.
    pub(crate) fn load(
        ledger: &dyn Ledger,
        clock: &Clock,
        outages: Arc<Outages>,
    ) -> Result<Self, StoreError> {
        let learned = Self {
            goals: ArcSwap::default(),
            kept: Mutex::default(),
            progress: Mutex::default(),
            moved: Condvar::new(),
            outages,
            stopping: AtomicBool::new(false),
        };
        learned.reload(ledger, clock)?;
        Ok(learned)
    }

    /// The goal of this name, if it routes.
    pub(crate) fn goal(&self, name: &str) -> Option<Arc<GoalState>> {
        self.goals.load().named(name).filter(|goal| goal.record.active).cloned()
    }

    /// All goals that route, by name.
    pub(crate) fn goals(&self) -> Vec<Arc<GoalState>> {
        let mut goals: Vec<_> = self.goals.load().iter().filter(|goal| goal.record.active).cloned().collect();
        goals.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        goals
    }

    /// The goal with this number, deleted ones too.
    pub(crate) fn goal_by_id(&self, id: GoalId) -> Option<Arc<GoalState>> {
        self.goals.load().numbered(id).cloned()
    }

    /// Something was committed.
    pub(crate) fn wake(&self) {
        lock(&self.progress).woken = true;
        self.moved.notify_all();
    }

    /// Something was committed that somebody waits for.
    pub(crate) fn wake_at_once(&self) {
        lock(&self.progress).urgent = true;
        self.wake();
    }

    /// Waits until change `seq` is in the tables, or `deadline`. Returns whether it is.
    pub(crate) fn wait_for(&self, seq: i64, deadline: Instant) -> bool {
        let mut progress = lock(&self.progress);
        while progress.applied < seq {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            progress = self.moved.wait_timeout(progress, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// How long ago the ledger was last asked for changes, and answered.
    pub(crate) fn refreshed(&self) -> Duration {
        lock(&self.progress).refreshed.map_or(Duration::ZERO, |at| at.elapsed())
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Tails the ledger until [`Learned::stop`].
    pub(crate) fn run(&self, ledger: &dyn Ledger, clock: &Clock) {
        let mut last_work: Option<Instant> = None;
        while !self.stopping.load(Ordering::Relaxed) {
            let progress = lock(&self.progress);
            let (mut progress, _) = self
                .moved
                .wait_timeout_while(progress, LOOK, |progress| !progress.woken)
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(left) = last_work.and_then(|at| PACE.checked_sub(at.elapsed())) {
                let calm =
                    |progress: &mut Progress| !progress.urgent && !self.stopping.load(Ordering::Relaxed);
                progress = self
                    .moved
                    .wait_timeout_while(progress, left, calm)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            // Taken back before looking: what is committed from here on wakes anew.
            (progress.woken, progress.urgent) = (false, false);
            drop(progress);
            let refreshed = self.refresh(ledger, clock);
            if refreshed.is_ok() {
                lock(&self.progress).refreshed = Some(Instant::now());
            }
            match refreshed {
                Ok(true) => last_work = Some(Instant::now()),
                Ok(false) => {}
                // Decisions go on from the last tables; the next look tries again.
                Err(error) => tracing::warn!(%error, "policy tables are not refreshed just now"),
            }
        }
    }

    /// Takes in what changed. Returns whether anything did.
    fn refresh(&self, ledger: &dyn Ledger, clock: &Clock) -> Result<bool, StoreError> {
        let mut any = false;
        loop {
            let since = lock(&self.progress).applied;
            match ledger.changes(since)? {
                Changes::Dropped => {
                    self.reload(ledger, clock)?;
                    any = true;
                }
                Changes::Rows(seq, _) if seq == since => return Ok(any),
                Changes::Rows(seq, changes) => {
                    self.apply(ledger, clock, changes, seq)?;
                    self.applied(seq);
                    any = true;
                }
            }
        }
    }

    fn applied(&self, seq: i64) {
        lock(&self.progress).applied = seq;
        self.moved.notify_all();
    }

    fn apply(
        &self,
        ledger: &dyn Ledger,
        clock: &Clock,
        changes: Vec<Change>,
        seq: i64,
    ) -> Result<(), StoreError> {
        let mut dirty: BTreeSet<Scope> = BTreeSet::new();
        let mut changed_goals: BTreeSet<GoalId> = BTreeSet::new();
        // Read first: when the ledger fails here, nothing was moved and the same changes are taken in again.
        for change in &changes {
            if let Change::Goal(id) = change {
                changed_goals.insert(*id);
            }
        }
        let mut records: Vec<GoalRecord> = changed_goals
            .iter()
            .map(|id| ledger.goal(*id))
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        let mut kept = lock(&self.kept);
        for change in changes {
            if let Change::Count(row) = change {
                kept.counters.entry(row.scope.clone()).or_default().add(row.cell, row.count);
                dirty.insert(row.scope);
            }
        }
        let mut goals = GoalMap::clone(&self.goals.load());
        let changed = !records.is_empty();
        for mut record in records.drain(..) {
            kept.specs.share(&mut record);
            let (id, old) = (record.id, goals.numbered(record.id).cloned());
            let epochs = old.as_ref().map_or_else(
                || Arc::new(EpochClock::starting_at(Epoch(0), clock.now())),
                |goal| Arc::clone(&goal.epochs),
            );
            // Every scope of a known goal has a table, so these are all that the change concerns.
            for TableKey { pipeline, bucket } in old.iter().flat_map(|goal| goal.keys()) {
                dirty.insert(Scope { goal: id, pipeline, bucket });
            }
            goals.put(GoalState::new(record, epochs, seq));
        }
        self.rebuild(&goals, &kept.counters, &dirty, clock, seq);
        if changed {
            self.goals.store(Arc::new(goals));
        }
        Ok(())
    }

    fn reload(&self, ledger: &dyn Ledger, clock: &Clock) -> Result<(), StoreError> {
        let (mut kept, mut records) = (Kept::default(), Vec::new());
        let seq = ledger.snapshot(&mut |piece| match piece {
            Piece::Goal(mut record) => {
                kept.specs.share(&mut record);
                records.push(record);
            }
            Piece::Counters(scope, cells) => {
                kept.counters.insert(scope, cells.into_iter().collect());
            }
        })?;
        kept.counters.shrink_to_fit();
        let mut newest: HashMap<GoalId, Epoch> = HashMap::new();
        for (scope, counters) in &kept.counters {
            let newest = newest.entry(scope.goal).or_default();
            *newest = counters.newest().max(*newest);
        }
        let mut goals = GoalMap::default();
        for record in records {
            let epoch = newest.get(&record.id).map_or(Epoch(0), |epoch| Epoch(epoch.0.saturating_add(1)));
            let epochs = Arc::new(EpochClock::starting_at(epoch, clock.now()));
            goals.put(GoalState::new(record, epochs, seq));
        }
        self.rebuild(&goals, &kept.counters, kept.counters.keys(), clock, seq);
        *lock(&self.kept) = kept;
        self.goals.store(Arc::new(goals));
        self.applied(seq);
        Ok(())
    }

    fn rebuild<'s>(
        &self,
        goals: &GoalMap,
        counters: &HashMap<Scope, Counters>,
        scopes: impl IntoIterator<Item = &'s Scope>,
        clock: &Clock,
        seq: i64,
    ) {
        for scope in scopes {
            if let (Some(goal), Some(counters)) = (goals.numbered(scope.goal), counters.get(scope)) {
                let now = clock.now();
                goal.epochs.saw(counters.newest(), now);
                let key = TableKey { pipeline: scope.pipeline.clone(), bucket: scope.bucket.clone() };
                let available = |path: &PathRecord| self.outages.available(&goal.record.name, path, now);
                goal.rebuild(key, counters, seq, available);
            }
        }
    }
}

#[cfg(test)]
mod tests;
