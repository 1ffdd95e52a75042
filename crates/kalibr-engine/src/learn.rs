//! Refreshing: from changes in the ledger to policy tables, off the hot path.
//!
//! One thread tails the ledger's changes, its own process's and others' alike, moves the counters in memory, builds the
//! tables anew that they concern and swaps them in. It is woken by every commit of its own process and looks every 100
//! ms for those of others. A goal at rest is refreshed at once; under load a pass waits until 20 ms after the last, or as
//! long as that took, so that one rebuild takes in all that came meanwhile and half of a core is left to callers; but
//! somebody waits for a changed goal, so it is not made to.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use kalibr_core::counters::{Counters, Epoch};
use kalibr_core::evidence::Voice;
use kalibr_core::ids::{Bucket, Pipeline};
use kalibr_core::learner::Learner;
use kalibr_core::moved::Moved;
use kalibr_core::posterior::{Posterior, Subject};
use kalibr_core::reliability::{Reliability, Trust};
use kalibr_store::{CallRecord, Change, Changes, CounterRow, GoalId, GoalRecord, Ledger, Scope, StoreError};
use kalibr_upstream::Prices;

use crate::calls::{Calls, Outlook};
use crate::clock::Clock;
use crate::engine::Refresh;
use crate::goal::{EpochClock, GoalState, TableKey};
use crate::goal_map::GoalMap;
use crate::learn::alike::{Settings, Specs};
use crate::learn::changes::Changes as Moves;
use crate::learn::tables::{family, put_unknown, rebuild, unharmed};
use crate::learn::watch::Watch;
use crate::outages::Outages;

mod alike;
mod changes;
mod load;
mod tables;
mod threads;
mod watch;

/// How often changes of other processes are looked for.
const LOOK: Duration = Duration::from_millis(100);
/// Least time between two passes that had work to do.
const PACE: Duration = Duration::from_millis(20);
/// The longest rest after a long pass: others' changes are to be seen within a second.
const LONGEST_REST: Duration = Duration::from_millis(250);
/// A pass that has lasted so long leaves what came meanwhile to the next.
const LONG_PASS: Duration = Duration::from_millis(50);

/// Completed calls that wait for a refresh at most.
const MOST_COMPLETED: usize = 50_000;

/// What deciding reads, and what the refresher keeps.
#[derive(Debug)]
pub(crate) struct Learned {
    goals: ArcSwap<GoalMap>,
    kept: Mutex<Kept>,
    /// Calls that were completed since the last refresh.
    completed: Mutex<Vec<CallRecord>>,
    prices: Arc<Prices>,
    when: Refresh,
    progress: Mutex<Progress>,
    moved: Condvar,
    stopping: AtomicBool,
    /// Somebody was erased, and what else is in memory is not forgotten yet.
    erased: AtomicBool,
    /// How far the classifier model can be trusted on all answers taken together.
    turn_model: ArcSwap<Trust>,
}

/// What only the refresher needs.
#[derive(Debug)]
struct Kept {
    counters: HashMap<Scope, Counters>,
    specs: Specs,
    settings: Settings,
    /// `None` until they are read.
    calls: Option<Calls>,
    learner: Learner<Family, Bucket>,
    watch: Watch,
    moves: Moves,
    outages: Arc<Outages>,
}

impl Kept {
    fn new(outages: Arc<Outages>) -> Self {
        Self {
            counters: HashMap::default(),
            specs: Specs::default(),
            settings: Settings::default(),
            calls: None,
            learner: Learner::default(),
            watch: Watch::default(),
            moves: Moves::default(),
            outages,
        }
    }

    /// What a goal's paths are known by, and how likely each is to be answered.
    fn subjects(&self, goal: &GoalState) -> Vec<Subject> {
        goal.subjects(|path| Subject {
            path: path.id,
            model: self.specs.model(path.id),
            available: self.outages.available(&goal.record.name, path),
        })
    }

