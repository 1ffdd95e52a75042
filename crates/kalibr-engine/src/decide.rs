//! Choosing a path: a look-up in the policy table and a draw. No I/O, no lock that a writer holds, no LLM.

use std::sync::Arc;

use kalibr_core::availability::Probe;
use kalibr_core::ids::{Bucket, Goal, KeyedHash, PathId, Pipeline, TraceId};
use kalibr_core::objective::NotEligible;
use kalibr_core::path::PathSpec;
use kalibr_core::policy::{PolicyTable, pick, uniform};
use kalibr_store::{Considered, DecisionFact, DecisionKind, Fact, PathRecord};

use crate::engine::Engine;
use crate::error::DecideError;
use crate::goal::{Buckets, GoalState, TableKey};
use crate::outages::Mask;

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
    /// Take the goal's path with this model, whatever was learned.
    pub force_model: Option<String>,
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
}

impl Reason {
    /// The reason's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exploitation => "exploitation",
            Self::Exploration => "exploration",
            Self::OnlyPath => "only_path",
            Self::Forced => "forced",
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
    /// The class of the request, within which paths are compared.
    pub bucket: Bucket,
    /// The path.
    pub path_id: PathId,
    /// What to call.
    pub path: PathSpec,
    /// The exact probability of this choice.
    pub propensity: f64,
    /// Why.
    pub reason: Reason,
    /// The other eligible paths, the one that is expected to serve best first. Not by P(best): that of all but the
    /// leader is next to nothing, and greater for a path that nobody knows than for a good second.
    pub fallbacks: Vec<(PathId, PathSpec)>,
    /// Paths that are not to be called just now, for when everything else has failed: the soonest to be tried again first.
    pub(crate) last_resort: Vec<(PathId, Arc<PathSpec>)>,
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
        let goal = self
            .learned()
            .goal(request.goal.as_str())
            .ok_or_else(|| DecideError::UnknownGoal(request.goal.clone()))?;
        let class = || if goal.settings.buckets == Buckets::Auto { class() } else { None };
        let bucket = request.bucket.clone().or_else(class).unwrap_or_default();
        let key = TableKey { pipeline: request.pipeline.clone(), bucket };
        let table = goal.table(&key);
        let forced = request.force_model.as_deref().map(|model| forced(&goal, model)).transpose()?;
        let may = |id: PathId| match (&forced, &request.candidates) {
            (Some(path), _) => path.id == id,
            (None, Some(candidates)) => candidates.contains(&id),
            (None, None) => true,
        };
        let entries = table.entries();
        let now = self.clock().now();
        let down = self.outages().now();
        // The caller's word counts more than what is known of the provider.
        let mut mask = (forced.is_none() && !down.is_empty()).then(|| {
            let model = |id| goal.path(id).map_or("", |path| path.spec.model.as_str());
            let paths = entries.iter().map(|entry| (entry.path, model(entry.path)));
            self.outages().mask(&down, &goal.record.name, paths, |at| may(entries[at].path), now)
        });
        let propensities = among(&table, may, &mut mask);
        let why = |at: usize| mask.as_ref().and_then(|mask| mask.why(at));
        let index = pick(&propensities, uniform(self.seed(), self.next_draw()))
            .ok_or_else(|| DecideError::NoEligiblePath(request.goal.clone()))?;
        let chosen = &entries[index];
        let path = goal.path(chosen.path).ok_or_else(|| DecideError::NoEligiblePath(request.goal.clone()))?;
        let eligible = propensities.iter().filter(|p| **p > 0.0).count();
        let reason = if forced.is_some() {
            Reason::Forced
        } else if eligible == 1 {
            Reason::OnlyPath
        } else if propensities.iter().all(|p| *p <= propensities[index]) {
            Reason::Exploitation
        } else {
            Reason::Exploration
        };
        let mut order: Vec<usize> =
            (0..entries.len()).filter(|&i| i != index && may(entries[i].path) && why(i).is_none()).collect();
        let expected = |i: usize| entries[i].posterior.success.mean();
        order.sort_by(|&a, &b| expected(b).total_cmp(&expected(a)));
        let fallbacks = order
            .into_iter()
            .filter_map(|i| goal.path(entries[i].path))
            .map(|path| (path.id, PathSpec::clone(&path.spec)))
            .collect();

        let spare = mask.as_ref().map_or_else(Vec::new, Mask::last_resort);
        let spare = spare.into_iter().filter_map(|i| goal.path(entries[i].path));
        let last_resort = spare.map(|path| (path.id, Arc::clone(&path.spec))).collect();
        let considered = entries
            .iter()
            .zip(&propensities)
            .enumerate()
            .map(|(at, (entry, &propensity))| Considered {
                path: entry.path,
                propensity,
                expected: entry.posterior.success.mean(),
                graded: entry.posterior.graded,
                not_eligible: match why(at) {
                    Some(why) => Some(NotEligible::Unavailable(why).to_string()),
                    None => (!may(entry.path)).then(|| {
                        if forced.is_some() { "another model was forced" } else { "not among the candidates" }
                            .to_owned()
                    }),
                },
            })
            .collect();
        let decision = Decision {
            trace: new_trace(),
            goal: request.goal.clone(),
            bucket: key.bucket.clone(),
            path_id: path.id,
            path: PathSpec::clone(&path.spec),
            propensity: propensities[index],
            reason,
            fallbacks,
            last_resort,
            probes: mask.map_or_else(Vec::new, |mask| mask.chose(path.id, &path.spec.model)),
        };
        self.log(Fact::Decision(Box::new(DecisionFact {
            trace: decision.trace,
            goal: goal.record.id,
            pipeline: key.pipeline,
            bucket: key.bucket,
            epoch: goal.epochs.tick(now),
            kind: if forced.is_some() { DecisionKind::Forced } else { DecisionKind::Routed },
            path: decision.path_id,
            propensity: decision.propensity,
            table_version: table.version,
            considered,
            model: None,
            session: request.session,
            user: request.user,
            at: now,
        })));
        Ok(decision)
    }
}

fn forced<'a>(goal: &'a Arc<GoalState>, model: &str) -> Result<&'a PathRecord, DecideError> {
    goal.record
        .paths
        .iter()
        .find(|path| path.enabled && path.spec.model == model)
        .ok_or_else(|| DecideError::UnknownModel(goal.record.name.clone()))
}

/// The probability of each path that may be chosen and is not known to be down. If that leaves none, the one that is tried
/// again soonest is taken all the same.
fn among(table: &PolicyTable, may: impl Fn(PathId) -> bool, mask: &mut Option<Mask<'_>>) -> Vec<f64> {
    let position = |id: PathId| table.entries().iter().position(|entry| entry.path == id);
    let masked = |mask: &Option<Mask<'_>>| {
        let why = |at| mask.as_ref().and_then(|mask| mask.why(at));
        table.propensities(|id| may(id) && position(id).and_then(why).is_none())
    };
    let propensities = masked(mask);
    if let Some(all) = mask
        && propensities.iter().all(|p| *p == 0.0)
        && let Some(&soonest) = all.last_resort().first()
    {
        all.insist(soonest);
        return masked(mask);
    }
    propensities
}

/// A fresh trace id.
pub(crate) fn new_trace() -> TraceId {
    loop {
        let bytes: [u8; 16] = rand::random();
        if bytes != [0; 16] {
            return TraceId::from_bytes(bytes);
        }
    }
}
