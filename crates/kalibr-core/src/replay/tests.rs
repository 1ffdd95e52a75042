use super::*;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::best::p_best;
use crate::policy::pick;
use crate::posterior::Beta;

const FLOOR: f64 = 0.01;
const QUALITY: [f64; 3] = [0.777, 0.732, 0.453];

/// What Thompson sampling with the floor makes of paths of this quality, by class; a class in which all is worse or
/// better moves all qualities alike. `graded` says how often each path's answers are graded.
fn thompson(seed: u64, decisions: usize, moved: &[f64], graded: [f64; 3]) -> Vec<Sample> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut known = vec![[Beta::UNIFORM; 3]; moved.len()];
    let mut tables: Vec<Vec<f64>> = vec![vec![1.0 / 3.0; 3]; moved.len()];
    let mut stale = vec![0; moved.len()];
    (0..decisions)
        .map(|_| {
            let class = rng.random_range(0..moved.len());
            if stale[class] % 20 == 0 {
                let weights = p_best(&known[class]);
                tables[class] = weights.iter().map(|w| FLOOR + (1.0 - 3.0 * FLOOR) * w).collect();
            }
            stale[class] += 1;
            let propensities = tables[class].clone();
            let chosen = pick(&propensities, rng.random()).unwrap();
            let good = rng.random_bool(QUALITY[chosen] + moved[class]);
            let heard = rng.random_bool(graded[chosen]);
            if heard && good {
                known[class][chosen].alpha += 1.0;
            } else if heard {
                known[class][chosen].beta += 1.0;
            }
            Sample { class, propensities, chosen, reward: heard.then_some(if good { 1.0 } else { 0.0 }) }
        })
        .collect()
}

fn uniform(samples: usize, paths: usize, seed: u64) -> Vec<Sample> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..samples)
        .map(|_| Sample {
            class: rng.random_range(0..3),
            propensities: vec![1.0 / paths as f64; paths],
            chosen: rng.random_range(0..paths),
            reward: Some(rng.random()),
        })
        .collect()
}

fn always(path: usize, paths: usize, samples: usize) -> Vec<Option<Vec<f64>>> {
    let target = (0..paths).map(|other| if other == path { 1.0 } else { 0.0 }).collect();
    vec![Some(target); samples]
}

fn logged(samples: &[Sample]) -> Vec<Option<Vec<f64>>> {
    samples.iter().map(|sample| Some(sample.propensities.clone())).collect()
}

#[test]
fn the_policy_that_made_a_log_earns_what_was_earned() {
    let samples = uniform(500, 4, 2);
    let found = evaluate(&samples, &logged(&samples));
    let mean = samples.iter().filter_map(|sample| sample.reward).sum::<f64>() / 500.0;
    let worth = found.worth.unwrap();
    assert!((found.done.unwrap() - mean).abs() < 1e-12);
    assert!((worth.ips - mean).abs() < 1e-12 && (worth.snips - mean).abs() < 1e-12);
    assert!((found.effective - 500.0).abs() < 1e-6);
    // The model differs by path, so what is doubly robust is not equal to the last digit, and says how far it is off.
    assert!(
        worth.difference.low <= 0.0 && worth.difference.high >= 0.0 && worth.difference.value.abs() < 0.01
    );
}

#[test]
fn every_estimate_is_exact_where_all_rewards_are_alike() {
    let mut samples = thompson(3, 800, &[0.0, -0.1], [1.0; 3]);
    samples.iter_mut().for_each(|sample| sample.reward = Some(0.25));
    for targets in [logged(&samples), always(1, 3, 800)] {
        let found = evaluate(&samples, &targets);
        let worth = found.worth.unwrap();
        assert_eq!(found.done, Some(0.25));
        assert!((worth.value.value - 0.25).abs() < 1e-3, "{worth:?}");
        assert!((worth.snips - 0.25).abs() < 1e-9);
    }
}

#[test]
fn with_one_path_the_value_is_the_mean_reward() {
    let samples: Vec<Sample> = uniform(200, 1, 4);
    let found = evaluate(&samples, &always(0, 1, 200));
    let mean = samples.iter().filter_map(|sample| sample.reward).sum::<f64>() / 200.0;
    let worth = found.worth.unwrap();
    for value in [worth.value.value, worth.ips, worth.snips, worth.dr, found.done.unwrap()] {
        assert!((value - mean).abs() < 1e-9, "{value} is not {mean}");
    }
}

