use super::*;
use crate::objective::{Objective, Offer};
use crate::policy::{pick, uniform};
use crate::posterior::Beta;

const QUALITY: [f64; 3] = [0.777, 0.732, 0.453];
const DOLLARS: [f64; 3] = [15.1e-3, 0.51e-3, 0.03e-3];

/// A stream on a budget: this share of decisions is graded, tables are rebuilt every 25, a call costs between half and twice
/// its expectation. Returns mean quality and mean dollars.
fn stream(budget: f64, decisions: u64, graded: f64, seed: u64) -> (f64, f64) {
    let mut pacer = Pacer::default();
    let mut seen = [Beta::UNIFORM; 3];
    let mut propensities = vec![1.0 / 3.0; 3];
    let (mut quality, mut dollars) = (0.0, 0.0);
    for t in 0..decisions {
        let draw = |of: u64| uniform(seed, 4 * t + of);
        if t % 25 == 0 {
            let offers: Vec<Offer> =
                (0..3).map(|a| Offer { dollars: Some(DOLLARS[a]), ..Offer::of(seen[a]) }).collect();
            let affordable = |a: usize| pacer.hard_cap(budget).is_none_or(|cap| DOLLARS[a] <= cap);
            propensities = Objective::Budget { dollars_per_request: budget }.weights(&offers, pacer);
            for (a, p) in propensities.iter_mut().enumerate() {
                *p = if affordable(a) { 0.01 + 0.97 * *p } else { 0.0 };
            }
            let total: f64 = propensities.iter().sum();
            propensities.iter_mut().for_each(|p| *p /= total);
        }
        let path = pick(&propensities, draw(0)).unwrap();
        // Uniform in 0.5..1.5 of the expectation.
        let cost = DOLLARS[path] * (0.5 + draw(1));
        pacer.observe(cost, budget);
        dollars += cost / decisions as f64;
        quality += QUALITY[path] / decisions as f64;
        if draw(2) < graded {
            if draw(3) < QUALITY[path] { seen[path].alpha += 1.0 } else { seen[path].beta += 1.0 }
        }
    }
    (quality, dollars)
}

#[test]
fn a_budget_is_kept_to_one_per_cent_although_one_call_in_twenty_is_graded() {
    for budget in [1e-3, 2e-3, 5e-3, 10e-3] {
        for seed in 0..2 {
            let (_, dollars) = stream(budget, 30_000, 0.05, seed);
            assert!(dollars <= 1.01 * budget, "${dollars} on a budget of ${budget}");
        }
    }
}

#[test]
fn a_budget_buys_more_success_than_the_cheap_path_alone_and_is_not_left_unspent() {
    let (quality, dollars) = stream(5e-3, 10_000, 1.0, 1);
    assert!(quality > 0.735, "{quality}");
    assert!(dollars > 0.9 * 5e-3, "{dollars}");
}

#[test]
fn a_budget_looser_than_needed_costs_nothing() {
    for seed in 0..3 {
        assert_eq!(stream(40e-3, 5_000, 0.05, seed), stream(1.0, 5_000, 0.05, seed));
    }
}

proptest::proptest! {
    #[test]
    fn what_was_overspent_in_all_is_never_more_than_what_is_owed(
        costs in proptest::collection::vec(0f64..0.5, 1..300), budget in 0.001f64..0.2,
    ) {
        let (mut pacer, mut spent) = (Pacer::default(), 0.0);
        for cost in costs {
            pacer.observe(cost, budget);
            spent += cost / budget - 1.0;
            proptest::prop_assert!(spent <= pacer.owed() + 1e-6);
        }
    }

    #[test]
    fn the_expected_cost_keeps_the_target_whenever_it_can(
        a in 1f64..500.0, b in 1f64..500.0, c in 1f64..500.0, target in 1e-3f64..0.015,
    ) {
        let paths = [a, b, c].map(|alpha| Beta { alpha, beta: 200.0 });
        let weights = on_budget(&paths, &DOLLARS.map(Some), target);
        let spends: f64 = weights.iter().zip(DOLLARS).map(|(w, c)| w * c).sum();
        proptest::prop_assert!(spends <= target + 1e-9, "{} {}", spends, target);
    }
}

#[test]
fn an_overspent_budget_rules_out_what_costs_more_than_it() {
    let mut pacer = Pacer::default();
    assert_eq!(pacer.hard_cap(0.01), None);
    (0..20).for_each(|_| pacer.observe(0.1, 0.01));
    assert_eq!((pacer.hard_cap(0.01), pacer.target(0.01)), (Some(0.01), 0.0));
}

#[test]
fn a_cost_that_is_no_number_changes_nothing() {
    let mut pacer = Pacer::default();
    pacer.observe(0.5, 0.1);
    let before = pacer;
    for (cost, budget) in [(f64::NAN, 0.1), (-1.0, 0.1), (f64::INFINITY, 0.1), (1.0, 0.0), (1.0, f64::NAN)] {
        pacer.observe(cost, budget);
    }
    assert_eq!(pacer, before);
}