    /// Counts. What was decided before the goal was last reset is not learned from.
    fn add(&mut self, goal: Option<&Arc<GoalState>>, row: &CounterRow) {
        let CounterRow { scope, cell, count } = row;
        let (learns_from, opened) =
            goal.map_or((Epoch(0), Epoch(0)), |goal| (goal.record.learns_from(), goal.record.opened()));
        if cell.epoch >= learns_from {
            self.learner.count(self.specs.model(cell.path), cell.pattern, *count);
            self.counters.entry(scope.clone()).or_default().add(*cell, *count);
            self.watch.add(scope.goal, opened, *cell, *count);
        }
    }

    /// What is expected of a goal's paths, for requests like these or for such as were never seen.
    fn outlook(&self, goal: &GoalState, key: Option<&TableKey>) -> Outlook {
        self.calls.as_ref().map(|calls| calls.outlook(goal, key)).unwrap_or_default()
    }

    /// Follows what was done to a goal, whose scopes these are.
    fn follow(&mut self, old: &GoalRecord, new: &GoalRecord, scopes: &[Scope]) {
        let from = new.learns_from();
        for scope in scopes.iter().filter(|_| from > old.learns_from()) {
            let Some(counters) = self.counters.get_mut(scope) else { continue };
            for (cell, count) in counters.iter().filter(|(cell, _)| cell.epoch < from) {
                self.learner.count(self.specs.model(cell.path), cell.pattern, -count);
            }
            *counters = counters.iter().filter(|(cell, _)| cell.epoch >= from).collect();
        }
        if new.opened() != old.opened() {
            let counters = scopes.iter().filter_map(|scope| self.counters.get(scope));
            self.watch.restart(new.id, new.opened(), counters);
        }
    }
}

/// What shares what it learns among its buckets, before other goals: a goal, or one pipeline of it.
type Family = (GoalId, Option<Pipeline>);