#[test]
fn the_interval_covers_the_truth_about_as_often_as_it_says_though_the_log_learned_from_itself() {
    const DECISIONS: usize = 1_000;
    // The first path, and the second.
    let (mut runs, mut covered, mut difference, mut bias) = ([0; 2], [0; 2], [0; 2], [0.0; 2]);
    for seed in 0..300 {
        let samples = thompson(seed, DECISIONS, &[0.0], [1.0; 3]);
        let earned =
            |sample: &Sample| sample.propensities.iter().zip(QUALITY).map(|(p, q)| p * q).sum::<f64>();
        let done = samples.iter().map(earned).sum::<f64>() / DECISIONS as f64;
        for path in 0..2 {
            let Ok(worth) = evaluate(&samples, &always(path, 3, DECISIONS)).worth else { continue };
            let holds = |estimate: Estimate, truth| (estimate.low..=estimate.high).contains(&truth);
            runs[path] += 1;
            covered[path] += usize::from(holds(worth.value, QUALITY[path]));
            difference[path] += usize::from(holds(worth.difference, QUALITY[path] - done));
            bias[path] += (worth.value.value - QUALITY[path]) / 300.0;
        }
    }
    for path in 0..2 {
        let (runs, covered, difference) = (runs[path], covered[path], difference[path]);
        assert!(runs >= 270, "path {path}: {runs} of 300 logs are enough");
        assert!(covered * 10 >= runs * 9 && covered < runs, "path {path}: {covered} of {runs}");
        assert!(difference * 10 >= runs * 9, "path {path}: difference {difference} of {runs}");
        assert!(bias[path].abs() < 0.02, "path {path}: off by {} on average", bias[path]);
    }
}

#[test]
fn answers_of_one_path_that_are_graded_more_often_do_not_move_the_value() {
    let samples = thompson(1, 6_000, &[0.0], [0.15, 0.9, 0.9]);
    let uniform: Vec<_> = vec![Some(vec![1.0; 3]); samples.len()];
    let truth = QUALITY.iter().sum::<f64>() / 3.0;
    let worth = evaluate(&samples, &uniform).worth.unwrap();
    assert!((worth.value.low..=worth.value.high).contains(&truth), "{worth:?} does not cover {truth}");
    // As many logs as it takes to see that the self-normalised form is led astray by it, and this one is not.
    let (mut ours, mut plain) = (0.0, 0.0);
    for seed in 0..40 {
        let samples = thompson(seed, 2_000, &[0.0], [0.15, 0.9, 0.9]);
        let worth = evaluate(&samples, &uniform[..2_000]).worth.unwrap();
        ours += (worth.value.value - truth) / 40.0;
        plain += (worth.snips - truth) / 40.0;
    }
    assert!(ours.abs() < 0.02 && plain < -0.03, "{ours} {plain}");
}

#[test]
fn a_path_that_changed_is_told_where_the_log_looked_more_at_one_time_than_at_another() {
    // The second path was tried a lot while it was good, and little after it fell.
    let log = |after: f64| {
        let mut rng = StdRng::seed_from_u64(8);
        let samples: Vec<Sample> = (0..4_000)
            .map(|i| {
                let (p, quality) = if i < 1_000 { (0.5, 0.8) } else { (0.1, after) };
                let chosen = usize::from(rng.random_bool(p));
                let good = rng.random_bool(if chosen == 1 { quality } else { 0.7 });
                let reward = Some(if good { 1.0 } else { 0.0 });
                Sample { class: 0, propensities: vec![1.0 - p, p], chosen, reward }
            })
            .collect();
        evaluate(&samples, &always(1, 2, 4_000)).worth.unwrap()
    };
    let (fell, stayed) = (log(0.3), log(0.8));
    assert!(fell.moved && (fell.dr - 0.425).abs() < 0.06 && fell.value.value > fell.dr + 0.05, "{fell:?}");
    assert!(!stayed.moved, "{stayed:?}");
}

#[test]
fn a_class_that_was_explored_more_weighs_no_more_than_its_share() {
    // Half of the requests went to the second path for certain, and are easy; of the others it got one in 25.
    let mut rng = StdRng::seed_from_u64(5);
    let samples: Vec<Sample> = (0..4_000)
        .map(|i| {
            let (p, quality) = if i % 2 == 0 { (0.96, 0.9) } else { (0.04, 0.3) };
            let chosen = usize::from(rng.random_bool(p));
            Sample {
                class: i % 2,
                propensities: vec![1.0 - p, p],
                chosen,
                reward: Some(if rng.random_bool(quality) { 1.0 } else { 0.0 }),
            }
        })
        .collect();
    let worth = evaluate(&samples, &always(1, 2, 4_000)).worth.unwrap();
    assert!((worth.value.value - 0.6).abs() < 0.06, "{worth:?}");
}

