//! Policies that do not learn.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

use crate::policy::{Chosen, Policy, Request};
use crate::simulator::Heard;

/// Each path equally often.
pub(crate) struct Uniform {
    paths: usize,
    rng: Xoshiro256PlusPlus,
}

impl Uniform {
    pub(crate) fn new(paths: usize, seed: u64) -> Self {
        Self { paths, rng: Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x756e_6966) }
    }
}

impl Policy for Uniform {
    fn choose(&mut self, _: &Request) -> anyhow::Result<Chosen> {
        let path = self.rng.random_range(0..self.paths);
        Ok(Chosen::path(path))
    }

    fn hear(&mut self, _: &Heard) {}
}

/// Always the same path.
pub(crate) struct Always(pub(crate) usize);

impl Policy for Always {
    fn choose(&mut self, _: &Request) -> anyhow::Result<Chosen> {
        Ok(Chosen::path(self.0))
    }

    fn hear(&mut self, _: &Heard) {}
}
