//! A goal in memory: its paths, its policy tables, its epoch clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use foldhash::fast::RandomState;
use kalibr_core::counters::{Count, Counters, Epoch};
use kalibr_core::ids::{Bucket, PathId, Pipeline, Timestamp};
use kalibr_core::objective::{Limits, Objective, Offer};
use kalibr_core::path::PathSpec;
use kalibr_core::policy::PolicyTable;
use kalibr_core::posterior::{LearnerConfig, Subject, posteriors};
use kalibr_core::reliability::Reliability;
use kalibr_core::rules::{ChoiceRules, Known, Standing};
use kalibr_core::safety::{Guarantee, Risk};
use kalibr_store::{GoalRecord, PathRecord};
use kalibr_upstream::Prices;
use rpds::HashTrieMapSync;
use serde::{Deserialize, Serialize};

use crate::calls::{Calls, Expected, Outlook};
use crate::table::Table;

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

/// How a goal learns and chooses; everything has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GoalSettings {
    /// Graded attempts after which older evidence counts half; 0 forgets nothing. Default 800.
    pub half_life: f64,
    /// See [`ChoiceRules::floor`].
    pub floor: f64,
    /// Whether requests are classed where the caller names no bucket. Default `off`.
    pub buckets: Buckets,
    /// See [`ChoiceRules::objective`].
    pub objective: Objective,
    /// See [`ChoiceRules::limits`].
    pub limits: Limits,
    /// See [`ChoiceRules::exploration_cap`].
    pub exploration_cap: f64,
    /// How little each path is trusted, by its model or its id; low where nothing is said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub risk: BTreeMap<String, Risk>,
    /// See [`ChoiceRules::risk_delta`].
    pub risk_delta: f64,
    /// The path, by its model or its id, that the router is measured against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// See [`ChoiceRules::holdout`].
    pub holdout: f64,
    /// See [`ChoiceRules::guarantee`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<Guarantee>,
}

impl Default for GoalSettings {
    fn default() -> Self {
        let rules = ChoiceRules::default();
        Self {
            half_life: LearnerConfig::default().half_life.unwrap_or(0.0),
            floor: rules.floor,
            buckets: Buckets::default(),
            objective: rules.objective,
            limits: rules.limits,
            exploration_cap: rules.exploration_cap,
            risk: BTreeMap::new(),
            risk_delta: rules.risk_delta,
            baseline: None,
            holdout: rules.holdout,
            guarantee: rules.guarantee,
        }
    }
}

impl GoalSettings {
    /// What is wrong with the settings of a goal with these paths, if anything.
    pub(crate) fn problem(&self, paths: &[PathSpec]) -> Option<String> {
        if !(self.half_life == 0.0 || (1.0..=1e9).contains(&self.half_life)) {
            return Some(
                "half_life is 0 (forget nothing) or a number of graded attempts from 1 to 1e9".into(),
            );
        }
        if let Some(problem) = self.rules().problem() {
            return Some(problem.into());
        }
        let is_there = |name: &str| paths.iter().any(|path| names(name, path.id(), path));
        if let Some(name) = self.risk.keys().find(|name| !is_there(name)) {
            return Some(format!(
                "risk names {name:?}, which is none of the goal's paths: write a path's model or its id"
            ));
        }
        match &self.baseline {
            Some(name) if !is_there(name) => Some(format!(
                "baseline names {name:?}, which is none of the goal's paths: write a path's model or its id"
            )),
            None if self.holdout > 0.0 || self.guarantee.is_some() => {
                Some("a holdout or a guarantee needs a baseline: name the path's model or its id".into())
            }
            _ => None,
        }
    }

    pub(crate) fn learner(&self) -> LearnerConfig {
        let half_life = (self.half_life > 0.0).then_some(self.half_life);
        LearnerConfig { half_life, ..LearnerConfig::default() }
    }

    pub(crate) fn rules(&self) -> ChoiceRules {
        ChoiceRules {
            objective: self.objective,
            limits: self.limits,
            floor: self.floor,
            exploration_cap: self.exploration_cap,
            holdout: self.holdout,
            guarantee: self.guarantee,
            risk_delta: self.risk_delta,
        }
    }

    /// Dollars per request that the goal may cost on average, where its objective is a budget.
    pub(crate) const fn budget(&self) -> Option<f64> {
        match self.objective {
            Objective::Budget { dollars_per_request } => Some(dollars_per_request),
            _ => None,
        }
    }

    fn risk_of(&self, path: &PathRecord) -> Risk {
        let named = |(name, risk): (&String, &Risk)| names(name, path.id, &path.spec).then_some(*risk);
        self.risk.iter().find_map(named).unwrap_or_default()
    }
}

/// Whether a setting that says `name` means this path.
fn names(name: &str, id: PathId, path: &PathSpec) -> bool {
    path.model == name || name.parse() == Ok(id)
}

/// What a policy table is for, within its goal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TableKey {
    pub(crate) pipeline: Option<Pipeline>,
    pub(crate) bucket: Bucket,
}

