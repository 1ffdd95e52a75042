//! A ledger that is computed instead of stored.
//!
//! A hundred thousand goals with 800 decisions each are 80 million decisions: an hour of writing and 50 GB of file, of
//! which the engine reads only goals and counters. This ledger hands over exactly those, as a real one would (the unmerged
//! counters of each epoch, in the order of their keys), so that what is measured is the real engine and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kalibr_core::counters::{Cell, Count};
use kalibr_core::ids::{Bucket, Goal, KeyedHash, PathId, Timestamp, TraceId};
use kalibr_core::path::PathSpec;
use kalibr_core::policy::uniform;
use kalibr_core::trace::{Share, moves};
use kalibr_store::{
    About, CallRecord, Change, Changes, Committed, CounterRow, DecisionRecord, Erased, Fact, GoalChange,
    GoalChanged, GoalId, GoalRecord, HeldPiece, Ledger, Leftovers, LoggedDecision, PastAttempt, PathRecord,
    PathUpdate, Piece, Receipt, Recount, RunPrints, Scope, SessionTrail, StoreError, Whose,
};

use crate::traffic::{self, Epochs, Fate, PATHS, WEEK};

/// Decisions of a goal come five at a time, in this many stretches over a week: 800 of them, 200 on each path.
const STRETCHES: u32 = 160;
const AT_A_TIME: u32 = 5;

/// Changes that one look at the tail hands over.
const PAGE: i64 = 20_000;

/// Goals, and what was decided for them.
#[derive(Debug)]
pub(crate) struct Synthetic {
    goals: u32,
    /// Goals that were created through the engine, after those.
    created: Mutex<Vec<GoalRecord>>,
    paths: Vec<PathSpec>,
    ids: Vec<PathId>,
    /// What each fate counts for, worked out once.
    shares: HashMap<(PathId, Fate), Share>,
    /// How far a process that follows the changes has come; `None` where all has happened before the snapshot.
    living: Option<Mutex<Living>>,
}

/// Traffic as it happens.
#[derive(Debug, Default)]
struct Living {
    seq: i64,
    stretch: u32,
    epochs: Vec<Epochs>,
    /// Changes that were not handed over yet, last first.
    waiting: Vec<CounterRow>,
    /// Signals on the decisions of the stretch before.
    late: Vec<CounterRow>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Synthetic {
    /// So many goals; with `living` their traffic is still to come, as changes.
    pub(crate) fn new(goals: u32, living: bool) -> anyhow::Result<Self> {
        let paths = traffic::paths()?;
        let ids: Vec<PathId> = paths.iter().map(PathSpec::id).collect();
        let mut shares = HashMap::new();
        for path in &ids {
            for fate in traffic::fates() {
                shares.insert((*path, fate), traffic::share(*path, fate)?);
            }
        }
        let living = living.then(|| {
            Mutex::new(Living { epochs: vec![Epochs::default(); goals as usize], ..Living::default() })
        });
        Ok(Self { goals, created: Mutex::default(), paths, ids, shares, living })
    }

    /// Whether everything was handed over.
    pub(crate) fn is_over(&self) -> bool {
        self.living.as_ref().is_none_or(|living| {
            let living = lock(living);
            living.stretch > STRETCHES && living.waiting.is_empty()
        })
    }

    fn record(id: i64, name: Goal, paths: &[PathSpec]) -> GoalRecord {
        let paths = paths.iter().map(|spec| PathRecord {
            id: spec.id(),
            spec: Arc::new(spec.clone()),
            enabled: true,
        });
        let settings = r#"{"half_life":800.0,"floor":0.01}"#.to_owned();
        GoalRecord {
            id: GoalId(id),
            name,
            settings,
            active: true,
            paths: paths.collect(),
            frozen: None,
            reset: None,
            rolled_back: None,
            watched_from: kalibr_core::counters::Epoch(0),
        }
    }

    /// What is decided for a goal in one stretch: where it counts, as what while nobody has spoken, as what in the end.
    fn stretch(
        &self,
        goal: u32,
        stretch: u32,
        epochs: &mut Epochs,
    ) -> Vec<(kalibr_core::counters::Epoch, Share, Share)> {
        let length = WEEK / i64::from(STRETCHES);
        let mut times: Vec<i64> = (0..AT_A_TIME)
            .map(|n| {
                let within = uniform(u64::from(goal) << 20, u64::from(stretch * AT_A_TIME + n));
                i64::from(stretch) * length + (within * length as f64) as i64
            })
            .collect();
        times.sort_unstable();
        times
            .into_iter()
            .enumerate()
            .map(|(n, at)| {
                let number = stretch * AT_A_TIME + n as u32;
                let path = self.ids[((number + goal) % PATHS) as usize];
                let fate = traffic::fate(u64::from(goal), u64::from(number));
                let quiet = Fate { said: None, ..fate };
                (epochs.tick(at), self.shares[&(path, quiet)], self.shares[&(path, fate)])
            })
            .collect()
    }

    /// All counters of a goal, as a ledger keeps them.
    pub(crate) fn counters(&self, goal: u32) -> Vec<(Cell, Count)> {
        let mut cells: BTreeMap<Cell, Count> = BTreeMap::new();
        let mut epochs = Epochs::default();
        for stretch in 0..STRETCHES {
            for (epoch, _, share) in self.stretch(goal, stretch, &mut epochs) {
                let cell = Cell { epoch, path: share.path, pattern: share.pattern };
                *cells.entry(cell).or_default() += Count::one(share.score);
            }
        }
        cells.into_iter().collect()
    }

    /// Lets the next stretch happen for every goal.
    fn happen(&self, living: &mut Living) {
        let mut rows = std::mem::take(&mut living.late);
        if living.stretch < STRETCHES {
            for goal in 0..self.goals {
                let scope = scope(goal);
                let mut epochs = living.epochs[goal as usize];
                for (epoch, quiet, said) in self.stretch(goal, living.stretch, &mut epochs) {
                    let note = |rows: &mut Vec<CounterRow>, before: &[Share], after: Share| {
                        for (path, pattern, count) in moves(before, &[after]) {
                            let cell = Cell { epoch, path, pattern };
                            rows.push(CounterRow { scope: scope.clone(), cell, count });
                        }
                    };
                    note(&mut rows, &[], quiet);
                    note(&mut living.late, &[quiet], said);
                }
                living.epochs[goal as usize] = epochs;
            }
        }
        living.stretch += 1;
        rows.reverse();
        living.waiting = rows;
    }
}

fn scope(goal: u32) -> Scope {
    Scope { goal: GoalId(i64::from(goal) + 1), pipeline: None, bucket: Bucket::default() }
}

/// The name of a goal.
pub(crate) fn name(goal: u32) -> Result<Goal, StoreError> {
    Goal::new(&format!("goal-{goal:06}")).map_err(|_| StoreError::Closed)
}

impl Ledger for Synthetic {
    fn snapshot(&self, take: &mut dyn FnMut(Piece)) -> Result<i64, StoreError> {
        for goal in 0..self.goals {
            take(Piece::Goal(Self::record(i64::from(goal) + 1, name(goal)?, &self.paths)));
        }
        if self.living.is_none() {
            (0..self.goals).for_each(|goal| take(Piece::Counters(scope(goal), self.counters(goal))));
        }
        Ok(0)
    }

