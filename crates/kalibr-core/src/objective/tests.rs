use proptest::prelude::*;

use super::*;
use crate::best::p_best;

fn beta() -> impl Strategy<Value = Beta> {
    (0.5f64..800.0, 0.5f64..800.0).prop_map(|(alpha, beta)| Beta { alpha, beta })
}

fn offers() -> impl Strategy<Value = Vec<Offer>> {
    let offer = (beta(), prop::option::of(0f64..1.0))
        .prop_map(|(success, dollars)| Offer { dollars, ..Offer::of(success) });
    prop::collection::vec(offer, 1..9)
}

fn objective() -> impl Strategy<Value = Objective> {
    prop_oneof![
        (0f64..0.2, 0f64..1.0)
            .prop_map(|(delta, probability)| Objective::CheapestWithin { delta, probability }),
        (0f64..5.0).prop_map(|price| Objective::Utility { price }),
        Just(Objective::Budget { dollars_per_request: 0.001 }),
    ]
}

proptest! {
    #[test]
    fn weights_of_every_objective_are_probabilities(offers in offers(), objective in objective()) {
        prop_assert_eq!(objective.problem(), None);
        let weights = objective.weights(&offers, Pacer::default());
        prop_assert!(weights.iter().all(|w| w.is_finite() && *w >= 0.0));
        prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn success_dominates_cost_outside_delta(
        best in 0.5f64..0.95, gap in 0.05f64..0.4, dear in 0f64..10.0, delta in 0f64..0.03, probability in 0f64..1.0,
        others in prop::collection::vec(0f64..0.01, 0..5),
    ) {
        // Known to ±.005, and at least .02 beyond delta: no saving, however great, buys it.
        let known = |rate: f64| Beta { alpha: 1e4 * rate, beta: 1e4 * (1.0 - rate) };
        let mut offers = vec![Offer { dollars: Some(dear), ..Offer::of(known(best)) }];
        offers.extend(others.iter().map(|&dollars| {
            Offer { dollars: Some(dollars), ..Offer::of(known((best - gap).max(0.01))) }
        }));
        let objective = Objective::CheapestWithin { delta, probability };
        prop_assert!(objective.weights(&offers, Pacer::default())[0] > 0.95);
    }

    #[test]
    fn without_a_price_utility_is_exactly_the_probability_of_being_best(offers in offers()) {
        let paths: Vec<Beta> = offers.iter().map(|offer| offer.success).collect();
        let free = Objective::Utility { price: 0.0 }.weights(&offers, Pacer::default());
        prop_assert_eq!(&free, &p_best(&paths));
        let loose = Objective::Budget { dollars_per_request: 1.0 }.weights(&offers, Pacer::default());
        prop_assert_eq!(loose, free);
    }

    #[test]
    fn a_higher_price_never_moves_weight_to_the_dearer_of_two(a in beta(), b in beta(), low in 0f64..2.0, more in 0f64..2.0) {
        let costs = [Some(0.05), Some(0.001)];
        prop_assert!(utility(&[a, b], &costs, low + more)[0] <= utility(&[a, b], &costs, low)[0] + 2e-3);
    }
}

#[test]
fn a_shift_of_all_paths_alike_changes_nothing() {
    let paths = [Beta { alpha: 8.0, beta: 3.0 }, Beta { alpha: 30.0, beta: 20.0 }];
    let shifted = utility(&paths, &[Some(0.01), Some(0.01)], 1.0);
    for (a, b) in shifted.iter().zip(p_best(&paths)) {
        assert!((a - b).abs() < 1e-9);
    }
}

#[test]
fn utility_trades_success_for_cost_at_the_price() {
    let known = |rate: f64| Beta { alpha: 1e4 * rate, beta: 1e4 * (1.0 - rate) };
    // A thousandfold saving at price .1 is worth .1 of success.
    let costs = [Some(0.1), Some(1e-4)];
    assert!(utility(&[known(0.8), known(0.72)], &costs, 0.1)[1] > 0.95);
    assert!(utility(&[known(0.8), known(0.68)], &costs, 0.1)[0] > 0.95);
}

#[test]
fn a_path_of_unknown_cost_is_weighed_as_the_dearest() {
    let same = Beta { alpha: 400.0, beta: 100.0 };
    assert!(utility(&[same, same], &[None, Some(0.05)], 1.0)[1] > 0.99);
    let dear = utility(&[same, same], &[None, Some(3.0)], 1.0);
    assert!((dear[0] - 0.5).abs() < 1e-6, "{dear:?}");
}

#[test]
fn settings_out_of_range_are_refused_in_words() {
    for (objective, word) in [
        (Objective::CheapestWithin { delta: 1.5, probability: 0.9 }, "delta"),
        (Objective::CheapestWithin { delta: 0.02, probability: f64::NAN }, "probability"),
        (Objective::Utility { price: -1.0 }, "price"),
        (Objective::Budget { dollars_per_request: 0.0 }, "dollars_per_request"),
    ] {
        assert!(objective.problem().unwrap().contains(word));
    }
    assert_eq!(Objective::default().problem(), None);
}

#[test]
fn an_objective_is_written_by_its_mode() {
    let read = |json: &str| serde_json::from_str::<Objective>(json);
    assert_eq!(read(r#"{"mode": "cheapest_within"}"#).unwrap(), Objective::default());
    assert_eq!(read(r#"{"mode": "utility", "price": 0.2}"#).unwrap(), Objective::Utility { price: 0.2 });
    assert!(read(r#"{"mode": "cheapest_within", "detla": 0.1}"#).is_err());
}