#[derive(Debug, Default)]
struct Progress {
    /// A commit of this process waits to be looked at.
    woken: bool,
    /// Somebody waits for it.
    urgent: bool,
    /// It is being looked at.
    busy: bool,
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
        prices: Arc<Prices>,
        when: Refresh,
    ) -> Result<Self, StoreError> {
        let learned = Self {
            goals: ArcSwap::default(),
            kept: Mutex::new(Kept::new(outages)),
            completed: Mutex::default(),
            prices,
            when,
            progress: Mutex::default(),
            moved: Condvar::new(),
            stopping: AtomicBool::new(false),
            erased: AtomicBool::new(false),
            turn_model: ArcSwap::from_pointee(Reliability::default().overall(Voice::TurnModel)),
        };
        learned.reload(ledger, clock)?;
        Ok(learned)
    }

    /// The goal of this name, if it routes.
    pub(crate) fn goal(&self, name: &str) -> Option<Arc<GoalState>> {
        self.goals.load().named(name).filter(|goal| goal.record.active).cloned()
    }

    /// All goals as they are now, deleted ones too.
    pub(crate) fn goals_now(&self) -> Guard<Arc<GoalMap>> {
        self.goals.load()
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

    /// Reads what was counted in a scope; nothing was where it is not known. Waits for the refresher: not for deciding.
    pub(crate) fn counted<T>(&self, scope: &Scope, read: impl FnOnce(&Counters) -> T) -> T {
        match lock(&self.kept).counters.get(scope) {
            Some(counters) => read(counters),
            None => read(&Counters::default()),
        }
    }

    /// A call was completed: what it took is known from the next refresh on.
    pub(crate) fn completed(&self, call: CallRecord) {
        let mut completed = lock(&self.completed);
        // While nobody refreshes, some calls' worth of averages is not worth the memory.
        if completed.len() < MOST_COMPLETED {
            completed.push(call);
        }
    }

    /// How far the classifier model's verdicts can be trusted on all answers taken together.
    pub(crate) fn turn_model(&self) -> Arc<Trust> {
        self.turn_model.load_full()
    }

    fn note_turn_model(&self, kept: &Kept) {
        let trust = kept.learner.reliability().overall(Voice::TurnModel);
        if **self.turn_model.load() != trust {
            self.turn_model.store(Arc::new(trust));
        }
    }

    pub(crate) fn prices(&self) -> &Prices {
        &self.prices
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
        // A pass that is not over may still take in what comes next.
        let settled = |progress: &Progress| self.when == Refresh::Soon || !(progress.urgent || progress.busy);
        while progress.applied < seq || !settled(&progress) {
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

    /// What changed in a scope, oldest first. Waits for the refresher: not for deciding.
    pub(crate) fn moved(&self, scope: &Scope) -> Vec<Moved> {
        lock(&self.kept).moves.of(scope)
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Tails the ledger until [`Learned::stop`]. When somebody was erased, by whichever process, it calls `forget`.
    pub(crate) fn run(&self, ledger: &dyn Ledger, clock: &Clock, forget: &dyn Fn()) {
        // Whether a pass broke off in the middle, so that what is in memory is not to be trusted.
        let mut anew = false;
        // When the last pass that had work to do was over, and how long there is to be none after it.
        let mut rest: Option<(Instant, Duration)> = None;
        while !self.stopping.load(Ordering::Relaxed) {
            let progress = lock(&self.progress);
            let (mut progress, _) = self
                .moved
                .wait_timeout_while(progress, LOOK, |progress| match self.when {
                    Refresh::Soon => !progress.woken,
                    Refresh::AtFlush => !progress.urgent && !self.stopping.load(Ordering::Relaxed),
                })
                .unwrap_or_else(PoisonError::into_inner);
            if self.when == Refresh::AtFlush && !progress.urgent {
                progress.refreshed = Some(Instant::now());
                continue;
            }
            if let Some(left) = rest.and_then(|(since, rest)| rest.checked_sub(since.elapsed())) {
                let calm =
                    |progress: &mut Progress| !progress.urgent && !self.stopping.load(Ordering::Relaxed);
                progress = self
                    .moved
                    .wait_timeout_while(progress, left, calm)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            // Taken back before looking: what is committed from here on wakes anew.
            let urgent = std::mem::take(&mut progress.urgent);
            (progress.woken, progress.busy) = (false, true);
            drop(progress);
            let begun = Instant::now();
            let refreshed = unharmed("what was learned", || {
                if anew {
                    self.reload(ledger, clock)?;
                }
                self.refresh(ledger, clock)
            });
            if self.erased.swap(false, Ordering::Relaxed) {
                forget();
            }
            // Whatever was half taken in is read anew, from the ledger.
            anew = refreshed.as_ref().is_none_or(|refreshed| anew && refreshed.is_err());
            let mut progress = lock(&self.progress);
            progress.busy = false;
            if let Some(Ok(Pass::Unfinished)) = refreshed {
                progress.woken = true;
                progress.urgent |= urgent;
            }
            if matches!(refreshed, Some(Ok(_))) {
                progress.refreshed = Some(Instant::now());
            }
            drop(progress);
            self.moved.notify_all();
            match refreshed {
                Some(Ok(Pass::Nothing)) => {}
                Some(Ok(Pass::Over | Pass::Unfinished)) => {
                    rest = Some((Instant::now(), begun.elapsed().clamp(PACE, LONGEST_REST)));
                }
                // Decisions go on from the last tables; the next look tries again.
                failed => {
                    if let Some(Err(error)) = failed {
                        tracing::warn!(%error, "policy tables are not refreshed just now");
                    }
                    lock(&self.progress).urgent |= self.when == Refresh::AtFlush;
                    rest = Some((Instant::now(), if anew { LONGEST_REST } else { PACE }));
                }
            }
        }
    }

    /// Takes in what changed.
    fn refresh(&self, ledger: &dyn Ledger, clock: &Clock) -> Result<Pass, StoreError> {
        let (begun, mut any) = (Instant::now(), false);
        loop {
            // Who refreshes at a flush alone is waited for until everything is in.
            if any && self.when == Refresh::Soon && begun.elapsed() > LONG_PASS {
                return Ok(Pass::Unfinished);
            }
            let since = lock(&self.progress).applied;
            match ledger.changes(since)? {
                Changes::Dropped => {
                    // What was dropped may have said so.
                    self.erased.store(true, Ordering::Relaxed);
                    self.reload(ledger, clock)?;
                    any = true;
                }
                Changes::Rows(seq, _) if seq == since => {
                    // Rolling a goal back is a change like any other.
                    if !lock(&self.kept).watch.roll_back(&self.goals.load(), ledger, clock.now())? {
                        return Ok(if any { Pass::Over } else { Pass::Nothing });
                    }
                }
                Changes::Rows(seq, changes) => {
                    match self.apply(ledger, clock, changes, seq)? {
                        Applied::All => self.applied(seq),
                        Applied::Outdated => self.reload(ledger, clock)?,
                    }
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
    ) -> Result<Applied, StoreError> {
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
        let mut goals = GoalMap::clone(&self.goals.load());
        let known = |record: &GoalRecord| goals.numbered(record.id).map(|goal| goal.record.learns_from());
        if records.iter().any(|record| known(record).is_some_and(|from| from > record.learns_from())) {
            // A reset was undone: what was dropped is needed again.
            return Ok(Applied::Outdated);
        }
        let mut kept = lock(&self.kept);
        let kept = &mut *kept;
        let changed = !records.is_empty();
        for mut record in records.drain(..) {
            kept.specs.share(&mut record);
            let (id, old) = (record.id, goals.numbered(record.id).cloned());
            let epochs = old.as_ref().map_or_else(
                || Arc::new(EpochClock::starting_at(Epoch(0), clock.now())),
                |goal| Arc::clone(&goal.epochs),
            );
            // Every scope of a known goal has a table, so these are all that the change concerns.
            let scope = |TableKey { pipeline, bucket }| Scope { goal: id, pipeline, bucket };
            let scopes: Vec<Scope> = old.iter().flat_map(|goal| goal.keys()).map(scope).collect();
            if let Some(old) = &old {
                kept.follow(&old.record, &record, &scopes);
            }
            epochs.saw(record.opened(), clock.now());
            dirty.extend(scopes);
            let settings = kept.settings.read(&std::mem::take(&mut record.settings));
            goals.put(GoalState::new(record, settings, epochs, Arc::clone(&self.prices), seq));
        }
        for change in changes {
            match change {
                Change::Count(row) => {
                    kept.add(goals.numbered(row.scope.goal), &row);
                    dirty.insert(row.scope);
                }
                Change::Erased => self.erased.store(true, Ordering::Relaxed),
                Change::Goal(_) => {}
            }
        }
        self.take_calls(&goals, kept, &mut dirty);
        // Callers need the other cores.
        rebuild(&goals, kept, &dirty, (clock, seq), 1);
        self.note_turn_model(kept);
        for id in &changed_goals {
            // One that was just created starts from what other goals know.
            if let Some(goal) = goals.numbered(*id) {
                put_unknown(goal, kept, seq);
            }
        }
        if changed {
            self.goals.store(Arc::new(goals));
        }
        Ok(Applied::All)
    }

    /// Takes in what was completed. A budget is of the whole goal: all its tables follow.
    fn take_calls(&self, goals: &GoalMap, kept: &mut Kept, dirty: &mut BTreeSet<Scope>) {
        let completed = std::mem::take(&mut *lock(&self.completed));
        let calls = kept.calls.get_or_insert_default();
        for call in completed {
            let Some(goal) = goals.numbered(call.scope.goal) else { continue };
            calls.completed(&call, goal);
            if goal.settings.budget().is_some() {
                let scope = |TableKey { pipeline, bucket }| Scope { goal: goal.record.id, pipeline, bucket };
                dirty.extend(goal.keys().into_iter().map(scope));
            }
            dirty.insert(call.scope);
        }
    }
}

/// What a look at the ledger came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Nothing,
    /// All changes are in.
    Over,
    /// There may be more.
    Unfinished,
}

/// What became of changes that were to be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applied {
    All,
    /// They say of the past what is not in memory; nothing was taken in.
    Outdated,
}

#[cfg(test)]
mod tests;
