//! How many more graded decisions it takes until something can be said.
//!
//! The future is projected, not drawn: as graded decisions come in, at rates that the paths look like they have, the
//! posteriors narrow, the traffic moves to the leader, and the confidence sequence closes; the number sought is where the
//! first verdict would be given. That the traffic moves is what the number hangs on: a runner-up is sampled less and
//! less, and twice the answer follows from taking today's split to last.
//!
//! The gap between two paths is not known either, and early on what it looks like says little: two paths that nothing
//! is known of look equal, and equal paths take long to tell apart. So the future is projected for several gaps, which
//! are quantiles of its size under the posterior, and the number told is the median of theirs.
//!
//! Everything is pairwise and Gaussian here: the order of magnitude is wanted, at a price that allows it for each scope
//! of each goal whenever somebody looks. Discounting is left out.

use statrs::function::erf::erfc;

use super::{LEVEL, Seen, pair_error};
use crate::anytime::{is_greater, split};

/// The greatest number that is told.
pub const MOST: u32 = 100_000;

/// A path on its way.
struct Moving {
    /// Its posterior today.
    mean: f64,
    strength: f64,
    /// What its success is taken to be.
    truth: f64,
    availability: f64,
    /// Matured decisions today, good and bad.
    matured: (f64, f64),
    /// More graded decisions of it.
    n: f64,
}

impl Moving {
    fn mean(&self) -> f64 {
        (self.strength * self.mean + self.n * self.truth) / (self.strength + self.n)
    }

    fn variance(&self) -> f64 {
        let mean = self.mean();
        mean * (1.0 - mean) / (self.strength + self.n + 1.0)
    }

    fn graded(&self) -> (f64, f64) {
        let quality = if self.availability > 0.0 { (self.truth / self.availability).min(1.0) } else { 0.0 };
        (self.matured.0 + self.n * quality, self.matured.1 + self.n * (1.0 - quality))
    }
}

/// P(X < x) of a standard normal.
fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x / std::f64::consts::SQRT_2)
}

/// The quantiles of the gap's size that the future is projected for.
const QUANTILES: [f64; 3] = [0.25, 0.5, 0.75];

