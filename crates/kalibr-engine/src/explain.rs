//! What was known, what was chosen, what came of it, and what that changed.

use kalibr_core::confidence::Interval;
use kalibr_core::counters::{Cell, Count, Counters};
use kalibr_core::evidence::Source;
use kalibr_core::ids::{Bucket, Goal, PathId, Pipeline, SignalId, TraceId};
use kalibr_core::outcome::{FailureCategory, Reply};
use kalibr_core::safety::Side;
use kalibr_core::trace::{Attempt, Trace};
use kalibr_evals::Reason;
use kalibr_store::{AttemptFact, DecisionKind, DecisionRecord, Scope, StoreError, TextKind, TextRecord};
use serde::Serialize;

use crate::checks::failed;
use crate::clock::rfc3339;
use crate::confidence::{ChangeInfo, Conclusion, conclude};
use crate::engine::Engine;
use crate::goal::{GoalState, TableKey};

/// A decision with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Names the decision.
    pub trace_id: TraceId,
    /// Its goal.
    pub goal: Goal,
    /// The pipeline that it learns in.
    pub pipeline: Option<Pipeline>,
    /// The class of the request.
    pub bucket: Bucket,
    /// The stretch of the goal's decisions that it counts in.
    pub epoch: u32,
    /// How it came to be: `routed`, `forced` or `observed`.
    pub kind: DecisionKind,
    /// When, as RFC 3339 in UTC.
    pub decided_at: String,
    /// The path chosen.
    pub chosen: PathName,
    /// The exact probability of this choice, in 0..=1.
    pub propensity: f64,
    /// The version of the policy table that it was drawn from.
    pub table_version: u64,
    /// Why it counts nothing, if so.
    pub not_counted: Option<NotCounted>,
    /// On which side of the comparison with the baseline it was made: `router` or `held_out`; `null` where none was made.
    pub side: Option<Side>,
    /// Whether its goal was rolled back to the baseline when it was made.
    pub rolled_back: bool,
    /// Whether it belongs to a session. Which one is not kept.
    pub has_session: bool,
    /// What was known of each path when the decision was made.
    pub considered: Vec<ConsideredPath>,
    /// The calls made.
    pub attempts: Vec<AttemptView>,
    /// What each signal says, as it came.
    pub evidence: Vec<EvidenceView>,
    /// What the decision changed: each called path's expected success now, without this decision and with it. Empty where
    /// it counts nothing, and while its goal is frozen.
    pub effect: Vec<Effect>,
    /// What may be concluded of the goal's paths now, in this pipeline and bucket; `null` when the goal is gone.
    pub verdict: Option<Conclusion>,
    /// When answers became better or worse in this pipeline and bucket, oldest first; empty when the goal is gone.
    pub changes: Vec<ChangeInfo>,
    /// What was asked, answered and said, as far as it is kept; left out where the operator does not keep texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<TextView>,
}

/// A text. It shows itself to no log.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct TextView {
    /// What it is: `prompt`, `answer`, `user_message`, `reason` or `edit`.
    pub kind: TextKind,
    /// What it says.
    pub text: String,
    /// When it came in, as RFC 3339 in UTC.
    pub received_at: String,
}

/// Why a decision counts nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotCounted {
    /// It was made while its goal was frozen.
    Frozen,
    /// Its user had made as many as count before it, within the goal's [`user_cap`](crate::GoalSettings::user_cap).
    UserCap,
    /// It was made before its goal was reset.
    BeforeReset,
}

impl NotCounted {
    fn of(record: &DecisionRecord, goal: Option<&GoalState>) -> Option<Self> {
        let learns_from = goal.map(|goal| goal.record.learns_from()).unwrap_or_default();
        if record.decision.marks.frozen {
            Some(Self::Frozen)
        } else if record.beyond_cap {
            Some(Self::UserCap)
        } else {
            (record.decision.epoch < learns_from).then_some(Self::BeforeReset)
        }
    }
}

