//! `kalibr freeze`, `thaw`, `reset` and `resume`: what an operator does to a goal as a whole. Running servers follow.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use kalibr_engine::core::ids::Goal;
use kalibr_engine::{Engine, GoalError};

/// What is done, and what to say afterwards.
pub(crate) type Change = (fn(&Engine, &Goal) -> Result<(), GoalError>, &'static str);

pub(crate) const FREEZE: Change = (
    Engine::freeze_goal,
    "is frozen: it routes by what is known now and learns nothing, until `kalibr thaw`",
);
pub(crate) const THAW: Change = (Engine::thaw_goal, "learns");
pub(crate) const RESET: Change = (
    Engine::reset_goal,
    "learns from scratch; what happened stays in the ledger, and `kalibr reset --undo` learns from it again",
);
pub(crate) const UNDO_RESET: Change =
    (Engine::undo_reset, "learns from what happened before the reset again");
pub(crate) const RESUME: Change = (Engine::resume_goal, "follows what is learned");

/// Nothing else is queued: closing is quick.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn change(engine: Option<&Engine>, goal: &Goal, (work, said): Change) -> anyhow::Result<ExitCode> {
    let Some(engine) = engine else {
        anyhow::bail!("there is no ledger in the data folder: check that KALIBR_HOME names the right one");
    };
    let done = work(engine, goal);
    engine.close(PATIENCE);
    done?;
    writeln!(std::io::stdout(), "goal {goal} {said}")?;
    Ok(ExitCode::SUCCESS)
}