/// This quantile of |X| for a normal X.
fn size(mean: f64, sd: f64, quantile: f64) -> f64 {
    let (mut low, mut high) = (0.0, mean.abs() + 3.0 * sd);
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        let inside = normal_cdf((middle - mean) / sd) - normal_cdf((-middle - mean) / sd);
        if inside < quantile { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Graded decisions of all paths until there is a verdict, about: at least 1, to one digit, for the second would promise
/// too much. `None`: more than [`MOST`].
pub(super) fn more(paths: &[Seen], leader: usize, delta: f64, floor: f64) -> Option<u32> {
    let number = estimate(paths, leader, delta, floor);
    (number <= f64::from(MOST)).then(|| rounded(number))
}

/// The number that [`more`] rounds.
pub(super) fn estimate(paths: &[Seen], leader: usize, delta: f64, floor: f64) -> f64 {
    let mut numbers = QUANTILES.map(|quantile| projected(paths, leader, quantile, delta, floor));
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The number if the gaps are at this quantile of their sizes; infinite if it is more than [`MOST`].
fn projected(paths: &[Seen], leader: usize, quantile: f64, delta: f64, floor: f64) -> f64 {
    let (Some(mut first), mut others) = moving(paths, leader, quantile) else { return f64::INFINITY };
    let mut tilt: Option<Vec<f64>> = None;
    let mut total = 0.0;
    loop {
        let now = Standing::of(&first, &others, delta);
        if now.is_clear(&first, &others, delta) {
            return total;
        }
        if total > f64::from(MOST) {
            return f64::INFINITY;
        }
        let split = now.split(floor);
        // What else the split hangs on (costs, limits) stays as it is.
        let tilt = tilt.get_or_insert_with(|| {
            let order = std::iter::once(leader).chain((0..paths.len()).filter(|&at| at != leader));
            order.zip(&split).map(|(at, own)| (paths[at].share / own).clamp(0.02, 50.0)).collect()
        });
        let all: f64 = split.iter().zip(tilt.iter()).map(|(own, tilt)| own * tilt).sum();
        let step = f64::max(1.0, 0.2 * total);
        first.n += step * split[0] * tilt[0] / all;
        for ((other, own), tilt) in others.iter_mut().zip(&split[1..]).zip(&tilt[1..]) {
            other.n += step * own * tilt / all;
        }
        total += step;
    }
}

/// The leader, and the others in order.
fn moving(paths: &[Seen], leader: usize, quantile: f64) -> (Option<Moving>, Vec<Moving>) {
    let of = |seen: &Seen, truth: f64| Moving {
        mean: seen.success.mean(),
        strength: seen.success.alpha + seen.success.beta,
        truth: truth.clamp(0.0, 1.0),
        availability: seen.availability,
        matured: split(seen.matured),
        n: 0.0,
    };
    let Some(first) = paths.get(leader) else { return (None, Vec::new()) };
    let (mean, variance) = (first.success.mean(), first.success.variance());
    let others = paths.iter().enumerate().filter(|(at, _)| *at != leader).map(|(_, other)| {
        let sd = (variance + other.success.variance()).sqrt();
        of(other, mean - size(mean - other.success.mean(), sd, quantile))
    });
    (Some(of(first, mean)), others.collect())
}

/// How the others stand to the leader at one moment.
struct Standing {
    /// Each one's probability of being better than the leader.
    better: Vec<f64>,
    /// The probability that each is worse than the leader by delta at most, and that the leader is so.
    within: Vec<(f64, f64)>,
    loss: f64,
}

impl Standing {
    fn of(first: &Moving, others: &[Moving], delta: f64) -> Self {
        let (mean, variance) = (first.mean(), first.variance());
        let mut standing = Self { better: Vec::new(), within: Vec::new(), loss: 0.0 };
        for other in others {
            let (gap, sd) = (mean - other.mean(), (variance + other.variance()).sqrt().max(1e-9));
            let better = normal_cdf(-gap / sd);
            let density = (-0.5 * (gap / sd).powi(2)).exp() / (2.0 * std::f64::consts::PI).sqrt();
            standing.loss += (sd * density - gap * better).max(0.0);
            standing.better.push(better);
            standing.within.push((normal_cdf((delta - gap) / sd), normal_cdf((delta + gap) / sd)));
        }
        standing
    }

    /// Whether a verdict would be given.
    fn is_clear(&self, first: &Moving, others: &[Moving], delta: f64) -> bool {
        let error = 1.0 - LEVEL;
        let is_near = |within: &(f64, f64)| within.0 >= LEVEL && within.1 >= LEVEL;
        if self.within.iter().any(is_near) {
            let far = self.better.iter().zip(&self.within).filter(|(_, within)| !is_near(within));
            return far.map(|(better, _)| better).sum::<f64>() <= error;
        }
        self.loss < 0.5 * delta
            && self.better.iter().sum::<f64>() <= error
            && others.iter().all(|other| {
                let (scale, graded) = (first.availability / other.availability, other.graded());
                // Part of a decision grades nothing: a path that hardly gets any must first have had one.
                graded.0 + graded.1 >= 1.0
                    && is_greater(first.graded(), scale, graded, pair_error(others.len() + 1))
            })
    }

    /// The split of the traffic by P(best) and the floor, the leader first.
    fn split(&self, floor: f64) -> Vec<f64> {
        let odds = self.better.iter().map(|better| better / (1.0 - better).max(1e-9));
        let odds: Vec<f64> = std::iter::once(1.0).chain(odds).collect();
        let all: f64 = odds.iter().sum();
        let floor = floor.clamp(1e-6, 0.5 / odds.len() as f64);
        odds.iter().map(|own| floor + (1.0 - floor * odds.len() as f64) * own / all).collect()
    }
}

/// To one digit, at least 1.
fn rounded(number: f64) -> u32 {
    let unit = 10f64.powi(number.max(1.0).log10().floor() as i32);
    ((number / unit).round() * unit).max(1.0) as u32
}
