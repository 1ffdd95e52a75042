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
use kalibr_core::ids::{Bucket, PathId, Pipeline};
use kalibr_core::learner::Learner;
use kalibr_core::path::PathSpec;
use kalibr_core::posterior::{Posterior, Subject};
use kalibr_store::{Change, Changes, GoalId, GoalRecord, Ledger, Piece, Scope, StoreError};

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
    stopping: AtomicBool,
}

/// What only the refresher needs.
#[derive(Debug)]
struct Kept {
    counters: HashMap<Scope, Counters>,
    specs: Specs,
    learner: Learner<Family, Bucket>,
    outages: Arc<Outages>,
}

impl Kept {
    fn new(outages: Arc<Outages>) -> Self {
        Self { counters: HashMap::default(), specs: Specs::default(), learner: Learner::default(), outages }
    }

    fn subjects(&self, goal: &GoalState) -> Vec<Subject> {
        goal.subjects(|path| Subject {
            path: path.id,
            model: self.specs.model(path.id),
            available: self.outages.available(&goal.record.name, path),
        })
    }
}

/// What shares what it learns among its buckets, before other goals: a goal, or one pipeline of it.
type Family = (GoalId, Option<Pipeline>);

/// Paths that several goals have are held once, with the identity of the model alone.
#[derive(Debug, Default)]
struct Specs {
    known: HashMap<PathId, (Arc<PathSpec>, PathId)>,
    /// With how many to look next for those that no goal has any more.
    full: usize,
}

impl Specs {
    fn share(&mut self, record: &mut GoalRecord) {
        for path in &mut record.paths {
            let (known, _) = self.known.entry(path.id).or_insert_with(|| {
                let model = PathSpec::model(&path.spec.model).map_or(path.id, |model| model.id());
                (Arc::clone(&path.spec), model)
            });
            // Paths of one identity may still be spelled differently, and are sent to their provider as spelled.
            if *known == path.spec {
                path.spec = Arc::clone(known);
            }
        }
        if self.known.len() > self.full {
            self.known.retain(|_, (spec, _)| Arc::strong_count(spec) > 1);
            self.full = 1_000 + 2 * self.known.len();
        }
    }

    /// The identity of the path's model alone; of a path that no goal has, its own.
    fn model(&self, path: PathId) -> PathId {
        self.known.get(&path).map_or(path, |(_, model)| *model)
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
            kept: Mutex::new(Kept::new(outages)),
            progress: Mutex::default(),
            moved: Condvar::new(),
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

    /// What is believed of a goal's paths in a scope whose counters these are.
    pub(crate) fn believed(&self, goal: &GoalState, scope: &Scope, counters: &Counters) -> Vec<Posterior> {
        let kept = lock(&self.kept);
        let subjects = kept.subjects(goal);
        let config = goal.settings.learner();
        let own = kept.learner.own(counters, &subjects, &config);
        kept.learner.given(&family(scope), Some(&scope.bucket), &subjects, own, &config)
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
        let kept = &mut *kept;
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
        for change in changes {
            if let Change::Count(row) = change {
                kept.learner.count(kept.specs.model(row.cell.path), row.cell.pattern, row.count);
                kept.counters.entry(row.scope.clone()).or_default().add(row.cell, row.count);
                dirty.insert(row.scope);
            }
        }
        rebuild(&goals, kept, &dirty, clock, seq);
        for id in &changed_goals {
            // One that was just created starts from what other goals know.
            if let Some(goal) = goals.numbered(*id) {
                put_unknown(goal, kept, seq);
            }
        }
        if changed {
            self.goals.store(Arc::new(goals));
        }
        Ok(())
    }

    fn reload(&self, ledger: &dyn Ledger, clock: &Clock) -> Result<(), StoreError> {
        let outages = Arc::clone(&lock(&self.kept).outages);
        let (mut kept, mut records) = (Kept::new(outages), Vec::new());
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
        for counters in kept.counters.values() {
            for (cell, count) in counters.iter() {
                kept.learner.count(kept.specs.model(cell.path), cell.pattern, count);
            }
        }
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
        let all: BTreeSet<Scope> = kept.counters.keys().cloned().collect();
        rebuild(&goals, &mut kept, &all, clock, seq);
        *lock(&self.kept) = kept;
        self.goals.store(Arc::new(goals));
        self.applied(seq);
        Ok(())
    }
}

/// Builds the tables of these scopes: first all say what they heard, then each learns what the others know.
fn rebuild(goals: &GoalMap, kept: &mut Kept, scopes: &BTreeSet<Scope>, clock: &Clock, seq: i64) {
    kept.learner.learn();
    let mut heard = Vec::with_capacity(scopes.len());
    for scope in scopes {
        if let (Some(goal), Some(counters)) = (goals.numbered(scope.goal), kept.counters.get(scope)) {
            goal.epochs.saw(counters.newest(), clock.now());
            let subjects = kept.subjects(goal);
            let own = kept.learner.own(counters, &subjects, &goal.settings.learner());
            kept.learner.teach(&family(scope), &scope.bucket, &subjects, &own);
            heard.push((goal, scope, own));
        }
    }
    let mut last = None;
    for (goal, scope, own) in heard {
        let subjects = kept.subjects(goal);
        let config = goal.settings.learner();
        let believed = kept.learner.given(&family(scope), Some(&scope.bucket), &subjects, own, &config);
        goal.put(TableKey { pipeline: scope.pipeline.clone(), bucket: scope.bucket.clone() }, believed, seq);
        if last != Some(scope.goal) && goal.was_asked_for_unknown() {
            put_unknown(goal, kept, seq);
        }
        last = Some(scope.goal);
    }
}

fn family(scope: &Scope) -> Family {
    (scope.goal, scope.pipeline.clone())
}

/// The table for buckets and pipelines of a goal in which nothing was heard yet.
fn put_unknown(goal: &GoalState, kept: &Kept, seq: i64) {
    let subjects = kept.subjects(goal);
    let config = goal.settings.learner();
    let own = kept.learner.own(&Counters::default(), &subjects, &config);
    goal.put_unknown(kept.learner.given(&(goal.record.id, None), None, &subjects, own, &config), seq);
}

#[cfg(test)]
mod tests;