    fn changes(&self, since: i64) -> Result<Changes, StoreError> {
        if let Some(living) = &self.living {
            let mut living = lock(living);
            if living.waiting.is_empty() && living.stretch <= STRETCHES {
                self.happen(&mut living);
            }
            let left = living.waiting.len();
            let page = living.waiting.split_off(left.saturating_sub(PAGE as usize));
            living.seq += page.len() as i64;
            return Ok(Changes::Rows(living.seq, page.into_iter().rev().map(Change::Count).collect()));
        }
        let created = lock(&self.created);
        let new = created.iter().skip(since as usize).map(|record| Change::Goal(record.id)).collect();
        Ok(Changes::Rows(created.len() as i64, new))
    }

    fn put_goal(
        &self,
        name: &Goal,
        _: Option<&str>,
        paths: &[PathSpec],
        _: PathUpdate,
        _: Timestamp,
    ) -> Result<(GoalRecord, i64), StoreError> {
        let mut created = lock(&self.created);
        let record = Self::record(created.len() as i64, name.clone(), paths);
        created.push(record.clone());
        Ok((record, created.len() as i64))
    }

    fn goal(&self, id: GoalId) -> Result<Option<GoalRecord>, StoreError> {
        Ok(lock(&self.created).get(id.0 as usize).cloned())
    }

    fn commit(&self, batch: &[Fact]) -> Result<Committed, StoreError> {
        Ok(Committed { receipts: vec![Receipt::default(); batch.len()], seq: 0 })
    }

    fn remove_goal(&self, _: &Goal, _: Timestamp) -> Result<Option<i64>, StoreError> {
        Ok(None)
    }

    fn calls(&self, _: u32, _: &mut dyn FnMut(CallRecord)) -> Result<(), StoreError> {
        Ok(())
    }

    fn change_goal(&self, _: &Goal, _: &GoalChange, _: Timestamp) -> Result<GoalChanged, StoreError> {
        Ok(GoalChanged::Unknown)
    }

    fn decision(&self, _: TraceId) -> Result<Option<DecisionRecord>, StoreError> {
        Ok(None)
    }

    fn failed_checks(
        &self,
        _: GoalId,
        _: u32,
        _: &mut dyn FnMut(PathId, Option<u64>),
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn attempts_since(&self, _: Timestamp, _: &mut dyn FnMut(PastAttempt)) -> Result<(), StoreError> {
        Ok(())
    }

    fn anchored(&self, _: KeyedHash, _: KeyedHash) -> Result<Option<TraceId>, StoreError> {
        Ok(None)
    }

    fn prints(&self, _: About, _: Timestamp) -> Result<Option<RunPrints>, StoreError> {
        Ok(None)
    }

    fn ended_sessions(&self, _: Option<Timestamp>, _: usize) -> Result<Vec<SessionTrail>, StoreError> {
        Ok(Vec::new())
    }

    fn log(
        &self,
        _: GoalId,
        _: Option<Timestamp>,
        _: usize,
        _: &mut dyn FnMut(LoggedDecision),
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn maintain(&self, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    fn erase(&self, _: &Whose, _: Timestamp) -> Result<Erased, StoreError> {
        Err(StoreError::Closed)
    }

    fn erase_texts(&self, _: Timestamp, _: Timestamp) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn leftovers(&self) -> Result<Option<Leftovers>, StoreError> {
        Ok(None)
    }

    fn scrub(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn held(&self, _: &Whose, _: &mut dyn FnMut(HeldPiece)) -> Result<(), StoreError> {
        Ok(())
    }

    fn recount(&self, _: bool) -> Result<Recount, StoreError> {
        Err(StoreError::Closed)
    }

    fn suspend(&self) {}

    fn resume(&self) {}
}
