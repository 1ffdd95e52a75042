//! Track-and-stop, as TensorZero describes its adaptive experimentation: at least ten samples of every path, then
//! sampling by the proportions that name the best path soonest, until a generalised likelihood ratio says that it is
//! known; from then on the winner takes everything. Re-implemented from its description (Garivier and Kaufmann 2016 for
//! the proportions and the stopping rule): every feedback row counts as an observation, sub-Gaussian with the path's own
//! variance, error 5 %, paths within epsilon of each other count as equal.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

use crate::policy::{Chosen, Policy, Request};
use crate::simulator::{Heard, Said};

const LEAST_SAMPLES: f64 = 10.0;
const DELTA: f64 = 0.05;
const EPSILON: f64 = 0.01;
/// Decisions of a goal after which proportions are computed anew; TensorZero does so every 300 seconds.
const EVERY: u32 = 20;
/// A path that has never failed still has some variance.
const LEAST_VARIANCE: f64 = 0.01;

/// The policy.
pub(crate) struct TrackAndStop {
    goals: Vec<Goal>,
    rng: Xoshiro256PlusPlus,
}

struct Goal {
    rows: Vec<Rows>,
    proportions: Vec<f64>,
    decisions: u32,
}

/// Feedback rows of a path.
#[derive(Debug, Clone, Copy, Default)]
struct Rows {
    n: f64,
    successes: f64,
}

impl Rows {
    fn mean(self) -> f64 {
        if self.n > 0.0 { self.successes / self.n } else { 0.5 }
    }

    fn variance(self) -> f64 {
        (self.mean() * (1.0 - self.mean())).max(LEAST_VARIANCE)
    }
}

impl TrackAndStop {
    pub(crate) fn new(goals: usize, paths: usize, seed: u64) -> Self {
        let goal = || Goal {
            rows: vec![Rows::default(); paths],
            proportions: vec![1.0 / paths as f64; paths],
            decisions: 0,
        };
        Self {
            goals: (0..goals).map(|_| goal()).collect(),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x7472_6163),
        }
    }
}

impl Policy for TrackAndStop {
    fn choose(&mut self, request: &Request) -> anyhow::Result<Chosen> {
        let goal = &mut self.goals[request.goal as usize];
        if goal.decisions.is_multiple_of(EVERY) {
            goal.proportions = proportions(&goal.rows);
        }
        goal.decisions += 1;
        let mut left: f64 = self.rng.random();
        let path = goal.proportions.iter().position(|&share| {
            left -= share;
            left < 0.0
        });
        let path = path.unwrap_or(goal.proportions.len() - 1);
        Ok(Chosen { path, propensities: goal.proportions.clone() })
    }

    fn hear(&mut self, heard: &Heard) {
        let rows = &mut self.goals[heard.goal as usize].rows[heard.path];
        match heard.said {
            Said::Praise => *rows = Rows { n: rows.n + 1.0, successes: rows.successes + 1.0 },
            Said::Fault => rows.n += 1.0,
            Said::TakenBack(_) => {}
        }
    }
}

fn proportions(rows: &[Rows]) -> Vec<f64> {
    let young: Vec<bool> = rows.iter().map(|rows| rows.n < LEAST_SAMPLES).collect();
    let count = young.iter().filter(|is| **is).count();
    if count > 0 {
        return young.iter().map(|&is| if is { 1.0 / count as f64 } else { 0.0 }).collect();
    }
    let leader = (0..rows.len()).max_by(|&a, &b| rows[a].mean().total_cmp(&rows[b].mean())).unwrap_or(0);
    if rows.len() < 2 || stops(rows, leader) {
        return (0..rows.len()).map(|path| if path == leader { 1.0 } else { 0.0 }).collect();
    }
    optimal(rows, leader)
}

/// Whether the leader is known to be within epsilon of the best, with error `DELTA`: the least over rivals of the
/// likelihood ratio against "the rival is better by epsilon" passes the threshold.
fn stops(rows: &[Rows], leader: usize) -> bool {
    let total: f64 = rows.iter().map(|rows| rows.n).sum();
    let threshold = ((1.0 + total.ln()) / DELTA).ln();
    rivals(rows, leader).all(|(rival, gap)| {
        let spread = rows[leader].variance() / rows[leader].n + rows[rival].variance() / rows[rival].n;
        gap * gap / (2.0 * spread) > threshold
    })
}

