use proptest::prelude::*;

use super::*;
use crate::objective::{Latencies, LatencySummary, Slo};

fn known() -> impl Strategy<Value = Known> {
    let risk = prop_oneof![Just(Risk::Low), Just(Risk::Medium), Just(Risk::High)];
    ((0.5f64..800.0, 0.5f64..800.0), prop::option::of(0f64..0.1), risk, 0i64..300).prop_map(
        |((alpha, beta), dollars, risk, n)| {
            let success = Beta { alpha, beta };
            Known { offer: Offer { dollars, ..Offer::of(success) }, risk, seen: Count { n, score: n << 19 } }
        },
    )
}

fn rules() -> impl Strategy<Value = ChoiceRules> {
    let caps = (prop::option::of(0.001f64..0.1), prop::option::of(0f64..1.0));
    (0f64..0.2, 0f64..1.0, 0f64..0.5, any::<bool>(), caps).prop_map(
        |(floor, exploration_cap, holdout, guaranteed, (max_cost_usd, min_quality))| ChoiceRules {
            floor,
            exploration_cap,
            holdout,
            guarantee: guaranteed.then(Guarantee::default),
            limits: Limits { max_cost_usd, min_quality, ..Limits::default() },
            ..ChoiceRules::default()
        },
    )
}

fn task() -> impl Strategy<Value = Risk> {
    prop_oneof![Just(Risk::Low), Just(Risk::Medium), Just(Risk::High)]
}

fn at_risk(risk: Risk) -> Asked {
    Asked { risk, ..Asked::default() }
}

fn out(is: bool) -> Option<NotEligible> {
    is.then_some(NotEligible::NotACandidate)
}

