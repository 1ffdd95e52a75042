//! Choosing a path: a look-up in the policy table and a draw. No I/O, no lock that a writer holds, no LLM.

use std::sync::Arc;

use kalibr_core::availability::{Blocked, Probe};
use kalibr_core::ids::{Bucket, Goal, KeyedHash, PathId, Pipeline, Timestamp, TraceId};
use kalibr_core::objective::NotEligible;
use kalibr_core::path::PathSpec;
use kalibr_core::policy::uniform;
use kalibr_core::rules::{Asked, Drawn, NoneEligible};
use kalibr_store::{DecisionFact, DecisionKind, Fact, GoalId};

use crate::call_rules::CallRules;
use crate::engine::Engine;
use crate::error::DecideError;
use crate::goal::{Buckets, GoalState, TableKey};
use crate::outages::Mask;
use crate::table::{Fallbacks, Table};

/// What a decision is asked for.
#[derive(Debug, Clone)]
pub struct DecideRequest {
    /// The goal.
    pub goal: Goal,
    /// Isolates learning within the goal.
    pub pipeline: Option<Pipeline>,
    /// The class of the request. `None`: [`Engine::complete`] and [`Engine::stream`] class the body themselves where the
    /// goal's [`Buckets`](crate::Buckets) say so; otherwise it is `all`.
    pub bucket: Option<Bucket>,
    /// The session it belongs to, hashed: see [`Engine::session_hash`]. The session's later turns and actions grade it.
    pub session: Option<KeyedHash>,
    /// The user it is made for, hashed: see [`Engine::user_hash`].
    pub user: Option<KeyedHash>,
    /// Only these paths may be chosen; `None`: all of the goal.
    pub candidates: Option<Vec<PathId>>,
    /// Take the goal's path with this model, whatever was learned and whatever its limits.
    pub force_model: Option<String>,
    /// The task's risk, and caps that hold beside the goal's.
    pub asked: Asked,
}

impl DecideRequest {
    /// A request with nothing but its goal.
    pub fn of(goal: Goal) -> Self {
        Self {
            goal,
            pipeline: None,
            bucket: None,
            session: None,
            user: None,
            candidates: None,
            force_model: None,
            asked: Asked::default(),
        }
    }
}

/// Why this path was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is the likeliest to be the best.
    Exploitation,
    /// It may be better than it looks.
    Exploration,
    /// No other may be chosen.
    OnlyPath,
    /// The caller named it.
    Forced,
    /// It is the baseline, which a share of the decisions takes whatever was learned.
    Holdout,
}

impl Reason {
    /// The reason's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exploitation => "exploitation",
            Self::Exploration => "exploration",
            Self::OnlyPath => "only_path",
            Self::Forced => "forced",
            Self::Holdout => "holdout",
        }
    }
}

/// A path that was chosen, and what to fall back on.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Names the decision.
    pub trace: TraceId,
    /// The goal.
    pub goal: Goal,
    pub(crate) goal_id: GoalId,
    /// The class of the request, within which paths are compared.
    pub bucket: Bucket,
    /// The path.
    pub path_id: PathId,
    /// What to call.
    pub path: Arc<PathSpec>,
    /// The exact probability of this choice.
    pub propensity: f64,
    /// Whether the holdout chose it: the baseline, whatever was learned.
    pub held_out: bool,
    /// Why.
    pub reason: Reason,
    /// What to call where the path fails.
    pub fallbacks: Fallbacks,
    /// Paths that are not to be called just now, for when everything else has failed: the soonest to be tried again first.
    pub(crate) last_resort: Vec<(PathId, Arc<PathSpec>)>,
    /// How hard it is tried.
    pub(crate) calls: CallRules,
    /// Whether answers are held against a contract.
    pub(crate) has_contract: bool,
    /// It is the one request that tries whether these are back.
    pub(crate) probes: Vec<Probe>,
}

impl Engine {
    /// Chooses a path and logs the choice. Never blocks.
    ///
    /// The log's queue is bounded: should it overflow, the decision still stands, and the missing row is counted in
    /// [`crate::Health::dropped`].
    ///
    /// # Errors
    /// [`DecideError`] when there is no such goal, or no path that may be chosen.
    pub fn decide(&self, request: &DecideRequest) -> Result<Decision, DecideError> {
        self.decide_classed(request, || None)
    }

    /// As [`Engine::decide`]; `class` is asked for the bucket where the caller names none and the goal wants classes.
    pub(crate) fn decide_classed(
        &self,
        request: &DecideRequest,
        class: impl FnOnce() -> Option<Bucket>,
    ) -> Result<Decision, DecideError> {
        let goals = self.learned().goals_now();
        let goal = goals
            .named(request.goal.as_str())
            .filter(|goal| goal.record.active)
            .ok_or_else(|| DecideError::UnknownGoal(request.goal.clone()))?;
        let class = || if goal.settings.buckets == Buckets::Auto { class() } else { None };
        let bucket = request.bucket.clone().or_else(class).unwrap_or_default();
        let key = TableKey { pipeline: request.pipeline.clone(), bucket };
        let tables = goal.tables_now();
        let table = tables.get(&key).map_or_else(|| goal.unknown(), Arc::clone);
        self.choose(request, goal, key, &table)
    }

