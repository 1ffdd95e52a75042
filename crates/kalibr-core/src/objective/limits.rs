//! What a path must keep to be chosen at all, and what is said of one that does not.
//!
//! Two kinds. *Hard* caps are promises of the operator or the caller: a path that breaks one is never chosen, and if none
//! is left the request fails with the reasons. *Soft* limits are wishes: when they would leave no path, the one that
//! misses least is kept, because an answer that is late is better than none.
//!
//! A path is ruled out by what it was *shown* to do, with 90 % probability ([`SURE`]), not by a mean over three calls: a
//! path that is ruled out is not called again until its evidence has faded, so a hasty verdict would be for long. Cost
//! is the exception: an unknown cost may not exceed a hard cap, and a price in the configuration makes it known.

use std::fmt;

use serde::{Deserialize, Serialize};
use statrs::function::beta::beta_reg;

use super::Offer;
use crate::availability::Unavailable;

/// How sure it must be that a path misses a limit of quality or latency before it is ruled out.
pub const SURE: f64 = 0.9;

/// The share of calls that `max_latency_ms` must hold for: a cap on every single call would be a timeout, which is the
/// upstream client's affair.
const CAPPED_SHARE: f64 = 0.95;

/// A wish for latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// Milliseconds.
    pub latency_ms: u64,
    /// The share of calls that shall take no longer, 0..1. Default 0.95.
    #[serde(default = "capped_share")]
    pub probability: f64,
}

const fn capped_share() -> f64 {
    CAPPED_SHARE
}

/// What paths must keep; the default asks for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Hard: expected dollars per request. A path whose cost is not known is ruled out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// Hard: milliseconds that 95 % of calls keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<u64>,
    /// Hard: the success rate, 0..=1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_quality: Option<f64>,
    /// Soft: a share of calls within a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
}

/// Why a path may not be chosen, in words for the log (`Display`) and a name for machines ([`Self::as_str`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NotEligible {
    /// Hard: it is expected to cost more than the cap; both in dollars per request.
    TooDear {
        /// Expected.
        dollars: f64,
        /// Allowed.
        cap: f64,
    },
    /// Hard: there is a cap on cost, and nobody knows what it costs.
    CostUnknown {
        /// Allowed dollars per request.
        cap: f64,
    },
    /// Hard: too many of its calls take longer than the cap.
    TooSlow {
        /// Allowed milliseconds.
        cap_ms: u64,
    },
    /// Hard: its success rate was shown to be below the least that is asked for.
    TooPoor {
        /// Expected success rate.
        expected: f64,
        /// The least.
        least: f64,
    },
    /// Soft: it misses the latency objective.
    MissesSlo {
        /// The objective's milliseconds.
        latency_ms: u64,
    },
    /// Soft: the budget is overspent, and it is expected to cost more than the budget.
    OverBudget {
        /// Dollars per request.
        budget: f64,
    },
    /// Hard: the path is marked as too risky for a task of this risk.
    TooRisky,
    /// Soft: the task's risk is high, and it was not shown to be as good as the baseline.
    NotAsGoodAsBaseline,
    /// Hard: its provider, its model or the path itself does not answer just now.
    Unavailable(Unavailable),
    /// Hard: it is none of the paths that the caller allows.
    NotACandidate,
    /// Hard: the caller forced another model.
    AnotherForced,
}

impl NotEligible {
    /// The reason's name, for the log and for machines.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooDear { .. } => "max_cost_usd",
            Self::CostUnknown { .. } => "cost_unknown",
            Self::TooSlow { .. } => "max_latency_ms",
            Self::TooPoor { .. } => "min_quality",
            Self::MissesSlo { .. } => "latency_slo",
            Self::OverBudget { .. } => "budget",
            Self::TooRisky => "path_risk",
            Self::NotAsGoodAsBaseline => "task_risk",
            Self::Unavailable(_) => "unavailable",
            Self::NotACandidate => "not_a_candidate",
            Self::AnotherForced => "another_forced",
        }
    }

    /// Whether a path may be kept in spite of it when no other is left.
    pub const fn is_soft(&self) -> bool {
        matches!(self, Self::MissesSlo { .. } | Self::OverBudget { .. } | Self::NotAsGoodAsBaseline)
    }
}

