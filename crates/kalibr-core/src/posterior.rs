//! What the counters say of each path: how likely it is to serve a user well.
//!
//! A path serves well when its provider answers and the answer is good, so success = availability × quality, each with
//! counters of its own: a provider outage must not look like bad answers, and answered-but-ungraded requests must not
//! look like good ones.
//!
//! Here every source is taken at its word: the winning signal of the ladder is the truth. With one perfectly reliable
//! source and a provider that always answers, [`posteriors`] is then exactly Beta-Bernoulli. Learning how far each source
//! can be trusted changes [`posteriors`] alone; what comes before it (counters) and after it (the policy table) stays.

use crate::counters::{Count, Counters};
use crate::evidence::{Source, Strength, Value};
use crate::ids::PathId;

/// A Beta distribution over a probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beta {
    /// Successes and the prior's, > 0.
    pub alpha: f64,
    /// Failures and the prior's, > 0.
    pub beta: f64,
}

impl Beta {
    /// Knows nothing: every probability is as likely as any other.
    pub const UNIFORM: Self = Self { alpha: 1.0, beta: 1.0 };

    /// The expected probability.
    pub fn mean(self) -> f64 {
        self.alpha / (self.alpha + self.beta)
    }

    /// The variance of the probability.
    pub fn variance(self) -> f64 {
        let total = self.alpha + self.beta;
        self.alpha * self.beta / (total * total * (total + 1.0))
    }

    /// The Beta with this mean in (0, 1) and this variance, which must be below `mean * (1 - mean)`.
    pub fn from_moments(mean: f64, variance: f64) -> Self {
        let strength = mean * (1.0 - mean) / variance - 1.0;
        Self { alpha: mean * strength, beta: (1.0 - mean) * strength }
    }
}

/// How the learner weighs what it has seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnerConfig {
    /// Graded attempts (of all paths together) after which older evidence counts half. `None`: nothing is forgotten.
    ///
    /// All paths age on this one clock, so what is known of an idle path fades back to "unknown" while others play, and
    /// a path that recovered is tried again. It ticks in evidence and not in decisions: at 5 % signal coverage 800
    /// decisions hold only 40 signals, and a clock of decisions would forget faster than it learns.
    pub half_life: Option<f64>,
    /// Attempts after which a provider's earlier answers and failures count half.
    pub availability_half_life: Option<f64>,
    /// Least probability of each path, in 0..=0.5; with many paths all floors together take at most half the traffic.
    pub floor: f64,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self { half_life: Some(800.0), availability_half_life: Some(200.0), floor: 0.01 }
    }
}

/// What is known of one path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    /// P(it answers and the answer serves), matched by mean and variance.
    pub success: Beta,
    /// P(the answer serves | it answers).
    pub quality: Beta,
    /// Share of attempts that the provider answered, in 0..=1.
    pub availability: f64,
    /// Graded attempts behind it, not discounted.
    pub graded: i64,
    /// Attempts behind it, not discounted.
    pub attempts: i64,
}

/// Discounted counts of one path.
#[derive(Default, Clone, Copy)]
struct Tally {
    good: f64,
    bad: f64,
    answered: f64,
    failed: f64,
    graded: i64,
    attempts: i64,
}

/// The posterior of each of `paths`, in that order. Counts of other paths are left out, and do not age these.
pub fn posteriors(counters: &Counters, paths: &[PathId], config: &LearnerConfig) -> Vec<Posterior> {
    let mut tallies = vec![Tally::default(); paths.len()];
    let weight = |age: i64, half_life: Option<f64>| half_life.map_or(1.0, |h| (-(age as f64) / h).exp2());
    // Ages count what happened in strictly later epochs: walk from the newest and add an epoch up only when it is done.
    let (mut graded_later, mut attempts_later) = (0, 0);
    let (mut graded_here, mut attempts_here) = (0, 0);
    let mut epoch = None;
    for (cell, Count { n, score }) in counters.iter().rev() {
        if epoch != Some(cell.epoch) {
            graded_later += std::mem::take(&mut graded_here);
            attempts_later += std::mem::take(&mut attempts_here);
            epoch = Some(cell.epoch);
        }
        let Some(tally) = paths.iter().position(|path| *path == cell.path).map(|i| &mut tallies[i]) else {
            continue;
        };
        let graded = cell.pattern.winner().is_some();
        graded_here += if graded { n } else { 0 };
        attempts_here += n;
        tally.attempts += n;
        if graded {
            let weight = weight(graded_later, config.half_life);
            let good = score as f64 / f64::from(Strength::UNITS);
            tally.good += weight * good;
            tally.bad += weight * (n as f64 - good);
            tally.graded += n;
        }
        let weight = weight(attempts_later, config.availability_half_life);
        match cell.pattern.value(Source::Provider) {
            Some(Value::Answered) => tally.answered += weight * n as f64,
            Some(Value::ProviderFailed) => tally.failed += weight * n as f64,
            _ => {}
        }
    }
    tallies.into_iter().map(Posterior::from).collect()
}

impl From<Tally> for Posterior {
    fn from(tally: Tally) -> Self {
        let quality = Beta { alpha: 1.0 + tally.good, beta: 1.0 + tally.bad };
        let (success, availability) = if tally.failed > 0.0 {
            // One imagined answer: a provider is taken to work until it is seen to fail.
            let available = Beta { alpha: 1.0 + tally.answered, beta: tally.failed };
            (product(available, quality), available.mean())
        } else {
            (quality, 1.0)
        };
        Self { success, quality, availability, graded: tally.graded, attempts: tally.attempts }
    }
}