impl std::fmt::Debug for TextView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextView").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A path, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PathName {
    /// Its identity.
    pub path_id: PathId,
    /// Its model; empty when the goal no longer knows the path.
    pub model: String,
    /// Its model, and what sets it apart, in short.
    pub label: String,
}

/// A path that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConsideredPath {
    /// Which path.
    #[serde(flatten)]
    pub path: PathName,
    /// The probability with which it could have been chosen, in 0..=1.
    pub propensity: f64,
    /// Its expected success then, in 0..=1.
    pub expected: f64,
    /// Graded attempts behind that.
    pub graded: i64,
    /// Why it was not eligible, if so.
    pub not_eligible: Option<String>,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptView {
    /// 0 for the path that was drawn.
    pub index: u16,
    /// Which path was called.
    #[serde(flatten)]
    pub path: PathName,
    /// Whether the provider answered; `null` while that is not known, and where the request was refused or did not fit
    /// (then there is a failure category), which says nothing of the path.
    pub answered: Option<bool>,
    /// Whether the user saw this answer.
    pub served: bool,
    /// Why it failed.
    pub failure_category: Option<FailureCategory>,
    /// The provider's HTTP status.
    pub status: Option<u16>,
    /// Tokens read.
    pub prompt_tokens: Option<u32>,
    /// Tokens written.
    pub completion_tokens: Option<u32>,
    /// What the tokens cost at the price that is known now, in dollars; `null` without tokens or a price.
    pub cost_usd: Option<f64>,
    /// Milliseconds to the end of the answer.
    pub latency_ms: Option<u32>,
    /// Why its answer breaks the goal's contract; empty where it keeps it, `null` where it was not held against one.
    pub failed_checks: Option<Vec<Reason>>,
    /// The source that decides what the attempt counts for; `null` while nobody graded it.
    pub graded_by: Option<Source>,
    /// How well the answer served by that source, in 0..=1.
    pub strength: Option<f64>,
}

/// A signal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvidenceView {
    /// Names it.
    pub signal_id: SignalId,
    /// Where it came from.
    pub source: Source,
    /// What it says.
    pub value: &'static str,
    /// How well the answer served by it, in 0..=1.
    pub strength: f64,
    /// How sure its sender was, in 0..=1.
    pub confidence: f64,
    /// When it happened, as RFC 3339 in UTC.
    pub event_time: String,
    /// When it came in, as RFC 3339 in UTC.
    pub received_at: String,
    /// `trace`, or `session` where it came for a session and was joined to this run.
    pub addressed_by: &'static str,
    /// Whether it was withdrawn, and counts nothing.
    pub withdrawn: bool,
}

/// What a decision changed of one path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// Which path.
    #[serde(flatten)]
    pub path: PathName,
    /// Its expected success without this decision, in 0..=1.
    pub expected_without: f64,
    /// Its expected success with it, as it is now.
    pub expected_with: f64,
    /// Its share of traffic without this decision, in 0..=1.
    pub share_without: f64,
    /// Its share of traffic with it, as it is now.
    pub share_with: f64,
    /// The probability that it is the best, as it is now, in 0..=1.
    pub p_best: f64,
    /// How much worse than the best it is expected to be, as it is now, in 0..=1.
    pub expected_loss: f64,
    /// Where its success is now, by the posterior.
    pub credible: Interval,
    /// Where the success of its graded answers is, guaranteed at all times together.
    pub guaranteed: Interval,
}

impl Engine {
    /// Everything known of a decision: by its trace id, by an id that its session was anchored with, or (its latest
    /// run) by its session. `None` when there is none.
    ///
    /// Blocks on the ledger.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot be read.
    pub fn explain(&self, id: &str) -> Result<Option<Explanation>, StoreError> {
        // Other clients write their ids as dashed UUIDs.
        let plain: String = id.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        let direct = match plain.parse() {
            Ok(trace) => self.ledger().decision(trace)?,
            Err(_) => None,
        };
        let found = if direct.is_some() {
            direct
        } else {
            let session = kalibr_core::ids::SessionId::new(id).ok().map(|s| self.session_hash(&s));
            let alias = self.alias_hash(id);
            let anchored = self.ledger().anchored(alias, session.unwrap_or(alias))?;
            anchored.map(|trace| self.ledger().decision(trace)).transpose()?.flatten()
        };
        Ok(found.map(|record| self.view(&record)))
    }

