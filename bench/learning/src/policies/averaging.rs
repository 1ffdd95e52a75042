//! Averaging the signals: each is a success or a failure of its path, whoever says it.
//!
//! It is what a gateway does that is handed a stream of feedback and a bandit. A revision is one more row; a withdrawal
//! changes nothing.

use kalibr_core::evidence::Source;

use super::thompson::Betas;
use crate::policy::{Chosen, Policy, Request};
use crate::simulator::{Heard, Said};

/// What a signal counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Weigh {
    /// One.
    Equally,
    /// By the confidence that its source comes with.
    ByConfidence,
}

impl Weigh {
    /// The confidence of a source: what was done above what was read from words, that above a judge, that above a check of
    /// form.
    pub(crate) fn of(self, source: Source) -> f64 {
        match (self, source) {
            (Self::Equally, _) | (_, Source::Action | Source::Explicit | Source::Metric) => 1.0,
            (_, Source::Turn) => 0.85,
            (_, Source::Judge | Source::SessionEnd) => 0.7,
            (_, Source::Structural | Source::Provider) => 0.3,
        }
    }
}

/// Beta Thompson on weighted signals.
pub(crate) struct Averaging {
    betas: Betas,
    weigh: Weigh,
}

impl Averaging {
    pub(crate) fn new(weigh: Weigh, goals: usize, paths: usize, seed: u64) -> Self {
        Self { betas: Betas::new(goals, paths, seed), weigh }
    }
}

impl Policy for Averaging {
    fn choose(&mut self, request: &Request) -> anyhow::Result<Chosen> {
        Ok(Chosen::path(self.betas.sample(request.goal)))
    }

    fn hear(&mut self, heard: &Heard) {
        let weight = self.weigh.of(heard.source);
        match heard.said {
            Said::Praise => self.betas.add(heard.goal, heard.path, true, weight),
            Said::Fault => self.betas.add(heard.goal, heard.path, false, weight),
            Said::TakenBack(_) => {}
        }
    }
}
