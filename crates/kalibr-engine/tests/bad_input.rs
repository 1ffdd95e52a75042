//! What nobody plans for: clocks that jump, goals that are gone, numbers that are none, and far too many paths.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use common::{PATIENCE, explained, goal, models, open_at, put, say};
use kalibr_engine::core::ids::{SessionId, Timestamp};
use kalibr_engine::core::path::{MAX_PATHS, PathSpec};
use kalibr_engine::signals::vocabulary::lookup;
use kalibr_engine::upstream::ChatRequest;
use kalibr_engine::*;

const DAY: i64 = 86_400_000_000;
const NOW: i64 = 1_700_000_000_000_000;

/// A clock, and its hands.
fn clock() -> (Clock, Arc<AtomicI64>) {
    let hands = Arc::new(AtomicI64::new(NOW));
    let read = Arc::clone(&hands);
    (Clock::new(move || Timestamp(read.load(Ordering::Relaxed))), hands)
}

#[test]
fn a_clock_that_jumps_back_credits_no_earlier_run_and_revises_no_later_word() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, hands) = clock();
    let engine = open_at(folder.path(), clock);
    put(&engine, &models(&["sim/good"]));
    let session = engine.session_hash(&SessionId::new("s").unwrap());
    let request = DecideRequest { session: Some(session), ..DecideRequest::of(goal()) };
    let earlier = engine.decide(&request).unwrap().trace;
    hands.fetch_add(60_000_000, Ordering::Relaxed);
    let before = engine.decide(&request).unwrap().trace;
    say(&engine, Run::Session(session), "user_accepted");
    // Set back to before both runs.
    hands.fetch_sub(DAY, Ordering::Relaxed);
    say(&engine, Run::Session(session), "user_rejected");
    let after = engine.decide(&request).unwrap().trace;
    say(&engine, Run::Session(session), "user_accepted");
    let strength = |trace| explained(&engine, trace).attempts[0].strength;
    assert_eq!([strength(earlier), strength(before), strength(after)], [None, Some(0.0), Some(1.0)]);
    let seen = [earlier, before, after].map(|trace| explained(&engine, trace));
    assert!(seen.is_sorted_by(|a, b| a.decided_at <= b.decided_at && a.epoch <= b.epoch), "{seen:?}");
    assert!(engine.close(PATIENCE));
}

#[test]
fn a_process_that_starts_on_a_clock_set_back_goes_on_in_later_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let epoch = |day: i64| {
        let (clock, hands) = clock();
        hands.fetch_add(day * DAY, Ordering::Relaxed);
        let engine = open_at(folder.path(), clock);
        put(&engine, &models(&["sim/good", "sim/poor"]));
        let trace = engine.decide(&DecideRequest::of(goal())).unwrap().trace;
        say(&engine, Run::Trace(trace), "user_accepted");
        let explanation = explained(&engine, trace);
        assert_eq!(explanation.attempts[0].strength, Some(1.0));
        assert!(engine.close(PATIENCE));
        explanation.epoch
    };
    let epochs = [0, 1, -3_000, 2].map(epoch);
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
}

#[tokio::test]
async fn a_decision_whose_goal_was_deleted_meanwhile_is_still_recorded_graded_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open_at(folder.path(), Clock::system());
    put(&engine, &models(&["sim/good", "sim/poor"]));
    let body = br#"{"model":"goal:g","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
    let body = ChatRequest::parse(body).unwrap();
    let request = || CompleteRequest { decide: DecideRequest::of(goal()), body: body.clone(), timeout: None };
    // On its way when the goal goes.
    let mut stream = engine.stream(request()).await.unwrap();
    let trace = stream.decision.trace;
    assert!(engine.remove_goal(&goal()).unwrap());
    while let Some(chunk) = futures_util::StreamExt::next(&mut stream).await {
        chunk.unwrap();
    }
    say(&engine, Run::Trace(trace), "user_rejected");
    let explanation = explained(&engine, trace);
    assert_eq!(explanation.attempts[0].answered, Some(true));
    assert_eq!(explanation.attempts[0].strength, Some(0.0));
    assert_eq!(explanation.verdict, None);

    // The next request is told, and nothing was counted for a goal that is not there.
    assert!(matches!(engine.decide(&DecideRequest::of(goal())), Err(DecideError::UnknownGoal(_))));
    assert!(matches!(
        engine.complete(request()).await,
        Err(CompleteError::Decide(DecideError::UnknownGoal(_)))
    ));
    let report = RunReport { goal: Some(goal()), model: Some("sim/good".into()), ..RunReport::default() };
    assert!(matches!(engine.run(None, &report), Err(SignalError::UnknownGoal(_))));
    assert!(engine.goals().is_empty() && engine.goal(&goal()).is_none());

    // A goal of the same name is the same goal, and its history counts again.
    put(&engine, &models(&["sim/good", "sim/poor"]));
    let learned = &engine.goal(&goal()).unwrap().learned[0];
    assert_eq!(learned.paths.iter().map(|path| path.graded).sum::<i64>(), 1);
    assert!(engine.health().is_well() && engine.close(PATIENCE));
}

