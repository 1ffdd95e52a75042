use proptest::prelude::*;

use super::*;
use crate::counters::{Cell, Epoch};
use crate::evidence::{Register, Signal, Source, Strength, Value};
use crate::ids::{SignalId, Timestamp};

#[test]
fn two_paths_of_one_model_are_told_apart_though_they_answer_differently_as_day_and_night() {
    let said = |value: Value| {
        let mut register = Register::default();
        register.take(&Signal {
            id: SignalId::new("s").unwrap(),
            source: Source::Explicit,
            value,
            strength: value.default_strength(),
            confidence: Strength::ONE,
            at: Timestamp(0),
            attempt: None,
        });
        (register.pattern(), Count::one(value.default_strength().units()))
    };
    let (model, cold, hot) =
        (PathId::from_bytes([9; 16]), PathId::from_bytes([1; 16]), PathId::from_bytes([2; 16]));
    let subjects = [cold, hot].map(|path| Subject { model, ..Subject::unknown(path) });
    let (mut learner, config) = (Learner::default(), LearnerConfig::default());
    for goal in 0..6 {
        let mut counters = Counters::default();
        for (path, value, n) in [(cold, Value::UserAccepted, 18), (hot, Value::UserRejected, 2)] {
            let (pattern, count) = said(value);
            for _ in 0..n {
                counters.add(Cell { epoch: Epoch(0), path, pattern }, count);
                learner.count(model, pattern, count);
            }
        }
        learner.learn();
        let known = learner.posteriors(&goal, &"all", &counters, &subjects, &config);
        assert!(known[0].quality.mean() > 0.85 && known[1].quality.mean() < 0.35, "{goal}: {known:?}");
    }
}

/// Counts of all kinds, such as a damaged ledger has them too.
fn cells() -> impl Strategy<Value = Vec<(Cell, Count)>> {
    let pattern = prop_oneof![
        // Any bits, and such as the sources that grade each other set.
        any::<u32>().prop_map(Pattern::from_bits),
        (0u32..1 << 12).prop_map(Pattern::from_bits),
    ];
    let units = i64::from(crate::evidence::Strength::UNITS);
    let count = (-40i64..40, -40 * units..40 * units).prop_map(|(n, score)| Count { n, score });
    let cell = (0u32..30, 0u8..3, pattern, count).prop_map(|(epoch, path, pattern, count)| {
        (Cell { epoch: Epoch(epoch), path: PathId::from_bytes([path + 1; 16]), pattern }, count)
    });
    prop::collection::vec(cell, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn counters_that_cannot_be_teach_nonsense_at_worst_and_break_nothing(cells in cells()) {
        let mut learner: Learner<&str, &str> = Learner::default();
        let mut counters = Counters::default();
        for (cell, count) in cells {
            learner.count(cell.path, cell.pattern, count);
            counters.add(cell, count);
        }
        learner.learn();
        let subjects: Vec<_> = (0..3u8).map(|path| Subject::unknown(PathId::from_bytes([path + 1; 16]))).collect();
        for goal in ["g", "h"] {
            for believed in learner.posteriors(&goal, &"all", &counters, &subjects, &LearnerConfig::default()) {
                prop_assert!((0.0..=1.0).contains(&believed.quality.mean()), "{believed:?}");
            }
        }
    }
}
