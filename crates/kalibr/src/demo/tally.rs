//! What the demo counts, and its verdict.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use serde_json::json;

use super::{PATHS, PHASES, Phase, line};

/// In the last part of a phase the router has had time to learn: traffic is judged there.
const SETTLED: f64 = 0.25;
/// Most of the traffic that a degraded path may keep once the phase has settled.
const LEFT: f64 = 0.2;
/// Least of the traffic that a repaired path must have won back once the phase has settled.
const BACK: f64 = 0.5;

/// One answered request.
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) phase: usize,
    pub(crate) path: usize,
    pub(crate) good: bool,
}

#[derive(Default)]
pub(crate) struct Tally(Mutex<State>);

#[derive(Default, Clone)]
pub(crate) struct State {
    pub(crate) phase: usize,
    pub(crate) answers: Vec<Answer>,
    /// Reactions by level: explicit, turn, action.
    pub(crate) reactions: [usize; 3],
}

impl Phase {
    /// How often users like each path in this phase.
    pub(crate) fn likes(&self, path: usize) -> f64 {
        if path == 0 { self.first } else { PATHS[path].1 }
    }

    /// The best that a router could do who knew that.
    pub(crate) fn best(&self) -> f64 {
        (0..PATHS.len()).map(|path| self.likes(path)).fold(0.0, f64::max)
    }
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, phase: usize) {
        self.lock().phase = phase;
    }

    pub(crate) fn answered(&self, phase: usize, path: usize, good: bool) {
        self.lock().answers.push(Answer { phase, path, good });
    }

    pub(crate) fn reacted(&self, level: usize) {
        self.lock().reactions[level] += 1;
    }

    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    /// Prints the summary. Returns whether traffic left the degraded path and came back to the repaired one.
    pub(crate) fn report(&self, json: bool, seconds: f64) -> Result<bool> {
        let state = self.state();
        let phases: Vec<Summary> = (0..PHASES.len()).map(|phase| Summary::of(&state, phase)).collect();
        let (left, back) = verdict(&phases);
        if json {
            let phases: Vec<_> = phases.iter().map(Summary::json).collect();
            let [explicit, turn, action] = state.reactions;
            line(&serde_json::to_string_pretty(&json!({
                "ok": left && back,
                "left_degraded_path": left,
                "came_back_to_repaired_path": back,
                "seconds": seconds,
                "requests": state.answers.len(),
                "signals": { "explicit": explicit, "turn": turn, "action": action },
                "regret": state.regret(),
                "phases": phases,
            }))?)?;
            return Ok(left && back);
        }
        line(&format!(
            "\n{} requests and {} reactions in {seconds:.0} s. Share of traffic, and in brackets once settled:",
            state.answers.len(),
            state.reactions.iter().sum::<usize>(),
        ))?;
        for summary in &phases {
            line(&summary.text())?;
        }
        let first = PATHS[0].0;
        line(&format!(
            "Regret against always knowing the best path: {:.0} answers of {}.",
            state.regret(),
            state.answers.len()
        ))?;
        line(&match (left, back) {
            (true, true) => {
                format!("Traffic left {first} when it got worse, and came back when it was repaired.")
            }
            (false, _) => format!("FAILED: traffic did not leave {first} when it got worse."),
            (true, false) => format!("FAILED: traffic did not come back to {first} when it was repaired."),
        })?;
        Ok(left && back)
    }
}

/// Whether traffic left the first path when it got worse, and came back when it was repaired.
fn verdict(phases: &[Summary]) -> (bool, bool) {
    (phases[1].settled[0] <= LEFT, phases[2].settled[0] >= BACK)
}

impl State {
    /// Expected good answers that were missed, by each request having gone to the best path of its phase.
    pub(crate) fn regret(&self) -> f64 {
        self.answers.iter().map(|a| PHASES[a.phase].best() - PHASES[a.phase].likes(a.path)).sum()
    }
}

struct Summary {
    phase: &'static Phase,
    share: [f64; PATHS.len()],
    settled: [f64; PATHS.len()],
    success: f64,
}

impl Summary {
    fn of(state: &State, phase: usize) -> Self {
        let answers: Vec<&Answer> = state.answers.iter().filter(|a| a.phase == phase).collect();
        let settled = &answers[answers.len() - (answers.len() as f64 * SETTLED) as usize..];
        let good = answers.iter().filter(|a| a.good).count();
        Self {
            phase: &PHASES[phase],
            share: shares(&answers),
            settled: shares(settled),
            success: good as f64 / answers.len().max(1) as f64,
        }
    }

    fn json(&self) -> serde_json::Value {
        let named = |shares: &[f64; PATHS.len()]| -> serde_json::Value {
            PATHS.iter().zip(shares).map(|((name, _), share)| ((*name).to_owned(), json!(share))).collect()
        };
        json!({
            "phase": self.phase.name,
            "requests": self.phase.requests,
            "share": named(&self.share),
            "share_settled": named(&self.settled),
            "success": self.success,
            "success_of_best_path": self.phase.best(),
        })
    }

    fn text(&self) -> String {
        let shares: Vec<String> = PATHS
            .iter()
            .zip(self.share.iter().zip(&self.settled))
            .map(|((name, _), (share, settled))| {
                let name = name.trim_start_matches("sim/");
                format!("{name} {:>3.0}% [{:>3.0}%]", 100.0 * share, 100.0 * settled)
            })
            .collect();
        format!(
            "  {:<9} {}   success {:.2}, best {:.2}",
            self.phase.name,
            shares.join("   "),
            self.success,
            self.phase.best()
        )
    }
}

fn shares(answers: &[&Answer]) -> [f64; PATHS.len()] {
    let mut shares = [0.0; PATHS.len()];
    for answer in answers {
        shares[answer.path] += 1.0 / answers.len() as f64;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All answers of each phase from this path.
    fn verdict_of(paths: [usize; 3]) -> (bool, bool) {
        let answers = paths
            .iter()
            .enumerate()
            .flat_map(|(phase, &path)| std::iter::repeat_n(Answer { phase, path, good: true }, 100))
            .collect();
        let state = State { answers, ..State::default() };
        verdict(&(0..PHASES.len()).map(|phase| Summary::of(&state, phase)).collect::<Vec<_>>())
    }

    #[test]
    fn the_demo_fails_when_traffic_stays_or_does_not_come_back() {
        assert_eq!(verdict_of([0, 1, 0]), (true, true));
        assert_eq!(verdict_of([0, 0, 0]), (false, true));
        assert_eq!(verdict_of([0, 1, 1]), (true, false));
    }

    #[test]
    fn regret_is_what_the_best_path_of_each_phase_would_have_won() {
        let answers = vec![
            Answer { phase: 0, path: 0, good: false },
            Answer { phase: 1, path: 0, good: true },
            Answer { phase: 1, path: 1, good: true },
        ];
        let state = State { answers, ..State::default() };
        assert!((state.regret() - (PATHS[1].1 - PHASES[1].first)).abs() < 1e-12);
    }
}
