//! From counters to policy tables, goal by goal.

use std::collections::BTreeSet;
use std::sync::Arc;

use kalibr_core::counters::Counters;
use kalibr_core::moved::Moved;
use kalibr_core::posterior::Posterior;
use kalibr_store::Scope;

use super::threads::side_by_side;
use super::{Family, Kept};
use crate::clock::Clock;
use crate::goal::{GoalState, TableKey};
use crate::goal_map::GoalMap;

/// Scopes of one goal, each with its goal.
type Scopes<'a> = &'a [(&'a Arc<GoalState>, &'a Scope)];

/// What a scope heard of its paths, and what changed there.
type Own = (Vec<Posterior>, Vec<Moved>);

/// Builds the tables of these scopes, on so many threads: first all say what they heard, then each learns what the
/// others know.
pub(super) fn rebuild(
    goals: &GoalMap,
    kept: &mut Kept,
    scopes: &BTreeSet<Scope>,
    (clock, seq): (&Clock, i64),
    threads: usize,
) {
    kept.learner.learn();
    let counted: Vec<(&Arc<GoalState>, &Scope)> = scopes
        .iter()
        .filter(|scope| kept.counters.contains_key(*scope))
        .filter_map(|scope| Some((goals.numbered(scope.goal)?, scope)))
        .collect();
    // A goal's tables are swapped in one after the other.
    let of_goals: Vec<_> = counted.chunk_by(|(_, a), (_, b)| a.goal == b.goal).collect();
    let mut heard = side_by_side(of_goals, threads, |scopes| {
        let own = |(goal, scope): &(&Arc<GoalState>, &Scope)| {
            let counters = &kept.counters[*scope];
            goal.epochs.saw(counters.newest(), clock.now());
            kept.learner.own_and_moved(counters, &kept.subjects(goal), &goal.settings.learner())
        };
        let own = unharmed(name(scopes), || scopes.iter().map(own).collect::<Vec<_>>());
        (scopes, own.unwrap_or_default())
    });
    for (scopes, own) in &mut heard {
        for ((goal, scope), (own, moved)) in scopes.iter().zip(own) {
            let subjects = kept.subjects(goal);
            kept.moves.put(goal, scope, std::mem::take(moved), kept.counters[*scope].newest());
            kept.learner.teach(&family(scope), &scope.bucket, &subjects, own);
        }
    }
    let kept = &*kept;
    let put = |(scopes, own): (Scopes<'_>, Vec<Own>)| {
        for ((goal, scope), (own, _)) in scopes.iter().zip(own) {
            let subjects = kept.subjects(goal);
            let config = goal.settings.learner();
            let believed = kept.learner.given(&family(scope), Some(&scope.bucket), &subjects, own, &config);
            let key = TableKey { pipeline: scope.pipeline.clone(), bucket: scope.bucket.clone() };
            let outlook = kept.outlook(goal, Some(&key));
            goal.put(key, believed, &kept.counters[*scope], &outlook, seq);
        }
        if let Some((goal, _)) = scopes.first().filter(|(goal, _)| goal.was_asked_for_unknown()) {
            put_unknown(goal, kept, seq);
        }
    };
    side_by_side(heard, threads, |goal| unharmed(name(goal.0), || put(goal)));
}

/// The goal that these are scopes of.
fn name(scopes: Scopes<'_>) -> &str {
    scopes.first().map_or("", |(goal, _)| goal.record.name.as_str())
}

/// Does its work; `None` where that breaks off. One goal's harm is not the others', and decisions go on from the tables
/// that there are.
pub(super) fn unharmed<R>(of: &str, work: impl FnOnce() -> R) -> Option<R> {
    // What the work leaves half done is put whole or not at all by its callers.
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    if done.is_err() {
        tracing::error!(
            of,
            "refreshing broke off: its tables stay as they are. This is a fault of Kalibr: please report it, with the              place that the panic names"
        );
    }
    done.ok()
}

pub(super) fn family(scope: &Scope) -> Family {
    (scope.goal, scope.pipeline.clone())
}

/// The table for buckets and pipelines of a goal in which nothing was heard yet.
pub(super) fn put_unknown(goal: &GoalState, kept: &Kept, seq: i64) {
    let subjects = kept.subjects(goal);
    let config = goal.settings.learner();
    let own = kept.learner.own(&Counters::default(), &subjects, &config);
    let believed = kept.learner.given(&(goal.record.id, None), None, &subjects, own, &config);
    goal.put_unknown(believed, &kept.outlook(goal, None), seq);
}
