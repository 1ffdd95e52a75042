//! What an operator does to a goal as a whole: freeze, thaw, reset, resume.

use kalibr_core::ids::Goal;
use kalibr_store::{GoalChange, GoalChanged};

use crate::engine::{Engine, GOAL_PATIENCE, patiently};
use crate::error::GoalError;

impl Engine {
    /// Freezes a goal: it routes by what is known now and learns nothing, in all processes and after a restart, until
    /// it is thawed. Decisions go on being recorded, and never count. Signals for decisions from before are taken in, and
    /// count when the goal is thawed. Does nothing to a goal that is frozen.
    ///
    /// Waits until everything that was queued so far is in, so that it is frozen with it, and until the goal is frozen.
    ///
    /// # Errors
    /// [`GoalError::Unknown`], [`GoalError::Store`] when the ledger failed, [`GoalError::Slow`] when the tables did not
    /// follow in time.
    pub fn freeze_goal(&self, name: &Goal) -> Result<(), GoalError> {
        self.flush(GOAL_PATIENCE);
        let goal = self.learned().goal(name.as_str()).ok_or_else(|| GoalError::Unknown(name.clone()))?;
        if goal.is_frozen() {
            return Ok(());
        }
        // Numbers and names: nothing in it can fail to be written.
        let known = serde_json::to_string(&goal.freeze()).unwrap_or_default();
        self.change_goal(name, &GoalChange::Freeze(known)).map(drop)
    }

    /// Thaws a goal: it learns again. Does nothing to a goal that is not frozen.
    ///
    /// # Errors
    /// As [`Engine::freeze_goal`].
    pub fn thaw_goal(&self, name: &Goal) -> Result<(), GoalError> {
        self.change_goal(name, &GoalChange::Thaw).map(drop)
    }

    /// Resets a goal: it learns from scratch, from decisions made from now on. What happened stays in the ledger, and
    /// signals for decisions from before go on being taken in there: see [`Engine::undo_reset`].
    ///
    /// # Errors
    /// As [`Engine::freeze_goal`], and [`GoalError::Frozen`]: what a frozen goal routes by does not change.
    pub fn reset_goal(&self, name: &Goal) -> Result<(), GoalError> {
        let newest = self.newest_epoch(name)?;
        let done = self.change_goal(name, &GoalChange::Reset(newest))?;
        if done { Ok(()) } else { Err(GoalError::NoEpochs(name.clone())) }
    }

    /// Undoes the last reset of a goal: it learns from what happened before as well, as if it had not been reset.
    ///
    /// # Errors
    /// As [`Engine::reset_goal`], and [`GoalError::NotReset`].
    pub fn undo_reset(&self, name: &Goal) -> Result<(), GoalError> {
        let done = self.change_goal(name, &GoalChange::UndoReset)?;
        if done { Ok(()) } else { Err(GoalError::NotReset(name.clone())) }
    }

    /// Lets a goal that was rolled back to its baseline follow what is learned again. The comparison with the baseline
    /// begins anew. Does nothing to a goal that was not rolled back.
    ///
    /// # Errors
    /// As [`Engine::freeze_goal`].
    pub fn resume_goal(&self, name: &Goal) -> Result<(), GoalError> {
        let newest = self.newest_epoch(name)?;
        self.change_goal(name, &GoalChange::Resume(newest)).map(drop)
    }

    /// The epoch of the newest decision, which may not be in the ledger yet.
    fn newest_epoch(&self, name: &Goal) -> Result<kalibr_core::counters::Epoch, GoalError> {
        let goal = self.learned().goal(name.as_str()).ok_or_else(|| GoalError::Unknown(name.clone()))?;
        Ok(goal.epochs.current())
    }

    /// Returns whether there was anything to do.
    fn change_goal(&self, name: &Goal, change: &GoalChange) -> Result<bool, GoalError> {
        let now = self.clock().now();
        match patiently(|| self.ledger().change_goal(name, change, now))? {
            GoalChanged::Done(seq) => self.goal_visible(seq).map(|()| true),
            GoalChanged::Already => Ok(false),
            GoalChanged::Frozen => Err(GoalError::Frozen(name.clone())),
            GoalChanged::Unknown => Err(GoalError::Unknown(name.clone())),
        }
    }
}
