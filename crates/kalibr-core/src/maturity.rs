//! What fresh verdicts are worth where verdicts are taken back later.
//!
//! A user accepts an answer today and finds out tomorrow that it was wrong. Waiting until no verdict can change any more
//! would throw the newest evidence away; taking every verdict as final favours the path whose successes do not last. So
//! both are learned from the counters: which share of a path's verdicts is reversed in the end (`R`), and how much of that
//! has happened by a given age (`G`). A verdict of age `u` that still stands will stand with probability
//!
//! ```text
//! h(u) = (1 − R) / (1 − R·G(u))
//! ```
//!
//! `G` is a Weibull distribution function, `1 − exp(−(u/τ)^k)`: geometric delays at `k` = 1, a window that closes at
//! `k` = 2.5. Each of a grid of (τ, k) is weighed by the binomial likelihood of the reversals seen at each age, with
//! `R_a = (Σ reversed + 4 R) / (Σ n G + 4)` shrunk to the rate `R` of all paths; a curve without a form would follow the
//! luck of single epochs. `R` starts from twenty imagined verdicts that were never reversed, so that the first user who
//! changes his mind does not put all that was said before him in doubt. Ages are the counters' epochs behind the newest:
//! the integers do not change with time. Where nothing was ever reversed, every verdict is final.

/// Verdicts of one path in one epoch that began on the same side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdicts {
    /// The index of the path.
    pub path: usize,
    /// Epochs behind the newest.
    pub age: u32,
    /// That still stand.
    pub standing: i64,
    /// That were reversed.
    pub reversed: i64,
}

/// The verdicts of all paths that a path's own rate of reversals is shrunk to, in verdicts.
const STRENGTH: f64 = 4.0;
/// Imagined verdicts of all paths that have stood for ever.
const LASTING: f64 = 20.0;
/// Shapes `k`.
const SHAPES: [f64; 3] = [1.0, 1.6, 2.5];
/// Times τ, in epochs, go from half an epoch by factors of √2 to the age of the oldest verdict, but to this many at
/// least: an epoch of a busy goal is over in seconds, and its users take no less time to change their minds.
const TIMES: i32 = 20;

/// How verdicts last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Maturity {
    /// Empty where nothing was ever reversed.
    curves: Vec<Curve>,
}

/// One explanation of the reversals.
#[derive(Debug, Clone, PartialEq)]
struct Curve {
    weight: f64,
    time: f64,
    shape: f64,
    /// `R` of each path.
    rates: Vec<f64>,
}

fn done(time: f64, shape: f64, age: f64) -> f64 {
    -(-(age / time).powf(shape)).exp_m1()
}

impl Maturity {
    /// Learns from all verdicts of `paths` paths.
    ///
    /// ```
    /// use kalibr_core::maturity::{Maturity, Verdicts};
    ///
    /// // A fifth of all successes is reversed within ten epochs.
    /// let verdicts = (0..100).map(|age| {
    ///     let reversed = if age >= 10 { 4 } else { 0 };
    ///     Verdicts { path: 0, age, standing: 20 - reversed, reversed }
    /// });
    /// let maturity = Maturity::learn(1, verdicts);
    /// assert!((maturity.stands(0, 2) - 0.8).abs() < 0.05);
    /// assert!((maturity.stands(0, 50) - 1.0).abs() < 0.01);
    /// ```
    pub fn learn(paths: usize, verdicts: impl IntoIterator<Item = Verdicts>) -> Self {
        let mut cells: Vec<Verdicts> = verdicts
            .into_iter()
            .map(|v| Verdicts { standing: v.standing.max(0), reversed: v.reversed.max(0), ..v })
            .filter(|v| v.path < paths && v.standing + v.reversed > 0)
            .collect();
        if cells.iter().all(|v| v.reversed == 0) {
            return Self::default();
        }
        cells.sort_by_key(|v| (bin(v.age), v.path));
        // Per bin of ages and path: the mean age, standing and reversed.
        let cells: Vec<(usize, f64, f64, f64)> = cells
            .chunk_by(|a, b| (bin(a.age), a.path) == (bin(b.age), b.path))
            .map(|same| {
                let sum = |of: &dyn Fn(&Verdicts) -> f64| same.iter().map(of).sum::<f64>();
                let (standing, reversed) = (sum(&|v| v.standing as f64), sum(&|v| v.reversed as f64));
                // The decisions of an epoch were made half an epoch before its end, in the mean.
                let age = sum(&|v| (v.standing + v.reversed) as f64 * (f64::from(v.age) + 0.5));
                (same[0].path, age / (standing + reversed), standing, reversed)
            })
            .collect();
        let oldest = cells.iter().map(|(_, age, ..)| *age).fold(1.0, f64::max);
        let times = TIMES.max(2 * (2.0 * oldest).log2().ceil() as i32 + 1);
        let mut curves: Vec<Curve> = (0..times)
            .flat_map(|i| SHAPES.map(|shape| (0.5 * (0.5 * f64::from(i)).exp2(), shape)))
            .map(|(time, shape)| {
                let (mut reversed, mut exposed) = (vec![0.0; paths], vec![0.0; paths]);
                let by: Vec<f64> = cells.iter().map(|(_, age, ..)| done(time, shape, *age)).collect();
                for ((path, _, standing, turned), by) in cells.iter().zip(&by) {
                    reversed[*path] += turned;
                    exposed[*path] += (standing + turned) * by;
                }
                let all = (reversed.iter().sum::<f64>() / (exposed.iter().sum::<f64>() + LASTING)).min(0.95);
                let rates: Vec<f64> = reversed
                    .iter()
                    .zip(&exposed)
                    .map(|(r, n)| ((r + STRENGTH * all) / (n + STRENGTH)).min(0.95))
                    .collect();
                let observed: f64 = cells
                    .iter()
                    .zip(&by)
                    .map(|((path, _, standing, turned), by)| {
                        let p = (rates[*path] * by).clamp(1e-9, 1.0 - 1e-9);
                        turned * p.ln() + standing * (-p).ln_1p()
                    })
                    .sum();
                let weight = observed + LASTING * (-all).ln_1p();
                Curve { weight, time, shape, rates }
            })
            .collect();
        let top = curves.iter().map(|curve| curve.weight).fold(f64::NEG_INFINITY, f64::max);
        curves.iter_mut().for_each(|curve| curve.weight = (curve.weight - top).exp());
        curves.retain(|curve| curve.weight > 0.01);
        let total: f64 = curves.iter().map(|curve| curve.weight).sum();
        curves.iter_mut().for_each(|curve| curve.weight /= total);
        Self { curves }
    }