proptest! {
    #[test]
    fn propensities_sum_to_one_and_only_eligible_paths_have_any(
        paths in prop::collection::vec(known(), 1..10), mask in prop::collection::vec(any::<bool>(), 10),
        rules in rules(), task in task(), baseline in prop::option::of(0usize..12), rolled_back in any::<bool>(),
    ) {
        prop_assert_eq!(rules.problem(), None);
        let standing = Standing { baseline, rolled_back, ..Standing::default() };
        match rules.prepare(&paths, &standing).choices(&at_risk(task), |at| out(!mask[at])) {
            Ok(choices) => {
                prop_assert!((choices.propensities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                for (p, reason) in choices.propensities.iter().zip(&choices.not_eligible) {
                    prop_assert!(*p >= 0.0 && (reason.is_none() || *p == 0.0));
                }
            }
            Err(none) => {
                prop_assert_eq!(none.reasons.len(), paths.len());
                prop_assert!(none.reasons.iter().all(|reason| !reason.is_soft()));
            }
        }
    }

    #[test]
    fn the_floor_and_the_cap_on_exploration_hold_together(
        paths in prop::collection::vec(known(), 1..10), floor in 0f64..0.3, cap in 0f64..1.0, task in task(),
    ) {
        let paths: Vec<Known> = paths.into_iter().map(|path| Known { risk: Risk::Low, ..path }).collect();
        let rules = ChoiceRules { floor, exploration_cap: cap, ..ChoiceRules::default() };
        let prepared = rules.prepare(&paths, &Standing::default());
        let choices = prepared.choices(&at_risk(task), |_| None).unwrap();
        let open: Vec<f64> = choices.propensities.iter().copied().zip(&choices.not_eligible)
            .filter(|(_, reason)| reason.is_none()).map(|(p, _)| p).collect();
        let count = open.len() as f64;
        let least = task.floor(floor).min(0.5 / count).min(cap / (count - 1.0).max(1.0));
        prop_assert!(open.iter().all(|p| *p >= least - 1e-9), "{:?} {}", open, least);
        // The path that led before the cap still has all that the others may not.
        let most = open.iter().copied().fold(0.0, f64::max);
        prop_assert!(most >= 1.0 - cap - 1e-9 , "{:?} {}", open, cap);
    }

    #[test]
    fn every_draw_takes_a_path_with_the_propensity_that_is_logged(
        paths in prop::collection::vec(known(), 2..6), holdout in 0.01f64..0.5,
    ) {
        let paths: Vec<Known> = paths.into_iter().map(|path| Known { risk: Risk::Low, ..path }).collect();
        let rules = ChoiceRules { holdout, ..ChoiceRules::default() };
        let standing = Standing { baseline: Some(1), ..Standing::default() };
        let choices = rules.prepare(&paths, &standing).choices(&Asked::default(), |_| None).unwrap();
        let steps = 20_000;
        let (mut share, mut held) = (vec![0.0; paths.len()], 0.0);
        for step in 0..steps {
            let drawn = choices.draw((f64::from(step) + 0.5) / f64::from(steps));
            prop_assert_eq!(drawn.propensity, choices.propensities[drawn.index]);
            prop_assert!(!drawn.held_out() || drawn.index == 1);
            share[drawn.index] += 1.0 / f64::from(steps);
            held += f64::from(u8::from(drawn.held_out())) / f64::from(steps);
        }
        prop_assert!((held - holdout).abs() < 2e-4);
        for (a, b) in share.iter().zip(&choices.propensities) {
            prop_assert!((a - b).abs() < 2e-4, "{:?} {:?}", share, choices.propensities);
        }
    }
}

fn path(rate: f64, dollars: f64) -> Known {
    let success = Beta { alpha: 1_000.0 * rate, beta: 1_000.0 * (1.0 - rate) };
    Known { offer: Offer { dollars: Some(dollars), ..Offer::of(success) }, ..Known::of(success) }
}

fn slow(rate: f64, share_below_a_second: u64) -> Known {
    let mut latencies = Latencies::default();
    (0..1_000).for_each(|i| latencies.add(if i < 10 * share_below_a_second { 300 } else { 5_000 }));
    let mut slow = path(rate, 0.01);
    slow.offer.latency = LatencySummary::of([(&latencies, 1.0)]);
    slow
}

#[test]
fn a_hard_cap_that_leaves_no_path_is_an_error_that_names_each_reason() {
    let limits = Limits { max_cost_usd: Some(0.001), min_quality: Some(0.5), ..Limits::default() };
    let rules = ChoiceRules { limits, ..ChoiceRules::default() };
    let mut unknown = path(0.9, 0.0);
    unknown.offer.dollars = None;
    let prepared = rules.prepare(&[path(0.9, 0.015), path(0.2, 0.0001), unknown], &Standing::default());
    let none = prepared.choices(&Asked::default(), |_| None).unwrap_err();
    assert_eq!(
        none.to_string(),
        "no path may be chosen; \
         path 1: expected to cost $0.015000 a request, and max_cost_usd is $0.001000; \
         path 2: expected to succeed in 0.200 of requests, and min_quality is 0.500; \
         path 3: its cost is not known, and max_cost_usd is $0.001000; give its model a price; \
         loosen the limit that is named, or add a path that keeps it"
    );
}

#[test]
fn a_latency_objective_rules_out_slow_paths_but_never_the_last_one() {
    let slo = Slo { latency_ms: 1_000, probability: 0.95 };
    let rules =
        ChoiceRules { limits: Limits { slo: Some(slo), ..Limits::default() }, ..ChoiceRules::default() };
    let prepared = rules.prepare(&[slow(0.9, 50), slow(0.7, 99), slow(0.8, 80)], &Standing::default());
    let choices = prepared.choices(&Asked::default(), |_| None).unwrap();
    assert_eq!(choices.propensities, [0.0, 1.0, 0.0]);
    assert_eq!(choices.not_eligible[0].map(|r| r.as_str()), Some("latency_slo"));
    // Without the fast one, the one that misses least.
    let choices = prepared.choices(&Asked::default(), |at| out(at == 1)).unwrap();
    assert_eq!(choices.propensities, [0.0, 0.0, 1.0]);
    // As a hard cap the same is an error.
    let limits = Limits { max_latency_ms: Some(1_000), ..Limits::default() };
    let hard = ChoiceRules { limits, ..ChoiceRules::default() };
    let prepared = hard.prepare(&[slow(0.9, 50)], &Standing::default());
    assert!(
        prepared.choices(&Asked::default(), |_| None).unwrap_err().to_string().contains("max_latency_ms")
    );
}

#[test]
fn a_path_that_nobody_knows_is_not_ruled_out_by_limits_of_quality_and_latency() {
    for least in [0.6, 0.9, 0.99] {
        let limits = Limits {
            max_latency_ms: Some(1_000),
            min_quality: Some(least),
            slo: Some(Slo { latency_ms: 500, probability: 0.99 }),
            ..Limits::default()
        };
        let rules = ChoiceRules { limits, ..ChoiceRules::default() };
        let prepared = rules.prepare(&[Known::of(Beta::UNIFORM)], &Standing::default());
        assert_eq!(prepared.choices(&Asked::default(), |_| None).unwrap().propensities, [1.0]);
    }
}

#[test]
fn a_high_risk_task_goes_only_to_paths_shown_as_good_as_the_baseline() {
    let unknown = Known::of(Beta { alpha: 2.0, beta: 1.0 });
    let paths = [path(0.8, 0.01), path(0.85, 0.01), unknown, path(0.7, 0.01)];
    let standing = Standing { baseline: Some(0), ..Standing::default() };
    let prepared = ChoiceRules::default().prepare(&paths, &standing);
    let choices = prepared.choices(&at_risk(Risk::High), |_| None).unwrap();
    assert_eq!(
        choices.not_eligible.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, false, true, true]
    );
    assert!(prepared.choices(&Asked::default(), |_| None).unwrap().propensities[2] >= 0.002);
    // The baseline is not among the candidates: the one likeliest to be as good.
    let choices = prepared.choices(&at_risk(Risk::High), |at| out(at <= 1)).unwrap();
    assert_eq!(choices.propensities, [0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn what_a_task_of_high_risk_looks_at_is_computed_before_one_asks() {
    let rules = ChoiceRules { risk_delta: 0.0, ..ChoiceRules::default() };
    let paths = [path(0.8, 0.01), path(0.8, 0.01), path(0.9, 0.01)];
    // Nothing of `Prepared` changes when it is asked.
    let of = |baseline| rules.prepare(&paths, &Standing { baseline, ..Standing::default() }).as_good;
    let known = of(Some(1));
    assert!((known[0] - 0.5).abs() < 1e-3 && known[1] == 1.0 && known[2] > 0.999, "{known:?}");
    assert_eq!(of(None)[2], 1.0, "without a baseline the leader stands in for it");
}

#[test]
fn a_path_marked_as_risky_serves_only_tasks_of_low_risk() {
    let risky = Known { risk: Risk::High, ..path(0.9, 0.01) };
    let prepared = ChoiceRules::default().prepare(&[path(0.5, 0.01), risky], &Standing::default());
    assert!(prepared.choices(&Asked::default(), |_| None).unwrap().propensities[1] > 0.9);
    let medium = prepared.choices(&at_risk(Risk::Medium), |_| None).unwrap();
    assert_eq!((medium.propensities[1], medium.not_eligible[1]), (0.0, Some(NotEligible::TooRisky)));
}

#[test]
fn after_a_rollback_everything_goes_to_the_baseline_that_may() {
    let standing = Standing { baseline: Some(1), rolled_back: true, ..Standing::default() };
    let prepared = ChoiceRules::default().prepare(&[path(0.9, 0.01), path(0.5, 0.01)], &standing);
    assert_eq!(prepared.choices(&Asked::default(), |_| None).unwrap().propensities, [0.0, 1.0]);
    assert_eq!(prepared.choices(&Asked::default(), |at| out(at != 0)).unwrap().propensities, [1.0, 0.0]);
}

#[test]
fn the_objective_weighs_the_eligible_among_themselves_and_what_loses_no_weight_is_left_as_it_is() {
    // The third is as good as the second and a tenth of its price; the first leads, the last is next to never the best.
    let paths = [path(0.95, 0.01), path(0.8, 0.01), path(0.8, 0.001), path(0.1, 0.01)];
    let rules = ChoiceRules {
        objective: Objective::CheapestWithin { delta: 0.1, probability: 0.5 },
        ..ChoiceRules::default()
    };
    let prepared = rules.prepare(&paths, &Standing::default());
    let bits = |of: &Prepared, out_of: &[usize]| -> Vec<u64> {
        let choices = of.choices(&Asked::default(), |at| out(out_of.contains(&at))).unwrap();
        assert!((choices.propensities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        choices.propensities.iter().map(|p| p.to_bits()).collect()
    };
    let masked = bits(&prepared, &[0]);
    let rest = rules.prepare(&paths[1..], &Standing::default());
    assert_eq!(masked[1..], bits(&rest, &[]));
    assert!(f64::from_bits(masked[2]) > 0.99);
    assert_eq!(masked, bits(&prepared, &[0]), "the second request gets what the first got");
    assert_eq!(bits(&prepared, &[]), bits(&rules.prepare(&paths, &Standing::default()), &[]));
    // Ruling out what has no weight leaves the odds of the others as they were.
    let usual = prepared.restricted(&[true; 4]);
    assert_eq!(prepared.restricted(&[true, true, true, false])[..3], usual[..3]);
}

#[test]
fn settings_are_read_with_defaults_and_problems_are_said_in_words() {
    let read = |json: &str| serde_json::from_str::<ChoiceRules>(json).unwrap();
    assert_eq!(read("{}"), ChoiceRules::default());
    let rules =
        read(r#"{"objective": {"mode": "utility", "price": 0.1}, "limits": {"max_latency_ms": 800}}"#);
    assert_eq!(rules.limits.max_latency_ms, Some(800));
    for (json, word) in [
        (r#"{"floor": 0.7}"#, "floor"),
        (r#"{"exploration_cap": -1}"#, "exploration_cap"),
        (r#"{"holdout": 0.9}"#, "holdout"),
        (r#"{"risk_delta": 2}"#, "risk_delta"),
        (r#"{"guarantee": {"loss": 3}}"#, "guarantee"),
        (r#"{"limits": {"max_cost_usd": 0}}"#, "max_cost_usd"),
        (r#"{"limits": {"slo": {"latency_ms": 0}}}"#, "latency"),
    ] {
        assert!(read(json).problem().unwrap().contains(word), "{json}");
    }
}
