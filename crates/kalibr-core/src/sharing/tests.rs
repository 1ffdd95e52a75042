use super::*;
use proptest::prelude::*;

fn path(i: u8) -> PathId {
    PathId::from_bytes([i; 16])
}

fn heard(i: u8, good: f64, bad: f64) -> Heard {
    Heard::of(path(i), path(i), Beta { alpha: 1.0 + good, beta: 1.0 + bad })
}

const THREE: [(PathId, PathId); 3] = [
    (PathId::from_bytes([1; 16]), PathId::from_bytes([1; 16])),
    (PathId::from_bytes([2; 16]), PathId::from_bytes([2; 16])),
    (PathId::from_bytes([3; 16]), PathId::from_bytes([3; 16])),
];

#[test]
fn trigamma_is_what_tables_say() {
    for (x, known) in [(1.0, 1.644_934_066_8), (0.5, 4.934_802_200_5), (10.0, 0.105_166_335_7)] {
        assert!((trigamma(x) - known).abs() < 1e-9, "{x}");
    }
}

#[test]
fn nothing_heard_elsewhere_leaves_the_prior_uniform() {
    let mut sharing = Sharing::default();
    assert_eq!(sharing.priors(&1, Some(&"all"), &THREE), [Beta::UNIFORM; 3]);
    sharing.put(&1, &"all", &[heard(1, 80.0, 20.0), heard(2, 50.0, 50.0)]);
    assert_eq!(sharing.priors(&1, Some(&"all"), &THREE), [Beta::UNIFORM; 3]);
}

#[test]
fn a_new_goal_starts_from_what_the_models_did_on_others() {
    let mut sharing = Sharing::default();
    for goal in 0..6 {
        sharing.put(&goal, &"all", &[heard(1, 160.0, 40.0), heard(2, 100.0, 100.0), heard(3, 20.0, 180.0)]);
    }
    let priors = sharing.priors(&99, Some(&"all"), &THREE);
    let means: Vec<f64> = priors.iter().map(|prior| prior.mean()).collect();
    assert!(means[0] > means[1] + 0.1 && means[1] > means[2] + 0.1, "{means:?}");
    assert!(priors.iter().all(|prior| prior.alpha + prior.beta < 40.0), "weak: {priors:?}");
}

#[test]
fn the_level_of_a_goal_is_its_own() {
    let mut sharing = Sharing::default();
    for goal in 0..6 {
        sharing.put(&goal, &"all", &[heard(1, 160.0, 40.0), heard(2, 100.0, 100.0)]);
    }
    // A hard goal, in which only the second path was tried: the first is expected to be better than it, not to be at .8.
    sharing.put(&7, &"all", &[heard(2, 20.0, 180.0)]);
    let prior = sharing.priors(&7, Some(&"all"), &THREE)[0].mean();
    assert!((0.2..0.5).contains(&prior), "{prior}");
}

#[test]
fn what_was_heard_of_a_path_in_a_place_does_not_come_back_as_its_prior() {
    let mut sharing = Sharing::default();
    for goal in 0..6 {
        sharing.put(&goal, &"all", &[heard(1, 60.0, 40.0), heard(2, 50.0, 50.0)]);
    }
    let before = sharing.priors(&0, Some(&"all"), &THREE)[0];
    sharing.put(&0, &"all", &[heard(1, 78.0, 22.0), heard(2, 50.0, 50.0)]);
    let after = sharing.priors(&0, Some(&"all"), &THREE)[0];
    // Only how much goals differ was learned from it.
    assert!((before.mean() - after.mean()).abs() < 0.01, "{before:?} {after:?}");
}

#[test]
fn goals_that_disagree_teach_each_other_little() {
    let mut agree = Sharing::default();
    let mut disagree = Sharing::default();
    for goal in 0..20 {
        agree.put(&goal, &"all", &[heard(1, 160.0, 40.0), heard(2, 100.0, 100.0)]);
        let (one, two) = if goal % 2 == 0 { (160.0, 40.0) } else { (40.0, 160.0) };
        disagree.put(&goal, &"all", &[heard(1, one, 200.0 - one), heard(2, two, 200.0 - two)]);
    }
    let strength = |sharing: &Sharing<i32, &'static str>| {
        let prior = sharing.priors(&99, Some(&"all"), &THREE)[0];
        prior.alpha + prior.beta
    };
    assert!(strength(&agree) > 2.0 * strength(&disagree), "{} {}", strength(&agree), strength(&disagree));
}

