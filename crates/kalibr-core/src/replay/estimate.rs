//! What a policy would have earned, with how far that is known: see the head of [`super`].

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::model::{Cells, RewardModel};

/// Fewest effective decisions from which a value is told.
pub const LEAST: f64 = 30.0;
/// Standard errors on both sides of a value: 95 % of a normal distribution.
const REACH: f64 = 1.959_963_985;
/// What rounding may take from a number of decisions.
const ROUNDING: f64 = 1e-6;
/// As many decisions as nobody waits for.
const NEVER: f64 = 1e8;
/// Probabilities below this count as this in weights: no log is long enough to tell them apart, and their inverse must
/// stay a number.
const TINY: f64 = 1e-12;

/// A decision that was drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its class, as a number: what is estimated is estimated within each class, and summed up by their shares.
    pub class: usize,
    /// The probability with which each path could have been chosen, 0 where it could not. Paths after the last of these
    /// could not either.
    pub propensities: Vec<f64>,
    /// The path that was drawn, by its place in `propensities`.
    pub chosen: usize,
    /// How well its answer served, in 0..=1; `None` where nobody graded it.
    pub reward: Option<f64>,
}

impl Sample {
    /// Whether the numbers can be what they are said to be.
    fn is_sound(&self) -> bool {
        let sum: f64 = self.propensities.iter().sum();
        self.propensities.iter().all(|p| (0.0..=1.0 + 1e-9).contains(p))
            && (sum - 1.0).abs() < 1e-6
            && self.propensities.get(self.chosen).is_some_and(|p| *p > 0.0)
            && self.reward.is_none_or(|reward| (0.0..=1.0).contains(&reward))
    }
}

/// An estimate with its 95 % interval. The interval is asymptotic: right about as often as stated once some dozens of
/// effective decisions are behind it, at one look at a log of fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Estimate {
    fn new(value: f64, variance: f64, low: f64, high: f64) -> Self {
        let reach = REACH * variance.max(0.0).sqrt();
        let value = value.clamp(low, high);
        Self { value, low: (value - reach).max(low), high: (value + reach).min(high) }
    }
}

/// What is known of a policy from a log.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Worth {
    /// Its value: success per graded decision, in 0..=1, by doubly robust estimation with the square-root weights.
    pub value: Estimate,
    /// Its value less that of what was done, in -1..=1.
    pub difference: Estimate,
    /// The same value by inverse propensities alone: unbiased, and of the greatest variance. May lie outside 0..=1.
    pub ips: f64,
    /// The same by self-normalised inverse propensities.
    pub snips: f64,
    /// The same by plain doubly robust estimation: it looks at all times alike, and the square-root weights more at those
    /// at which the log explored.
    pub dr: f64,
    /// Whether `dr` lies further from `value` than chance explains (three standard errors): paths have changed over time,
    /// and neither is what the policy would earn now.
    pub moved: bool,
}

/// Too little of the log speaks of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NotEnough {
    /// Effective decisions.
    pub effective: f64,
    /// About how many more decisions like those of the log it takes; `None` where nobody would wait for them, since
    /// nothing of the kind is ever drawn or graded.
    pub more: Option<u64>,
}

impl fmt::Display for NotEnough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not enough: the log supports this policy with an effective {:.0} decisions, at least {LEAST:.0} are needed",
            (self.effective + ROUNDING).floor()
        )?;
        match self.more {
            Some(more) => write!(f, "; that takes about {more} more decisions like these"),
            None => f.write_str("; what it would choose is all but never drawn, or never graded"),
        }
    }
}

impl std::error::Error for NotEnough {}

/// What a log says of a policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Decisions in which the policy could have been followed.
    pub decisions: u64,
    /// Those of them that somebody graded.
    pub graded: u64,
    /// Decisions in which the policy would have chosen a path that could not be chosen; left out.
    pub unsupported: u64,
    /// Decisions whose numbers cannot be right; left out.
    pub malformed: u64,
    /// What was actually earned in these decisions; `None` where none was graded.
    pub done: Option<f64>,
    /// As how many decisions made by the policy itself the log counts.
    pub effective: f64,
    /// What the policy would have earned, or why that is not told.
    pub worth: Result<Worth, NotEnough>,
}

