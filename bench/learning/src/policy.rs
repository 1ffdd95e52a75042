//! What a learner is to the benchmark: it chooses, and it hears.

use crate::simulator::Heard;

/// A decision that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    /// Its number, from 0; also the time.
    pub(crate) decision: u32,
    /// The goal it belongs to.
    pub(crate) goal: u32,
}

/// A path that was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Chosen {
    /// Its index.
    pub(crate) path: usize,
    /// The exact probability of the choice, where the policy knows it.
    pub(crate) propensity: Option<f64>,
}

impl Chosen {
    /// A choice whose probability is not known.
    pub(crate) fn path(path: usize) -> Self {
        Self { path, propensity: None }
    }
}

/// A learner. One lives for one run: one seed of one scenario.
pub(crate) trait Policy {
    /// Chooses a path.
    fn choose(&mut self, request: Request) -> Chosen;

    /// Hears a signal about an earlier decision of its own. Nothing is due twice.
    fn hear(&mut self, heard: &Heard);

    /// Is told the truth about the path that it just chose. Only the bounds listen: it is what no learner can know.
    fn told(&mut self, _request: Request, _path: usize, _good: bool) {}
}
