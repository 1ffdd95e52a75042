//! Goals as people and dashboards see them.

use kalibr_core::confidence::Interval;
use kalibr_core::ids::{Bucket, Goal, PathId, Pipeline};
use kalibr_core::path::PathSpec;
use kalibr_store::{Scope, StoreError};
use serde::Serialize;

use crate::checks::PathChecks;
use crate::clock::rfc3339;
use crate::confidence::{ChangeInfo, Conclusion, conclude};
use crate::engine::Engine;
use crate::goal::{GoalSettings, GoalState, TableKey};
use crate::learn::Learned;
use crate::table::Table;

/// A goal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GoalInfo {
    /// Its name.
    pub name: Goal,
    /// How it learns.
    pub settings: GoalSettings,
    /// The paths that it routes to.
    pub paths: Vec<GoalPath>,
    /// Since when it is frozen, as RFC 3339 in UTC: it routes by what was known then, and learns nothing.
    pub frozen_at: Option<String>,
    /// When it was reset the last time, as RFC 3339 in UTC: what was decided before is not learned from.
    pub reset_at: Option<String>,
    /// Whether it was rolled back to its baseline.
    pub rolled_back: Option<RollbackInfo>,
    /// How its paths' answers keep its contract, where that was asked for: see [`Engine::with_checks`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<PathChecks>,
    /// What was learned, by pipeline and bucket; first without a pipeline.
    pub learned: Vec<LearnedScope>,
}

/// A rollback, which holds until somebody resumes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollbackInfo {
    /// When, as RFC 3339 in UTC.
    pub at: String,
    /// How much better the baseline was shown to be at least, in 0..=1 (lower bound of the difference of the two rates of
    /// success, anytime-valid).
    pub baseline_better_by: f64,
}

/// A path of a goal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GoalPath {
    /// Its identity.
    pub path_id: PathId,
    /// Its model, and what sets it apart, in short.
    pub label: String,
    /// Model, tools and params.
    #[serde(flatten)]
    pub spec: PathSpec,
}

/// What was learned in one pipeline and bucket.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LearnedScope {
    /// The pipeline; `null` is traffic without one.
    pub pipeline: Option<Pipeline>,
    /// The class of requests.
    pub bucket: Bucket,
    /// The version of the policy table.
    pub table_version: u64,
    /// Whether a path is the best, whether it matters, or how much more it takes to say so.
    pub verdict: Conclusion,
    /// When answers became better or worse, oldest first: of one path, or of all together (the *level*), which is an alert.
    pub changes: Vec<ChangeInfo>,
    /// Each path, in the goal's order.
    pub paths: Vec<LearnedPath>,
}

/// What was learned of one path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LearnedPath {
    /// Which path.
    pub path_id: PathId,
    /// Its share of the next requests, in 0..=1.
    pub share: f64,
    /// The probability that it is the best, in 0..=1.
    pub p_best: f64,
    /// How much worse than the best it is expected to be, in 0..=1.
    pub expected_loss: f64,
    /// Its expected success, in 0..=1.
    pub expected: f64,
    /// Standard deviation of that (posterior, discounted evidence).
    pub deviation: f64,
    /// Where its success is, by the posterior.
    pub credible: Interval,
    /// Where the success of its graded answers is, guaranteed at all times together.
    pub guaranteed: Interval,
    /// Its calls behind the guaranteed interval: graded by a user or the caller, and old enough to stay so.
    pub matured: i64,
    /// What a request is expected to cost, in dollars; `null` without a price.
    pub cost_usd: Option<f64>,
    /// Milliseconds that 95 % of its calls stay below; `null` before any.
    pub latency_p95_ms: Option<f64>,
    /// Share of its calls that the provider answered, in 0..=1.
    pub availability: f64,
    /// Its calls that somebody graded, not discounted.
    pub graded: i64,
    /// Its calls, not discounted.
    pub attempts: i64,
}

