//! What a goal wants of its paths, as the exact probability of choosing each.
//!
//! Success comes first. Cost decides in one of three ways, all computed from the same posteriors, none by drawing:
//!
//! - [`Objective::CheapestWithin`] (the default): the cheapest path that is as good as the best up to delta.
//! - [`Objective::Utility`]: success less a price times the logarithm of cost.
//! - [`Objective::Budget`]: the same with a price that keeps a budget ([`Pacer`]).
//!
//! Which paths may be chosen at all (caps, latency) is decided before: see [`Limits`]. Exploring never ends here: the
//! weights are probabilities of being the right choice given what is known, and the floor is applied to them later.
//!
//! # Which "cheapest within delta", and why
//! Two forms were proposed: draw θ and take the cheapest path with θ >= max θ − δ; or take for sure the cheapest path
//! that is within δ with probability p. What ships is the first with the second as a guard: a cheaper path may only
//! undercut a better one in the draw if it is within δ with probability p (the default is 0.9), and is otherwise taken
//! only when it is drawn best. From `cargo run --release -p kalibr-core --example objective` (60 runs of 4,000
//! decisions, half-life 800, δ 0.02, floor 1 %; quality and $ per 1000 requests; costs of the real data, $15.1, $0.51
//! and $0.03):
//!
//! | truth | P(best) | drawn | **drawn, p .9** | drawn, p .5 | sure at .9, else P(best) |
//! |---|---|---|---|---|---|
//! | .777 .732 .453, beyond δ | .7650 $12.8 | .7604 $11.4 | .7649 $12.7 | .7642 $12.5 | .7676 $13.4 |
//! | .777 .777 .453, equal | .7716 $8.6 | .7713 $6.0 | .7716 $7.8 | .7716 $6.4 | .7721 $8.5 |
//! | .777 .767 .453, within δ | .7682 $9.8 | .7658 $6.9 | .7680 $9.6 | .7670 $8.2 | .7692 $10.7 |
//! | .757 .777 .453, cheap is best | .7643 $5.7 | .7671 $3.5 | .7656 $4.8 | .7668 $3.9 | .7668 $4.4 |
//!
//! Drawn without a guard pays .005 of quality where the cheap path is not within δ at all; with the guard at 0.9
//! quality is that of P(best) in every case, and money is saved only where it is nearly free. Taking the guard's path
//! for sure saves less, because the dear leader passes the guard too, and what is not explored is not found to be
//! cheaper. With forgetting, 0.9 is seldom reached at δ 0.02 by equal paths (800 graded requests know a rate to about
//! ±0.02): whoever wants the saving sets 0.5, or δ 0.05, where equal paths cost $4.8 (p .9) and $3.0 (p .5).

use serde::{Deserialize, Serialize};

use crate::best::p_best_shifted;
use crate::posterior::Beta;
use crate::quadrature::Shifted;

mod cost;
mod latency;
mod limits;
mod pacer;
mod within;

pub use cost::{Price, Spend, Usage, expected_dollars, expected_spend};
pub use latency::{Latencies, LatencySummary};
pub use limits::{Limits, NotEligible, SURE, Slo};
pub use pacer::Pacer;
pub use within::{SAME_COST, cheapest_within, p_within};

/// What is known of one path when weights are computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The probability that it answers and the answer serves.
    pub success: Beta,
    /// Expected dollars per request; `None` is "not known", which counts as dearer than all that is known, and never as
    /// free.
    pub dollars: Option<f64>,
    /// How long its calls took.
    pub latency: LatencySummary,
}

impl Offer {
    /// A path of which only its success is known.
    pub fn of(success: Beta) -> Self {
        Self { success, dollars: None, latency: LatencySummary::default() }
    }
}

/// How a goal weighs success against cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub enum Objective {
    /// The cheapest path that is within `delta` of the best: see [`cheapest_within`].
    CheapestWithin {
        /// Success that a lower cost may forgo, 0..=1. Default 0.02; at 0 cost has no say.
        #[serde(default = "default_delta")]
        delta: f64,
        /// How probable it must be that a cheaper path is within delta, 0..=1. Default 0.9.
        #[serde(default = "default_probability")]
        probability: f64,
    },
    /// The greatest success less a price for cost: see [`utility`].
    Utility {
        /// Success that a thousandfold lower cost is worth, 0..=5.
        price: f64,
    },
    /// The greatest success on this budget: see [`Pacer`].
    Budget {
        /// Mean dollars per request, > 0.
        dollars_per_request: f64,
    },
}

const fn default_delta() -> f64 {
    0.02
}

const fn default_probability() -> f64 {
    0.9
}