/// Evaluates a policy on a log.
///
/// `samples` are in the order of time; `targets` says for each with which probability the policy would have chosen each
/// path, in the order of its propensities. `None` there takes the decision out of the evaluation; it still teaches the
/// reward model, as do decisions that cannot support the policy. A target may depend on earlier decisions, never on this
/// one's outcome or on later ones: that would be peeking.
///
/// ```
/// use kalibr_core::replay::{Sample, evaluate};
///
/// // A fair coin chose; the first path always serves, the second never.
/// let sample = |chosen| Sample {
///     class: 0,
///     propensities: vec![0.5, 0.5],
///     chosen,
///     reward: Some(if chosen == 0 { 1.0 } else { 0.0 }),
/// };
/// let samples: Vec<Sample> = (0..400).map(|i| sample(i % 2)).collect();
/// let always_the_first = vec![Some(vec![1.0, 0.0]); 400];
/// let found = evaluate(&samples, &always_the_first);
/// assert_eq!(found.done, Some(0.5));
/// assert!((found.effective - 200.0).abs() < 1e-9);
/// assert!(found.worth.unwrap().value.low > 0.9);
///
/// let found = evaluate(&samples[..40], &always_the_first[..40]);
/// assert_eq!(
///     found.worth.unwrap_err().to_string(),
///     "not enough: the log supports this policy with an effective 20 decisions, at least 30 are needed; that takes \
///      about 20 more decisions like these",
/// );
/// ```
pub fn evaluate(samples: &[Sample], targets: &[Option<Vec<f64>>]) -> Evaluation {
    let mut read = Read::default();
    let mut model = RewardModel::default();
    for (sample, target) in samples.iter().zip(targets) {
        read.take(sample, target.as_deref(), &mut model);
    }
    read.finish(&model)
}

/// A decision in which the policy could have been followed.
#[derive(Debug, Clone, Copy)]
struct Row {
    class: usize,
    chosen: usize,
    reward: Option<f64>,
    /// π/p of the chosen path.
    ratio: f64,
    /// What the model expected of the policy here.
    expected: f64,
    /// What the model expected of the chosen path.
    expected_chosen: f64,
    /// Variance of that over what could have been chosen.
    spread: f64,
    /// 1/√(Σ π²/p): the adaptive weight.
    weight: f64,
}

/// Everything that evaluation needs of a log, in one pass.
#[derive(Debug, Default)]
struct Read {
    /// The caller's numbers of classes, as small ones.
    classes: BTreeMap<usize, usize>,
    rows: Vec<Row>,
    /// Per row, the paths that the policy or the log could have chosen: path, π, p. Flat, with where each row ends.
    choices: Vec<(usize, f64, f64)>,
    ends: Vec<usize>,
    /// Of the rows: decisions, graded ones, and their rewards.
    drawn: Cells,
    /// Squared residuals of the model, of all graded decisions.
    residuals: Cells,
    unsupported: u64,
    malformed: u64,
}

impl Read {
    fn take(&mut self, sample: &Sample, target: Option<&[f64]>, model: &mut RewardModel) {
        if !sample.is_sound() {
            self.malformed += 1;
            return;
        }
        let next = self.classes.len();
        let class = *self.classes.entry(sample.class).or_insert(next);
        let chosen = sample.chosen;
        let expected = |path| model.expected(class, path);
        let expected_chosen = expected(chosen);
        if let Some(target) = target {
            match policy(target, &sample.propensities) {
                Ok(policy) => {
                    let start = self.choices.len();
                    self.choices.extend(policy);
                    self.ends.push(self.choices.len());
                    let choices = &self.choices[start..];
                    let mean = choices.iter().map(|&(path, _, p)| p * expected(path)).sum::<f64>();
                    let square = choices.iter().map(|&(path, _, p)| p * expected(path).powi(2)).sum::<f64>();
                    self.rows.push(Row {
                        class,
                        chosen,
                        reward: sample.reward,
                        ratio: choices.iter().find(|c| c.0 == chosen).map_or(0.0, |&(_, pi, p)| pi / p),
                        expected: choices.iter().map(|&(path, pi, _)| pi * expected(path)).sum(),
                        expected_chosen,
                        spread: (square - mean * mean).max(0.0),
                        weight: choices.iter().map(|&(_, pi, p)| pi * pi / p).sum::<f64>().powf(-0.5),
                    });
                    self.drawn.add(class, chosen, sample.reward);
                }
                Err(Unfit::Unsupported) => self.unsupported += 1,
                Err(Unfit::Malformed) => self.malformed += 1,
            }
        }
        if let Some(reward) = sample.reward {
            self.residuals.add(class, chosen, Some((reward - expected_chosen).powi(2)));
        }
        model.take(class, chosen, sample.reward);
    }

    fn finish(self, model: &RewardModel) -> Evaluation {
        let graded = self.rows.iter().filter(|row| row.reward.is_some()).count() as u64;
        let effective = self.effective();
        let done = self.done(model);
        let decisions = self.rows.len() as u64;
        let worth = if effective < LEAST - ROUNDING || graded == 0 {
            let more = (decisions as f64 * (LEAST / effective - 1.0) - ROUNDING).ceil();
            Err(NotEnough { effective, more: (more < NEVER).then_some(more as u64) })
        } else {
            Ok(self.worth(done))
        };
        Evaluation {
            decisions,
            graded,
            unsupported: self.unsupported,
            malformed: self.malformed,
            done: (graded > 0).then_some(done),
            effective,
            worth,
        }
    }

