//! From what is known of the paths to the probability of choosing each: objective, safety and floor in one place.
//!
//! At a refresh, off the hot path, [`ChoiceRules::prepare`] computes everything that does not depend on the request:
//! the objective's weights (quadrature), which limit each path breaks and by how much it misses a soft one, whether it was
//! shown to be as good as the baseline, and the share that the guarantee leaves to the router. A request then brings
//! only what it asks for ([`Asked`]) and its mask, and [`Prepared::choices`] is a few passes over the paths, in this
//! order:
//!
//! 1. *eligibility*: the request's mask, then hard caps (the goal's and the request's) and path risk, then soft limits
//!    (if they leave anything);
//! 2. *objective*: its weights, sharpened ([`crate::sharpness`]). Where paths that have any are not eligible, those of the
//!    eligible among themselves: the share of a path in a comparison with a better one says nothing of how it compares
//!    with the rest. This is the only quadrature that a request can cause, one for each mask of a table;
//! 3. *exploration cap*: lowered beforehand by what the floor will add, so that it holds after the floor;
//! 4. *floor*: an additive one, `f + (1 − K f) w`, of the task's risk; all floors together take at most half;
//! 5. *guarantee*, or after a rollback the baseline alone: a mixture with the baseline;
//! 6. *holdout*: a mixture with the baseline again, marked, so that its outcomes can be told apart.
//!
//! What the common request gets, one that asks for nothing, is computed once: [`Prepared::usual`].
//!
//! Each step is exact, so the propensity is. The guarantee and the holdout come after the floor: a guarantee outranks
//! the wish to explore. Where the baseline is not eligible, 5 and 6 have nothing to mix with and are left out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::counters::Count;
use crate::objective::{Limits, NotEligible, Objective, Offer, Pacer, SURE};
use crate::posterior::Beta;
use crate::quadrature::to_one;
use crate::safety::{Guarantee, Risk, Side, capped, mixed, with_holdout};
use crate::sharpness::sharpened;

mod masks;
mod prepare;

pub use prepare::Standing;

use masks::Masks;

/// Weight that eligible paths may lack without being compared anew: the error of an integral, not a path.
const NOTHING: f64 = 1e-6;

/// How a goal chooses; everything has a default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChoiceRules {
    /// How success is weighed against cost.
    pub objective: Objective,
    /// What paths must keep to be chosen.
    pub limits: Limits,
    /// How much greedier than probability matching paths are chosen, 1..=8: see [`crate::sharpness`]. Default 2.
    pub sharpness: f64,
    /// Least probability of each path, 0..=0.5. Default 0.002; a quarter of it at medium risk, 0 at high.
    pub floor: f64,
    /// Greatest share of decisions that takes another path than the leader, 0..=1. Default 1.
    pub exploration_cap: f64,
    /// Share of decisions that takes the baseline whatever was learned, 0..=0.5. Default 0; needs a baseline.
    pub holdout: f64,
    /// Never lose more than this share against the baseline. Default: not guaranteed; needs a baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<Guarantee>,
    /// At high risk: how far below the baseline a path may be, 0..=1. Default 0.02.
    pub risk_delta: f64,
}

impl Default for ChoiceRules {
    fn default() -> Self {
        Self {
            objective: Objective::default(),
            limits: Limits::default(),
            sharpness: 2.0,
            floor: 0.002,
            exploration_cap: 1.0,
            holdout: 0.0,
            guarantee: None,
            risk_delta: 0.02,
        }
    }
}

/// One path of a goal, as [`ChoiceRules::prepare`] looks at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Success, cost and latency.
    pub offer: Offer,
    /// How little the path is trusted.
    pub risk: Risk,
    /// Its graded decisions and their scores, not discounted; only the guarantee looks at them.
    pub seen: Count,
}

impl Known {
    /// A trusted path of which only its success is known.
    pub fn of(success: Beta) -> Self {
        Self { offer: Offer::of(success), risk: Risk::Low, seen: Count::default() }
    }
}

/// What one request asks for, beyond its goal's settings; the default asks for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asked {
    /// How bad a wrong answer is.
    pub risk: Risk,
    /// Expected dollars of this request, > 0; where the goal has a cap too, both hold.
    pub max_cost_usd: Option<f64>,
    /// Milliseconds that 95 % of a path's calls keep, > 0; where the goal has a cap too, both hold.
    pub max_latency_ms: Option<u64>,
}

impl Asked {
    /// Whether it asks for nothing.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with it, if anything.
    pub fn problem(&self) -> Option<&'static str> {
        self.limits().problem()
    }

    fn limits(&self) -> Limits {
        Limits { max_cost_usd: self.max_cost_usd, max_latency_ms: self.max_latency_ms, ..Limits::default() }
    }
}

