//! A verdict as people and programs are told of it.

use serde::Serialize;

use super::{Dimension, Reason, TurnLabel, Verdict};

/// The three probabilities, which sum to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Probabilities {
    /// Of an acceptance.
    pub acceptance: f64,
    /// Of a rejection.
    pub rejection: f64,
    /// Of a message that says nothing of the answer.
    pub continuation: f64,
}

impl From<&Verdict> for Probabilities {
    fn from(verdict: &Verdict) -> Self {
        Self {
            acceptance: verdict.acceptance,
            rejection: verdict.rejection,
            continuation: verdict.continuation,
        }
    }
}

/// A verdict as the command line, the HTTP API and Python tell it. It holds no word of the message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// The most probable label, also when nothing is asserted.
    pub label: TurnLabel,
    /// The probabilities.
    pub probabilities: Probabilities,
    /// Whether it would become a signal.
    pub asserted: bool,
    /// What a rejection finds fault with, where that can be told.
    pub dimension: Option<Dimension>,
    /// What decided, the weightiest first.
    pub reasons: Vec<Reason>,
}

impl From<Verdict> for Told {
    fn from(verdict: Verdict) -> Self {
        Self {
            label: verdict.label,
            probabilities: Probabilities::from(&verdict),
            asserted: verdict.asserted.is_some(),
            dimension: verdict.dimension,
            reasons: verdict.reasons,
        }
    }
}
