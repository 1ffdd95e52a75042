//! The policies that replay knows, and what each would have chosen.

use std::fmt;
use std::str::FromStr;

use super::log::{Log, UnknownPath};
use super::model::RewardModel;
use super::{Evaluation, evaluate};
use crate::availability::Tally;
use crate::counters::{Cell, Count, Counters};
use crate::evidence::{Source, Value};
use crate::ids::Timestamp;
use crate::learner::Learner;
use crate::objective::{Limits, NotEligible, Objective, Offer, SURE};
use crate::path::PathSpec;
use crate::posterior::{LearnerConfig, Subject};
use crate::rules::{Asked, ChoiceRules, Known, Prepared, Standing};

/// Tables are rebuilt when a class has grown by one part in this many, at most every 25 decisions: a router refreshes
/// all the time, and while little is known each decision moves it.
const GROWTH: u64 = 20;

/// Another policy than the one that made the log.
///
/// ```
/// use kalibr_core::replay::Policy;
///
/// assert_eq!("delta:0.05".parse(), Ok(Policy::Delta(0.05)));
/// assert_eq!("always:gpt-4o".parse(), Ok(Policy::Always("gpt-4o".into())));
/// assert!("delta:2".parse::<Policy>().unwrap_err().to_string().contains("0 to 1"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    /// Always the path of this name: its model, its label, or its identity.
    Always(String),
    /// In each pipeline and bucket the path that had earned most there before: chosen on the past alone.
    BestPerBucket,
    /// Each path that could be chosen with the same probability.
    Uniform,
    /// The learner, taking the cheapest path within so much of the best.
    Delta(f64),
    /// The learner, with another half-life; 0 forgets nothing.
    HalfLife(f64),
}

/// A text that names no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownPolicy {
    /// It is none of them.
    #[error("a policy is always:MODEL, best-per-bucket, uniform, delta:0.05 or half-life:400")]
    Name,
    /// Its delta cannot be one.
    #[error("delta is how much success a lower cost may forgo, a number from 0 to 1, such as delta:0.05")]
    Delta,
    /// Its half-life cannot be one.
    #[error(
        "half-life is 0 (forget nothing) or a number of graded decisions from 1 to 1e9, such as half-life:400"
    )]
    HalfLife,
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let number = |text: &str| text.parse::<f64>().ok();
        match text.split_once(':') {
            Some(("always", name)) if !name.is_empty() => Ok(Self::Always(name.to_owned())),
            Some(("delta", delta)) => number(delta)
                .filter(|delta| (0.0..=1.0).contains(delta))
                .map(Self::Delta)
                .ok_or(UnknownPolicy::Delta),
            Some(("half-life", half_life)) => number(half_life)
                .filter(|half_life| *half_life == 0.0 || (1.0..=1e9).contains(half_life))
                .map(Self::HalfLife)
                .ok_or(UnknownPolicy::HalfLife),
            None if text == "best-per-bucket" => Ok(Self::BestPerBucket),
            None if text == "uniform" => Ok(Self::Uniform),
            _ => Err(UnknownPolicy::Name),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always(name) => write!(f, "always:{name}"),
            Self::BestPerBucket => f.write_str("best-per-bucket"),
            Self::Uniform => f.write_str("uniform"),
            Self::Delta(delta) => write!(f, "delta:{delta}"),
            Self::HalfLife(half_life) => write!(f, "half-life:{half_life}"),
        }
    }
}

/// How the goal learns and chooses; a policy changes one thing of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Routing {
    /// How it weighs what it has seen.
    pub config: LearnerConfig,
    /// How it chooses.
    pub rules: ChoiceRules,
}

