//! What a learner is to the benchmark, and what the benchmark is to a learner.

use std::sync::Arc;

use crate::prompts::Prompt;
use crate::simulator::Heard;

/// A decision that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Its number, from 0; also the time.
    pub(crate) decision: u32,
    /// The goal it belongs to.
    pub(crate) goal: u32,
    /// What is asked, where there are words.
    pub(crate) prompt: Option<Arc<Prompt>>,
}

/// A path that was chosen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chosen {
    /// Its index.
    pub(crate) path: usize,
    /// The exact probability of every path, where the policy knows it; empty elsewhere.
    pub(crate) propensities: Vec<f64>,
}

impl Chosen {
    /// A choice whose probability is not known.
    pub(crate) fn path(path: usize) -> Self {
        Self { path, propensities: Vec::new() }
    }
}

/// A learner. One lives for one run: one seed of one world.
pub(crate) trait Policy {
    /// Chooses a path.
    ///
    /// # Errors
    /// When the policy lives in another process, and that failed.
    fn choose(&mut self, request: &Request) -> anyhow::Result<Chosen>;

    /// Hears a signal about an earlier decision of its own. Nothing is due twice.
    fn hear(&mut self, heard: &Heard);

    /// The bill for the path that it just chose, in dollars: known at once, unlike what it was worth.
    fn paid(&mut self, _request: &Request, _path: usize, _dollars: f64) {}

    /// Is told the truth about the path that it just chose. Only the bounds listen: it is what no learner can know.
    fn told(&mut self, _request: &Request, _path: usize, _good: bool) {}

    /// How often it said that all paths became better or worse together.
    fn alerts(&self) -> u32 {
        0
    }
}

/// What policies are put in: all decisions of a run, and what would come of each path on each of them.
///
/// Nothing here depends on what a policy does.
pub(crate) trait World: Sync {
    /// What a run has.
    fn shape(&self) -> Shape;

    /// The decision of this number.
    fn request(&self, decision: u32) -> Request;

    /// The expected success of every path at this decision.
    fn rates(&self, decision: u32) -> Vec<f64>;

    /// Whether this path would serve this decision well, in the end.
    fn truth(&self, decision: u32, path: usize) -> bool;

    /// All that is ever heard of this decision if this path is chosen.
    fn heard(&self, decision: u32, path: usize) -> Vec<Heard>;

    /// What this path would cost on this decision, in dollars.
    fn cost(&self, _decision: u32, _path: usize) -> f64 {
        0.0
    }
}

/// The size of a world.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Shape {
    /// Decisions of a run, over all goals.
    pub(crate) decisions: u32,
    /// Goals.
    pub(crate) goals: usize,
    /// Paths of every goal.
    pub(crate) paths: usize,
    /// Features of a prompt, where there are prompts.
    pub(crate) features: usize,
    /// Mean dollars per request of every path, as a price list tells beforehand; empty where nothing costs anything.
    pub(crate) costs: Vec<f64>,
    /// How many decisions one must wait until no word about a decision is missing or changes.
    pub(crate) window: u32,
    /// The decision at which path 0 has recovered, where it does.
    pub(crate) recovered: Option<u32>,
}
