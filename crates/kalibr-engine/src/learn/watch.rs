//! Comparing routers with their baselines, as the counters move.
//!
//! The decisions that were held out and those that the router made are two sums of integers for each goal. They follow
//! every change of a counter, so a signal that is revised or withdrawn moves them exactly, and looking at them costs
//! nothing until the baseline is ahead. Whether that is enough is asked of [`kalibr_core::safety::rollback`].

use std::collections::{BTreeSet, HashMap};

use kalibr_core::anytime::exceeds;
use kalibr_core::counters::{Cell, Count, Counters, Epoch};
use kalibr_core::ids::Timestamp;
use kalibr_core::safety::{Sides, Verdict};
use kalibr_store::{GoalChange, GoalChanged, GoalId, GoalRecord, Ledger, StoreError};

use crate::goal::GoalState;
use crate::goal_map::GoalMap;

#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Of the goals that hold decisions out.
    sides: HashMap<GoalId, Sides>,
    /// Those of which something was heard since they were last looked at.
    moved: BTreeSet<GoalId>,
}

impl Watch {
    /// Takes in what was counted of a goal that is compared since epoch `from`.
    pub(super) fn add(&mut self, goal: GoalId, from: Epoch, cell: Cell, count: Count) {
        if cell.epoch >= from && cell.pattern.side().is_some() {
            self.sides.entry(goal).or_default().add(cell.pattern, count);
            self.moved.insert(goal);
        }
    }

    /// Begins anew with a goal, from all its counters.
    pub(super) fn restart<'c>(
        &mut self,
        goal: GoalId,
        from: Epoch,
        counters: impl Iterator<Item = &'c Counters>,
    ) {
        self.sides.remove(&goal);
        counters.flat_map(Counters::iter).for_each(|(cell, count)| self.add(goal, from, cell, count));
    }

    /// Rolls back the goals whose router was shown to be worse than their baseline, of those that something was heard of;
    /// once for all processes. Returns whether any was.
    ///
    /// A goal that cannot be rolled back now, for the ledger is out of reach, is looked at again the next time.
    pub(super) fn roll_back(
        &mut self,
        goals: &GoalMap,
        ledger: &dyn Ledger,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut any = false;
        while let Some(id) = self.moved.first().copied() {
            if let Some((goal, lower)) = goals.numbered(id).and_then(|goal| Some((goal, self.verdict(goal)?)))
            {
                let GoalRecord { name, watched_from, .. } = &goal.record;
                let change = GoalChange::RollBack { lower, watched_from: *watched_from };
                if let GoalChanged::Done(_) = ledger.change_goal(name, &change, now)? {
                    any = true;
                    tracing::warn!(
                        goal = %name,
                        better_by_at_least = lower,
                        "rolled back to the baseline: the holdout shows it to serve better than the router; resume with \
                         POST /v1/goals/NAME/resume or `kalibr resume NAME`"
                    );
                }
            }
            self.moved.remove(&id);
        }
        Ok(any)
    }

    /// By how much this goal's baseline is better at least, if it was shown to be.
    fn verdict(&self, goal: &GoalState) -> Option<f64> {
        let sides = self.sides.get(&goal.record.id)?;
        let error = goal.rollback_error().filter(|error| exceeds(sides.baseline, sides.router, *error))?;
        match sides.verdict(error) {
            Verdict::RollBack { lower } => Some(lower),
            Verdict::Keep { .. } => None,
        }
    }
}
