//! Thompson sampling with a Beta for every goal and path (Thompson 1933; Chapelle and Li 2011).

use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Beta, Distribution as _};

use crate::policy::{Chosen, Policy, Request};
use crate::simulator::Heard;

/// The Betas and the draws.
pub(crate) struct Betas {
    /// Per goal and path: successes and failures, the uniform prior's included.
    counts: Vec<Vec<(f64, f64)>>,
    pub(crate) rng: Xoshiro256PlusPlus,
}

impl Betas {
    pub(crate) fn new(goals: usize, paths: usize, seed: u64) -> Self {
        Self {
            counts: vec![vec![(1.0, 1.0); paths]; goals],
            rng: Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x6265_7461),
        }
    }

    /// The path whose draw is the greatest.
    pub(crate) fn sample(&mut self, goal: u32) -> usize {
        let mut best = (0, f64::NEG_INFINITY);
        for (path, &(alpha, beta)) in self.counts[goal as usize].iter().enumerate() {
            // Both are at least 1, which is all that the distribution asks for.
            let drawn = Beta::new(alpha, beta).map_or(0.5, |beta| beta.sample(&mut self.rng));
            if drawn > best.1 {
                best = (path, drawn);
            }
        }
        best.0
    }

    /// Adds an observation of this weight.
    pub(crate) fn add(&mut self, goal: u32, path: usize, good: bool, weight: f64) {
        let count = &mut self.counts[goal as usize][path];
        *(if good { &mut count.0 } else { &mut count.1 }) += weight;
    }
}

/// Told the truth at once of whatever it chose.
pub(crate) struct Told(Betas);

impl Told {
    pub(crate) fn new(goals: usize, paths: usize, seed: u64) -> Self {
        Self(Betas::new(goals, paths, seed))
    }
}

impl Policy for Told {
    fn choose(&mut self, request: &Request) -> anyhow::Result<Chosen> {
        Ok(Chosen::path(self.0.sample(request.goal)))
    }

    fn hear(&mut self, _: &Heard) {}

    fn told(&mut self, request: &Request, path: usize, good: bool) {
        self.0.add(request.goal, path, good, 1.0);
    }
}
