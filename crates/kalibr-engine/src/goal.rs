//! A goal in memory: its paths, its policy tables, its epoch clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use foldhash::fast::RandomState;
use kalibr_core::counters::{Count, Counters, Epoch};
use kalibr_core::ids::{Bucket, PathId, Pipeline, Timestamp};
use kalibr_core::objective::{Limits, Objective, Pacer};
use kalibr_core::path::PathSpec;
use kalibr_core::policy::PolicyTable;
use kalibr_core::posterior::{LearnerConfig, Posterior, Subject, posteriors};
use kalibr_core::reliability::Reliability;
use kalibr_core::rules::{ChoiceRules, Standing};
use kalibr_core::safety::{Guarantee, Risk, Side, UserCap};
use kalibr_evals::{Contract, ContractSpec};
use kalibr_store::{GoalRecord, Marks, PathRecord};
use kalibr_upstream::Prices;
use rpds::HashTrieMapSync;
use serde::{Deserialize, Serialize};

use crate::call_rules::CallRules;
use crate::calls::{Calls, Expected, Outlook};
use crate::freeze::Frozen;
use crate::table::{PathKnown, Table};

/// Whether requests are classed into buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Buckets {
    /// A request whose caller names no bucket gets one by what it asks: see [`kalibr_signals::bucket`].
    Auto,
    /// A request whose caller names no bucket is in `all`.
    // Classes learn slower than all together though they share what they learn: on real prompts `bench/learning` finds a
    // tenth less cost for a quarter of a point of quality, which is for the goal's owner to choose.
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
    /// How many decisions of one user count in each pipeline and bucket; 0 decisions: all. Default 50 a day. Another cap
    /// applies to all that was ever decided.
    pub user_cap: UserCap,
    /// The probability with which a goal is ever rolled back to its baseline though the router is no worse, 0..1; 0
    /// never rolls back. Default 0.05. Without a baseline and a holdout there is nothing to compare.
    pub rollback_error: f64,
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
    /// How hard a request is tried.
    pub calls: CallRules,
    /// What answers must look like: each that does not is evidence of the structural source against its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract: Option<ContractSpec>,
}

