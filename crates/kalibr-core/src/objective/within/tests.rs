use proptest::prelude::*;
use rand::SeedableRng;
use rand_distr::Distribution;

use super::*;

fn beta() -> impl Strategy<Value = Beta> {
    (0.5f64..800.0, 0.5f64..800.0).prop_map(|(alpha, beta)| Beta { alpha, beta })
}

/// The rule itself, drawn: see the module's head.
fn drawn(paths: &[Beta], costs: &[Option<f64>], delta: f64, rounds: u32) -> Vec<f64> {
    let draws: Vec<_> = paths.iter().map(|p| rand_distr::Beta::new(p.alpha, p.beta).unwrap()).collect();
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    let classes = classes(costs, paths.len());
    let mut taken = vec![0.0; paths.len()];
    for _ in 0..rounds {
        let theta: Vec<f64> = draws.iter().map(|d| d.sample(&mut rng)).collect();
        let best = theta.iter().copied().fold(0.0, f64::max);
        let class = classes.iter().find(|of| of.iter().any(|&p| theta[p] >= best - delta)).unwrap();
        let path = *class.iter().max_by(|&&a, &&b| theta[a].total_cmp(&theta[b])).unwrap();
        taken[path] += 1.0 / f64::from(rounds);
    }
    taken
}

#[test]
fn the_probabilities_are_those_of_the_rule_when_it_is_drawn() {
    let of =
        |pairs: &[(f64, f64)]| pairs.iter().map(|&(alpha, beta)| Beta { alpha, beta }).collect::<Vec<_>>();
    let cases: [(Vec<Beta>, Vec<Option<f64>>, f64); 5] = [
        (
            of(&[(78.0, 22.0), (73.0, 27.0), (45.0, 55.0)]),
            vec![Some(15.1e-3), Some(0.51e-3), Some(0.03e-3)],
            0.02,
        ),
        (
            of(&[(78.0, 22.0), (73.0, 27.0), (45.0, 55.0)]),
            vec![Some(15.1e-3), Some(0.51e-3), Some(0.03e-3)],
            0.1,
        ),
        (of(&[(1.0, 1.0), (1.0, 1.0), (1.0, 1.0)]), vec![None, Some(1e-3), Some(2e-3)], 0.05),
        // Two classes of two, in a mixed order.
        (
            of(&[(8.0, 3.0), (60.0, 20.0), (7.0, 3.0), (50.0, 20.0)]),
            vec![Some(1.0), Some(0.1), Some(1.05), Some(0.1)],
            0.05,
        ),
        // One path is known a hundred times better than another.
        (
            of(&[(80_000.0, 20_000.0), (6.0, 2.0), (795.0, 205.0)]),
            vec![Some(3.0), Some(2.0), Some(1.0)],
            0.01,
        ),
    ];
    for (paths, costs, delta) in cases {
        let exact = cheapest_within(&paths, &costs, delta, 0.0);
        let seen = drawn(&paths, &costs, delta, 400_000);
        for (a, b) in exact.iter().zip(&seen) {
            // Four standard errors of the draws, and the quadrature's own error.
            assert!((a - b).abs() < 4.5e-3, "{exact:?} {seen:?}");
        }
    }
}

#[test]
fn p_within_agrees_with_drawing() {
    let paths = [(78.0, 22.0), (73.0, 27.0), (45.0, 15.0)].map(|(alpha, beta)| Beta { alpha, beta });
    let draws = paths.map(|p| rand_distr::Beta::new(p.alpha, p.beta).unwrap());
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    let mut seen = [0.0; 3];
    for _ in 0..400_000 {
        let theta = draws.each_ref().map(|d| d.sample(&mut rng));
        let best = theta.into_iter().fold(0.0, f64::max);
        (0..3).filter(|&a| theta[a] >= best - 0.03).for_each(|a| seen[a] += 1.0 / 400_000.0);
    }
    for (a, b) in p_within(&paths, 0.03).iter().zip(seen) {
        assert!((a - b).abs() < 4e-3, "{a} {b}");
    }
}

