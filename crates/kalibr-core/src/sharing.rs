//! What one place teaches another: from the buckets of a goal to the goal, from goals to models, within one tenant.
//!
//! Goals and buckets differ in how hard they are, and that says nothing about models; but a model that beats another on
//! nine goals will probably beat it on the tenth. So log-odds of quality are taken apart, for the path `a` in the bucket
//! `b` of the goal `g`:
//!
//! ```text
//! logit q = L_gb + D_ga + e        L: the level of the bucket, common to all paths
//!                                  D: what the path adds in this goal, around C_a, what it adds everywhere,
//!                                     around M_m, what its model adds
//!                                  e: what the path adds in this bucket alone
//! L ~ N(1, 1.5²)   D ~ N(C_a, τ²)   C ~ N(M_m, σ²)   M ~ N(0, 1 - σ²)   e ~ N(0, ε²)
//! ```
//!
//! The same model at another temperature, or with another prompt, may answer differently as day and night: σ is how much
//! paths of one model differ, and is learned. Where they were seen to be alike, a new path starts from its model; where
//! they were not, or were never compared, it starts from nothing.
//!
//! A linear Gaussian model (Gelman et al., *Bayesian Data Analysis*, ch. 15) of what was heard: a Beta over a
//! quality is worth a Gaussian over its log-odds with mean ψ(α) − ψ(β) and variance ψ'(α) + ψ'(β), and what it owes to
//! the uniform prior is taken off. Each goal adds its part to one system of equations for all paths, in fixed point, so
//! that it can be taken out again exactly. τ, σ and ε are estimated by one step of Paule and Mandel's method (1982) from
//! how much goals, paths of one model and buckets differ beyond their noise, with a few imagined differences so that two
//! goals decide nothing.
//!
//! The prior of a path in a place is computed from everything but what was heard of it there, so nothing counts twice.
//! Where nothing elsewhere speaks of the path or its model it is uniform. It moves the level with what is heard of
//! other paths here, and is about as sure as the path's place *among the others* is known: a doubt about the level is
//! common to all paths (the covariance of their log-odds), and choosing compares.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use statrs::function::gamma::digamma;

use crate::ids::PathId;
use crate::posterior::Beta;

mod equations;

use equations::{Equations, Spread};

/// The level of a place of which nothing is known, in log-odds, and its standard deviation: most goals are met by
/// between a third and nine tenths of the answers.
const LEVEL: (f64, f64) = (1.0, 1.5);
/// Standard deviation of what paths add, in log-odds: of their models, and of paths around their model.
const PATHS: f64 = 1.0;
/// Standard deviation of what a path adds to its model (σ), before it is learned: one half of the variance.
const SIBLINGS: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// Standard deviation of what a path adds in one goal (τ), before it is learned.
const DIFFERENCE: f64 = 0.4;
/// Standard deviation of what a path adds in one bucket (ε), before it is learned. On real prompts (`bench/learning`, four
/// buckets, 40 tuning seeds) .4 earned .7667, .25 .7673, .15 .7670 and .08 .7655.
const BUCKETS: f64 = 0.25;
/// How many observed differences that belief is worth.
const IMAGINED: f64 = 4.0;
/// The share of the doubt that all paths have in common by which a prior is widened. 0 would take the level for known, 1
/// would drown the contrast between paths.
const LEVEL_DOUBT: f64 = 0.1;
/// A prior is used when what is known elsewhere has halved the doubt about what the path adds.
const INFORMED: f64 = 0.5;
/// The most observations that a prior may be worth. Near 0 and 1 a little doubt in log-odds is next to none in quality, and
/// a prior that is wrong there would have to be outweighed by hundreds of answers.
const STRONGEST: f64 = 30.0;
/// Variance of the log-odds of a uniform quality: ψ'(1) + ψ'(1).
const UNIFORM_VARIANCE: f64 = std::f64::consts::PI * std::f64::consts::PI / 3.0;

/// What was heard of one path in one place, as a Gaussian likelihood over its log-odds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// The path.
    pub path: PathId,
    /// Its model, always the same for one path.
    pub model: PathId,
    /// The inverse of the variance, >= 0; 0 says nothing.
    information: f64,
    /// The mean times the information.
    pull: f64,
}

impl Heard {
    /// What is worth the same as `own`, a Beta that a uniform prior became.
    pub fn of(path: PathId, model: PathId, own: Beta) -> Self {
        let (a, b) = (own.alpha.clamp(1e-3, 1e12), own.beta.clamp(1e-3, 1e12));
        let variance = trigamma(a) + trigamma(b);
        let information = (1.0 / variance - 1.0 / UNIFORM_VARIANCE).max(0.0);
        // The uniform prior pulls towards log-odds of 0, with no weight in this product.
        let pull = if information > 0.0 { (digamma(a) - digamma(b)) / variance } else { 0.0 };
        Self { path, model, information, pull }
    }