impl Log {
    /// What `policy` would have earned from `since` on. Earlier decisions only teach.
    ///
    /// The learner's tables are built from what the log holds, as if all evidence of earlier decisions had been in by
    /// then: it is the value of what such a learner would have *chosen*, not of what it would have found out by exploring
    /// in its own way.
    ///
    /// # Errors
    /// [`UnknownPath`] when the policy names a path that is not in the log.
    pub fn replay(
        &self,
        policy: &Policy,
        routing: &Routing,
        since: Option<Timestamp>,
    ) -> Result<Evaluation, UnknownPath> {
        let mut targets = match policy {
            Policy::Always(name) => self.always(self.path(name)?),
            Policy::BestPerBucket => self.best_per_class(),
            Policy::Uniform => self.uniform(),
            Policy::Delta(delta) => {
                let probability = match routing.rules.objective {
                    Objective::CheapestWithin { probability, .. } => probability,
                    _ => SURE,
                };
                let objective = Objective::CheapestWithin { delta: *delta, probability };
                self.learned(&Routing { rules: ChoiceRules { objective, ..routing.rules }, ..*routing })
            }
            Policy::HalfLife(half_life) => {
                let half_life = (*half_life > 0.0).then_some(*half_life);
                self.learned(&Routing { config: LearnerConfig { half_life, ..routing.config }, ..*routing })
            }
        };
        for (target, entry) in targets.iter_mut().zip(&self.entries) {
            if !entry.drawn || since.is_some_and(|since| entry.at < since) {
                *target = None;
            }
        }
        // What was forced or observed has no propensities, and teaches the learner alone.
        let (samples, targets): (Vec<_>, Vec<_>) = self
            .entries
            .iter()
            .zip(targets)
            .filter(|(entry, _)| entry.drawn)
            .map(|(entry, target)| (entry.sample.clone(), target))
            .unzip();
        Ok(evaluate(&samples, &targets))
    }

    fn always(&self, path: usize) -> Vec<Option<Vec<f64>>> {
        let target: Vec<f64> = (0..=path).map(|other| if other == path { 1.0 } else { 0.0 }).collect();
        vec![Some(target); self.entries.len()]
    }

    fn uniform(&self) -> Vec<Option<Vec<f64>>> {
        let open = |p: &f64| if *p > 0.0 { 1.0 } else { 0.0 };
        self.entries.iter().map(|entry| Some(entry.sample.propensities.iter().map(open).collect())).collect()
    }

    fn best_per_class(&self) -> Vec<Option<Vec<f64>>> {
        let mut model = RewardModel::default();
        self.entries
            .iter()
            .map(|entry| {
                let sample = &entry.sample;
                let open = (0..sample.propensities.len()).filter(|&path| sample.propensities[path] > 0.0);
                let expected = |path: usize| model.expected(sample.class, path);
                // Of equals the first.
                let best =
                    open.reduce(|best, path| if expected(path) > expected(best) { path } else { best });
                let target = best.map(|best| {
                    (0..=best).map(|path| if path == best { 1.0 } else { 0.0 }).collect::<Vec<f64>>()
                });
                model.take(sample.class, sample.chosen, sample.reward);
                target
            })
            .collect()
    }

    /// What the learner would have chosen, refreshing all the time, with the log's own evidence.
    ///
    /// Which paths were too dear or too slow the log tells by their propensities of 0. Asked again, a cap would rule out
    /// all that the log has no cost of, and with them the decision.
    fn learned(&self, routing: &Routing) -> Vec<Option<Vec<f64>>> {
        let limits = Limits { min_quality: routing.rules.limits.min_quality, ..Limits::default() };
        let routing = Routing { rules: ChoiceRules { limits, ..routing.rules }, ..*routing };
        let mut replayed = Replayed::new(self, &routing);
        self.entries
            .iter()
            .map(|entry| {
                let p = &entry.sample.propensities;
                let target = if entry.drawn {
                    let ruled_out = |path: usize| {
                        (!p.get(path).is_some_and(|p| *p > 0.0)).then_some(NotEligible::NotACandidate)
                    };
                    // The one place that asks the rules for the probabilities of a request.
                    let choices =
                        replayed.table(entry.sample.class, entry.at).choices(&Asked::default(), ruled_out);
                    choices.ok().map(|choices| choices.propensities)
                } else {
                    None
                };
                replayed.learn(entry);
                target
            })
            .collect()
    }
}

