//! What calls took, in tokens and in time: what a path is expected to cost and how long it takes.
//!
//! Integers, filled from the latest decisions of the ledger when a process starts, and from its own calls while it runs;
//! other processes' calls come with the next start. They are no evidence, so it does no harm that two processes know
//! different ones. Only the two latest stretches of a path's calls are kept: prompts change, and providers get slower.

use std::collections::HashMap;

use kalibr_core::ids::PathId;
use kalibr_core::objective::{Latencies, LatencySummary, Pacer, Usage, expected_dollars};
use kalibr_store::{CallRecord, GoalId, Scope};

use crate::goal::{GoalState, TableKey};

/// Calls of a stretch: 500 know a mean token count to 5 % and a 95th percentile of latency to 3 % of the calls.
const STRETCH: i64 = 500;
/// What the calls of the stretch before the current one weigh where latency is asked for.
const BEFORE: f64 = 0.5;
/// What a request is taken to need while nothing is known of its goal: else a cap on cost would rule out every path of a
/// new goal, and no call could ever teach otherwise. A short prompt with some context, and a paragraph or two in answer.
const TYPICAL: Usage = Usage { calls: 1, input: 1_000, output: 300 };

/// What one path costs and takes, as far as known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Expected {
    pub(crate) dollars: Option<f64>,
    pub(crate) latency: LatencySummary,
}

/// What is expected of the paths of a goal in one pipeline and bucket.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Outlook {
    /// Of each path, in the order of the tables; nothing is known of those beyond the end.
    paths: Vec<Expected>,
    pub(crate) pacer: Pacer,
}

impl Outlook {
    pub(crate) const fn new(paths: Vec<Expected>, pacer: Pacer) -> Self {
        Self { paths, pacer }
    }

    /// What is expected of each path in turn, without end.
    pub(crate) fn paths(&self) -> impl Iterator<Item = Expected> {
        self.paths.iter().cloned().chain(std::iter::repeat_with(Expected::default))
    }
}

/// Calls of one path in one pipeline and bucket.
#[derive(Debug, Default)]
struct Recent {
    now: Stretch,
    before: Stretch,
}

#[derive(Debug, Default)]
struct Stretch {
    calls: i64,
    usage: Usage,
    latencies: Latencies,
}

impl Recent {
    fn add(&mut self, call: &CallRecord) {
        if self.now.calls >= STRETCH {
            self.before = std::mem::take(&mut self.now);
        }
        self.now.calls += 1;
        self.now.usage += usage(call);
        if let Some(millis) = call.latency_ms {
            self.now.latencies.add(millis.into());
        }
    }

    fn usage(&self) -> Usage {
        self.now.usage + self.before.usage
    }

    fn latency(&self) -> LatencySummary {
        LatencySummary::of([(&self.now.latencies, 1.0), (&self.before.latencies, BEFORE)])
    }
}

fn usage(call: &CallRecord) -> Usage {
    call.tokens.map_or_else(Usage::default, |(input, output)| Usage::one(input, output))
}

#[derive(Debug, Default)]
struct OfGoal {
    usage: Usage,
    paths: HashMap<PathId, Usage>,
    scopes: HashMap<TableKey, HashMap<PathId, Recent>>,
    pacer: Pacer,
}

/// All calls that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Calls(HashMap<GoalId, OfGoal>);

impl Calls {
    /// A call that the ledger remembers.
    pub(crate) fn add(&mut self, call: &CallRecord) {
        let goal = self.0.entry(call.scope.goal).or_default();
        goal.usage += usage(call);
        *goal.paths.entry(call.path).or_default() += usage(call);
        let Scope { pipeline, bucket, .. } = call.scope.clone();
        goal.scopes.entry(TableKey { pipeline, bucket }).or_default().entry(call.path).or_default().add(call);
    }

    /// A call that was just completed: its goal's budget, if there is one, pays for it.
    pub(crate) fn completed(&mut self, call: &CallRecord, goal: &GoalState) {
        self.add(call);
        let price = || goal.prices().of(&goal.path(call.path)?.spec.model);
        if let Some(budget) = goal.settings.budget()
            && let Some((input, output)) = call.tokens
            && let Some(price) = price()
            && let Some(of_goal) = self.0.get_mut(&call.scope.goal)
        {
            of_goal.pacer.observe(price.nano_dollars(input.into(), output.into()) as f64 / 1e9, budget);
        }
    }

    /// What is expected of the goal's paths, for requests like these or (without a key) for such as were never seen.
    pub(crate) fn outlook(&self, goal: &GoalState, key: Option<&TableKey>) -> Outlook {
        let of_goal = self.0.get(&goal.record.id);
        let scope = of_goal.and_then(|goal| goal.scopes.get(key?));
        let all = of_goal.map(|goal| goal.usage).filter(|usage| usage.calls > 0).unwrap_or(TYPICAL);
        let expected = |path: &kalibr_store::PathRecord| {
            let recent = scope.and_then(|scope| scope.get(&path.id));
            let here = recent.map(Recent::usage).unwrap_or_default();
            let of_path = of_goal.and_then(|goal| goal.paths.get(&path.id)).copied().unwrap_or_default();
            Expected {
                dollars: expected_dollars(goal.prices().of(&path.spec.model), here, of_path, all),
                latency: recent.map(Recent::latency).unwrap_or_default(),
            }
        };
        Outlook {
            paths: goal.paths().map(expected).collect(),
            pacer: of_goal.map(|goal| goal.pacer).unwrap_or_default(),
        }
    }
}