impl Default for Objective {
    fn default() -> Self {
        Self::CheapestWithin { delta: default_delta(), probability: default_probability() }
    }
}

impl Objective {
    /// What is wrong with the settings, if anything.
    pub fn problem(&self) -> Option<&'static str> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        match *self {
            Self::CheapestWithin { delta, .. } if !share(delta) => {
                Some("delta is how much success a lower cost may forgo, a number from 0 to 1")
            }
            Self::CheapestWithin { probability, .. } if !share(probability) => {
                Some("probability is how sure it must be that a path is within delta, a number from 0 to 1")
            }
            Self::Utility { price } if !(0.0..=5.0).contains(&price) => {
                Some("price is the success that a thousandfold lower cost is worth, a number from 0 to 5")
            }
            Self::Budget { dollars_per_request: dollars } if !(dollars > 0.0 && dollars <= 1e6) => {
                Some("dollars_per_request is a budget above 0 and up to 1e6")
            }
            _ => None,
        }
    }

    /// The least difference of success that is worth having, 0..=1: delta, and where the objective has none its default.
    pub const fn delta(&self) -> f64 {
        match *self {
            Self::CheapestWithin { delta, .. } => delta,
            Self::Utility { .. } | Self::Budget { .. } => default_delta(),
        }
    }

    /// The probability of choosing each of `offers`, none of which is ruled out: non-negative, sums to 1.
    ///
    /// `pacer` is the state of the goal's budget; other objectives do not look at it.
    pub fn weights(&self, offers: &[Offer], pacer: Pacer) -> Vec<f64> {
        let paths: Vec<Beta> = offers.iter().map(|offer| offer.success).collect();
        let costs: Vec<Option<f64>> = offers.iter().map(|offer| offer.dollars).collect();
        match *self {
            Self::CheapestWithin { delta, probability } => {
                cheapest_within(&paths, &costs, delta, probability)
            }
            Self::Utility { price } => utility(&paths, &costs, price),
            Self::Budget { dollars_per_request: budget } => {
                pacer::on_budget(&paths, &costs, pacer.target(budget))
            }
        }
    }
}

/// The cost at which c̃ is 0, in dollars per request: below it nothing is worth saving.
const CHEAP: f64 = 1e-4;
/// The cost at which c̃ is 1, in dollars per request.
const DEAR: f64 = 0.1;

/// c̃: the logarithm of a cost between fixed anchors, $0.0001 per request (0) and $0.1 (1). Fixed, so that a price means
/// the same for every goal and does not move when a path is added (ParetoBandit, arXiv 2604.00136). Above $0.1 it
/// goes on rising; below $0.0001 it is 0, for a local model is as good as free, and ln 0 is not a number.
///
/// ```
/// use kalibr_core::objective::log_cost;
///
/// assert_eq!(log_cost(0.0), 0.0);
/// assert!((log_cost(0.1) - 1.0).abs() < 1e-12);
/// assert!((log_cost(0.001) - 1.0 / 3.0).abs() < 1e-12);
/// ```
pub fn log_cost(dollars: f64) -> f64 {
    (dollars.max(CHEAP) / CHEAP).ln() / (DEAR / CHEAP).ln()
}

/// The probability with which each path has the greatest θ − price·c̃ ([`log_cost`]): P(best) of shifted posteriors.
///
/// A cost that is not known counts as the dearest that is, and at least as $0.1. Non-negative, sums to 1; at price 0
/// exactly [`crate::best::p_best`].
pub fn utility(paths: &[Beta], costs: &[Option<f64>], price: f64) -> Vec<f64> {
    let price = if price.is_finite() { price.max(0.0) } else { 0.0 };
    let dollars = costs_or_dearest(paths.len(), costs).filter(|_| price > 0.0);
    let shifted: Vec<Shifted> = paths
        .iter()
        .enumerate()
        .map(|(at, &beta)| Shifted { beta, by: dollars.as_ref().map_or(0.0, |d| -price * log_cost(d[at])) })
        .collect();
    p_best_shifted(&shifted)
}

/// The cost of each path, with the dearest that is known, and at least $0.1, for those that are not; `None` when none
/// is known.
fn costs_or_dearest(paths: usize, costs: &[Option<f64>]) -> Option<Vec<f64>> {
    let known = |cost: &Option<f64>| cost.filter(|c| c.is_finite() && *c >= 0.0);
    let dearest = costs.iter().filter_map(known).reduce(f64::max)?.max(DEAR);
    Some((0..paths).map(|at| costs.get(at).and_then(known).unwrap_or(dearest)).collect())
}

#[cfg(test)]
mod tests;
