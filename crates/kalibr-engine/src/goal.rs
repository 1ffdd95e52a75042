//! A goal in memory: its paths, its policy tables, its epoch clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use kalibr_core::counters::{Counters, Epoch};
use kalibr_core::ids::{Bucket, PathId, Pipeline, Timestamp};
use kalibr_core::policy::PolicyTable;
use kalibr_core::posterior::{LearnerConfig, Posterior, Subject};
use kalibr_store::{GoalRecord, PathRecord};
use rpds::HashTrieMapSync;
use serde::{Deserialize, Serialize};

/// Whether requests are classed into buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Buckets {
    /// A request whose caller names no bucket gets one by what it asks: see [`kalibr_signals::bucket`].
    Auto,
    /// A request whose caller names no bucket is in `all`.
    // Classes that learn each for itself learn slower than all together: `Auto` is a default only where buckets share
    // what they learn.
    #[default]
    Off,
}

impl Buckets {
    /// Its name: `auto` or `off`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
        }
    }
}

impl std::str::FromStr for Buckets {
    type Err = &'static str;

    /// Reads a name.
    ///
    /// # Errors
    /// A sentence that tells the names.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Auto, Self::Off].into_iter().find(|one| one.as_str() == name).ok_or(
            "buckets is \"auto\" (requests are classed by what they ask) or \"off\" (only a caller's own buckets count)",
        )
    }
}

/// How a goal learns; everything has a default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GoalSettings {
    /// Graded attempts after which older evidence counts half; 0 forgets nothing. Default 800.
    pub half_life: f64,
    /// Least probability of each path, 0..=0.5. Default 0.01.
    pub floor: f64,
    /// Whether requests are classed where the caller names no bucket. Default `off`.
    pub buckets: Buckets,
}

impl Default for GoalSettings {
    fn default() -> Self {
        let learner = LearnerConfig::default();
        Self {
            half_life: learner.half_life.unwrap_or(0.0),
            floor: learner.floor,
            buckets: Buckets::default(),
        }
    }
}

impl GoalSettings {
    /// What is wrong with the settings, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if !(self.half_life == 0.0 || (1.0..=1e9).contains(&self.half_life)) {
            return Some("half_life is 0 (forget nothing) or a number of graded attempts from 1 to 1e9");
        }
        (!(0.0..=0.5).contains(&self.floor)).then_some("floor is a probability from 0 to 0.5")
    }

    pub(crate) fn learner(&self) -> LearnerConfig {
        let half_life = (self.half_life > 0.0).then_some(self.half_life);
        LearnerConfig { half_life, floor: self.floor, ..LearnerConfig::default() }
    }
}

/// What a policy table is for, within its goal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TableKey {
    pub(crate) pipeline: Option<Pipeline>,
    pub(crate) bucket: Bucket,
}

/// Persistent, so that the first table of one more pipeline costs the same however many there are.
type Tables = HashTrieMapSync<TableKey, Arc<PolicyTable>>;

/// One goal. Deciding reads it without a lock; only the refresher changes it.
#[derive(Debug)]
pub(crate) struct GoalState {
    /// Without the text of its settings.
    pub(crate) record: GoalRecord,
    pub(crate) settings: GoalSettings,
    /// The last change that the record contains.
    seq: i64,
    /// For a pipeline and bucket that nothing is known of. Made when it is first asked for, since most goals of a large
    /// installation have a table by then; from the next refresh of the goal on it knows what other goals know.
    unknown: ArcSwapOption<PolicyTable>,
    tables: ArcSwap<Tables>,
    pub(crate) epochs: Arc<EpochClock>,
}

impl GoalState {
    pub(crate) fn new(mut record: GoalRecord, epochs: Arc<EpochClock>, seq: i64) -> Self {
        // What a newer version wrote there and this one cannot read must not stop the goal from routing.
        let settings = serde_json::from_str(&std::mem::take(&mut record.settings)).unwrap_or_default();
        record.paths.shrink_to_fit();
        Self { record, settings, seq, unknown: ArcSwapOption::empty(), tables: ArcSwap::default(), epochs }
    }

    pub(crate) fn path(&self, id: PathId) -> Option<&PathRecord> {
        self.record.paths.iter().find(|path| path.id == id)
    }

    pub(crate) fn table(&self, key: &TableKey) -> Arc<PolicyTable> {
        self.tables.load().get(key).map_or_else(|| self.unknown(), Arc::clone)
    }

    fn unknown(&self) -> Arc<PolicyTable> {
        self.unknown.load_full().unwrap_or_else(|| {
            let table = Arc::new(PolicyTable::build(
                &Counters::default(),
                // It knows nothing of who is down just now either: it may stay for long.
                &enabled(&self.record),
                &self.settings.learner(),
                self.seq as u64,
            ));
            // Should the refresher be quicker, its table knows more.
            let nobody: Option<Arc<PolicyTable>> = None;
            self.unknown.compare_and_swap(&nobody, Some(Arc::clone(&table)));
            table
        })
    }