impl Engine {
    /// All goals that route, by name.
    pub fn goals(&self) -> Vec<GoalInfo> {
        self.learned().goals().iter().map(|goal| info(goal, self.learned())).collect()
    }

    /// One goal, if it routes.
    pub fn goal(&self, name: &Goal) -> Option<GoalInfo> {
        self.learned().goal(name.as_str()).map(|goal| info(&goal, self.learned()))
    }

    /// A goal with how its paths' answers keep its contract: see [`Engine::checks`], which blocks on the ledger.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot be read.
    pub fn with_checks(&self, goal: GoalInfo) -> Result<GoalInfo, StoreError> {
        Ok(GoalInfo { checks: self.checks(&goal.name)?, ..goal })
    }

    /// The paths of all goals that route, by name, without what was learned of them.
    pub fn all_paths(&self) -> Vec<(Goal, Vec<GoalPath>)> {
        self.learned().goals().iter().map(|goal| (goal.record.name.clone(), paths(goal))).collect()
    }

    /// The paths of one goal, if it routes, without what was learned of them.
    pub fn paths(&self, name: &Goal) -> Option<Vec<GoalPath>> {
        self.learned().goal(name.as_str()).map(|goal| paths(&goal))
    }
}

fn paths(goal: &GoalState) -> Vec<GoalPath> {
    goal.record
        .paths
        .iter()
        .filter(|path| path.enabled)
        .map(|path| GoalPath {
            path_id: path.id,
            label: path.spec.label(),
            spec: PathSpec::clone(&path.spec),
        })
        .collect()
}

fn info(goal: &GoalState, learned: &Learned) -> GoalInfo {
    let mut tables = goal.tables();
    if tables.is_empty() {
        // A goal that nothing is known of yet still says how it would route.
        let key = TableKey::default();
        tables.push((key.clone(), goal.table(&key)));
    }
    GoalInfo {
        name: goal.record.name.clone(),
        settings: GoalSettings::clone(&goal.settings),
        paths: paths(goal),
        frozen_at: goal.record.frozen.as_ref().map(|freeze| rfc3339(freeze.at)),
        reset_at: goal.record.reset.map(|reset| rfc3339(reset.at)),
        rolled_back: goal.record.rolled_back.map(|rolled_back| RollbackInfo {
            at: rfc3339(rolled_back.at),
            baseline_better_by: rolled_back.lower,
        }),
        checks: Vec::new(),
        learned: tables.into_iter().map(|(key, table)| scope(goal, key, &table, learned)).collect(),
    }
}

fn scope(goal: &GoalState, key: TableKey, table: &Table, learned: &Learned) -> LearnedScope {
    let table = &table.policy;
    let shares = table.shares();
    let counted = Scope { goal: goal.record.id, pipeline: key.pipeline.clone(), bucket: key.bucket.clone() };
    let (sure, verdict) = learned.counted(&counted, |counters| conclude(goal, table, &shares, counters));
    let paths = table
        .entries()
        .iter()
        .zip(shares)
        .zip(sure)
        .zip(table.rules().offers())
        .map(|(((entry, share), sure), offer)| LearnedPath {
            path_id: entry.path,
            share,
            p_best: sure.p_best,
            expected_loss: sure.expected_loss,
            expected: entry.posterior.success.mean(),
            deviation: entry.posterior.success.variance().sqrt(),
            credible: sure.credible,
            guaranteed: sure.guaranteed,
            matured: sure.matured,
            cost_usd: offer.dollars,
            latency_p95_ms: offer.latency.quantile(0.95),
            availability: entry.posterior.availability,
            graded: entry.posterior.graded,
            attempts: entry.posterior.attempts,
        })
        .collect();
    let changes = ChangeInfo::all(goal, learned.moved(&counted));
    let table_version = table.version;
    LearnedScope { pipeline: key.pipeline, bucket: key.bucket, table_version, verdict, changes, paths }
}
