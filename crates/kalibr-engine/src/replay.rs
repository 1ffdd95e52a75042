//! Replay: what another policy would have earned, from a goal's log or from one in a file.
//!
//! The estimates and what they mean: [`kalibr_core::replay`]. Here are the ways in and out.

use std::collections::BTreeMap;
use std::io::BufRead;

use kalibr_core::ids::{Goal, Timestamp};
use kalibr_core::objective::Price;
use kalibr_core::replay::{
    Head, LEAST, LineReader, Log, Logged, NamedPath, PathName, Policy, Routing, Worth,
};
use kalibr_store::{DecisionKind, LoggedDecision};
use serde::Serialize;

use crate::engine::Engine;
use crate::error::ReplayError;
use crate::goal::{GoalSettings, GoalState};

/// What of a log is replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayOptions {
    /// Evaluate decisions from this moment on; earlier ones only teach. `None`: all.
    pub since: Option<Timestamp>,
    /// The most decisions that are read, the latest; each takes about a kilobyte of memory. Default 100,000.
    pub most: usize,
    /// What models cost, for policies that weigh cost; of others the configured price counts, or else the list price.
    pub prices: BTreeMap<String, Price>,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self { since: None, most: 100_000, prices: BTreeMap::new() }
    }
}

/// What another policy would have earned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayReport {
    /// The goal; `null` where a file does not tell.
    pub goal: Option<Goal>,
    /// The policy, as it is spelled.
    pub policy: String,
    /// Decisions in which it could have been followed.
    pub decisions: u64,
    /// Those of them that somebody graded. The values below are success among these.
    pub graded: u64,
    /// What was earned in them, in 0..=1; `null` where none was graded.
    pub done: Option<f64>,
    /// As how many graded decisions made by the policy itself they count.
    pub effective: f64,
    /// What the policy would have earned; `null` where that is refused.
    pub worth: Option<Worth>,
    /// Why it is refused.
    pub refused: Option<Refused>,
    /// Drawn decisions that could not have been the policy's: its path could not be chosen.
    pub unsupported: u64,
    /// Decisions that were forced or only observed, which replay leaves out.
    pub not_drawn: u64,
    /// Drawn decisions whose first attempt brought no answer that could be graded.
    pub unanswered: u64,
    /// Decisions whose numbers cannot be right, left out.
    pub malformed: u64,
    /// Decisions that the log told more than once, counted once.
    pub duplicates: u64,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Why no value is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refused {
    /// A sentence.
    pub message: String,
    /// Effective decisions that are needed.
    pub needed: f64,
    /// About how many more decisions like those of the log it takes; `null` where nobody would wait for them.
    pub more: Option<u64>,
}