/// Eight goals of one tenant with two paths of each of four models, and what is believed of a new path of the first
/// model in a ninth goal. `differ`: how far the second path of a model is from the first, in answers of 200.
fn a_third_path_of_a_model_whose_others_differ_by(differ: f64) -> Beta {
    let mut sharing = Sharing::default();
    for goal in 0..8 {
        let paths: Vec<Heard> = (0..4u8)
            .flat_map(|model| {
                let good = 180.0 - 40.0 * f64::from(model);
                [(model, good), (model + 10, (good - differ).max(5.0))].map(|(i, good)| {
                    Heard::of(path(i), path(100 + model), Beta { alpha: 1.0 + good, beta: 201.0 - good })
                })
            })
            .collect();
        sharing.put(&goal, &"all", &paths);
    }
    sharing.priors(&99, Some(&"all"), &[(path(20), path(100)), (path(1), path(101))])[0]
}

#[test]
fn a_new_path_starts_from_its_model_where_paths_of_one_model_were_seen_to_be_alike() {
    let prior = a_third_path_of_a_model_whose_others_differ_by(2.0);
    assert!(prior.mean() > 0.8 && prior.alpha + prior.beta > 4.0, "{prior:?}");
}

#[test]
fn a_new_path_starts_from_nothing_where_paths_of_one_model_differ() {
    assert_eq!(a_third_path_of_a_model_whose_others_differ_by(120.0), Beta::UNIFORM);
}

#[test]
fn a_new_path_starts_from_nothing_where_paths_of_one_model_were_never_compared() {
    let mut sharing = Sharing::default();
    for goal in 0..8 {
        sharing.put(&goal, &"all", &[heard(1, 180.0, 20.0), heard(2, 100.0, 100.0)]);
    }
    assert_eq!(sharing.priors(&99, Some(&"all"), &[(path(20), path(1))]), [Beta::UNIFORM]);
}

#[test]
fn a_new_bucket_starts_from_the_goals_others() {
    let mut sharing = Sharing::default();
    for bucket in ["code", "maths", "chat"] {
        sharing.put(&1, &bucket, &[heard(1, 160.0, 40.0), heard(2, 80.0, 120.0)]);
    }
    let priors = sharing.priors(&1, Some(&"tools"), &THREE);
    assert!(priors[0].mean() > priors[1].mean() + 0.15, "{priors:?}");
    assert_eq!(priors[2], Beta::UNIFORM);
}

proptest! {
    #[test]
    fn taking_back_what_was_put_leaves_nothing_behind(
        cells in prop::collection::vec((0u8..4, 0u8..3, prop::collection::vec((0f64..300.0, 0f64..300.0), 0..4)), 0..20),
    ) {
        let mut sharing: Sharing<u8, u8> = Sharing::default();
        for (goal, bucket, paths) in &cells {
            let said: Vec<Heard> =
                paths.iter().enumerate().map(|(i, (good, bad))| heard(i as u8 + 1, *good, *bad)).collect();
            sharing.put(goal, bucket, &said);
        }
        for (goal, bucket, _) in &cells {
            for prior in sharing.priors(goal, Some(bucket), &THREE) {
                prop_assert!(prior.alpha.is_finite() && prior.beta.is_finite() && prior.alpha > 0.0 && prior.beta > 0.0);
            }
        }
        for (goal, bucket, _) in &cells {
            sharing.put(goal, bucket, &[]);
        }
        prop_assert!(sharing.all == Equations::default() && sharing.goals.is_empty());
    }

    #[test]
    fn the_order_in_which_places_speak_does_not_matter(
        cells in prop::collection::btree_map((0u8..4, 0u8..3), prop::collection::vec((0f64..300.0, 0f64..300.0), 1..4), 1..10),
    ) {
        let said = |paths: &Vec<(f64, f64)>| -> Vec<Heard> {
            paths.iter().enumerate().map(|(i, (good, bad))| heard(i as u8 + 1, *good, *bad)).collect()
        };
        let mut forward: Sharing<u8, u8> = Sharing::default();
        let mut backward: Sharing<u8, u8> = Sharing::default();
        cells.iter().for_each(|((goal, bucket), paths)| forward.put(goal, bucket, &said(paths)));
        cells.iter().rev().for_each(|((goal, bucket), paths)| {
            backward.put(goal, bucket, &[heard(1, 3.0, 4.0)]);
            backward.put(goal, bucket, &said(paths));
        });
        for (goal, bucket) in cells.keys() {
            prop_assert_eq!(forward.priors(goal, Some(bucket), &THREE), backward.priors(goal, Some(bucket), &THREE));
        }
    }
}