#[test]
fn too_few_effective_decisions_are_refused_with_how_many_are_missing() {
    let samples: Vec<Sample> = (0..1_200)
        .map(|i| Sample {
            class: 0,
            propensities: vec![0.99, 0.01],
            chosen: usize::from(i % 100 == 0),
            reward: Some(1.0),
        })
        .collect();
    let found = evaluate(&samples, &always(1, 2, 1_200));
    let refused = found.worth.unwrap_err();
    assert_eq!(refused.more, Some(1_800));
    assert!(refused.to_string().contains("effective 12 decisions, at least 30"), "{refused}");
    let enough: Vec<Sample> = samples.iter().cycle().take(3_000).cloned().collect();
    assert!(evaluate(&enough, &always(1, 2, 3_000)).worth.is_ok());
}

#[test]
fn a_log_that_nobody_graded_says_nothing() {
    let mut samples = uniform(500, 2, 6);
    samples.iter_mut().for_each(|sample| sample.reward = None);
    let found = evaluate(&samples, &always(1, 2, 500));
    assert_eq!((found.graded, found.done), (0, None));
    assert_eq!(found.worth.unwrap_err().more, None);
    assert_eq!(evaluate(&[], &[]).worth.unwrap_err().more, None);
}

#[test]
fn decisions_in_which_the_policy_could_not_be_followed_are_left_out_and_counted() {
    let mut samples = uniform(300, 2, 7);
    samples.iter_mut().step_by(3).for_each(|sample| {
        (sample.propensities, sample.chosen) = (vec![1.0, 0.0], 0);
    });
    let found = evaluate(&samples, &always(1, 2, 300));
    assert_eq!((found.decisions, found.unsupported, found.malformed), (200, 100, 0));
}

fn odd() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0f64..=1.0,
        1 => prop::sample::select(vec![
            f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e-300, 1e300, 5e-324, 1.0,
        ]),
    ]
}

fn sample() -> impl Strategy<Value = (Sample, Option<Vec<f64>>)> {
    let paths = prop::sample::select(vec![1usize, 2, 3, 8, 200]);
    paths.prop_flat_map(|paths| {
        let numbers = || prop::collection::vec(odd(), paths);
        let scaled = (numbers(), any::<bool>()).prop_map(|(mut p, scale)| {
            let sum: f64 = p.iter().sum();
            if scale && sum > 0.0 && sum.is_finite() {
                p.iter_mut().for_each(|p| *p /= sum);
            }
            p
        });
        let class = prop_oneof![0usize..3, Just(usize::MAX)];
        (class, scaled, 0..paths + 1, prop::option::of(odd()), prop::option::of(numbers())).prop_map(
            |(class, propensities, chosen, reward, target)| {
                (Sample { class, propensities, chosen, reward }, target)
            },
        )
    })
}

proptest! {
    #[test]
    fn whatever_a_log_holds_what_is_told_is_finite_and_in_range(
        rows in prop::collection::vec(sample(), 0..60),
        copies in 1usize..8,
    ) {
        let rows: Vec<_> = std::iter::repeat_n(rows, copies).flatten().collect();
        let (samples, targets): (Vec<Sample>, Vec<_>) = rows.into_iter().unzip();
        let found = evaluate(&samples, &targets);
        prop_assert!(found.effective.is_finite() && found.effective >= 0.0);
        prop_assert!(found.effective <= found.decisions as f64 * (1.0 + 1e-6), "{found:?}");
        prop_assert!(found.done.is_none_or(|done| (0.0..=1.0).contains(&done)));
        if let Ok(worth) = found.worth {
            let Estimate { value, low, high } = worth.value;
            prop_assert!(0.0 <= low && low <= value && value <= high && high <= 1.0, "{worth:?}");
            let Estimate { value, low, high } = worth.difference;
            prop_assert!(-1.0 <= low && low <= value && value <= high && high <= 1.0, "{worth:?}");
            prop_assert!([worth.ips, worth.snips, worth.dr].iter().all(|x| x.is_finite()), "{worth:?}");
        }
    }
}