impl Engine {
    /// What `policy` would have earned, from the log of a goal. Reads the ledger, so not for a request's path.
    ///
    /// ```
    /// # use kalibr_engine::{Config, DecideRequest, Engine, EngineConfig, GoalSettings, Home, PathUpdate};
    /// # use kalibr_engine::core::{ids::Goal, path::PathSpec};
    /// # use kalibr_engine::ReplayOptions;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = std::env::temp_dir().join(format!("kalibr-replay-{}", std::process::id()));
    /// # let config = EngineConfig::new(Home::at(&folder), &Config::default(), &|_| None)?;
    /// # let engine = Engine::open(config)?;
    /// # let goal = Goal::new("research_summary")?;
    /// # let paths = [PathSpec::model("gpt-4o")?, PathSpec::model("haiku")?];
    /// # engine.put_goal(&goal, &GoalSettings::default(), &paths, PathUpdate::Replace)?;
    /// let report = engine.replay(&goal, &"always:haiku".parse()?, &ReplayOptions::default())?;
    /// assert!(report.refused.unwrap().message.starts_with("not enough"));
    /// # engine.close(std::time::Duration::from_secs(1));
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ReplayError`] when there is no such goal or path, or the ledger cannot be read.
    pub fn replay(
        &self,
        goal: &Goal,
        policy: &Policy,
        options: &ReplayOptions,
    ) -> Result<ReplayReport, ReplayError> {
        let state = self.goal_state(goal)?;
        let mut decisions = Vec::new();
        self.ledger().log(state.record.id, None, options.most, &mut |decision| {
            decisions.push(logged(decision, &state, &options.prices));
        })?;
        let is_cut = decisions.len() == options.most;
        let log = Log::new(names(&state), decisions);
        let mut report = report(&log, Some(goal.clone()), policy, &routing(&state.settings), options.since)?;
        if is_cut {
            report.notes.push(format!("only the latest {} decisions were read", options.most));
        }
        Ok(report)
    }

    /// Writes the log of a goal as JSON lines ([`kalibr_core::replay`]), one by one with their ends of line: a head, then
    /// the decisions from [`ReplayOptions::since`] on. [`replay_lines`] reads them.
    ///
    /// # Errors
    /// [`ReplayError`] when there is no such goal, the ledger cannot be read, or `write` fails.
    pub fn export_log(
        &self,
        goal: &Goal,
        options: &ReplayOptions,
        write: &mut dyn FnMut(&str) -> std::io::Result<()>,
    ) -> Result<(), ReplayError> {
        let state = self.goal_state(goal)?;
        let named = |PathName { path, model, label }| NamedPath { path, model, label };
        let head = Head {
            goal: Some(goal.clone()),
            half_life: Some(state.settings.half_life),
            rules: Some(state.settings.rules()),
            paths: names(&state).into_iter().map(named).collect(),
        };
        let mut written = write(&head.line());
        self.ledger().log(state.record.id, options.since, options.most, &mut |decision| {
            if written.is_ok() {
                written = write(&logged(decision, &state, &options.prices).line());
            }
        })?;
        Ok(written?)
    }

    fn goal_state(&self, goal: &Goal) -> Result<std::sync::Arc<GoalState>, ReplayError> {
        self.learned().goal(goal.as_str()).ok_or_else(|| ReplayError::UnknownGoal(goal.clone()))
    }
}

/// What `policy` would have earned, from a log of JSON lines.
///
/// ```
/// use kalibr_engine::{ReplayOptions, replay_lines};
///
/// let line = r#"{"path": "a", "considered": [{"path": "a", "propensity": 1}], "reward": 0.5}"#;
/// let log = format!("{line}\n").repeat(50);
/// let report = replay_lines(log.as_bytes(), &"always:a".parse()?, &ReplayOptions::default())?;
/// assert_eq!((report.decisions, report.done), (50, Some(0.5)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ReplayError`] when a line cannot be read, or the log has no such path.
pub fn replay_lines(
    lines: impl BufRead,
    policy: &Policy,
    options: &ReplayOptions,
) -> Result<ReplayReport, ReplayError> {
    let mut reader = LineReader::default();
    for line in lines.lines() {
        reader.take(&line?)?;
    }
    let (head, log) = reader.finish();
    let default = GoalSettings::default();
    let settings = GoalSettings { half_life: head.half_life.unwrap_or(default.half_life), ..default };
    let rules = head.rules.unwrap_or_default();
    if let Some(problem) = settings.problem(&[]).or_else(|| rules.problem().map(str::to_owned)) {
        return Err(ReplayError::Head(problem));
    }
    report(&log, head.goal, policy, &Routing { rules, ..routing(&settings) }, options.since)
}

/// How a goal of these settings learns and chooses.
fn routing(settings: &GoalSettings) -> Routing {
    Routing { config: settings.learner(), rules: settings.rules() }
}

fn names(goal: &GoalState) -> Vec<PathName> {
    goal.record
        .paths
        .iter()
        .map(|path| PathName { path: path.id, model: path.spec.model.clone(), label: path.spec.label() })
        .collect()
}

fn logged(decision: LoggedDecision, goal: &GoalState, prices: &BTreeMap<String, Price>) -> Logged {
    let price = goal.path(decision.path).map(|path| &path.spec.model);
    let price = price.and_then(|model| prices.get(model).copied().or_else(|| goal.prices().of(model)));
    let first = decision.attempts.first().filter(|attempt| attempt.index == 0);
    let tokens = first.and_then(|attempt| attempt.prompt_tokens.zip(attempt.completion_tokens));
    let dollars = price
        .zip(tokens)
        .map(|(price, (sent, back))| price.nano_dollars(sent.into(), back.into()) as f64 / 1e9);
    Logged {
        trace: decision.trace,
        at: decision.at,
        pipeline: decision.pipeline,
        bucket: decision.bucket,
        epoch: Some(decision.epoch),
        drawn: decision.kind == DecisionKind::Routed,
        path: decision.path,
        considered: decision.considered.iter().map(|c| (c.path, c.propensity)).collect(),
        // A fallback is no first attempt, though nothing be known of that.
        attempts: if first.is_some() { decision.shares } else { Vec::new() },
        dollars,
    }
}

fn report(
    log: &Log,
    goal: Option<Goal>,
    policy: &Policy,
    routing: &Routing,
    since: Option<Timestamp>,
) -> Result<ReplayReport, ReplayError> {
    let found = log.replay(policy, routing, since)?;
    let mut notes = Vec::new();
    if matches!(policy, Policy::Delta(_)) && !log.knows_costs() {
        notes.push(
            "what paths cost is not known, so delta changes nothing: give the prices of models".to_owned(),
        );
    }
    if let Ok(Worth { dr, moved: true, .. }) = found.worth {
        notes.push(format!(
            "evaluated over all times alike it is {dr:.3}: paths have changed, and the log explored more at some times than \
             at others; look at a shorter time"
        ));
    }
    if found.worth.is_ok() && found.effective < 2.0 * LEAST {
        notes.push(
            "the log hardly supports this policy: a path that looked good by luck is tried for longer, so values this close \
             to a refusal lean upwards"
                .to_owned(),
        );
    }
    let refused =
        found.worth.err().map(|few| Refused { message: few.to_string(), needed: LEAST, more: few.more });
    Ok(ReplayReport {
        goal,
        policy: policy.to_string(),
        decisions: found.decisions,
        graded: found.graded,
        done: found.done,
        effective: found.effective,
        worth: found.worth.ok(),
        refused,
        unsupported: found.unsupported,
        not_drawn: log.not_drawn(since),
        unanswered: log.unanswered(since),
        malformed: found.malformed,
        duplicates: log.duplicates(),
        notes,
    })
}
