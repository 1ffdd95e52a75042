//! What people are told of a goal's paths, from the first decision on.

mod common;

use common::{PATIENCE, explained, goal, models, open_at, put, say};
use kalibr_engine::core::confidence::{IntervalKind, Verdict};
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::{Clock, DecideRequest, Engine, LearnedScope, Run};

/// Both paths alike are asked and graded: `good` is always accepted, `poor` never.
fn ask(engine: &Engine, times: usize) -> kalibr_engine::core::ids::TraceId {
    let mut last = None;
    for (model, kind) in
        [("sim/good", "user_accepted"), ("sim/poor", "user_rejected")].into_iter().cycle().take(times)
    {
        let request = DecideRequest { force_model: Some(model.into()), ..DecideRequest::of(goal()) };
        let decision = engine.decide(&request).unwrap();
        say(engine, Run::Trace(decision.trace), kind);
        last = Some(decision.trace);
    }
    assert!(engine.flush(PATIENCE));
    last.unwrap()
}

fn learned(engine: &Engine) -> LearnedScope {
    engine.goal(&goal()).unwrap().learned.remove(0)
}

#[test]
fn there_is_a_winner_only_when_enough_was_graded_and_has_matured() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open_at(folder.path(), Clock::system());
    put(&engine, &models(&["sim/poor", "sim/good"]));
    let first = learned(&engine);
    assert!(matches!(first.verdict.verdict, Verdict::NotEnoughData { more: Some(_) }));
    assert!(first.verdict.sentence.starts_with("not enough data yet: about"), "{}", first.verdict.sentence);
    assert!(first.paths.iter().all(|path| (path.guaranteed.low, path.guaranteed.high) == (0.0, 1.0)));

    ask(&engine, 30);
    // Believed, but nothing of it is old enough for a guarantee.
    let soon = learned(&engine);
    assert!(soon.paths[1].p_best > 0.99 && soon.paths[1].expected_loss < 0.001, "{soon:?}");
    assert!(soon.paths.iter().all(|path| path.graded == 15 && path.matured == 0));
    assert!(matches!(soon.verdict.verdict, Verdict::NotEnoughData { .. }));

    let trace = ask(&engine, 120);
    let late = learned(&engine);
    let good = PathSpec::model("sim/good").unwrap().id();
    assert_eq!(late.verdict.verdict, Verdict::Winner { path_id: good });
    assert_eq!(late.verdict.sentence, "sim/good is the best path (95 % sure, however often you look)");
    assert!(late.paths.iter().all(|path| path.matured == 50 && path.graded == 75), "{late:?}");
    for path in &late.paths {
        assert_eq!(path.credible.kind, IntervalKind::Credible);
        assert_eq!(path.guaranteed.kind, IntervalKind::Guaranteed);
        // A guarantee costs width.
        assert!(path.guaranteed.high - path.guaranteed.low > path.credible.high - path.credible.low);
    }
    let explanation = explained(&engine, trace);
    assert_eq!(explanation.verdict, Some(late.verdict));
    assert_eq!(explanation.effect[0].guaranteed, late.paths[0].guaranteed);
    assert_eq!(explanation.effect[0].p_best, late.paths[0].p_best);

    assert!(engine.remove_goal(&goal()).unwrap());
    assert_eq!(explained(&engine, trace).verdict, None);
    assert!(engine.close(PATIENCE));
}