    /// The probability that a verdict of this age that still stands will stand for good, in 0..=1.
    pub fn stands(&self, path: usize, age: u32) -> f64 {
        if self.curves.is_empty() {
            return 1.0;
        }
        self.curves
            .iter()
            .map(|curve| {
                let rate = curve.rates.get(path).copied().unwrap_or(0.0);
                let by = done(curve.time, curve.shape, f64::from(age) + 0.5);
                curve.weight * (1.0 - rate) / (1.0 - rate * by)
            })
            .sum::<f64>()
            .clamp(0.0, 1.0)
    }
}

/// Ages that are looked at together: exact up to 4, then four to each doubling.
fn bin(age: u32) -> u32 {
    if age < 4 {
        return age;
    }
    let doubling = age.ilog2();
    4 * (doubling - 1) + ((age >> (doubling - 2)) & 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};

    fn stream(seed: u64, rates: &[f64], window: u32) -> Vec<Verdicts> {
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let mut verdicts = Vec::new();
        for age in 0..120 {
            for (path, rate) in rates.iter().enumerate() {
                let reversed = (0..10)
                    .filter(|_| rng.random_bool(*rate) && rng.random_range(0..window) < age)
                    .count() as i64;
                verdicts.push(Verdicts { path, age, standing: 10 - reversed, reversed });
            }
        }
        verdicts
    }

    #[test]
    fn where_nothing_was_reversed_every_verdict_is_final() {
        let maturity = Maturity::learn(2, stream(1, &[0.0, 0.0], 16));
        assert_eq!(maturity.stands(0, 0), 1.0);
        assert_eq!(maturity, Maturity::default());
    }

    #[test]
    fn the_path_whose_successes_do_not_last_is_told_from_the_one_whose_do() {
        for seed in 0..20 {
            let maturity = Maturity::learn(2, stream(seed, &[0.3, 0.02], 16));
            assert!((maturity.stands(0, 0) - 0.7).abs() < 0.06, "{}", maturity.stands(0, 0));
            assert!(maturity.stands(1, 0) > 0.94, "{}", maturity.stands(1, 0));
            assert!(maturity.stands(0, 40) > 0.97, "{}", maturity.stands(0, 40));
        }
    }

    #[test]
    fn one_user_who_changes_his_mind_at_once_puts_nobody_elses_word_in_doubt() {
        for (n, epochs) in [(50, 1), (10, 8), (5, 100)] {
            let verdicts = (0..epochs).flat_map(|age| {
                let reversed = i64::from(age + 1 == epochs);
                [(0, reversed), (1, 0)].map(|(path, reversed)| Verdicts {
                    path,
                    age,
                    standing: n - reversed,
                    reversed,
                })
            });
            let maturity = Maturity::learn(2, verdicts);
            assert!(maturity.stands(0, 0) > 0.9, "{n} {epochs}: {}", maturity.stands(0, 0));
            assert!(maturity.stands(1, 0) > 0.95, "{n} {epochs}: {}", maturity.stands(1, 0));
        }
    }

    #[test]
    fn users_of_a_busy_goal_may_take_thousands_of_epochs_to_change_their_minds() {
        let verdicts = (0..20_000u32).flat_map(|age| {
            let reversed = if age > 5_000 { 3 } else { 0 };
            [(0, reversed), (1, 0)].map(|(path, reversed)| Verdicts {
                path,
                age,
                standing: 10 - reversed,
                reversed,
            })
        });
        let maturity = Maturity::learn(2, verdicts);
        for age in [0, 500, 1_500] {
            assert!((maturity.stands(0, age) - 0.7).abs() < 0.05, "{age}: {}", maturity.stands(0, age));
        }
        assert!(maturity.stands(0, 15_000) > 0.98, "{}", maturity.stands(0, 15_000));
    }

    proptest! {
        #[test]
        fn whatever_was_counted_a_probability_comes_out_and_it_grows_with_age(
            verdicts in prop::collection::vec((0usize..5, 0u32..50, -2i64..100, -2i64..100), 0..60),
        ) {
            let verdicts =
                verdicts.into_iter().map(|(path, age, standing, reversed)| Verdicts { path, age, standing, reversed });
            let maturity = Maturity::learn(4, verdicts);
            for path in 0..4 {
                let stands: Vec<f64> = (0..60).map(|age| maturity.stands(path, age)).collect();
                prop_assert!(stands.iter().all(|p| (0.0..=1.0).contains(p)));
                prop_assert!(stands.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12));
            }
        }
    }
}