/// What does not depend on the request, computed at a refresh: see the module's head.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    paths: Vec<PathRules>,
    /// P(q_a >= q_baseline − `risk_delta`) for each path, 1 for the baseline. Without a baseline, the path of the greatest
    /// expected success stands in for it.
    as_good: Vec<f64>,
    /// What the weights were computed with, for masks that need others.
    objective: Objective,
    pacer: Pacer,
    sharpness: f64,
    masks: Masks,
    floor: f64,
    exploration_cap: f64,
    baseline: Option<usize>,
    /// Share of decisions that may follow the router.
    share: f64,
    holdout: f64,
    usual: Result<Choices, NoneEligible>,
}

/// What was computed for one path.
#[derive(Debug, Clone, PartialEq)]
struct PathRules {
    offer: Offer,
    risk: Risk,
    /// The objective's weight when all may be chosen.
    weight: f64,
    hard: Option<NotEligible>,
    /// A soft limit that is missed, with how much.
    soft: Option<(NotEligible, f64)>,
}

/// Why no path may be chosen: what ruled out each.
#[derive(Debug, Clone, PartialEq)]
pub struct NoneEligible {
    /// The reason of each path, in the goal's order.
    pub reasons: Vec<NotEligible>,
}

impl fmt::Display for NoneEligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no path may be chosen")?;
        for (at, reason) in self.reasons.iter().enumerate() {
            write!(f, "; path {}: {reason}", at + 1)?;
        }
        f.write_str("; loosen the limit that is named, or add a path that keeps it")
    }
}

impl std::error::Error for NoneEligible {}

/// The probabilities of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Choices {
    /// The exact probability of each path, with the holdout mixed in; sums to 1.
    pub propensities: Vec<f64>,
    /// Why each path was not eligible. A path that is kept in spite of a soft limit has none.
    pub not_eligible: Vec<Option<NotEligible>>,
    /// The probability of each path or one before it by what the router would do: steps 1 to 5. What [`Self::draw`]
    /// looks up.
    cumulative: Vec<f64>,
    /// The last path that the router would take.
    last: usize,
    /// The baseline and its share, when there is a holdout.
    holdout: Option<(usize, f64)>,
}

/// A path that was drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// The index of the path.
    pub index: usize,
    /// The exact probability of the choice, by whichever way.
    pub propensity: f64,
    /// By whom it was chosen, where a share of decisions is held out.
    pub side: Option<Side>,
}

impl Drawn {
    /// Whether the holdout chose it.
    pub fn held_out(&self) -> bool {
        self.side == Some(Side::HeldOut)
    }
}

impl Choices {
    fn new(routed: Vec<f64>, not_eligible: Vec<Option<NotEligible>>, holdout: Option<(usize, f64)>) -> Self {
        let mut below = 0.0;
        let add = |p: &f64| {
            below += p;
            below
        };
        Self {
            cumulative: routed.iter().map(add).collect(),
            // There is one: choices are only made of a mask that leaves a path.
            last: routed.iter().rposition(|p| *p > 0.0).unwrap_or(0),
            propensities: match holdout {
                Some((baseline, share)) => with_holdout(&routed, baseline, share),
                None => routed,
            },
            not_eligible,
            holdout,
        }
    }

    /// The path that `draw`, uniform in [0, 1), falls on. The lowest share of the draws is the holdout.
    pub fn draw(&self, draw: f64) -> Drawn {
        let drawn = |index: usize, side| Drawn { index, propensity: self.propensities[index], side };
        let (baseline, share) = self.holdout.unwrap_or((0, 0.0));
        if draw < share {
            return drawn(baseline, Some(Side::HeldOut));
        }
        let draw = (draw - share) / (1.0 - share);
        // Rounding may leave a sliver at the top: it belongs to the last path that has a probability.
        drawn(
            self.cumulative.partition_point(|below| *below <= draw).min(self.last),
            self.holdout.map(|_| Side::Router),
        )
    }
}

impl Prepared {
    /// The probabilities of a request that asks for nothing and rules no path out.
    ///
    /// # Errors
    /// As [`Prepared::choices`].
    pub const fn usual(&self) -> Result<&Choices, &NoneEligible> {
        self.usual.as_ref()
    }

    /// The probabilities for what is `asked`, when paths (by index) may not be chosen for which `ruled_out` has a reason.
    ///
    /// # Errors
    /// [`NoneEligible`] when those, a hard cap or a path's risk rule out every path. Soft limits never do.
    pub fn choices(
        &self,
        asked: &Asked,
        ruled_out: impl Fn(usize) -> Option<NotEligible>,
    ) -> Result<Choices, NoneEligible> {
        let not_eligible = self.eligibility(asked, ruled_out)?;
        let mask: Vec<bool> = not_eligible.iter().map(Option::is_none).collect();
        let routed = self.routed(asked.risk, &mask);
        let holdout = self.baseline.filter(|&b| mask[b] && self.holdout > 0.0).map(|b| (b, self.holdout));
        Ok(Choices::new(routed, not_eligible, holdout))
    }

