//! What the hosted product's published SDK documents of its router, as far as it goes: Beta Thompson, 10 % of decisions
//! at random, 20 forced samples of every path, signals by a fixed strength. The hosted brain itself is closed, so this is
//! no measurement of it, and the name says so.
//!
//! Its follow-up turns are read by keywords, which are right less often than a classifier: that is modelled by flipping
//! a share of them.

use rand::RngExt as _;

use kalibr_core::evidence::Source;

use super::thompson::Betas;
use crate::policy::{Chosen, Policy, Request};
use crate::simulator::{Heard, Said};

/// Share of decisions that are taken at random.
const RANDOM: f64 = 0.1;
/// Samples that every path of a goal gets before anything else.
const FORCED: u32 = 20;
/// P(keywords read a message as the classifier of the simulator does): with its .85 they are right three times in four.
const KEYWORDS_AGREE: f64 = 0.86;

/// The policy.
pub(crate) struct KalibrLike {
    betas: Betas,
    /// Per goal, how often each path was chosen.
    chosen: Vec<Vec<u32>>,
}

impl KalibrLike {
    pub(crate) fn new(goals: usize, paths: usize, seed: u64) -> Self {
        Self { betas: Betas::new(goals, paths, seed), chosen: vec![vec![0; paths]; goals] }
    }
}

impl Policy for KalibrLike {
    fn choose(&mut self, request: &Request) -> anyhow::Result<Chosen> {
        let chosen = &self.chosen[request.goal as usize];
        let path = if let Some(path) = chosen.iter().position(|&times| times < FORCED) {
            path
        } else if self.betas.rng.random_bool(RANDOM) {
            self.betas.rng.random_range(0..chosen.len())
        } else {
            self.betas.sample(request.goal)
        };
        self.chosen[request.goal as usize][path] += 1;
        Ok(Chosen::path(path))
    }

    fn hear(&mut self, heard: &Heard) {
        let mut good = match heard.said {
            Said::Praise => true,
            Said::Fault => false,
            Said::TakenBack(_) => return,
        };
        if heard.source == Source::Turn && !self.betas.rng.random_bool(KEYWORDS_AGREE) {
            good = !good;
        }
        self.betas.add(heard.goal, heard.path, good, 1.0);
    }
}
