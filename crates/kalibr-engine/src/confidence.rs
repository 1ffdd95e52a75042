//! What people may conclude from what was counted in one pipeline and bucket of a goal.

use kalibr_core::confidence::{PathConfidence, Seen, Verdict, confidence, matured};
use kalibr_core::counters::Counters;
use kalibr_core::ids::PathId;
use kalibr_core::moved::Moved;
use kalibr_core::objective::Objective;
use kalibr_core::policy::PolicyTable;
use serde::Serialize;

use crate::goal::GoalState;

/// A verdict, and how to say it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conclusion {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The verdict for people.
    pub sentence: String,
}

/// A change of how well answers serve, and how to say it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeInfo {
    /// The change.
    #[serde(flatten)]
    pub moved: Moved,
    /// The change for people.
    pub sentence: String,
}

impl ChangeInfo {
    /// The changes of a goal's pipeline and bucket.
    pub(crate) fn all(goal: &GoalState, moved: Vec<Moved>) -> Vec<Self> {
        let say = |moved: Moved| Self { sentence: moved.sentence(|id| goal.label(id)), moved };
        moved.into_iter().map(say).collect()
    }
}

/// How sure one may be of each path of this table, and of all together; `shares` are their shares of the next requests.
pub(crate) fn conclude(
    goal: &GoalState,
    table: &PolicyTable,
    shares: &[f64],
    counters: &Counters,
) -> (Vec<PathConfidence>, Conclusion) {
    let paths: Vec<PathId> = table.entries().iter().map(|entry| entry.path).collect();
    let seen: Vec<Seen> = table
        .entries()
        .iter()
        .zip(matured(counters, &paths))
        .zip(shares)
        .map(|((entry, matured), &share)| Seen {
            path: entry.path,
            success: entry.posterior.success,
            availability: entry.posterior.availability,
            matured,
            share,
        })
        .collect();
    let confidence = confidence(&seen, Objective::default().delta(), goal.settings.floor);
    let sentence = confidence.verdict.sentence(|id| goal.label(id));
    (confidence.paths, Conclusion { verdict: confidence.verdict, sentence })
}
