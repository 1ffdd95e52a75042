//! What is computed at a refresh: see the head of [`super`].

use super::{ChoiceRules, Known, Prepared};
use crate::objective::{NotEligible, Objective, Offer, Pacer, p_within};
use crate::posterior::Beta;
use crate::safety::{guaranteed_share, leader};

/// What the goal's state adds to its settings.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Standing {
    /// The index of the baseline path, if there is one.
    pub baseline: Option<usize>,
    /// The state of the budget.
    pub pacer: Pacer,
    /// Whether the goal was rolled back to its baseline ([`crate::safety::rollback`]).
    pub rolled_back: bool,
}

impl ChoiceRules {
    /// What is wrong with the settings, if anything.
    pub fn problem(&self) -> Option<&'static str> {
        let share = |value: f64, most: f64| (0.0..=most).contains(&value);
        if let Some(problem) = self.objective.problem().or_else(|| self.limits.problem()) {
            return Some(problem);
        }
        if !share(self.floor, 0.5) {
            return Some("floor is a probability from 0 to 0.5");
        }
        if !share(self.exploration_cap, 1.0) {
            return Some("exploration_cap is a share of decisions from 0 to 1");
        }
        if !share(self.holdout, 0.5) {
            return Some("holdout is a share of decisions from 0 to 0.5");
        }
        if !share(self.risk_delta, 1.0) {
            return Some("risk_delta is how far below the baseline a path may be, a number from 0 to 1");
        }
        self.guarantee.and_then(|guarantee| guarantee.problem())
    }

    /// Computes what does not depend on the request.
    ///
    /// Weights are those of the paths that no hard cap rules out, so that a path that may never be chosen does not take
    /// weight from the others, nor set the level that they are compared with.
    ///
    /// ```
    /// use kalibr_core::posterior::Beta;
    /// use kalibr_core::rules::{ChoiceRules, Known, Standing};
    /// use kalibr_core::safety::Risk;
    ///
    /// let paths = [Known::of(Beta { alpha: 90.0, beta: 10.0 }), Known::of(Beta { alpha: 10.0, beta: 90.0 })];
    /// let prepared = ChoiceRules::default().prepare(&paths, &Standing::default());
    /// let choices = prepared.choices(Risk::Low, |_| true).unwrap();
    /// assert!((choices.propensities[1] - 0.01).abs() < 1e-9); // The floor.
    /// ```
    pub fn prepare(&self, paths: &[Known], standing: &Standing) -> Prepared {
        let baseline = standing.baseline.filter(|&at| at < paths.len());
        let hard: Vec<_> = paths.iter().map(|path| self.limits.hard(&path.offer)).collect();
        let soft = paths.iter().map(|path| self.soft(&path.offer, standing.pacer)).collect();
        let open: Vec<usize> = (0..paths.len()).filter(|&at| hard[at].is_none()).collect();
        let offers: Vec<Offer> = open.iter().map(|&at| paths[at].offer.clone()).collect();
        let mut weights = vec![0.0; paths.len()];
        let of_open = self.objective.weights(&offers, standing.pacer);
        open.iter().zip(of_open).for_each(|(&at, weight)| weights[at] = weight);
        let success: Vec<Beta> = paths.iter().map(|path| path.offer.success).collect();
        let share = match (baseline, self.guarantee) {
            (Some(_), _) if standing.rolled_back => 0.0,
            (Some(at), Some(guarantee)) => {
                let seen: Vec<_> = paths.iter().map(|path| path.seen).collect();
                guaranteed_share(&seen, &weights, at, guarantee)
            }
            _ => 1.0,
        };
        Prepared {
            as_good: as_good(&success, baseline, self.risk_delta),
            risk: paths.iter().map(|path| path.risk).collect(),
            success,
            weights,
            hard,
            soft,
            floor: self.floor,
            exploration_cap: self.exploration_cap.clamp(0.0, 1.0),
            baseline,
            share,
            holdout: self.holdout.clamp(0.0, 0.5),
        }
    }

    /// The soft limit that a path misses: an overspent budget first, for it is the goal's own.
    fn soft(&self, offer: &Offer, pacer: Pacer) -> Option<(NotEligible, f64)> {
        if let Objective::Budget { dollars_per_request: budget } = self.objective
            && let Some(cap) = pacer.hard_cap(budget)
        {
            let over = offer.dollars.map_or(f64::INFINITY, |dollars| dollars / cap - 1.0);
            if over > 0.0 {
                return Some((NotEligible::OverBudget { budget }, over));
            }
        }
        self.limits.soft(offer)
    }
}

/// P(q_a >= q_baseline − δ) for each path, 1 for the baseline. Without a baseline, the path of the greatest expected
/// success stands in for it.
fn as_good(success: &[Beta], baseline: Option<usize>, delta: f64) -> Vec<f64> {
    let means: Vec<f64> = success.iter().map(|path| path.mean()).collect();
    let Some(reference) = baseline.or_else(|| leader(&means)) else { return Vec::new() };
    (0..success.len())
        .map(|at| if at == reference { 1.0 } else { p_within(&[success[at], success[reference]], delta)[0] })
        .collect()
}