    fn view(&self, record: &DecisionRecord) -> Explanation {
        let decision = &record.decision;
        let goal = self.learned().goal_by_id(decision.goal);
        let name = |id: PathId| {
            let spec = goal.as_ref().and_then(|goal| goal.path(id)).map(|path| &path.spec);
            // A run that someone observed may have called what is on no path.
            let observed = decision.model.as_ref().filter(|_| id == decision.path);
            PathName {
                path_id: id,
                model: spec.map(|spec| &spec.model).or(observed).cloned().unwrap_or_default(),
                label: spec.map(|spec| spec.label()).or(observed.cloned()).unwrap_or_else(|| id.to_string()),
            }
        };
        let trace = Trace {
            attempts: record
                .attempts
                .iter()
                .map(|a| Attempt { index: a.index, path: a.path, reply: a.reply })
                .collect(),
            signals: record.signals.iter().filter(|s| !s.withdrawn).map(|s| s.signal.clone()).collect(),
            side: decision.marks.side,
        };
        let not_counted = NotCounted::of(record, goal.as_deref());
        let moved = |goal: &GoalState| not_counted.is_none() && !goal.is_frozen();
        let served = trace.served();
        let attempts = record
            .attempts
            .iter()
            .zip(&trace.attempts)
            .map(|(fact, attempt)| {
                let winner = trace.register(attempt).winner();
                AttemptView {
                    index: fact.index,
                    path: name(fact.path),
                    answered: match fact.reply {
                        Reply::Answered => Some(true),
                        Reply::Failed => Some(false),
                        Reply::Unknown | Reply::Refused => None,
                    },
                    served: served == Some(fact.index),
                    failure_category: fact.category,
                    status: fact.status,
                    prompt_tokens: fact.prompt_tokens,
                    completion_tokens: fact.completion_tokens,
                    cost_usd: goal.as_ref().and_then(|goal| self.cost(goal, fact)),
                    latency_ms: fact.latency_ms,
                    failed_checks: failed(fact.index, &record.failed_checks),
                    graded_by: winner.map(|(source, _)| source),
                    strength: winner.map(|(_, strength)| strength.get()),
                }
            })
            .collect();
        let effect = goal.as_ref().map(|goal| self.effect(goal, record, &trace, moved(goal), &name));
        let (effect, verdict) = effect.unzip();
        let active = goal.as_ref().filter(|goal| goal.record.active);
        let changes = active.map(|goal| {
            let (pipeline, bucket) = (decision.pipeline.clone(), decision.bucket.clone());
            ChangeInfo::all(goal, self.learned().moved(&Scope { goal: decision.goal, pipeline, bucket }))
        });
        Explanation {
            trace_id: decision.trace,
            goal: record.goal.clone(),
            pipeline: decision.pipeline.clone(),
            bucket: decision.bucket.clone(),
            epoch: decision.epoch.0,
            kind: decision.kind,
            decided_at: rfc3339(decision.at),
            chosen: name(decision.path),
            propensity: decision.propensity,
            table_version: decision.table_version,
            not_counted,
            side: decision.marks.side,
            rolled_back: decision.marks.rolled_back,
            has_session: decision.session.is_some(),
            considered: decision
                .considered
                .iter()
                .map(|c| ConsideredPath {
                    path: name(c.path),
                    propensity: c.propensity,
                    expected: c.expected,
                    graded: c.graded,
                    not_eligible: c.not_eligible.clone(),
                })
                .collect(),
            attempts,
            evidence: evidence(record),
            effect: effect.unwrap_or_default(),
            verdict: verdict.filter(|_| active.is_some()),
            changes: changes.unwrap_or_default(),
            texts: if self.keeps_text() { texts(record) } else { Vec::new() },
        }
    }

