//! What it says when a user says nothing.
//!
//! Silence is not acceptance: at first it says nothing at all. But if users react more readily to bad answers than to
//! good ones, an answer that nobody complained about after a week is a little more likely to have been good. If `c_1`
//! and `c_0` are the probabilities that a user ever reacts to a good and to a bad answer, and a share `F(u)` of all
//! reactions has come by age `u`, a decision of age `u` without one has the likelihood ratio
//!
//! ```text
//! L(u) = (1 − c_1 F(u)) / (1 − c_0 F(u))
//! ```
//!
//! which is 1 at age 0. Nobody tells how good the answers were that nobody judged, so `ρ = ln(c_0 / c_1)` cannot be seen
//! on one path; but on several it can: if bad answers are talked about more, paths with more faults among their
//! verdicts have more verdicts altogether. With `p_i` the quality that a path's verdicts imply under ρ, its rate of
//! reactions is proportional to `p_i e^{−ρ/2} + (1 − p_i) e^{ρ/2}`. ρ has a prior of 0 ± 0.5; and rates of reactions also
//! differ for reasons that have nothing to do with quality, by about a tenth, so a million silent users
//! say no more than a hundred that spoke. `L` is kept within 2/3 and 3/2, and all silence about a path together moves its
//! log-likelihood by no more than one nat for each user who did speak of it, and one: a path whose users cannot be heard
//! at all (no button, a batch) would otherwise be taken for one that nobody has ever had to complain about.

/// What users did with the answers of one path, in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reactions {
    /// The index of the path.
    pub path: usize,
    /// Epochs behind the newest.
    pub age: u32,
    /// Users were for it.
    pub praised: i64,
    /// Users were against it.
    pub faulted: i64,
    /// Nothing was heard of them.
    pub silent: i64,
}

/// Standard deviation of the logarithm of a path's rate of reactions that has nothing to do with its quality.
const OTHERWISE: f64 = 0.1;
/// Standard deviation of ρ beforehand.
const PRIOR: f64 = 0.5;
/// The greatest |ln L|.
const MOST: f64 = 0.405_465_108_1;
/// Reactions that a path must have to say anything about ρ.
const FEWEST: f64 = 10.0;
/// Where ρ is looked at.
const GRID: usize = 25;

/// What silence is worth.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Silence {
    /// Steps of `F`: the first age of each, and `ln L` there. A refresh asks for every cell, and steps are few.
    steps: Vec<(u32, f64)>,
    /// For each path, what one silent decision of it counts, in 0..=1.
    weights: Vec<f64>,
}

impl Silence {
    /// Learns from all reactions to `paths` paths. Says nothing unless two of them were reacted to ten times or more.
    pub fn learn(paths: usize, reactions: impl IntoIterator<Item = Reactions>) -> Self {
        let mut cells: Vec<Reactions> = reactions
            .into_iter()
            .map(|r| Reactions {
                praised: r.praised.max(0),
                faulted: r.faulted.max(0),
                silent: r.silent.max(0),
                ..r
            })
            .filter(|r| r.path < paths && r.praised + r.faulted + r.silent > 0)
            .collect();
        cells.sort_by_key(|r| r.age);
        let said = |r: &Reactions| (r.praised + r.faulted) as f64;
        let all = |r: &Reactions| said(r) + r.silent as f64;
        let ages: Vec<&[Reactions]> = cells.chunk_by(|a, b| a.age == b.age).collect();
        let steps: Vec<(f64, f64)> = ages
            .iter()
            .map(|age| {
                let (said, all) = age.iter().fold((0.0, 0.0), |(s, a), r| (s + said(r), a + all(r)));
                (said / all, all)
            })
            .collect();
        let (rising, settled) = (rising(&steps), settled(&steps));
        if settled <= 0.0 {
            return Self::default();
        }
        // Per path: praised, faulted, and how many reactions there would be if all had come and rates were alike.
        let mut paths_seen = vec![(0.0, 0.0, 0.0); paths];
        for (age, share) in ages.iter().zip(&rising) {
            for r in *age {
                let seen = &mut paths_seen[r.path];
                seen.0 += r.praised as f64;
                seen.1 += r.faulted as f64;
                seen.2 += all(r) * share.min(settled);
            }
        }
        let heard: Vec<(f64, f64, f64)> =
            paths_seen.iter().copied().filter(|(a, b, _)| a + b >= FEWEST).collect();
        if heard.len() < 2 {
            return Self::default();
        }
        let mut come: Vec<(u32, f64)> = Vec::new();
        for (age, share) in ages.iter().zip(&rising) {
            let share = (share / settled).min(1.0);
            if come.last().is_none_or(|(_, before)| *before != share) {
                come.push((age[0].age, share));
            }
        }
        let rates = rates(&heard, settled);
        let steps = come.into_iter().map(|(first, come)| (first, ln_ratio(&rates, come))).collect();
        let weights =
            paths_seen.iter().map(|(a, b, _)| 1.0 / (1.0 + (a + b) * OTHERWISE * OTHERWISE)).collect();
        let mut silence = Self { steps, weights };
        let mut told = vec![0.0; paths];
        for r in &cells {
            let (ln_ratio, weight) = silence.of(r.path, r.age);
            told[r.path] += r.silent as f64 * weight * ln_ratio.abs();
        }
        for ((weight, told), (praised, faulted, _)) in silence.weights.iter_mut().zip(told).zip(paths_seen) {
            *weight *= ((praised + faulted + 1.0) / told.max(1e-9)).min(1.0);
        }
        silence
    }

