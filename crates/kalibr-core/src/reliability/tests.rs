use super::*;
use crate::evidence::{Register, Signal};
use crate::ids::{SignalId, Timestamp};

const M: PathId = PathId::from_bytes([1; 16]);
const N: PathId = PathId::from_bytes([2; 16]);

fn pattern(said: &[(Source, Value)]) -> (Pattern, u32) {
    let mut register = Register::default();
    for &(source, value) in said {
        register.take(&Signal {
            id: SignalId::new("s").unwrap(),
            source,
            value,
            strength: value.default_strength(),
            confidence: Strength::ONE,
            at: Timestamp(0),
            attempt: None,
        });
    }
    (register.pattern(), register.winner().map_or(0, |(_, strength)| strength.units()))
}

fn seen(pool: &mut Pool, model: PathId, n: i64, said: &[(Source, Value)]) {
    let (pattern, score) = pattern(said);
    for _ in 0..n {
        pool.add(model, pattern, Count::one(score));
    }
}

#[test]
fn a_judge_that_praises_all_answers_of_one_model_says_nothing_of_that_model_and_is_heard_on_others() {
    let mut pool = Pool::default();
    let (good, bad) = ((Source::Action, Value::OutputUsedVerbatim), (Source::Action, Value::OutputDiscarded));
    seen(&mut pool, M, 400, &[good, (Source::Judge, Value::Passed)]);
    seen(&mut pool, M, 400, &[bad, (Source::Judge, Value::Passed)]);
    seen(&mut pool, N, 400, &[good, (Source::Judge, Value::Passed)]);
    seen(&mut pool, N, 400, &[bad, (Source::Judge, Value::Failed)]);
    let learned = Reliability::learn(&pool);
    let praise = pattern(&[(Source::Judge, Value::Passed)]).0;
    assert!(learned.trust(Voice::Judge, M).quarantined);
    assert_eq!(learned.worth(M, praise), Worth::Soft(0.0));
    assert!(matches!(learned.worth(N, praise), Worth::Soft(ratio) if ratio > 1.0));
}

#[test]
fn a_judge_that_is_often_undecided_is_graded_by_what_it_decides() {
    let deeds = [(Source::Action, Value::OutputUsedVerbatim), (Source::Action, Value::OutputDiscarded)];
    let learned = |undecided: i64| {
        let mut pool = Pool::default();
        for (deed, passed) in deeds.into_iter().zip([180, 20]) {
            seen(&mut pool, M, passed, &[deed, (Source::Judge, Value::Passed)]);
            seen(&mut pool, M, 200 - passed, &[deed, (Source::Judge, Value::Failed)]);
            seen(&mut pool, M, undecided, &[deed, (Source::Judge, Value::Middling)]);
        }
        Reliability::learn(&pool).trust(Voice::Judge, M)
    };
    assert_eq!(learned(200), learned(0));
}

#[test]
fn what_a_user_did_is_the_truth_whatever_a_judge_says() {
    let said = pattern(&[(Source::Action, Value::OutputDiscarded), (Source::Judge, Value::Passed)]).0;
    assert_eq!(Reliability::default().worth(M, said), Worth::Exact);
}

#[test]
fn an_explicit_verdict_is_the_truth_until_deeds_contradict_it() {
    let accepted = pattern(&[(Source::Explicit, Value::UserAccepted)]).0;
    assert_eq!(Reliability::default().worth(M, accepted), Worth::Exact);
    let mut pool = Pool::default();
    seen(
        &mut pool,
        M,
        30,
        &[(Source::Explicit, Value::UserAccepted), (Source::Action, Value::OutputDiscarded)],
    );
    assert!(
        matches!(Reliability::learn(&pool).worth(M, accepted), Worth::Graded { praise, .. } if praise < 1.0)
    );
}

#[test]
fn one_contradiction_elsewhere_leaves_scores_scores_and_what_is_taken_back_taken_back() {
    use crate::counters::{Cell, Counters, Epoch};
    use crate::posterior::{LearnerConfig, Subject, posteriors};

    let mut counters = Counters::default();
    let units = i64::from(Strength::UNITS);
    // Scores of .9 and .6; and a path of which half of the praise is taken back within ten epochs.
    let scored = pattern(&[(Source::Metric, Value::Passed)]).0;
    for (path, tenths) in [(M, 9), (N, 6)] {
        let cell = Cell { epoch: Epoch(199), path, pattern: scored };
        counters.add(cell, Count { n: 200, score: 200 * tenths * units / 10 });
    }
    let other = PathId::from_bytes([3; 16]);
    let accepted = pattern(&[(Source::Explicit, Value::UserAccepted)]).0;
    let reversed =
        pattern(&[(Source::Explicit, Value::UserAccepted), (Source::Explicit, Value::UserRejected)]).0;
    for epoch in 0..200u32 {
        let back = i64::from((199 - epoch).min(10));
        for (pattern, n) in [(accepted, 20 - back), (reversed, back)] {
            let score = if pattern == accepted { n * units } else { 0 };
            counters.add(Cell { epoch: Epoch(epoch), path: other, pattern }, Count { n, score });
        }
    }
    let mut pool = Pool::default();
    let contradicted = [Source::Metric, Source::Explicit].map(|source| {
        let praise = if source == Source::Metric { Value::Passed } else { Value::UserAccepted };
        [(source, praise), (Source::Action, Value::OutputDiscarded)]
    });
    contradicted.iter().for_each(|said| seen(&mut pool, PathId::from_bytes([9; 16]), 1, said));
    let subjects = [M, N, other].map(Subject::unknown);
    let of = |reliability: &Reliability| {
        let known = posteriors(&counters, &subjects, reliability, &LearnerConfig::default());
        known.iter().map(|path| path.quality.mean()).collect::<Vec<f64>>()
    };
    let (before, after) = (of(&Reliability::default()), of(&Reliability::learn(&pool)));
    for (before, after) in before.iter().zip(&after) {
        assert!((before - after).abs() < 0.04, "{before} {after}");
    }
}