/// The rivals of the leader, each with how far it is behind, epsilon added.
fn rivals(rows: &[Rows], leader: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
    let others = (0..rows.len()).filter(move |&path| path != leader);
    others.map(move |path| (path, rows[leader].mean() - rows[path].mean() + EPSILON))
}

/// The proportions that make the least likelihood ratio grow fastest.
///
/// With the leader's share fixed at x, every rival gets what brings its ratio to the same level y; the shares add to 1
/// at one y, found by bisection; the best x by golden section, since the level is concave in it.
fn optimal(rows: &[Rows], leader: usize) -> Vec<f64> {
    let rivals: Vec<(usize, f64)> = rivals(rows, leader).collect();
    let own = rows[leader].variance();
    // gap² / (2 (v_l / x + v_r / w)) = y, solved for w; infinite when even w = ∞ does not reach y.
    let needed = |x: f64, y: f64, rival: usize, gap: f64| {
        let left = gap * gap / (2.0 * y) - own / x;
        if left > 0.0 { rows[rival].variance() / left } else { f64::INFINITY }
    };
    let level = |x: f64| {
        let (mut low, mut high) =
            (0.0, rivals.iter().map(|(_, gap)| gap * gap * x / (2.0 * own)).fold(f64::MAX, f64::min));
        for _ in 0..50 {
            let y = 0.5 * (low + high);
            let sum: f64 = rivals.iter().map(|&(rival, gap)| needed(x, y, rival, gap)).sum();
            if x + sum <= 1.0 { low = y } else { high = y }
        }
        low
    };
    let golden = 0.5 * (5f64.sqrt() - 1.0);
    let (mut low, mut high) = (1e-3, 1.0 - 1e-3);
    for _ in 0..40 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if level(a) < level(b) { low = a } else { high = b }
    }
    let x = 0.5 * (low + high);
    let y = level(x);
    let mut shares = vec![0.0; rows.len()];
    shares[leader] = x;
    for (rival, gap) in rivals {
        shares[rival] = needed(x, y, rival, gap);
    }
    let total: f64 = shares.iter().filter(|share| share.is_finite()).sum();
    shares.iter().map(|share| if share.is_finite() { share / total } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(of: &[(f64, f64)]) -> Vec<Rows> {
        of.iter().map(|&(n, mean)| Rows { n, successes: n * mean }).collect()
    }

    #[test]
    fn two_equally_noisy_paths_are_sampled_equally_often() {
        let shares = optimal(&rows(&[(100.0, 0.6), (100.0, 0.4)]), 0);
        assert!((shares[0] - 0.5).abs() < 1e-3, "{shares:?}");
    }

    #[test]
    fn the_proportions_are_those_of_no_better_neighbour() {
        let rows = rows(&[(100.0, 0.8), (100.0, 0.7), (100.0, 0.5), (100.0, 0.3)]);
        let least = |shares: &[f64]| {
            rivals(&rows, 0)
                .map(|(rival, gap)| {
                    gap * gap
                        / (2.0 * (rows[0].variance() / shares[0] + rows[rival].variance() / shares[rival]))
                })
                .fold(f64::MAX, f64::min)
        };
        let shares = optimal(&rows, 0);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        for from in 0..4 {
            for to in 0..4 {
                let mut other = shares.clone();
                let moved = (0.01f64).min(0.5 * other[from]);
                other[from] -= moved;
                other[to] += moved;
                assert!(least(&other) <= least(&shares) + 1e-6, "{from} {to}: {shares:?}");
            }
        }
    }

    #[test]
    fn it_stops_when_the_winner_is_clear_and_not_before() {
        assert_eq!(proportions(&rows(&[(2_000.0, 0.8), (2_000.0, 0.5)])), vec![1.0, 0.0]);
        assert!(proportions(&rows(&[(40.0, 0.8), (40.0, 0.75)]))[1] > 0.3);
        assert_eq!(proportions(&rows(&[(40.0, 0.8), (9.0, 0.75)])), vec![0.0, 1.0]);
    }
}