    /// `ln L` of a decision of this age of which nothing was heard, and what one such decision counts, in 0..=1.
    pub fn of(&self, path: usize, age: u32) -> (f64, f64) {
        let Some(weight) = self.weights.get(path) else { return (0.0, 0.0) };
        let at = self.steps.partition_point(|(first, _)| *first <= age);
        (if at == 0 { 0.0 } else { self.steps[at - 1].1 }, *weight)
    }
}

/// `ln L` where this share of all reactions has come.
fn ln_ratio(rates: &[(f64, f64, f64)], come: f64) -> f64 {
    let of = |(good, bad, share): &(f64, f64, f64)| share * ((-good * come).ln_1p() - (-bad * come).ln_1p());
    rates.iter().map(of).sum::<f64>().clamp(-MOST, MOST)
}

/// Probabilities of a reaction to a good and to a bad answer for each ρ, weighted by how well it explains the paths'
/// reactions.
fn rates(paths: &[(f64, f64, f64)], settled: f64) -> Vec<(f64, f64, f64)> {
    let mut candidates: Vec<(f64, f64, f64)> = (0..GRID)
        .map(|i| {
            let rho = 1.5 * (2.0 * i as f64 / (GRID - 1) as f64 - 1.0);
            let (good, bad) = ((-0.5 * rho).exp(), (0.5 * rho).exp());
            // Observed over expected reactions of each path, in logarithms; what they have in common is the level.
            let mut residuals: Vec<(f64, f64)> = Vec::with_capacity(paths.len());
            let (mut level, mut weight) = (0.0, 0.0);
            for &(praised, faulted, expected) in paths {
                let odds = (praised + 0.5) / (faulted + 0.5) * rho.exp();
                let p = odds / (1.0 + odds);
                let rate = p * good + (1.0 - p) * bad;
                let n = praised + faulted;
                let w = 1.0 / (1.0 / n + OTHERWISE * OTHERWISE);
                let residual = (n / expected).ln() - rate.ln();
                residuals.push((residual, w));
                level += w * residual;
                weight += w;
            }
            let level = level / weight;
            let misfit: f64 = residuals.iter().map(|(r, w)| w * (r - level).powi(2)).sum();
            let ln = -0.5 * misfit - 0.5 * (rho / PRIOR).powi(2);
            let scale = settled * level.exp();
            ((good * scale).min(0.99), (bad * scale).min(0.99), ln)
        })
        .collect();
    let top = candidates.iter().map(|(_, _, ln)| *ln).fold(f64::NEG_INFINITY, f64::max);
    candidates.iter_mut().for_each(|(_, _, ln)| *ln = (*ln - top).exp());
    let total: f64 = candidates.iter().map(|(_, _, weight)| weight).sum();
    candidates.iter_mut().for_each(|(_, _, weight)| *weight /= total);
    candidates
}

/// The weighted mean of the oldest items that hold a quarter of all weight: where a rising share has arrived. The very
/// last of a fitted sequence would be the luck of one cell.
fn settled(items: &[(f64, f64)]) -> f64 {
    let wanted = 0.25 * items.iter().map(|(_, weight)| weight).sum::<f64>();
    let (mut sum, mut held) = (0.0, 0.0);
    for (value, weight) in items.iter().rev() {
        sum += value * weight;
        held += weight;
        if held >= wanted {
            break;
        }
    }
    if held > 0.0 { sum / held } else { 0.0 }
}