    /// Mean and precision as an observation of level and contrast, with this variance besides its own.
    fn observed(&self, difference: f64) -> Option<(f64, f64)> {
        (self.information > 1e-9).then(|| {
            let noise = 1.0 / self.information + difference;
            ((self.pull / self.information).clamp(-8.0, 8.0), 1.0 / noise)
        })
    }
}

/// One goal: its places, in order. What it adds to the equations follows from them, exactly, and takes five times their
/// memory.
#[derive(Debug, Clone)]
struct Family<B> {
    buckets: Vec<(B, Box<[Heard]>)>,
}

/// What was heard in all goals of one tenant. `G` names a goal (or a pipeline of it), `B` a bucket.
#[derive(Debug, Clone)]
pub struct Sharing<G, B> {
    goals: BTreeMap<G, Family<B>>,
    all: Equations,
    /// The model of each path that the equations know.
    models: BTreeMap<PathId, PathId>,
    /// τ² and σ², until something is heard that may change them: they take a look at every pair of paths.
    spread: OnceLock<Spread>,
}

impl<G, B> Default for Sharing<G, B> {
    fn default() -> Self {
        Self {
            goals: BTreeMap::new(),
            all: Equations::default(),
            models: BTreeMap::new(),
            spread: OnceLock::new(),
        }
    }
}

impl<G: Ord + Clone, B: Ord + Clone> Sharing<G, B> {
    /// What was heard in this place, instead of what was said of it before; nothing takes the place away.
    pub fn put(&mut self, goal: &G, bucket: &B, heard: &[Heard]) {
        let mut heard: Vec<Heard> = heard.iter().filter(|h| h.information > 1e-9).copied().collect();
        heard.sort_by_key(|heard| heard.path);
        heard.dedup_by_key(|heard| heard.path);
        if heard.is_empty() && !self.goals.contains_key(goal) {
            return;
        }
        let family = self.goals.entry(goal.clone()).or_insert_with(|| Family { buckets: Vec::new() });
        let place = family.buckets.binary_search_by(|(other, _)| other.cmp(bucket));
        let before = place.map_or(&[][..], |at| &family.buckets[at].1);
        if before == heard {
            return;
        }
        // Each bucket speaks for itself, so only this one is looked at again.
        for (heard, sign) in [(before, -1), (&heard[..], 1)] {
            self.all.add(&Equations::of(heard), sign);
        }
        for heard in before.iter().chain(&heard) {
            if self.all.knows(heard.path) {
                self.models.insert(heard.path, heard.model);
            } else {
                self.models.remove(&heard.path);
            }
        }
        self.spread.take();
        match place {
            Ok(at) if heard.is_empty() => drop(family.buckets.remove(at)),
            Ok(at) => family.buckets[at].1 = heard.into(),
            Err(_) if heard.is_empty() => {}
            Err(at) => {
                family.buckets.reserve_exact(1);
                family.buckets.insert(at, (bucket.clone(), heard.into()));
            }
        }
        if family.buckets.is_empty() {
            self.goals.remove(goal);
        }
    }

    /// What is believed of the quality of each of `paths` (path and model) in this place, before anything is heard of it
    /// there: uniform where nothing elsewhere tells. `None` is any bucket in which nothing was heard.
    pub fn priors(&self, goal: &G, bucket: Option<&B>, paths: &[(PathId, PathId)]) -> Vec<Beta> {
        let family = self.goals.get(goal);
        let other_buckets = family.is_some_and(|f| f.buckets.iter().any(|(other, _)| Some(other) != bucket));
        let other_goals = self.goals.len() > usize::from(family.is_some());
        if !other_buckets && !other_goals {
            return vec![Beta::UNIFORM; paths.len()];
        }
        let empty = Family { buckets: Vec::new() };
        let spread = self.spread.get_or_init(|| self.all.spread(&self.models));
        let model = |path| match self.models.get(&path) {
            None => paths.iter().find(|(asked, _)| *asked == path).map(|(_, model)| *model),
            known => known.copied(),
        };
        family.unwrap_or(&empty).priors(bucket, paths, &self.all, spread, model)
    }
}

/// Per bucket and path: log-odds relative to the expected level, and their precision.
type Seen = Vec<Vec<(f64, f64)>>;

impl<B: Ord> Family<B> {
    fn seen(&self, paths: &[PathId], difference: f64) -> Seen {
        let row = |(_, heard): &(B, Box<[Heard]>)| {
            let mut row = vec![(0.0, 0.0); paths.len()];
            for one in heard {
                let at = paths.iter().position(|path| *path == one.path);
                if let (Some(at), Some((mean, precision))) = (at, one.observed(difference)) {
                    row[at] = (mean - LEVEL.0, precision);
                }
            }
            row
        };
        self.buckets.iter().map(row).collect()
    }