#[test]
fn where_no_user_ever_acted_follow_up_messages_still_tell_a_good_path_from_a_poor_one() {
    use crate::best::p_best;
    use crate::counters::{Cell, Counters, Epoch};
    use crate::posterior::{LearnerConfig, Subject, posteriors};

    let mut counters = Counters::default();
    for (path, accepted) in [(M, 720), (N, 590)] {
        for i in 0..1_000 {
            let value = if i < accepted { Value::Acceptance } else { Value::Rejection };
            let (pattern, score) = pattern(&[(Source::Turn, value)]);
            counters.add(Cell { epoch: Epoch(0), path, pattern }, Count::one(score));
        }
    }
    let subjects = [M, N].map(Subject::unknown);
    let believed = posteriors(&counters, &subjects, &Reliability::default(), &LearnerConfig::default());
    let best = p_best(&believed.iter().map(|path| path.success).collect::<Vec<_>>());
    assert!(best[0] > 0.995, "{}", best[0]);
}

#[test]
fn a_judge_that_favours_one_model_is_found_out_by_follow_up_messages_where_nobody_acts() {
    let mut pool = Pool::default();
    let (accepted, rejected) = ((Source::Turn, Value::Acceptance), (Source::Turn, Value::Rejection));
    let (praise, fault) = ((Source::Judge, Value::Passed), (Source::Judge, Value::Failed));
    for (model, of_bad) in [(M, 90), (N, 30)] {
        seen(&mut pool, model, 90, &[accepted, praise]);
        seen(&mut pool, model, 10, &[accepted, fault]);
        seen(&mut pool, model, of_bad, &[rejected, praise]);
        seen(&mut pool, model, 100 - of_bad, &[rejected, fault]);
    }
    let learned = Reliability::learn(&pool);
    let worth = |model| match learned.worth(model, pattern(&[praise]).0) {
        Worth::Soft(ln_ratio) => ln_ratio,
        other => panic!("{other:?}"),
    };
    assert!(worth(N) > 1.0 && worth(M) < 0.3, "{} {}", worth(N), worth(M));
}

#[test]
fn a_metric_that_deeds_prove_worthless_grades_no_judge() {
    let mut pool = Pool::default();
    let metrics = [(Source::Metric, Value::Passed), (Source::Metric, Value::Failed)];
    for metric in metrics {
        seen(&mut pool, M, 2_000, &[metric, (Source::Action, Value::OutputUsedVerbatim)]);
        seen(&mut pool, M, 2_000, &[metric, (Source::Action, Value::OutputDiscarded)]);
    }
    let before = Reliability::learn(&pool);
    assert!(before.trust(Voice::Metric, M).quarantined);
    seen(&mut pool, M, 1_000, &[metrics[0], (Source::Judge, Value::Passed)]);
    seen(&mut pool, M, 1_000, &[metrics[1], (Source::Judge, Value::Failed)]);
    let after = Reliability::learn(&pool);
    assert_eq!(after.trust(Voice::Judge, M), before.trust(Voice::Judge, M));
}

#[test]
fn follow_up_messages_that_tell_nothing_teach_nothing_of_a_judge() {
    let mut pool = Pool::default();
    let words = [(Source::Turn, Value::Acceptance), (Source::Turn, Value::Rejection)];
    for word in words {
        seen(&mut pool, M, 300, &[word, (Source::Action, Value::OutputUsedVerbatim)]);
        seen(&mut pool, M, 300, &[word, (Source::Action, Value::OutputDiscarded)]);
    }
    let before = Reliability::learn(&pool).trust(Voice::Judge, M);
    for word in words {
        seen(&mut pool, M, 3_000, &[word, (Source::Judge, Value::Passed)]);
        seen(&mut pool, M, 2_000, &[word, (Source::Judge, Value::Failed)]);
    }
    let after = Reliability::learn(&pool).trust(Voice::Judge, M);
    for (before, after) in
        [(before.praises_good, after.praises_good), (before.praises_bad, after.praises_bad)]
    {
        assert!(after.variance > 0.4 * before.variance, "{before:?} {after:?}");
        assert!((after.mean - before.mean).abs() < 0.05, "{before:?} {after:?}");
    }
}