    /// The mean reward of each path in each class, by how often it was drawn there: the mean reward when every decision
    /// was graded. What was never graded counts as the model expects.
    fn done(&self, model: &RewardModel) -> f64 {
        let sum: f64 = self
            .drawn
            .iter()
            .map(|(class, path, cell)| {
                let mean =
                    if cell.graded > 0.0 { cell.sum / cell.graded } else { model.expected(class, path) };
                cell.n * mean
            })
            .sum();
        sum / (self.rows.len() as f64).max(1.0)
    }

    /// Sum of weights per class.
    fn weights(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.rows.iter().map(|row| row.class + 1).max().unwrap_or(0)];
        for row in &self.rows {
            sums[row.class] += row.weight;
        }
        sums
    }

    /// The weight of each row in the estimate: classes by their share of decisions, within a class by the row's weight.
    fn shares(&self) -> Vec<f64> {
        let sums = self.weights();
        let mut counts = vec![0.0; sums.len()];
        for row in &self.rows {
            counts[row.class] += 1.0;
        }
        let all = self.rows.len() as f64;
        self.rows.iter().map(|row| counts[row.class] / all * row.weight / sums[row.class]).collect()
    }

    /// The inverse of the variance that the policy's value would have if a single graded decision of its own had the
    /// variance 1.
    fn effective(&self) -> f64 {
        let shares = self.shares();
        let variance: f64 = self
            .each_choice()
            .map(|(row, path, pi, p)| {
                let rate = self.drawn.graded_share(self.rows[row].class, path);
                (shares[row] * pi).powi(2) / (p * rate)
            })
            .sum();
        if variance > 0.0 { 1.0 / variance } else { 0.0 }
    }

    /// Row, path, π and p of everything that could have been chosen.
    fn each_choice(&self) -> impl Iterator<Item = (usize, usize, f64, f64)> + '_ {
        self.ends.iter().enumerate().flat_map(|(row, &end)| {
            let start = if row == 0 { 0 } else { self.ends[row - 1] };
            self.choices[start..end].iter().map(move |&(path, pi, p)| (row, path, pi, p))
        })
    }

    fn worth(&self, done: f64) -> Worth {
        let (shares, n) = (self.shares(), self.rows.len() as f64);
        let value: f64 = self
            .rows
            .iter()
            .zip(&shares)
            .map(|(row, share)| {
                let corrected = row.reward.map_or(0.0, |reward| {
                    row.ratio * (reward - row.expected_chosen)
                        / self.drawn.graded_share(row.class, row.chosen)
                });
                share * (row.expected + corrected)
            })
            .sum();
        // What was done is known of its own decisions; the difference varies by what else could have been drawn.
        let mut variance = 0.0;
        let mut of_dr = 0.0;
        let mut of_difference = self.rows.iter().map(|row| row.spread).sum::<f64>() / (n * n);
        for (row, path, pi, p) in self.each_choice() {
            let class = self.rows[row].class;
            let noise =
                p * self.residuals.shrunk_variance(class, path) / self.drawn.graded_share(class, path);
            variance += (shares[row] * pi / p).powi(2) * noise;
            of_dr += ((shares[row] - 1.0 / n) * pi / p).powi(2) * noise;
            of_difference += (shares[row] * pi / p - 1.0 / n).powi(2) * noise;
        }
        let graded: Vec<(&Row, f64)> =
            self.rows.iter().filter_map(|row| row.reward.map(|reward| (row, reward))).collect();
        let mean = |f: &dyn Fn(&Row, f64) -> f64| {
            graded.iter().map(|&(row, reward)| f(row, reward)).sum::<f64>() / graded.len() as f64
        };
        let ratios = mean(&|row, _| row.ratio);
        let ips = mean(&|row, reward| row.ratio * reward);
        let dr = mean(&|row, reward| row.expected + row.ratio * (reward - row.expected_chosen));
        Worth {
            value: Estimate::new(value, variance, 0.0, 1.0),
            difference: Estimate::new(value - done, of_difference, -1.0, 1.0),
            ips,
            // Nothing of what the policy would choose was drawn and graded: the model is all there is.
            snips: if ratios > 0.0 { ips / ratios } else { value },
            dr,
            moved: (dr - value).abs() > 3.0 * of_dr.sqrt() + ROUNDING,
        }
    }
}

enum Unfit {
    Unsupported,
    Malformed,
}

/// What the policy and the log could have chosen: path, π (scaled to 1), p.
fn policy(target: &[f64], propensities: &[f64]) -> Result<Vec<(usize, f64, f64)>, Unfit> {
    let sum: f64 = target.iter().sum();
    if !(target.iter().all(|pi| *pi >= 0.0) && sum > 0.0 && sum.is_finite()) {
        return Err(Unfit::Malformed);
    }
    let p_of = |path: usize| propensities.get(path).copied().unwrap_or(0.0);
    if target.iter().enumerate().any(|(path, pi)| *pi > 0.0 && p_of(path) <= 0.0) {
        return Err(Unfit::Unsupported);
    }
    Ok((0..propensities.len())
        .filter(|&path| propensities[path] > 0.0)
        .map(|path| (path, target.get(path).copied().unwrap_or(0.0) / sum, propensities[path].max(TINY)))
        .collect())
}
