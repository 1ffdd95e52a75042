//! What is computed at a refresh: see the head of [`super`].

use super::{Asked, ChoiceRules, Known, NoneEligible, PathRules, Prepared, masks::Masks};
use crate::objective::{NotEligible, Objective, Offer, Pacer, p_within};
use crate::posterior::Beta;
use crate::safety::{guaranteed_share, leader};
use crate::sharpness::{sharpened, while_available};

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
        if !(1.0..=8.0).contains(&self.sharpness) {
            return Some(
                "sharpness is how much greedier than probability matching paths are chosen, a number from 1 to 8",
            );
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

    /// These rules while the providers of the paths answer this often (0..=1, one for each): see [`while_available`].
    #[must_use]
    pub fn while_available(&self, availabilities: impl IntoIterator<Item = f64>) -> Self {
        let lowest = availabilities.into_iter().fold(1.0, f64::min);
        Self { sharpness: while_available(self.sharpness, lowest), ..*self }
    }

    /// Computes what does not depend on the request.
    ///
    /// Weights are those of the paths that no hard cap rules out, so that a path that may never be chosen does not take
    /// weight from the others, nor set the level that they are compared with.
    ///
    /// ```
    /// use kalibr_core::posterior::Beta;
    /// use kalibr_core::rules::{ChoiceRules, Known, Standing};
    ///
    /// let paths = [Known::of(Beta { alpha: 90.0, beta: 10.0 }), Known::of(Beta { alpha: 10.0, beta: 90.0 })];
    /// let prepared = ChoiceRules::default().prepare(&paths, &Standing::default());
    /// let choices = prepared.usual().unwrap();
    /// assert!((choices.propensities[1] - 0.002).abs() < 1e-9); // The floor.
    /// ```
    pub fn prepare(&self, paths: &[Known], standing: &Standing) -> Prepared {
        let baseline = standing.baseline.filter(|&at| at < paths.len());
        let hard: Vec<_> = paths.iter().map(|path| self.limits.hard(&path.offer)).collect();
        let open: Vec<usize> = (0..paths.len()).filter(|&at| hard[at].is_none()).collect();
        let offers: Vec<Offer> = open.iter().map(|&at| paths[at].offer.clone()).collect();
        let mut weights = vec![0.0; paths.len()];
        let of_open = self.objective.weights(&offers, standing.pacer);
        open.iter().zip(of_open).for_each(|(&at, weight)| weights[at] = weight);
        let share = match (baseline, self.guarantee) {
            (Some(_), _) if standing.rolled_back => 0.0,
            (Some(at), Some(guarantee)) => {
                let seen: Vec<_> = paths.iter().map(|path| path.seen).collect();
                guaranteed_share(&seen, &sharpened(&weights, self.sharpness), at, guarantee)
            }
            _ => 1.0,
        };
        let path = |((path, &weight), hard): ((&Known, &f64), Option<NotEligible>)| PathRules {
            soft: self.soft(&path.offer, standing.pacer),
            offer: path.offer.clone(),
            risk: path.risk,
            weight,
            hard,
        };
        let mut prepared = Prepared {
            paths: paths.iter().zip(&weights).zip(hard).map(path).collect(),
            as_good: self.as_good(paths, baseline),
            objective: self.objective,
            pacer: standing.pacer,
            sharpness: self.sharpness,
            masks: Masks::default(),
            floor: self.floor,
            exploration_cap: self.exploration_cap.clamp(0.0, 1.0),
            baseline,
            share,
            holdout: self.holdout.clamp(0.0, 0.5),
            usual: Err(NoneEligible { reasons: Vec::new() }),
        };
        prepared.usual = prepared.choices(&Asked::default(), |_| None);
        prepared
    }

    /// See [`Prepared`]. One quadrature for each path, which only tasks of high risk look at: but the first of them should
    /// not wait for it.
    fn as_good(&self, paths: &[Known], baseline: Option<usize>) -> Vec<f64> {
        let success: Vec<Beta> = paths.iter().map(|path| path.offer.success).collect();
        let means: Vec<f64> = success.iter().map(|path| path.mean()).collect();
        let Some(reference) = baseline.or_else(|| leader(&means)) else { return Vec::new() };
        let as_good = |at| p_within(&[success[at], success[reference]], self.risk_delta)[0];
        (0..success.len()).map(|at| if at == reference { 1.0 } else { as_good(at) }).collect()
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