proptest! {
    #[test]
    fn with_no_margin_it_is_exactly_the_probability_of_being_best(
        paths in prop::collection::vec(beta(), 1..10), costs in prop::collection::vec(prop::option::of(0f64..1.0), 10),
    ) {
        prop_assert_eq!(cheapest_within(&paths, &costs[..paths.len()], 0.0, 0.9), p_best(&paths));
        // And there is no jump next to it.
        let near = cheapest_within(&paths, &costs[..paths.len()], 1e-9, 0.0);
        for (a, b) in near.iter().zip(p_best(&paths)) {
            prop_assert!((a - b).abs() < 2e-3, "{} {}", a, b);
        }
    }

    #[test]
    fn with_no_cost_known_it_is_exactly_the_probability_of_being_best(
        paths in prop::collection::vec(beta(), 1..10), delta in 0f64..0.5,
    ) {
        prop_assert_eq!(cheapest_within(&paths, &vec![None; paths.len()], delta, 0.0), p_best(&paths));
        prop_assert_eq!(cheapest_within(&paths, &[], delta, 0.9), p_best(&paths));
    }

    #[test]
    fn whatever_comes_in_the_weights_are_finite_and_sum_to_one(
        paths in prop::collection::vec((1e-3f64..1e6, 1e-3f64..1e6), 1..20),
        costs in prop::collection::vec(prop::option::of(prop::num::f64::ANY), 20),
        delta in prop::num::f64::ANY, probability in prop::num::f64::ANY,
    ) {
        let paths: Vec<Beta> = paths.iter().map(|&(alpha, beta)| Beta { alpha, beta }).collect();
        let weights = cheapest_within(&paths, &costs[..paths.len()], delta, probability);
        prop_assert_eq!(weights.len(), paths.len());
        prop_assert!(weights.iter().all(|w| w.is_finite() && *w >= 0.0), "{:?}", weights);
        prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_price_of_nearly_equal_paths_does_not_decide_between_them(
        paths in prop::collection::vec(beta(), 2..6), cost in 1e-5f64..1.0,
    ) {
        let costs: Vec<_> = (0..paths.len()).map(|i| Some(cost * (1.0 + 0.01 * i as f64))).collect();
        prop_assert_eq!(cheapest_within(&paths, &costs, 0.1, 0.0), p_best(&paths));
    }

    #[test]
    fn a_wider_margin_never_moves_weight_to_the_dearest(a in beta(), b in beta(), low in 0f64..0.2, more in 0f64..0.2) {
        let costs = [Some(1.0), Some(0.1)];
        let narrow = cheapest_within(&[a, b], &costs, low, 0.0)[0];
        prop_assert!(cheapest_within(&[a, b], &costs, low + more, 0.0)[0] <= narrow + 2e-3);
    }
}

#[test]
fn a_path_of_unknown_cost_counts_as_the_dearest() {
    let same = Beta { alpha: 400.0, beta: 100.0 };
    let weights = cheapest_within(&[same, same], &[None, Some(50.0)], 0.05, 0.0);
    assert!(weights[1] > 0.9, "{weights:?}");
}

#[test]
fn a_cheaper_path_that_is_not_surely_within_is_taken_only_as_the_best() {
    let paths = [Beta { alpha: 780.0, beta: 220.0 }, Beta { alpha: 760.0, beta: 240.0 }];
    let costs = [Some(0.015), Some(0.0005)];
    let guarded = cheapest_within(&paths, &costs, 0.02, 0.9);
    let best = p_best(&paths);
    assert!((guarded[1] - best[1]).abs() < 2e-3, "{guarded:?} {best:?}");
    assert!(cheapest_within(&paths, &costs, 0.02, 0.0)[1] > guarded[1] + 0.2);
}