/// A learner on its way through a log.
struct Replayed<'l> {
    routing: &'l Routing,
    subjects: Vec<Subject>,
    classes: Vec<Class>,
    /// By pipeline and class.
    learner: Learner<usize, usize>,
    /// Dollars and calls by path.
    spent: Vec<(f64, f64)>,
    /// Answers and failures by path: the log is of one goal, so what its path did is all that is known of a provider.
    tallies: Vec<Tally>,
}

struct Class {
    /// Its pipeline: buckets of one share what they learn.
    pipeline: usize,
    counters: Counters,
    decisions: u64,
    /// After how many decisions it was built, and what.
    table: Option<(u64, Prepared)>,
}

impl<'l> Replayed<'l> {
    fn new(log: &Log, routing: &'l Routing) -> Self {
        let subjects = log.paths().iter().map(|name| {
            let model = PathSpec::model(&name.model).map_or(name.path, |model| model.id());
            Subject { model, ..Subject::unknown(name.path) }
        });
        Self {
            routing,
            subjects: subjects.collect(),
            classes: log
                .pipelines()
                .iter()
                .map(|&pipeline| Class { pipeline, counters: Counters::default(), decisions: 0, table: None })
                .collect(),
            learner: Learner::default(),
            spent: vec![(0.0, 0.0); log.paths().len()],
            tallies: vec![Tally::default(); log.paths().len()],
        }
    }

    /// The table of a class as it stands.
    fn table(&mut self, number: usize, now: Timestamp) -> &Prepared {
        let Self { routing, subjects, classes, learner, spent, tallies } = self;
        let class = &mut classes[number];
        let fresh = class.table.take().filter(|(built, _)| {
            let most = u64::from(crate::counters::Epoch::DECISIONS);
            class.decisions - built < (built / GROWTH).clamp(1, most) && class.decisions > 0
        });
        let table = fresh.unwrap_or_else(|| {
            for (subject, tally) in subjects.iter_mut().zip(&*tallies) {
                subject.available = tally.available(now);
            }
            learner.learn();
            let known =
                learner.posteriors(&class.pipeline, &number, &class.counters, subjects, &routing.config);
            let rules = routing.rules.while_available(known.iter().map(|posterior| posterior.availability));
            let known: Vec<Known> = known
                .iter()
                .zip(spent)
                .map(|(posterior, (dollars, calls))| {
                    let dollars = (*calls > 0.0).then_some(*dollars / *calls);
                    let known = Known::of(posterior.success);
                    Known { offer: Offer { dollars, ..known.offer }, ..known }
                })
                .collect();
            (class.decisions, rules.prepare(&known, &Standing::default()))
        });
        &class.table.insert(table).1
    }

    fn learn(&mut self, entry: &super::log::Entry) {
        let class = &mut self.classes[entry.sample.class];
        class.decisions += 1;
        for share in &entry.attempts {
            let count = Count::one(share.score);
            class.counters.add(Cell { epoch: entry.epoch, path: share.path, pattern: share.pattern }, count);
            if let Some(at) = self.subjects.iter().position(|subject| subject.path == share.path) {
                self.learner.count(self.subjects[at].model, share.pattern, count);
                match share.pattern.value(Source::Provider) {
                    Some(Value::Answered) => self.tallies[at].add(entry.at, 1, 0),
                    Some(Value::ProviderFailed) => self.tallies[at].add(entry.at, 0, 1),
                    _ => {}
                }
            }
        }
        if let (Some(dollars), Some(spent)) = (entry.dollars, self.spent.get_mut(entry.sample.chosen)) {
            spent.0 += dollars;
            spent.1 += 1.0;
        }
    }
}

#[cfg(test)]
mod tests;