impl Default for GoalSettings {
    fn default() -> Self {
        let rules = ChoiceRules::default();
        Self {
            half_life: LearnerConfig::default().half_life.unwrap_or(0.0),
            floor: rules.floor,
            buckets: Buckets::default(),
            user_cap: UserCap::default(),
            rollback_error: 0.05,
            objective: rules.objective,
            limits: rules.limits,
            exploration_cap: rules.exploration_cap,
            risk: BTreeMap::new(),
            risk_delta: rules.risk_delta,
            baseline: None,
            holdout: rules.holdout,
            guarantee: rules.guarantee,
            calls: CallRules::default(),
            contract: None,
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
        if let Some(problem) =
            self.rules().problem().or_else(|| self.user_cap.problem()).or_else(|| self.calls.problem())
        {
            return Some(problem.into());
        }
        if let Some(Err(error)) = self.contract.clone().map(Contract::new) {
            return Some(format!("contract: {error}"));
        }
        if !(0.0..1.0).contains(&self.rollback_error) {
            return Some("rollback_error is a probability from 0 (never roll back) to 1, and below 1".into());
        }
        let ids: Vec<PathId> = paths.iter().map(PathSpec::id).collect();
        let is_there = |name: &str| paths.iter().zip(&ids).any(|(path, id)| names(name, *id, path));
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
            sharpness: ChoiceRules::default().sharpness,
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
    /// Without the texts of its settings and of what is frozen.
    pub(crate) record: GoalRecord,
    pub(crate) settings: Arc<GoalSettings>,
    /// What it routes by while it is frozen.
    frozen: Option<Frozen>,
    /// The last change that the record contains.
    seq: i64,
    /// For a pipeline and bucket that nothing is known of. Made when it is first asked for, since most goals of a large
    /// installation have a table by then; from the next refresh of the goal on it knows what other goals know.
    unknown: ArcSwapOption<Table>,
    tables: ArcSwap<Tables>,
    pub(crate) epochs: Arc<EpochClock>,
    prices: Arc<Prices>,
    /// Made ready when the first answer is held against it.
    contract: OnceLock<Option<Contract>>,
}

impl GoalState {
    pub(crate) fn new(
        mut record: GoalRecord,
        settings: Arc<GoalSettings>,
        epochs: Arc<EpochClock>,
        prices: Arc<Prices>,
        seq: i64,
    ) -> Self {
        record.paths.shrink_to_fit();
        let frozen =
            record.frozen.as_mut().and_then(|freeze| Frozen::read(&std::mem::take(&mut freeze.known)));
        let (unknown, tables, contract) = (ArcSwapOption::empty(), ArcSwap::default(), OnceLock::new());
        let goal = Self { record, settings, frozen, seq, unknown, tables, epochs, prices, contract };
        if let Some(frozen) = &goal.frozen {
            let table = |key: TableKey| {
                let table = goal.frozen_table(frozen, Some(&key));
                (key, Arc::new(table))
            };
            goal.tables.store(Arc::new(frozen.keys().map(table).collect()));
        }
        goal
    }

    /// What its answers are held against.
    pub(crate) fn contract(&self) -> Option<&Contract> {
        // One that this version cannot use was written by another: its answers go unchecked.
        let ready = || self.settings.contract.clone().and_then(|spec| Contract::new(spec).ok());
        self.contract.get_or_init(ready).as_ref()
    }

    /// Whether it learns nothing.
    pub(crate) fn is_frozen(&self) -> bool {
        self.record.frozen.is_some()
    }

    /// With which error its router is compared with its baseline; `None` while it is not.
    pub(crate) fn rollback_error(&self) -> Option<f64> {
        let is_compared = self.record.active
            && self.settings.baseline.is_some()
            && self.settings.holdout > 0.0
            && self.record.rolled_back.is_none()
            && !self.is_frozen();
        Some(self.settings.rollback_error).filter(|error| is_compared && *error > 0.0)
    }

    /// How it stands, for a decision that is made now.
    pub(crate) fn marks(&self, side: Option<Side>) -> Marks {
        Marks { frozen: self.is_frozen(), rolled_back: self.record.rolled_back.is_some(), side }
    }

    /// The epoch of a decision made now. Epochs hold decisions that are learned from: while the goal is frozen there are
    /// none, and the clock stands.
    pub(crate) fn epoch(&self, now: Timestamp) -> Epoch {
        if self.is_frozen() { self.epochs.current() } else { self.epochs.tick(now) }
    }

    /// All that is known of its paths, to be frozen.
    pub(crate) fn freeze(&self) -> Frozen {
        Frozen::of(&self.unknown(), &self.tables())
    }

    pub(crate) fn path(&self, id: PathId) -> Option<&PathRecord> {
        self.record.paths.iter().find(|path| path.id == id)
    }

    /// A path's model, and what sets it apart, in short; its id when the goal no longer has it.
    pub(crate) fn label(&self, id: PathId) -> String {
        self.path(id).map_or_else(|| id.to_string(), |path| path.spec.label())
    }

    pub(crate) fn table(&self, key: &TableKey) -> Arc<Table> {
        self.tables.load().get(key).map_or_else(|| self.unknown(), Arc::clone)
    }

    /// All tables as they are now; where one is missing, [`GoalState::unknown`] stands for it.
    pub(crate) fn tables_now(&self) -> Guard<Arc<Tables>> {
        self.tables.load()
    }

    pub(crate) fn unknown(&self) -> Arc<Table> {
        self.unknown.load_full().unwrap_or_else(|| {
            let table = match &self.frozen {
                Some(frozen) => self.frozen_table(frozen, None),
                None => self.blank_table(),
            };
            let table = Arc::new(table);
            // Should the refresher be quicker, its table knows more.
            let nobody: Option<Arc<Table>> = None;
            self.unknown.compare_and_swap(&nobody, Some(Arc::clone(&table)));
            table
        })
    }

    /// Whether somebody asked for a pipeline or bucket that nothing is known of.
    pub(crate) fn was_asked_for_unknown(&self) -> bool {
        self.unknown.load().is_some()
    }

    /// What models cost.
    pub(crate) fn prices(&self) -> &Prices {
        &self.prices
    }

    /// The paths that may be chosen, in the order of the tables.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathRecord> {
        self.record.paths.iter().filter(|path| path.enabled)
    }

    /// What the paths that may be chosen are known by, in their order.
    pub(crate) fn subjects(&self, subject: impl Fn(&PathRecord) -> Subject) -> Vec<Subject> {
        self.paths().map(subject).collect()
    }

    /// The table of what is believed of the paths that may be chosen, in their order; `counters` is what was heard here.
    pub(crate) fn of(
        &self,
        believed: Vec<Posterior>,
        counters: &Counters,
        outlook: &Outlook,
        seq: i64,
    ) -> Table {
        let guaranteed = self.settings.guarantee.is_some();
        let known = |((path, posterior), expected): ((&PathRecord, Posterior), Expected)| PathKnown {
            // Only the guarantee looks at them.
            seen: if guaranteed { seen(counters, path.id) } else { Count::default() },
            ..PathKnown::of(path.id, posterior).expecting(expected)
        };
        let known: Vec<PathKnown> = self.paths().zip(believed).zip(outlook.paths()).map(known).collect();
        self.table_of(&known, outlook.pacer, seq as u64)
    }

    /// What is known of the paths where nothing was heard and nothing was called.
    fn blank(&self) -> Vec<PathKnown> {
        let subjects = self.subjects(|path| Subject::unknown(path.id));
        let believed =
            posteriors(&Counters::default(), &subjects, &Reliability::default(), &self.settings.learner());
        let expected = Calls::default().outlook(self, None);
        let paths = subjects.iter().zip(believed).zip(expected.paths());
        paths
            .map(|((subject, posterior), expected)| {
                PathKnown::of(subject.path, posterior).expecting(expected)
            })
            .collect()
    }

    /// The table where nothing is known but prices. It knows nothing of who is down just now either: it may stay for long.
    fn blank_table(&self) -> Table {
        self.table_of(&self.blank(), Pacer::default(), self.seq as u64)
    }

    /// The table of a key, or of those that nothing was known of, by what was known when the goal was frozen.
    fn frozen_table(&self, frozen: &Frozen, key: Option<&TableKey>) -> Table {
        let (known, pacer, version) = frozen.known(key, self.blank());
        self.table_of(&known, pacer, version)
    }

    fn table_of(&self, known: &[PathKnown], pacer: Pacer, version: u64) -> Table {
        let paths: Vec<(PathId, Posterior)> =
            known.iter().map(|known| (known.path, known.posterior)).collect();
        let for_rules = self.paths().zip(known).map(|(path, known)| known.under(self.settings.risk_of(path)));
        let policy =
            PolicyTable::new(version, &paths, for_rules, &self.settings.rules(), &self.standing(pacer));
        let seen = self.settings.guarantee.map(|_| known.iter().map(|known| known.seen).collect());
        Table::new(policy, seen.unwrap_or_default(), &self.record.paths, pacer)
    }

    fn standing(&self, pacer: Pacer) -> Standing {
        let name = self.settings.baseline.as_deref();
        let baseline = name.and_then(|name| self.paths().position(|path| names(name, path.id, &path.spec)));
        Standing { baseline, pacer, rolled_back: self.record.rolled_back.is_some() }
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

    /// Swaps in the table of what is believed after all changes up to `seq`; a frozen goal keeps that which it has. Only
    /// the refresher does.
    pub(crate) fn put(
        &self,
        key: TableKey,
        believed: Vec<Posterior>,
        counters: &Counters,
        outlook: &Outlook,
        seq: i64,
    ) {
        let tables = self.tables.load();
        if self.is_frozen() && tables.contains_key(&key) {
            return;
        }
        let table = Arc::new(match &self.frozen {
            Some(frozen) => self.frozen_table(frozen, Some(&key)),
            None => self.of(believed, counters, outlook, seq),
        });
        self.tables.store(Arc::new(tables.insert(key, table)));
    }

    /// Swaps in the table for what nothing is known of. Only the refresher does.
    pub(crate) fn put_unknown(&self, believed: Vec<Posterior>, outlook: &Outlook, seq: i64) {
        if self.is_frozen() && (self.frozen.is_some() || self.was_asked_for_unknown()) {
            return;
        }
        self.unknown.store(Some(Arc::new(self.of(believed, &Counters::default(), outlook, seq))));
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

    /// The epoch of the last decision.
    pub(crate) fn current(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Relaxed))
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
