//! Everything that one tenant's traffic teaches, in one place: from counters to what is believed of each path.
//!
//! Counters of one goal's bucket say what was heard there. How far each source may be believed is learned from all
//! goals together ([`crate::reliability`]), and a goal starts from what others know of its paths ([`crate::sharing`]):
//! and of others of their models, as far as these were seen to be alike.
//! A learner holds these two, fed with integers and with what follows from them; a tenant's learner never sees another
//! tenant's counters.

use crate::counters::{Count, Counters};
use crate::evidence::Pattern;
use crate::ids::PathId;
use crate::moved::Moved;
use crate::posterior::{LearnerConfig, Posterior, Subject, believe};
use crate::reliability::{Pool, Reliability};
use crate::sharing::{Heard, Sharing};

/// What is learned across the goals of one tenant. `G` names a goal (or one pipeline of it), `B` a bucket.
///
/// ```
/// use kalibr_core::counters::{Cell, Count, Counters, Epoch};
/// use kalibr_core::evidence::{Register, Signal, Source, Strength, Value};
/// use kalibr_core::ids::{PathId, SignalId, Timestamp};
/// use kalibr_core::learner::Learner;
/// use kalibr_core::posterior::{LearnerConfig, Subject};
///
/// let said = |value: Value| {
///     let mut register = Register::default();
///     let (id, strength) = (SignalId::new("s").unwrap(), value.default_strength());
///     let at = Timestamp(0);
///     register.take(&Signal { id, source: Source::Explicit, value, strength, confidence: Strength::ONE, at, attempt: None });
///     (register.pattern(), Count::one(strength.units()))
/// };
/// let (good, poor) = (PathId::from_bytes([1; 16]), PathId::from_bytes([2; 16]));
/// let mut learner = Learner::default();
/// let subjects = [Subject::unknown(good), Subject::unknown(poor)];
/// let config = LearnerConfig::default();
/// for goal in ["tickets", "summaries", "mails"] {
///     let mut counters = Counters::default();
///     for (path, good_ones) in [(good, 24), (poor, 9)] {
///         for i in 0..30 {
///             let (pattern, count) = said(if i < good_ones { Value::UserAccepted } else { Value::UserRejected });
///             counters.add(Cell { epoch: Epoch(0), path, pattern }, count);
///             learner.count(path, pattern, count);
///         }
///     }
///     learner.learn();
///     learner.posteriors(&goal, &"all", &counters, &subjects, &config);
/// }
/// let new = learner.posteriors(&"letters", &"all", &Counters::default(), &subjects, &config);
/// assert!(new[0].quality.mean() > new[1].quality.mean() + 0.2);
/// ```
#[derive(Debug, Clone)]
pub struct Learner<G, B> {
    pool: Pool,
    reliability: Reliability,
    /// Something was counted since the reliabilities were learned.
    moved: bool,
    sharing: Sharing<G, B>,
}

impl<G, B> Default for Learner<G, B> {
    fn default() -> Self {
        Self {
            pool: Pool::default(),
            reliability: Reliability::default(),
            moved: false,
            sharing: Sharing::default(),
        }
    }
}

impl<G: Ord + Clone, B: Ord + Clone> Learner<G, B> {
    /// A counter of any goal moved, of a path whose model this is ([`Subject::model`]).
    pub fn count(&mut self, model: PathId, pattern: Pattern, count: Count) {
        self.moved |= self.pool.add(model, pattern, count);
    }

    /// Learns the reliability of every source anew, if anything that grades one was counted.
    pub fn learn(&mut self) {
        if std::mem::take(&mut self.moved) {
            self.reliability = Reliability::learn(&self.pool);
        }
    }

    /// How far each source may be believed.
    pub fn reliability(&self) -> &Reliability {
        &self.reliability
    }

    /// What is believed of each of `paths` in a goal's bucket, in that order: what was heard there, on top of what is
    /// known elsewhere. What was heard here is from now on known to the others.
    ///
    /// Does [`Self::own`], [`Self::teach`] and [`Self::given`] one after the other; whoever refreshes several places at
    /// once does each for all of them first, so that their order does not matter.
    pub fn posteriors(
        &mut self,
        goal: &G,
        bucket: &B,
        counters: &Counters,
        paths: &[Subject],
        config: &LearnerConfig,
    ) -> Vec<Posterior> {
        let own = self.own(counters, paths, config);
        self.teach(goal, bucket, paths, &own);
        self.given(goal, Some(bucket), paths, own, config)
    }

    /// What was heard of each of `paths` by these counters alone.
    pub fn own(&self, counters: &Counters, paths: &[Subject], config: &LearnerConfig) -> Vec<Posterior> {
        self.own_and_moved(counters, paths, config).0
    }

    /// As [`Self::own`], with what changed, oldest first.
    pub fn own_and_moved(
        &self,
        counters: &Counters,
        paths: &[Subject],
        config: &LearnerConfig,
    ) -> (Vec<Posterior>, Vec<Moved>) {
        believe(counters, paths, &self.reliability, config)
    }

    /// Lets other places know what was heard of `paths` in this one, instead of what they knew of it before.
    pub fn teach(&mut self, goal: &G, bucket: &B, paths: &[Subject], own: &[Posterior]) {
        let heard: Vec<Heard> = paths
            .iter()
            .zip(own)
            .map(|(subject, posterior)| Heard::of(subject.path, subject.model, posterior.own))
            .collect();
        self.sharing.put(goal, bucket, &heard);
    }

    /// What is believed of each of `paths` where this was heard of them, on top of what is known elsewhere; `None` is
    /// any bucket in which nothing was heard.
    pub fn given(
        &self,
        goal: &G,
        bucket: Option<&B>,
        paths: &[Subject],
        own: Vec<Posterior>,
        config: &LearnerConfig,
    ) -> Vec<Posterior> {
        if !config.sharing {
            return own;
        }
        let ids: Vec<(PathId, PathId)> = paths.iter().map(|subject| (subject.path, subject.model)).collect();
        let priors = self.sharing.priors(goal, bucket, &ids);
        own.into_iter()
            .zip(priors)
            .map(|(posterior, prior)| posterior.given(prior, posterior.available))
            .collect()
    }
}

#[cfg(test)]
mod tests;