/// The nearest sequence that never falls, by weighted squares: pool adjacent violators. Items are values and weights.
fn rising(items: &[(f64, f64)]) -> Vec<f64> {
    // Blocks of mean, weight and length.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::with_capacity(items.len());
    for &(value, weight) in items {
        let mut block = (value, weight.max(1e-12), 1);
        while let Some(&before) = blocks.last()
            && before.0 >= block.0
        {
            let weight = before.1 + block.1;
            block = ((before.0 * before.1 + block.0 * block.1) / weight, weight, before.2 + block.2);
            blocks.pop();
        }
        blocks.push(block);
    }
    blocks.into_iter().flat_map(|(mean, _, length)| std::iter::repeat_n(mean, length)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};

    /// Users who react to good answers with probability `good` and to bad ones with `bad`, within ten epochs.
    fn users(seed: u64, qualities: &[f64], good: f64, bad: f64) -> Vec<Reactions> {
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let mut all = Vec::new();
        for age in 0..100 {
            for (path, quality) in qualities.iter().enumerate() {
                let mut cell = Reactions { path, age, ..Reactions::default() };
                for _ in 0..20 {
                    let is_good = rng.random_bool(*quality);
                    let reacts =
                        rng.random_bool(if is_good { good } else { bad }) && rng.random_range(0..10) < age;
                    match (reacts, is_good) {
                        (false, _) => cell.silent += 1,
                        (true, true) => cell.praised += 1,
                        (true, false) => cell.faulted += 1,
                    }
                }
                all.push(cell);
            }
        }
        all
    }

    fn ln_ratio(silence: &Silence, age: u32) -> f64 {
        silence.of(0, age).0
    }

    #[test]
    fn silence_says_nothing_at_first_and_a_little_later_where_users_complain_more_readily_than_they_praise() {
        let truth = (0.85f64 / 0.65).ln();
        let learned: Vec<Silence> =
            (0..30).map(|seed| Silence::learn(3, users(seed, &[0.9, 0.6, 0.3], 0.15, 0.35))).collect();
        let mean = |age| learned.iter().map(|s| ln_ratio(s, age)).sum::<f64>() / learned.len() as f64;
        assert_eq!(mean(0), 0.0);
        assert!(mean(50) > 0.4 * truth && mean(50) < 1.1 * truth, "{} {truth}", mean(50));
        assert!(mean(3) < mean(50));
    }

    #[test]
    fn where_users_react_to_good_and_bad_alike_silence_says_next_to_nothing() {
        let mean = (0..30)
            .map(|seed| ln_ratio(&Silence::learn(3, users(seed, &[0.9, 0.6, 0.3], 0.2, 0.2)), 50))
            .sum::<f64>()
            / 30.0;
        assert!(mean.abs() < 0.03, "{mean}");
    }

    #[test]
    fn one_path_alone_cannot_tell_what_silence_means() {
        let silence = Silence::learn(1, users(1, &[0.7], 0.1, 0.4));
        assert_eq!(silence.of(0, 50), (0.0, 0.0));
    }

    #[test]
    fn a_million_silent_users_count_no_more_than_a_hundred() {
        let of = |times: i64| {
            let cells = users(3, &[0.9, 0.5], 0.15, 0.35).into_iter().map(|r| Reactions {
                praised: r.praised * times,
                faulted: r.faulted * times,
                silent: r.silent * times,
                ..r
            });
            Silence::learn(2, cells).of(0, 50)
        };
        let (one, many) = (of(1), of(1_000));
        let worth = |(ln_ratio, weight): (f64, f64), n: f64| n * weight * ln_ratio * ln_ratio;
        assert!(worth(many, 2e6) < 3.0 * worth(one, 2e3), "{one:?} {many:?}");
    }

    #[test]
    fn a_path_whose_users_cannot_be_heard_is_not_taken_for_a_good_one() {
        let mut cells = users(5, &[0.9, 0.5, 0.3], 0.15, 0.35);
        cells.extend((0..100).map(|age| Reactions { path: 3, age, silent: 100, ..Reactions::default() }));
        let silence = Silence::learn(4, cells);
        let told: f64 =
            (0..100).map(|age| silence.of(3, age)).map(|(ln, part)| 100.0 * ln.abs() * part).sum();
        assert!(told > 0.0 && told <= 1.0 + 1e-9, "{told}");
        // The others' silence goes on to count.
        let (ln_ratio, part) = silence.of(0, 50);
        assert!(ln_ratio > 0.05 && part > 0.1, "{ln_ratio} {part}");
    }

    proptest! {
        #[test]
        fn whatever_was_counted_the_ratio_is_bounded_and_starts_at_nothing(
            cells in prop::collection::vec((0usize..4, 0u32..40, -1i64..200, -1i64..200, -1i64..2000), 0..60),
        ) {
            let cells = cells.into_iter().map(|(path, age, praised, faulted, silent)| {
                Reactions { path, age, praised, faulted, silent }
            });
            let silence = Silence::learn(3, cells);
            for (path, age) in (0..3).flat_map(|p| [0, 3, 100].map(|age| (p, age))) {
                let (ln_ratio, weight) = silence.of(path, age);
                prop_assert!(ln_ratio.abs() <= MOST && (0.0..=1.0).contains(&weight));
            }
        }
    }
}