    /// The objective's weight of each path when all may be chosen.
    pub fn weights(&self) -> impl ExactSizeIterator<Item = f64> {
        self.paths.iter().map(|path| path.weight)
    }

    /// P(best) of each path, where the weights are just that: no cost is known and no path is ruled out for good.
    pub(crate) fn of_success_alone(&self) -> Option<Vec<f64>> {
        let alone = |path: &PathRules| path.offer.dollars.is_none() && path.hard.is_none();
        self.paths.iter().all(alone).then(|| self.weights().collect())
    }

    /// What was known of each path, in the goal's order.
    pub fn offers(&self) -> impl ExactSizeIterator<Item = &Offer> {
        self.paths.iter().map(|path| &path.offer)
    }

    /// Whether hard limits or, if others are left, soft ones rule a path out, in step 1.
    fn eligibility(
        &self,
        asked: &Asked,
        ruled_out: impl Fn(usize) -> Option<NotEligible>,
    ) -> Result<Vec<Option<NotEligible>>, NoneEligible> {
        let caps = asked.limits();
        let hard = |(at, path): (usize, &PathRules)| {
            let too_risky = || (!path.risk.may_serve(asked.risk)).then_some(NotEligible::TooRisky);
            ruled_out(at).or(path.hard).or_else(|| caps.hard(&path.offer)).or_else(too_risky)
        };
        let mut reasons: Vec<Option<NotEligible>> = self.paths.iter().enumerate().map(hard).collect();
        if reasons.iter().all(Option::is_some) {
            return Err(NoneEligible { reasons: reasons.into_iter().flatten().collect() });
        }
        // A task's risk outranks a wish for speed: if both cannot be had, the safe path is kept though it is slow.
        if asked.risk == Risk::High {
            let unsafe_by = |at: usize| {
                let as_good = self.as_good[at];
                (as_good < SURE).then_some((NotEligible::NotAsGoodAsBaseline, 1.0 - as_good))
            };
            keep_least(&mut reasons, unsafe_by);
        }
        keep_least(&mut reasons, |at| self.paths[at].soft);
        Ok(reasons)
    }

    /// Steps 2 to 5.
    fn routed(&self, task: Risk, mask: &[bool]) -> Vec<f64> {
        let count = mask.iter().filter(|is| **is).count() as f64;
        let mut weights = self.restricted(mask);
        let others = (count - 1.0).max(1.0);
        // All floors together take at most half of the traffic, and no more than may explore.
        let floor = task.floor(self.floor).clamp(0.0, 0.5 / count).min(self.exploration_cap / others);
        let spread = 1.0 - floor * count;
        weights = capped(&weights, (self.exploration_cap - floor * (count - 1.0)) / spread);
        for (weight, &is) in weights.iter_mut().zip(mask) {
            *weight = if is { floor + spread * *weight } else { 0.0 };
        }
        match self.baseline.filter(|&baseline| mask[baseline]) {
            Some(baseline) if self.share < 1.0 => mixed(&weights, baseline, self.share),
            _ => weights,
        }
    }

    /// Step 2: the weights of the eligible paths alone, sharpened.
    fn restricted(&self, mask: &[bool]) -> Vec<f64> {
        let of = |is: bool| self.paths.iter().zip(mask).filter(move |(_, eligible)| **eligible == is);
        let lost: f64 = of(false).map(|(path, _)| path.weight).sum();
        if lost <= NOTHING {
            let weights = self.paths.iter().zip(mask);
            let weights = weights.map(|(path, &is)| if is { path.weight } else { 0.0 });
            return sharpened(&to_one(weights.collect()), self.sharpness);
        }
        self.masks.weights(mask, || {
            let offers: Vec<Offer> = of(true).map(|(path, _)| path.offer.clone()).collect();
            let among = sharpened(&self.objective.weights(&offers, self.pacer), self.sharpness);
            let mut among = among.into_iter();
            mask.iter().map(|&is| if is { among.next().unwrap_or(0.0) } else { 0.0 }).collect()
        })
    }
}

/// Rules out the paths that miss a soft limit; if that is all that are left, all but the one that misses least.
fn keep_least(reasons: &mut [Option<NotEligible>], miss: impl Fn(usize) -> Option<(NotEligible, f64)>) {
    let left: Vec<usize> = (0..reasons.len()).filter(|&at| reasons[at].is_none()).collect();
    let by = |at: usize| miss(at).map_or(0.0, |(_, by)| by);
    let least = left.iter().copied().min_by(|&a, &b| by(a).total_cmp(&by(b)));
    let none_keeps = left.iter().all(|&at| miss(at).is_some());
    for at in left {
        if !(none_keeps && Some(at) == least) {
            reasons[at] = miss(at).map(|(reason, _)| reason);
        }
    }
}

#[cfg(test)]
mod tests;