#[test]
fn a_score_that_is_no_number_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open_at(folder.path(), Clock::system());
    put(&engine, &models(&["sim/good"]));
    let run = Run::Trace(engine.decide(&DecideRequest::of(goal())).unwrap().trace);
    let meta = SignalMeta::default;
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.001, 1.001] {
        assert!(matches!(engine.metric(run, true, Some(bad), meta()), Err(SignalError::Number(_))), "{bad}");
        let edited = engine.action(run, "output_edited", Some(bad), meta());
        assert!(matches!(edited, Err(SignalError::Number(_))), "{bad}");
        let kind = lookup("user_accepted").unwrap();
        for (strength, confidence) in [(Some(bad), None), (None, Some(bad))] {
            let signal = engine.signal(run, kind, strength, confidence, meta());
            assert!(matches!(signal, Err(SignalError::Number(_))), "{bad}");
        }
    }
    assert!(engine.close(PATIENCE));
}

#[test]
fn one_path_is_always_chosen_and_compared_with_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open_at(folder.path(), Clock::system());
    put(&engine, &models(&["sim/poor", "sim/poor"]));
    for _ in 0..30 {
        let decision = engine.decide(&DecideRequest::of(goal())).unwrap();
        assert_eq!((decision.propensity, decision.reason), (1.0, Reason::OnlyPath));
        assert!(decision.fallbacks.iter().next().is_none());
        say(&engine, Run::Trace(decision.trace), "user_rejected");
    }
    assert!(engine.flush(PATIENCE));
    let learned = &engine.goal(&goal()).unwrap().learned[0];
    assert!(learned.verdict.sentence.starts_with("nothing to compare"));
    assert_eq!((learned.paths[0].share, learned.paths[0].p_best), (1.0, 1.0));
    assert_eq!((learned.paths.len(), learned.paths[0].graded), (1, 30));
    assert!(engine.close(PATIENCE));
}

#[test]
fn as_many_paths_as_there_may_be_are_all_tried_and_the_good_one_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open_at(folder.path(), Clock::system());
    let paths: Vec<PathSpec> =
        (0..MAX_PATHS).map(|number| PathSpec::model(&format!("sim/m{number}")).unwrap()).collect();
    put(&engine, &paths);
    let good = paths[137].id();
    let mut slowest = Duration::ZERO;
    for _ in 0..1_200 {
        let begun = Instant::now();
        let decision = engine.decide(&DecideRequest::of(goal())).unwrap();
        slowest = slowest.max(begun.elapsed());
        // What the floor leaves to a path that is hardly ever the best: a table may know that by now.
        assert!(decision.propensity > 0.99 * GoalSettings::default().floor, "{}", decision.propensity);
        let kind = if decision.path_id == good { "user_accepted" } else { "user_rejected" };
        say(&engine, Run::Trace(decision.trace), kind);
    }
    // A table of so many paths takes long in a build that is not optimised.
    assert!(engine.flush(Duration::from_mins(1)));
    let scope = engine.goal(&goal()).unwrap().learned.remove(0);
    let share: f64 = scope.paths.iter().map(|path| path.share).sum();
    assert!((share - 1.0).abs() < 1e-9);
    let leader = scope.paths.iter().max_by(|a, b| a.p_best.total_cmp(&b.p_best)).unwrap();
    assert_eq!(leader.path_id, good);
    assert!(scope.verdict.sentence.starts_with("not enough data yet"), "{}", scope.verdict.sentence);
    // Deciding waits for no refresh, though one takes long with so many paths.
    assert!(slowest < Duration::from_millis(250), "{slowest:?}");
    assert!(engine.close(PATIENCE));
}