    /// Whether somebody asked for a pipeline or bucket that nothing is known of.
    pub(crate) fn was_asked_for_unknown(&self) -> bool {
        self.unknown.load().is_some()
    }

    /// What the paths that may be chosen are known by, in their order.
    pub(crate) fn subjects(&self, subject: impl Fn(&PathRecord) -> Subject) -> Vec<Subject> {
        self.record.paths.iter().filter(|path| path.enabled).map(subject).collect()
    }

    /// The table of what is believed of the paths that may be chosen, in their order.
    pub(crate) fn of(&self, believed: Vec<Posterior>, seq: i64) -> PolicyTable {
        PolicyTable::of(enabled(&self.record).into_iter().zip(believed), &self.settings.learner(), seq as u64)
    }

    /// All tables, by pipeline and bucket.
    pub(crate) fn tables(&self) -> Vec<(TableKey, Arc<PolicyTable>)> {
        let mut tables: Vec<_> =
            self.tables.load().iter().map(|(key, table)| (key.clone(), Arc::clone(table))).collect();
        tables.sort_by(|a, b| a.0.cmp(&b.0));
        tables
    }

    /// What there are tables for.
    pub(crate) fn keys(&self) -> Vec<TableKey> {
        self.tables.load().keys().cloned().collect()
    }

    /// Swaps in the table of what is believed after all changes up to `seq`. Only the refresher does.
    pub(crate) fn put(&self, key: TableKey, believed: Vec<Posterior>, seq: i64) {
        let table = Arc::new(self.of(believed, seq));
        self.tables.store(Arc::new(self.tables.load().insert(key, table)));
    }

    /// Swaps in the table for what nothing is known of. Only the refresher does.
    pub(crate) fn put_unknown(&self, believed: Vec<Posterior>, seq: i64) {
        self.unknown.store(Some(Arc::new(self.of(believed, seq))));
    }
}

fn enabled(record: &GoalRecord) -> Vec<PathId> {
    record.paths.iter().filter(|path| path.enabled).map(|path| path.id).collect()
}

/// Which epoch a decision falls in. Every process counts its own decisions, and starts anew when it adopts an epoch that
/// another has opened; so with several processes an epoch holds up to 25 of each. Its length is counted, never assumed.
#[derive(Debug)]
pub(crate) struct EpochClock {
    epoch: AtomicU32,
    decisions: AtomicU32,
    started: AtomicI64,
}

impl EpochClock {
    pub(crate) fn starting_at(epoch: Epoch, now: Timestamp) -> Self {
        Self { epoch: epoch.0.into(), decisions: 0.into(), started: now.0.into() }
    }

    /// The epoch of a decision made now.
    pub(crate) fn tick(&self, now: Timestamp) -> Epoch {
        let epoch = self.epoch.load(Ordering::Relaxed);
        let full = self.decisions.fetch_add(1, Ordering::Relaxed) >= Epoch::DECISIONS;
        let old = now.since(Timestamp(self.started.load(Ordering::Relaxed))) >= Epoch::MICROS;
        if (full || old)
            && self
                .epoch
                .compare_exchange(epoch, epoch.saturating_add(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.decisions.store(1, Ordering::Relaxed);
            self.started.store(now.0, Ordering::Relaxed);
            return Epoch(epoch.saturating_add(1));
        }
        Epoch(epoch)
    }

    /// Adopts an epoch that another process has opened.
    pub(crate) fn saw(&self, epoch: Epoch, now: Timestamp) {
        if self.epoch.fetch_max(epoch.0, Ordering::Relaxed) < epoch.0 {
            self.decisions.store(0, Ordering::Relaxed);
            self.started.store(now.0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_closes_after_25_decisions_or_an_hour() {
        let clock = EpochClock::starting_at(Epoch(3), Timestamp(0));
        let epochs: Vec<u32> = (0..51).map(|_| clock.tick(Timestamp(1)).0).collect();
        assert_eq!(epochs.iter().filter(|e| **e == 3).count(), 25);
        assert_eq!(epochs.iter().filter(|e| **e == 4).count(), 25);
        assert_eq!(clock.tick(Timestamp(Epoch::MICROS + 2)), Epoch(6));
        clock.saw(Epoch(9), Timestamp(Epoch::MICROS + 3));
        let adopted =
            (0..26).map(|_| clock.tick(Timestamp(Epoch::MICROS + 4)).0).filter(|epoch| *epoch == 9).count();
        assert_eq!(adopted, 25);
        clock.saw(Epoch(3), Timestamp(0));
        assert_eq!(clock.tick(Timestamp(Epoch::MICROS + 5)), Epoch(10));
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_reopen_an_epoch() {
        let clock = EpochClock::starting_at(Epoch(3), Timestamp(1_000_000_000_000_000));
        assert_eq!(clock.tick(Timestamp(0)), Epoch(3));
    }
}
