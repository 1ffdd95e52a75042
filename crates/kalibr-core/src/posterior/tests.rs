use super::*;

fn posteriors(counters: &Counters, paths: &[PathId], config: &LearnerConfig) -> Vec<Posterior> {
    let subjects: Vec<Subject> = paths.iter().map(|path| Subject::unknown(*path)).collect();
    super::posteriors(counters, &subjects, &Reliability::default(), config)
}
use crate::counters::{Cell, Epoch};
use crate::evidence::{Register, Source, Value};
use proptest::prelude::*;

const A: PathId = PathId::from_bytes([1; 16]);
const B: PathId = PathId::from_bytes([2; 16]);

use crate::evidence::Strength;
use crate::outcome::Reply;

fn pattern(answered: Option<bool>, value: Option<Value>) -> (crate::evidence::Pattern, u32) {
    let mut register = Register::default();
    register.reply(match answered {
        None => Reply::Unknown,
        Some(true) => Reply::Answered,
        Some(false) => Reply::Failed,
    });
    if let Some(value) = value {
        register.take(&crate::evidence::Signal {
            id: crate::ids::SignalId::new("s").unwrap(),
            source: Source::Explicit,
            value,
            strength: value.default_strength(),
            confidence: Strength::ONE,
            at: crate::ids::Timestamp(0),
            attempt: None,
        });
    }
    (register.pattern(), register.winner().map_or(0, |(_, s)| s.units()))
}

fn count(
    counters: &mut Counters,
    epoch: u32,
    path: PathId,
    answered: Option<bool>,
    value: Option<Value>,
    n: i64,
) {
    let (pattern, score) = pattern(answered, value);
    let cell = Cell { epoch: Epoch(epoch), path, pattern };
    for _ in 0..n {
        counters.add(cell, Count::one(score));
    }
}

proptest! {
    #[test]
    fn one_perfect_source_gives_exactly_beta_bernoulli(
        accepted in 0i64..300, rejected in 0i64..300, silent in 0i64..300, epochs in 1u32..80,
    ) {
        let mut counters = Counters::default();
        for (value, n) in [(Some(Value::UserAccepted), accepted), (Some(Value::UserRejected), rejected), (None, silent)] {
            for i in 0..n {
                count(&mut counters, i as u32 % epochs, A, Some(true), value, 1);
            }
        }
        let config = LearnerConfig { half_life: None, ..LearnerConfig::default() };
        let posterior = posteriors(&counters, &[A], &config)[0];
        prop_assert_eq!(posterior.success, Beta { alpha: 1.0 + accepted as f64, beta: 1.0 + rejected as f64 });
        prop_assert_eq!(posterior.graded, accepted + rejected);
    }
}

#[test]
fn silence_is_not_acceptance() {
    let mut counters = Counters::default();
    count(&mut counters, 0, A, Some(true), None, 1_000);
    assert_eq!(posteriors(&counters, &[A], &LearnerConfig::default())[0].success, Beta::UNIFORM);
}

#[test]
fn an_outage_lowers_success_but_not_quality() {
    let mut counters = Counters::default();
    count(&mut counters, 0, A, Some(true), Some(Value::UserAccepted), 30);
    let before = posteriors(&counters, &[A], &LearnerConfig::default())[0];
    count(&mut counters, 0, A, Some(false), None, 30);
    let subject = Subject { available: Some(Beta { alpha: 30.0, beta: 30.0 }), ..Subject::unknown(A) };
    let outage =
        super::posteriors(&counters, &[subject], &Reliability::default(), &LearnerConfig::default())[0];
    assert_eq!(outage.quality, before.quality);
    assert!(outage.success.mean() < 0.55);
}

#[test]
fn old_evidence_counts_half_after_one_half_life_and_an_idle_path_fades_to_a_weak_belief_in_its_past() {
    let fading = Fading { growth: 0.0, restart: None, ..Fading::default() };
    let config = LearnerConfig { half_life: Some(800.0), fading, ..LearnerConfig::default() };
    let mut counters = Counters::default();
    count(&mut counters, 0, A, None, Some(Value::UserAccepted), 16);
    count(&mut counters, 1, B, None, Some(Value::UserRejected), 800);
    let known = posteriors(&counters, &[A, B], &config);
    // 8 of 16 are left, half of the uniform prior, and half of the two observations' worth of the past (17 of 18).
    assert!((known[0].success.alpha - (8.0 + 0.5 + 17.0 / 18.0)).abs() < 1e-9, "{:?}", known[0]);
    assert!((known[1].success.beta - 801.0).abs() < 1e-9, "{:?}", known[1]);
    count(&mut counters, 2, B, None, Some(Value::UserRejected), 16_000);
    let faded = posteriors(&counters, &[A, B], &config)[0].success;
    assert!((faded.alpha - 2.0 * 17.0 / 18.0).abs() < 1e-3 && (faded.alpha + faded.beta - 2.0).abs() < 1e-3);
}

#[test]
fn paths_that_are_not_asked_about_do_not_age_the_others() {
    let mut counters = Counters::default();
    count(&mut counters, 0, A, None, Some(Value::UserAccepted), 16);
    count(&mut counters, 1, B, None, Some(Value::UserAccepted), 16_000);
    let known = posteriors(&counters, &[A], &LearnerConfig::default())[0];
    assert_eq!(known.success.alpha, 17.0);
}

#[test]
fn a_graded_metric_counts_its_score_as_success_and_the_rest_as_failure() {
    let (pattern, _) = pattern(None, Some(Value::UserAccepted));
    let mut counters = Counters::default();
    counters.add(Cell { epoch: Epoch(0), path: A, pattern }, Count::one(Strength::UNITS / 4));
    let posterior = posteriors(&counters, &[A], &LearnerConfig::default())[0].success;
    assert_eq!(posterior, Beta { alpha: 1.25, beta: 1.75 });
}