    fn cost(&self, goal: &GoalState, call: &AttemptFact) -> Option<f64> {
        let price = self.prices().of(&goal.path(call.path)?.spec.model)?;
        let (input, output) = call.prompt_tokens.zip(call.completion_tokens)?;
        Some(price.nano_dollars(input.into(), output.into()) as f64 / 1e9)
    }

    /// The integers are exact, so "without this decision" is a subtraction. Nothing is told of one that has not `moved`
    /// anything.
    fn effect(
        &self,
        goal: &GoalState,
        record: &DecisionRecord,
        trace: &Trace,
        moved: bool,
        name: &dyn Fn(PathId) -> PathName,
    ) -> (Vec<Effect>, Conclusion) {
        let decision = &record.decision;
        // As the ledger had them when it was asked for the decision: those in memory may be a moment older, and a
        // decision that they do not hold yet cannot be taken away from them.
        let mut with = Counters::default();
        for (cell, count) in
            record.counters.iter().filter(|(cell, _)| cell.epoch >= goal.record.learns_from())
        {
            with.add(*cell, *count);
        }
        let mut without = with.clone();
        for share in trace.shares().iter().filter(|_| moved) {
            let cell = Cell { epoch: decision.epoch, path: share.path, pattern: share.pattern };
            without.add(cell, -Count::one(share.score));
        }
        let paths: Vec<PathId> = goal.paths().map(|path| path.id).collect();
        let (pipeline, bucket) = (decision.pipeline.clone(), decision.bucket.clone());
        let outlook = goal.table(&TableKey { pipeline: pipeline.clone(), bucket: bucket.clone() }).outlook();
        let scope = Scope { goal: decision.goal, pipeline, bucket };
        let believed = |counters| self.learned().believed(goal, &scope, counters);
        let table = |counters| goal.of(believed(counters), counters, &outlook, 0).policy;
        let counters = with;
        let (with, without) = (table(&counters), table(&without));
        let (shares_with, shares_without) = (with.shares(), without.shares());
        let (sure, verdict) = conclude(goal, &with, &shares_with, &counters);
        let mut called: Vec<PathId> =
            trace.attempts.iter().filter(|_| moved).map(|attempt| attempt.path).collect();
        called.sort_unstable();
        called.dedup();
        let at = |path: &PathId| paths.iter().position(|other| other == path);
        let effects = called
            .iter()
            .filter_map(|path| at(path).map(|at| (path, at)))
            .map(|(path, at)| Effect {
                path: name(*path),
                expected_without: without.entries()[at].posterior.success.mean(),
                expected_with: with.entries()[at].posterior.success.mean(),
                share_without: shares_without[at],
                share_with: shares_with[at],
                p_best: sure[at].p_best,
                expected_loss: sure[at].expected_loss,
                credible: sure[at].credible,
                guaranteed: sure[at].guaranteed,
            })
            .collect();
        (effects, verdict)
    }
}

fn texts(record: &DecisionRecord) -> Vec<TextView> {
    let view = |text: &TextRecord| TextView {
        kind: text.kind,
        text: text.text.clone(),
        received_at: rfc3339(text.at),
    };
    record.texts.iter().map(view).collect()
}

fn evidence(record: &DecisionRecord) -> Vec<EvidenceView> {
    record
        .signals
        .iter()
        .map(|s| EvidenceView {
            signal_id: s.signal.id.clone(),
            source: s.signal.source,
            value: s.signal.value.name(),
            strength: s.signal.strength.get(),
            confidence: s.signal.confidence.get(),
            event_time: rfc3339(s.signal.at),
            received_at: rfc3339(s.received_at),
            addressed_by: if s.by_session { "session" } else { "trace" },
            withdrawn: s.withdrawn,
        })
        .collect()
}
