//! What changed in the goals of this process: kept for who asks, and told once to who reads the log.

use std::collections::{BTreeMap, HashMap};

use kalibr_core::counters::Epoch;
use kalibr_core::moved::{Moved, What};
use kalibr_store::Scope;

use crate::goal::GoalState;

/// The changes of every pipeline and bucket that shows any.
#[derive(Debug, Default)]
pub(super) struct Changes {
    scopes: HashMap<Scope, Known>,
    /// Whether the log is told. What was there before this process was, is not.
    pub(super) tell: bool,
}

#[derive(Debug, Default)]
struct Known {
    moved: Vec<Moved>,
    /// Per thing that changed, the newest epoch when that was last told. The place of a change shifts a little as more is
    /// heard; what began after the last was told is another one.
    told: BTreeMap<What, u32>,
}

impl Changes {
    /// What changed in a scope, oldest first.
    pub(super) fn of(&self, scope: &Scope) -> Vec<Moved> {
        self.scopes.get(scope).map(|known| known.moved.clone()).unwrap_or_default()
    }

    /// Forgets what changed, but not what was told: everything is about to be put anew.
    pub(super) fn clear(&mut self) {
        self.scopes.values_mut().for_each(|known| known.moved.clear());
    }

    /// Takes in what changed in a scope by all that was heard up to its `newest` epoch, and tells of what is new.
    pub(super) fn put(&mut self, goal: &GoalState, scope: &Scope, moved: Vec<Moved>, newest: Epoch) {
        if moved.is_empty() && !self.scopes.contains_key(scope) {
            return;
        }
        let known = self.scopes.entry(scope.clone()).or_default();
        let told = known.told.clone();
        for one in &moved {
            if told.get(&one.what).is_some_and(|told| one.since_epoch <= *told) {
                continue;
            }
            known.told.insert(one.what, newest.0);
            if self.tell {
                tell(goal, scope, one);
            }
        }
        known.moved = moved;
    }
}

fn tell(goal: &GoalState, scope: &Scope, moved: &Moved) {
    let sentence = moved.sentence(|path| goal.label(path));
    let (pipeline, bucket) = (scope.pipeline.as_ref().map(tracing::field::display), &scope.bucket);
    match moved.what {
        // Somebody should look for the cause: routing cannot help.
        What::Level => {
            tracing::warn!(goal = %goal.record.name, pipeline, %bucket, since_epoch = moved.since_epoch, "{sentence}");
        }
        What::Path { .. } => {
            tracing::info!(goal = %goal.record.name, pipeline, %bucket, since_epoch = moved.since_epoch, "{sentence}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kalibr_core::ids::{Bucket, Goal, Timestamp};
    use kalibr_store::{GoalRecord, Ledger as _, PathUpdate, SqliteLedger};
    use kalibr_upstream::{Prices, Providers, ProvidersConfig};
    use tracing::span::{Attributes, Id, Record};

    use super::*;
    use crate::goal::{EpochClock, GoalSettings};

    /// Counts warnings.
    struct Warnings(Arc<AtomicUsize>);

    impl tracing::Subscriber for Warnings {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() == tracing::Level::WARN
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    fn level(since_epoch: u32) -> Moved {
        Moved { what: What::Level, since_epoch, calls_since: 9, before: 0.8, after: 0.6, false_alarm: 0.01 }
    }

    fn goal(record: GoalRecord) -> GoalState {
        let providers = Providers::new(&ProvidersConfig::default(), &|_| None).unwrap();
        let epochs = Arc::new(EpochClock::starting_at(Epoch(0), Timestamp(0)));
        let prices = Arc::new(Prices::new([].into(), providers));
        GoalState::new(record, Arc::new(GoalSettings::default()), epochs, prices, 0)
    }

    #[test]
    fn a_change_is_told_once_however_its_place_shifts_and_the_next_one_anew() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
        let name = Goal::new("g").unwrap();
        let (record, _) = ledger.put_goal(&name, None, &[], PathUpdate::Replace, Timestamp(0)).unwrap();
        let scope = Scope { goal: record.id, pipeline: None, bucket: Bucket::default() };
        let goal = goal(record);
        let warnings = Arc::new(AtomicUsize::new(0));
        let mut changes = Changes::default();
        tracing::subscriber::with_default(Warnings(Arc::clone(&warnings)), || {
            let mut told = |moved: &[u32], newest: u32| {
                changes.put(&goal, &scope, moved.iter().copied().map(level).collect(), Epoch(newest));
                changes.tell = true;
                warnings.load(Ordering::Relaxed)
            };
            // What was there when the process began is old news.
            assert_eq!(told(&[10], 20), 0);
            assert_eq!(told(&[10, 40], 45), 1);
            assert_eq!(told(&[10, 42], 46), 1);
            assert_eq!(told(&[10], 47), 1);
            assert_eq!(told(&[8, 41], 60), 1);
            assert_eq!(told(&[8, 41, 63], 70), 2);
            // Two that are found at once are both news.
            assert_eq!(told(&[8, 41, 63, 74, 79], 80), 4);
        });
        assert_eq!(changes.of(&scope).len(), 5);
    }
}
