//! All paths of a goal that become better or worse together: from answers to shares and alerts.

use kalibr_core::counters::{Cell, Count, Counters, Epoch};
use kalibr_core::evidence::{Pattern, Register, Signal, Source, Strength, Value};
use kalibr_core::ids::{PathId, SignalId, Timestamp};
use kalibr_core::moved::{Moved, What};
use kalibr_core::policy::PolicyTable;
use kalibr_core::posterior::{Fading, LearnerConfig, Posterior, Subject, believe};
use kalibr_core::reliability::Reliability;
use kalibr_core::rules::{ChoiceRules, Known, Standing};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// Answers of each of three paths in an epoch: one leads, and the others are heard now and then.
const ANSWERS: [usize; 3] = [17, 5, 3];
const RATES: [f64; 3] = [0.8, 0.65, 0.5];

fn path(number: usize) -> PathId {
    PathId::from_bytes([number as u8 + 1; 16])
}

fn said(value: Value) -> (Pattern, Count) {
    let mut register = Register::default();
    register.take(&Signal {
        id: SignalId::new("s").unwrap(),
        source: Source::Action,
        value,
        strength: value.default_strength(),
        confidence: Strength::ONE,
        at: Timestamp(0),
        attempt: None,
    });
    (register.pattern(), Count::one(value.default_strength().units()))
}

/// What was said of each answer, in the order of the answers; `rates` are those of the paths in an epoch.
fn answers(seed: u64, epochs: u32, rates: impl Fn(u32) -> [f64; 3]) -> Vec<(Cell, Count)> {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let mut all = Vec::new();
    for epoch in 0..epochs {
        for (number, (n, rate)) in ANSWERS.into_iter().zip(rates(epoch)).enumerate() {
            for _ in 0..n {
                let good = rng.random_bool(rate);
                let value = if good { Value::OutputUsedVerbatim } else { Value::OutputDiscarded };
                let (pattern, count) = said(value);
                all.push((Cell { epoch: Epoch(epoch), path: path(number), pattern }, count));
            }
        }
    }
    all
}

fn counted(answers: &[(Cell, Count)]) -> Counters {
    let mut counters = Counters::default();
    answers.iter().for_each(|(cell, count)| counters.add(*cell, *count));
    counters
}

fn learn(counters: &Counters, config: &LearnerConfig) -> (Vec<Posterior>, Vec<Moved>) {
    let subjects = [0, 1, 2].map(|number| Subject::unknown(path(number)));
    believe(counters, &subjects, &Reliability::default(), config)
}

fn shares(known: &[Posterior]) -> Vec<f64> {
    let offers: Vec<Known> = known.iter().map(|posterior| Known::of(posterior.success)).collect();
    let paths: Vec<(PathId, Posterior)> = (0..3).map(path).zip(known.iter().copied()).collect();
    PolicyTable::new(0, &paths, offers, &ChoiceRules::default(), &Standing::default()).shares()
}

/// One less in log-odds from an epoch on.
fn fallen(since: u32, epoch: u32) -> [f64; 3] {
    if epoch < since {
        RATES
    } else {
        RATES.map(|rate| 1.0 / (1.0 + (1.0 / rate - 1.0) * std::f64::consts::E))
    }
}

fn levels(moved: &[Moved]) -> usize {
    moved.iter().filter(|moved| moved.what == What::Level).count()
}

#[test]
fn after_a_common_fall_the_leader_keeps_its_share_and_there_is_an_alert() {
    let (mut told, mut had, mut kept, mut lost) = (0, 0.0, 0.0, 0.0);
    for seed in 0..40 {
        let before = counted(&answers(seed, 60, |_| RATES));
        let after = counted(&answers(seed, 72, |epoch| fallen(60, epoch)));
        let config = LearnerConfig::default();
        let (known, moved) = learn(&after, &config);
        if let Some(moved) = moved.iter().find(|moved| moved.what == What::Level) {
            assert!(moved.since_epoch.abs_diff(60) <= 4 && moved.false_alarm < 0.05, "{moved:?}");
            assert!((moved.before - 0.73).abs() < 0.08 && (moved.after - 0.51).abs() < 0.12, "{moved:?}");
            assert_eq!(moved.calls_since, i64::from(72 - moved.since_epoch) * 25);
            told += 1;
            had += shares(&learn(&before, &config).0)[0];
            kept += shares(&known)[0];
            let fading = Fading { level: false, ..config.fading };
            let (known, moved) = learn(&after, &LearnerConfig { fading, ..config });
            assert_eq!(levels(&moved), 0);
            lost += shares(&known)[0];
        }
    }
    assert!(told >= 30, "{told} of 40");
    let [had, kept, lost] = [had, kept, lost].map(|sum| sum / f64::from(told));
    assert!(kept > had - 0.05, "{kept} after {had}");
    assert!(lost < had - 0.1, "{lost} after {had}: nothing to keep");
}

#[test]
fn a_path_that_falls_alone_raises_no_alert_and_loses_its_share() {
    let mut told = 0;
    for seed in 0..40 {
        let alone = |epoch| [fallen(60, epoch)[0] - if epoch < 60 { 0.0 } else { 0.15 }, RATES[1], RATES[2]];
        let (known, moved) = learn(&counted(&answers(seed, 72, alone)), &LearnerConfig::default());
        told += levels(&moved);
        assert!(moved.iter().any(|m| m.what == What::Path { path_id: path(0) } && m.after < m.before));
        assert!(shares(&known)[0] < 0.2, "{:?}", shares(&known));
    }
    assert!(told <= 1, "{told} of 40");
}

#[test]
fn where_nothing_changes_no_alert_is_raised() {
    let mut told = 0;
    for seed in 0..150 {
        // As it would have been looked at on the way.
        let all = answers(seed, 80, |_| RATES);
        told += (20..=80)
            .step_by(20)
            .map(|epochs| levels(&learn(&counted(&all[..epochs * 25]), &LearnerConfig::default()).1))
            .max()
            .unwrap_or_default();
    }
    assert!(told <= 1, "{told} of 150");
}

#[test]
fn a_step_of_the_level_is_the_same_to_the_last_bit_in_whatever_order_answers_are_heard_and_revised() {
    for seed in 0..20 {
        let clean = answers(seed, 72, |epoch| fallen(60, epoch));
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        // Every third answer was first said to be the other way round.
        let mut lived = clean.clone();
        for (cell, count) in clean.iter().step_by(3) {
            let wrong = if count.score > 0 { Value::OutputDiscarded } else { Value::OutputUsedVerbatim };
            let (pattern, wrong) = said(wrong);
            lived.push((Cell { pattern, ..*cell }, wrong));
            lived.push((Cell { pattern, ..*cell }, -wrong));
        }
        lived.shuffle(&mut rng);
        let (a, b) = (counted(&clean), counted(&lived));
        assert_eq!(a, b);
        let bits = |counters: &Counters| {
            let (known, moved) = learn(counters, &LearnerConfig::default());
            let betas = known.iter().flat_map(|known| [known.own.alpha.to_bits(), known.own.beta.to_bits()]);
            let steps = moved
                .iter()
                .flat_map(|moved| [moved.before, moved.after, moved.false_alarm].map(f64::to_bits));
            (betas.chain(steps).collect::<Vec<u64>>(), levels(&moved))
        };
        assert_eq!(bits(&a), bits(&b));
    }
}