#[test]
fn a_classifier_model_that_guesses_is_found_out_and_the_local_classifier_is_heard_as_before() {
    let deeds = [(Source::Action, Value::OutputUsedVerbatim), (Source::Action, Value::OutputDiscarded)];
    let words = [(Source::Turn, Value::AcceptanceByModel), (Source::Turn, Value::RejectionByModel)];
    let mut pool = Pool::default();
    let asked = |pool: &Pool| Reliability::learn(pool).overall(Voice::TurnModel).is_worth_asking();
    assert!(asked(&pool) && Reliability::default().overall(Voice::TurnModel).is_worth_asking());
    let guesses = |pool: &mut Pool, n: i64| {
        for (model, deed) in [M, N].into_iter().flat_map(|model| deeds.map(|deed| (model, deed))) {
            words.iter().for_each(|said| seen(pool, model, n, &[deed, *said]));
        }
    };
    guesses(&mut pool, 5);
    assert!(asked(&pool), "forty deeds prove nothing");
    guesses(&mut pool, 20);
    assert!(!asked(&pool));
    let (learned, before) = (Reliability::learn(&pool), Reliability::default());
    assert_eq!(learned.trust(Voice::Turn, M), before.trust(Voice::Turn, M));
    // It is asked now and then all the same: a better model in its place is soon believed again.
    for (deed, said) in deeds.into_iter().zip(words) {
        seen(&mut pool, M, 25, &[deed, said]);
    }
    assert!(asked(&pool));
}

#[test]
fn a_classifier_model_that_says_the_opposite_of_what_users_do_is_ignored() {
    let mut pool = Pool::default();
    let (used, thrown) =
        ((Source::Action, Value::OutputUsedVerbatim), (Source::Action, Value::OutputDiscarded));
    let (accepts, rejects) =
        ((Source::Turn, Value::AcceptanceByModel), (Source::Turn, Value::RejectionByModel));
    for model in [M, N] {
        seen(&mut pool, model, 60, &[used, rejects]);
        seen(&mut pool, model, 60, &[thrown, accepts]);
    }
    let learned = Reliability::learn(&pool);
    assert!(learned.overall(Voice::TurnModel).quarantined);
    assert_eq!(learned.worth(M, pattern(&[accepts]).0), Worth::Soft(0.0));
    let by_words = pattern(&[(Source::Turn, Value::Acceptance)]).0;
    assert!(matches!(learned.worth(M, by_words), Worth::Soft(ln) if ln > 1.0));
}

#[test]
fn what_is_inferred_of_a_session_says_less_than_what_a_caller_knows_of_it_and_that_less_than_a_message() {
    let ln = |source, value| match Reliability::default().worth(M, pattern(&[(source, value)]).0) {
        Worth::Soft(ln_ratio) => ln_ratio,
        other => panic!("{other:?}"),
    };
    let end = Source::SessionEnd;
    let praise = [
        ln(end, Value::MomentumUp),
        ln(end, Value::EndedWell),
        ln(end, Value::SessionSatisfied),
        ln(Source::Turn, Value::Acceptance),
    ];
    assert!(praise.is_sorted() && praise[0] > 0.0 && praise[1] < 0.5, "{praise:?}");
    let faults = [
        ln(end, Value::MomentumDown),
        ln(end, Value::EndedBadly),
        ln(end, Value::SessionDissatisfied),
        ln(Source::Turn, Value::Rejection),
    ];
    assert!(faults.iter().rev().is_sorted() && faults[0] < 0.0 && faults[1] > -0.6, "{faults:?}");
}

#[test]
fn each_voice_of_a_source_is_graded_by_what_it_said_itself() {
    let mut pool = Pool::default();
    let (used, thrown) =
        ((Source::Action, Value::OutputUsedVerbatim), (Source::Action, Value::OutputDiscarded));
    seen(&mut pool, M, 100, &[used, (Source::SessionEnd, Value::MomentumUp)]);
    seen(&mut pool, M, 100, &[thrown, (Source::SessionEnd, Value::MomentumDown)]);
    seen(&mut pool, M, 100, &[used, (Source::SessionEnd, Value::EndedBadly)]);
    seen(&mut pool, M, 100, &[thrown, (Source::SessionEnd, Value::EndedWell)]);
    let learned = Reliability::learn(&pool);
    assert!(learned.overall(Voice::SessionSign).quarantined);
    assert!(learned.overall(Voice::Momentum).praises_good.mean > 0.8);
    let untouched = Reliability::default().overall(Voice::SessionEnd).praises_good.mean;
    assert!((learned.overall(Voice::SessionEnd).praises_good.mean - untouched).abs() < 1e-9);
}

#[test]
fn what_is_taken_back_teaches_nothing() {
    let mut pool = Pool::default();
    let said = pattern(&[(Source::Turn, Value::Acceptance), (Source::Action, Value::OutputDiscarded)]);
    pool.add(M, said.0, Count::one(said.1));
    pool.add(M, said.0, -Count::one(said.1));
    assert_eq!(pool, Pool::default());
}