impl fmt::Display for NotEligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDear { dollars, cap } => {
                write!(f, "expected to cost ${dollars:.6} a request, and max_cost_usd is ${cap:.6}")
            }
            Self::CostUnknown { cap } => {
                write!(f, "its cost is not known, and max_cost_usd is ${cap:.6}; give its model a price")
            }
            Self::TooSlow { cap_ms } => {
                write!(f, "more than 5 % of its calls take longer than max_latency_ms, {cap_ms} ms")
            }
            Self::TooPoor { expected, least } => {
                write!(f, "expected to succeed in {expected:.3} of requests, and min_quality is {least:.3}")
            }
            Self::MissesSlo { latency_ms } => {
                write!(f, "too many of its calls take longer than the latency objective, {latency_ms} ms")
            }
            Self::OverBudget { budget } => {
                write!(f, "the budget of ${budget:.6} a request is overspent, and it costs more")
            }
            Self::TooRisky => f.write_str("marked as too risky for a task of this risk"),
            Self::NotAsGoodAsBaseline => {
                f.write_str("the task's risk is high, and it was not shown to be as good as the baseline")
            }
            Self::Unavailable(why) => why.fmt(f),
            Self::NotACandidate => f.write_str("not among the candidates"),
            Self::AnotherForced => f.write_str("another model was forced"),
        }
    }
}

/// A soft limit that a path misses, and by how much: the least is kept when nothing else is left.
pub(crate) type Miss = (NotEligible, f64);

impl Limits {
    /// What is wrong with the settings, if anything.
    pub fn problem(&self) -> Option<&'static str> {
        if self.max_cost_usd.is_some_and(|dollars| !(dollars > 0.0 && dollars <= 1e6)) {
            return Some("max_cost_usd is dollars per request, above 0 and up to 1e6");
        }
        if self.max_latency_ms == Some(0) || self.slo.is_some_and(|slo| slo.latency_ms == 0) {
            return Some("a latency is a whole number of milliseconds above 0");
        }
        if self.min_quality.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
            return Some("min_quality is a success rate from 0 to 1");
        }
        self.slo
            .is_some_and(|slo| !(slo.probability > 0.0 && slo.probability < 1.0))
            .then_some("the latency objective's probability is a share of calls between 0 and 1")
    }

    /// The first hard cap that the path breaks.
    pub(crate) fn hard(&self, offer: &Offer) -> Option<NotEligible> {
        let known = offer.dollars.filter(|dollars| dollars.is_finite() && *dollars >= 0.0);
        match (self.max_cost_usd, known) {
            (Some(cap), None) => return Some(NotEligible::CostUnknown { cap }),
            (Some(cap), Some(dollars)) if dollars > cap => {
                return Some(NotEligible::TooDear { dollars, cap });
            }
            _ => {}
        }
        if let Some(cap_ms) = self.max_latency_ms
            && offer.latency.probability_too_slow(cap_ms, CAPPED_SHARE) >= SURE
        {
            return Some(NotEligible::TooSlow { cap_ms });
        }
        let least = self.min_quality?;
        // A path of which nothing is known was shown nothing, though half of what is possible lies below a high limit: the
        // two decisions' worth that a posterior begins with are taken to have been as good as the limit asks.
        let (alpha, beta) = (offer.success.alpha - 1.0 + 2.0 * least, offer.success.beta + 1.0 - 2.0 * least);
        let below = beta_reg(alpha.max(1e-3), beta.max(1e-3), least.clamp(0.0, 1.0));
        (below >= SURE).then(|| NotEligible::TooPoor { expected: offer.success.mean(), least })
    }

    /// The soft limit that the path misses, and by how much.
    pub(crate) fn soft(&self, offer: &Offer) -> Option<Miss> {
        let slo = self.slo?;
        let too_slow = offer.latency.probability_too_slow(slo.latency_ms, slo.probability);
        let share = offer.latency.probability_below(slo.latency_ms).unwrap_or(1.0);
        (too_slow >= SURE).then_some((NotEligible::MissesSlo { latency_ms: slo.latency_ms }, 1.0 - share))
    }
}