/// The product of two independent probabilities, as the Beta with its mean and variance.
fn product(a: Beta, b: Beta) -> Beta {
    let second = |x: Beta| x.variance() + x.mean() * x.mean();
    let mean = a.mean() * b.mean();
    Beta::from_moments(mean, second(a) * second(b) - mean * mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{Cell, Epoch};
    use crate::evidence::Register;
    use proptest::prelude::*;

    const A: PathId = PathId::from_bytes([1; 16]);
    const B: PathId = PathId::from_bytes([2; 16]);

    use crate::outcome::Reply;

    fn pattern(answered: Option<bool>, value: Option<Value>) -> (crate::evidence::Pattern, u32) {
        let mut register = Register::default();
        register.reply(match answered {
            None => Reply::Unknown,
            Some(true) => Reply::Answered,
            Some(false) => Reply::Failed,
        });
        if let Some(value) = value {
            register.take(&crate::evidence::Signal {
                id: crate::ids::SignalId::new("s").unwrap(),
                source: Source::Explicit,
                value,
                strength: value.default_strength(),
                confidence: Strength::ONE,
                at: crate::ids::Timestamp(0),
                attempt: None,
            });
        }
        (register.pattern(), register.winner().map_or(0, |(_, s)| s.units()))
    }

    fn count(
        counters: &mut Counters,
        epoch: u32,
        path: PathId,
        answered: Option<bool>,
        value: Option<Value>,
        n: i64,
    ) {
        let (pattern, score) = pattern(answered, value);
        let cell = Cell { epoch: Epoch(epoch), path, pattern };
        for _ in 0..n {
            counters.add(cell, Count::one(score));
        }
    }

    proptest! {
        #[test]
        fn one_perfect_source_gives_exactly_beta_bernoulli(
            accepted in 0i64..300, rejected in 0i64..300, silent in 0i64..300, epochs in 1u32..80,
        ) {
            let mut counters = Counters::default();
            for (value, n) in [(Some(Value::UserAccepted), accepted), (Some(Value::UserRejected), rejected), (None, silent)] {
                for i in 0..n {
                    count(&mut counters, i as u32 % epochs, A, Some(true), value, 1);
                }
            }
            let config = LearnerConfig { half_life: None, ..LearnerConfig::default() };
            let posterior = posteriors(&counters, &[A], &config)[0];
            prop_assert_eq!(posterior.success, Beta { alpha: 1.0 + accepted as f64, beta: 1.0 + rejected as f64 });
            prop_assert_eq!(posterior.graded, accepted + rejected);
        }
    }

    #[test]
    fn silence_is_not_acceptance() {
        let mut counters = Counters::default();
        count(&mut counters, 0, A, Some(true), None, 1_000);
        assert_eq!(posteriors(&counters, &[A], &LearnerConfig::default())[0].success, Beta::UNIFORM);
    }

    #[test]
    fn an_outage_lowers_success_but_not_quality_and_ungraded_answers_do_not_raise_it() {
        let mut counters = Counters::default();
        count(&mut counters, 0, A, Some(true), Some(Value::UserAccepted), 30);
        let before = posteriors(&counters, &[A], &LearnerConfig::default())[0];
        count(&mut counters, 0, A, Some(false), None, 30);
        let outage = posteriors(&counters, &[A], &LearnerConfig::default())[0];
        assert_eq!(outage.quality, before.quality);
        assert!(outage.success.mean() < 0.55 && outage.availability < 0.55);
        count(&mut counters, 0, A, Some(true), None, 3_000);
        let healed = posteriors(&counters, &[A], &LearnerConfig::default())[0];
        assert!(healed.success.mean() <= before.success.mean());
        assert!(healed.success.mean() > 0.9);
    }

    #[test]
    fn old_evidence_counts_half_after_one_half_life_and_an_idle_path_fades_to_unknown() {
        let mut counters = Counters::default();
        count(&mut counters, 0, A, None, Some(Value::UserAccepted), 16);
        count(&mut counters, 1, B, None, Some(Value::UserRejected), 800);
        let known = posteriors(&counters, &[A, B], &LearnerConfig::default());
        assert!((known[0].success.alpha - 9.0).abs() < 1e-9, "{:?}", known[0]);
        assert!((known[1].success.beta - 801.0).abs() < 1e-9, "{:?}", known[1]);
        count(&mut counters, 2, B, None, Some(Value::UserRejected), 16_000);
        let faded = posteriors(&counters, &[A, B], &LearnerConfig::default())[0];
        assert!((faded.success.alpha - 1.0).abs() < 1e-3);
    }

    #[test]
    fn paths_that_are_not_asked_about_do_not_age_the_others() {
        let mut counters = Counters::default();
        count(&mut counters, 0, A, None, Some(Value::UserAccepted), 16);
        count(&mut counters, 1, B, None, Some(Value::UserAccepted), 16_000);
        let known = posteriors(&counters, &[A], &LearnerConfig::default())[0];
        assert_eq!(known.success.alpha, 17.0);
    }

    #[test]
    fn a_graded_metric_counts_its_score_as_success_and_the_rest_as_failure() {
        let (pattern, _) = pattern(None, Some(Value::UserAccepted));
        let mut counters = Counters::default();
        counters.add(Cell { epoch: Epoch(0), path: A, pattern }, Count::one(Strength::UNITS / 4));
        let posterior = posteriors(&counters, &[A], &LearnerConfig::default())[0].success;
        assert_eq!(posterior, Beta { alpha: 1.25, beta: 1.75 });
    }
}
