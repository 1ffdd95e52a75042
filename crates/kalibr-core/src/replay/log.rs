//! A log of decisions, as replay reads it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Sample;
use crate::counters::Epoch;
use crate::evidence::Strength;
use crate::ids::{Bucket, PathId, Pipeline, Timestamp, TraceId};
use crate::trace::Share;

/// A path, by the names that people call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathName {
    /// Its identity.
    pub path: PathId,
    /// Its model, or whatever the log calls it.
    pub model: String,
    /// Model, tools and params in short.
    pub label: String,
}

/// A decision with what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Names it. A decision that comes twice counts once.
    pub trace: TraceId,
    /// When it was made.
    pub at: Timestamp,
    /// The pipeline that it learned in.
    pub pipeline: Option<Pipeline>,
    /// The class of the request.
    pub bucket: Bucket,
    /// The stretch of the goal's decisions that it counts in; `None` where the log does not tell: 25 to each, then.
    pub epoch: Option<Epoch>,
    /// Whether it was drawn with these propensities. One that was forced or only observed teaches, but is no evidence
    /// of what another policy would have earned.
    pub drawn: bool,
    /// The path chosen.
    pub path: PathId,
    /// All paths that were looked at, each with the probability with which it could have been chosen.
    pub considered: Vec<(PathId, f64)>,
    /// Its attempts, the path that was chosen first.
    pub attempts: Vec<Share>,
    /// What the first attempt cost, in dollars, where that is known.
    pub dollars: Option<f64>,
}

/// A decision within a [`Log`], with numbers for names.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) epoch: Epoch,
    pub(super) drawn: bool,
    pub(super) sample: Sample,
    pub(super) attempts: Vec<Share>,
    pub(super) dollars: Option<f64>,
}

/// Decisions in the order of time.
#[derive(Debug, Clone, Default)]
pub struct Log {
    paths: Vec<PathName>,
    pub(super) entries: Vec<Entry>,
    /// The pipeline of each class, as a number.
    pipelines: Vec<usize>,
    duplicates: u64,
}

impl Log {
    /// Puts decisions in the order of time, ties by trace. `names` tells the names of paths; a path without one is called
    /// by its identity.
    pub fn new(names: Vec<PathName>, decisions: Vec<Logged>) -> Self {
        let mut log = Self { paths: names, ..Self::default() };
        let mut numbers: HashMap<PathId, usize> =
            log.paths.iter().enumerate().map(|(at, name)| (name.path, at)).collect();
        let mut classes: BTreeMap<(Option<Pipeline>, Bucket), usize> = BTreeMap::new();
        let mut pipelines: BTreeMap<Option<Pipeline>, usize> = BTreeMap::new();
        let mut seen: HashSet<TraceId> = HashSet::new();
        let mut decisions = decisions;
        decisions.sort_by_key(|decision| (decision.at, decision.trace));
        for decision in decisions {
            if !seen.insert(decision.trace) {
                log.duplicates += 1;
                continue;
            }
            let mut number = |path: PathId| {
                *numbers.entry(path).or_insert_with(|| {
                    let name = path.to_string();
                    log.paths.push(PathName { path, model: name.clone(), label: name });
                    log.paths.len() - 1
                })
            };
            let mut propensities = Vec::new();
            for (path, propensity) in &decision.considered {
                let at = number(*path);
                if propensities.len() <= at {
                    propensities.resize(at + 1, 0.0);
                }
                // A path that is listed twice is one path.
                propensities[at] += propensity;
            }
            let chosen = number(decision.path);
            let next = pipelines.len();
            let pipeline = *pipelines.entry(decision.pipeline.clone()).or_insert(next);
            let class = *classes.entry((decision.pipeline, decision.bucket)).or_insert_with(|| {
                log.pipelines.push(pipeline);
                log.pipelines.len() - 1
            });
            let first = decision.attempts.first().filter(|share| share.path == decision.path);
            let reward = first
                .filter(|share| share.pattern.winner().is_some())
                .map(|share| Strength::from_units(share.score).get());
            let nth = Epoch((log.entries.len() / Epoch::DECISIONS as usize) as u32);
            log.entries.push(Entry {
                at: decision.at,
                epoch: decision.epoch.unwrap_or(nth),
                drawn: decision.drawn,
                sample: Sample { class, propensities, chosen, reward },
                attempts: decision.attempts,
                dollars: decision.dollars.filter(|dollars| dollars.is_finite() && *dollars >= 0.0),
            });
        }
        log
    }

    /// The paths of the log.
    pub fn paths(&self) -> &[PathName] {
        &self.paths
    }

    /// Decisions that came more than once, and were counted once.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Decisions from `since` on that were forced or only observed.
    pub fn not_drawn(&self, since: Option<Timestamp>) -> u64 {
        self.from(since).filter(|entry| !entry.drawn).count() as u64
    }

    /// Drawn decisions from `since` on whose first attempt brought no answer.
    pub fn unanswered(&self, since: Option<Timestamp>) -> u64 {
        use crate::evidence::{Source, Value};

        let failed = |share: &Share| share.pattern.value(Source::Provider) == Some(Value::ProviderFailed);
        self.from(since).filter(|entry| entry.drawn && entry.attempts.first().is_some_and(failed)).count()
            as u64
    }

    /// Whether what anything costs is known.
    pub fn knows_costs(&self) -> bool {
        self.entries.iter().any(|entry| entry.dollars.is_some())
    }

    pub(super) fn pipelines(&self) -> &[usize] {
        &self.pipelines
    }

    fn from(&self, since: Option<Timestamp>) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| since.is_none_or(|since| entry.at >= since))
    }

    /// The number of the path of this name: an identity, a label, or a model that no other path has.
    ///
    /// # Errors
    /// [`UnknownPath`] where there is none, or more than one.
    pub fn path(&self, name: &str) -> Result<usize, UnknownPath> {
        let unknown = || UnknownPath {
            known: self.paths.iter().map(|path| path.label.as_str()).collect::<Vec<_>>().join(", "),
        };
        let by = |is: &dyn Fn(&PathName) -> bool| {
            let mut found = (0..self.paths.len()).filter(|&at| is(&self.paths[at]));
            found.next().filter(|_| found.next().is_none())
        };
        by(&|path| path.path.to_string() == name)
            .or_else(|| by(&|path| path.label == name))
            .or_else(|| by(&|path| path.model == name))
            .ok_or_else(unknown)
    }
}

/// No path, or no single one, has the name that a policy was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log has no single path of that name: name one of {known}")]
pub struct UnknownPath {
    /// The names of the log's paths.
    known: String,
}