    fn choose(
        &self,
        request: &DecideRequest,
        goal: &GoalState,
        key: TableKey,
        table: &Table,
    ) -> Result<Decision, DecideError> {
        let entries = table.policy.entries();
        let none = |none: NoneEligible| no_path(goal, table, &none);
        let ruled_out = |at: usize| {
            let is = request.candidates.as_ref().is_none_or(|all| all.contains(&entries[at].path));
            (!is).then_some(NotEligible::NotACandidate)
        };
        let draw = || uniform(self.seed(), self.next_draw());
        let now = self.clock().now();
        let (mut last_resort, mut probes) = (Vec::new(), Vec::new());
        let computed;
        // The caller's word counts more than what is known of the provider.
        let (drawn, shown, kind) = if let Some(model) = &request.force_model {
            let index = forced(goal, table, model)?;
            computed = table.forced(index);
            (Drawn { index, propensity: 1.0, side: None }, &computed, DecisionKind::Forced)
        } else {
            if let Some(problem) = request.asked.problem() {
                return Err(DecideError::Asked(problem));
            }
            let asks_nothing =
                request.asked.is_usual() && (0..entries.len()).all(|at| ruled_out(at).is_none());
            let down = self.outages().now();
            let mask = if down.is_empty() {
                None
            } else {
                let asked = (!asks_nothing).then_some(&request.asked);
                let limits = table.not_eligible(asked, ruled_out).map_err(none)?;
                Some(self.mask(&down, goal, table, &limits, now))
            };
            let down = |at| mask.as_ref().and_then(|(mask, _)| mask.why(at)).map(NotEligible::Unavailable);
            let (drawn, shown) = if asks_nothing && (0..entries.len()).all(|at| down(at).is_none()) {
                let (choices, shown) = table.usual().map_err(none)?;
                (choices.draw(draw()), shown)
            } else {
                let ruled_out = |at| ruled_out(at).or_else(|| down(at));
                let (choices, shown) = table.choices(&request.asked, ruled_out).map_err(none)?;
                computed = shown;
                (choices.draw(draw()), &computed)
            };
            if let Some((mask, spare)) = mask {
                let path = |at: usize| (entries[at].path, Arc::clone(table.spec(at)));
                last_resort = spare.into_iter().map(path).collect();
                probes = mask.chose(entries[drawn.index].path, &table.spec(drawn.index).model);
            }
            (drawn, shown, DecisionKind::Routed)
        };
        let path_id = entries[drawn.index].path;
        let decision = Decision {
            trace: self.new_trace(),
            goal: goal.record.name.clone(),
            goal_id: goal.record.id,
            bucket: key.bucket.clone(),
            path_id,
            path: Arc::clone(table.spec(drawn.index)),
            propensity: drawn.propensity,
            held_out: drawn.held_out(),
            reason: match kind {
                DecisionKind::Forced => Reason::Forced,
                _ if drawn.held_out() => Reason::Holdout,
                _ if shown.is_only() => Reason::OnlyPath,
                _ if shown.leads(drawn.propensity) => Reason::Exploitation,
                _ => Reason::Exploration,
            },
            fallbacks: shown.fallbacks(path_id),
            last_resort,
            calls: goal.settings.calls,
            has_contract: goal.settings.contract.is_some(),
            probes,
        };
        self.log(Fact::Decision(Box::new(DecisionFact {
            trace: decision.trace,
            goal: goal.record.id,
            pipeline: key.pipeline,
            bucket: key.bucket,
            epoch: goal.epoch(now),
            kind,
            path: path_id,
            propensity: drawn.propensity,
            table_version: table.policy.version,
            considered: Arc::clone(&shown.considered),
            model: None,
            session: request.session,
            user: request.user,
            marks: goal.marks(drawn.side),
            at: now,
        })));
        Ok(decision)
    }

    /// What is not to be called just now, of the paths that may be otherwise, and which of them are left for the end, the
    /// soonest to be tried again first. `not_eligible` says what may not be chosen whoever is down: limits hold for a last
    /// resort too.
    ///
    /// A request is better tried than failed: the mask leaves one path, where limits do.
    fn mask<'a>(
        &'a self,
        down: &'a Blocked,
        goal: &'a GoalState,
        table: &'a Table,
        not_eligible: &[Option<NotEligible>],
        now: Timestamp,
    ) -> (Mask<'a>, Vec<usize>) {
        let entries = table.policy.entries();
        let paths = entries.iter().enumerate().map(|(at, entry)| (entry.path, table.spec(at).model.as_str()));
        // A soft limit gives way where nothing else is left, and who is down may leave nothing else.
        let may = |at: usize| not_eligible[at].is_none_or(|reason| reason.is_soft());
        let mut mask = self.outages().mask(down, &goal.record.name, paths, may, now);
        let mut spare = mask.last_resort();
        spare.retain(|&at| not_eligible[at].is_none());
        if (0..entries.len()).all(|at| !may(at) || mask.why(at).is_some()) && !spare.is_empty() {
            mask.insist(spare.remove(0));
        }
        (mask, spare)
    }
}

/// The index of the goal's path with this model.
fn forced(goal: &GoalState, table: &Table, model: &str) -> Result<usize, DecideError> {
    (0..table.policy.entries().len())
        .find(|&at| table.spec(at).model == model)
        .ok_or_else(|| DecideError::UnknownModel(goal.record.name.clone()))
}

/// Says of each path why it may not be chosen.
fn no_path(goal: &GoalState, table: &Table, none: &NoneEligible) -> DecideError {
    let mut why = String::new();
    for (at, reason) in none.reasons.iter().enumerate() {
        why += &format!("; {}: {reason}", table.spec(at).label());
    }
    DecideError::NoEligiblePath(goal.record.name.clone(), why)
}