/// Persistent, so that the first table of one more pipeline costs the same however many there are.
pub(crate) type Tables = HashTrieMapSync<TableKey, Arc<Table>, RandomState>;

/// One goal. Deciding reads it without a lock; only the refresher changes it.
#[derive(Debug)]
pub(crate) struct GoalState {
    /// Without the text of its settings.
    pub(crate) record: GoalRecord,
    pub(crate) settings: GoalSettings,
    /// The last change that the record contains.
    seq: i64,
    /// For a pipeline and bucket that nothing is known of. Made when it is first asked for: most goals of a large
    /// installation have a table by then.
    unknown: OnceLock<Arc<Table>>,
    tables: ArcSwap<Tables>,
    pub(crate) epochs: Arc<EpochClock>,
    prices: Arc<Prices>,
}

impl GoalState {
    pub(crate) fn new(
        mut record: GoalRecord,
        epochs: Arc<EpochClock>,
        prices: Arc<Prices>,
        seq: i64,
    ) -> Self {
        // What a newer version wrote there and this one cannot read must not stop the goal from routing.
        let settings = serde_json::from_str(&std::mem::take(&mut record.settings)).unwrap_or_default();
        record.paths.shrink_to_fit();
        Self { record, settings, seq, unknown: OnceLock::new(), tables: ArcSwap::default(), epochs, prices }
    }

    pub(crate) fn path(&self, id: PathId) -> Option<&PathRecord> {
        self.record.paths.iter().find(|path| path.id == id)
    }

    pub(crate) fn table(&self, key: &TableKey) -> Arc<Table> {
        self.tables.load().get(key).map_or_else(|| Arc::clone(self.unknown()), Arc::clone)
    }

    /// All tables as they are now; where one is missing, [`GoalState::unknown`] stands for it.
    pub(crate) fn tables_now(&self) -> Guard<Arc<Tables>> {
        self.tables.load()
    }

    pub(crate) fn unknown(&self) -> &Arc<Table> {
        self.unknown.get_or_init(|| {
            let outlook = Calls::default().outlook(self, &TableKey::default(), &self.prices);
            Arc::new(self.build(&Counters::default(), &outlook, self.seq))
        })
    }

    /// The paths that may be chosen, in the order of the tables.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathRecord> {
        self.record.paths.iter().filter(|path| path.enabled)
    }

    pub(crate) fn build(&self, counters: &Counters, outlook: &Outlook, seq: i64) -> Table {
        let subjects: Vec<Subject> = self.paths().map(|path| Subject::unknown(path.id)).collect();
        let posteriors = posteriors(counters, &subjects, &Reliability::default(), &self.settings.learner());
        let paths: Vec<_> = subjects.iter().map(|subject| subject.path).zip(posteriors).collect();
        let expected = outlook.paths.iter().cloned().chain(std::iter::repeat_with(Expected::default));
        let known = self.paths().zip(&paths).zip(expected).map(|((path, (_, posterior)), expected)| Known {
            offer: Offer { success: posterior.success, dollars: expected.dollars, latency: expected.latency },
            risk: self.settings.risk_of(path),
            // Only the guarantee looks at them.
            seen: if self.settings.guarantee.is_some() { seen(counters, path.id) } else { Count::default() },
        });
        let standing = Standing { baseline: self.baseline(), pacer: outlook.pacer, ..Standing::default() };
        let policy = PolicyTable::new(seq as u64, &paths, known, &self.settings.rules(), &standing);
        Table::new(policy, &self.record.paths, outlook.pacer)
    }

    fn baseline(&self) -> Option<usize> {
        let name = self.settings.baseline.as_deref()?;
        self.paths().position(|path| names(name, path.id, &path.spec))
    }

    /// All tables, by pipeline and bucket.
    pub(crate) fn tables(&self) -> Vec<(TableKey, Arc<Table>)> {
        let mut tables: Vec<_> =
            self.tables.load().iter().map(|(key, table)| (key.clone(), Arc::clone(table))).collect();
        tables.sort_by(|a, b| a.0.cmp(&b.0));
        tables
    }

    /// What there are tables for.
    pub(crate) fn keys(&self) -> Vec<TableKey> {
        self.tables.load().keys().cloned().collect()
    }

    /// Builds the table anew, from all changes up to `seq`, and swaps it in. Only the refresher does.
    pub(crate) fn rebuild(&self, key: TableKey, counters: &Counters, calls: &Calls, seq: i64) {
        let outlook = calls.outlook(self, &key, &self.prices);
        let table = Arc::new(self.build(counters, &outlook, seq));
        let tables = self.tables.load();
        if let Some(before) = tables.get(&key) {
            table.policy.rules().look_ahead(before.policy.rules());
        }
        self.tables.store(Arc::new(tables.insert(key, table)));
    }
}

/// Graded attempts of a path, not discounted.
fn seen(counters: &Counters, path: PathId) -> Count {
    let graded = counters.iter().filter(|(cell, _)| cell.path == path && cell.pattern.winner().is_some());
    graded.fold(Count::default(), |mut sum, (_, count)| {
        sum += count;
        sum
    })
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