    /// What the goal adds to the equations.
    fn told(&self) -> Equations {
        let mut all = Equations::default();
        self.buckets.iter().for_each(|(_, heard)| all.add(&Equations::of(heard), 1));
        all
    }

    /// `all` is what all goals add together, and `spread` what that says of the differences between them.
    fn priors(
        &self,
        bucket: Option<&B>,
        paths: &[(PathId, PathId)],
        all: &Equations,
        spread: &Spread,
        model: impl Fn(PathId) -> Option<PathId>,
    ) -> Vec<Beta> {
        let heard = self.buckets.iter().flat_map(|(_, heard)| heard).map(|heard| heard.path);
        let mut known: Vec<PathId> = heard.chain(paths.iter().map(|(path, _)| *path)).collect();
        known.sort_unstable();
        known.dedup();
        let (means, mut covariance) = all.paths(&self.told(), &known, spread, model);
        (0..known.len()).for_each(|a| covariance[a][a] += spread.goals);
        let here = Here { means, precision: inverse(covariance) };
        let epsilon = self.between_buckets(&known, &here);
        let seen = self.seen(&known, epsilon);
        let joint = here.joint(&seen, self.buckets.iter().position(|(other, _)| Some(other) == bucket));
        paths
            .iter()
            .map(|(path, _)| {
                let Ok(at) = known.binary_search(path) else { return Beta::UNIFORM };
                let (mean, own, common) = joint.without(at);
                if own >= INFORMED * PATHS * PATHS {
                    return Beta::UNIFORM;
                }
                logistic_normal(LEVEL.0 + mean, own + epsilon + LEVEL_DOUBT * common)
            })
            .collect()
    }

    /// ε²: by how much what a path adds differs between buckets beyond what chance explains.
    fn between_buckets(&self, paths: &[PathId], here: &Here) -> f64 {
        let square = BUCKETS * BUCKETS;
        if self.buckets.len() < 2 {
            return square;
        }
        let seen = self.seen(paths, square);
        let contrasts = here.joint(&seen, None).means;
        let (mut over, mut under, mut n) = (0.0, 0.0, 0.0);
        for row in &seen {
            let total = level(row).0;
            let at: f64 = row.iter().zip(&contrasts).map(|((y, r), d)| r * (y - d)).sum::<f64>() / total;
            for ((y, r), d) in row.iter().zip(&contrasts).filter(|((_, r), _)| *r > 0.0) {
                over += r * r * ((y - at - d).powi(2) - (1.0 / r - square));
                under += r * r;
                n += 1.0;
            }
        }
        // As many residuals as there are levels and contrasts are fitted away.
        let fitted = (self.buckets.len() + paths.len() - 1) as f64;
        let free = if n > 0.0 { (1.0 - fitted / n).max(0.0) } else { 0.0 };
        let imagined = IMAGINED / (square * square);
        ((imagined * square + over.max(0.0)) / (imagined + under * free)).clamp(0.0025, 2.25)
    }
}

/// The precision of a bucket's level were the contrasts known, and the mean of what was seen, as the level's prior
/// leaves it.
fn level(row: &[(f64, f64)]) -> (f64, f64) {
    let total = row.iter().map(|(_, r)| r).sum::<f64>() + 1.0 / (LEVEL.1 * LEVEL.1);
    (total, row.iter().map(|(y, r)| y * r).sum::<f64>() / total)
}

/// What is believed of the contrasts of a goal's paths before the goal speaks.
struct Here {
    means: Vec<f64>,
    precision: Vec<Vec<f64>>,
}

/// The contrasts of a goal's paths and the level of one of its buckets, all others integrated out.
struct Joint {
    /// Of each path, then of the level.
    means: Vec<f64>,
    covariance: Vec<Vec<f64>>,
    /// Of each path in the bucket, as seen.
    row: Vec<(f64, f64)>,
}

