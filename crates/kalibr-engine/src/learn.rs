//! Refreshing: from changes in the ledger to policy tables, off the hot path.
//!
//! One thread tails the ledger's changes, its own process's and others' alike, moves the counters in memory, builds the
//! tables anew that they concern and swaps them in. It is woken by every commit of its own process and looks every 100
//! ms for those of others. A goal at rest is refreshed at once; under load a pass waits until 20 ms after the last, so
//! that one rebuild takes in all that came meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use kalibr_core::counters::{Counters, Epoch};
use kalibr_core::ids::Goal;
use kalibr_store::{Change, Changes, GoalId, GoalRecord, Ledger, Scope, Snapshot, StoreError};

use crate::clock::Clock;
use crate::goal::{EpochClock, GoalState, TableKey};

/// How often changes of other processes are looked for.
const LOOK: Duration = Duration::from_millis(100);
/// Least time between two passes that had work to do.
const PACE: Duration = Duration::from_millis(20);

type Goals = HashMap<Goal, Arc<GoalState>>;

/// What deciding reads, and what the refresher keeps.
#[derive(Debug)]
pub(crate) struct Learned {
    goals: ArcSwap<Goals>,
    counters: Mutex<HashMap<Scope, Counters>>,
    progress: Mutex<Progress>,
    moved: Condvar,
    stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct Progress {
    /// A commit of this process waits to be looked at.
    woken: bool,
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
    pub(crate) fn load(ledger: &dyn Ledger, clock: &Clock) -> Result<Self, StoreError> {
        let learned = Self {
            goals: ArcSwap::default(),
            counters: Mutex::default(),
            progress: Mutex::default(),
            moved: Condvar::new(),
            stopping: AtomicBool::new(false),
        };
        learned.reload(ledger.snapshot()?, clock);
        Ok(learned)
    }

    /// The goal of this name, if it routes.
    pub(crate) fn goal(&self, name: &str) -> Option<Arc<GoalState>> {
        self.goals.load().get(name).filter(|goal| goal.record.active).cloned()
    }

    /// All goals that route, by name.
    pub(crate) fn goals(&self) -> Vec<Arc<GoalState>> {
        let mut goals: Vec<_> =
            self.goals.load().values().filter(|goal| goal.record.active).cloned().collect();
        goals.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        goals
    }

    /// The goal with this number, deleted ones too.
    pub(crate) fn goal_by_id(&self, id: GoalId) -> Option<Arc<GoalState>> {
        self.goals.load().values().find(|goal| goal.record.id == id).cloned()
    }

    /// Something was committed.
    pub(crate) fn wake(&self) {
        lock(&self.progress).woken = true;
        self.moved.notify_all();
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
            progress.woken = false;
            drop(progress);
            if let Some(left) = last_work.and_then(|at| PACE.checked_sub(at.elapsed())) {
                std::thread::sleep(left);
            }
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
                    self.reload(ledger.snapshot()?, clock);
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
        let records: Vec<GoalRecord> = changed_goals
            .iter()
            .map(|id| ledger.goal(*id))
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        let mut counters = lock(&self.counters);
        for change in changes {
            if let Change::Count(row) = change {
                counters.entry(row.scope.clone()).or_default().add(row.cell, row.count);
                dirty.insert(row.scope);
            }
        }
        if records.is_empty() {
            let goals = self.goals.load();
            let wanted: BTreeSet<GoalId> = dirty.iter().map(|scope| scope.goal).collect();
            let by_id = goals
                .values()
                .filter(|goal| wanted.contains(&goal.record.id))
                .map(|goal| (goal.record.id, Arc::clone(goal)))
                .collect();
            rebuild(&by_id, &counters, &dirty, clock, seq);
            return Ok(());
        }
        let mut goals = Goals::clone(&self.goals.load());
        for record in records {
            let epochs = goals.get(&record.name).map_or_else(
                || Arc::new(EpochClock::starting_at(Epoch(0), clock.now())),
                |goal| Arc::clone(&goal.epochs),
            );
            dirty.extend(counters.keys().filter(|scope| scope.goal == record.id).cloned());
            goals.insert(record.name.clone(), Arc::new(GoalState::new(record, epochs, seq)));
        }
        let by_id = goals.values().map(|goal| (goal.record.id, Arc::clone(goal))).collect();
        rebuild(&by_id, &counters, &dirty, clock, seq);
        self.goals.store(Arc::new(goals));
        Ok(())
    }

    fn reload(&self, snapshot: Snapshot, clock: &Clock) {
        let seq = snapshot.seq;
        let mut counters: HashMap<Scope, Counters> = HashMap::new();
        // Newest epochs first: then old ones merge as they come in.
        let mut rows = snapshot.counters;
        rows.sort_by_key(|row| std::cmp::Reverse(row.cell.epoch));
        for row in rows {
            counters.entry(row.scope).or_default().add(row.cell, row.count);
        }
        let newest = |goal: GoalId| {
            counters.iter().filter(|(scope, _)| scope.goal == goal).map(|(_, c)| c.newest()).max()
        };
        let goals: Goals = snapshot
            .goals
            .into_iter()
            .map(|record| {
                let epoch = newest(record.id).map_or(Epoch(0), |epoch| Epoch(epoch.0.saturating_add(1)));
                let epochs = Arc::new(EpochClock::starting_at(epoch, clock.now()));
                (record.name.clone(), Arc::new(GoalState::new(record, epochs, seq)))
            })
            .collect();
        let by_id = goals.values().map(|goal| (goal.record.id, Arc::clone(goal))).collect();
        rebuild(&by_id, &counters, &counters.keys().cloned().collect(), clock, seq);
        *lock(&self.counters) = counters;
        self.goals.store(Arc::new(goals));
        self.applied(seq);
    }
}

fn rebuild(
    goals: &HashMap<GoalId, Arc<GoalState>>,
    counters: &HashMap<Scope, Counters>,
    dirty: &BTreeSet<Scope>,
    clock: &Clock,
    seq: i64,
) {
    for scope in dirty {
        if let (Some(goal), Some(counters)) = (goals.get(&scope.goal), counters.get(scope)) {
            goal.epochs.saw(counters.newest(), clock.now());
            let key = TableKey { pipeline: scope.pipeline.clone(), bucket: scope.bucket.clone() };
            goal.rebuild(&key, counters, seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kalibr_core::ids::{Timestamp, TraceId};
    use kalibr_core::path::PathSpec;
    use kalibr_store::{AttemptFact, DecisionFact, DecisionKind, Fact, PathUpdate, SqliteLedger};
    use rand::{RngExt, SeedableRng};

    /// Counters as a fresh process would build them.
    fn in_ledger(ledger: &SqliteLedger) -> HashMap<Scope, Counters> {
        let mut counters: HashMap<Scope, Counters> = HashMap::new();
        for row in ledger.snapshot().unwrap().counters {
            counters.entry(row.scope).or_default().add(row.cell, row.count);
        }
        counters
    }

    #[test]
    fn counters_in_memory_are_those_of_the_ledger_also_after_falling_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let ledger = SqliteLedger::open(&file).unwrap();
        let paths = ["a", "b"].map(|model| PathSpec::model(model).unwrap());
        let name = Goal::new("g").unwrap();
        let (goal, _) = ledger.put_goal(&name, None, &paths, PathUpdate::Replace, Timestamp(0)).unwrap();
        let clock = Clock::system();
        let learned = Learned::load(&ledger, &clock).unwrap();
        let mut rng = rand::rngs::StdRng::seed_from_u64(5);
        for step in 0..300u32 {
            let trace = TraceId::from_bytes((u128::from(step % 90) + 1).to_be_bytes());
            let path = paths[(step % 2) as usize].id();
            let decision = DecisionFact {
                trace,
                goal: goal.id,
                pipeline: (step % 3 == 0).then(|| "p".parse().unwrap()),
                bucket: kalibr_core::ids::Bucket::default(),
                epoch: Epoch(step / 2),
                kind: DecisionKind::Routed,
                path,
                propensity: 0.5,
                table_version: 0,
                considered: Vec::new(),
                model: None,
                session: None,
                user: None,
                at: Timestamp(i64::from(step)),
            };
            let attempt = AttemptFact {
                trace,
                index: 0,
                path,
                reply: kalibr_core::outcome::Reply::from_code(rng.random_range(0..4)).unwrap(),
                category: None,
                status: None,
                prompt_tokens: None,
                completion_tokens: None,
                latency_ms: None,
                at: Timestamp(i64::from(step)),
            };
            ledger.commit(&[Fact::Decision(Box::new(decision)), Fact::Attempt(attempt)]).unwrap();
            if rng.random_bool(0.05) {
                // What this process has not seen yet is dropped: it must take a snapshot.
                let other = rusqlite::Connection::open(&file).unwrap();
                other.execute("DELETE FROM changes", []).unwrap();
            }
            if rng.random_bool(0.3) {
                assert!(learned.refresh(&ledger, &clock).is_ok());
                assert_eq!(*lock(&learned.counters), in_ledger(&ledger));
            }
        }
        learned.refresh(&ledger, &clock).unwrap();
        assert_eq!(*lock(&learned.counters), in_ledger(&ledger));
    }
}