impl Here {
    /// `bucket` is the one whose level is asked for; `None`: one of which nothing was seen.
    fn joint(&self, seen: &Seen, bucket: Option<usize>) -> Joint {
        let k = self.means.len();
        let mut matrix: Vec<Vec<f64>> =
            self.precision.iter().map(|row| [&row[..], &[0.0]].concat()).collect();
        matrix.push(vec![0.0; k + 1]);
        let mut right: Vec<f64> =
            self.precision.iter().map(|row| row.iter().zip(&self.means).map(|(p, m)| p * m).sum()).collect();
        right.push(0.0);
        matrix[k][k] = 1.0 / (LEVEL.1 * LEVEL.1);
        let mut row = vec![(0.0, 0.0); k];
        for (at, seen) in seen.iter().enumerate() {
            let (total, mean) = level(seen);
            for (a, &(y, r)) in seen.iter().enumerate().filter(|(_, (_, r))| *r > 0.0) {
                matrix[a][a] += r;
                if Some(at) == bucket {
                    matrix[a][k] += r;
                    matrix[k][a] += r;
                    matrix[k][k] += r;
                    right[a] += r * y;
                    right[k] += r * y;
                } else {
                    right[a] += r * (y - mean);
                    seen.iter().enumerate().for_each(|(b, (_, s))| matrix[a][b] -= r * s / total);
                }
            }
            if Some(at) == bucket {
                row.clone_from(seen);
            }
        }
        if bucket.is_none() && !seen.is_empty() {
            // A bucket that was never seen is expected to be as hard as the others.
            let n = seen.len() as f64 + 1.0;
            right[k] += matrix[k][k] * seen.iter().map(|row| level(row).1).sum::<f64>() / n;
        }
        let covariance = inverse(matrix);
        let means = covariance.iter().map(|row| row.iter().zip(&right).map(|(c, h)| c * h).sum()).collect();
        Joint { means, covariance, row }
    }
}

impl Joint {
    /// The log-odds of the path in the bucket without what was seen of it there: mean, the variance of its own, and the
    /// variance that it has in common with the other paths.
    fn without(&self, path: usize) -> (f64, f64, f64) {
        let k = self.row.len();
        // Each path's log-odds are its contrast and the level.
        let cov = |a: usize, b: usize| {
            self.covariance[a][b] + self.covariance[a][k] + self.covariance[k][b] + self.covariance[k][k]
        };
        let (y, r) = self.row[path];
        let whole = cov(path, path);
        // One observation of precision r is taken out of a Gaussian: what it explained comes back.
        let left = (1.0 - r * whole).max(1e-9);
        let mean = self.means[path] + self.means[k];
        let mean = mean - r * whole / left * (y - mean);
        let others = (0..k).filter(|b| *b != path);
        let common = others.map(|b| cov(path, b) / left).sum::<f64>() / (k as f64 - 1.0).max(1.0);
        let variance = whole / left;
        let common = if k > 1 { common.clamp(0.0, variance) } else { 0.0 };
        (mean, variance - common, common)
    }
}

/// The inverse of a symmetric positive definite matrix, by Cholesky.
#[expect(clippy::needless_range_loop, reason = "indices are the notation of the formula")]
fn inverse(mut a: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let n = a.len();
    for j in 0..n {
        for i in j..n {
            let sum: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
            a[i][j] = if i == j { (a[i][i] - sum).max(1e-12).sqrt() } else { (a[i][j] - sum) / a[j][j] };
        }
    }
    // Columns of the inverse of the lower factor, then their products.
    let mut lower = vec![vec![0.0; n]; n];
    for column in 0..n {
        for i in column..n {
            let sum: f64 = (column..i).map(|k| a[i][k] * lower[k][column]).sum();
            lower[i][column] = (if i == column { 1.0 } else { 0.0 } - sum) / a[i][i];
        }
    }
    (0..n).map(|i| (0..n).map(|j| (i.max(j)..n).map(|k| lower[k][i] * lower[k][j]).sum()).collect()).collect()
}

/// The Beta with the mean and variance of a probability whose log-odds are Gaussian.
fn logistic_normal(mean: f64, variance: f64) -> Beta {
    const NODES: i32 = 20;
    let sd = variance.sqrt();
    let (mut total, mut first, mut second) = (0.0, 0.0, 0.0);
    for node in -NODES..=NODES {
        let z = 4.0 * f64::from(node) / f64::from(NODES);
        let (mass, p) = ((-0.5 * z * z).exp(), 1.0 / (1.0 + (-(mean + sd * z)).exp()));
        total += mass;
        first += mass * p;
        second += mass * p * p;
    }
    let p = (first / total).clamp(1e-4, 1.0 - 1e-4);
    let most = p * (1.0 - p);
    Beta::from_moments(p, (second / total - p * p).clamp(most / (STRONGEST + 1.0), most * 0.5))
}

/// ψ'(x) for x > 0: its recurrence up to 8, then the asymptotic series (Abramowitz and Stegun, 6.4.12).
fn trigamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 8.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let r = 1.0 / (x * x);
    sum + 1.0 / x + 0.5 * r + r / x * (1.0 / 6.0 - r * (1.0 / 30.0 - r * (1.0 / 42.0 - r / 30.0)))
}

#[cfg(test)]
mod tests;
